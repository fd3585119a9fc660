package render

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Undo is what the proof of an undo by files goes by.
type Undo struct {
	Job Job
	// Good are the files of what was applied well, and Bad of what was attempted and fails.
	Good, Bad fs.FS
	// Digests that Flux has of what it made of the good ones.
	Digests []string
	// Object that fails; nil where the build does. Pods means that it is a workload whose pods fail: what it says of them
	// is restored.
	Object *v1alpha1.ObjectRef
	Pods   bool
	// Release is there where the object is a HelmRelease that Helm cannot release: Good is then what was released well,
	// and the digests are of Bad, which Flux applied.
	Release *reconcile.Released
	// Applied are the objects that the Kustomization keeps, and deletes once Git does not say them.
	Applied []reconcile.AppliedObject
	// Files that go back.
	Files []string
}

// proof is an Undo whose good and bad revision were rendered.
type proof struct {
	*Undo
	// good is what Flux applied.
	good []*unstructured.Unstructured
	// was and fails are what the object says in the good and in the bad revision.
	was, fails string
	// bad is what is rendered of the bad revision.
	bad []*unstructured.Unstructured
}

// Prove renders what was applied well and what fails, and gives the proof that an undo leaves the first.
//
//	our build of the good revision is Flux's own, by its digest
//	the bad revision fails here too, or says of the object what is not what it said
//	the tip still does
//	after the undo it is built, and the object is what it was
//	nothing that Flux applied is missing then, and nothing changes of what is never reverted
func (u *Undo) Prove(ctx context.Context) (reconcile.UndoProof, error) {
	if u.Release != nil {
		return u.proveRelease(ctx)
	}
	p := &proof{Undo: u}
	data, folder, err := text(ctx, u.Good, &u.Job)
	if err != nil {
		return nil, refusedAs(v1alpha1.DoubtNotComparable, "what was applied well cannot be built here", err)
	}
	if sum := fmt.Sprintf("sha256:%x", sha256.Sum256(data)); !slices.Contains(u.Digests, sum) {
		return nil, reconcile.NotUndone(v1alpha1.DoubtNotComparable, "what was applied well is not built here as Flux built "+
			"it%s, so nothing proves what would be left", p.differs(folder))
	}
	if p.good, err = decode(data, &u.Job); err != nil {
		return nil, err
	}
	bad, err := Objects(ctx, NewTree(u.Bad), &u.Job)
	if _, refused := reconcile.AsRefusal(err); err != nil && !refused {
		return nil, err
	}
	switch {
	case u.Object == nil && err == nil:
		return nil, reconcile.NotUndone(v1alpha1.DoubtNotComparable, "it is built here without an error: what fails is not "+
			"in its files alone")
	case u.Object != nil && err != nil:
		return nil, refusedAs(v1alpha1.DoubtNotComparable, "what fails cannot be built here", err)
	case u.Object != nil:
		p.bad = bad
		p.was, p.fails = p.said(p.good), p.said(bad)
		if p.was == "" {
			return nil, reconcile.NotUndone(v1alpha1.DoubtNotRestored, "%s was not there when it was applied well", u.Object)
		}
	}
	return p.check, nil
}

// differs says what keeps our build from being Flux's, where that is known.
func (p *proof) differs(f *Folder) string {
	switch {
	case f.secret:
		return ", since some of it is encrypted by SOPS"
	case p.Job.Spec.PostBuild != nil:
		return ", since variables of the cluster are put into it"
	}
	return ""
}

// check is the proof on one tip.
func (p *proof) check(ctx context.Context, tip, after fs.FS) ([]v1alpha1.ObjectRef, error) {
	now, err := Objects(ctx, NewTree(tip), &p.Job)
	if _, refused := reconcile.AsRefusal(err); err != nil && !refused {
		return nil, err
	}
	built := err == nil
	switch {
	case p.Object == nil && built:
		return nil, reconcile.NotUndone(v1alpha1.DoubtMended, "the branch is built again: somebody mended it")
	case p.Object != nil && !built:
		return nil, refusedAs(v1alpha1.DoubtStillFails, "the branch cannot be built", err)
	case p.Object != nil && p.said(now) == p.was:
		return nil, reconcile.NotUndone(v1alpha1.DoubtMended, "%s is again what it was: somebody mended it", p.Object)
	case p.Object != nil && p.said(now) != p.fails:
		return nil, reconcile.NotUndone(v1alpha1.DoubtChangedSince, "%s was changed since it failed", p.Object)
	}
	left, err := Objects(ctx, NewTree(after), &p.Job)
	if err != nil {
		return nil, refusedAs(v1alpha1.DoubtStillFails, "without the files of the commit it still cannot be built", err)
	}
	if p.Object != nil && p.said(left) != p.was {
		return nil, reconcile.NotUndone(v1alpha1.DoubtNotRestored, "%s would not be what was applied well before", p.Object)
	}
	if err := p.keeps(left); err != nil {
		return nil, err
	}
	if err := p.spares(now, left, built, tip, after); err != nil {
		return nil, err
	}
	return p.also(now, left, built), nil
}

// keeps refuses what would have Flux delete something.
func (p *proof) keeps(left []*unstructured.Unstructured) error {
	all := slices.Clone(p.Applied)
	for _, o := range p.good {
		all = append(all, appliedOf(o))
	}
	for _, a := range all {
		if !slices.ContainsFunc(left, isOf(a)) && !p.replaced(a) && !p.generated(a, left) {
			return reconcile.NotUndone(v1alpha1.DoubtPrunes, "%s would not be in Git any more, so that Flux deletes it", a)
		}
	}
	return nil
}

// hashed is how kustomize names what a generator makes: with a hash of its content.
var hashed = regexp.MustCompile(`^(.+)-[a-z0-9]{10}$`)

// generated reports whether a ConfigMap was made by a generator for the pods that fail, and the one that it made before
// takes its place: nothing names it any more.
func (p *proof) generated(a reconcile.AppliedObject, left []*unstructured.Unstructured) bool {
	ref := v1alpha1.ObjectRef{Kind: a.Kind, Namespace: a.Namespace, Name: a.Name}
	is := hashed.FindStringSubmatch(a.Name)
	if !p.Pods || a.Kind != "ConfigMap" || is == nil || !slices.ContainsFunc(readBy(p.bad, *p.Object), isRef(ref)) {
		return false
	}
	return slices.ContainsFunc(readBy(left, *p.Object), func(o v1alpha1.ObjectRef) bool {
		was := hashed.FindStringSubmatch(o.Name)
		return o.Kind == a.Kind && was != nil && was[1] == is[1] &&
			slices.ContainsFunc(left, func(l *unstructured.Unstructured) bool { return names(o, refOf(l)) })
	})
}

func isRef(a v1alpha1.ObjectRef) func(v1alpha1.ObjectRef) bool {
	return func(b v1alpha1.ObjectRef) bool { return names(a, b) }
}

// also are the objects that change together with the one that fails: against what Git says, or where that is not built
// against what was applied.
func (p *proof) also(now, left []*unstructured.Unstructured, built bool) []v1alpha1.ObjectRef {
	if !built {
		now = p.good
	}
	var out []v1alpha1.ObjectRef
	for _, o := range slices.Concat(now, left) {
		ref := v1alpha1.ObjectRef{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}
		if p.Object != nil && names(ref, *p.Object) || same(find(now, o), find(left, o)) || slices.Contains(out, ref) {
			continue
		}
		out = append(out, ref)
	}
	return out
}
