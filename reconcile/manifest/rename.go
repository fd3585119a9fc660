package manifest

import "strings"

// textGap stands in a selector for what is meant of a text.
const textGap = "…"

// SaidItself gives the part of an earlier text in whose place the text of a node has a variable now, as a node. It says
// false where the rest of the two differs.
//
//	reg.example.org/app:${TAG}    reg.example.org/app:v1    v1
func SaidItself(now, was Node, variable string) (Node, bool) {
	before, rest, ok := strings.Cut(now.Value, "${"+variable)
	_, after, closed := strings.Cut(rest, "}")
	if !ok || !closed || strings.Contains(before+after+was.Value, "$") || strings.Contains(before+after, textGap) {
		return Node{}, false
	}
	if before+after == "" {
		return was, was.Value != ""
	}
	selector := before + textGap + after
	if _, _, ok := selectText(was.Value, selector); !ok {
		return Node{}, false
	}
	return selected(was, selector), true
}

// OtherName is the name that a variable had in an earlier text, which differs from a later one in nothing else.
func OtherName(now, was, variable string) (string, bool) {
	before, rest, ok := strings.Cut(now, "${"+variable)
	there, found := strings.CutPrefix(was, before+"${")
	if !ok || !found {
		return "", false
	}
	end := strings.IndexFunc(there, func(r rune) bool { return !isNameRune(r) })
	if end <= 0 || there[:end] == variable {
		return "", false
	}
	other := there[:end]
	return other, rest == there[end:] || strings.ReplaceAll(now, "${"+variable, "${"+other) == was
}

func isNameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
}

// UnderNames adds to the nodes of variables those under the names that they have where they stand: one that was renamed
// since keeps the name of today.
func UnderNames(vars []Node) []Node {
	out := vars
	for _, n := range vars {
		if name := NameAt(n.Pointer); name != n.Variable && n.Pointer != "" {
			n.Variable = name
			out = append(out[:len(out):len(out)], n)
		}
	}
	return out
}
