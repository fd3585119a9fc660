package render

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// Undo is what the proof of an undo by files goes by.
type Undo struct {
	Job Job
	// Good are the files of what was applied well, and Bad of what was attempted and fails.
	Good, Bad fs.FS
	// Digests that Flux has of what it made of the good ones.
	Digests []string
	// Object that fails; nil where the build does.
	Object *v1alpha1.ObjectRef
	// Applied are the objects that the Kustomization keeps, and deletes once Git does not say them.
	Applied []reconcile.AppliedObject
	// Files that go back.
	Files []string
}

// isOf reports whether a manifest is of an object. What it leaves out of its namespace is filled in by Flux.
func isOf(a reconcile.AppliedObject) func(*unstructured.Unstructured) bool {
	return func(o *unstructured.Unstructured) bool {
		ns := o.GetNamespace()
		return o.GetName() == a.Name && o.GetKind() == a.Kind && o.GroupVersionKind().Group == a.Group &&
			(ns == a.Namespace || ns == "")
	}
}

func appliedOf(o *unstructured.Unstructured) reconcile.AppliedObject {
	return reconcile.AppliedObject{
		Group: o.GroupVersionKind().Group, Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName(),
	}
}

// proof is an Undo whose good and bad revision were rendered.
type proof struct {
	*Undo
	good []*unstructured.Unstructured
	// was and fails are what the object says in the good and in the bad revision.
	was, fails string
}

// Prove renders what was applied well and what fails, and gives the proof that an undo leaves the first.
//
//	our build of the good revision is Flux's own, by its digest
//	the bad revision fails here too, or says of the object what is not what it said
//	the tip still does
//	after the undo it is built, and the object is what it was
//	nothing that Flux applied is missing then, and nothing changes of what is never taken back
func (u *Undo) Prove(ctx context.Context) (reconcile.UndoProof, error) {
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
		p.was, p.fails = says(p.good, *u.Object), says(bad, *u.Object)
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

// refusedAs gives a refusal its name; another error stays what it is.
func refusedAs(why v1alpha1.DoubtType, what string, err error) error {
	said, refused := reconcile.AsRefusal(err)
	if !refused {
		return err
	}
	return reconcile.NotUndone(why, "%s: %s", what, said)
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
	case p.Object != nil && says(now, *p.Object) == p.was:
		return nil, reconcile.NotUndone(v1alpha1.DoubtMended, "%s is again what it was: somebody mended it", p.Object)
	case p.Object != nil && says(now, *p.Object) != p.fails:
		return nil, reconcile.NotUndone(v1alpha1.DoubtChangedSince, "%s was changed since it failed", p.Object)
	}
	left, err := Objects(ctx, NewTree(after), &p.Job)
	if err != nil {
		return nil, refusedAs(v1alpha1.DoubtStillFails, "without the files of the commit it still cannot be built", err)
	}
	if p.Object != nil && says(left, *p.Object) != p.was {
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
		if !slices.ContainsFunc(left, isOf(a)) {
			return reconcile.NotUndone(v1alpha1.DoubtPrunes, "%s would not be in Git any more, so that Flux deletes it", a)
		}
	}
	return nil
}

// isProtected reports whether objects of a kind are never taken back: data and rights depend on them.
func isProtected(o *unstructured.Unstructured) bool {
	switch o.GetKind() {
	case "CustomResourceDefinition", "PersistentVolumeClaim", "PersistentVolume", "StorageClass", "Namespace",
		"NetworkPolicy", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "ServiceAccount":
		return true
	}
	return strings.HasPrefix(o.GroupVersionKind().Group, "rbac.authorization.k8s.io")
}

// spares refuses a change of what is never taken back: against what was applied, what Git says, and in the files that
// go back, which may not be built.
func (p *proof) spares(now, left []*unstructured.Unstructured, built bool, tip, after fs.FS) error {
	versions := [][]*unstructured.Unstructured{p.good}
	if built {
		versions = append(versions, now)
	}
	for _, other := range versions {
		for _, o := range slices.Concat(other, left) {
			if isProtected(o) && !same(find(other, o), find(left, o)) {
				return protects(o)
			}
		}
	}
	for _, file := range p.Files {
		was, is := documents(tip, file), documents(after, file)
		for _, o := range slices.Concat(was, is) {
			if isProtected(o) && !same(find(was, o), find(is, o)) {
				return protects(o)
			}
			if o.Object["sops"] != nil && !same(find(was, o), find(is, o)) {
				return reconcile.NotUndone(v1alpha1.DoubtEncrypted, "%s is encrypted by SOPS: what it says is not known here", file)
			}
		}
	}
	return nil
}

func protects(o *unstructured.Unstructured) error {
	return reconcile.NotUndone(v1alpha1.DoubtProtected, "%s would change, and that is never taken back", appliedOf(o))
}

// documents reads the objects of a file, as far as it can be read.
func documents(tree fs.FS, file string) []*unstructured.Unstructured {
	data, err := manifest.ReadFile(tree, file)
	if err != nil {
		return nil
	}
	var out []*unstructured.Unstructured
	for part := range strings.SplitSeq("\n"+string(data), "\n---") {
		// One that cannot be read does not hide the others.
		more, err := decode([]byte(part), &Job{})
		if err == nil {
			out = append(out, more...)
		}
	}
	return out
}

// find is the object of the same name among others; nil where there is none.
func find(all []*unstructured.Unstructured, like *unstructured.Unstructured) *unstructured.Unstructured {
	key := appliedOf(like)
	for _, o := range all {
		if appliedOf(o) == key {
			return o
		}
	}
	return nil
}

func same(a, b *unstructured.Unstructured) bool {
	return a == nil && b == nil || a != nil && b != nil && equality.Semantic.DeepEqual(a.Object, b.Object)
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

// text renders a tree into the documents that kustomize-controller makes the digest of.
func text(ctx context.Context, tree fs.FS, job *Job) ([]byte, *Folder, error) {
	f := NewTree(tree).Folder(manifest.Folder(job.Spec.Path))
	data, err := f.text(ctx, job)
	return data, f, err
}
