package manifest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Edit gives the file with new values at some nodes, and every other byte as it was. It fails if a pointer finds
// nothing (ErrNoNode), if the value cannot be replaced in place or another node would change with it (ErrRefused), or
// if the result does not read as exactly the file with those values. A null that becomes text, and text that would read
// as a number, get quotes as needed. Nodes that share an anchor must be changed together and to the same value.
func Edit(data []byte, edits []Change) ([]byte, error) {
	if isEnvEdit(edits) {
		return editEnv(data, edits)
	}
	isRemoval := func(c Change) bool { return c.Remove }
	if !slices.ContainsFunc(edits, isRemoval) {
		return write(data, edits)
	}
	out, err := write(data, slices.DeleteFunc(slices.Clone(edits), isRemoval))
	for _, c := range edits {
		switch {
		case err != nil || !c.Remove:
		case c.Value != "":
			out, err = putInstead(out, c)
		default:
			out, err = remove(out, c.Pointer, edits)
		}
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// putInstead puts a tag back in the place of a digest, or a digest in that of a tag: the key with its value.
func putInstead(data []byte, c Change) ([]byte, error) {
	p, places, err := parsePlaces(data)
	if err != nil {
		return nil, err
	}
	refuse := func(why string) ([]byte, error) {
		return nil, fmt.Errorf("edit %s: %w: %s", c.Pointer, ErrRefused, why)
	}
	i := slices.IndexFunc(places, func(at place) bool { return at.Pointer == c.Pointer })
	if i < 0 {
		return nil, fmt.Errorf("edit %s: %w", c.Pointer, ErrNoNode)
	}
	at := places[i]
	key := keyInstead(at.Node)
	switch {
	case key == "" || at.key == nil || at.outer != nil || at.used != at.scalar || at.key.Style != 0:
		return refuse("its key cannot be replaced in place")
	case at.Policy != "":
		return refuse("its marker is of the key " + at.key.Value)
	}
	value, err := p.spliceFor(edit{at: at, value: c.Value})
	if err != nil {
		return nil, fmt.Errorf("edit %s: %w", c.Pointer, err)
	}
	from, ok := p.offset(at.key.Line, at.key.Column)
	if !ok || !bytes.HasPrefix(data[from:], []byte(at.key.Value)) {
		return nil, lost(at.key)
	}
	edited := apply(data, []splice{{start: from, end: from + len(at.key.Value), text: key}, value})
	_, after, err := parsePlaces(edited)
	if err != nil {
		return nil, err
	}
	there := c.Pointer[:strings.LastIndexByte(c.Pointer, '/')+1] + key
	k := slices.IndexFunc(after, func(at place) bool { return at.Pointer == there })
	if k < 0 || after[k].Value != c.Value {
		return refuse("the edit would change something else")
	}
	kept := func(list []place, pointer string) []place {
		return slices.DeleteFunc(slices.Clone(list), func(at place) bool { return at.Pointer == pointer })
	}
	if !slices.EqualFunc(kept(places, c.Pointer), kept(after, there), samePlace) {
		return refuse("the edit would change more than the value")
	}
	return edited, nil
}

// write gives the file with new values.
func write(data []byte, edits []Change) ([]byte, error) {
	p, err := parse(data)
	if err != nil {
		return nil, err
	}
	places, edits, err := p.placesFor(edits)
	if err != nil {
		return nil, err
	}
	plan, err := planEdits(places, edits)
	if err != nil {
		return nil, err
	}
	plan = slices.DeleteFunc(plan, func(e edit) bool { return e.value == e.at.Value })
	var splices []splice
	for _, e := range plan {
		s, err := p.spliceFor(e)
		if err != nil {
			return nil, fmt.Errorf("edit %s: %w", e.at.Pointer, err)
		}
		splices = append(splices, s)
	}
	if len(splices) == 0 {
		return slices.Clone(data), nil
	}
	slices.SortFunc(splices, func(a, b splice) int { return cmp.Compare(a.start, b.start) })
	edited := apply(data, splices)
	if err := p.verifyEdit(edited, plan); err != nil {
		return nil, err
	}
	return edited, nil
}

// edit is a new value for one scalar.
type edit struct {
	at    place
	value string
}

// planEdits finds the scalars to change, each once.
func planEdits(places []place, edits []Change) ([]edit, error) {
	index := make(map[string]int, len(places))
	for i, at := range places {
		index[at.Pointer] = i
	}
	values := map[*yaml.Node]string{}
	var plan []edit
	for _, c := range edits {
		i, ok := index[c.Pointer]
		if !ok {
			return nil, fmt.Errorf("edit %s: %w", c.Pointer, ErrNoNode)
		}
		at := places[i]
		before, twice := values[at.scalar]
		if twice && before != c.Value {
			return nil, fmt.Errorf("edit %s: %w: the same text would have to be %q and %q",
				c.Pointer, ErrRefused, shorten(before), shorten(c.Value))
		}
		if !twice {
			plan = append(plan, edit{at: at, value: c.Value})
		}
		values[at.scalar] = c.Value
		// The place of the scalar itself says more than that of an alias.
		if twice && at.used == at.scalar {
			for j := range plan {
				if plan[j].at.scalar == at.scalar {
					plan[j].at = at
				}
			}
		}
	}
	return plan, checkTogether(places, edits, values)
}

// checkTogether refuses an edit that would change a node that is not among the edits. What else uses the anchor of a
// node, or defines it, such as an annotation with the version, is no node and changes with it: it did so with the edit
// that is undone.
func checkTogether(places []place, edits []Change, values map[*yaml.Node]string) error {
	asked := make(map[string]bool, len(edits))
	for _, c := range edits {
		asked[c.Pointer] = true
	}
	for _, at := range places {
		if value, ok := values[at.scalar]; ok && !asked[at.Pointer] && at.Value != value {
			return fmt.Errorf("%w: %s has its value from the same anchor and would change too", ErrRefused, at.Pointer)
		}
	}
	return nil
}

// spliceFor reports which bytes an edit replaces by what.
func (p *parsed) spliceFor(e edit) (splice, error) {
	if e.at.outer != nil {
		inner := e
		inner.at.inner, inner.at.outer = nil, nil
		s, err := e.at.inner.spliceFor(inner)
		if err != nil {
			return splice{}, err
		}
		return p.lift(s, e.at.outer, e.at.inner.data)
	}
	n := e.at.scalar
	if n.Style&yaml.TaggedStyle != 0 && n.Tag != "!!str" {
		return splice{}, fmt.Errorf("%w: the value at line %d is tagged %s", ErrRefused, n.Line, n.Tag)
	}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return p.inBlock(n, e.value)
	}
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 && strings.ContainsAny(n.Value, "\n\t") {
		return p.liftQuoted(splice{end: len(n.Value), text: e.value}, n)
	}
	start, end, err := p.span(n)
	if err != nil {
		return splice{}, err
	}
	text, err := encode(e.value, n.Style)
	if err != nil {
		return splice{}, err
	}
	if n.Style == 0 && n.Tag == "!!str" && !staysText(n.Value) && isPlain(e.value) {
		// A text around an image needs quotes no more than it did before; reading the file again proves it.
		text = e.value
	}
	if start == end {
		return p.fill(n, start, text)
	}
	return splice{start: start, end: end, text: text}, nil
}

// fill gives an empty value a text, one blank behind its key.
func (p *parsed) fill(n *yaml.Node, start int, text string) (splice, error) {
	for start > 0 && (p.data[start-1] == ' ' || p.data[start-1] == '\t') {
		start--
	}
	if start == 0 || isBlankOrBreak(p.data[start-1:]) || strings.IndexByte("{[,", p.data[start-1]) >= 0 {
		return splice{}, lost(n)
	}
	return splice{start: start, end: start, text: " " + text}, nil
}

// lift turns a splice in the text of a literal block (|), or in quotes, into one of the file.
func (p *parsed) lift(s splice, block *yaml.Node, text []byte) (splice, error) {
	if block.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		return p.liftQuoted(s, block)
	}
	if block.Style&yaml.FoldedStyle != 0 {
		return p.liftFolded(s, block, text)
	}
	if block.Style&yaml.LiteralStyle == 0 {
		return splice{}, fmt.Errorf("%w: the YAML at line %d is not in a literal block (|)", ErrRefused, block.Line)
	}
	before := string(text[:s.start])
	line := strings.Count(before, "\n")
	lineStart := strings.LastIndexByte(before, '\n') + 1
	lineText, _, _ := strings.Cut(string(text[lineStart:]), "\n")
	if s.end > lineStart+len(lineText) {
		return splice{}, fmt.Errorf("%w: the value spans several lines", ErrRefused)
	}
	at, ok := p.offset(block.Line+1+line, 1)
	if !ok {
		return splice{}, lost(block)
	}
	raw := string(p.data[at:p.lineEnd(at)])
	indent := len(raw) - len(lineText)
	if indent < 0 || strings.Trim(raw[:indent], " ") != "" || raw[indent:] != lineText {
		return splice{}, lost(block)
	}
	shift := at + indent - lineStart
	return splice{start: s.start + shift, end: s.end + shift, text: s.text}, nil
}
