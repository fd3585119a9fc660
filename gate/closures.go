package gate

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// closures lists what every kustomization reaches, and which folders another one includes.
func (b *builder) closures(names []string) (map[string]manifest.Files, map[string]bool) {
	closures, included := map[string]manifest.Files{}, map[string]bool{}
	for _, name := range names {
		dir := path.Dir(name)
		if !render.IsKustomization(name) {
			continue
		}
		if _, done := closures[dir]; done {
			continue
		}
		files, err := manifest.Closure(b.tree, dir)
		if err != nil {
			continue
		}
		closures[dir] = files
		for _, reached := range files.Paths {
			if in := path.Dir(reached); in != dir && render.IsKustomization(reached) {
				included[in] = true
			}
		}
	}
	return closures, included
}

func (b *builder) isComponent(dir string) bool {
	for _, base := range manifest.Kustomizations {
		if data, err := manifest.ReadFile(b.tree, path.Join(dir, base)); err == nil {
			return strings.Contains(string(data), "kind: Component")
		}
	}
	return false
}

// roots are the kustomizations to begin with, so that every one is reached: those that no other includes, and one of
// those that only include one another.
func (b *builder) roots(closures map[string]manifest.Files, included map[string]bool) []string {
	var out []string
	reached := map[string]bool{}
	for _, alone := range []bool{true, false} {
		for _, dir := range sortedKeys(closures) {
			if included[dir] == alone || reached[dir] || b.isComponent(dir) {
				continue
			}
			out = append(out, dir)
			for _, name := range closures[dir].Paths {
				reached[path.Dir(name)] = true
			}
		}
	}
	return out
}

// pathWords explains why there is no folder to build.
func pathWords(dir string, err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("this repository has no folder %q", dir)
	}
	return err.Error()
}

// withComponent adds the files of a component that a Flux Kustomization names.
func (b *builder) withComponent(files manifest.Files, o *sources.Object, dir, ref string) manifest.Files {
	fail := func(reason string) manifest.Files {
		files.Problems = append(files.Problems, manifest.Problem{File: o.File, Reason: reason})
		return files
	}
	if render.IsRemote(ref) {
		return fail(fmt.Sprintf("%q is remote: only files of this repository are read", ref))
	}
	more, err := manifest.Closure(b.tree, path.Join(dir, ref))
	if err != nil {
		return fail(fmt.Sprintf("component %q: %v", ref, err))
	}
	files.Paths = union(files.Paths, more.Paths)
	files.Values = union(files.Values, more.Values)
	files.Problems = append(files.Problems, more.Problems...)
	return files
}
