package render

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// A search for what changed one object need not render each commit that changes another one. What stands in a file of
// plain resources reaches other objects only by its names, as long as nothing copies values out of it: then a commit
// that changes such files, and none of their names, leaves the object as it was. Whatever is in doubt is rendered.

// copies reports whether a kustomization may make one object of another one's contents.
func copies(k *types.Kustomization) bool {
	old := len(k.Vars) + len(k.PatchesStrategicMerge) + len(k.PatchesJson6902) //nolint:staticcheck // old files have them
	return old+len(k.Replacements)+len(k.Configurations)+len(k.Crds)+len(k.Generators)+len(k.Transformers)+
		len(k.Validators)+len(k.OpenAPI)+len(k.HelmCharts)+len(k.HelmChartInflationGenerator) > 0
}

// otherFiles are the files that a kustomization reads for something else than resources.
func otherFiles(k *types.Kustomization) []string {
	var out []string
	add := func(sources ...string) {
		for _, s := range sources {
			if _, file, named := strings.Cut(s, "="); named {
				s = file
			}
			out = append(out, s)
		}
	}
	for _, p := range k.Patches {
		add(p.Path)
	}
	for _, g := range k.ConfigMapGenerator {
		add(append(slices.Concat(g.FileSources, g.EnvSources), g.EnvSource)...)
	}
	for _, g := range k.SecretGenerator {
		add(append(slices.Concat(g.FileSources, g.EnvSources), g.EnvSource)...)
	}
	return out
}

// hashAt is what Git calls a path; empty for none. It says false where the tree does not know.
func hashAt(tree fs.FS, name string) (string, bool) {
	info, err := fs.Stat(tree, name)
	if err != nil {
		return "", true
	}
	hash, ok := info.Sys().(string)
	return hash, ok
}

func folder(tree fs.FS, name string) bool {
	info, err := fs.Stat(tree, name)
	return err == nil && info.IsDir()
}

// sameNames reports whether two folders have the same files, whatever is in them.
func sameNames(a, b fs.FS, dir string) bool {
	was, err := fs.ReadDir(a, dir)
	if err != nil {
		return false
	}
	is, err := fs.ReadDir(b, dir)
	if err != nil || len(was) != len(is) {
		return false
	}
	for i := range was {
		if was[i].Name() != is[i].Name() || was[i].Type() != is[i].Type() {
			return false
		}
		if !was[i].IsDir() {
			continue
		}
		below := path.Join(dir, was[i].Name())
		before, _ := hashAt(a, below)
		now, _ := hashAt(b, below)
		if before != now && !sameNames(a, b, below) {
			return false
		}
	}
	return true
}

// sameObjects reports whether a file names the same objects as before, and none that the search is for.
func (p *past) sameObjects(tree fs.FS, name string) bool {
	was, ok := p.objectsIn(p.tree, name)
	is, okToo := p.objectsIn(tree, name)
	return ok && okToo && slices.Equal(was, is)
}

// objectsIn names the objects of a file; false where it cannot be told, or one may be what the search is for.
func (p *past) objectsIn(tree fs.FS, name string) ([]reconcile.AppliedObject, bool) {
	data, err := manifest.ReadFile(tree, name)
	if err != nil {
		return nil, false
	}
	all, err := decode(data, &Job{})
	if err != nil {
		return nil, false
	}
	var out []reconcile.AppliedObject
	for _, o := range all {
		if p.concerns(o) {
			return nil, false
		}
		out = append(out, appliedOf(o))
	}
	return out, true
}

// concerns reports whether an object may be one that the search is for, or more than a plain one. A prefix, a suffix
// and a namespace may still be put before and behind its name.
func (p *past) concerns(o *unstructured.Unstructured) bool {
	for key := range o.GetAnnotations() {
		if strings.Contains(key, "kustomize") || strings.Contains(key, "config.kubernetes.io") {
			return true
		}
	}
	if o.GetName() == "" || strings.HasSuffix(o.GetKind(), "List") {
		return true
	}
	sought := append([]v1alpha1.ObjectRef{*p.search.Object}, p.search.Also...)
	return slices.ContainsFunc(sought, func(r v1alpha1.ObjectRef) bool {
		return r.Kind == o.GetKind() && strings.Contains(r.Name, o.GetName())
	})
}
