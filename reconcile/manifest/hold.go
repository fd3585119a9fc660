package manifest

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// WriteHold prefixes the comment of the node's marker, so that image automation leaves the node alone. A hold that is
// already there is replaced. A node without a marker is ErrRefused.
func WriteHold(data []byte, pointer string, m Mark) ([]byte, error) { return hold(data, pointer, &m) }

// ClearHold takes the prefix away: the marker is again exactly what it was. Without a hold nothing changes.
func ClearHold(data []byte, pointer string) ([]byte, error) { return hold(data, pointer, nil) }

// hold sets what stands before the JSON of a marker; nil for nothing.
func hold(data []byte, pointer string, m *Mark) ([]byte, error) {
	p, err := parse(data)
	if err != nil {
		return nil, err
	}
	places, err := p.places("")
	if err != nil {
		return nil, err
	}
	// A scalar under several pointers, through an anchor, has one marker.
	i := slices.IndexFunc(places, func(at place) bool { return at.Pointer == pointer })
	if i < 0 {
		return nil, fmt.Errorf("hold %s: %w", pointer, ErrNoNode)
	}
	at := places[i]
	if at.Policy == "" {
		return nil, fmt.Errorf("hold %s: %w: it has no marker", pointer, ErrRefused)
	}
	if m == nil && at.Held == nil {
		return slices.Clone(data), nil
	}
	start, end, err := p.comment(at.scalar)
	if err != nil {
		return nil, fmt.Errorf("hold %s: %w", pointer, err)
	}
	from, to, ok := holdSpan(string(data[start:end]))
	if !ok {
		return nil, fmt.Errorf("hold %s: %w: the marker's comment at line %d was not understood", pointer, ErrRefused,
			at.Line)
	}
	s := splice{start: start + from, end: start + to}
	if m != nil {
		s.text = m.prefix()
	}
	edited := apply(data, []splice{s})
	if err := p.verifyHold(edited, at, m); err != nil {
		return nil, fmt.Errorf("hold %s: %w", pointer, err)
	}
	return edited, nil
}

// holdSpan finds in a comment what stands between its #s and the JSON of its marker: the hold, or where one goes.
func holdSpan(comment string) (from, to int, ok bool) {
	to = strings.IndexByte(comment, '{')
	if to < 0 {
		return 0, 0, false
	}
	before := strings.TrimLeft(comment[:to], "#")
	from = to - len(strings.TrimLeft(before, " \t"))
	if hold := comment[from:to]; hold != "" && !strings.HasPrefix(hold, holdPrefix) {
		return 0, 0, false
	}
	return from, to, true
}

// verifyHold reads the file again and proves that only this marker's hold changed.
func (p *parsed) verifyHold(edited []byte, at place, m *Mark) error {
	after, err := parse(edited)
	if err != nil {
		return fmt.Errorf("%w: the edited file does not read: %w", ErrRefused, err)
	}
	changed := 0
	same := func(a, b *yaml.Node) bool {
		if a == at.scalar {
			was, _ := readMarker(a.LineComment, a.HeadComment)
			is, ok := readMarker(b.LineComment, b.HeadComment)
			changed++
			if !ok || was.policy != is.policy || was.suffix != is.suffix || !sameHold(is.held, m) {
				return false
			}
		} else if a.LineComment != b.LineComment || a.HeadComment != b.HeadComment || a.FootComment != b.FootComment {
			return false
		}
		return a.Kind == b.Kind && a.Tag == b.Tag && a.Value == b.Value && a.Style == b.Style && a.Anchor == b.Anchor
	}
	if len(after.roots) != len(p.roots) {
		return fmt.Errorf("%w: the hold would change the number of documents", ErrRefused)
	}
	for i, root := range p.roots {
		if bad := differs(root, after.roots[i], same); bad != nil {
			return fmt.Errorf("%w: the hold would change more than the marker, at line %d", ErrRefused, bad.Line)
		}
	}
	if changed != 1 {
		return fmt.Errorf("%w: the marker was not found again", ErrRefused)
	}
	return nil
}

// sameHold compares a hold that was read with the one that was meant.
func sameHold(got, want *Mark) bool {
	if got == nil || want == nil {
		return got == nil && want == nil
	}
	meant := readFields(want.prefix()[len(holdPrefix):])
	return got.Not == want.Not && got.Since.Equal(meant.Since) && got.Lift == meant.Lift
}
