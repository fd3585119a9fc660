package integration

import "github.com/backstop-dev/backstop/test/fleet"

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

// git asks the bare repository.
func (w *World) git(args ...string) string {
	w.t.Helper()
	text, err := w.said.Of(w.Repo, args, func(args []string) (string, error) {
		return w.Alice.Git(w.t.Context(), append([]string{"--git-dir=" + w.Repo}, args...)...)
	})
	w.must(err)
	return text
}
