package trigger

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// One tenant opens the breaker for itself alone, however many namespaces it has.
func TestOneTenantDoesNotOpenTheBreakerForAll(t *testing.T) {
	// An image is told by its namespace and its name; whose a namespace is, by its first letter.
	record := func(what string, i int) v1alpha1.Rollback {
		ns, app, _ := strings.Cut(what, "/")
		r := reconcile.NewRollback(reconcile.ImageKey(ns, "registry.test/"+app+":v2"), v1alpha1.TriggerImagePull, 1)
		r.UID = types.UID(what)
		r.Status.Failures = []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull}}
		r.Status.Target = &v1alpha1.Target{Image: "registry.test/" + app + ":v1", Proved: i < 0}
		return *r
	}
	for name, tt := range map[string]struct {
		open  string
		label bool
		// says is what is said to who is asked first; empty for nothing.
		says string
	}{
		"two images":                           {"p1/a p1/b", true, ""},
		"three of one namespace":               {"p1/a p1/b p1/c", true, "3 images of registry.test"},
		"three namespaces":                     {"p1/a q1/a r1/a", false, "in 3 namespaces"},
		"three tenants":                        {"p1/a q1/a r1/a", true, "in 3 namespaces"},
		"three tenants, one of two namespaces": {"p1/a q1/a q2/a r1/a", true, "in 4 namespaces"},
		"another tenant's three namespaces":    {"p1/a q1/a q2/b q3/c", true, ""},
		"they count as such where nobody says": {"p1/a q1/a q2/b q3/c", false, "in 4 namespaces"},
		"one's own three namespaces":           {"p1/a p2/a p3/a", true, "in 3 namespaces"},
		"one's own three images":               {"p1/a p2/b p2/c", true, "3 images of registry.test"},
	} {
		t.Run(name, func(t *testing.T) {
			var open []v1alpha1.Rollback
			for i, what := range strings.Fields(tt.open) {
				open = append(open, record(what, i))
			}
			w := &reconcile.World{Rollback: open[0]}
			if tt.label {
				w.Tenant = func(ns string) string { return ns[:1] }
			}
			if got := breaker(w, open); (got == "") != (tt.says == "") || !strings.Contains(got, tt.says) {
				t.Errorf("it says %q, want %q", got, tt.says)
			}
		})
	}
}
