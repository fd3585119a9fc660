package flux

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// defaultTimeout is a GitRepository's, where it says none.
const defaultTimeout = time.Minute

// choice is what decides with whose credentials a branch is pushed.
type choice struct {
	// repo is deployed, or named by a policy; then fixed keeps it.
	repo  *sourcev1.GitRepository
	fixed bool
	// branch that Flux deploys.
	branch string
	// path of the Kustomization: an automation that updates it comes before others.
	path string
	// suspect that is reopened: its automation and its GitRepository come first; nil for a workload.
	suspect *v1alpha1.Suspect
}

// source makes the Source of a branch: the automation's GitRepository, since that is the one that must have write
// access, its author and its key. Where none writes to the branch, it is the deployed GitRepository and Backstop's
// name.
func (f *Flux) source(ctx context.Context, writers []automation, c choice) (reconcile.Source, error) {
	if f.options.NoCrossNamespaceRefs {
		writers = slices.DeleteFunc(slices.Clone(writers),
			func(a automation) bool { return a.repo.Namespace != c.repo.Namespace })
	}
	by, readOnly := pick(writers, c)
	repo := c.repo
	if by != nil && readOnly == "" && !c.fixed {
		repo = by.repo
	}
	out := reconcile.Source{
		Name: types.NamespacedName{Namespace: repo.Namespace, Name: repo.Name}, URL: repo.Spec.URL, Branch: c.branch,
		Timeout: defaultTimeout, AuthorName: f.options.AuthorName, AuthorEmail: f.options.AuthorEmail,
		Verified: verified(c.repo) || verified(repo), ReadOnly: readOnly,
	}
	if t := repo.Spec.Timeout; t != nil && t.Duration > 0 {
		out.Timeout = t.Duration
	}
	var err error
	if out.Auth, err = f.auth(ctx, repo); err != nil || by == nil || by.obj.Spec.GitSpec == nil {
		return out, err
	}
	commit := by.obj.Spec.GitSpec.Commit
	out.AuthorName = cmp.Or(commit.Author.Name, out.AuthorName)
	out.AuthorEmail = cmp.Or(commit.Author.Email, out.AuthorEmail)
	if commit.SigningKey != nil {
		out.Signing, err = f.signingKey(ctx, by.ref, commit.SigningKey)
		if why, refused := reconcile.AsRefusal(err); refused {
			// What came from where can still be told; only pushing needs the key.
			out.NoKey, out.ReadOnly, err = why, cmp.Or(out.ReadOnly, why), nil
		}
	}
	return out, err
}

// verified says whether source-controller only takes signed commits.
func verified(repo *sourcev1.GitRepository) bool {
	v := repo.Spec.Verification
	return v != nil && v.GetMode() != sourcev1.ModeGitTag
}

// pick chooses the automation that speaks for a branch, and says why nothing may be pushed there, where it works by
// pull requests. The suspect's own automation comes first; then those that update the Kustomization's folder and push
// to the branch, those that update the folder and push elsewhere, and those that push to the branch for other folders.
func pick(writers []automation, c choice) (*automation, string) {
	rank := func(a automation) int {
		direct := a.elsewhere(c.branch) == ""
		switch near := overlaps(a.path, c.path); {
		case c.suspect != nil && c.suspect.Automation != nil && *c.suspect.Automation == a.ref:
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
		name := types.NamespacedName{Namespace: a.repo.Namespace, Name: a.repo.Name}
		switch {
		case c.suspect != nil && c.suspect.Source.Namespace == name.Namespace && c.suspect.Source.Name == name.Name:
			return 0
		case c.repo.Namespace == name.Namespace && c.repo.Name == name.Name:
			return 1
		}
		return 2
	}
	sorted := slices.Clone(writers)
	slices.SortStableFunc(sorted, func(a, b automation) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(same(a), same(b)), strings.Compare(a.ref.String(),
			b.ref.String()))
	})
	if len(sorted) == 0 || rank(sorted[0]) == 4 {
		return nil, ""
	}
	return &sorted[0], sorted[0].elsewhere(c.branch)
}

// auth reads the credentials of a GitRepository.
func (f *Flux) auth(ctx context.Context, repo *sourcev1.GitRepository) (reconcile.Auth, error) {
	ref := refTo(kindGitRepository, repo.Namespace, repo.Name)
	out := reconcile.Auth{Provider: cmp.Or(repo.Spec.Provider, "generic")}
	var err error
	if repo.Spec.SecretRef != nil {
		if out.Secret, err = f.secret(ctx, repo.Namespace, repo.Spec.SecretRef.Name, ref); err != nil {
			return reconcile.Auth{}, err
		}
	}
	if repo.Spec.ProxySecretRef != nil {
		if out.Proxy, err = f.secret(ctx, repo.Namespace, repo.Spec.ProxySecretRef.Name, ref); err != nil {
			return reconcile.Auth{}, err
		}
	}
	return out, nil
}

// signingKey reads the key that an automation signs its commits with; the Secret is in the automation's namespace.
func (f *Flux) signingKey(ctx context.Context, by v1alpha1.ObjectRef, k *automationv1.SigningKey,
) (*reconcile.SigningKey, error) {
	data, err := f.secret(ctx, by.Namespace, k.SecretRef.Name, by)
	if err != nil {
		return nil, err
	}
	kind := cmp.Or(k.Type, automationv1.SigningKeyTypeGPG)
	keyName, passName := "git.asc", "passphrase"
	switch kind {
	case automationv1.SigningKeyTypeGPG:
	case automationv1.SigningKeyTypeSSH:
		keyName, passName = "identity", "password"
	default:
		return nil, reconcile.Refuse("%s signs with a key of type %q, which Backstop does not know: gpg and ssh are",
			by, string(kind))
	}
	if len(data[keyName]) == 0 {
		return nil, reconcile.Refuse("Secret %s/%s, which %s signs with, holds no %s", by.Namespace, k.SecretRef.Name,
			by, keyName)
	}
	return &reconcile.SigningKey{Type: string(kind), Key: data[keyName], Passphrase: data[passName]}, nil
}
