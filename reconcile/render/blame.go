package render

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Commits is what a search for a commit needs of Git.
type Commits interface {
	// Between lists the commits after a good one up to a bad one, oldest first; without a good one at most most of them.
	Between(ctx context.Context, src reconcile.Source, good, bad string, most int) ([]reconcile.PastCommit, error)
	// Snapshot gives the files of a commit.
	Snapshot(ctx context.Context, src reconcile.Source, commit string) (fs.FS, error)
	// Changed lists the files that a commit changed, as places that may go back.
	Changed(ctx context.Context, src reconcile.Source, commit string) ([]v1alpha1.Node, error)
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
	// After is when the object was last seen to be well, where Good is empty.
	After time.Time
	// Files asks which files of the commit have to go back, and Others are who else may apply them.
	Files  bool
	Others []reconcile.Root
}

// mostCommits is how many commits are searched.
const mostCommits = 200

// Blame renders the commits between the good and the bad one:
//
//	the build fails      the first commit from which on it fails here too
//	an object fails      the commits at which it changed; one alone is to blame
//	no good one known    the commits at which the object changed since it was well, one of which alone is to blame; where
//	                     it never was, the newest one
func Blame(ctx context.Context, git Commits, src reconcile.Source, s *Search) (reconcile.Blamed, error) {
	commits, err := git.Between(ctx, src, s.Good, s.Bad, mostCommits)
	if err != nil {
		return reconcile.Blamed{}, err
	}
	if len(commits) == 0 {
		return reconcile.Blamed{Why: "what fails is the commit that was applied well before"}, nil
	}
	p := &past{git: git, src: src, search: s, known: map[string]rendered{}}
	var out reconcile.Blamed
	switch {
	case s.Object == nil:
		out, err = p.build(ctx, commits)
	case s.Good == "":
		out, err = p.newest(ctx, commits)
	default:
		out, err = p.changes(ctx, commits)
	}
	if err == nil && s.Files && out.Suspect != nil && out.Suspect.Parent != "" {
		err = p.files(ctx, &out)
	}
	return out, err
}

// past renders commits, each folder that is the same only once.
type past struct {
	git    Commits
	src    reconcile.Source
	search *Search
	known  map[string]rendered
	// last is what was rendered last, tree what it was rendered of, or something that makes no difference to the object,
	// and plain the files of it that hold nothing but resources.
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
	// broken says why it cannot be built; empty where it can.
	broken string
	// ours says that only Backstop does not render it: Flux may.
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
	out := rendered{broken: why, ours: reconcile.KindOf(err) == reconcile.FaultNotRendered, depends: append(slices.Sorted(maps.Keys(folder.Seen())), folder.dir)}
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
	return says(all, append([]v1alpha1.ObjectRef{*p.orNone()}, p.search.Also...)...)
}

// names says whether two references mean one object. One may leave its namespace out.
func names(a, b v1alpha1.ObjectRef) bool {
	return a.Kind == b.Kind && a.Name == b.Name && (a.Namespace == "" || b.Namespace == "" || a.Namespace == b.Namespace)
}

