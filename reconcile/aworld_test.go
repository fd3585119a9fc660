package reconcile

import (
	"context"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

var t0 = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

func micro(t time.Time) v1alpha1.Time { return v1alpha1.NewTime(t) }

type worldChange func(*World)

// aWorld has a failure a minute old, a suspect, a proved target, and a policy that reverts by itself.
func aWorld(changes ...worldChange) World {
	auto := &v1alpha1.ObjectRef{Kind: "ImageUpdateAutomation", Namespace: "develop", Name: "develop"}
	failure := v1alpha1.Failure{
		Trigger: v1alpha1.TriggerImagePull, Workload: v1alpha1.Workload{Kind: "Deployment", Name: "backend", UID: "u"}, Revision: "1", Container: "backend",
		Cause: v1alpha1.CauseNotFound, Since: micro(t0.Add(-time.Minute)),
	}
	w := World{
		Now: t0, Self: "prod/develop/backend-1", Budget: Budget{Count: 3, Per: time.Hour},
		Triggers: testRows,
		Policy: Policy{Mode: v1alpha1.ModeAuto, Authors: v1alpha1.AuthorsAutomation, Grace: 30 * time.Second, MaxAge: 24 * time.Hour,
			Cooldown: 30 * time.Minute, Approval: time.Hour, Verify: 15 * time.Minute, Lift: v1alpha1.LiftNewerImage,
			By: []string{"develop/web"}},
		Rollback: v1alpha1.Rollback{
			ObjectMeta: metav1.ObjectMeta{Namespace: "develop", Name: "backend-1"},
			Spec:       v1alpha1.RollbackSpec{OpenedFor: v1alpha1.TriggerImagePull, Subject: v1alpha1.ImageSubject("reg/backend:v2")},
			Status: v1alpha1.RollbackStatus{
				Failures: []v1alpha1.Failure{failure},
				Suspect: &v1alpha1.Suspect{Commit: "bad0", Branch: "main", When: micro(t0.Add(-2 * time.Minute)), Automation: auto,
					OnlyImages: true, Places: []v1alpha1.Place{{File: "a.yaml", Bad: "reg/backend:v2", Former: "reg/backend:v1",
						Marker: "develop:backend"}}},
				Target: &v1alpha1.Target{Image: "reg/backend:v1", Values: []v1alpha1.PlaceValue{{Value: "reg/backend:v1"}}, Proved: true,
					BadProved: true, At: micro(t0), Proof: "proof"},
			},
		},
		Branch: &Branch{Tip: "tip0", Values: map[int32]string{0: "reg/backend:v2"}},
	}
	w.sees(PodsSeen{Failures: []v1alpha1.Failure{failure}})
	for _, c := range changes {
		c(&w)
	}
	return w
}

// sees has the triggers look at pods.
func (w *World) sees(p PodsSeen) {
	w.Seen, w.RanHere = map[v1alpha1.TriggerType]Observation{}, p.RanHere
	for _, t := range testRows {
		o, err := t.Observe(context.Background(), &Look{Key: ImageKey("develop", "reg/backend:v2"), read: &p})
		if err != nil {
			panic(err)
		}
		w.Seen[t.Type] = o
	}
}

// edits changes what the pods say.
func (w *World) edits(f func(*PodsSeen)) {
	p := podsSeen(w)
	f(&p)
	w.sees(p)
}

// podsSeen is the look at pods of which the triggers took their part.
func podsSeen(w *World) PodsSeen {
	pull, drift, rolled := w.Seen[v1alpha1.TriggerImagePull], w.Seen[v1alpha1.TriggerDrift], w.Seen[v1alpha1.TriggerRollout]
	return PodsSeen{
		Failures: w.failures(), Pods: pull.Pods, Started: pull.Over, Restored: drift.Over, Steady: rolled.Over, Unnamed: pull.Unnamed,
		RanHere: w.RanHere, Labels: pull.Labels, Preferences: pull.Preferences,
	}
}

// rowOf is the row of a trigger.
func rowOf(t v1alpha1.TriggerType) Trigger {
	for _, row := range testRows {
		if row.Type == t {
			return row
		}
	}
	return Trigger{}
}

func tipSays(value string) worldChange {
	return func(w *World) { w.Branch.Values[0] = value }
}

func trail(kind TrailerKind, ago time.Duration, change func(*TrailerCommit)) worldChange {
	return func(w *World) {
		t := TrailerCommit{Commit: "trail0", When: t0.Add(-ago), Kind: kind}
		change(&t)
		w.Branch.Commits = append(w.Branch.Commits, t)
	}
}

// sourceOf tells the policy of a world from its people and from the branch.
func sourceOf(by string) v1alpha1.VerdictSource {
	switch word, _, _ := strings.Cut(by, " "); word {
	case "policy":
		return v1alpha1.VerdictByPolicy
	case "revert":
		return v1alpha1.VerdictByBranch
	}
	return v1alpha1.VerdictByPerson
}

func approved(by string) worldChange {
	return func(w *World) {
		w.Rollback.Status.Verdict = &v1alpha1.Verdict{Answer: v1alpha1.Approve, Source: sourceOf(by), By: by, At: micro(t0),
			Cooldown: metav1.Duration{Duration: w.Policy.Cooldown}}
	}
}

func changed(w *World) {
	approved("policy develop/web")(w)
	w.Rollback.Status.Change = &v1alpha1.Change{Commit: "revert0", Hold: "hold0", Branch: "main", Policies: []string{"develop:backend"},
		At: micro(t0)}
	tipSays("reg/backend:v1")(w)
	trail(TrailerRevert, 0, func(t *TrailerCommit) { t.Commit, t.Rollbacks = "revert0", []string{w.Self} })(w)
}

func landed(w *World) {
	changed(w)
	w.Rollback.Status.Landed = &v1alpha1.Landed{Commit: "revert0", At: micro(t0)}
	w.Rollback.Status.Request = &v1alpha1.Request{Token: "t", At: micro(t0)}
	w.Rollout = &Rollout{Contains: true, Fetched: true, Workloads: []WorkloadState{{
		Workload: v1alpha1.Workload{Kind: "Deployment", Name: "backend", UID: "u"}, Images: map[string]string{"backend": "reg/backend:v1"},
		Complete: true,
	}}}
}

func ended(r v1alpha1.Result) worldChange {
	return func(w *World) { w.Rollback.Status.Outcome = &v1alpha1.Outcome{Result: r, At: micro(t0)} }
}

// opensFor makes the Rollback the empty one that is created for a hold.
func opensFor(policy string, at time.Time) worldChange {
	return func(w *World) {
		w.Rollback.Annotations = map[string]string{AdoptsAnnotation: policy}
		w.Rollback.CreationTimestamp = metav1.NewTime(at)
		w.Rollback.Status, w.Branch = v1alpha1.RollbackStatus{}, nil
		w.sees(PodsSeen{})
	}
}

func held(w *World) { w.Branch.Held = map[int32]Hold{0: {Policy: "develop:backend"}} }

func selectsImage(image string, f Finding) worldChange {
	return func(w *World) {
		w.Selections = map[string]Selection{"develop:backend": {Automation: true, Image: image, Proof: Proof{Finding: f}}}
	}
}

func selectedAs(change func(*Selection)) worldChange {
	return func(w *World) {
		s := w.Selections["develop:backend"]
		change(&s)
		w.Selections["develop:backend"] = s
	}
}

func decidedBy(answers ...v1alpha1.Decision) worldChange {
	return func(w *World) {
		if w.Branch == nil || w.Rollback.Status.Suspect == nil || w.Rollback.Status.Target == nil {
			return
		}
		// What is asked at the end of the changes is what they answer.
		w.Rollback.Spec.Decisions = slices.Clone(answers)
		for i := range w.Rollback.Spec.Decisions {
			w.Rollback.Spec.Decisions[i].Question = questionID(w, answersOf(w))
		}
	}
}

func decision(by string, a v1alpha1.Answer, at time.Duration) v1alpha1.Decision {
	return v1alpha1.Decision{By: by, Answer: a, At: micro(t0.Add(at))}
}
