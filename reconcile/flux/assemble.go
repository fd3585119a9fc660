package flux

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// wish is what an Origin is asked for.
type wish struct {
	place place
	// with overrides the GitRepository to push with; nil for Flux's own.
	with *types.NamespacedName
	// suspect that is reopened; nil for a workload.
	suspect *v1alpha1.Suspect
}

// assemble makes an Origin of a confirmed place.
func (f *Flux) assemble(ctx context.Context, w wish) (reconcile.Origin, error) {
	var none reconcile.Origin
	k := w.place.kustomization
	deployed := sourceRef(k)
	if f.options.NoCrossNamespaceRefs && deployed.Namespace != k.Namespace {
		return none, reconcile.Refuse("%s refers to %s in another namespace, which --no-cross-namespace-refs forbids",
			w.place.kustomizationRef(), deployed)
	}
	repo, branch, err := f.deployedBranch(ctx, w, deployed)
	if err != nil {
		return none, err
	}
	if w.suspect != nil && w.suspect.Branch != "" && w.suspect.Branch != branch {
		return none, reconcile.Refuse("%s deploys branch %s now, and no longer %s, on which the image was brought in",
			deployed, branch, w.suspect.Branch)
	}
	s, err := f.survey(ctx)
	if err != nil {
		return none, err
	}
	out := reconcile.Origin{
		Applier: w.place.applier,
		Root:    reconcile.Root{By: w.place.kustomizationRef(), Path: cleanPath(k.Spec.Path)},
		Images:  len(k.Spec.Images) > 0,
		Applied: attemptedOf(k, deployed),
	}
	for _, l := range s.roots(repo, branch, deployed) {
		if l.ref != out.Root.By {
			out.Others = append(out.Others, l.root())
		}
	}
	c := choice{repo: repo, branch: branch, path: out.Root.Path, fixed: w.with != nil, suspect: w.suspect}
	if out.Source, err = f.source(ctx, s.writers(repo), c); err != nil {
		return none, err
	}
	if deployed.Kind != kindGitRepository && out.Source.ReadOnly == "" {
		out.Source.ReadOnly, err = f.otherBranch(ctx, deployed, branch)
		if err != nil {
			return none, err
		}
	}
	if out.Policies, err = f.policies(ctx, s.writers(repo), branch); err != nil {
		return none, err
	}
	out.Cascade, err = f.cascade(ctx, w.place, deployed)
	return out, err
}

// deployedBranch finds the GitRepository that is deployed, or the one that is named in its place, and the branch.
func (f *Flux) deployedBranch(ctx context.Context, w wish, deployed v1alpha1.ObjectRef,
) (*sourcev1.GitRepository, string, error) {
	isGit := deployed.Kind == kindGitRepository
	if !isGit && w.with == nil {
		return nil, "", reconcile.Refuse("%s is deployed from %s, which is no Git repository that Backstop could "+
			"write to: name the GitRepository that it is built from in the RollbackPolicy (spec.sourceRef)",
			w.place.kustomizationRef(), deployed)
	}
	var repo *sourcev1.GitRepository
	var branch string
	var err error
	if isGit {
		if repo, branch, err = f.repository(ctx, deployed); err != nil {
			return nil, "", err
		}
	}
	if w.with == nil {
		return repo, branch, nil
	}
	ref := refTo(kindGitRepository, w.with.Namespace, w.with.Name)
	if f.options.NoCrossNamespaceRefs && !w.place.touches(ref.Namespace) {
		return nil, "", reconcile.Refuse("the RollbackPolicy's spec.sourceRef names %s in another namespace, which "+
			"--no-cross-namespace-refs forbids", ref)
	}
	own, ownBranch, err := f.repository(ctx, ref)
	if apierrors.IsNotFound(err) {
		return nil, "", reconcile.Refuse("the RollbackPolicy's spec.sourceRef names %s, which does not exist", ref)
	}
	if err != nil {
		return nil, "", err
	}
	if isGit && ownBranch != branch {
		return nil, "", reconcile.Refuse("the RollbackPolicy's spec.sourceRef names %s, which follows branch %s, "+
			"while %s deploys %s: let both follow one branch", ref, ownBranch, deployed, branch)
	}
	return own, ownBranch, nil
}

// repository reads a GitRepository and the branch that it follows.
func (f *Flux) repository(ctx context.Context, ref v1alpha1.ObjectRef) (*sourcev1.GitRepository, string, error) {
	repo := &sourcev1.GitRepository{}
	if err := f.get(ctx, ref, repo); err != nil {
		return nil, "", err
	}
	branch, err := branchOf(repo.Spec.Reference, ref.String())
	return repo, branch, err
}

// otherBranch says why a revert on a branch does not reach an artifact that was built from something else.
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

