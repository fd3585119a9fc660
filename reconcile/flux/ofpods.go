package flux

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// A revision of a workload that its configuration keeps from becoming ready is traced to Git by what Flux remembers to
// have applied:
//
//	bad    the commit whose manifests are in the cluster: what it says of the pods is the revision that fails
//	good   the newest one before it that Flux applied and that says something else of them: it is the revision that ran
//	       before, and differs from the bad one in what the two revisions differ in
//
// Whatever else made the one revision of the other, such as a person or a webhook, is not in Git: no commit is blamed.

// ofPods is a workload whose newest revision fails, with what Git said of its pods before.
type ofPods struct {
	inGit
	ref       v1alpha1.ObjectRef
	good, bad string
	// digests that Flux has of what it made of the good commit.
	digests []string
	// reads are the ConfigMaps and Secrets that the pods read, before and now.
	reads []v1alpha1.ObjectRef
}

// remembers is something that a Kustomization remembers to have applied.
type remembers struct{ revision, commit string }

// readPods finds both commits, where no HelmRelease makes the workload. A Refusal explains why they cannot be told.
func (f *Flux) readPods(ctx context.Context, key reconcile.Key, fail *v1alpha1.Failure, with *types.NamespacedName,
) (*ofPods, error) {
	out := &ofPods{ref: refTo(key.Subject.Kind, key.Namespace, key.Subject.Name)}
	kind, known := workload.Of(key.Subject.Kind)
	if !known || f.options.Render == nil {
		return nil, reconcile.Refuse("what Git says of %s is not rendered here", out.ref)
	}
	live, err := kind.Get(ctx, f.client, key.Namespace, key.Subject.Name)
	if apierrors.IsNotFound(err) {
		return nil, reconcile.Refuse("%s does not exist any more", out.ref)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", out.ref, err)
	}
	p, err := f.placeOf(ctx, key.Namespace, fail.Workload, time.Time{})
	if err != nil {
		return nil, err
	}
	if out.inGit, err = f.placeInGit(ctx, p, key.Namespace, with); err != nil || out.release != nil {
		return out, err
	}
	templates, err := f.templatesOf(ctx, live)
	if err != nil {
		return nil, err
	}
	former, there := templates[fail.Rollout.Former]
	if !there {
		return nil, reconcile.Refuse("its former revision %s is gone, so there is nothing to compare with",
			tell(fail.Rollout.Former))
	}
	for _, spec := range []*corev1.PodSpec{&former.Spec, &live.Template.Spec} {
		for _, name := range workload.Configs(spec) {
			kind, name, _ := strings.Cut(name, "/")
			out.reads = append(out.reads, refTo(kind, key.Namespace, name))
		}
	}
	return out, f.between(ctx, out, live, &former, fail.Rollout.Changed)
}

// between finds the good and the bad commit of a workload.
func (f *Flux) between(ctx context.Context, of *ofPods, live *workload.Object, former *corev1.PodTemplateSpec,
	changed []v1alpha1.TemplateChange,
) error {
	k := of.kustomization
	of.bad = of.commit(appliedRevision(k))
	if of.bad == "" {
		return reconcile.Refuse("%s does not say which commit it applied", of.kustomizationRef())
	}
	now, err := f.podsAt(ctx, of, live, of.bad)
	if err != nil {
		return err
	}
	if at := unlike(now, &live.Template); at != "" {
		return reconcile.Refuse("what fails is not what Git says at %.12s: they differ in %s", of.bad, tell(at))
	}
	for _, one := range of.remembered() {
		was, err := f.podsAt(ctx, of, live, one.commit)
		if err != nil {
			return err
		}
		if unlike(was, now) == "" && unlike(now, was) == "" {
			continue
		}
		if at := unlike(was, former); at != "" {
			return reconcile.Refuse("what was applied before, at %.12s, is not what ran before: they differ in %s", one.commit,
				tell(at))
		}
		if !sameChanges(trigger.Changes(was, now), changed) {
			return reconcile.Refuse("the revisions differ in something else than what Git says at %.12s and at %.12s",
				one.commit, of.bad)
		}
		of.good = one.commit
		for _, h := range k.Status.History {
			if h.Metadata["revision"] == one.revision {
				of.digests = append(of.digests, h.Digest)
			}
		}
		return nil
	}
	return reconcile.Refuse("%s does not remember to have applied something else of it before: nothing in Git changed "+
		"it, or that is too long ago", of.kustomizationRef())
}

