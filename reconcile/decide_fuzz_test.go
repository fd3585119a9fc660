package reconcile

import (
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// oddities are independent facts about a world; any set of them may be true at once.
func oddities() []worldChange {
	return []worldChange{
		func(w *World) { w.Branch = nil },
		func(w *World) { w.Rollback.Status.Suspect, w.Branch = nil, nil },
		func(w *World) { w.Rollback.Status.Target = nil },
		func(w *World) {
			if w.Rollback.Status.Target != nil {
				w.Rollback.Status.Target.Values, w.Rollback.Status.Target.Proved = nil, false
			}
		},
		func(w *World) { w.Rollback.Status.Failures = nil },
		func(w *World) { w.edits(func(p *PodsSeen) { p.Failures = nil }) },
		func(w *World) { w.edits(func(p *PodsSeen) { p.Started = "Pod/x" }) },
		func(w *World) { w.edits(func(p *PodsSeen) { p.RanHere = "revision 1" }) },
		func(w *World) { w.Policy = Policy{} },
		func(w *World) { w.Policy.Mode = v1alpha1.ModeApprove },
		func(w *World) { w.ReadOnly = "pinned" },
		func(w *World) { w.Breaker = "breaker" },
		func(w *World) {
			if w.Branch != nil {
				w.Branch.Values[0] = "reg/backend:v1"
			}
		},
		func(w *World) {
			if w.Branch != nil {
				delete(w.Branch.Values, 0)
			}
		},
		func(w *World) {
			if w.Branch != nil {
				w.Branch.Commits = append(w.Branch.Commits, TrailerCommit{Kind: TrailerRevert, Rollbacks: []string{w.Self}, When: t0})
			}
		},
		func(w *World) {
			if w.Branch != nil {
				w.Branch.Commits = append(w.Branch.Commits, TrailerCommit{Kind: TrailerRevert, Reverts: []string{"x", "y", "z"}, When: t0})
			}
		},
		approved("policy develop/web"),
		approved("jane"),
		func(w *World) {
			w.Rollback.Status.Verdict = &v1alpha1.Verdict{Answer: v1alpha1.Reject, Source: v1alpha1.VerdictByPerson, By: "jane", At: micro(t0)}
		},
		func(w *World) {
			w.Rollback.Status.Change = &v1alpha1.Change{Commit: "r", Hold: "h", At: micro(t0), Policies: []string{"develop:backend"}}
		},
		func(w *World) { w.Rollback.Status.Landed = &v1alpha1.Landed{Commit: "r", At: micro(t0)} },
		func(w *World) { w.Rollback.Status.Request = &v1alpha1.Request{At: micro(t0)} },
		func(w *World) {
			w.Rollout = &Rollout{Contains: true, Workloads: []WorkloadState{{Stuck: []StuckPod{{Name: "pod"}}}}}
		},
		func(w *World) { w.Rollout = &Rollout{Waits: "health check", WaitsUntil: t0.Add(time.Hour)} },
		ended(v1alpha1.ResultVerified),
		ended(v1alpha1.ResultExpired),
		decidedBy(decision("jane", v1alpha1.Approve, 0)),
		decidedBy(decision("bob", v1alpha1.Reject, 0)),
		func(w *World) {
			if w.Branch != nil {
				held(w)
			}
		},
		selectsImage("reg/backend:v3", FindingPresent),
		func(w *World) { w.Rollback.Spec.Lift = &v1alpha1.LiftRequest{By: "jane", At: v1alpha1.NewTime(w.Now)} },
		func(w *World) { w.Now = t0.Add(72 * time.Hour) },
		func(w *World) { w.DeletesPods = true },
		func(w *World) {
			f := byHandOf("backend", "reg/backend:v1", 0)
			w.edits(func(p *PodsSeen) { p.Failures = append(p.Failures, f) })
			w.Rollback.Status.Failures = append(w.Rollback.Status.Failures, f)
		},
		func(w *World) { w.edits(func(p *PodsSeen) { p.Restored = "Deployment/backend" }) },
		func(w *World) {
			w.Branch, w.Rollout = nil, nil
			w.Unread = &Refusal{Kind: FaultUnauthorized, Sentence: "the server does not accept the credentials"}
		},
		func(w *World) { w.ReadOnly, w.ReadOnlyKind = "no key", FaultNotFound },
		func(w *World) {
			w.Rollback.Status.Waiting = &v1alpha1.Waiting{Why: "no key", Refused: "NotFound", Since: micro(t0)}
		},
	}
}

// FuzzDecide takes a set of oddities, some of which cannot meet in a real cluster, and asks for what must hold of every
// step.
func FuzzDecide(f *testing.F) {
	f.Add(uint64(0))
	for i := range oddities() {
		f.Add(uint64(1) << i)
		f.Add(uint64(1)<<i | uint64(1)<<16)
	}
	f.Fuzz(func(t *testing.T, set uint64) {
		w := aWorld()
		for i, odd := range oddities() {
			if set&(1<<i) != 0 {
				odd(&w)
			}
		}
		// The API server refuses a change without a verdict that allows it.
		s := &w.Rollback.Status
		if s.Change != nil && (s.Verdict == nil || s.Verdict.Answer != v1alpha1.Approve || s.Suspect == nil || s.Target == nil) {
			return
		}
		if (s.Landed != nil && s.Change == nil) || (s.Request != nil && s.Landed == nil) || (s.Verdict != nil && s.Target == nil) ||
			(s.Verdict != nil && s.Suspect == nil) {
			return
		}
		step := decide(w)
		if step.Wait < 0 {
			t.Errorf("%x: waits %s", set, step.Wait)
		}
		switch step.Do {
		case DoChange, DoAdopt, DoLandAgain:
			if s.Verdict == nil || s.Verdict.Answer != v1alpha1.Approve {
				t.Errorf("%x: %s without a verdict", set, step.Do)
			}
			if s.Ended() {
				t.Errorf("%x: %s of an ended Rollback", set, step.Do)
			}
		case DoVerdict:
			if byPolicy := step.Verdict.By == "policy develop/web"; byPolicy && s.Drifted() {
				t.Errorf("%x: a drift is adopted by policy", set)
			}
			if s.Verdict != nil || (step.Verdict.By == "" && step.Verdict.Answer == v1alpha1.Approve) {
				t.Errorf("%x: verdict %+v over %+v", set, step.Verdict, s.Verdict)
			}
		case DoOutcome:
			if step.Outcome.Message == "" || step.Outcome.Result == "" {
				t.Errorf("%x: an end without words: %+v", set, step.Outcome)
			}
			if step.Outcome.Result == v1alpha1.ResultRestored && !s.Drifted() {
				t.Errorf("%x: restored, and nobody changed anything", set)
			}
			if step.Outcome.Result == v1alpha1.ResultRecovered && s.Verdict != nil {
				t.Errorf("%x: recovered after the verdict", set)
			}
		case DoLift, DoLifted:
			if !s.HoldStands() || !s.Ended() {
				t.Errorf("%x: %s of a Rollback that holds nothing or has not ended", set, step.Do)
			}
		case DoDeletePod:
			if !w.DeletesPods {
				t.Errorf("%x: deletes a pod without being allowed to", set)
			}
		case DoLapse:
			if s.Verdict == nil || s.Change != nil {
				t.Errorf("%x: verdict %+v is withdrawn after change %+v", set, s.Verdict, s.Change)
			}
		case DoWait, DoFailures, DoSuspect, DoTarget, DoLanded, DoRequest:
		default:
			t.Errorf("%x: unknown step %q", set, step.Do)
		}
	})
}
