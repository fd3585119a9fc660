package gitrepo

import (
	"maps"
	"path"
	"slices"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// living leaves out the places of an image that nothing runs where others are run: a person's root is the whole
// repository, and people keep what they no longer run, as in a folder .archive. What .sourceignore files leave out Flux
// never sees; of the rest counts what Flux Kustomizations were seen to render.
func (l *locating) living(found []composed) ([]composed, error) {
	if !l.ofAnyRoot() {
		return found, nil
	}
	found, err := unless(found, l.ignored())
	if err != nil || len(l.units) < 2 {
		return found, err
	}
	rendered := map[string]bool{}
	for _, u := range l.units[1:] {
		for _, file := range slices.Concat(u.files.Paths, u.files.Values) {
			rendered[file] = true
		}
	}
	return unless(found, func(file string) (bool, error) { return !rendered[file], nil })
}

// ofAnyRoot reports whether a person asks about the whole repository, of which Flux renders some folders.
func (l *locating) ofAnyRoot() bool {
	return l.query.ByPerson && l.query.Root.Path == "" && !builtAsAWhole(l.files.Paths)
}

// unreached adds to a person's root the kustomizations that nothing leads to, where no Flux Kustomization says what is
// rendered: a folder with a kustomization hides those below it that it does not list, and other tools than Flux render
// each of them by itself.
func (l *locating) unreached(r *reach) error {
	files, err := l.yamlFiles(l.commit)
	if err != nil {
		return err
	}
	root := r.units[0]
	paths, values := map[string]bool{}, map[string]bool{}
	take := func(f manifest.Files) {
		for _, p := range f.Paths {
			paths[p] = true
		}
		for _, v := range f.Values {
			values[v] = true
		}
	}
	take(root.files)
	for _, f := range files {
		if paths[f.path] || !slices.Contains(manifest.Kustomizations, path.Base(f.path)) {
			continue
		}
		// What cannot be listed is no folder that anything renders.
		if found, err := r.graph.Closure(path.Dir(f.path)); err == nil {
			take(found)
		}
	}
	root.files.Paths, root.files.Values = slices.Sorted(maps.Keys(paths)), slices.Sorted(maps.Keys(values))
	return nil
}

// seen gives the places that count. Where Flux sees none of what was found, the image that runs stands in files to
// which no path of the repository leads, such as those of an ArtifactGenerator: all files are looked through.
func (l *locating) seen(found []composed) ([]composed, error) {
	if l.ofAnyRoot() {
		ignored := l.ignored()
		hidden := func(c composed) bool {
			out, err := ignored(c[0][0].File)
			return err == nil && out
		}
		if !slices.ContainsFunc(found, func(c composed) bool { return !hidden(c) }) {
			all, err := l.anywhere()
			if err != nil {
				return nil, err
			}
			found = all
		}
	}
	return l.living(found)
}

// unless leaves out the references of which each file is one that does not count, where any are left then.
func unless(found []composed, without func(file string) (bool, error)) ([]composed, error) {
	var left []composed
	for _, c := range found {
		for _, nodes := range c {
			out, err := without(nodes[0].File)
			if err != nil {
				return nil, err
			}
			if !out {
				left = append(left, c)
				break
			}
		}
	}
	if len(left) == 0 {
		return found, nil
	}
	return left, nil
}

// builtAsAWhole reports whether the root of a repository has a kustomization, so that what it lists is rendered.
func builtAsAWhole(files []string) bool {
	return slices.ContainsFunc(manifest.Kustomizations, func(name string) bool { return slices.Contains(files, name) })
}

// ignored tells what the .sourceignore files of the tree leave out.
func (l *locating) ignored() func(file string) (bool, error) {
	ignore := manifest.NewSourceIgnore(func(name string) ([]byte, error) {
		e, err := l.EntryAt(l.commit.Tree, name)
		if err != nil || !e.Regular() {
			return nil, err
		}
		data, _, err := l.Content(e.Hash)
		return data, err
	})
	return func(file string) (bool, error) { return ignore.LeavesOut(file, false) }
}
