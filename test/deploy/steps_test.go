package deploy_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// at keeps microseconds: a time in a status must come back as it was written,
// or the rules that a step is written once would refuse an equal one.
var at = v1alpha1.NewTime(time.Date(2026, 11, 21, 9, 13, 26, 123456000, time.UTC))

// filled is a status with every step.
func filled() v1alpha1.RollbackStatus {
	return v1alpha1.RollbackStatus{
		Phase: "Verified", Summary: "web runs v1 again",
		Conditions: []metav1.Condition{{
			Type: "Ready", Status: metav1.ConditionTrue, Reason: "Verified", Message: "web runs v1 again",
			LastTransitionTime: metav1.NewTime(at.Time.Truncate(time.Second)),
		}},
		Failures: []v1alpha1.Failure{failure("web"), failure("sidecar")},
		Suspect: &v1alpha1.Suspect{
			Source: v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"},
			Branch: "main", Commit: strings.Repeat("a", 40), Subject: "bump", When: at,
			Places: []v1alpha1.Place{{File: "web.yaml", Pointer: "/spec", Part: "Tag", Bad: "v2", Former: "v1"}},
		},
		Target:  &v1alpha1.Target{Image: "web:v1", Values: []v1alpha1.PlaceValue{{Index: 0, Value: "v1"}}, Proved: true, At: at},
		Verdict: &v1alpha1.Verdict{Answer: v1alpha1.Approve, Source: v1alpha1.VerdictByPolicy, By: "policy apps/web", At: at},
		Change:  &v1alpha1.Change{Commit: strings.Repeat("b", 40), Hold: strings.Repeat("c", 40), Branch: "main", At: at},
		Landed:  &v1alpha1.Landed{Commit: strings.Repeat("b", 40), At: at},
		Request: &v1alpha1.Request{
			Token: "t", Objects: []v1alpha1.ObjectRef{{Kind: "Kustomization", Namespace: "apps", Name: "web"}}, At: at,
			Asked: []v1alpha1.AskedObject{{ObjectRef: v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: "apps", Name: "web"}, At: at}},
		},
		Outcome: &v1alpha1.Outcome{Result: v1alpha1.ResultVerified, Message: "web runs v1 again", At: at},
		Holds:   []v1alpha1.Hold{{Place: "0123456789ab"}, {Place: "ba9876543210", LiftedBy: "policy apps:web"}},
		Lifted:  &v1alpha1.Lifted{By: "policy apps:web", At: at},
	}
}

func failure(container string) v1alpha1.Failure {
	f := v1alpha1.Failure{
		Trigger: v1alpha1.TriggerImagePull, Workload: v1alpha1.Workload{Kind: "Deployment", Name: "web", UID: "1"},
		Container: container, Cause: v1alpha1.CauseNotFound, Message: "not found", Since: at, Pull: &v1alpha1.Pull{Pod: "web-0"},
	}
	f.ID = f.Identity()
	return f
}

