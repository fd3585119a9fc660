package manifest

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// verifyEdit reads the edited file again and proves that the planned scalars have their new values as text, and that
// everything else, comments included, is as it was.
func (p *parsed) verifyEdit(edited []byte, plan []edit) error {
	after, err := parse(edited)
	if err != nil {
		return fmt.Errorf("%w: the edited file does not read: %w", ErrRefused, err)
	}
	want := make(map[*yaml.Node]string, len(plan))
	inner := map[*yaml.Node][]edit{}
	for _, e := range plan {
		if e.at.outer != nil {
			inner[e.at.outer] = append(inner[e.at.outer], e)
			continue
		}
		want[e.at.scalar] = e.value
	}
	same := func(a, b *yaml.Node) bool {
		if edits, ok := inner[a]; ok {
			return b.Kind == a.Kind && b.Tag == a.Tag && b.Style == a.Style &&
				edits[0].at.inner.verifyEdit([]byte(b.Value), outermost(edits)) == nil
		}
		if value, ok := want[a]; ok {
			return b.Kind == yaml.ScalarNode && b.Value == value && b.Tag == "!!str" && b.Anchor == a.Anchor
		}
		return a.Kind == b.Kind && a.Tag == b.Tag && a.Value == b.Value && a.Style == b.Style && a.Anchor == b.Anchor
	}
	if len(after.roots) != len(p.roots) {
		return fmt.Errorf("%w: the edit would change the number of documents", ErrRefused)
	}
	var before, now []string
	for i, root := range p.roots {
		if bad := differs(root, after.roots[i], same); bad != nil {
			return fmt.Errorf("%w: the edit would change more than it should, at line %d", ErrRefused, bad.Line)
		}
		before, now = comments(root, before), comments(after.roots[i], now)
	}
	if !slices.Equal(before, now) {
		return fmt.Errorf("%w: the edit would change a comment", ErrRefused)
	}
	return nil
}

func outermost(edits []edit) []edit {
	list := slices.Clone(edits)
	for i := range list {
		list[i].at.inner, list[i].at.outer = nil, nil
	}
	return list
}

// differs walks two trees side by side and gives the first node of a that has no equal; nil where all are the same.
func differs(a, b *yaml.Node, same func(a, b *yaml.Node) bool) *yaml.Node {
	if !same(a, b) || len(a.Content) != len(b.Content) {
		return a
	}
	for i := range a.Content {
		if bad := differs(a.Content[i], b.Content[i], same); bad != nil {
			return bad
		}
	}
	return nil
}

// comments lists the comments of a tree, in order. To which of two neighbours the parser gives a comment may change
// where an empty value becomes a full one.
func comments(n *yaml.Node, list []string) []string {
	for _, c := range []string{n.HeadComment, n.LineComment, n.FootComment} {
		if c != "" {
			list = append(list, c)
		}
	}
	for _, child := range n.Content {
		list = comments(child, list)
	}
	return list
}
