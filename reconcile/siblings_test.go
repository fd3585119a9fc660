package reconcile

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// openForm is another open Rollback of the same source, opened a second ago.
func openForm(uid types.UID, changes ...func(*v1alpha1.Rollback)) v1alpha1.Rollback {
	r := v1alpha1.Rollback{}
	r.UID, r.CreationTimestamp = uid, metav1.NewTime(t0.Add(-time.Second))
	r.Spec.Subject = v1alpha1.ImageSubject("reg/" + string(uid) + ":v2")
	for _, change := range changes {
		change(&r)
	}
	return r
}

func TestWhomAnAllowedRevertWaitsFor(t *testing.T) {
	t.Parallel()
	source := v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}
	of := func(commit string) *v1alpha1.Suspect { return &v1alpha1.Suspect{Source: source, Commit: commit} }
	blamed := func(s *v1alpha1.Suspect) func(*v1alpha1.Rollback) {
		return func(r *v1alpha1.Rollback) { r.Status.Suspect = s }
	}
	waits := func(until time.Duration) func(*v1alpha1.Rollback) {
		return func(r *v1alpha1.Rollback) {
			at := micro(t0.Add(until))
			r.Status.Waiting = &v1alpha1.Waiting{Why: "grace period of 30s", Until: &at}
		}
	}
	allowedAt := func(at time.Duration) func(*v1alpha1.Rollback) {
		return func(r *v1alpha1.Rollback) {
			r.Status.Suspect, r.Status.Target = of("bad"), &v1alpha1.Target{}
			r.Status.Verdict = &v1alpha1.Verdict{Answer: v1alpha1.Approve, Source: v1alpha1.VerdictByPolicy, By: "policy x", At: micro(t0.Add(at))}
		}
	}
	failsAt := func(at time.Duration) func(*v1alpha1.Rollback) {
		return func(r *v1alpha1.Rollback) {
			r.Status.Failures = []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull, Since: micro(t0.Add(at))}}
		}
	}
	named := func(name string) func(*v1alpha1.Rollback) {
		return func(r *v1alpha1.Rollback) { r.Namespace, r.Name = "develop", name }
	}
	mine := openForm("m", allowedAt(0))
	tests := map[string]struct {
		others []v1alpha1.Rollback
		by     string
		after  time.Duration
		pushed int
		want   time.Duration
	}{
		"alone it never waits": {others: []v1alpha1.Rollback{mine}},
		"for one whose commit is not known yet, seconds": {
			others: []v1alpha1.Rollback{openForm("o")}, want: othersLook,
		},
		"not beyond them":            {others: []v1alpha1.Rollback{openForm("o")}, after: othersWithin},
		"not when nothing new fails": {others: []v1alpha1.Rollback{openForm("o")}, after: quietAfter},
		"longer while others fail": {
			others: []v1alpha1.Rollback{openForm("o", failsAt(900*time.Millisecond))}, after: quietAfter, want: othersLook,
		},
		"longer while others are allowed": {
			others: []v1alpha1.Rollback{openForm("o"), openForm("p", allowedAt(900*time.Millisecond))}, after: quietAfter, want: othersLook,
		},
		"not longer than four seconds after the first verdict of all": {
			others: []v1alpha1.Rollback{openForm("o", failsAt(0)), openForm("p", allowedAt(-othersWithin))},
		},
		"longer beside one whose revert is on the branch already": {
			others: []v1alpha1.Rollback{openForm("o", failsAt(0)), openForm("p", allowedAt(-othersWithin), named("served"))}, want: othersLook,
		},
		"longer beside one that waits for the budget": {
			others: []v1alpha1.Rollback{openForm("o", failsAt(0)), openForm("p", allowedAt(-waitsWithin))}, want: quietAfter,
		},
		"but not for ever": {
			others: []v1alpha1.Rollback{openForm("o", failsAt(othersWithin-time.Millisecond))}, after: othersWithin,
		},
		"twice as long after a push of a moment ago": {
			others: []v1alpha1.Rollback{openForm("o", failsAt(othersWithin))}, pushed: 1, after: othersWithin, want: othersLook,
		},
		"not longer than four times as long, however many were pushed": {
			others: []v1alpha1.Rollback{openForm("o", failsAt(4*othersWithin))}, pushed: 9, after: 4 * othersWithin,
		},
		"not for one of another source": {
			others: []v1alpha1.Rollback{openForm("o", blamed(&v1alpha1.Suspect{Commit: "bad"}))},
		},
		"not for one that is allowed too": {others: []v1alpha1.Rollback{openForm("o", allowedAt(time.Second))}},
		"not for one that waits for a person": {
			others: []v1alpha1.Rollback{openForm("o", blamed(of("bad")), waits(3*time.Second),
				func(r *v1alpha1.Rollback) { r.Status.Target = &v1alpha1.Target{} })},
		},
		"not for one that stumbled": {
			others: []v1alpha1.Rollback{openForm("o", func(r *v1alpha1.Rollback) { r.Status.Waiting = &v1alpha1.Waiting{Why: "trying again"} })},
		},
		"not for one in the midst of its grace period": {others: []v1alpha1.Rollback{openForm("o", waits(20*time.Second))}},
		"for one whose grace period is about over":     {others: []v1alpha1.Rollback{openForm("o", waits(2*time.Second))}, want: othersLook},
		"not for one that has been open for long": {
			others: []v1alpha1.Rollback{openForm("o", func(r *v1alpha1.Rollback) {
				r.CreationTimestamp = metav1.NewTime(t0.Add(-comesWithin))
			})},
		},
		"not for one that has ended": {
			others: []v1alpha1.Rollback{openForm("o", func(r *v1alpha1.Rollback) { r.Status.Outcome = &v1alpha1.Outcome{Result: v1alpha1.ResultExpired} })},
		},
		"not for a hold that is being adopted": {
			others: []v1alpha1.Rollback{openForm("o", func(r *v1alpha1.Rollback) {
				r.Annotations = map[string]string{AdoptsAnnotation: "flux-system:app"}
			})},
		},
		"not where a person has decided": {others: []v1alpha1.Rollback{openForm("o")}, by: "jane"},
		"the one that waits longest looks for the others": {
			others: []v1alpha1.Rollback{openForm("o"), openForm("p", allowedAt(-time.Second))}, want: quietAfter,
		},
		"of two at once the first by name does": {
			others: []v1alpha1.Rollback{openForm("o"), openForm("z", allowedAt(0))}, want: othersLook,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rb := mine.DeepCopy()
			if tt.by != "" {
				rb.Status.Verdict.By, rb.Status.Verdict.Source = tt.by, sourceOf(tt.by)
			}
			now := t0.Add(tt.after)
			w := &World{Now: now, Rollback: *rb, Self: "prod/develop/m", Branch: &Branch{Commits: []TrailerCommit{
				{Kind: TrailerRevert, Rollbacks: []string{"prod/develop/served"}, When: t0.Add(-stormLasts)}, {Kind: TrailerHold, Rollbacks: []string{"prod/develop/p"}},
			}}}
			for range tt.pushed {
				w.Branch.Commits = append(w.Branch.Commits, TrailerCommit{Kind: TrailerRevert, When: t0})
			}
			w.Siblings = siblingsOf(rb, tt.others, now, pushes(w), served(w))
			if got := waitsForOthers(w); got != tt.want {
				t.Errorf("waits %s, want %s", got, tt.want)
			}
		})
	}
}
