package flux

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func (l leaf) root() reconcile.Root { return reconcile.Root{By: l.ref, Path: l.path} }

// survey lists GitRepositories, ImageUpdateAutomations and Kustomizations. What is not installed is empty. One that
// began at since or later will do, where since is not zero.
func (f *Flux) survey(ctx context.Context, since time.Time) (*survey, error) {
	return f.surveys.Do(ctx, "", since, f.look)
}

func (f *Flux) look(ctx context.Context) (*survey, error) {
	s := &survey{repos: map[types.NamespacedName]*sourcev1.GitRepository{}}
	err := each(ctx, f, kindGitRepository, f.options.Namespaces, func(repos *sourcev1.GitRepositoryList) {
		for i := range repos.Items {
			r := &repos.Items[i]
			s.repos[types.NamespacedName{Namespace: r.Namespace, Name: r.Name}] = r
		}
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, f, kindAutomation, f.options.Namespaces, func(autos *automationv1.ImageUpdateAutomationList) {
		for i := range autos.Items {
			if a, ok := f.automation(&autos.Items[i], s.repos); ok {
				s.automations = append(s.automations, a)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, f, kindKustomization, f.options.Namespaces, func(ks *kustomizev1.KustomizationList) {
		for i := range ks.Items {
			k := &ks.Items[i]
			s.leaves = append(s.leaves, leaf{
				ref: refTo(kindKustomization, k.Namespace, k.Name), path: cleanPath(k.Spec.Path), source: sourceRef(k),
				lands: landing(k),
			})
		}
	})
	slices.SortFunc(s.automations, func(a, b automation) int { return cmp.Compare(a.ref.String(), b.ref.String()) })
	slices.SortFunc(s.leaves, func(a, b leaf) int { return cmp.Compare(a.ref.String(), b.ref.String()) })
	return s, err
}

// sourceRef is what a Kustomization is deployed from.
func sourceRef(k *kustomizev1.Kustomization) v1alpha1.ObjectRef {
	r := k.Spec.SourceRef
	return refTo(r.Kind, cmp.Or(r.Namespace, k.Namespace), r.Name)
}

// automation reads where an ImageUpdateAutomation writes. It is none of ours when its GitRepository is not there, or
// may not be referred to.
func (f *Flux) automation(obj *automationv1.ImageUpdateAutomation,
	repos map[types.NamespacedName]*sourcev1.GitRepository,
) (automation, bool) {
	ref := obj.Spec.SourceRef
	ns := cmp.Or(ref.Namespace, obj.Namespace)
	if f.options.NoCrossNamespaceRefs && ns != obj.Namespace {
		return automation{}, false
	}
	repo := repos[types.NamespacedName{Namespace: ns, Name: ref.Name}]
	if repo == nil || cmp.Or(ref.Kind, kindGitRepository) != kindGitRepository {
		return automation{}, false
	}
	a := automation{ref: refTo(kindAutomation, obj.Namespace, obj.Name), obj: obj, repo: repo}
	if obj.Spec.Update != nil {
		a.path = cleanPath(obj.Spec.Update.Path)
	}
	checkout := repo.Spec.Reference
	git := obj.Spec.GitSpec
	if git != nil && git.Checkout != nil {
		checkout = &git.Checkout.Reference
	}
	var err error
	if a.checkout, err = branchOf(checkout, a.ref.String()); err != nil {
		a.says = err.Error()
		return a, true
	}
	a.push = a.checkout
	if git == nil || git.Push == nil {
		return a, true
	}
	switch push := git.Push; {
	case push.Branch != "":
		a.push = push.Branch
	case push.Refspec != "":
		a.push = strings.TrimPrefix(destination(push.Refspec), "refs/heads/")
	}
	return a, true
}

// destination is the right side of a refspec; one side alone is both.
func destination(refspec string) string {
	src, dst, ok := strings.Cut(refspec, ":")
	if !ok {
		return src
	}
	return dst
}

// elsewhere explains why nothing that an automation writes is for the branch that is deployed; empty when it is.
func (a automation) elsewhere(branch string) string {
	switch {
	case a.says != "":
		return a.says
	case a.checkout != branch:
		return a.ref.String() + " works on branch " + a.checkout + ", while Flux deploys " + branch +
			": revert it there, or merge a revert into " + branch
	}
	return ""
}

// aside reports that an automation starts from the branch that is deployed and pushes to another one; empty when it
// does not.
func (a automation) aside(branch string) string {
	if a.elsewhere(branch) != "" || a.push == branch {
		return ""
	}
	return a.ref.String() + " pushes to " + a.push + ", while Flux deploys " + branch + ": changes reach " + branch +
		" by a pull request only"
}

// direct reports whether an automation pushes to the branch that is deployed.
func (a automation) direct(branch string) bool { return a.elsewhere(branch) == "" && a.push == branch }

// writers are the automations of one repository.
func (s *survey) writers(repo *sourcev1.GitRepository) []automation {
	var out []automation
	for _, a := range s.automations {
		if sameRepository(a.repo.Spec.URL, repo.Spec.URL) {
			out = append(out, a)
		}
	}
	return out
}

// roots are the Kustomizations that are deployed from one repository and branch, or from the very same source object.
func (s *survey) roots(repo *sourcev1.GitRepository, branch string, deployed v1alpha1.ObjectRef) []leaf {
	var out []leaf
	for _, l := range s.leaves {
		if l.source == deployed || s.deploys(l.source, repo, branch) {
			out = append(out, l)
		}
	}
	return out
}

func (s *survey) deploys(source v1alpha1.ObjectRef, repo *sourcev1.GitRepository, branch string) bool {
	if source.Kind != kindGitRepository {
		return false
	}
	other := s.repos[types.NamespacedName{Namespace: source.Namespace, Name: source.Name}]
	if other == nil || !sameRepository(other.Spec.URL, repo.Spec.URL) {
		return false
	}
	b, err := branchOf(other.Spec.Reference, "")
	return err == nil && b == branch
}

// landing lists the namespaces that a Kustomization applies something into, as far as its spec and inventory say.
func landing(k *kustomizev1.Kustomization) []string {
	var out []string
	for _, e := range kustomizeInventory(k) {
		id, err := parseID(e.id)
		if err == nil && id.Namespace != "" && !slices.Contains(out, id.Namespace) {
			out = append(out, id.Namespace)
		}
	}
	if t := k.Spec.TargetNamespace; t != "" && !slices.Contains(out, t) {
		out = append(out, t)
	}
	return out
}

// lands are the namespaces that Kustomizations apply into, of those that an owner can vouch for: its own and the
// platform's. The platform's namespaces hold Flux's own objects, and what is not watched is nobody's here.
func (f *Flux) lands(s *survey, roots []reconcile.Root, owner string) map[v1alpha1.ObjectRef][]string {
	out := map[v1alpha1.ObjectRef][]string{}
	for _, l := range s.leaves {
		beside := slices.ContainsFunc(roots, func(r reconcile.Root) bool { return r.By == l.ref })
		if !beside || l.ref.Namespace != owner && !f.isPlatform(l.ref.Namespace) {
			continue
		}
		out[l.ref] = slices.DeleteFunc(slices.Clone(l.lands), func(ns string) bool {
			return f.isPlatform(ns) || len(f.options.Namespaces) > 0 && !slices.Contains(f.options.Namespaces, ns)
		})
	}
	return out
}

// landsIn reports whether everything lands in one namespace.
func landsIn(all []string, namespace string) bool {
	return len(all) > 0 && !slices.ContainsFunc(all, func(ns string) bool { return ns != namespace })
}

func (l leaf) landsIn(namespace string) bool { return landsIn(l.lands, namespace) }
