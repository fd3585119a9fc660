package integration

import (
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// Tip is the newest commit of the deployed branch.
func (w *World) Tip() string {
	w.t.Helper()
	return w.git("rev-parse", fleet.Branch)
}

// File is a file's content at the tip.
func (w *World) File(path string) string {
	w.t.Helper()
	return w.git("show", fleet.Branch+":"+path) + "\n"
}

// git asks the bare repository. While no ref moves, the same question to its history has the same answer: what waits for
// a commit asks git itself only when there is one.
func (w *World) git(args ...string) string {
	w.t.Helper()
	state, err := gitserver.State(w.Repo)
	w.must(err)
	key := strings.Join(args, "\n")
	if known, ok := w.said.Load(key); ok && known.(answer).state == state {
		return known.(answer).text
	}
	text, err := w.Alice.Git(w.t.Context(), append([]string{"--git-dir=" + w.Repo}, args...)...)
	w.must(err)
	if after, err := gitserver.State(w.Repo); err != nil || after != state ||
		!slices.Contains([]string{"cat-file", "log", "rev-list", "rev-parse", "show"}, args[0]) {
		return text
	}
	w.said.Store(key, answer{state, text})
	return text
}

// answer is what git said of a state of the repository.
type answer struct {
	state [sha256.Size]byte
	text  string
}
