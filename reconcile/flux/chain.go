package flux

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Chain is everything of Flux that stands between a registry and a workload, as it is right now: the objects as they
// were read, and in sentences what they wait for.
//
//	ImageRepository ─► ImagePolicy ─► ImageUpdateAutomation ─► Git ─► source ─► Kustomization [─► HelmRelease]
//	Scans              Selections      Writers                         Source    Kustomization     Release
type Chain struct {
	// Reconciler is the Kustomization or HelmRelease whose inventory holds the workload.
	Reconciler v1alpha1.ObjectRef
	// Kustomization applies the workload, or the HelmRelease; Release is nil where none stands between.
	Kustomization *kustomizev1.Kustomization
	Release       *helmv2.HelmRelease
	// Source is what the Kustomization is deployed from.
	Source Deployed
	// Path that the Kustomization renders, cleaned.
	Path string
	// Attempted is the commit of the revision whose manifests are in the cluster, as far as the status tells.
	Attempted string
	// Waits explains why the newest revision is not applied, and until when that lasts at the latest; NotApplied why the
	// attempted one could not be.
	Waits      string
	WaitsUntil time.Time
	NotApplied string
	// Next is when it is applied again; Says says it in a sentence.
	Next time.Time
	Says string
	// Repository is what is written to: the source's own GitRepository, or for a source of another kind the one that a
	// RollbackPolicy names; nil where nobody says.
	Repository *sourcev1.GitRepository
	// Writers are the automations that write to that repository.
	Writers []Writer
	// Selections and Scans are the ImagePolicies and ImageRepositories of the workload's namespace and of the writers'.
	Selections []reflectorv1.ImagePolicy
	Scans      []reflectorv1.ImageRepository
	// Unread describes what the reader may not list, so that only some namespaces were looked at; empty when nothing.
	Unread string
}

// Deployed is the source of a Kustomization.
type Deployed struct {
	Ref v1alpha1.ObjectRef
	// Git is the GitRepository; nil for a source of another kind.
	Git *sourcev1.GitRepository
	// Missing means that there is no such object.
	Missing bool
	// Suspended means that it fetches nothing.
	Suspended bool
	// Revision of its artifact, and the Git commit that it names; empty if absent yet.
	Revision, Commit string
	// Branch that it follows; if it follows no branch, Pinned describes what it follows, and what to do.
	Branch, Pinned string
	// Problem explains why it does not fetch; empty when it gives no reason.
	Problem string
}

// Writer is an ImageUpdateAutomation, and where it writes.
type Writer struct {
	Ref    v1alpha1.ObjectRef
	Object *automationv1.ImageUpdateAutomation
	// Path that it updates, cleaned; empty is everything.
	Path string
	// Elsewhere explains why it does not write to the branch that is deployed; empty when it does.
	Elsewhere string
	// Forces means that its pushes are forced: it pushes to another branch than the one it names to check out, or names
	// none where its source names no branch either.
	Forces bool
}

// Selects reports whether an automation writes a policy: it must be in its namespace, and be selected.
func (w Writer) Selects(p *reflectorv1.ImagePolicy) bool {
	return w.Object.Namespace == p.Namespace && selects(w.Object, p.Labels)
}

// Updates reports whether a file is below the path that an automation updates.
func (w Writer) Updates(file string) bool {
	return w.Path == "" || file == w.Path || strings.HasPrefix(file, w.Path+"/")
}

