package manifest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// remove takes a node out of a file: with the entry of images that it is in where all that this says goes, else alone.
func remove(data []byte, pointer string, edits []Change) ([]byte, error) {
	entry := pointer[:strings.LastIndexByte(pointer, ']')+1]
	if !strings.Contains(entry, "images[name=") {
		return removeKey(data, pointer)
	}
	nodes, err := Nodes("", data)
	if err != nil {
		return nil, err
	}
	stays := func(n Node) bool {
		return strings.HasPrefix(n.Pointer, entry+"/") &&
			!slices.ContainsFunc(edits, func(c Change) bool { return c.Remove && c.Pointer == n.Pointer })
	}
	if slices.ContainsFunc(nodes, stays) {
		return removeKey(data, pointer)
	}
	return removeEntry(data, pointer)
}

// samePlace reports whether two versions of a file say the same in a place.
func samePlace(a, b place) bool {
	return a.Pointer == b.Pointer && a.Value == b.Value && a.Policy == b.Policy
}

// parsePlaces reads a file and every place in it, those in the text of a patch too.
func parsePlaces(data []byte) (*parsed, []place, error) {
	p, err := parse(data)
	if err != nil {
		return nil, nil, err
	}
	places, err := p.allPlaces("")
	return p, places, err
}

// removeKey takes a key and its value out of a file, the line that they stand on alone. Reading the file again proves
// that nothing else went.
func removeKey(data []byte, pointer string) ([]byte, error) {
	p, places, err := parsePlaces(data)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(places, func(at place) bool { return at.Pointer == pointer })
	if i < 0 {
		return data, nil
	}
	at := places[i]
	if at.outer != nil || at.key == nil || at.used != at.scalar || at.scalar.Line != at.key.Line {
		return nil, fmt.Errorf("remove %s: %w: its key and value do not stand on a line of their own", pointer, ErrRefused)
	}
	first := p.emptied(at.key)
	from, _ := p.offset(first.Line, 1)
	to, ok := p.offset(at.key.Line+1, 1)
	if !ok {
		to = len(data)
	}
	if key, ok := p.offset(first.Line, first.Column); !ok || len(bytes.TrimSpace(data[from:key])) > 0 {
		return nil, fmt.Errorf("remove %s: %w: more stands on its line", pointer, ErrRefused)
	}
	edited := slices.Concat(data[:from], data[to:])
	if err := onlyWithout(places, edited, pointer); err != nil {
		return nil, fmt.Errorf("remove %s: %w", pointer, err)
	}
	return edited, nil
}

// emptied is the key that goes with another one: that itself, or a key above it under which nothing else stands.
func (p *parsed) emptied(key *yaml.Node) *yaml.Node {
	var path []*yaml.Node
	for _, root := range p.roots {
		if path = pathTo(root, key); path != nil {
			break
		}
	}
	for i := len(path) - 1; i > 0; i-- {
		mapping, above := path[i], path[i-1]
		if mapping.Kind != yaml.MappingNode || len(mapping.Content) != 2 || above.Kind != yaml.MappingNode {
			break
		}
		k := slices.Index(above.Content, mapping)
		if mapping.Style&yaml.FlowStyle != 0 || mapping.Anchor != "" || above.Content[k-1].Line == mapping.Line {
			break
		}
		key = above.Content[k-1]
	}
	return key
}

// removeEntry takes an entry of a list that a pointer leads into out of a file, whole lines of it, and the list with
// its last entry. Reading the file again proves that nothing else went.
func removeEntry(data []byte, pointer string) ([]byte, error) {
	end := strings.LastIndexByte(pointer, ']')
	if end < 0 {
		return nil, fmt.Errorf("remove %s: %w: it is no entry of a list", pointer, ErrRefused)
	}
	prefix := pointer[:end+1]
	p, places, err := parsePlaces(data)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(places, func(at place) bool { return strings.HasPrefix(at.Pointer, prefix) })
	if i < 0 {
		// It is gone already, with another node of the entry.
		return data, nil
	}
	if places[i].outer != nil || places[i].key == nil {
		return nil, fmt.Errorf("remove %s: %w: it is in the text of a patch", pointer, ErrRefused)
	}
	from, to, err := p.entrySpan(places[i].key)
	if err != nil {
		return nil, fmt.Errorf("remove %s: %w", pointer, err)
	}
	edited := slices.Concat(data[:from], data[to:])
	if err := onlyWithout(places, edited, prefix); err != nil {
		return nil, fmt.Errorf("remove %s: %w", pointer, err)
	}
	return edited, nil
}

