package manifest

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Misread is a comment that is meant as a marker and is none: image automation passes over it without a word.
type Misread struct {
	// Line of the comment, from 1.
	Line int
	// Comment as it stands.
	Comment string
	// Why image automation passes over it.
	Why MisreadReason
}

// MisreadReason is why image automation passes over a marker.
type MisreadReason string

// The reasons.
const (
	// MisreadName is a comment that names nothing that could be an ImagePolicy.
	MisreadName MisreadReason = "Name"
	// MisreadPlace is a comment that does not stand behind a value, on its line.
	MisreadPlace MisreadReason = "Place"
	// MisreadText is no comment, but part of the text of a value.
	MisreadText MisreadReason = "Text"
	// MisreadList is a comment in a file that is a list at its top: image automation passes over all of the file.
	MisreadList MisreadReason = "List"
	// MisreadKey is a comment behind KEY=VALUE. Image automation does read it, and writes over the key too.
	MisreadKey MisreadReason = "Key"
)

// meant finds what is written as a marker in a line, held or not.
var meant = regexp.MustCompile(`#[# \t]*(?:` + holdPrefix + `[^{]*)?` + meantStart)

// meantStart begins what is meant as a marker: people write the key in other letters, without its quotes or braces.
const meantStart = `(?:\{\s*["']?\$(?i:image-?policy)\b|["']?\$(?i:image-?policy)["']?\s*:)`

// MisreadMarkers lists what is meant as a marker in a file and is none, by line.
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
	// alone says that the line holds nothing else.
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

// comments takes note of a scalar's comments that are markers, or are meant as some.
func (w *walker) comments(n *yaml.Node, marked, literal bool) {
	comment := n.LineComment
	if comment == "" {
		comment = n.HeadComment
	}
	m := Misread{Line: n.Line, Comment: comment, Why: MisreadName}
	switch {
	case marked:
		w.read = append(w.read, m)
		if m.Why = MisreadKey; literal && keyAndValue.MatchString(n.Value) {
			w.written = append(w.written, m)
		}
	case isMisread(n.LineComment):
		w.misread = append(w.misread, m)
	}
}
