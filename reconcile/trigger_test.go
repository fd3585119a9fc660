package reconcile

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// FuzzTriggersDecideAsBefore takes a set of oddities, and asks for the step that was taken before a trigger was a
// value. Where failures of two triggers meet in one record the two may differ in what was wrong before: the record
// ended as soon as one of them was over, and waited for the grace of the one that it was opened for.
func FuzzTriggersDecideAsBefore(f *testing.F) {
	f.Add(uint64(0))
	for i := range oddities() {
		f.Add(uint64(1) << i)
		for j := range i {
			f.Add(uint64(1)<<i | uint64(1)<<j)
		}
	}
	f.Fuzz(decidesAsBefore)
}

// decidesAsBefore decides a world with a set of oddities by the rows of today and by what was there before.
func decidesAsBefore(t *testing.T, set uint64) {
	t.Helper()
	w := aWorld()
	for i, odd := range oddities() {
		if set&(1<<i) != 0 {
			odd(&w)
		}
	}
	s := &w.Rollback.Status
	switch {
	case s.Change != nil && (s.Verdict == nil || s.Verdict.Answer != v1alpha1.Approve || s.Suspect == nil || s.Target == nil),
		s.Landed != nil && s.Change == nil, s.Request != nil && s.Landed == nil,
		s.Verdict != nil && (s.Target == nil || s.Suspect == nil):
		// The API server refuses it.
		return
	case len(s.Failures) == 0 && s.Outcome != nil && s.Outcome.Result == v1alpha1.ResultExpired:
		// Nothing that failed was ever asked about, and so nothing expired.
		return
	}
	met := s.Drifted() && s.Blamed()
	ends, _ := graceEnds(&w)
	if met && (len(w.failures()) == 0 || w.Now.Before(s.FirstSeen().Add(w.Policy.Grace)) != w.Now.Before(ends)) {
		return
	}
	got, want := decide(w), oldDecide(w)
	if want.Do == DoLift || want.Do == DoLifted {
		// Since then a hold is lifted by its place, and what somebody else took away has a reason in the log.
		want.Holds, want.Why = got.Holds, got.Why
	}
	for _, step := range []*Step{&got, &want} {
		if q := step.Question; q != nil {
			slices.SortFunc(q.Doubts, func(a, b v1alpha1.Doubt) int {
				return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Message, b.Message))
			})
			// The order in which the doubts are told is the triggers'.
			step.Why, step.Outcome.Message = sorted(step.Why), sorted(step.Outcome.Message)
		}
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("%x: -before +now:\n%s", set, diff)
	}
}

// sorted puts the parts of a sentence in order.
func sorted(s string) string {
	parts := strings.FieldsFunc(strings.ReplaceAll(s, ". Asked because ", "; "), func(r rune) bool { return r == ';' || r == ':' })
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

// walksBy walks the bad image, three times at each call, by one trigger alone, which image automation has written. No
// registry answers.
func walksBy(t *testing.T, row Trigger) func() *v1alpha1.RollbackStatus {
	m := newModel()
	m.dark, m.selected = true, imgBad
	m.writeBack()
	e := m.engine("a", Budget{})
	e.Triggers = []Trigger{row}
	return func() *v1alpha1.RollbackStatus {
		t.Helper()
		for range 3 {
			if _, err := e.Walk(t.Context(), ImageKey(m.ns, imgBad)); err != nil {
				t.Fatal(err)
			}
			m.now = m.now.Add(10 * time.Second)
		}
		return &m.records[RollbackName(ImageKey(m.ns, imgBad), 1)].Status
	}
}

// A row that goes by the state of a canary and by no pod is all that the engine needs. It borrows the name of a trigger
// that the API knows.
func TestATriggerIsARow(t *testing.T) {
	const failed = "the canary of Deployment/app failed"
	seen, over := true, ""
	row := Trigger{
		Type: v1alpha1.TriggerImagePull,
		Observe: func(_ context.Context, l *Look) (Observation, error) {
			o := Observation{Over: over, Labels: map[string]map[string]string{"Deployment/app": {}}}
			if seen {
				o.Failures = []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull, Cause: v1alpha1.CauseNotFound,
					Workload: v1alpha1.Workload{Kind: "Deployment", Name: "app", UID: "w"}, Container: "app",
					Since: v1alpha1.NewTime(t0)}}
			}
			return o, nil
		},
		Ended: func(w *World) *Ending {
			if o := w.Seen[v1alpha1.TriggerImagePull]; o.Over != "" {
				return &Ending{v1alpha1.ResultRecovered, o.Over + " was promoted after all"}
			}
			return nil
		},
		Doubts: func(*World) []v1alpha1.Doubt {
			return []v1alpha1.Doubt{{Type: v1alpha1.DoubtCause, Message: failed}}
		},
		Prove: func(_ context.Context, _ *World, f Former) (Proof, error) {
			return Proof{Finding: FindingPresent, Sentence: "the primary runs " + f.Image}, nil
		},
		Fault: func(context.Context, *World, *v1alpha1.Target) (Proof, error) {
			return Proof{Finding: FindingAbsent, Sentence: failed}, nil
		},
	}
	walk := walksBy(t, row)
	s := walk()
	if s.Question == nil || !slices.ContainsFunc(s.Question.Doubts, func(d v1alpha1.Doubt) bool { return d.Message == failed }) {
		t.Fatalf("nobody is asked: %+v", s)
	}
	if !s.Target.Proved || !s.Target.BadProved || !strings.Contains(s.Target.Proof, "the primary runs") {
		t.Errorf("the target is not proved by the row: %+v", s.Target)
	}
	seen, over = false, "the canary"
	if s = walk(); s.Outcome == nil || s.Outcome.Message != "the canary was promoted after all" {
		t.Errorf("it did not end as the row says: %+v", s.Outcome)
	}
}

