package manifest

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// meant finds what is written as a marker in a line, held or not.
var meant = regexp.MustCompile(`#[# \t]*(?:` + holdPrefix + `[^{]*)?` + meantStart)

// MisreadMarkers lists the comments of a file that are meant as markers and that image automation does not read, by
// line.
func MisreadMarkers(data []byte) ([]Misread, error) {
	p, err := parsePlain(data)
	if err != nil {
		return nil, err
	}
	w := &walker{merged: map[*yaml.Node][]entry{}, every: true}
	if err := w.documents(p.docs); err != nil {
		return nil, err
	}
	written := writtenMarkers(string(data))
	out := w.misread
	for _, m := range w.misread {
		take(&written, m)
	}
	for _, m := range w.read {
		take(&written, m)
	}
	texts := 0
	for _, root := range p.roots {
		texts += markersInText(root)
	}
	for _, m := range written {
		if m.Why = MisreadPlace; texts > 0 && !m.alone {
			m.Why = MisreadText
		}
		out = append(out, m.Misread)
	}
	if slices.ContainsFunc(p.roots, func(n *yaml.Node) bool { return n.Kind == yaml.SequenceNode }) {
		for _, m := range w.read {
			m.Why = MisreadList
			out = append(out, m)
		}
	}
	out = append(out, w.written...)
	slices.SortFunc(out, func(a, b Misread) int { return a.Line - b.Line })
	return out, nil
}

// writtenMarker is a marker as it stands in the text of a file.
type writtenMarker struct {
	Misread
	// alone means that the line holds nothing else.
	alone bool
}

// writtenMarkers finds the markers in a file's text. A line that is a comment as a whole, with a value before the
// marker, is one that somebody took out.
func writtenMarkers(text string) []writtenMarker {
	var out []writtenMarker
	line := 0
	for row := range strings.Lines(text) {
		line++
		at := meant.FindStringIndex(row)
		if at == nil || strings.HasPrefix(strings.TrimSpace(row[:at[0]]), "#") {
			continue
		}
		m := Misread{Line: line, Comment: strings.TrimSpace(row[at[0]:])}
		out = append(out, writtenMarker{Misread: m, alone: strings.TrimSpace(row[:at[0]]) == ""})
	}
	return out
}

// take takes the one out of a list that is nearest to a comment that a walk saw.
func take(list *[]writtenMarker, seen Misread) {
	best := -1
	for i, m := range *list {
		if strings.Contains(seen.Comment, m.Comment) && (best < 0 || apart(m, seen) < apart((*list)[best], seen)) {
			best = i
		}
	}
	if best >= 0 {
		*list = slices.Delete(*list, best, best+1)
	}
}

func apart(m writtenMarker, seen Misread) int { return max(m.Line-seen.Line, seen.Line-m.Line) }

// markersInText counts what looks like a marker in the text of values.
func markersInText(n *yaml.Node) int {
	count := 0
	if n.Kind == yaml.ScalarNode {
		count = len(meant.FindAllStringIndex(n.Value, -1))
	}
	for _, child := range n.Content {
		count += markersInText(child)
	}
	return count
}

// keyAndValue is a literal of a generator.
var keyAndValue = regexp.MustCompile(`^[A-Za-z0-9_.-]+=`)