// cascade is what to ask for a reconcile, in order: the source, what applies the Kustomization itself where its own
// file holds images, the Kustomization, the HelmRelease. Only a GitRepository fetches what was pushed; an OCIRepository
// waits for whoever builds its artifact.
func (f *Flux) cascade(ctx context.Context, p place, deployed v1alpha1.ObjectRef) ([]v1alpha1.ObjectRef, error) {
	var out []v1alpha1.ObjectRef
	if deployed.Kind == kindGitRepository {
		out = append(out, deployed)
	}
	k := p.kustomization
	if len(k.Spec.Images) > 0 {
		parent, err := f.parent(ctx, k)
		if err != nil {
			return nil, err
		}
		if parent != nil {
			if from := sourceRef(parent); from.Kind == kindGitRepository && from != deployed {
				out = append(out, from)
			}
			out = append(out, refTo(kindKustomization, parent.Namespace, parent.Name))
		}
	}
	out = append(out, p.kustomizationRef())
	if p.release != nil {
		out = append(out, p.applier)
	}
	return out, nil
}

// parent is the Kustomization that applies another one; nil where none does, or it applies itself.
func (f *Flux) parent(ctx context.Context, k *kustomizev1.Kustomization) (*kustomizev1.Kustomization, error) {
	id := objectID{Namespace: k.Namespace, Name: k.Name, Group: kustomizev1.GroupVersion.Group, Kind: kindKustomization}
	self := refTo(kindKustomization, k.Namespace, k.Name)
	for _, c := range claimsOf(k.Labels) {
		if c.Kind != kindKustomization || c == self {
			continue
		}
		up, err := f.confirm(ctx, self, id, c)
		if _, refused := reconcile.AsRefusal(err); refused {
			return nil, nil
		}
		return up.kustomization, err
	}
	return nil, nil
}

// reopenSource finds a source that only a hold in Git leads to: its roots are all that Flux renders of it.
func (f *Flux) reopenSource(ctx context.Context, su v1alpha1.Suspect, with *types.NamespacedName,
) (reconcile.Origin, error) {
	ref := su.Source
	if with != nil {
		ref = refTo(kindGitRepository, with.Namespace, with.Name)
	}
	repo, branch, err := f.repository(ctx, ref)
	if apierrors.IsNotFound(err) {
		return reconcile.Origin{}, reconcile.Refuse("%s does not exist any more", ref)
	}
	if err != nil {
		return reconcile.Origin{}, err
	}
	if branch != su.Branch {
		return reconcile.Origin{}, reconcile.Refuse("%s follows branch %s now, and no longer %s", ref, branch,
			su.Branch)
	}
	s, err := f.survey(ctx)
	if err != nil {
		return reconcile.Origin{}, err
	}
	out, err := f.whole(ctx, s, choice{repo: repo, branch: branch, fixed: true, suspect: &su})
	if err == nil && out.Root.By == (v1alpha1.ObjectRef{}) {
		err = reconcile.Refuse("no Kustomization or ImageUpdateAutomation of this cluster uses %s any more", ref)
	}
	return out, err
}

// Automated lists the sources that image automation of this cluster writes to, as reconcile.Flux asks. A source whose
// credentials may not be read is listed as read-only, with the reason.
func (f *Flux) Automated(ctx context.Context) ([]reconcile.Origin, error) {
	s, err := f.survey(ctx)
	if err != nil {
		return nil, err
	}
	var out []reconcile.Origin
	var done []automation
	for _, a := range s.automations {
		if a.elsewhere(a.checkout) != "" || slices.ContainsFunc(done, func(d automation) bool {
			return d.checkout == a.checkout && sameRepository(d.repo.Spec.URL, a.repo.Spec.URL)
		}) {
			continue
		}
		done = append(done, a)
		o, err := f.whole(ctx, s, choice{repo: a.repo, branch: a.checkout, path: a.path})
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// whole is the Origin of everything that a source deploys here: all its Kustomizations, or the folders that image
// automation updates where only other clusters deploy it.
func (f *Flux) whole(ctx context.Context, s *survey, c choice) (reconcile.Origin, error) {
	var out reconcile.Origin
	writers := s.writers(c.repo)
	var roots []reconcile.Root
	for _, l := range s.roots(c.repo, c.branch, refTo(kindGitRepository, c.repo.Namespace, c.repo.Name)) {
		roots = append(roots, l.root())
	}
	if len(roots) > 0 {
		out.Applier = roots[0].By
	} else {
		for _, a := range writers {
			roots = append(roots, reconcile.Root{By: a.ref, Path: a.path})
		}
	}
	if len(roots) > 0 {
		out.Root, out.Others = roots[0], roots[1:]
	}
	var err error
	out.Source, err = f.source(ctx, writers, c)
	if why, refused := reconcile.AsRefusal(err); refused {
		out.Source.ReadOnly, err = cmp.Or(out.Source.ReadOnly, why), nil
	}
	if err != nil {
		return out, err
	}
	out.Policies, err = f.policies(ctx, writers, c.branch)
	out.Cascade = []v1alpha1.ObjectRef{refTo(kindGitRepository, c.repo.Namespace, c.repo.Name)}
	return out, err
}
