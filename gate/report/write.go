package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Formats are the ways in which a report can be written.
func Formats() []string { return []string{"text", "json", "github", "gitlab", "sarif", "junit"} }

// Write writes a report in one of Formats. colour is for text on a terminal.
func (r *Report) Write(w io.Writer, format string, colour bool) error {
	out := bufio.NewWriter(w)
	var err error
	switch format {
	case "text":
		r.text(out, colour)
	case "json":
		err = encode(out, r)
	case "github":
		r.github(out)
	case "gitlab":
		err = encode(out, r.gitlab())
	case "sarif":
		err = encode(out, r.sarif())
	case "junit":
		err = r.junit(out)
	default:
		return fmt.Errorf("no format %q: there are %s", format, strings.Join(Formats(), ", "))
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func encode(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
