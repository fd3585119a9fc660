package registry

import "github.com/backstop-dev/backstop/reconcile"

// IsCache reports whether an image is one of a cache that its address or an option names.
func (r *Registry) IsCache(ref string) bool {
	t, err := parse(ref, reconcile.Access{})
	return err == nil && r.cached(t)
}
