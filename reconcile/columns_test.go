package reconcile

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// seenBy makes a world one that another trigger saw.
func seenBy(t v1alpha1.TriggerType, vary func(*World)) worldChange {
	return func(w *World) {
		f := &w.Rollback.Status.Failures[0]
		w.Rollback.Spec.OpenedFor, f.Trigger = t, t
		if vary != nil {
			vary(w)
		}
		for i := range testRows {
			w.Seen[testRows[i].Type] = Observation{}
		}
		w.Seen[t] = Observation{Failures: w.Rollback.Status.Failures}
	}
}

// recordedBy are records of every trigger, with a policy that asks.
func recordedBy() []struct {
	trigger v1alpha1.TriggerType
	world   func(...worldChange) World
} {
	of := func(first worldChange) func(...worldChange) World {
		return func(more ...worldChange) World {
			asks := func(w *World) {
				w.Policy.Mode = v1alpha1.ModeApprove
				w.Rollback.Status.Suspect.Source = v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}
				w.Rollback.Status.Suspect.Reconciler = v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}
			}
			return aWorld(append([]worldChange{asks, first}, more...)...)
		}
	}
	nothing := func(*World) {}
	return []struct {
		trigger v1alpha1.TriggerType
		world   func(...worldChange) World
	}{
		{v1alpha1.TriggerImagePull, of(nothing)},
		{v1alpha1.TriggerRollout, of(seenBy(v1alpha1.TriggerRollout, func(w *World) {
			w.Rollback.Status.Failures[0].Rollout = &v1alpha1.Rollout{}
			w.Rollback.Status.Failures[0].Cause = v1alpha1.CauseCrashed
		}))},
		{v1alpha1.TriggerRollout + ", of a workload", of(seenBy(v1alpha1.TriggerRollout, func(w *World) {
			w.Rollback.Spec.Subject = v1alpha1.Subject{APIVersion: "apps/v1", Kind: "Deployment", Name: "backend"}
			w.Rollback.Status.Failures[0].Rollout = &v1alpha1.Rollout{}
			w.Rollback.Status.Failures[0].Cause = v1alpha1.CauseCrashed
			w.Rollback.Status.Suspect.Places[0].Part = v1alpha1.PartFile
		}))},
		{v1alpha1.TriggerCanary, of(seenBy(v1alpha1.TriggerCanary, func(w *World) {
			by := v1alpha1.ObjectRef{Kind: "Canary", Namespace: "develop", Name: "backend"}
			w.Rollback.Status.Failures[0].Cause = v1alpha1.CauseAnalysisFailed
			w.Rollback.Status.Failures[0].Canary = &v1alpha1.Canary{By: by, Promoted: "reg/backend:v1", PromotedBy: "Deployment/backend-primary", PromotedReady: 2}
		}))},
		{v1alpha1.TriggerApply, of(seenBy(v1alpha1.TriggerApply, func(w *World) {
			w.Rollback.Spec.Subject = v1alpha1.Subject{APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Name: "apps"}
			f := &w.Rollback.Status.Failures[0]
			f.Workload, f.Container, f.Cause = v1alpha1.Workload{Kind: "Kustomization", Name: "apps"}, "", v1alpha1.CauseNotBuilt
			f.Apply = &v1alpha1.Apply{Reason: "BuildFailed", Revision: "main@sha1:bad0"}
			w.Rollback.Status.Suspect.Places[0].Part = v1alpha1.PartFile
		}))},
		{v1alpha1.TriggerDrift, of(func(w *World) {
			source, reconciler := w.Rollback.Status.Suspect.Source, w.Rollback.Status.Suspect.Reconciler
			*w = undone()
			at := micro(t0.Add(10 * time.Minute))
			w.Rollback.Status.Failures[0].Drift.UndoneAt = &at
			w.Rollback.Status.Suspect.Source, w.Rollback.Status.Suspect.Reconciler = source, reconciler
		})},
	}
}

