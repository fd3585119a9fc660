package flux

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// WithLogin gives a source with a login for its provider's API: of the Secrets that policies name, the first that may
// be sent to where the source leads. Whoever owns a GitRepository chooses its URL, its proxy and its certificates, and
// so who gets to read what is sent there: a Secret goes to a GitRepository of its own namespace or of the platform's,
// and to no other. Where that pushes with one that it may not be sent to, the one that is deployed tells where the API
// is.
func (f *Flux) WithLogin(ctx context.Context, names []types.NamespacedName, src reconcile.Source,
) (reconcile.Source, error) {
	for _, to := range []types.NamespacedName{src.Pushes(), src.Name} {
		i := slices.IndexFunc(names, func(secret types.NamespacedName) bool {
			return secret.Namespace == to.Namespace || f.isPlatform(to.Namespace)
		})
		if i < 0 {
			continue
		}
		data, err := f.secret(ctx, names[i].Namespace, names[i].Name, loginBy(names[i]))
		if err != nil {
			return src, err
		}
		if to == src.Name {
			src.Push = nil
		}
		src.API = &reconcile.Login{Name: names[i], Auth: reconcile.Auth{Secret: data}}
		return src, nil
	}
	if len(names) == 0 {
		return src, nil
	}
	return src, reconcile.Refuse("Secret %s, which %s names, is not sent to where %s leads: whoever owns that "+
		"GitRepository would get to read it; name a Secret in a RollbackPolicy of namespace %s, or start Backstop with "+
		"that namespace in --platform-namespaces", names[0], loginBy(names[0]), refTo(kindGitRepository,
		src.Pushes().Namespace, src.Pushes().Name), src.Pushes().Namespace)
}

// loginBy is the field that names a login.
func loginBy(secret types.NamespacedName) v1alpha1.ObjectRef {
	return v1alpha1.ObjectRef{Kind: "RollbackPolicy", Namespace: secret.Namespace, Name: "spec.pullRequest.secretRef"}
}