// chainOf reads the chain of a confirmed place.
func (f *Flux) chainOf(ctx context.Context, p place, namespace string, with *types.NamespacedName) (Chain, error) {
	k := p.kustomization
	c := Chain{Reconciler: p.reconciler, Kustomization: k, Release: p.release, Path: cleanPath(k.Spec.Path)}
	src, err := f.chainSource(ctx, &c, sourceRef(k))
	if err != nil {
		return c, err
	}
	c.Attempted = commitOf(k, src, appliedRevision(k))
	c.NotApplied = notApplied(k)
	if c.Waits, c.WaitsUntil, err = f.kustomizationWaits(ctx, k, true); err != nil {
		return c, err
	}
	if p.release == nil {
		again := nextKustomization(k, time.Time{})
		c.Next, c.Says = again.Next, again.Says()
	} else {
		again := nextRelease(p.release, time.Time{})
		c.Next, c.Says = again.Next, again.Says()
		if p.release.Status.LastAttemptedGeneration != p.release.Generation {
			c.Waits, c.WaitsUntil = releaseWaits(p.release)
		}
	}
	branch := c.Source.Branch
	if c.Repository = c.Source.Git; c.Repository == nil && !c.Source.Missing && with != nil {
		if c.Repository, branch, err = f.repository(ctx, refTo(kindGitRepository, with.Namespace, with.Name)); err != nil {
			if _, refused := reconcile.AsRefusal(err); !refused && !apierrors.IsNotFound(err) {
				return c, err
			}
			c.Repository = nil
		}
	}
	return c, f.image(ctx, &c, namespace, branch)
}

// chainSource reads the source of a chain.
func (f *Flux) chainSource(ctx context.Context, c *Chain, ref v1alpha1.ObjectRef) (deployed, error) {
	c.Source.Ref = ref
	src, err := f.deployedSource(ctx, ref)
	if apierrors.IsNotFound(err) {
		c.Source.Missing = true
		return src, nil
	}
	if err != nil {
		return src, err
	}
	c.Source.Suspended, c.Source.Problem, c.Source.Commit = src.suspended, src.says(), src.commit()
	if src.artifact != nil {
		c.Source.Revision = src.artifact.Revision
	}
	if ref.Kind != kindGitRepository {
		return src, nil
	}
	c.Source.Git = &sourcev1.GitRepository{}
	if err := f.get(ctx, ref, c.Source.Git); err != nil {
		return src, err
	}
	if c.Source.Branch, err = branchOf(c.Source.Git.Spec.Reference, ref.String()); err != nil {
		c.Source.Pinned = err.Error()
	}
	return src, nil
}

// image adds what image automation has to do with a chain, whose branch is deployed.
func (f *Flux) image(ctx context.Context, c *Chain, namespace, branch string) error {
	s, err := f.survey(ctx, time.Time{})
	if why, refused := reconcile.AsRefusal(err); refused {
		// Somebody who may only look into some namespaces sees what is there.
		c.Unread = why
		o := f.options
		o.Namespaces = unique(namespace, c.Kustomization.Namespace, c.Source.Ref.Namespace)
		s, err = New(f.client, o).survey(ctx, time.Time{})
		if _, refused := reconcile.AsRefusal(err); refused {
			s, err = &survey{}, nil
		}
	}
	if err != nil {
		return err
	}
	namespaces := []string{namespace}
	if c.Repository != nil {
		for _, a := range s.writers(c.Repository) {
			c.Writers = append(c.Writers, writer(a, branch))
			namespaces = append(namespaces, a.ref.Namespace)
		}
	}
	namespaces = unique(namespaces...)
	var selections []reflectorv1.ImagePolicy
	var scans []reflectorv1.ImageRepository
	g, within := errgroup.WithContext(ctx)
	g.Go(func() error {
		return each(within, f, kindPolicy, namespaces, func(page *reflectorv1.ImagePolicyList) {
			selections = append(selections, page.Items...)
		})
	})
	g.Go(func() error {
		return each(within, f, kindImageRepository, namespaces, func(page *reflectorv1.ImageRepositoryList) {
			scans = append(scans, page.Items...)
		})
	})
	err = g.Wait()
	if err == nil {
		err = f.scansElsewhere(ctx, selections, namespaces, func(page *reflectorv1.ImageRepositoryList) {
			scans = append(scans, page.Items...)
		})
	}
	if why, refused := reconcile.AsRefusal(err); refused {
		c.Unread, err = cmp.Or(c.Unread, why), nil
	}
	c.Selections, c.Scans = selections, scans
	return err
}