// What kubectl get rollbacks says of each trigger in each phase: what happened, what is asked, until when, and how to
// answer. Read it aloud when it changes.
func TestWhatKubectlSaysOfEachTriggerInEachPhase(t *testing.T) {
	hours := func(n int) worldChange { return func(w *World) { w.Now = t0.Add(time.Duration(n) * time.Hour) } }
	phases := []struct {
		title   string
		changes []worldChange
	}{
		{"just seen", []worldChange{func(w *World) { w.Rollback.Status.Suspect, w.Rollback.Status.Target = nil, nil }}},
		{"a target is looked for", []worldChange{func(w *World) { w.Rollback.Status.Target = nil }}},
		{"a person is asked", nil},
		{"approved", []worldChange{approved("jane")}},
		{"rejected", []worldChange{rejected("bob")}},
		{"nobody answered", []worldChange{hours(2)}},
		{"nobody answered, and it can still be", []worldChange{ended(v1alpha1.ResultExpired), func(w *World) {
			w.Rollback.Status.Outcome.Message = "nobody decided in 1h; it can still be approved or rejected. Asked because the policy asks for an approval"
		}}},
		{"only told", []worldChange{func(w *World) { w.Policy.Mode = v1alpha1.ModeNotify }}},
		{"Git says something newer", []worldChange{tipSays("reg/backend:v3")}},
		{"landed, and not applied yet", []worldChange{landed, func(w *World) { w.Rollout.Contains, w.Rollout.Fetched = false, false }}},
		{"arrived", []worldChange{landed}},
	}
	names := []struct{ namespace, name, image string }{
		{"develop", "backend-1f2e3d4c5b-1", "ghcr.io/acme/backend"},
		{"production", "payments-worker-1f2e3d4c5b-12", "registry.example.com:5000/platform/services/payments-worker"},
		{"a", "b-1f2e3d4c5b-1", "b"},
		{"team-checkout-production", "notification-controller-backe-1f2e3d4c5b-1", "ghcr.io/acme/notification-controller-backend"},
	}
	var b strings.Builder
	for _, record := range recordedBy() {
		fmt.Fprintf(&b, "%s\n", record.trigger)
		for _, p := range phases {
			w := record.world(p.changes...)
			r, step := w.Rollback.DeepCopy(), decide(w)
			switch s := &r.Status; step.Do {
			case DoOutcome:
				o := step.Outcome
				o.At = micro(w.Now)
				s.Outcome, s.Question, s.Waiting = &o, nil, nil
			default:
				s.Question, s.Waiting = step.Question, waitingFor(r, step.Why, nil, w.Now)
			}
			for i, n := range names {
				named := renamed(t, r, n.namespace, n.name, n.image)
				describe(named, w.Now)
				row := kubectlRow(named)
				columns := utf8.RuneCountInString(row)
				if i == 0 {
					fmt.Fprintf(&b, "  %s\n    %s\n", p.title, row)
				} else {
					// Long names leave it no room beside the namespace, which only -A prints.
					columns -= max(len("NAMESPACE"), len(n.namespace)) + 3
				}
				if columns > 140 {
					t.Errorf("%s, %s: %d columns: %s", record.trigger, p.title, columns, row)
				}
			}
		}
		b.WriteByte('\n')
	}
	golden(t, "testdata/kubectl-get.txt", b.String())
}

// renamed is a Rollback of another image in another namespace.
func renamed(t *testing.T, r *v1alpha1.Rollback, namespace, name, image string) *v1alpha1.Rollback {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var out v1alpha1.Rollback
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(text), "reg/backend", image)), &out); err != nil {
		t.Fatal(err)
	}
	out.Namespace, out.Name = namespace, name
	return &out
}

// kubectlRow is how kubectl get -A prints a Rollback below its header, with the columns of its kind.
func kubectlRow(r *v1alpha1.Rollback) string {
	var b strings.Builder
	for _, cell := range []struct{ header, says string }{
		{"NAMESPACE", r.Namespace}, {"NAME", r.Name}, {"TRIGGER", string(r.Spec.OpenedFor)}, {"PHASE", r.Status.Phase}, {"AGE", "2m30s"},
	} {
		fmt.Fprintf(&b, "%-*s", max(len(cell.header), len(cell.says))+3, cell.says)
	}
	return b.String() + r.Status.Summary
}
