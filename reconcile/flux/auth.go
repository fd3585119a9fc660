package flux

import (
	"cmp"
	"context"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

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

// timeoutOf is how long one network operation of a GitRepository may take.
func timeoutOf(repo *sourcev1.GitRepository) time.Duration {
	if t := repo.Spec.Timeout; t != nil && t.Duration > 0 {
		return min(t.Duration, maxGitTimeout)
	}
	return defaultTimeout
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

// defaultTimeout is a GitRepository's, where it says none.
const defaultTimeout = time.Minute

// maxGitTimeout bounds what a GitRepository may ask for: it blocks a worker, and its mirror for everybody.
const maxGitTimeout = 3 * time.Minute
