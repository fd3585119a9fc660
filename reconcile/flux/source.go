package flux

import (
	"cmp"
	"context"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// defaultTimeout is a GitRepository's, where it says none.
const defaultTimeout = time.Minute

// maxGitTimeout bounds what a GitRepository may ask for: it blocks a worker, and its mirror for everybody.
const maxGitTimeout = 3 * time.Minute

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

// source makes the Source of a branch: it is read as Flux reads what is deployed, and pushed with what may push there.
// Author and key are those of the automation that pushes with it too; where none does, Backstop's own.
func (f *Flux) source(ctx context.Context, writers []automation, c choice) (reconcile.Source, error) {
	p := f.pusher(writers, c)
	out := reconcile.Source{
		Name: types.NamespacedName{Namespace: c.repo.Namespace, Name: c.repo.Name}, URL: c.repo.Spec.URL, Branch: c.branch,
		Timeout: timeoutOf(c.repo), AuthorName: f.options.AuthorName, AuthorEmail: f.options.AuthorEmail,
		Verified: verified(c.repo) || verified(p.repo), ReadOnly: p.readOnly, Lend: p.lend, Aside: p.aside,
	}
	var err error
	if out.Auth, err = f.auth(ctx, c.repo); err != nil {
		return out, err
	}
	out.Push, err = f.push(ctx, p, c.repo)
	if why, refused := reconcile.AsRefusal(err); refused {
		out.Push, out.ReadOnly, out.ReadOnlyKind, err = nil, why, reconcile.KindOf(err), nil
	}
	if err != nil || p.by == nil || p.by.obj.Spec.GitSpec == nil {
		return out, err
	}
	commit := p.by.obj.Spec.GitSpec.Commit
	out.AuthorName = cmp.Or(commit.Author.Name, out.AuthorName)
	out.AuthorEmail = cmp.Or(commit.Author.Email, out.AuthorEmail)
	if commit.SigningKey != nil {
		out.Signing, err = f.signingKey(ctx, p.by.ref, commit.SigningKey)
		if why, refused := reconcile.AsRefusal(err); refused {
			// What came from where can still be told; only pushing needs the key.
			out.NoKeyUnread = f.options.Person && reconcile.KindOf(err) == reconcile.FaultNoRights
			if out.NoKey = why; out.ReadOnly == "" {
				out.ReadOnly, out.ReadOnlyKind = why, reconcile.KindOf(err)
			}
			err = nil
		}
	}
	return out, err
}

// timeoutOf is how long one network operation of a GitRepository may take.
func timeoutOf(repo *sourcev1.GitRepository) time.Duration {
	if t := repo.Spec.Timeout; t != nil && t.Duration > 0 {
		return min(t.Duration, maxGitTimeout)
	}
	return defaultTimeout
}

// verified says whether source-controller only takes signed commits.
func verified(repo *sourcev1.GitRepository) bool {
	v := repo.Spec.Verification
	return v != nil && v.GetMode() != sourcev1.ModeGitTag
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
		return nil, reconcile.RefuseAs(reconcile.FaultNotFound, "Secret %s/%s, which %s signs with, holds no %s",
			by.Namespace, k.SecretRef.Name, by, keyName)
	}
	return &reconcile.SigningKey{Type: string(kind), Key: data[keyName], Passphrase: data[passName]}, nil
}
