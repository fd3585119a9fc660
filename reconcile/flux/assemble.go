package flux

import (
	"context"
	"fmt"
	"slices"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// request is what an Origin is asked for.
type request struct {
	place place
	// namespace of the workload.
	namespace string
	// with overrides the GitRepository to push with; nil for Flux's own.
	with *types.NamespacedName
	// suspect that is reopened; nil for a workload.
	suspect *v1alpha1.Suspect
	// since is when what stands beside the workload may have been listed at the earliest; zero for live.
	since time.Time
}

// assemble makes an Origin of a confirmed place.
func (f *Flux) assemble(ctx context.Context, w request) (reconcile.Origin, error) {
	var none reconcile.Origin
	k := w.place.kustomization
	deployed := sourceRef(k)
	if f.options.NoCrossNamespaceRefs && deployed.Namespace != k.Namespace {
		return none, reconcile.Refuse("%s refers to %s in another namespace, which --no-cross-namespace-refs forbids",
			w.place.kustomizationRef(), deployed)
	}
	b, err := f.deployedBranch(ctx, w, deployed)
	if err != nil {
		return none, err
	}
	repo, branch := b.repo, b.name
	if w.suspect != nil && w.suspect.Branch != "" && w.suspect.Branch != branch {
		return none, reconcile.Refuse("%s deploys branch %s now, and no longer %s, on which the image was brought in",
			deployed, branch, w.suspect.Branch)
	}
	s, err := f.survey(ctx, w.since)
	if err != nil {
		return none, err
	}
	out := reconcile.Origin{
		Reconciler: w.place.reconciler,
		Root:       reconcile.Root{By: w.place.kustomizationRef(), Path: cleanPath(k.Spec.Path)},
		Images:     len(k.Spec.Images) > 0,
		Applied:    attemptedOf(k, deployed),
		Healthy:    healthyOf(w.place), Remediated: remediated(w.place.release),
	}
	for _, l := range s.roots(repo, branch, deployed) {
		if l.ref != out.Root.By {
			out.Others = append(out.Others, l.root())
		}
	}
	out.Lands = f.lands(s, out.Others, k.Namespace)
	c := choice{
		repo: repo, named: b.named, branch: branch, path: out.Root.Path, suspect: w.suspect, claimant: w.claimant(s),
	}
	if deployed.Kind != kindGitRepository && f.title(repo, c.claimant) == titleNone {
		// Nothing else may be read of it either.
		why, _ := f.untitled(repo, c.claimant)
		return none, reconcile.Refuse("%s", why)
	}
	if out.Source, err = f.source(ctx, s.writers(repo), c); err != nil {
		return none, err
	}
	if deployed.Kind != kindGitRepository && out.Source.ReadOnly == "" {
		out.Source.ReadOnly, err = f.otherBranch(ctx, deployed, branch)
		if err != nil {
			return none, err
		}
	}
	if out.Policies, err = f.policies(ctx, s.writers(repo), branch, w.since); err != nil {
		return none, err
	}
	out.Suspended, err = f.suspended(ctx, w.place, deployed)
	return out, err
}

// suspended lists what is suspended on the way from the source to a place. Somebody is at work there.
func (f *Flux) suspended(ctx context.Context, p place, source v1alpha1.ObjectRef) ([]v1alpha1.ObjectRef, error) {
	var out []v1alpha1.ObjectRef
	src, err := f.deployedSource(ctx, source)
	if _, refused := reconcile.AsRefusal(err); err != nil && !refused && !apierrors.IsNotFound(err) {
		return nil, err
	}
	if src.suspended {
		out = append(out, source)
	}
	if p.kustomization.Spec.Suspend {
		out = append(out, p.kustomizationRef())
	}
	if p.release != nil && p.release.Spec.Suspend {
		out = append(out, p.reconciler)
	}
	return out, nil
}

// claimant says for whom the wish is.
func (w *request) claimant(s *survey) *claimant {
	c := &claimant{
		kustomization: w.place.kustomizationRef(), namespace: w.namespace, alone: w.place.landsIn(w.namespace),
	}
	if w.suspect == nil {
		return c
	}
	for _, l := range s.leaves {
		if l.ref != c.kustomization && slices.Contains(w.suspect.SharedBy, l.ref) {
			c.sharers = append(c.sharers, l)
		}
	}
	return c
}

// follows is the branch that is deployed.
type follows struct {
	// repo is the GitRepository that is deployed, or stands for a source of another kind.
	repo *sourcev1.GitRepository
	// named is the one that a policy names; nil where none does.
	named *sourcev1.GitRepository
	name  string
}

// deployedBranch finds the GitRepository that is deployed, the one that a policy names, and the branch.
func (f *Flux) deployedBranch(ctx context.Context, w request, deployed v1alpha1.ObjectRef) (follows, error) {
	isGit := deployed.Kind == kindGitRepository
	if !isGit && w.with == nil {
		return follows{}, reconcile.Refuse("%s is deployed from %s, which is no Git repository that Backstop could "+
			"write to: name the GitRepository that it is built from in the RollbackPolicy (spec.sourceRef)",
			w.place.kustomizationRef(), deployed)
	}
	var out follows
	var err error
	if isGit {
		if out.repo, out.name, err = f.repository(ctx, deployed); err != nil {
			return out, err
		}
	}
	if w.with == nil {
		return out, nil
	}
	ref := refTo(kindGitRepository, w.with.Namespace, w.with.Name)
	if f.options.NoCrossNamespaceRefs && ref.Namespace != w.namespace && ref.Namespace != w.place.kustomization.Namespace {
		return out, reconcile.Refuse("the RollbackPolicy's spec.sourceRef names %s in another namespace, which "+
			"--no-cross-namespace-refs forbids", ref)
	}
	var branch string
	out.named, branch, err = f.repository(ctx, ref)
	if apierrors.IsNotFound(err) {
		return out, reconcile.Refuse("the RollbackPolicy's spec.sourceRef names %s, which does not exist", ref)
	}
	if err != nil {
		return out, err
	}
	if isGit && branch != out.name {
		return out, reconcile.Refuse("the RollbackPolicy's spec.sourceRef names %s, which follows branch %s, "+
			"while %s deploys %s: let both follow one branch", ref, branch, deployed, out.name)
	}
	if !isGit {
		out.repo, out.name = out.named, branch
	}
	return out, nil
}

// otherBranch explains why a revert on a branch does not reach an artifact that was built from something else.
func (f *Flux) otherBranch(ctx context.Context, deployed v1alpha1.ObjectRef, branch string) (string, error) {
	src, err := f.deployedSource(ctx, deployed)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	from := parseRevision(src.origin()).Ref
	if from == "" || from == branch || from == "refs/heads/"+branch {
		return "", nil
	}
	return fmt.Sprintf("%s was built from %s, while the RollbackPolicy's spec.sourceRef follows branch %s", deployed,
		from, branch), nil
}
