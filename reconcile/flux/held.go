package flux

import (
	"context"
	"slices"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// reopenSource finds a source that only a hold in Git leads to: its roots are all that Flux renders of it. namespace is
// that of the Rollback.
func (f *Flux) reopenSource(ctx context.Context, namespace string, su v1alpha1.Suspect, with *types.NamespacedName,
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
	s, err := f.survey(ctx, time.Time{})
	if err != nil {
		return reconcile.Origin{}, err
	}
	c := choice{repo: repo, branch: branch, suspect: &su, claimant: s.claimantOf(f, repo, namespace)}
	if f.title(repo, c.claimant) == titleNone {
		why, _ := f.untitled(repo, c.claimant)
		return reconcile.Origin{}, reconcile.Refuse("%s", why)
	}
	out, err := f.whole(ctx, s, s.writers(repo), c)
	if err == nil && out.Root.By == (v1alpha1.ObjectRef{}) {
		err = reconcile.Refuse("no Kustomization or ImageUpdateAutomation of this cluster uses %s any more", ref)
	}
	return out, err
}

// claimantOf is a Kustomization that deploys a GitRepository into a namespace and may push with it, or else the
// namespace itself.
func (s *survey) claimantOf(f *Flux, repo *sourcev1.GitRepository, namespace string) *claimant {
	ref := refTo(kindGitRepository, repo.Namespace, repo.Name)
	for _, l := range s.leaves {
		c := &claimant{kustomization: l.ref, namespace: namespace, alone: l.landsIn(namespace)}
		if l.source == ref && (l.ref.Namespace == namespace || slices.Contains(l.lands, namespace)) &&
			f.title(repo, c) != titleNone {
			return c
		}
	}
	return &claimant{kustomization: v1alpha1.ObjectRef{Kind: kindKustomization, Namespace: namespace},
		namespace: namespace}
}

// Automated lists the sources that image automation of this cluster writes to, as reconcile.Flux asks. A source whose
// credentials may not be read is listed as read-only, with the reason.
func (f *Flux) Automated(ctx context.Context) ([]reconcile.Origin, error) {
	s, err := f.survey(ctx, time.Time{})
	if err != nil {
		return nil, err
	}
	var out []reconcile.Origin
	var done []automation
	for _, a := range s.automations {
		if a.elsewhere(a.checkout) != "" || slices.ContainsFunc(done, func(d automation) bool { return d.covers(a) }) {
			continue
		}
		writers := slices.DeleteFunc(slices.Clone(s.automations), func(w automation) bool {
			// What was listed for another GitRepository of the namespace is not listed twice.
			return !sameObject(w.repo, a.repo) ||
				slices.ContainsFunc(done, func(d automation) bool { return d.covers(w) })
		})
		done = append(done, writers...)
		owner := v1alpha1.ObjectRef{Kind: kindKustomization, Namespace: a.repo.Namespace}
		o, err := f.whole(ctx, s, writers, choice{
			repo: a.repo, branch: a.checkout, path: a.path,
			claimant: &claimant{kustomization: owner, namespace: a.ref.Namespace},
		})
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// covers reports whether two automations of one namespace write to one branch. Those of another namespace cover
// nothing: a stranger's, who has no access, would keep holds from being found.
func (a automation) covers(b automation) bool {
	return a.ref.Namespace == b.ref.Namespace && a.checkout == b.checkout &&
		sameRepository(a.repo.Spec.URL, b.repo.Spec.URL)
}

// whole is the Origin of everything that a source deploys here: all its Kustomizations, or the folders that image
// automation updates where only other clusters deploy it.
func (f *Flux) whole(ctx context.Context, s *survey, writers []automation, c choice) (reconcile.Origin, error) {
	var out reconcile.Origin
	var roots []reconcile.Root
	for _, l := range s.roots(c.repo, c.branch, refTo(kindGitRepository, c.repo.Namespace, c.repo.Name)) {
		roots = append(roots, l.root())
		out.Namespaces = append(out.Namespaces, f.reaches(l)...)
	}
	slices.Sort(out.Namespaces)
	out.Namespaces = slices.Compact(out.Namespaces)
	if len(roots) > 0 {
		out.Reconciler = roots[0].By
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
		if out.Source.ReadOnly == "" {
			out.Source.ReadOnly, out.Source.ReadOnlyKind = why, reconcile.KindOf(err)
		}
		err = nil
	}
	if err != nil {
		return out, err
	}
	out.Policies, err = f.policies(ctx, writers, c.branch, time.Time{})
	return out, err
}

// reaches lists the namespaces that a Kustomization deploys into, as far as it is believed: who may edit a namespace
// writes whatever it likes into the status of a Kustomization there.
func (f *Flux) reaches(l leaf) []string {
	if f.isPlatform(l.ref.Namespace) {
		return l.lands
	}
	return slices.DeleteFunc(slices.Clone(l.lands), func(ns string) bool { return ns != l.ref.Namespace })
}

// landsIn reports whether everything that a place's appliers apply lands in one namespace.
func (p place) landsIn(namespace string) bool {
	if p.release != nil {
		for _, e := range helmInventory(p.release) {
			if id, err := parseID(e.id); err != nil || id.Namespace != "" && id.Namespace != namespace {
				return false
			}
		}
	}
	return landsIn(landing(p.kustomization), namespace)
}
