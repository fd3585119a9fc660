package gitrepo

import (
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
)

// maxMerged bounds the lines of a file that is merged.
const maxMerged = 5000

// hunk replaces lines [from, to) of a base.
type hunk struct {
	from, to int
	lines    []string
}

// merge makes both changes of a base, as git merge does: it says false where they touch each other.
func merge(base, ours, theirs []byte) ([]byte, bool) {
	b, o, t := linesOf(base), linesOf(ours), linesOf(theirs)
	if max(len(b), len(o), len(t)) > maxMerged {
		return nil, false
	}
	mine, yours := hunksOf(b, o), hunksOf(b, t)
	var out strings.Builder
	at := 0
	put := func(h hunk) {
		for _, line := range b[at:h.from] {
			out.WriteString(line)
		}
		for _, line := range h.lines {
			out.WriteString(line)
		}
		at = h.to
	}
	for len(mine) > 0 || len(yours) > 0 {
		switch {
		case len(yours) == 0 || len(mine) > 0 && mine[0].to < yours[0].from:
			put(mine[0])
			mine = mine[1:]
		case len(mine) == 0 || yours[0].to < mine[0].from:
			put(yours[0])
			yours = yours[1:]
		case mine[0].from == yours[0].from && mine[0].to == yours[0].to && slices.Equal(mine[0].lines, yours[0].lines):
			put(mine[0])
			mine, yours = mine[1:], yours[1:]
		default:
			return nil, false
		}
	}
	put(hunk{from: len(b), to: len(b)})
	return []byte(out.String()), true
}

func linesOf(data []byte) []string { return slices.Collect(strings.Lines(string(data))) }

// hunksOf are what makes a base another text, in order.
func hunksOf(base, other []string) []hunk {
	var out []hunk
	m := difflib.NewMatcherWithJunk(base, other, false, nil)
	for _, c := range m.GetOpCodes() {
		if c.Tag != 'e' {
			out = append(out, hunk{c.I1, c.I2, other[c.J1:c.J2]})
		}
	}
	return out
}
