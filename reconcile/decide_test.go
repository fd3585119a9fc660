package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// A card is not worth posting before the end of the grace period, which the record therefore has to know however short
// the period is.
func TestAGracePeriodHasAnEnd(t *testing.T) {
	for _, grace := range []time.Duration{2 * time.Second, 2 * time.Minute} {
		w := aWorld(func(w *World) {
			w.Rollback.Status.Suspect, w.Rollback.Status.Target, w.Policy.Grace = nil, nil, grace
			w.Rollback.Status.Failures[0].Since = micro(w.Now.Add(-time.Second))
		})
		if step := decide(w); step.Do != DoWait || !step.Until.Equal(w.Now.Add(grace-time.Second)) {
			t.Errorf("a period of %s: %s until %s", grace, step.Do, step.Until)
		}
	}
}

func TestDecide(t *testing.T) {
	tests := map[string]struct {
		world  World
		do     Effect
		result v1alpha1.Result
		says   string
		reason string
	}{
		"a new failure is recorded first": {
			world: aWorld(func(w *World) { w.Rollback.Status = v1alpha1.RollbackStatus{} }), do: DoFailures,
		},
		"within the grace period nothing is blamed": {
			world: aWorld(func(w *World) {
				w.Rollback.Status.Suspect, w.Rollback.Status.Target, w.Policy.Grace = nil, nil, 2*time.Minute
			}),
			do: DoWait, says: "grace period of 2m",
		},
		"after it the commit is looked for": {
			world: aWorld(func(w *World) { w.Rollback.Status.Suspect, w.Rollback.Status.Target = nil, nil }), do: DoSuspect,
		},
		"a container that started is a recovery": {
			world: aWorld(func(w *World) { w.sees(PodsSeen{Started: "Pod/backend-x"}) }),
			do:    DoOutcome, result: v1alpha1.ResultRecovered,
		},
		"a pod that only vanished is none": {
			world: aWorld(func(w *World) { w.sees(PodsSeen{}) }), do: DoVerdict,
		},
		"without a target the registry is asked": {
			world: aWorld(func(w *World) { w.Rollback.Status.Target = nil }), do: DoTarget,
		},
		"an unproved target is asked for again after a minute": {
			world: aWorld(func(w *World) {
				w.Rollback.Status.Target.BadProved, w.Rollback.Status.Target.At = false, micro(t0.Add(-time.Minute))
			}),
			do: DoTarget,
		},
		"a better cause is recorded": {
			world: aWorld(func(w *World) { w.Rollback.Status.Failures[0].Cause = v1alpha1.CauseRegistryUnavailable }), do: DoFailures,
		},
		"a worse cause is not": {
			world: aWorld(func(w *World) {
				w.edits(func(p *PodsSeen) { p.Failures = p.Failures[:1] })
				w.edits(func(p *PodsSeen) { p.Failures[0].Cause = v1alpha1.CauseRegistryUnavailable })
			}), do: DoVerdict,
		},
		"everything proved: the policy decides": {world: aWorld(), do: DoVerdict},
		"no policy only tells": {
			world: aWorld(func(w *World) { w.Policy = Policy{Why: "no RollbackPolicy selects the workload"} }),
			do:    DoOutcome, result: v1alpha1.ResultReportedOnly, says: "no RollbackPolicy",
		},
		"a change older than maxAge is only told": {
			world: aWorld(func(w *World) { w.Rollback.Status.Suspect.When = micro(t0.Add(-25 * time.Hour)) }),
			do:    DoOutcome, result: v1alpha1.ResultReportedOnly, says: "25h old and maxAge is 24h",
		},
		"a young change that is older than maxAge says its age in seconds": {
			world: aWorld(func(w *World) {
				w.Rollback.Status.Suspect.When, w.Policy.MaxAge = micro(t0.Add(-9*time.Second)), 2*time.Second
			}),
			do: DoOutcome, result: v1alpha1.ResultReportedOnly, says: "9s old and maxAge is 2s",
		},
		"a person's change is only told under authors Automation": {
			world: aWorld(func(w *World) { w.Rollback.Status.Suspect.Automation = nil }),
			do:    DoOutcome, result: v1alpha1.ResultReportedOnly, says: "authors is Automation",
		},
		"a person's change of images alone is reverted under authors Anyone": {
			world: aWorld(func(w *World) {
				w.Rollback.Status.Suspect.Automation, w.Policy.Authors = nil, v1alpha1.AuthorsAnyone
			}), do: DoVerdict,
		},
		"a person's change of more than images always needs approval": {
			world: aWorld(func(w *World) {
				w.Rollback.Status.Suspect.Automation, w.Policy.Authors, w.Rollback.Status.Suspect.OnlyImages = nil, v1alpha1.AuthorsAnyone, false
			}), do: DoWait, says: "more than images",
		},
		"a shared base needs approval and names the others": {
			world: aWorld(func(w *World) {
				w.Rollback.Status.Suspect.SharedBy = []v1alpha1.ObjectRef{{Kind: "Kustomization", Namespace: "flux-system", Name: "staging"}}
			}), do: DoWait, says: "also rendered by Kustomization/flux-system/staging",
		},
		"a cause that is not the image's fault needs approval": {
			world: aWorld(func(w *World) {
				w.Rollback.Status.Failures[0].Cause = v1alpha1.CauseUnauthorized
				w.edits(func(p *PodsSeen) { p.Failures = nil })
			}),
			do: DoWait, says: "Unauthorized",
		},
		"a registry that does not confirm needs approval": {
			world: aWorld(func(w *World) { w.Rollback.Status.Target.BadProved = false }), do: DoWait, says: "does not confirm",
		},
		"an image that ran here is not a bad release": {
			world: aWorld(func(w *World) { w.edits(func(p *PodsSeen) { p.RanHere = "Deployment/backend revision 1" }) }), do: DoWait, says: "has run here",
		},
		"nothing to go back to is only told": {
			world: aWorld(func(w *World) { w.Rollback.Status.Target.Values = nil }), do: DoOutcome, result: v1alpha1.ResultReportedOnly,
			says: "nothing to go back to",
		},
		"a branch that may not be pushed to is only told": {
			world: aWorld(func(w *World) { w.ReadOnly = "pinned to tag v1" }), do: DoOutcome, result: v1alpha1.ResultReportedOnly,
			says: "pinned to tag v1",
		},
		"the breaker asks a person": {
			world: aWorld(func(w *World) { w.Breaker = "breaker: reg" }), do: DoWait, says: "breaker: reg",
		},
		"cooldown of the workload asks a person": {
			world: aWorld(trail(TrailerRevert, 10*time.Minute, func(t *TrailerCommit) {
				t.Workloads, t.Reverts = []string{"prod/develop/Deployment/backend"}, []string{"other"}
			})), do: DoWait, says: "cooldown",
		},
		"cooldown of the same workload in another cluster does not": {
			world: aWorld(trail(TrailerRevert, 10*time.Minute, func(t *TrailerCommit) {
				t.Workloads, t.Reverts = []string{"eu/develop/Deployment/backend"}, []string{"other"}
			})), do: DoVerdict,
		},
		"siblings of the suspect do not count for the cooldown": {
			world: aWorld(trail(TrailerRevert, 10*time.Minute, func(t *TrailerCommit) {
				t.Workloads, t.Reverts = []string{"prod/develop/Deployment/backend"}, []string{"bad0"}
			})), do: DoVerdict,
		},
		"a spent budget asks a person": {
			world: aWorld(trail(TrailerRevert, 10*time.Minute, func(t *TrailerCommit) { t.Reverts = []string{"x", "y", "z"} })),
			do:    DoWait, says: "budget: 3 suspect commits were reverted on main in the last 1h, and --budget=3/1h allows no more before 09:50:00 UTC",
		},
		"a budget spent longer ago does not": {
			world: aWorld(trail(TrailerRevert, 61*time.Minute, func(t *TrailerCommit) { t.Reverts = []string{"x", "y", "z"} })), do: DoVerdict,
		},
		"Git already says something else": {
			world: aWorld(tipSays("reg/backend:v3")), do: DoOutcome, result: v1alpha1.ResultSuperseded,
		},
		"a sibling's revert is taken over": {
			world: aWorld(tipSays("reg/backend:v1"), trail(TrailerRevert, time.Second, func(t *TrailerCommit) {
				t.Images, t.Reverts = []string{"reg/backend:v2"}, []string{"bad0"}
			})), do: DoVerdict,
		},
		"a person's approval decides": {
			world: aWorld(func(w *World) { w.Policy.Mode = v1alpha1.ModeApprove }, decidedBy(decision("jane", v1alpha1.Approve, 0))),
			do:    DoVerdict,
		},
		"approve mode waits for a person": {
			world: aWorld(func(w *World) { w.Policy.Mode = v1alpha1.ModeApprove }), do: DoWait, says: "a person decides by",
		},
		"nobody decided in time": {
			world: aWorld(func(w *World) { w.Policy.Mode, w.Policy.Approval = v1alpha1.ModeApprove, 10*time.Second }),
			do:    DoOutcome, result: v1alpha1.ResultExpired,
		},
		"an expired one can still be approved": {
			world: aWorld(func(w *World) { w.Policy.Mode, w.Policy.Approval = v1alpha1.ModeApprove, 10*time.Second },
				ended(v1alpha1.ResultExpired), decidedBy(decision("jane", v1alpha1.Approve, 0))), do: DoVerdict,
		},
		"an expired one that was approved goes on": {
			world: aWorld(ended(v1alpha1.ResultExpired), approved("jane")), do: DoChange,
		},
		"an ended Rollback rests": {world: aWorld(ended(v1alpha1.ResultReportedOnly)), do: DoWait},
		"rejected": {
			world: aWorld(func(w *World) {
				w.Rollback.Status.Verdict = &v1alpha1.Verdict{Answer: v1alpha1.Reject, Source: v1alpha1.VerdictByPerson, By: "jane", At: micro(t0)}
			}), do: DoOutcome, result: v1alpha1.ResultRejected, says: "jane keeps",
		},
		"allowed while others come: wait for them": {
			world: aWorld(approved("policy p"), func(w *World) { w.Siblings = siblings{until: w.Now.Add(time.Second)} }), do: DoWait,
			says: "one push",
		},
		"allowed: push": {world: aWorld(approved("policy p")), do: DoChange},
		"allowed and recovered in between is still pushed": {
			world: aWorld(approved("policy p"), func(w *World) { w.sees(PodsSeen{Started: "Pod/x"}) }), do: DoChange,
		},
		"allowed, and recovered long before it can be pushed: the policy's word lapses": {
			world: aWorld(approved("policy p"), func(w *World) {
				w.sees(PodsSeen{Started: "Pod/x"})
				w.Now = t0.Add(2 * time.Minute)
			}), do: DoLapse,
		},
		"the same, which a pull request brings": {
			world: aWorld(approved("policy p"), func(w *World) {
				w.sees(PodsSeen{Started: "Pod/x"})
				w.Now, w.Rollback.Status.PullRequest = t0.Add(2*time.Minute), &v1alpha1.PullRequest{Number: 7, State: v1alpha1.PullRequestOpen, At: micro(t0)}
			}), do: DoLapse,
		},
		"lost to a force push, and what failed runs by now: not again": {
			world: aWorld(landed, func(w *World) {
				w.Branch.Commits, w.Branch.Values[0] = nil, "reg/backend:v2"
				w.sees(PodsSeen{Started: "Pod/x"})
				w.Now = t0.Add(2 * time.Minute)
			}), do: DoOutcome, result: v1alpha1.ResultSuperseded, says: "lost to a force push: nothing is pushed any more: Pod/x runs",
			reason: v1alpha1.OutcomeWrittenAgain,
		},
		"a person allowed it, and it recovered since: pushed": {
			world: aWorld(approved("jane"), func(w *World) {
				w.sees(PodsSeen{Started: "Pod/x"})
				w.Now = t0.Add(2 * time.Minute)
			}), do: DoChange,
		},
		"killed after the push: the own trailer counts before Superseded": {
			world: aWorld(approved("policy p"), tipSays("reg/backend:v1"), trail(TrailerRevert, 0, func(t *TrailerCommit) {
				t.Rollbacks = []string{"prod/develop/backend-1"}
			})), do: DoAdopt,
		},
		"allowed, and a person fixed it first": {
			world: aWorld(approved("policy p"), tipSays("reg/backend:v3")), do: DoOutcome, result: v1alpha1.ResultSuperseded,
		},
		"a person's approval overrides cooldown and budget": {
			world: aWorld(approved("jane"), trail(TrailerRevert, time.Minute, func(t *TrailerCommit) { t.Reverts = []string{"x", "y", "z"} })),
			do:    DoChange,
		},
		"a policy's waits for the budget": {
			world: aWorld(approved("policy p"), trail(TrailerRevert, time.Minute, func(t *TrailerCommit) { t.Reverts = []string{"x", "y", "z"} })),
			do:    DoWait, says: "budget",
		},
		"what is suspended is said before the verdict, and bars the policy": {
			world: aWorld(func(w *World) { w.Suspended = []v1alpha1.ObjectRef{appsOf} }),
			do:    DoWait, says: "Flux applies nothing before somebody resumes Kustomization/flux-system/apps",
		},
		"a person who knows it may still approve": {
			world: aWorld(func(w *World) { w.Suspended = []v1alpha1.ObjectRef{appsOf} }, decidedBy(decision("jane", v1alpha1.Approve, 0))),
			do:    DoVerdict,
		},
		"pushed: landed is read": {world: aWorld(changed), do: DoLanded},
		"lost to a force push: landed again": {
			world: aWorld(landed, tipSays("reg/backend:v2"), func(w *World) { w.Branch.Commits = nil }), do: DoLandAgain,
		},
		"lost to a force push, and barred for a day: failed": {
			world: aWorld(landed, tipSays("reg/backend:v2"), func(w *World) {
				w.Branch.Commits, w.Policy.MaxAge, w.Now = nil, time.Minute, t0.Add(25*time.Hour)
			}),
			do: DoOutcome, result: v1alpha1.ResultFailed, says: "is not pushed again",
		},
		"lost again and again: failed": {
			world: aWorld(landed, tipSays("reg/backend:v2"), func(w *World) { w.Branch.Commits, w.Rollback.Status.Landed.Again = nil, 3 }),
			do:    DoOutcome, result: v1alpha1.ResultFailed, says: "force pushes",
		},
		"written again after the revert: superseded": {
			world: aWorld(landed, tipSays("reg/backend:v2")), do: DoOutcome, result: v1alpha1.ResultSuperseded, says: "again after the revert",
			reason: v1alpha1.OutcomeWrittenAgain,
		},
		"something newer after the revert: superseded": {
			world: aWorld(landed, tipSays("reg/backend:v3")), do: DoOutcome, result: v1alpha1.ResultSuperseded, says: "newer than the revert",
			reason: v1alpha1.OutcomeNewer,
		},
		"landed: Flux is asked": {world: aWorld(landed, func(w *World) { w.Rollback.Status.Request = nil }), do: DoRequest},
		"landed again: Flux is asked again": {
			world: aWorld(landed, func(w *World) { w.Rollback.Status.Landed.At = micro(t0.Add(time.Second)) }), do: DoRequest,
		},
		"arrived, and what is left to do by hand is said": {
			world: aWorld(landed, func(w *World) { w.Rollout.Workloads[0].Says = "kubectl -n develop delete job backend-1" }),
			do:    DoOutcome, result: v1alpha1.ResultVerified, says: "runs reg/backend:v1 again; kubectl -n develop delete job backend-1",
		},
		"arrived, under a hold that lifts failed twice": {
			world: aWorld(landed, func(w *World) { w.Rollback.Status.Change.Lift = v1alpha1.LiftManual }),
			do:    DoOutcome, result: v1alpha1.ResultVerified, says: "two newer images in a row",
		},
		"arrived": {world: aWorld(landed), do: DoOutcome, result: v1alpha1.ResultVerified, says: "runs reg/backend:v1 again"},
		"a health check delays": {
			world: aWorld(landed, func(w *World) {
				w.Rollout = &Rollout{Waits: "a health check runs until 09:10", WaitsUntil: t0.Add(10 * time.Minute)}
			}), do: DoWait, says: "health check",
		},
		"the deadline allows for the health check": {
			world: aWorld(landed, func(w *World) {
				w.Now = t0.Add(16 * time.Minute)
				w.Rollout = &Rollout{Waits: "a health check runs", WaitsUntil: t0.Add(20 * time.Minute)}
			}), do: DoWait, says: "health check",
		},
		"the deadline that the health check moved is kept when it is over": {
			world: aWorld(landed, func(w *World) {
				until := micro(t0.Add(35 * time.Minute))
				w.Rollback.Status.Waiting = &v1alpha1.Waiting{Why: "a health check runs", Until: &until}
				w.Now, w.Rollout.Workloads[0].Complete = t0.Add(20*time.Minute+time.Second), false
			}), do: DoWait, says: "is not complete",
		},
		"and it passes": {
			world: aWorld(landed, func(w *World) {
				until := micro(t0.Add(35 * time.Minute))
				w.Rollback.Status.Waiting = &v1alpha1.Waiting{Why: "a health check runs", Until: &until}
				w.Now, w.Rollout.Workloads[0].Complete = t0.Add(35*time.Minute+time.Second), false
			}), do: DoOutcome, result: v1alpha1.ResultFailed, says: "not verified in 15m",
		},
		"what keeps Flux from applying is said": {
			world: aWorld(landed, func(w *World) {
				w.Rollout.Waits = "Kustomization/flux-system/apps failed (ReconciliationFailed): Service/db is invalid"
				w.Rollout.Workloads[0].Images["backend"] = "reg/backend:v2"
			}), do: DoWait, says: "still names reg/backend:v2 for container backend: Kustomization/flux-system/apps failed",
		},
		"what Flux cannot apply beside it holds nobody up": {
			world: aWorld(landed, func(w *World) { w.Rollout.Waits = "Kustomization/flux-system/apps failed" }),
			do:    DoOutcome, result: v1alpha1.ResultVerified,
		},
		"not verified in time": {
			world: aWorld(landed, func(w *World) { w.Now, w.Rollout = t0.Add(16*time.Minute), &Rollout{} }),
			do:    DoOutcome, result: v1alpha1.ResultFailed, says: "not verified in 15m",
		},
		"another image of the workload is bad too: the time starts over": {
			world: aWorld(landed, func(w *World) {
				w.Now, w.Beside, w.Rollout.Workloads[0].Complete = t0.Add(16*time.Minute), "sidecar-1f2e3d4c5b-1", false
			}), do: DoWait, says: "is not complete; rollback/sidecar-1f2e3d4c5b-1 is open for it too",
		},
		"the template still names the bad image": {
			world: aWorld(landed, func(w *World) { w.Rollout.Workloads[0].Images["backend"] = "reg/backend:v2" }),
			do:    DoWait, says: "still names",
		},
		"a stuck pod: the command is said": {
			world: aWorld(landed, func(w *World) {
				w.Rollout.Workloads[0].Complete, w.Rollout.Workloads[0].Says = false, "kubectl -n develop delete pod backend-0"
			}), do: DoWait, says: "kubectl -n develop delete pod",
		},
		"a workload that is gone holds nobody up": {
			world: aWorld(landed, func(w *World) { w.Rollout.Workloads = []WorkloadState{{Gone: true}} }),
			do:    DoOutcome, result: v1alpha1.ResultVerified,
		},
		"a newer image lifts the hold": {
			world: aWorld(landed, ended(v1alpha1.ResultVerified), held, selectsImage("reg/backend:v3", FindingPresent)), do: DoLift,
		},
		"the failed image does not": {
			world: aWorld(landed, ended(v1alpha1.ResultVerified), held, selectsImage("reg/backend:v2", FindingPresent)), do: DoWait,
		},
		"another image that failed here does not": {
			world: aWorld(landed, ended(v1alpha1.ResultVerified), held, selectsImage("reg/backend:v3", FindingPresent),
				selectedAs(func(s *Selection) { s.Failed = []string{"reg/backend:v3"} })), do: DoWait,
		},
		"an image that is not proved does not": {
			world: aWorld(landed, ended(v1alpha1.ResultVerified), held, selectsImage("reg/backend:v3", FindingUnproved)), do: DoWait,
			says: "selects reg/backend:v3, which is not proved",
		},
		"an empty Rollback that a hold opened waits for what the hold says": {
			world: aWorld(opensFor("develop:backend", t0.Add(-2*time.Second))), do: DoWait, says: "is being adopted",
		},
		"but not for ever": {
			world: aWorld(opensFor("develop:backend", t0.Add(-2*time.Minute))), do: DoOutcome, result: v1alpha1.ResultRecovered,
		},
		"the value that the node holds counts: lifting changes nothing": {
			world: aWorld(landed, ended(v1alpha1.ResultVerified), held, selectsImage("reg/backend:v1", FindingPresent)), do: DoLift,
		},
		"a Manual hold waits for a person": {
			world: aWorld(landed, ended(v1alpha1.ResultVerified), held, selectsImage("reg/backend:v3", FindingPresent),
				func(w *World) { w.Policy.Lift = v1alpha1.LiftManual }), do: DoWait, says: "backstop lift",
		},
		"a person lifts the hold": {
			world: aWorld(landed, ended(v1alpha1.ResultVerified), held, func(w *World) {
				w.Rollback.Spec.Lift = &v1alpha1.LiftRequest{By: "jane", At: v1alpha1.NewTime(w.Now)}
			}), do: DoLift,
		},
		"a cluster without the automation leaves the hold to another": {
			world: aWorld(landed, ended(v1alpha1.ResultVerified), held, selectsImage("reg/backend:v3", FindingPresent),
				selectedAs(func(s *Selection) { s.Automation = false })), do: DoWait,
		},
		"a hold that stands for days says so": {
			world: aWorld(landed, ended(v1alpha1.ResultVerified), held, selectsImage("reg/backend:v2", FindingPresent),
				func(w *World) { w.Now = t0.Add(49 * time.Hour) }), do: DoWait, says: "(day 3)",
		},
		"a prefix that somebody took away is a lift": {
			world: aWorld(landed, ended(v1alpha1.ResultVerified)), do: DoLifted,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := decide(tt.world)
			said := got.Why + got.Outcome.Message
			if got.Do != tt.do || got.Outcome.Result != tt.result || !strings.Contains(said, tt.says) {
				t.Errorf("got %s %s %q, want %s %s …%s…", got.Do, got.Outcome.Result, said, tt.do, tt.result, tt.says)
			}
			if got.Outcome.Reason != tt.reason {
				t.Errorf("the outcome's reason is %q, want %q", got.Outcome.Reason, tt.reason)
			}
			if got.Do != DoWait && got.Why == "" {
				t.Errorf("the log has no reason for %s", got.Do)
			}
		})
	}
}
