package deliver

import (
	"strconv"
	"strings"

	"github.com/backstop-dev/backstop/reconcile"
)

// What providers say of a change, as lines that are added and removed. All of it is foreign.

const (
	// maxIncoming is how many open pull requests are read, and maxChanged of how many files of each.
	maxIncoming = 30
	maxChanged  = 100
)

// hunks reads the hunks of one file. It says false where they end too early, or are none.
func hunks(patch string, into *reconcile.FileChange) bool {
	h := hunk{into: into}
	for line := range strings.Lines(patch) {
		if !h.take(strings.TrimSuffix(line, "\n")) {
			return false
		}
	}
	return h.done()
}

// hunk is where a reader is: how many lines of before and after a hunk still has.
type hunk struct {
	into          *reconcile.FileChange
	before, after int
}

func (h *hunk) done() bool { return h.before == 0 && h.after == 0 }

// take reads one line.
func (h *hunk) take(line string) bool {
	line = strings.TrimSuffix(line, "\r")
	if h.done() {
		var ok bool
		switch {
		case strings.HasPrefix(line, "@@ "):
			h.before, h.after, ok = spans(line)
			return ok
		case strings.HasPrefix(line, `\`), line == "":
			return true
		}
		return false
	}
	switch {
	case strings.HasPrefix(line, "+") && h.after > 0:
		h.after--
		h.into.Added = append(h.into.Added, line[1:])
	case strings.HasPrefix(line, "-") && h.before > 0:
		h.before--
		h.into.Removed = append(h.into.Removed, line[1:])
	case (strings.HasPrefix(line, " ") || line == "") && h.before > 0 && h.after > 0:
		h.before--
		h.after--
	case strings.HasPrefix(line, `\`):
	default:
		return false
	}
	return true
}

// spans reads "@@ -1,3 +1,4 @@": how many lines before and after a hunk has.
func spans(line string) (before, after int, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 4 || fields[3] != "@@" {
		return 0, 0, false
	}
	count := func(field, sign string) (int, bool) {
		field, is := strings.CutPrefix(field, sign)
		_, n, more := strings.Cut(field, ",")
		if !more {
			return 1, is
		}
		v, err := strconv.Atoi(n)
		return v, is && err == nil && v >= 0
	}
	before, one := count(fields[1], "-")
	after, two := count(fields[2], "+")
	return before, after, one && two
}

// wholeDiff reads a diff of git of many files. It says false where it is not whole, or changes more than lines.
func wholeDiff(diff string) ([]reconcile.FileChange, bool) {
	var out []reconcile.FileChange
	whole := true
	h := hunk{}
	for line := range strings.Lines(diff) {
		line = strings.TrimSuffix(line, "\n")
		last := len(out) - 1
		switch {
		case !h.done():
			if !h.take(line) {
				return out, false
			}
		case strings.HasPrefix(line, "diff --git "):
			if len(out) == maxChanged {
				return out, false
			}
			out = append(out, reconcile.FileChange{})
		case last < 0:
			return nil, false
		case strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "):
			if name := pathOf(line[4:]); name != "" {
				out[last].File = name
			}
		case strings.HasPrefix(line, "rename "), strings.HasPrefix(line, "copy "), strings.HasPrefix(line, "Binary files "),
			strings.HasPrefix(line, "GIT binary patch"), strings.HasPrefix(line, "old mode "):
			whole = false
		case strings.HasPrefix(line, "@@ "):
			h.into = &out[last]
			if !h.take(line) {
				return out, false
			}
		}
	}
	return out, whole && h.done()
}

// pathOf is a path of a diff, without the a/ or b/ before it; empty for a file that is not there.
func pathOf(said string) string {
	said, _, _ = strings.Cut(said, "\t")
	if quoted, err := strconv.Unquote(said); err == nil {
		said = quoted
	}
	if said == "/dev/null" {
		return ""
	}
	_, path, _ := strings.Cut(said, "/")
	return path
}
