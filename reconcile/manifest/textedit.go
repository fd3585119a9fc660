package manifest

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// placesFor finds the places that edits name. Parts of the text of one scalar become one edit of the whole.
func (p *parsed) placesFor(edits []Change) ([]place, []Change, error) {
	places, err := p.places("")
	if err != nil {
		return nil, nil, err
	}
	known := map[string]bool{}
	for _, at := range places {
		known[at.Pointer] = true
	}
	if !slices.ContainsFunc(edits, func(c Change) bool { return !known[c.Pointer] }) {
		return places, edits, nil
	}
	if places, err = p.allPlaces(""); err != nil {
		return nil, nil, err
	}
	values := map[string]string{}
	for _, at := range places {
		values[at.Pointer] = at.Value
	}
	var whole []Change
	texts := map[string]string{}
	for _, c := range edits {
		base, selector, isText := cutSelector(c.Pointer)
		if _, there := values[c.Pointer]; there || !isText {
			whole = append(whole, c)
			continue
		}
		if _, edited := texts[base]; !edited {
			texts[base] = values[base]
		}
		from, to, ok := selectText(texts[base], selector)
		if !ok {
			return nil, nil, fmt.Errorf("edit %s: %w", c.Pointer, ErrNoNode)
		}
		texts[base] = texts[base][:from] + c.Value + texts[base][to:]
	}
	for base, text := range texts {
		whole = append(whole, Change{Pointer: base, Value: text})
	}
	return places, whole, nil
}

// inBlock is the splice that makes one line of a literal block (|), or one word of a folded one (>), another one.
func (p *parsed) inBlock(n *yaml.Node, value string) (splice, error) {
	old := n.Value
	from := 0
	for from < len(old) && from < len(value) && old[from] == value[from] {
		from++
	}
	end := 0
	for end < len(old)-from && end < len(value)-from && old[len(old)-1-end] == value[len(value)-1-end] {
		end++
	}
	if n.Style&yaml.FoldedStyle != 0 {
		// Folding leaves nothing but words as they are.
		from = strings.LastIndexAny(old[:from], " \t\n") + 1
		if next := strings.IndexAny(old[len(old)-end:], " \t\n"); next >= 0 {
			end -= next
		} else {
			end = 0
		}
	}
	text := value[from : len(value)-end]
	if !printable(text) {
		return splice{}, fmt.Errorf("%w: the value %q does not fit into the block of text at line %d", ErrRefused,
			shorten(text), n.Line)
	}
	return p.lift(splice{start: from, end: len(old) - end, text: text}, n, []byte(old))
}

// liftFolded turns a splice in the text of a folded block (>) into one of the file. Folding changes line breaks alone,
// so that a word is the same in both, as often and in the same order.
func (p *parsed) liftFolded(s splice, n *yaml.Node, text []byte) (splice, error) {
	word := text[s.start:s.end]
	from, ok := p.offset(n.Line+1, 1)
	if !ok || len(word) == 0 || bytes.ContainsAny(word, " \t\r\n") {
		return splice{}, fmt.Errorf("%w: the value in the folded text at line %d is no word", ErrRefused, n.Line)
	}
	nth := bytes.Count(text[:s.start], word)
	for at := from; ; nth-- {
		i := bytes.Index(p.data[at:], word)
		if i < 0 {
			return splice{}, lost(n)
		}
		if at += i; nth == 0 {
			return splice{start: at, end: at + len(word), text: s.text}, nil
		}
		at += len(word)
	}
}

// liftQuoted turns a splice in the text of a quoted scalar into one of the file, inside the quotes.
func (p *parsed) liftQuoted(s splice, n *yaml.Node) (splice, error) {
	start, end, err := p.span(n)
	if err != nil {
		return splice{}, err
	}
	double := n.Style&yaml.DoubleQuotedStyle != 0
	text, offsets, ok := unquote(p.data[start:end], double)
	if !ok || text != n.Value || s.end >= len(offsets) {
		return splice{}, fmt.Errorf("%w: the quoted text at line %d was not understood", ErrRefused, n.Line)
	}
	out := splice{start: start + offsets[s.start], end: start + offsets[s.end]}
	switch {
	case double:
		quoted := doubleQuote(s.text)
		out.text = quoted[1 : len(quoted)-1]
	case printable(s.text):
		out.text = strings.ReplaceAll(s.text, "'", "''")
	default:
		return splice{}, fmt.Errorf("%w: the value %q does not fit into single quotes", ErrRefused, shorten(s.text))
	}
	return out, nil
}

// unquote decodes a quoted scalar, quotes included, and says of every byte of the text, and of its end, where it
// stands.
func unquote(raw []byte, double bool) (text string, offsets []int, ok bool) {
	var b strings.Builder
	put := func(s string, at int) {
		for range len(s) {
			offsets = append(offsets, at)
		}
		b.WriteString(s)
	}
	last := len(raw) - 1
	for i := 1; i < last; {
		c := raw[i]
		blanks := i
		for blanks < last && (raw[blanks] == ' ' || raw[blanks] == '\t') {
			blanks++
		}
		switch {
		case blanks < last && breakAt(raw[blanks:last]) > 0:
			next, breaks := foldAt(raw[:last], blanks)
			fold := " "
			if breaks > 1 {
				fold = strings.Repeat("\n", breaks-1)
			}
			put(fold, i)
			i = next
		case double && c == '\\':
			s, n := escapeAt(raw[i:last])
			if n == 0 {
				return "", nil, false
			}
			put(s, i)
			i += n
		case !double && c == '\'':
			put("'", i)
			i += 2
		default:
			_, size := utf8.DecodeRune(raw[i:last])
			put(string(raw[i:i+size]), i)
			i += size
		}
	}
	return b.String(), append(offsets, last), true
}

// foldAt goes over the line breaks of a quoted scalar, and the steps around them, and counts the breaks.
func foldAt(raw []byte, at int) (next, breaks int) {
	for at < len(raw) {
		n := breakAt(raw[at:])
		switch {
		case n > 0:
			breaks++
			at += n
		case raw[at] == ' ' || raw[at] == '\t':
			at++
		default:
			return at, breaks
		}
	}
	return at, breaks
}

// shortEscapes are the escapes of one letter in double quotes.
var shortEscapes = map[byte]string{
	'0': "\x00", 'a': "\a", 'b': "\b", 't': "\t", '\t': "\t", 'n': "\n", 'v': "\v", 'f': "\f", 'r': "\r", 'e': "\x1b",
	' ': " ",
	'"': `"`, '/': "/", '\\': `\`, 'N': "\u0085", '_': "\u00a0", 'L': "\u2028", 'P': "\u2029",
}

// escapeAt decodes the escape at the start of raw, and gives its length; zero if raw begins with no escape.
func escapeAt(raw []byte) (text string, length int) {
	if len(raw) < 2 {
		return "", 0
	}
	if s, ok := shortEscapes[raw[1]]; ok {
		return s, 2
	}
	if n := breakAt(raw[1:]); n > 0 {
		at := 1 + n
		for at < len(raw) && (raw[at] == ' ' || raw[at] == '\t') {
			at++
		}
		return "", at
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[raw[1]]
	if digits == 0 || len(raw) < 2+digits {
		return "", 0
	}
	r, err := strconv.ParseUint(string(raw[2:2+digits]), 16, 32)
	if err != nil {
		return "", 0
	}
	return string(rune(r)), 2 + digits
}