// What was in doubt when the target was chosen is not when the policy decides: the record says so.
func TestTheRecordSaysWhatWasKnownWhenThePolicyDecided(t *testing.T) {
	doubted := true
	row := Trigger{
		Type: v1alpha1.TriggerImagePull,
		Observe: func(context.Context, *Look) (Observation, error) {
			return Observation{Labels: map[string]map[string]string{"Deployment/app": {}}, Failures: []v1alpha1.Failure{{
				Trigger: v1alpha1.TriggerImagePull, Cause: v1alpha1.CauseNotFound, Container: "app", Since: v1alpha1.NewTime(t0),
				Workload: v1alpha1.Workload{Kind: "Deployment", Name: "app", UID: "w"}}}}, nil
		},
		Doubts: func(*World) []v1alpha1.Doubt {
			if doubted {
				return []v1alpha1.Doubt{{Type: v1alpha1.DoubtCause, Message: "one node alone"}}
			}
			return nil
		},
		Prove: func(context.Context, *World, Former) (Proof, error) { return Proof{Finding: FindingPresent}, nil },
		Fault: func(context.Context, *World, *v1alpha1.Target) (Proof, error) {
			if doubted {
				return Proof{Finding: FindingUnproved}, nil
			}
			return Proof{Finding: FindingAbsent}, nil
		},
	}
	walk := walksBy(t, row)
	if s := walk(); s.Target == nil || s.Target.BadProved || s.Verdict != nil {
		t.Fatalf("in doubt: %+v %+v", s.Target, s.Verdict)
	}
	doubted = false
	if s := walk(); s.Verdict == nil || s.Verdict.Source != v1alpha1.VerdictByPolicy || !s.Target.BadProved {
		t.Errorf("the doubt is gone: %+v %+v", s.Target, s.Verdict)
	}
}

// A record that two triggers are about ends when both say so, and a person is asked where one of them wants it.
func TestTwoTriggersMeetInOneRecord(t *testing.T) {
	met := func(changes ...worldChange) World {
		return aWorld(append([]worldChange{func(w *World) {
			w.Rollback.Status.Failures = append(w.Rollback.Status.Failures, byHandOf("backend", "reg/backend:v1", time.Minute))
			w.sees(PodsSeen{Restored: "Deployment/backend"})
		}}, changes...)...)
	}
	both := func(w *World) { w.edits(func(p *PodsSeen) { p.Started = "Pod/x" }) }
	for name, tt := range map[string]struct {
		world  World
		do     Effect
		result v1alpha1.Result
	}{
		"Flux undid the change, and the image still fails": {met(), DoWait, ""},
		"and the image runs after all":                     {met(both), DoOutcome, v1alpha1.ResultRecovered},
		"a rejection is done when the change is undone":    {met(rejected("bob"), requested), DoOutcome, v1alpha1.ResultRestored},
	} {
		if got := decide(tt.world); got.Do != tt.do || got.Outcome.Result != tt.result {
			t.Errorf("%s: %s %s (%s%s), want %s %s", name, got.Do, got.Outcome.Result, got.Why, got.Outcome.Message, tt.do, tt.result)
		}
	}
	auto, asks, told := Policy{Mode: v1alpha1.ModeAuto, By: []string{"p"}}, Policy{Mode: v1alpha1.ModeApprove, By: []string{"p"}}, Policy{Mode: v1alpha1.ModeNotify, By: []string{"p"}}
	for name, tt := range map[string]struct {
		of   []Policy
		want v1alpha1.Mode
	}{
		"one":                   {[]Policy{auto}, v1alpha1.ModeAuto},
		"both decide":           {[]Policy{auto, auto}, v1alpha1.ModeAuto},
		"one asks":              {[]Policy{auto, asks}, v1alpha1.ModeApprove},
		"one only tells":        {[]Policy{told, auto}, v1alpha1.ModeApprove},
		"one asks, one tells":   {[]Policy{asks, told}, v1alpha1.ModeApprove},
		"both only tell":        {[]Policy{told, told}, v1alpha1.ModeNotify},
		"three, and one tells":  {[]Policy{auto, told, auto}, v1alpha1.ModeApprove},
		"no policy, and one":    {[]Policy{{Bar: v1alpha1.BarNoPolicy}, asks}, v1alpha1.ModeApprove},
		"no policy for neither": {[]Policy{{Bar: v1alpha1.BarNoPolicy}, {Bar: v1alpha1.BarNoPolicy}}, ""},
	} {
		if got := together(tt.of); got.Mode != tt.want {
			t.Errorf("%s: %s, want %s", name, got.Mode, tt.want)
		}
	}
}

// Each failure waits for the grace of its own trigger.
func TestGraceIsTheTriggersOwn(t *testing.T) {
	w := aWorld(func(w *World) {
		w.Rollback.Status.Suspect, w.Rollback.Status.Target, w.Branch = nil, nil, nil
		w.Policies = map[v1alpha1.TriggerType]Policy{v1alpha1.TriggerImagePull: {Grace: 5 * time.Minute}, v1alpha1.TriggerDrift: {}}
	})
	if got := decide(w); got.Do != DoWait || got.Wait != 4*time.Minute {
		t.Errorf("the pull: %s %s, want to wait for 4m", got.Do, got.Wait)
	}
	w.Rollback.Status.Failures = append(w.Rollback.Status.Failures, byHandOf("backend", "reg/backend:v1", 0))
	w.sees(PodsSeen{Failures: w.Rollback.Status.Failures})
	if got := decide(w); got.Do != DoSuspect {
		t.Errorf("with a change by hand: %s %s, want the suspect", got.Do, got.Why)
	}
}
