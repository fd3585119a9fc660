package watcher

// Tenant is whose a namespace is, for what is shared out among tenants: the value of the tenants' label on it. Only who
// may write Namespaces sets that, so that no tenant makes itself many. A namespace without the label is a tenant of its
// own. No namespace has the name of a tenant.
func (w *Watcher) Tenant(namespace string) string {
	m, err := w.namespace(namespace)
	if err != nil || m == nil || w.opts.TenantLabel == "" || m.Labels[w.opts.TenantLabel] == "" {
		return namespace
	}
	return "tenant:" + m.Labels[w.opts.TenantLabel]
}
