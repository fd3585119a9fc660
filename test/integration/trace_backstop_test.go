package integration

import (
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// mishapsThatBackstopAsksAbout are those whose fix is a decision: a sidecar runs, and a policy has people decide.
func mishapsThatBackstopAsksAbout() map[string]mishap {
	bad := func(w *World) { w.publishBad(backend, w.nextTag()) }
	// decided does one of the commands of a fix.
	decided := func(begin string) func(w *World, fix string) {
		return func(w *World, fix string) {
			i := strings.Index(fix, begin)
			if i < 0 {
				w.t.Fatalf("%q does not say %s", fix, begin)
			}
			w.do(fix[i:])
		}
	}
	// held has an image reverted, so that its marker is held.
	held := func(lift v1alpha1.LiftMode) func(w *World) {
		return func(w *World) {
			policyTo(func(s *v1alpha1.RollbackPolicySpec) { s.Triggers[0].Mode, s.Lift = v1alpha1.ModeAuto, lift })(w)
			tag := w.nextTag()
			w.ends(prod, w.publishBad(backend, tag), v1alpha1.ResultVerified)
		}
	}
	asking := policyTo(func(s *v1alpha1.RollbackPolicySpec) {
		s.Triggers[0].Mode, s.Lift = v1alpha1.ModeApprove, v1alpha1.LiftNewerImage
	})
	byHand := func(w *World) {
		w.Publish(backend, "by-hand")
		w.kubectl(prod, "set", "image", "deploy/backend", "backend="+w.Fleet.Image(backend, "by-hand"))
	}
	return map[string]mishap{
		"an image cannot be pulled, and Backstop asks": {
			hop: "pods", why: "waits with production-v1.", fix: "or approve the revert: backstop approve ", spoil: bad, mend: decided("backstop approve "), after: next,
		},
		"the marker is held until a newer image": {
			hop: "marker", why: "Backstop holds image automation off: production-v1.", fix: "push a newer image that can run, or: backstop lift ",
			spoil: held(v1alpha1.LiftNewerImage), mend: by(next), after: asking,
		},
		"the marker is held until somebody lets it go": {
			hop: "marker", why: "Backstop holds image automation off: production-v1.", fix: "backstop lift ",
			spoil: all(held(v1alpha1.LiftManual), next), mend: decided("backstop lift "), after: asking,
		},
		"somebody changed the image, and Backstop restores it": {
			hop: "workload", why: "set by kubectl-set", fix: "restore what Git says: backstop reject ", spoil: byHand, mend: decided("backstop reject "),
		},
	}
}

func TestTraceNamesTheDecisionsThatBackstopAsksFor(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps(backend))
	startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove), func(p *v1alpha1.RollbackPolicy) {
		p.Spec.Cooldown.Duration = 0
		p.Spec.Triggers = append(p.Spec.Triggers, v1alpha1.PolicyTrigger{Type: v1alpha1.TriggerDrift, Mode: v1alpha1.ModeApprove})
	})
	w.Settle()
	g := w.tracer()
	w.Until("everything is where it should be", w.arrived(g, v1alpha1.Workload{}))
	w.suffer(g, mishapsThatBackstopAsksAbout())
}
