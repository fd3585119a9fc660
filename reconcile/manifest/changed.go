package manifest

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Changed compares two versions of a file: the image nodes that differ, and whether nothing else does. Formatting,
// comments and the order of keys and documents do not count; the order of lists does. Empty data is an absent file. An
// error wraps what Nodes gives for the version that cannot be read.
func Changed(before, after []byte) ([]Delta, bool, error) {
	a, err := newVersion(before)
	if err != nil {
		return nil, false, fmt.Errorf("read the version before: %w", err)
	}
	b, err := newVersion(after)
	if err != nil {
		return nil, false, fmt.Errorf("read the version after: %w", err)
	}
	deltas := deltasOf(a, b)
	c := &comparison{a: a, b: b, equal: map[[2]*yaml.Node]bool{}}
	return deltas, c.documents(a.parsed, b.parsed), nil
}

// version is one version of a file, read for a comparison.
type version struct {
	*parsed
	walker *walker
	places []place
	// images are the scalars that are nodes, inner the YAML inside scalars that has some.
	images map[*yaml.Node]bool
	inner  map[*yaml.Node]*parsed
}

func newVersion(data []byte) (*version, error) {
	p, err := parse(data)
	if err != nil {
		return nil, err
	}
	places, err := p.places("")
	if err != nil {
		return nil, err
	}
	v := &version{
		parsed: p, places: places, walker: &walker{merged: map[*yaml.Node][]entry{}},
		images: make(map[*yaml.Node]bool, len(places)), inner: map[*yaml.Node]*parsed{},
	}
	for _, at := range places {
		v.images[at.scalar] = true
		if at.outer != nil {
			v.inner[at.outer] = at.inner
		}
	}
	return v, nil
}

func deltasOf(a, b *version) []Delta {
	now := make(map[string]*Node, len(b.places))
	for i := range b.places {
		now[b.places[i].Pointer] = &b.places[i].Node
	}
	var deltas []Delta
	was := make(map[string]bool, len(a.places))
	for i := range a.places {
		before := &a.places[i].Node
		was[before.Pointer] = true
		if after := now[before.Pointer]; after == nil || after.Value != before.Value {
			deltas = append(deltas, Delta{Pointer: before.Pointer, Before: before, After: after})
		}
	}
	for i := range b.places {
		if after := &b.places[i].Node; !was[after.Pointer] {
			deltas = append(deltas, Delta{Pointer: after.Pointer, After: after})
		}
	}
	return deltas
}

// comparison walks two versions side by side and leaves the images out.
type comparison struct {
	a, b *version
	// equal remembers what aliases stand for. Each version was walked before, within maxShared.
	equal map[[2]*yaml.Node]bool
}

// documents compares files by the names of their documents.
func (c *comparison) documents(a, b *parsed) bool {
	if len(a.docs) != len(b.docs) {
		return false
	}
	byID := make(map[string]*yaml.Node, len(b.docs))
	for _, doc := range b.docs {
		byID[doc.id] = doc.root
	}
	for _, doc := range a.docs {
		if other := byID[doc.id]; other == nil || !c.same(doc.root, other) {
			return false
		}
	}
	return true
}

// same reports whether two values are the same apart from the images in them.
func (c *comparison) same(a, b *yaml.Node) bool {
	shared := a.Kind == yaml.AliasNode || b.Kind == yaml.AliasNode
	a, b = resolve(a), resolve(b)
	pair := [2]*yaml.Node{a, b}
	if shared {
		if known, ok := c.equal[pair]; ok {
			return known
		}
	}
	result := c.sameValue(a, b)
	if shared {
		c.equal[pair] = result
	}
	return result
}

func (c *comparison) sameValue(a, b *yaml.Node) bool {
	if a.Kind != b.Kind {
		return false
	}
	switch a.Kind {
	case yaml.MappingNode:
		return c.sameMapping(a, b)
	case yaml.SequenceNode:
		if len(a.Content) != len(b.Content) {
			return false
		}
		for i := range a.Content {
			if !c.same(a.Content[i], b.Content[i]) {
				return false
			}
		}
		return true
	}
	if c.a.images[a] && c.b.images[b] {
		return true
	}
	if inner, other := c.a.inner[a], c.b.inner[b]; inner != nil && other != nil {
		return c.documents(inner, other)
	}
	return a.Tag == b.Tag && scalarText(a) == scalarText(b)
}

func (c *comparison) sameMapping(a, b *yaml.Node) bool {
	was, is := c.a.walker.entries(a), c.b.walker.entries(b)
	now := make(map[string]*yaml.Node, len(is))
	left := 0
	for _, e := range is {
		now[e.key] = e.value
		if !c.b.images[resolve(e.value)] {
			left++
		}
	}
	for _, e := range was {
		value, ok := now[e.key]
		image := c.a.images[resolve(e.value)]
		switch {
		case !ok && image:
			continue
		case !ok:
			return false
		case image && resolve(value).Kind == yaml.ScalarNode:
			// Text that is no image any more, such as an empty one, still stands where one was.
			if !c.b.images[resolve(value)] {
				left--
			}
			continue
		case c.b.images[resolve(value)]:
			if resolve(e.value).Kind != yaml.ScalarNode {
				return false
			}
			continue
		}
		if !c.same(e.value, value) {
			return false
		}
		left--
	}
	return left == 0
}
