package trigger

import (
	"fmt"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/reconcile"
)

// Pull sees containers that wait for an image which cannot be pulled.
func Pull() reconcile.Trigger {
	return reconcile.Trigger{
		Type: v1alpha1.TriggerImagePull, Observe: among(v1alpha1.TriggerImagePull, failedPulls), Ended: pulled,
		Gone: pulledBefore, Doubts: doubtsOfPull, Breaker: breaker,
	}
}

func failedPulls(o *reconcile.Observation, pods *reconcile.PodsSeen) {
	o.Pods, o.Over, o.RanHere = pods.Pods, pods.Started, pods.RanHere
}

// pulled: only a container that is seen to have started proves that the image can be pulled.
func pulled(w *reconcile.World) *reconcile.Ending {
	return recovered(w, v1alpha1.TriggerImagePull, "runs the image after all")
}

func pulledBefore(w *reconcile.World) reconcile.Ending {
	if e := pulled(w); e != nil {
		return *e
	}
	return reconcile.Ending{Result: v1alpha1.ResultRecovered, Sentence: "the failure was gone before it could be recorded"}
}

// doubtsOfPull: only what is the image's own fault is reverted without a person, and only an image that never ran.
func doubtsOfPull(w *reconcile.World) []v1alpha1.Doubt {
	var out []v1alpha1.Doubt
	for _, c := range w.Rollback.Status.CausesOf(v1alpha1.TriggerImagePull) {
		if !c.ImageFault() {
			out = append(out, v1alpha1.Doubt{Type: v1alpha1.DoubtCause,
				Message: fmt.Sprintf("the cause is %s, which need not be the image's fault", c)})
		}
	}
	if w.RanHere != "" {
		out = append(out, v1alpha1.Doubt{Type: v1alpha1.DoubtRanHere, Message: "the image has run here: " + w.RanHere})
	}
	return out
}

// breakerAt is how many images of one registry must be unprovable for one tenant, with their targets, or in how many of
// its namespaces, for the breaker to open there, and for how many tenants for it to open in all: none keeps the others
// from being reverted.
const breakerAt = 3

// breaker explains why the registry itself is the suspect; empty where it is not.
func breaker(w *reconcile.World, open []v1alpha1.Rollback) string {
	rb := &w.Rollback
	host := image.Host(rb.Spec.Subject.Image())
	own := tenantOf(w, rb.Namespace)
	images, in, all, tenants := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	add := func(o *v1alpha1.Rollback) {
		if !unproved(&o.Status) {
			return
		}
		whose := tenantOf(w, o.Namespace)
		all[o.Namespace], tenants[whose] = true, true
		if whose == own {
			images[o.Spec.Subject.Image()], in[o.Namespace] = true, true
		}
	}
	add(rb)
	for i := range open {
		o := &open[i]
		if o.UID != rb.UID && image.Host(o.Spec.Subject.Image()) == host && o.Status.Verdict == nil {
			add(o)
		}
	}
	if len(tenants) >= breakerAt {
		in = all
	}
	switch {
	case len(images) >= breakerAt:
		return fmt.Sprintf("breaker: %d images of %s and what they replaced cannot be proved, the registry is the suspect",
			len(images), host)
	case len(in) >= breakerAt:
		return fmt.Sprintf("breaker: images of %s and what they replaced cannot be proved in %d namespaces, "+
			"the registry is the suspect", host, len(in))
	}
	return ""
}

// tenantOf is whose a namespace is.
func tenantOf(w *reconcile.World, namespace string) string {
	if w.Tenant == nil {
		return namespace
	}
	return w.Tenant(namespace)
}

func unproved(s *v1alpha1.RollbackStatus) bool {
	return s.Target != nil && !s.Target.Proved && !s.Target.BadProved && s.SeenBy(v1alpha1.TriggerImagePull)
}
