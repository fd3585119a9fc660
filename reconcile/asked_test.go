package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func asksApproval(w *World) { w.Policy.Mode, w.Policy.Approval = v1alpha1.ModeApprove, time.Hour }

func TestAskingPeopleSaysUntilWhenAndWhy(t *testing.T) {
	w := aWorld(asksApproval)
	got := decide(w)
	if got.Do != DoWait || got.Question == nil {
		t.Fatalf("got %s, asked %v", got.Do, got.Question)
	}
	want := &v1alpha1.Question{
		ID: got.Question.ID, Until: micro(w.Rollback.Status.FirstSeen().Add(w.Policy.Grace + time.Hour)),
		Doubts:  []v1alpha1.Doubt{{Type: v1alpha1.DoubtPolicyAsks, Message: "the policy asks for an approval"}},
		Answers: []v1alpha1.Answer{v1alpha1.Approve, v1alpha1.Reject},
	}
	if diff := cmp.Diff(want, got.Question); diff != "" || len(got.Question.ID) != 12 {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestAnotherSuspectTargetPlaceOrAnswerIsAnotherQuestion(t *testing.T) {
	ask := func(changes ...worldChange) string {
		w := aWorld(append([]worldChange{asksApproval}, changes...)...)
		return questionOf(&w, doubtsOf(&w)).ID
	}
	second := func(w *World) {
		w.Rollback.Status.Suspect.Places = append(w.Rollback.Status.Suspect.Places, v1alpha1.Place{File: "b.yaml", Bad: "reg/backend:v2"})
		w.Branch.Values[1] = "reg/backend:v2"
	}
	one, two := ask(), ask(second)
	for name, tt := range map[string]struct {
		got, want string
		same      bool
	}{
		"another doubt":         {ask(func(w *World) { w.Breaker = "breaker: reg" }), one, true},
		"other words":           {ask(func(w *World) { w.Rollback.Status.Target.Proof = "x" }), one, true},
		"a proof of later":      {ask(func(w *World) { w.Rollback.Status.Target.At = micro(t0.Add(time.Minute)) }), one, true},
		"another tip":           {ask(func(w *World) { w.Branch.Tip = "tip1" }), one, true},
		"a longer deadline":     {ask(func(w *World) { w.Policy.Approval = 2 * time.Hour }), one, true},
		"another suspect":       {ask(func(w *World) { w.Rollback.Status.Suspect.Commit = "bad1" }), one, false},
		"another target":        {ask(func(w *World) { w.Rollback.Status.Target.Image = "reg/backend:v0" }), one, false},
		"another value":         {ask(func(w *World) { w.Rollback.Status.Target.Values[0].Value = "reg/backend:v0" }), one, false},
		"one place more":        {two, one, false},
		"one place mended":      {ask(second, func(w *World) { w.Branch.Values[1] = "reg/backend:v1" }), two, false},
		"one answer less":       {ask(func(w *World) { w.ReadOnly = "pinned" }), one, false},
		"a verdict that lapsed": {ask(func(w *World) { w.Rollback.Status.Lapsed = []v1alpha1.Lapse{{}} }), one, false},
	} {
		t.Run(name, func(t *testing.T) {
			if (tt.got == tt.want) != tt.same {
				t.Errorf("%s and %s, the same: want %t", tt.got, tt.want, tt.same)
			}
		})
	}
}

func TestADecisionCountsOnlyForTheQuestionThatIsAsked(t *testing.T) {
	w := aWorld(asksApproval)
	id := questionOf(&w, nil).ID
	by := func(who string, a v1alpha1.Answer, question string) v1alpha1.Decision {
		return v1alpha1.Decision{By: who, Answer: a, Question: question, At: micro(t0)}
	}
	old := by("bob", v1alpha1.Reject, "000000000000")
	late := by("jane", v1alpha1.Approve, id)
	late.At = micro(time.Unix(0, 0))
	for name, tt := range map[string]struct {
		decisions []v1alpha1.Decision
		want      string
	}{
		"an older question's":                       {[]v1alpha1.Decision{old}, ""},
		"an older question's and this one's":        {[]v1alpha1.Decision{old, by("bob", v1alpha1.Approve, id)}, "bob Approve"},
		"the first that was written":                {[]v1alpha1.Decision{by("zoe", v1alpha1.Approve, id), late}, "zoe Approve"},
		"of several a Reject":                       {[]v1alpha1.Decision{late, by("zoe", v1alpha1.Reject, id)}, "zoe Reject"},
		"a Reject, whatever time a later one tells": {[]v1alpha1.Decision{by("zoe", v1alpha1.Reject, id), late}, "zoe Reject"},
	} {
		t.Run(name, func(t *testing.T) {
			got := decide(aWorld(asksApproval, decidedByAll(tt.decisions)))
			said := strings.TrimSpace(got.Verdict.By + " " + string(got.Verdict.Answer))
			if said != tt.want || tt.want != "" && got.Verdict.Question != id {
				t.Errorf("got %s %q on %q, want %q on %q", got.Do, said, got.Verdict.Question, tt.want, id)
			}
		})
	}
}

func decidedByAll(all []v1alpha1.Decision) worldChange {
	return func(w *World) { w.Rollback.Spec.Decisions = all }
}

func TestAnEndThatStillAsks(t *testing.T) {
	restored := func(w *World) {
		f := byHandOf("backend", "reg/backend:v1", time.Minute)
		w.Rollback.Spec.OpenedFor = v1alpha1.TriggerDrift
		w.Rollback.Status.Failures = []v1alpha1.Failure{f}
		w.sees(PodsSeen{Restored: "Deployment/backend"})
	}
	for name, tt := range map[string]struct {
		world   World
		answers []v1alpha1.Answer
		result  v1alpha1.Result
	}{
		"expired": {aWorld(asksApproval, ended(v1alpha1.ResultExpired)), []v1alpha1.Answer{v1alpha1.Approve, v1alpha1.Reject}, ""},
		"expired too long ago": {aWorld(asksApproval, ended(v1alpha1.ResultExpired),
			func(w *World) {
				w.Now, w.Rollback.Status.Suspect.When = t0.Add(25*time.Hour), micro(t0.Add(24*time.Hour))
			}), nil, ""},
		"expired, and something else in Git": {aWorld(asksApproval, ended(v1alpha1.ResultExpired), tipSays("reg/backend:v3")), nil,
			v1alpha1.ResultSuperseded},
		"expired and recovered": {aWorld(asksApproval, ended(v1alpha1.ResultExpired),
			func(w *World) { w.sees(PodsSeen{Started: "Pod/x"}) }), nil, v1alpha1.ResultRecovered},
		"expired under a policy that only tells": {aWorld(ended(v1alpha1.ResultExpired),
			func(w *World) { w.Policy.Mode = v1alpha1.ModeNotify }), nil, ""},
		"a drift that Flux undid": {aWorld(asksApproval, restored, ended(v1alpha1.ResultRestored)),
			[]v1alpha1.Answer{v1alpha1.Approve}, ""},
		"one that a person had restored": {aWorld(asksApproval, restored, ended(v1alpha1.ResultRestored), func(w *World) {
			w.Rollback.Status.Verdict = &v1alpha1.Verdict{Answer: v1alpha1.Reject, Source: v1alpha1.VerdictByPerson, By: "jane"}
		}), nil, ""},
		"rejected": {aWorld(asksApproval, ended(v1alpha1.ResultRejected)), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := decide(tt.world)
			var answers []v1alpha1.Answer
			if got.Question != nil {
				answers = got.Question.Answers
			}
			if diff := cmp.Diff(tt.answers, answers); diff != "" || got.Outcome.Result != tt.result {
				t.Errorf("%s %s, answers (-want +got):\n%s", got.Do, got.Outcome.Result, diff)
			}
			if got.Question == nil {
				return
			}
			w := tt.world
			w.Rollback.Spec.Decisions = []v1alpha1.Decision{{By: "jane", Answer: v1alpha1.Approve, Question: got.Question.ID}}
			if next := decide(w); next.Do != DoVerdict {
				t.Errorf("an approval: %s", next.Do)
			}
		})
	}
}

func TestAVerdictLapsesThatWasForbiddenForTooLong(t *testing.T) {
	barredBefore := func(w *World) {
		approved("jane")(w)
		w.Rollback.Status.Waiting = &v1alpha1.Waiting{Why: "suspended", Barred: v1alpha1.BarSuspended}
		w.Rollback.Status.Verdict.Question = questionID(w, answersOf(w))
	}
	for name, tt := range map[string]struct {
		change worldChange
		want   Effect
	}{
		"a moment's suspension is none": {func(*World) {}, DoChange},
		"longer than approval.timeout":  {func(w *World) { w.Now = t0.Add(w.Policy.Approval + time.Second) }, DoLapse},
		"and what would be written is something else": {
			func(w *World) { w.Rollback.Status.Verdict.Question = "000000000000" }, DoLapse,
		},
		"still suspended": {func(w *World) {
			w.Policy.Mode, w.Policy.Bar, w.Now = v1alpha1.ModeNotify, v1alpha1.BarSuspended, t0.Add(2*time.Hour)
		}, DoWait},
	} {
		t.Run(name, func(t *testing.T) {
			if got := decide(aWorld(barredBefore, tt.change)); got.Do != tt.want {
				t.Errorf("got %s %q, want %s", got.Do, got.Why+got.Outcome.Message, tt.want)
			}
		})
	}
	// What the policy would do by itself is asked after a lapse.
	w := aWorld(func(w *World) {
		w.Rollback.Status.Lapsed = []v1alpha1.Lapse{{Why: "jane allowed it long ago", At: micro(t0)}}
		w.Now = t0.Add(30 * time.Minute)
	})
	got := decide(w)
	if got.Question == nil || got.Question.Doubts[0].Type != v1alpha1.DoubtVerdictLapsed {
		t.Errorf("got %s %+v, want a question", got.Do, got.Question)
	}
}

// A suspension is for a while: it takes the question away and does not end the Rollback.
func TestASuspensionTakesTheQuestionBack(t *testing.T) {
	suspended := func(w *World) {
		w.Policy.Mode, w.Policy.Bar, w.Policy.Why = v1alpha1.ModeNotify, v1alpha1.BarSuspended, "policy develop/web is suspended"
	}
	asked := func(w *World) { w.Rollback.Status.Question = &v1alpha1.Question{ID: "0123456789ab"} }
	got := decide(aWorld(asked, suspended))
	if got.Do != DoWait || got.Question != nil || got.Barred != v1alpha1.BarSuspended {
		t.Errorf("got %s %+v %q", got.Do, got.Question, got.Barred)
	}
	got = decide(aWorld(asked, suspended, func(w *World) { w.Now = t0.Add(2 * time.Hour) }))
	if got.Outcome.Result != v1alpha1.ResultExpired || got.Question != nil {
		t.Errorf("after the deadline: %s %+v", got.Outcome.Result, got.Question)
	}
	if got = decide(aWorld(suspended)); got.Outcome.Result != v1alpha1.ResultReportedOnly {
		t.Errorf("where nothing was asked before: %s %q", got.Do, got.Outcome.Message)
	}
}
