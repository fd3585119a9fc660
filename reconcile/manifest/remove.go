package manifest

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// removeEntry takes an entry of a list that a pointer leads into out of a file, whole lines of it, and the list with
// its last entry. Reading the file again proves that nothing else went.
func removeEntry(data []byte, pointer string) ([]byte, error) {
	end := strings.LastIndexByte(pointer, ']')
	if end < 0 {
		return nil, fmt.Errorf("remove %s: %w: it is no entry of a list", pointer, ErrRefused)
	}
	prefix := pointer[:end+1]
	p, err := parse(data)
	if err != nil {
		return nil, err
	}
	places, err := p.allPlaces("")
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
	first, last, err := p.entryLines(places[i].key)
	if err != nil {
		return nil, fmt.Errorf("remove %s: %w", pointer, err)
	}
	from, _ := p.offset(first, 1)
	to, ok := p.offset(last+1, 1)
	if !ok {
		to = len(data)
	}
	edited := slices.Concat(data[:from], data[to:])
	if err := onlyWithout(places, edited, prefix); err != nil {
		return nil, fmt.Errorf("remove %s: %w", pointer, err)
	}
	return edited, nil
}

// entryLines are the lines of the list entry that a key stands in; of the whole list where it is the only one.
func (p *parsed) entryLines(key *yaml.Node) (first, last int, err error) {
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
	if list.Style&yaml.FlowStyle != 0 || entry.Style&yaml.FlowStyle != 0 && lastLine(entry) != entry.Line {
		return 0, 0, fmt.Errorf("%w: the list at line %d is written in one line", ErrRefused, list.Line)
	}
	first, last = entry.Line, lastLine(entry)
	if len(list.Content) == 1 {
		for i := 0; i+1 < len(above.Content); i += 2 {
			if above.Content[i+1] == list {
				first = above.Content[i].Line
			}
		}
	}
	return first, last, nil
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
	same := slices.EqualFunc(kept, places, func(a, b place) bool {
		return a.Pointer == b.Pointer && a.Value == b.Value && a.Policy == b.Policy
	})
	if !same {
		return fmt.Errorf("%w: the edit would change more than the entry", ErrRefused)
	}
	return nil
}

// IsEntry says whether a node is of an entry of kustomize's images, which changes an image that something else says.
func IsEntry(n Node) bool {
	return n.Container != "" && n.Part != PartImage && strings.Contains(n.Pointer, "images[name=")
}
