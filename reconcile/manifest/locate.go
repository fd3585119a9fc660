package manifest

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// splice replaces the bytes from start to end.
type splice struct {
	start, end int
	text       string
}

// offset gives the byte at the parser's line and column, both from 1. The parser counts a byte order mark at the start
// as nothing, columns in characters, and every line break that YAML 1.1 knows.
func (p *parsed) offset(line, column int) (int, bool) {
	if p.lines == nil {
		p.lines = lineStarts(p.data)
	}
	if line < 1 || line > len(p.lines) || column < 1 {
		return 0, false
	}
	at := p.lines[line-1]
	for ; column > 1; column-- {
		if at >= len(p.data) {
			return 0, false
		}
		_, size := utf8.DecodeRune(p.data[at:])
		at += size
	}
	return at, true
}

func lineStarts(data []byte) []int {
	at := 0
	if bytes.HasPrefix(data, []byte("\uFEFF")) {
		at = len("\uFEFF")
	}
	starts := []int{at}
	for at < len(data) {
		n := breakAt(data[at:])
		if n == 0 {
			at++
			continue
		}
		at += n
		starts = append(starts, at)
	}
	return starts
}

// breakAt is the length of the line break at the start of data; 0 for none.
func breakAt(data []byte) int {
	if len(data) == 0 {
		return 0
	}
	switch data[0] {
	case '\n':
		return 1
	case '\r':
		if len(data) > 1 && data[1] == '\n' {
			return 2
		}
		return 1
	case 0xC2: // U+0085 in UTF-8
		if len(data) > 1 && data[1] == 0x85 {
			return 2
		}
	case 0xE2: // U+2028 and U+2029
		if len(data) > 2 && data[1] == 0x80 && (data[2] == 0xA8 || data[2] == 0xA9) {
			return 3
		}
	}
	return 0
}

// span finds the bytes of a scalar, quotes included and without its anchor and tag. An empty scalar has an empty span
// behind what it belongs to.
func (p *parsed) span(n *yaml.Node) (start, end int, err error) {
	at, ok := p.offset(n.Line, n.Column)
	if !ok {
		return 0, 0, lost(n)
	}
	at = p.skipProperties(at, n)
	rest := p.data[at:]
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return 0, 0, fmt.Errorf("%w: the value at line %d is a block of text (| or >)", ErrRefused, n.Line)
	case n.Style&yaml.DoubleQuotedStyle != 0:
		size := quoted(rest, '"')
		if size == 0 {
			return 0, 0, lost(n)
		}
		return at, at + size, nil
	case n.Style&yaml.SingleQuotedStyle != 0:
		size := quoted(rest, '\'')
		if size == 0 {
			return 0, 0, lost(n)
		}
		return at, at + size, nil
	case bytes.HasPrefix(rest, []byte(n.Value)):
		return at, at + len(n.Value), nil
	}
	return 0, 0, fmt.Errorf("%w: the value at line %d spans several lines", ErrRefused, n.Line)
}

// skipProperties goes over the anchor and the tag before a scalar.
func (p *parsed) skipProperties(at int, n *yaml.Node) int {
	for at < len(p.data) && (p.data[at] == '&' && n.Anchor != "" || p.data[at] == '!' && n.Style&yaml.TaggedStyle != 0) {
		end := at
		for end < len(p.data) && !isBlankOrBreak(p.data[end:]) {
			end++
		}
		next := end
		for next < len(p.data) && (p.data[next] == ' ' || p.data[next] == '\t') {
			next++
		}
		if n.Value == "" && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) == 0 &&
			(next >= len(p.data) || p.data[next] != '!' && p.data[next] != '&') {
			return end
		}
		at = next
	}
	return at
}

func isBlankOrBreak(data []byte) bool {
	return data[0] == ' ' || data[0] == '\t' || breakAt(data) > 0
}

// quoted is the length of the quoted scalar at the start of data, quotes included; 0 where none is.
func quoted(data []byte, quote byte) int {
	if len(data) == 0 || data[0] != quote {
		return 0
	}
	for i := 1; i < len(data); i++ {
		switch {
		case data[i] == '\\' && quote == '"':
			i++
		case data[i] == quote && quote == '\'' && i+1 < len(data) && data[i+1] == quote:
			i++
		case data[i] == quote:
			return i + 1
		}
	}
	return 0
}

func lost(n *yaml.Node) error {
	return fmt.Errorf("%w: the value at line %d was not found in the file's bytes", ErrRefused, n.Line)
}

// comment finds the bytes of the marker's comment: behind the scalar, or above it where image automation reads it
// there.
func (p *parsed) comment(n *yaml.Node) (start, end int, err error) {
	_, stop, err := p.span(n)
	if err != nil {
		return 0, 0, err
	}
	if n.LineComment == "" {
		return p.commentAbove(n)
	}
	for stop < len(p.data) && strings.IndexByte(" \t,", p.data[stop]) >= 0 {
		stop++
	}
	end = p.lineEnd(stop)
	if got := string(p.data[stop:end]); strings.TrimRight(got, " \t") != strings.TrimRight(n.LineComment, " \t") {
		return 0, 0, fmt.Errorf("%w: the marker's comment at line %d was not found in the file's bytes", ErrRefused, n.Line)
	}
	return stop, end, nil
}

// commentAbove finds a comment that stands directly above a list item.
func (p *parsed) commentAbove(n *yaml.Node) (start, end int, err error) {
	for line := n.Line - 1; line >= 1; line-- {
		at, _ := p.offset(line, 1)
		for at < len(p.data) && (p.data[at] == ' ' || p.data[at] == '\t') {
			at++
		}
		end := p.lineEnd(at)
		switch got := strings.TrimRight(string(p.data[at:end]), " \t"); {
		case got == strings.TrimRight(n.HeadComment, " \t"):
			return at, end, nil
		case got != "":
			line = 0
		}
	}
	return 0, 0, fmt.Errorf("%w: the marker's comment above line %d was not found in the file's bytes", ErrRefused, n.Line)
}

// lineEnd is where the line that at is in ends, without its break.
func (p *parsed) lineEnd(at int) int {
	for at < len(p.data) && breakAt(p.data[at:]) == 0 {
		at++
	}
	return at
}

// apply makes the splices, which must not overlap, in any order.
func apply(data []byte, splices []splice) []byte {
	var b bytes.Buffer
	last := 0
	for _, s := range splices {
		b.Write(data[last:s.start])
		b.WriteString(s.text)
		last = s.end
	}
	b.Write(data[last:])
	return b.Bytes()
}
