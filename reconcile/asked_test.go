package reconcile

import (
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestAskingPeopleSaysUntilWhenAndWhy(t *testing.T) {
	w := aWorld(func(w *World) { w.Policy.Mode, w.Policy.Approval = v1alpha1.ModeApprove, time.Hour })
	got := decide(w)
	if got.Do != DoWait || got.Asked == nil {
		t.Fatalf("got %s, asked %v", got.Do, got.Asked)
	}
	want := w.Form.Status.FirstSeen().Add(w.Policy.Grace + time.Hour)
	if !got.Asked.Until.Equal(new(v1alpha1.NewTime(want))) || len(got.Asked.Because) == 0 ||
		got.Asked.Because[0] != "the policy asks for an approval" {
		t.Errorf("asked %+v, want until %s, because the policy asks for an approval", got.Asked, want)
	}
}

func TestAQuestionStaysWhileSomethingIsInTheWay(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	asked := &v1alpha1.Asked{Until: v1alpha1.NewTime(now.Add(time.Hour))}
	r := &v1alpha1.Rollback{Status: v1alpha1.RollbackStatus{Waiting: &v1alpha1.Waiting{Why: "a person decides", Asked: asked}}}
	if got := waitingFor(r, "fetch main: no route to host; trying again", nil, now); got.Asked != asked {
		t.Errorf("the question is gone: %+v", got)
	}
	r.Status.Verdict = &v1alpha1.Verdict{Answer: v1alpha1.Approve}
	if got := waitingFor(r, "push main: no route to host; trying again", nil, now); got.Asked != nil {
		t.Errorf("the question outlives the verdict: %+v", got.Asked)
	}
}
