package gitrepo

import (
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// living leaves out the places of an image that nothing runs where others are run: a person's root is the whole
// repository, and people keep what they no longer run, as in a folder .archive. What .sourceignore leaves out Flux
// never sees; of the rest counts what Flux Kustomizations were seen to render.
func (l *locating) living(found []composed) ([]composed, error) {
	if !l.query.ByPerson || l.query.Root.Path != "" || builtAsAWhole(l.files.Paths) {
		return found, nil
	}
	ignored, err := l.ignored()
	if err != nil {
		return nil, err
	}
	found = unless(found, ignored)
	if len(l.units) < 2 {
		return found, nil
	}
	rendered := map[string]bool{}
	for _, u := range l.units[1:] {
		for _, file := range slices.Concat(u.files.Paths, u.files.Values) {
			rendered[file] = true
		}
	}
	return unless(found, func(file string) bool { return !rendered[file] }), nil
}

// unless leaves out the references of which each file is one that does not count, where any are left then.
func unless(found []composed, without func(file string) bool) []composed {
	left := slices.DeleteFunc(slices.Clone(found), func(c composed) bool {
		return !slices.ContainsFunc(c, func(nodes []manifest.Node) bool { return !without(nodes[0].File) })
	})
	if len(left) == 0 {
		return found
	}
	return left
}

// builtAsAWhole reports whether the root of a repository has a kustomization, so that what it lists is rendered.
func builtAsAWhole(files []string) bool {
	return slices.ContainsFunc(manifest.Kustomizations, func(name string) bool { return slices.Contains(files, name) })
}

// ignored reads which files the .sourceignore at the root leaves out.
func (l *locating) ignored() (func(file string) bool, error) {
	none := func(string) bool { return false }
	e, err := l.EntryAt(l.commit.Tree, ".sourceignore")
	if err != nil || !e.Regular() {
		return none, err
	}
	data, ok, err := l.Content(e.Hash)
	if err != nil || !ok {
		return none, err
	}
	var patterns []gitignore.Pattern
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			patterns = append(patterns, gitignore.ParsePattern(line, nil))
		}
	}
	m := gitignore.NewMatcher(patterns)
	return func(file string) bool {
		parts := strings.Split(file, "/")
		for i := range parts {
			if m.Match(parts[:i+1], i+1 < len(parts)) {
				return true
			}
		}
		return false
	}, nil
}