// remembered is what a Kustomization applied before what it applied last, newest first.
func (of *ofPods) remembered() []remembers {
	history := slices.Clone(of.kustomization.Status.History)
	slices.SortStableFunc(history, func(a, b meta.Snapshot) int { return b.LastReconciled.Compare(a.LastReconciled.Time) })
	var out []remembers
	for _, h := range history {
		one := remembers{revision: h.Metadata["revision"]}
		one.commit = of.commit(one.revision)
		if one.commit != "" && one.commit != of.bad && !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	return out
}

// podsAt is what a commit says of a workload's pods.
func (f *Flux) podsAt(ctx context.Context, of *ofPods, live *workload.Object, commit string,
) (*corev1.PodTemplateSpec, error) {
	all, err := f.options.Render(ctx, of.origin.Source, commit, of.kustomization.Spec)
	if why, refused := reconcile.AsRefusal(err); refused {
		return nil, reconcile.Refuse("what Git says at %.12s cannot be rendered: %s", commit, why)
	}
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(o *unstructured.Unstructured) bool {
		return o.GroupVersionKind().GroupKind() == live.Kind.GroupKind() && o.GetName() == live.Object.GetName() &&
			cmp.Or(o.GetNamespace(), live.Object.GetNamespace()) == live.Object.GetNamespace()
	})
	if i < 0 {
		return nil, reconcile.Refuse("%s is not in Git at %.12s", of.ref, commit)
	}
	fields, found, err := unstructured.NestedMap(all[i].Object, live.Kind.Template...)
	out := &corev1.PodTemplateSpec{}
	if err == nil && found {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(fields, out)
	}
	if err != nil || !found {
		return nil, reconcile.Refuse("what Git says of the pods of %s at %.12s cannot be read", of.ref, commit)
	}
	return out, nil
}

// unlike is where a template differs from one that the API server may have filled in; empty for nowhere.
func unlike(said, stored *corev1.PodTemplateSpec) string {
	a, err := runtime.DefaultUnstructuredConverter.ToUnstructured(said)
	if err != nil {
		return "what cannot be written"
	}
	b, err := runtime.DefaultUnstructuredConverter.ToUnstructured(stored)
	if err != nil {
		return "what cannot be written"
	}
	return differs(a, b, "template", true)
}

// sameChanges reports whether two lists of changes name the same, as far as the shorter one, which was cut, goes.
func sameChanges(inGit, seen []v1alpha1.TemplateChange) bool {
	if len(seen) > len(inGit) || len(seen) < v1alpha1.MaxTemplateChanges && len(seen) != len(inGit) {
		return false
	}
	for _, c := range seen {
		same := func(o v1alpha1.TemplateChange) bool {
			return o.Container == c.Container && o.Part == c.Part && (o.Name == c.Name || strings.HasSuffix(c.Name, "…"))
		}
		if !slices.ContainsFunc(inGit, same) {
			return false
		}
	}
	return true
}

// blameWorkload finds the commit at which what Git says of a workload's pods became what fails.
func (f *Flux) blameWorkload(ctx context.Context, key reconcile.Key, fail v1alpha1.Failure, with *types.NamespacedName,
) (reconcile.Blamed, error) {
	of, err := f.readPods(ctx, key, &fail, with)
	if err != nil {
		return reconcile.Blamed{}, err
	}
	if of.release != nil {
		return f.blameRelease(ctx, of, key.Namespace)
	}
	s := &Suspicion{
		Spec: of.kustomization.Spec, Good: of.good, Bad: of.bad, Object: &of.ref, Pods: true, Also: of.reads,
		Files: f.options.Undo != nil, Others: of.origin.Others,
	}
	return f.blamed(ctx, &of.inGit, of.reconciler, key.Namespace, s)
}

// blameRelease finds the commit that changed a release that fails. It is told, and not reverted: what its chart makes
// is not rendered.
func (f *Flux) blameRelease(ctx context.Context, of *ofPods, namespace string) (reconcile.Blamed, error) {
	hr := of.release
	if lastGood(hr) == nil {
		return reconcile.Blamed{}, reconcile.Refuse("no release of %s is known to have been deployed well", of.reconciler)
	}
	if deployedWell(hr, hr.Status.History.Latest()) {
		return reconcile.Blamed{}, reconcile.Refuse("%s makes it and says that its newest release was deployed, and what a "+
			"chart makes is not rendered", of.reconciler)
	}
	s, err := of.sinceReleased(of.reconciler)
	if err != nil {
		return reconcile.Blamed{}, err
	}
	return f.blamed(ctx, &of.inGit, of.reconciler, namespace, s)
}

// undoingWorkload is what the proof goes by where a workload's pods fail.
func (f *Flux) undoingWorkload(ctx context.Context, key reconcile.Key, fail v1alpha1.Failure,
	with *types.NamespacedName,
) (inGit, *Undoing, error) {
	of, err := f.readPods(ctx, key, &fail, with)
	if err != nil {
		return inGit{}, nil, err
	}
	if of.release != nil {
		return inGit{}, nil, reconcile.NotUndone(v1alpha1.DoubtNotComparable, "%s makes it, and what a chart makes is not "+
			"rendered", of.reconciler)
	}
	return of.inGit, &Undoing{Good: of.good, Bad: of.bad, Digests: of.digests, Object: &of.ref, Pods: true}, nil
}
