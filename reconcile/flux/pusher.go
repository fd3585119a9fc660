package flux

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// LendToAnnotation on a GitRepository names the namespaces, separated by commas, whose Kustomizations Backstop may push
// for with this GitRepository's credentials.
const LendToAnnotation = "backstop.dev/lend-to"

// title is the reason why a GitRepository's credentials may push what a Kustomization deploys. The stronger come first.
//
//	own       the GitRepository is in the Kustomization's namespace
//	platform  both are in namespaces of the platform (--platform-namespaces)
//	workload  it is in the namespace of the workload that fails, into which alone the files are deployed
//	lent      its owner lends it to the Kustomization's namespace (LendToAnnotation)
//
// That two GitRepositories have one URL is no title: anybody may write any URL. Nor is a label, an inventory, a status
// or update.path: whoever may edit Flux objects in one namespace can forge those there.
type title int

const (
	titleNone title = iota
	titleOwn
	titlePlatform
	titleWorkload
	titleLent
)

// claimant is for whom something is pushed.
type claimant struct {
	// kustomization that deploys the files.
	kustomization v1alpha1.ObjectRef
	// namespace of the workload that failed. That it is there nobody can forge without rights in it.
	namespace string
	// alone says that all the Kustomization applies lands in that namespace.
	alone bool
	// sharers are other Kustomizations that render the same files.
	sharers []leaf
}

// aloneIn says whether everything that one or more Kustomizations apply lands in a namespace.
func (c *claimant) aloneIn() bool {
	return c.alone && !slices.ContainsFunc(c.sharers, func(l leaf) bool { return !l.landsIn(c.namespace) })
}

// shared names a Kustomization of another namespace that renders the same files; empty where there is none.
func (c *claimant) shared() string {
	i := slices.IndexFunc(c.sharers, func(l leaf) bool { return l.ref.Namespace != c.kustomization.Namespace })
	if i < 0 {
		return ""
	}
	return c.sharers[i].ref.String()
}

// title says why a GitRepository may push for a claimant, or that it may not.
func (f *Flux) title(repo *sourcev1.GitRepository, c *claimant) title {
	owner := c.kustomization.Namespace
	switch {
	case repo.Namespace == owner:
		return titleOwn
	case f.isPlatform(repo.Namespace) && f.isPlatform(owner):
		return titlePlatform
	case repo.Namespace == c.namespace && c.aloneIn():
		return titleWorkload
	case lends(repo, owner) && c.shared() == "":
		return titleLent
	}
	return titleNone
}

func (f *Flux) isPlatform(namespace string) bool {
	return slices.Contains(f.options.Platform, namespace)
}

// lends says whether the owner of a GitRepository lends it to a namespace.
func lends(repo *sourcev1.GitRepository, namespace string) bool {
	return namespace != "" && slices.Contains(lentTo(repo), namespace)
}

func lentTo(repo *sourcev1.GitRepository) []string {
	return strings.FieldsFunc(repo.Annotations[LendToAnnotation], func(r rune) bool { return r == ',' || r == ' ' })
}

// lend is the command by which the owner of a GitRepository lends it.
func lend(repo *sourcev1.GitRepository, namespace string) string {
	return fmt.Sprintf("kubectl -n %s annotate gitrepository %s --overwrite %s=%s", repo.Namespace, repo.Name,
		LendToAnnotation, strings.Join(unique(append(lentTo(repo), namespace)...), ","))
}

// untitled says why a GitRepository may not push for a claimant, and what its owner does to let it.
func (f *Flux) untitled(repo *sourcev1.GitRepository, c *claimant) (why, command string) {
	ref := refTo(kindGitRepository, repo.Namespace, repo.Name)
	if by := c.shared(); by != "" && lends(repo, c.kustomization.Namespace) {
		return fmt.Sprintf("%s is lent to namespace %s, but %s renders the same files: who lends a GitRepository does "+
			"not lend the files of others, so revert it by hand", ref, c.kustomization.Namespace, by), ""
	}
	command = lend(repo, c.kustomization.Namespace)
	return fmt.Sprintf("%s belongs to namespace %s, and nobody there lets Backstop push with it for namespace %s. Its "+
		"owner does so by: %s", ref, repo.Namespace, c.kustomization.Namespace, command), command
}

// pusher is who pushes, and in whose name.
type pusher struct {
	repo *sourcev1.GitRepository
	// by is the automation whose author and key sign; nil for Backstop's own name.
	by *automation
	// readOnly says why nothing may be pushed, and lend what would let it.
	readOnly, lend string
	// aside says why the branch gets its changes by pull request.
	aside string
}

// pusher chooses with which GitRepository a branch is pushed: the one that a policy names, the one of an image
// automation that writes to the branch, or the one that is deployed; but only one that has a title.
func (f *Flux) pusher(writers []automation, c choice) pusher {
	trusted := f.trusted(writers, c)
	by, readOnly := pick(trusted, c)
	out := f.pushes(trusted, c, by, readOnly)
	if by != nil {
		out.aside = by.aside(c.branch)
	}
	return out
}

