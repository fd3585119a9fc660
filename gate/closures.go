package gate

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/backstop-dev/backstop/gate/report"
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

// folderOf is the folder that a Flux Kustomization renders. by is the unit that renders its object, or nil for a file
// that has it.
func (b *builder) folderOf(k *kustomizev1.Kustomization, o *sources.Object, by *unit) string {
	dir := manifest.Folder(k.Spec.Path)
	if !strings.Contains(dir, "${") {
		return dir
	}
	from := path.Dir(o.File)
	if by != nil {
		from = by.dir
	}
	return cmp.Or(manifest.MeantFolder(b.tree, dir, from), dir)
}

// noFolder is the finding about a Flux Kustomization of which there is no folder to build. It is an error where what
// renders it has Flux look for the folder in this very source.
func (b *builder) noFolder(k *kustomizev1.Kustomization, o *sources.Object, by *unit, err error) report.Finding {
	f := report.Finding{
		Rule: report.RuleNotBuilt, Level: report.LevelNote, File: o.File, Line: o.LineOf("spec", "path"),
		Fix: "nothing, if its source is another repository; otherwise correct spec.path",
	}
	why := err.Error()
	switch missing := errors.Is(err, fs.ErrNotExist); {
	case missing && strings.Contains(k.Spec.Path, "${"):
		why = fmt.Sprintf("a variable in its path %q is known to the cluster only", k.Spec.Path)
		f.Fix = "nothing; what is in the folders is looked at as it stands there"
	case missing && b.leftOut(manifest.Folder(k.Spec.Path)):
		why, f.Level, f.Fix = sparseWithout(k.Spec.Path), report.LevelUnknown, checkTheCommit
	case missing:
		why = fmt.Sprintf("this repository has no folder %q", k.Spec.Path)
		if b.sameSource(k, by) {
			f.Rule, f.Level, f.Fix = report.RuleBuild, report.LevelError, "correct spec.path"
			why += ", and what renders the Kustomization has the same source: Flux cannot apply it"
		}
	}
	f.Message = fmt.Sprintf("%s is not built: %s", o, why)
	return f
}

// sameSource reports whether a Kustomization has the source of the one that renders it, which is known to be this
// repository and nothing else.
func (b *builder) sameSource(k *kustomizev1.Kustomization, by *unit) bool {
	if by == nil || by.flux == nil || by.rendered == nil || !b.surelyOurs(k.Spec.SourceRef.Name) {
		return false
	}
	at := func(k *kustomizev1.Kustomization) kustomizev1.CrossNamespaceSourceReference {
		ref := k.Spec.SourceRef
		ref.APIVersion, ref.Namespace = "", cmp.Or(ref.Namespace, k.Namespace)
		return ref
	}
	return at(k) == at(by.flux)
}

// withComponent adds the files of a component that a Flux Kustomization names.
func (b *builder) withComponent(files manifest.Files, o *sources.Object, dir, ref string) manifest.Files {
	fail := func(p manifest.Problem) manifest.Files {
		p.File, p.Ref = o.File, ref
		files.Problems = append(files.Problems, p)
		return files
	}
	if render.IsRemote(ref) {
		return fail(manifest.Problem{Remote: true, Unfollowed: true,
			Why: fmt.Sprintf("%q is remote: only files of this repository are read", ref)})
	}
	more, err := manifest.Closure(b.tree, path.Join(dir, ref))
	if err != nil {
		return fail(manifest.Problem{Why: fmt.Sprintf("component %q: %v", ref, err)})
	}
	files.Paths = union(files.Paths, more.Paths)
	files.Values = union(files.Values, more.Values)
	files.Problems = append(files.Problems, more.Problems...)
	return files
}