func (s suite) blanks(t *testing.T) {
	c := s.almighty(t, backstop)
	n := 0
	// opened has a status already; edit changes it, and the answer to that is given.
	opened := func(t *testing.T, before v1alpha1.RollbackStatus, edit func(*v1alpha1.RollbackStatus)) error {
		t.Helper()
		n++
		rb := &v1alpha1.Rollback{
			ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: fmt.Sprintf("blanks-%d", n)},
			Spec:       v1alpha1.RollbackSpec{OpenedFor: v1alpha1.TriggerImagePull, Subject: v1alpha1.ImageSubject("web:v2")},
		}
		if err := c.Create(t.Context(), rb); err != nil {
			t.Fatal(err)
		}
		rb.Status = before
		if err := c.Status().Update(t.Context(), rb); err != nil {
			t.Fatal(err)
		}
		edit(&rb.Status)
		return c.Status().Update(t.Context(), rb)
	}

	t.Run("a full Rollback comes back as it was written", func(t *testing.T) {
		want(t, opened(t, filled(), func(*v1alpha1.RollbackStatus) {}), "")
		var rb v1alpha1.Rollback
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "apps", Name: fmt.Sprintf("blanks-%d", n)}, &rb); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(filled(), rb.Status); diff != "" {
			t.Errorf("status (-written +read):\n%s", diff)
		}
		want(t, c.Status().Update(t.Context(), &rb), "")
	})

	other := v1alpha1.NewTime(at.Add(time.Microsecond))
	cases := map[string]struct {
		edit func(*v1alpha1.RollbackStatus)
		want string
	}{
		"failures grow":              {func(s *v1alpha1.RollbackStatus) { s.Failures = append(s.Failures, failure("init")) }, ""},
		"a failure keeps its place":  {func(s *v1alpha1.RollbackStatus) { s.Failures[0].Message = "denied" }, ""},
		"a failure is dropped":       {func(s *v1alpha1.RollbackStatus) { s.Failures = s.Failures[1:] }, "failures only grow"},
		"all failures are dropped":   {func(s *v1alpha1.RollbackStatus) { s.Failures = nil }, "failures only grow"},
		"a failure is another one":   {func(s *v1alpha1.RollbackStatus) { s.Failures[0].ID = strings.Repeat("0", 12) }, "failures only grow"},
		"a failure twice":            {func(s *v1alpha1.RollbackStatus) { s.Failures = append(s.Failures, s.Failures[0]) }, "Duplicate value"},
		"a failure without evidence": {func(s *v1alpha1.RollbackStatus) { s.Failures[0].Pull = nil }, "a failure has the evidence of its trigger"},
		"evidence of two triggers":   {func(s *v1alpha1.RollbackStatus) { s.Failures[0].Drift = &v1alpha1.Drift{Live: "web:v1"} }, "a failure has the evidence of its trigger"},
		"suspect erased":             {func(s *v1alpha1.RollbackStatus) { s.Suspect = nil }, "suspect is written once"},
		"suspect changed":            {func(s *v1alpha1.RollbackStatus) { s.Suspect.Commit = "d" }, "suspect is written once"},
		"suspect's place changed":    {func(s *v1alpha1.RollbackStatus) { s.Suspect.Places[0].Former = "v0" }, "suspect is written once"},
		"a place after the verdict": {func(s *v1alpha1.RollbackStatus) {
			s.Suspect.Places = append(s.Suspect.Places, v1alpha1.Place{File: "twin.yaml", Pointer: "/spec", Bad: "v2", Former: "v1"})
		}, "before the verdict only gains places"},
		"target erased":              {func(s *v1alpha1.RollbackStatus) { s.Target = nil }, "target is never erased"},
		"target changed late":        {func(s *v1alpha1.RollbackStatus) { s.Target.Image = "web:v0" }, "target is fixed by the verdict"},
		"verdict erased":             {func(s *v1alpha1.RollbackStatus) { s.Verdict = nil }, "verdict is written once"},
		"verdict changed":            {func(s *v1alpha1.RollbackStatus) { s.Verdict.By = "me" }, "verdict is written once"},
		"change erased":              {func(s *v1alpha1.RollbackStatus) { s.Change = nil }, "change is written once"},
		"change a microsecond later": {func(s *v1alpha1.RollbackStatus) { s.Change.At = other }, "change is written once"},
		"landed erased":              {func(s *v1alpha1.RollbackStatus) { s.Landed = nil }, "landed is never erased"},
		"landed again":               {func(s *v1alpha1.RollbackStatus) { s.Landed.Again, s.Landed.Commit = 1, "e" }, ""},
		"request erased":             {func(s *v1alpha1.RollbackStatus) { s.Request = nil }, "request is never erased"},
		"asked again":                {func(s *v1alpha1.RollbackStatus) { s.Request.Token = "u" }, ""},
		"asked one more": {func(s *v1alpha1.RollbackStatus) {
			s.Request.Asked = append(s.Request.Asked, v1alpha1.AskedObject{ObjectRef: s.Request.Objects[0], At: other})
		}, ""},
		"outcome erased":             {func(s *v1alpha1.RollbackStatus) { s.Outcome = nil }, "outcome is written once"},
		"outcome changed":            {func(s *v1alpha1.RollbackStatus) { s.Outcome.Result = v1alpha1.ResultFailed }, "outcome is written once"},
		"lifted erased":              {func(s *v1alpha1.RollbackStatus) { s.Lifted = nil }, "lifted is written once"},
		"lifted changed":             {func(s *v1alpha1.RollbackStatus) { s.Lifted.By = "me" }, "lifted is written once"},
		"a hold is lifted":           {func(s *v1alpha1.RollbackStatus) { s.Holds[0].LiftedBy = "jane" }, ""},
		"a hold erased":              {func(s *v1alpha1.RollbackStatus) { s.Holds = s.Holds[1:] }, "holds are never erased"},
		"a hold of another place":    {func(s *v1alpha1.RollbackStatus) { s.Holds[0].Place = "000000000000" }, "holds are never erased"},
		"a lifted hold stands again": {func(s *v1alpha1.RollbackStatus) { s.Holds[1].LiftedBy = "" }, "each is lifted once"},
		"a hold lifted by another":   {func(s *v1alpha1.RollbackStatus) { s.Holds[1].LiftedBy = "me" }, "each is lifted once"},
		"conditions and waiting change freely": {func(s *v1alpha1.RollbackStatus) {
			s.Conditions[0].Message, s.Waiting = "as before", &v1alpha1.Waiting{Why: "for the hold", Since: at}
		}, ""},
		"more failures than fit": {func(s *v1alpha1.RollbackStatus) {
			for i := range v1alpha1.MaxFailures {
				s.Failures = append(s.Failures, failure(fmt.Sprintf("c%d", i)))
			}
		}, "must have at most 15 items"},
	}
	for name, tt := range maps.All(cases) {
		t.Run(name, func(t *testing.T) { want(t, opened(t, filled(), tt.edit), tt.want) })
	}

	t.Run("a target may be proved anew before the verdict", func(t *testing.T) {
		before := v1alpha1.RollbackStatus{Target: &v1alpha1.Target{Image: "web:v1", At: at}}
		want(t, opened(t, before, func(s *v1alpha1.RollbackStatus) { s.Target.Image, s.Target.At = "web:v0", other }), "")
	})
	for name, tt := range map[string]struct {
		edit func(*v1alpha1.Suspect)
		want string
	}{
		"a suspect gains a place before the verdict": {func(s *v1alpha1.Suspect) {}, ""},
		"with another commit it does not":            {func(s *v1alpha1.Suspect) { s.Commit = strings.Repeat("d", 40) }, "suspect is written once"},
		"nor where a place that was there changes":   {func(s *v1alpha1.Suspect) { s.Places[0].Former = "v0" }, "suspect is written once"},
	} {
		t.Run(name, func(t *testing.T) {
			before := v1alpha1.RollbackStatus{Failures: filled().Failures, Suspect: filled().Suspect, Target: filled().Target}
			want(t, opened(t, before, func(s *v1alpha1.RollbackStatus) {
				s.Suspect.Places = append(s.Suspect.Places, v1alpha1.Place{File: "twin.yaml", Pointer: "/spec", Bad: "v2", Former: "v1"})
				tt.edit(s.Suspect)
			}), tt.want)
		})
	}
	t.Run("no change without a verdict", func(t *testing.T) {
		want(t, opened(t, v1alpha1.RollbackStatus{}, func(s *v1alpha1.RollbackStatus) {
			s.Change = filled().Change
		}), "no change before a verdict that allows it")
	})
	t.Run("no change after a refusal", func(t *testing.T) {
		before := v1alpha1.RollbackStatus{Verdict: &v1alpha1.Verdict{Answer: v1alpha1.Reject, Source: v1alpha1.VerdictByPerson, By: "alice", At: at}}
		want(t, opened(t, before, func(s *v1alpha1.RollbackStatus) { s.Change = filled().Change }), "no change before a verdict that allows it")
	})
	t.Run("an expired Rollback can still be decided, and end otherwise", func(t *testing.T) {
		before := filled()
		before.Verdict, before.Change, before.Landed, before.Request, before.Lifted = nil, nil, nil, nil, nil
		before.Outcome = &v1alpha1.Outcome{Result: v1alpha1.ResultExpired, Message: "nobody decided", At: at}
		want(t, opened(t, before, func(s *v1alpha1.RollbackStatus) { *s = filled() }), "")
	})
	t.Run("the columns read like a sentence", func(t *testing.T) { s.columns(t) })
}

// columns looks at what kubectl get shows of the first, full Rollback.
func (s suite) columns(t *testing.T) {
	eventually(t, func(context.Context) error {
		out := s.kubectl(t, "get", "rb", "blanks-1", "-n", "apps")
		head, row, _ := strings.Cut(out, "\n")
		if got, want := strings.Join(strings.Fields(head), " "), "NAME TRIGGER PHASE AGE STATUS"; got != want {
			return fmt.Errorf("columns %q, want %q", got, want)
		}
		cells := strings.Join(strings.Fields(row), " ")
		if !strings.HasPrefix(cells, "blanks-1 ImagePull Verified ") || !strings.Contains(cells, "web runs v1 again") {
			return fmt.Errorf("row %q", row)
		}
		for _, field := range []string{"spec.subject.kind=Image", "spec.subject.name=web:v2", "spec.openedFor=ImagePull", "status.phase=Verified", "status.suspect.commit=" + strings.Repeat("a", 40)} {
			if out := s.kubectl(t, "get", "rb", "-n", "apps", "--field-selector="+field); !strings.Contains(out, "blanks-1 ") {
				return fmt.Errorf("--field-selector=%s does not find it: %s", field, out)
			}
		}
		return nil
	})
}
