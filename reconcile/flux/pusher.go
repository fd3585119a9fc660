package flux

import (
	"cmp"
	"context"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/reconcile"
)

// pusher is who pushes, and in whose name.
type pusher struct {
	repo *sourcev1.GitRepository
	// by is the automation whose author and key sign; nil for Backstop's own name.
	by *automation
	// readOnly explains why nothing may be pushed, and lend what would let it.
	readOnly, lend string
	// aside explains why the branch gets its changes by pull request.
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

// trusted are the automations that count. Such an automation pushes with a GitRepository that has a title, and is in
// the namespace of that GitRepository, of the Kustomization or of the workload, in a namespace of the platform, or in
// one that the GitRepository is lent to. The one that wrote the suspect always counts, since the file itself names its
// namespace. A stranger's automation never counts, under any URL, path or name.
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

// wrote reports whether an automation wrote the suspect.
func (c *choice) wrote(a automation) bool {
	return c.suspect != nil && c.suspect.Automation != nil && *c.suspect.Automation == a.ref
}

// pick chooses the automation that speaks for a branch, and explains why nothing may be pushed there, where it works on
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