// entrySpan is where the list entry stands that a key is in, whole lines of it where the list is not written in one; or
// the whole list where it is the only one.
func (p *parsed) entrySpan(key *yaml.Node) (from, to int, err error) {
	var path []*yaml.Node
	for _, root := range p.roots {
		if path = pathTo(root, key); path != nil {
			break
		}
	}
	if len(path) < 3 || path[len(path)-2].Kind != yaml.SequenceNode {
		return 0, 0, fmt.Errorf("%w: it is no entry of a list", ErrRefused)
	}
	entry, list, above := path[len(path)-1], path[len(path)-2], path[len(path)-3]
	first, last := entry.Line, lastLine(entry)
	switch flow := list.Style&yaml.FlowStyle != 0; {
	case flow && len(list.Content) > 1:
		return p.flowSpan(entry, list)
	case flow && above.Style&yaml.FlowStyle != 0, !flow && entry.Style&yaml.FlowStyle != 0 && last != entry.Line:
		return 0, 0, fmt.Errorf("%w: the list at line %d is written in one line", ErrRefused, list.Line)
	case flow:
		if last, err = p.closing(list); err != nil {
			return 0, 0, err
		}
	}
	if len(list.Content) == 1 {
		for i := 0; i+1 < len(above.Content); i += 2 {
			if above.Content[i+1] == list {
				first = above.Content[i].Line
			}
		}
	}
	from, _ = p.offset(first, 1)
	to, ok := p.offset(last+1, 1)
	if !ok {
		to = len(p.data)
	}
	return from, to, nil
}

// closing is the line on which a list in brackets ends. Nothing may follow on it but a comment.
func (p *parsed) closing(list *yaml.Node) (line int, err error) {
	_, end, ok := p.bracketed(list)
	if !ok {
		return 0, lost(list)
	}
	if rest := bytes.TrimSpace(p.data[end:p.lineEnd(end)]); len(rest) > 0 && rest[0] != '#' {
		return 0, fmt.Errorf("%w: more stands behind the list at line %d", ErrRefused, list.Line)
	}
	return list.Line + bytes.Count(p.data[:end], []byte("\n")) - bytes.Count(p.data[:p.start(list)], []byte("\n")), nil
}

// flowSpan is where an entry of a list in brackets stands, with the comma before it, or behind it for the first.
func (p *parsed) flowSpan(entry, list *yaml.Node) (from, to int, err error) {
	from, to, ok := p.bracketed(entry)
	if !ok {
		return 0, 0, lost(entry)
	}
	if entry != list.Content[0] {
		comma := bytes.LastIndexByte(p.data[:from], ',')
		if comma < 0 || len(bytes.TrimSpace(p.data[comma+1:from])) > 0 {
			return 0, 0, lost(entry)
		}
		return comma, to, nil
	}
	return from, p.start(list.Content[1]), nil
}

// start is where a node in brackets or braces begins.
func (p *parsed) start(n *yaml.Node) int {
	at, ok := p.offset(n.Line, n.Column)
	if !ok {
		return 0
	}
	return p.skipProperties(at, n)
}

// bracketed is where what stands in brackets or braces begins and ends.
func (p *parsed) bracketed(n *yaml.Node) (from, to int, ok bool) {
	from = p.start(n)
	depth := 0
	for at := from; at < len(p.data); at++ {
		switch c := p.data[at]; c {
		case '[', '{':
			depth++
		case ']', '}':
			if depth--; depth == 0 {
				return from, at + 1, true
			}
		case '"', '\'':
			size := quoted(p.data[at:], c)
			if size == 0 {
				return 0, 0, false
			}
			at += size - 1
		}
		if depth == 0 {
			return 0, 0, false
		}
	}
	return 0, 0, false
}

// pathTo lists the nodes from a root down to the one that holds a node; nil where it is not below.
func pathTo(root, node *yaml.Node) []*yaml.Node {
	for _, child := range root.Content {
		if child == node {
			return []*yaml.Node{root}
		}
		if below := pathTo(child, node); below != nil {
			return append([]*yaml.Node{root}, below...)
		}
	}
	return nil
}

// lastLine is the last line on which something of a node begins.
func lastLine(n *yaml.Node) int {
	line := n.Line
	for _, child := range n.Content {
		line = max(line, lastLine(child))
	}
	return line
}

// onlyWithout proves that an edited file has all scalars of before but those below a pointer.
func onlyWithout(before []place, edited []byte, prefix string) error {
	after, err := parse(edited)
	if err != nil {
		return fmt.Errorf("%w: the edited file does not read: %w", ErrRefused, err)
	}
	places, err := after.allPlaces("")
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(before), func(at place) bool { return strings.HasPrefix(at.Pointer, prefix) })
	if !slices.EqualFunc(kept, places, samePlace) {
		return fmt.Errorf("%w: the edit would change more than the entry", ErrRefused)
	}
	return nil
}

// IsEntry reports whether a node is of an entry of kustomize's images, which changes an image that something else says.
func IsEntry(n Node) bool {
	return n.Container != "" && n.Part != PartImage && strings.Contains(n.Pointer, "images[name=")
}

// keyInstead is the key that stands for a digest where a node's own is that of a tag, and the other way round; empty
// for keys that are none of both.
func keyInstead(n Node) string {
	switch key := NameAt(n.Pointer); {
	case key == "digest" && IsEntry(n):
		return "newTag"
	case key == "digest":
		return "tag"
	case key == "newTag" || key == "tag":
		return "digest"
	}
	return ""
}
