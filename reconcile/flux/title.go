package flux

import (
	"fmt"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// claimant is for whom something is pushed.
type claimant struct {
	// kustomization that deploys the files.
	kustomization v1alpha1.ObjectRef
	// namespace of the workload that failed. That it is there nobody can forge without rights in it.
	namespace string
	// alone means that all the Kustomization applies lands in that namespace.
	alone bool
	// sharers are other Kustomizations that render the same files.
	sharers []leaf
}

// aloneIn reports whether everything that one or more Kustomizations apply lands in a namespace.
func (c *claimant) aloneIn() bool {
	return c.alone && !slices.ContainsFunc(c.sharers, func(l leaf) bool { return !l.landsIn(c.namespace) })
}

// shared names a Kustomization of another namespace that renders the same files; empty if absent.
func (c *claimant) shared() string {
	i := slices.IndexFunc(c.sharers, func(l leaf) bool { return l.ref.Namespace != c.kustomization.Namespace })
	if i < 0 {
		return ""
	}
	return c.sharers[i].ref.String()
}

// title explains why a GitRepository may push for a claimant, or that it may not.
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

// lends reports whether the owner of a GitRepository lends it to a namespace.
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

// untitled explains why a GitRepository may not push for a claimant, and what its owner does to let it.
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

// choice is what decides with whose credentials a branch is pushed.
type choice struct {
	// repo is deployed, or stands for a source of another kind; it is read.
	repo *sourcev1.GitRepository
	// named by a policy to push with; nil where none is.
	named *sourcev1.GitRepository
	// branch that Flux deploys.
	branch string
	// path of the Kustomization: an automation that updates it comes before others.
	path string
	// suspect that is reopened: its automation comes first; nil for a workload.
	suspect *v1alpha1.Suspect
	// claimant is for whom it is pushed.
	claimant *claimant
}

func sameObject(a, b *sourcev1.GitRepository) bool {
	return a.Namespace == b.Namespace && a.Name == b.Name
}
