package render

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// past renders commits, each folder that is the same only once.
type past struct {
	git    Commits
	src    reconcile.Source
	search *Search
	known  map[string]rendered
	// last is the last rendering. tree is the tree that it was made of, or one that differs in nothing that the object
	// depends on. plain are the files of it that hold only resources.
	last  rendered
	tree  fs.FS
	plain map[string]bool
}

// rendered is what one commit says.
type rendered struct {
	// depends are the paths that it was made of, beside the folder.
	depends []string
	// says is what the object says, empty where it is not there.
	says string
	// broken explains why it cannot be built; empty where it can.
	broken string
	// ours means that only Backstop does not render it: Flux may.
	ours bool
}

// at renders a commit.
func (p *past) at(ctx context.Context, commit string) (rendered, error) {
	tree, err := p.git.Snapshot(ctx, p.src, commit)
	if err != nil {
		return rendered{}, err
	}
	if id := fingerprint(tree, p.last.depends); id != "" {
		if r, ok := p.known[id]; ok {
			return r, nil
		}
	}
	if p.spared(tree) {
		p.tree = tree
		return p.last, nil
	}
	all, folder, err := objects(ctx, NewTree(tree), &p.search.Job)
	why, refused := reconcile.AsRefusal(err)
	if err != nil && !refused {
		return rendered{}, err
	}
	out := rendered{broken: why, ours: reconcile.KindOf(err) == reconcile.FaultNotRendered}
	out.depends = append(slices.Sorted(maps.Keys(folder.Seen())), folder.dir)
	if !refused {
		out.says = p.says(all)
		// What a folder that cannot be built would have looked at next is not known.
		p.last, p.tree, p.plain = out, tree, plainFiles(folder)
		if id := fingerprint(tree, out.depends); id != "" {
			p.known[id] = out
		}
	}
	return out, nil
}

// fingerprint tells by the hashes of Git whether the same is rendered; empty where the tree knows none.
func fingerprint(tree fs.FS, paths []string) string {
	var b strings.Builder
	for _, name := range paths {
		hash := "-"
		if info, err := fs.Stat(tree, name); err == nil {
			h, ok := info.Sys().(string)
			if !ok {
				return ""
			}
			hash = h
		}
		fmt.Fprintf(&b, "%s\x00%s\x00", name, hash)
	}
	return b.String()
}

// says is what the object of the search says, with what it takes from others.
func (p *past) says(all []*unstructured.Unstructured) string {
	if p.search.Pods {
		return saysOfPods(all, *p.search.Object)
	}
	return says(all, append([]v1alpha1.ObjectRef{*p.orNone()}, p.search.Also...)...)
}

func (p *past) orNone() *v1alpha1.ObjectRef {
	if p.search.Object == nil {
		return &v1alpha1.ObjectRef{}
	}
	return p.search.Object
}

// Commits is what a search for a commit needs of Git.
type Commits interface {
	// Between lists the commits after a good one up to a bad one, oldest first; without a good one at most most of them.
	Between(ctx context.Context, src reconcile.Source, good, bad string, most int) ([]reconcile.PastCommit, error)
	// Snapshot gives the files of a commit.
	Snapshot(ctx context.Context, src reconcile.Source, commit string) (fs.FS, error)
	// Changed lists the files that a commit changed, as places that may go back.
	Changed(ctx context.Context, src reconcile.Source, commit string) ([]v1alpha1.Place, error)
	// Without gives the files of a commit, some of which are as they were before it.
	Without(ctx context.Context, src reconcile.Source, commit string, files []string) (fs.FS, error)
}

// Search is for the commit at which what a job renders broke.
type Search struct {
	Job Job
	// Good is the commit that was applied well, empty where none is known; Bad is the one that fails.
	Good, Bad string
	// Object that fails, with the objects that it takes a part of what it says from; nil where the build fails.
	Object *v1alpha1.ObjectRef
	Also   []v1alpha1.ObjectRef
	// Pods means that the object is a workload: what it says of its pods counts, with what these read.
	Pods bool
	// After is when the object was last seen to be well, where Good is empty.
	After time.Time
	// Files asks which files of the commit have to go back, and Others are who else may apply them.
	Files  bool
	Others []reconcile.Root
}

// spared reports whether the object is in a tree what it was in the one that was rendered last.
func (p *past) spared(tree fs.FS) bool {
	if p.tree == nil || p.plain == nil || p.search.Object == nil {
		return false
	}
	for _, name := range p.last.depends {
		was, known := hashAt(p.tree, name)
		is, knownToo := hashAt(tree, name)
		if !known || !knownToo {
			return false
		}
		if was == is {
			continue
		}
		if folder(p.tree, name) && folder(tree, name) {
			if !sameNames(p.tree, tree, name) {
				return false
			}
			continue
		}
		if !p.plain[name] || !p.sameObjects(tree, name) {
			return false
		}
	}
	return true
}

// plainFiles are the files of a rendered folder that hold nothing but resources; nil where something makes one object
// of another one's contents, or gives an object another name than its manifest has.
func plainFiles(f *Folder) map[string]bool {
	plain, used := map[string]bool{}, map[string]bool{}
	for name := range f.Seen() {
		if !IsKustomization(name) {
			continue
		}
		data, err := f.files.ReadFile(name)
		if err != nil {
			continue
		}
		var k types.Kustomization
		if err := yaml.Unmarshal(data, &k); err != nil {
			return nil
		}
		k.FixKustomization()
		if copies(&k) {
			return nil
		}
		for _, r := range k.Resources {
			plain[path.Join(path.Dir(name), r)] = true
		}
		for _, file := range otherFiles(&k) {
			used[path.Join(path.Dir(name), file)] = true
		}
		for _, p := range k.Patches {
			text := p.Patch
			if p.Path != "" {
				data, err := f.files.ReadFile(path.Join(path.Dir(name), p.Path))
				if err != nil {
					return nil
				}
				text = string(data)
			}
			if p.Options != nil || strings.Contains(text, "/metadata/name") {
				return nil
			}
		}
	}
	for name := range used {
		delete(plain, name)
	}
	return plain
}
