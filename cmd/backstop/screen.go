package main

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/backstop-dev/backstop/internal/text"
)

// screen is where everything goes that a person reads. Whatever the API server, Git or a file of a change says, what
// reaches a terminal moves no cursor and turns no direction, and what reaches the log of a CI server is no command of
// it.
type screen struct {
	under io.Writer
	// rest is the beginning of a character that was cut in two.
	rest []byte
	// within means that the last line has not ended.
	within bool
	// lost is why something could not be written, which few of those who write ask for.
	lost error
}

// ours are the colours that this program writes itself, and what divides lines and columns.
var ours = regexp.MustCompile(`\x1b\[(?:0|1|2|3[1-6]|90)m|[\n\t]`)

// Write takes characters whole: what cannot be read yet waits for the next call.
func (s *screen) Write(p []byte) (int, error) {
	data := append(s.rest, p...)
	end := len(data)
	for n := 1; n < utf8.UTFMax && n <= end; n++ {
		if b := data[end-n]; utf8.RuneStart(b) {
			if !utf8.FullRune(data[end-n:]) {
				end -= n
			}
			break
		}
	}
	s.rest = bytes.Clone(data[end:])
	if _, err := io.WriteString(s.under, s.clean(string(data[:end]))); err != nil {
		s.lost = err
		return 0, err
	}
	return len(p), nil
}

// flush writes what was left of a character as it can be shown.
func (s *screen) flush() {
	if len(s.rest) > 0 {
		_, _ = io.WriteString(s.under, s.clean(string(s.rest)))
		s.rest = nil
	}
}

func (s *screen) clean(words string) string {
	var b strings.Builder
	at := 0
	put := func(part string) {
		part = text.Visible(part)
		if lead := strings.TrimLeft(part, " "); !s.within && strings.HasPrefix(lead, "::") {
			// GitHub takes a line that begins like this for a command.
			part = ": " + lead[1:]
		}
		s.within = s.within || part != ""
		b.WriteString(part)
	}
	for _, found := range ours.FindAllStringIndex(words, -1) {
		put(words[at:found[0]])
		at = found[1]
		b.WriteString(words[found[0]:at])
		if words[found[0]] == '\n' {
			s.within = false
		}
	}
	put(words[at:])
	return b.String()
}

// raw is where what a machine reads goes: what writes it does its own escaping.
func raw(out io.Writer) io.Writer {
	if s, ok := out.(*screen); ok {
		return s.under
	}
	return out
}

// escaped writes the characters of JSON that a terminal would obey, or that turn the direction, as JSON escapes them.
func escaped(data []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(data) {
		if r > '~' && text.Visible(string(r)) != string(r) && r <= 0xffff {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.Bytes()
}

// visible is YAML without such characters, which it has no escape for in plain text.
func visible(data []byte) []byte {
	lines := strings.Split(string(data), "\n")
	for i := range lines {
		lines[i] = text.Visible(lines[i])
	}
	return []byte(strings.Join(lines, "\n"))
}