func (f *Flux) pushes(trusted []automation, c choice, by *automation, readOnly string) pusher {
	switch {
	case c.named != nil:
		if by != nil && !sameObject(by.repo, c.named) {
			by = f.signs(trusted, c, c.named)
		}
		return f.titled(c.named, by, readOnly, c)
	case by != nil && readOnly == "":
		if f.title(by.repo, c.claimant) != titleNone {
			return pusher{repo: by.repo, by: by}
		}
	case readOnly != "":
		return pusher{repo: c.repo, by: by, readOnly: readOnly}
	}
	return f.titled(c.repo, f.signs(trusted, c, c.repo), "", c)
}

func (f *Flux) titled(repo *sourcev1.GitRepository, by *automation, readOnly string, c choice) pusher {
	out := pusher{repo: repo, by: by, readOnly: readOnly}
	if f.title(repo, c.claimant) == titleNone {
		out.readOnly, out.lend = f.untitled(repo, c.claimant)
	}
	return out
}

func sameObject(a, b *sourcev1.GitRepository) bool {
	return a.Namespace == b.Namespace && a.Name == b.Name
}

// signs is the automation that writes to the branch with a GitRepository, or with another one of the same owner; nil
// where none does.
func (f *Flux) signs(trusted []automation, c choice, repo *sourcev1.GitRepository) *automation {
	for _, strange := range []func(a automation) bool{
		func(a automation) bool { return !sameObject(a.repo, repo) },
		func(a automation) bool {
			return a.repo.Namespace != repo.Namespace || a.ref.Namespace != repo.Namespace
		},
	} {
		if by, why := pick(slices.DeleteFunc(slices.Clone(trusted), strange), c); by != nil && why == "" {
			return by
		}
	}
	return nil
}

// trusted are the automations that have a say: they push with a GitRepository that has a title, and live where that
// one does, where the Kustomization or the workload does, in the platform's namespaces beside them, or where it is lent
// to. The one that wrote the suspect has a say in any case, since the file itself names its namespace. A stranger's
// automation has none, whatever its URL, path and name.
func (f *Flux) trusted(writers []automation, c choice) []automation {
	var out []automation
	for _, a := range writers {
		ns := a.ref.Namespace
		local := ns == a.repo.Namespace || ns == c.claimant.kustomization.Namespace || ns == c.claimant.namespace ||
			f.isPlatform(ns) && f.isPlatform(a.repo.Namespace) || lends(a.repo, ns)
		if c.wrote(a) || local && f.title(a.repo, c.claimant) != titleNone {
			a.title = f.title(a.repo, c.claimant)
			out = append(out, a)
		}
	}
	return out
}

// wrote says whether an automation wrote the suspect.
func (c *choice) wrote(a automation) bool {
	return c.suspect != nil && c.suspect.Automation != nil && *c.suspect.Automation == a.ref
}

// pick chooses the automation that speaks for a branch, and says why nothing may be pushed there, where it works on
// another one. The suspect's own automation comes first; then those that update the Kustomization's folder and push
// to the branch, those that update the folder and push elsewhere, and those that push to the branch for other folders.
// Of equals the stronger title counts, then the GitRepository that was used before or is deployed.
func pick(writers []automation, c choice) (*automation, string) {
	rank := func(a automation) int {
		direct := a.direct(c.branch)
		switch near := overlaps(a.path, c.path); {
		case c.wrote(a):
			return 0
		case near && direct:
			return 1
		case near:
			return 2
		case direct:
			return 3
		}
		return 4
	}
	same := func(a automation) int {
		if c.repo.Namespace == a.repo.Namespace && c.repo.Name == a.repo.Name {
			return 0
		}
		return 1
	}
	sorted := slices.Clone(writers)
	slices.SortStableFunc(sorted, func(a, b automation) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.title, b.title), cmp.Compare(same(a), same(b)),
			strings.Compare(a.ref.String(), b.ref.String()))
	})
	if len(sorted) == 0 || rank(sorted[0]) == 4 {
		return nil, ""
	}
	return &sorted[0], sorted[0].elsewhere(c.branch)
}

// push describes how the pusher pushes, where that is another GitRepository than the one that is read.
func (f *Flux) push(ctx context.Context, p pusher, read *sourcev1.GitRepository) (*reconcile.Pusher, error) {
	if p.readOnly != "" || sameObject(p.repo, read) {
		return nil, nil
	}
	auth, err := f.auth(ctx, p.repo)
	return &reconcile.Pusher{
		Name: types.NamespacedName{Namespace: p.repo.Namespace, Name: p.repo.Name}, URL: p.repo.Spec.URL,
		Timeout: timeoutOf(p.repo), Auth: auth,
	}, err
}
