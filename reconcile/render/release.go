package render

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// proveRelease is the proof where a HelmRelease fails. What its chart makes is not rendered:
//
//	our build of what Flux applied is Flux's own, by its digest
//	the values before the commit, and the version of the chart, are those of the last release that was deployed well
//	the values that fail are those that were attempted
//
// With the files reverted the object says again what was released.
func (u *Undo) proveRelease(ctx context.Context) (reconcile.UndoProof, error) {
	p := &proof{Undo: u}
	data, folder, err := text(ctx, u.Bad, &u.Job)
	if err != nil {
		return nil, refusedAs(v1alpha1.DoubtNotComparable, "what Flux applied cannot be built here", err)
	}
	if sum := fmt.Sprintf("sha256:%x", sha256.Sum256(data)); !slices.Contains(u.Digests, sum) {
		return nil, reconcile.NotUndone(v1alpha1.DoubtNotComparable, "what Flux applied is not built here as Flux built "+
			"it%s, so nothing proves what would be left", p.differs(folder))
	}
	if p.good, err = decode(data, &u.Job); err != nil {
		return nil, err
	}
	before, err := Objects(ctx, NewTree(u.Good), &u.Job)
	if err != nil {
		return nil, refusedAs(v1alpha1.DoubtNotComparable, "what was released well cannot be built here", err)
	}
	was, err := u.released(before, u.Release.Digest)
	if err != nil {
		return nil, err
	}
	if err := u.charted(was, before); err != nil {
		return nil, err
	}
	if u.Release.Attempted != "" {
		fails, err := u.released(p.good, u.Release.Attempted)
		if err != nil {
			return nil, err
		}
		if u.charted(fails, p.good) != nil && (definesKinds(was) || definesKinds(fails)) {
			return nil, reconcile.NotUndone(v1alpha1.DoubtProtected, "another chart would bring its CustomResourceDefinitions "+
				"(upgrade.crds of %s), and those are never reverted", u.Object)
		}
	}
	p.was, p.fails = p.said(before), p.said(p.good)
	return p.check, nil
}

// released is the HelmRelease among what was rendered. It is refused where its values are not those of a digest.
func (u *Undo) released(all []*unstructured.Unstructured, values string) (*helmv2.HelmRelease, error) {
	i := slices.IndexFunc(all, func(o *unstructured.Unstructured) bool { return names(*u.Object, refOf(o)) })
	if i < 0 {
		return nil, reconcile.NotUndone(v1alpha1.DoubtNotRestored, "%s was not there when it was released well", u.Object)
	}
	var hr helmv2.HelmRelease
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(all[i].Object, &hr); err != nil {
		return nil, reconcile.NotUndone(v1alpha1.DoubtNotComparable, "%s cannot be read: %s", u.Object, Words(err))
	}
	got, why := valuesOf(&hr, all)
	if why != "" {
		return nil, reconcile.NotUndone(v1alpha1.DoubtNotComparable, "the values of %s cannot be told from Git: %s", u.Object,
			why)
	}
	if sum, err := digestOf(got); err != nil || sum != values {
		return nil, reconcile.NotUndone(v1alpha1.DoubtNotComparable, "the values of %s in Git are not those that Helm had, "+
			"so nothing proves what would be left", u.Object)
	}
	return &hr, nil
}

// definesKinds reports whether an upgrade applies the CustomResourceDefinitions of its chart, which helm-controller
// does before Helm looks at anything.
func definesKinds(hr *helmv2.HelmRelease) bool {
	crds := hr.GetUpgrade().CRDs
	return crds != "" && crds != helmv2.Skip
}

// charted refuses where Git did not say the version of the chart that was deployed.
func (u *Undo) charted(hr *helmv2.HelmRelease, all []*unstructured.Unstructured) error {
	version, _, _ := strings.Cut(u.Release.Chart, "+")
	is := ""
	if hr.Spec.Chart != nil {
		is, version = hr.Spec.Chart.Spec.Version, u.Release.Chart
	}
	if ref := hr.Spec.ChartRef; ref != nil {
		from := v1alpha1.ObjectRef{Kind: ref.Kind, Namespace: cmp.Or(ref.Namespace, hr.Namespace), Name: ref.Name}
		for _, o := range all {
			var repo sourcev1.OCIRepository
			if !names(from, refOf(o)) ||
				runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &repo) != nil || repo.Spec.Reference == nil {
				continue
			}
			switch r := repo.Spec.Reference; {
			case r.Digest != "":
				is, version = r.Digest, u.Release.OCI
			case r.SemVer == "":
				is = r.Tag
			}
		}
	}
	if is == "" || is != version {
		return reconcile.NotUndone(v1alpha1.DoubtNotComparable, "before the commit Git does not say version %s of the "+
			"chart, which was deployed", u.Release.Chart)
	}
	return nil
}

// said is what an object says that fails, or is to be restored: of a HelmRelease with what it takes values and chart
// from.
func (p *proof) said(all []*unstructured.Unstructured) string {
	if p.Pods {
		return saysOfPods(all, *p.Object)
	}
	of := []v1alpha1.ObjectRef{*p.Object}
	if p.Release != nil {
		of = append(of, takenBy(all, *p.Object)...)
	}
	return says(all, of...)
}

// replaced reports whether something is a ConfigMap of values that a generator names by its content: the HelmRelease
// names another one then.
func (p *proof) replaced(a reconcile.AppliedObject) bool {
	return p.Release != nil && a.Kind == "ConfigMap" && slices.Contains(takenBy(p.good, *p.Object),
		v1alpha1.ObjectRef{Kind: a.Kind, Namespace: a.Namespace, Name: a.Name})
}
