package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// truth is why an image does not run, which the model knows and no engine is told.
type truth string

const (
	runsWell truth = ""
	// absent and crashes are the image's fault, and refused is what a canary's analysis found out about it.
	absent  truth = "the registry lacks it"
	crashes truth = "it crashes"
	refused truth = "its canary is refused"
	// The others are not: a node that starts no pod, something that it needs, an analysis that measured nothing.
	nodeFails  truth = "its node fails"
	dependency truth = "what it needs is away"
	unmeasured truth = "nothing measured its canary"
)

// truthOf is what becomes of an image that is rolled out now.
func (m *model) truthOf(image string) truth {
	switch {
	case !m.present[image]:
		return absent
	case m.node:
		return nodeFails
	case image == imgBad || image == imgBad2:
		return m.how
	}
	return runsWell
}

// failure is what pods tell of an image that does not run.
func (m *model) failure(image string, wl v1alpha1.Workload) v1alpha1.Failure {
	f := v1alpha1.Failure{
		Trigger: v1alpha1.TriggerImagePull, Workload: wl, Container: "app", Revision: m.introduced(image),
		Cause: cmp.Or(m.says, v1alpha1.CauseNotFound), Message: "not found", Since: v1alpha1.NewTime(m.now.Add(-m.failsFor)),
	}
	doubt := func(t v1alpha1.DoubtType) []v1alpha1.RolloutDoubt {
		return []v1alpha1.RolloutDoubt{{Type: t, Message: "so it seems"}}
	}
	switch m.fails[image] {
	case crashes, dependency:
		f.Trigger, f.Cause, f.Rollout = v1alpha1.TriggerRollout, v1alpha1.CauseCannotStart, &v1alpha1.Rollout{}
		if m.fails[image] == dependency {
			f.Rollout.Doubts = doubt(v1alpha1.DoubtDependency)
		}
	case refused, unmeasured:
		f.Trigger, f.Cause = v1alpha1.TriggerCanary, v1alpha1.CauseAnalysisFailed
		f.Canary = &v1alpha1.Canary{By: v1alpha1.ObjectRef{Kind: "Canary", Namespace: m.ns, Name: wl.Name}, Promoted: imgGood,
			PromotedBy: "Deployment/" + wl.Name + "-primary", Reason: v1alpha1.CanaryUnknown}
		if m.fails[image] == unmeasured {
			f.Canary.Doubts = doubt(v1alpha1.DoubtMetrics)
		}
	case runsWell, absent, nodeFails:
	}
	return f
}

// drifts adds what somebody set by hand in place of an image of Git's.
func (m *model) drifts(image string, s *PodsSeen) {
	if m.byHand == "" || m.byHand == image || m.tip().value != image {
		s.Restored = runners[0].String()
		return
	}
	s.Labels[runners[0].String()] = map[string]string{}
	s.Failures = append(s.Failures, v1alpha1.Failure{
		Trigger: v1alpha1.TriggerDrift, Workload: runners[0], Container: "app", Revision: "1", Cause: v1alpha1.CauseDrift,
		Since: v1alpha1.NewTime(m.now.Add(-m.failsFor)), Drift: &v1alpha1.Drift{Live: m.byHand, By: "kubectl-edit"},
	})
}

// judges is the rule about what a policy may decide without a person: only where the image is at fault.
func (m *model) judges(r *v1alpha1.Rollback) {
	if m.heard == nil {
		return
	}
	bad := r.Spec.Subject.Name
	no := func(format string, args ...any) {
		m.broke = append(m.broke, r.Name+" is decided by policy: "+fmt.Sprintf(format, args...))
	}
	if r.Status.SeenBy(v1alpha1.TriggerDrift) {
		no("somebody set %s by hand", m.byHand)
	}
	if r.Status.SeenBy(v1alpha1.TriggerImagePull) {
		if p := m.heard[bad]; p.Finding != FindingAbsent {
			no("of %s the registry said %q last", bad, p.Finding)
		}
		return
	}
	if t := m.fails[bad]; t != crashes && t != refused && t != absent {
		no("of %s %q is true", bad, t)
	}
}

// reached is told which effects the engines come to.
type reached struct {
	slog.Handler
	m      *model
	counts map[string]int
}

func (reached) Enabled(context.Context, slog.Level) bool { return true }

func (h reached) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "step" {
		return nil
	}
	var name, do string
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "rollback":
			_, name, _ = strings.Cut(a.Value.String(), "/")
		case "do":
			do = a.Value.String()
		}
		return true
	})
	if rb := h.m.records[name]; rb != nil {
		h.counts[fmt.Sprintf("%s %s %s", rb.Spec.OpenedFor, rb.Status.PhaseNow(), do)]++
	}
	return nil
}