// scansElsewhere lists the ImageRepositories of further namespaces that policies refer to.
func (f *Flux) scansElsewhere(ctx context.Context, selections []reflectorv1.ImagePolicy, known []string,
	visit func(*reflectorv1.ImageRepositoryList),
) error {
	var more []string
	for i := range selections {
		if ns := selections[i].Spec.ImageRepositoryRef.Namespace; ns != "" && !slices.Contains(known, ns) {
			more = append(more, ns)
		}
	}
	if len(more) == 0 {
		return nil
	}
	return each(ctx, f, kindImageRepository, unique(more...), visit)
}

// writer reports where an automation writes, beside the branch that is deployed.
func writer(a automation, branch string) Writer {
	out := Writer{Ref: a.ref, Object: a.obj, Path: a.path, Elsewhere: cmp.Or(a.elsewhere(branch), a.aside(branch))}
	git := a.obj.Spec.GitSpec
	if git == nil || git.Push == nil || git.Push.Branch == "" {
		return out
	}
	// image-automation-controller compares the names of branches: a source that names a reference has none.
	checkout := ""
	switch {
	case git.Checkout != nil:
		checkout = git.Checkout.Reference.Branch
	case a.repo.Spec.Reference != nil:
		checkout = a.repo.Spec.Reference.Branch
	}
	out.Forces = git.Push.Branch != checkout
	return out
}

// Standing reports the image in a workload's template and whether its rollout is complete, and tells what to do by hand
// for pods that its controller never replaces.
func (f *Flux) Standing(ctx context.Context, namespace string, w v1alpha1.Workload) (reconcile.WorkloadState, error) {
	st, err := f.state(ctx, place{}, refTo(w.Kind, namespace, w.Name), bad{})
	st.Workload = w
	return st, err
}

// Resume is the command that ends the suspension of a Flux object.
func Resume(ref v1alpha1.ObjectRef) string { return resume(ref) }

// Reconcile is the command that has a Flux object reconcile at once.
func Reconcile(ref v1alpha1.ObjectRef) string {
	return strings.Replace(resume(ref), " resume ", " reconcile ", 1)
}

// SourceOf is what a Kustomization is deployed from.
func SourceOf(k *kustomizev1.Kustomization) v1alpha1.ObjectRef { return sourceRef(k) }

// HealthWait is how long a Kustomization's health checks last at the longest, and what they wait for; zero where it has
// none.
func HealthWait(k *kustomizev1.Kustomization) (time.Duration, string) {
	switch {
	case k.Spec.Wait:
		return k.GetTimeout(), "spec.wait"
	case len(k.Spec.HealthChecks) > 0:
		return k.GetTimeout(), "spec.healthChecks"
	}
	return 0, ""
}

// Not explains why an object is not ready; ok is false where it does not say so.
func Not(conditions []metav1.Condition) (reason, message string, ok bool) {
	c := apimeta.FindStatusCondition(conditions, meta.ReadyCondition)
	if c == nil || c.Status != metav1.ConditionFalse {
		return "", "", false
	}
	return c.Reason, tell(c.Message), true
}

// Working reports whether a controller reports that it is at work on an object.
func Working(conditions []metav1.Condition) bool {
	c := apimeta.FindStatusCondition(conditions, meta.ReconcilingCondition)
	return c != nil && c.Status == metav1.ConditionTrue && c.Reason == meta.ProgressingReason
}

// Short is a revision for a sentence: the branch and the beginning of the commit.
func Short(revision string) string {
	r := parseRevision(revision)
	if r.Commit == "" {
		return tell(revision)
	}
	if r.Ref == "" {
		return r.Commit[:12]
	}
	return fmt.Sprintf("%s@%.12s", tell(r.Ref), r.Commit)
}