// says is what objects say, in the order in which they are asked for.
func says(all []*unstructured.Unstructured, of ...v1alpha1.ObjectRef) string {
	var b strings.Builder
	for _, ref := range of {
		for _, o := range all {
			if !names(ref, v1alpha1.ObjectRef{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}) {
				continue
			}
			data, err := json.Marshal(o.Object)
			if err != nil {
				continue
			}
			b.Write(data)
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func (p *past) orNone() *v1alpha1.ObjectRef {
	if p.search.Object == nil {
		return &v1alpha1.ObjectRef{}
	}
	return p.search.Object
}

// build finds the first commit from which on the build fails.
func (p *past) build(ctx context.Context, commits []reconcile.PastCommit) (reconcile.Blamed, error) {
	good, err := p.at(ctx, p.search.Good)
	if err != nil {
		return reconcile.Blamed{}, err
	}
	if good.broken != "" {
		return reconcile.Blamed{Why: "what was applied well before cannot be built here: " + good.broken}, nil
	}
	var suspect *reconcile.PastCommit
	for i := range slices.Backward(commits) {
		r, err := p.at(ctx, commits[i].Commit)
		if err != nil {
			return reconcile.Blamed{}, err
		}
		if r.broken == "" {
			break
		}
		if r.ours {
			return reconcile.Blamed{Why: fmt.Sprintf("%.12s cannot be built here: %s", commits[i].Commit, r.broken)}, nil
		}
		suspect = &commits[i]
	}
	if suspect == nil {
		return reconcile.Blamed{Why: "it is built here without an error: what fails is not in its files alone"}, nil
	}
	return reconcile.Blamed{Suspect: suspect, ChangedBy: []reconcile.PastCommit{*suspect}}, nil
}

// changes finds the commits at which the object changed.
func (p *past) changes(ctx context.Context, commits []reconcile.PastCommit) (reconcile.Blamed, error) {
	before, err := p.at(ctx, p.search.Good)
	if err != nil {
		return reconcile.Blamed{}, err
	}
	var out reconcile.Blamed
	for i := range commits {
		now, err := p.at(ctx, commits[i].Commit)
		if err != nil {
			return reconcile.Blamed{}, err
		}
		if now.broken != "" || before.broken != "" {
			return reconcile.Blamed{Why: "a commit since the last good one cannot be built here: " +
				orElse(now.broken, before.broken)}, nil
		}
		if now.says != before.says {
			out.ChangedBy = append(out.ChangedBy, commits[i])
		}
		before = now
	}
	return oneOf(out, p.search.Object, len(commits), before.says != ""), nil
}

// oneOf names the one commit that changed an object, or says why none is named.
func oneOf(out reconcile.Blamed, object *v1alpha1.ObjectRef, of int, there bool) reconcile.Blamed {
	switch n := len(out.ChangedBy); {
	case n == 1 && there:
		out.Suspect = &out.ChangedBy[0]
	case n == 1:
		out.Why = fmt.Sprintf("%s is not among what is rendered any more", object)
	case n == 0:
		out.Why = fmt.Sprintf("%s says the same in all of the %d commits since the last good one", object, of)
	default:
		out.Why = fmt.Sprintf("%s changed in %d commits since the last good one, any of which may have done it", object, n)
	}
	return out
}

// newest finds the commits at which the object changed since it was last seen to be well; where it never was, the
// newest of them.
func (p *past) newest(ctx context.Context, commits []reconcile.PastCommit) (reconcile.Blamed, error) {
	now, err := p.at(ctx, commits[len(commits)-1].Commit)
	if err != nil {
		return reconcile.Blamed{}, err
	}
	if now.broken != "" || now.says == "" {
		return reconcile.Blamed{Why: orElse(now.broken,
			fmt.Sprintf("%s is not among what is rendered", p.search.Object))}, nil
	}
	var out reconcile.Blamed
	for i := len(commits) - 1; i >= 0 && !commits[i].When.Before(p.search.After); i-- {
		before := rendered{}
		if commits[i].Parent != "" {
			if before, err = p.at(ctx, commits[i].Parent); err != nil {
				return reconcile.Blamed{}, err
			}
		}
		if before.broken != "" {
			return reconcile.Blamed{Why: fmt.Sprintf("%.12s cannot be built here: %s", commits[i].Parent, before.broken)}, nil
		}
		if before.says != now.says {
			out.ChangedBy = append(out.ChangedBy, commits[i])
		}
		if len(out.ChangedBy) > 0 && p.search.After.IsZero() {
			break
		}
		now = before
	}
	slices.Reverse(out.ChangedBy)
	switch n := len(out.ChangedBy); {
	case n == 1:
		out.Suspect = &out.ChangedBy[0]
	case n > 1:
		out.Why = fmt.Sprintf("%s changed in %d commits since it was last seen to be well, any of which may have done it",
			p.search.Object, n)
	case p.search.After.IsZero():
		out.Why = fmt.Sprintf("none of the last %d commits changed %s", len(commits), p.search.Object)
	default:
		out.Why = fmt.Sprintf("no commit changed %s since it was last seen to be well", p.search.Object)
	}
	return out, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
