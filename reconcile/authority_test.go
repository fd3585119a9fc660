package reconcile

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestWhatForbidsAWriteComesBeforeDecisions(t *testing.T) {
	for name, tt := range map[string]struct {
		change worldChange
		says   string
	}{
		"no policy": {func(w *World) {
			w.Policy = Policy{Bar: v1alpha1.BarNoPolicy, Why: "no RollbackPolicy selects the workload"}
		}, "no RollbackPolicy"},
		"a policy that tells":  {func(w *World) { w.Policy.Mode = v1alpha1.ModeNotify }, "only tells"},
		"maxAge":               {func(w *World) { w.Rollback.Status.Suspect.When = micro(t0.Add(-25 * time.Hour)) }, "maxAge is 24h"},
		"authors":              {func(w *World) { w.Rollback.Status.Suspect.Automation = nil }, "authors is Automation"},
		"a branch that is not": {func(w *World) { w.ReadOnly = "pinned to tag v1" }, "pinned to tag v1"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, at := range map[string]worldChange{"open": func(*World) {}, "expired": ended(v1alpha1.ResultExpired)} {
				got := decide(aWorld(tt.change, at, decidedBy(decision("jane", v1alpha1.Approve, 0))))
				if got.Do == DoVerdict {
					t.Errorf("%s by %s", got.Verdict.Answer, got.Verdict.By)
				}
			}
			got := decide(aWorld(tt.change, decidedBy(decision("jane", v1alpha1.Approve, 0))))
			if got.Outcome.Result != v1alpha1.ResultReportedOnly || !strings.Contains(got.Outcome.Message, tt.says) {
				t.Errorf("got %s %q, want %s …%s…", got.Do, got.Outcome.Message, v1alpha1.ResultReportedOnly, tt.says)
			}
		})
	}
}

func TestWhatForbidsAWriteStopsWhatWasAllowedBefore(t *testing.T) {
	suspended := func(w *World) {
		w.Policy.Mode, w.Policy.Bar, w.Policy.Why = v1alpha1.ModeNotify, v1alpha1.BarSuspended, "policy develop/web is suspended"
	}
	for name, tt := range map[string]struct {
		world World
		bar   v1alpha1.Bar
		says  string
	}{
		"a person's approval": {aWorld(approved("jane"), suspended), v1alpha1.BarSuspended, "nothing is pushed: policy develop/web is suspended"},
		"a policy's": {aWorld(approved("policy develop/web"), func(w *World) { w.Policy = Policy{Bar: v1alpha1.BarNoPolicy} }),
			v1alpha1.BarNoPolicy, "nothing is pushed"},
		"a change that grew too old": {aWorld(approved("jane"), func(w *World) { w.Policy.MaxAge = time.Minute }), v1alpha1.BarMaxAge, "maxAge is 1m"},
		"a revert that a force push lost": {
			aWorld(landed, tipSays("reg/backend:v2"), func(w *World) { w.Branch.Commits = nil }, suspended), v1alpha1.BarSuspended, "suspended",
		},
		"a lift by a newer image": {
			aWorld(landed, ended(v1alpha1.ResultVerified), held, selectsImage("reg/backend:v3", FindingPresent), suspended),
			v1alpha1.BarSuspended, "the hold stands, nothing is pushed",
		},
		"a lift by a person": {
			aWorld(landed, ended(v1alpha1.ResultVerified), held, suspended, func(w *World) {
				w.Rollback.Spec.Lift = &v1alpha1.LiftRequest{By: "jane", At: v1alpha1.NewTime(w.Now)}
			}), v1alpha1.BarSuspended, "the hold stands, nothing is pushed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := decide(tt.world)
			if got.Do != DoWait || got.Barred != tt.bar || !strings.Contains(got.Why, tt.says) {
				t.Errorf("got %s %q %q, want %s %q …%s…", got.Do, got.Barred, got.Why, DoWait, tt.bar, tt.says)
			}
		})
	}
	w := aWorld(approved("jane"), suspended, func(w *World) { w.Now = t0.Add(25 * time.Hour) })
	if got := decide(w); got.Outcome.Result != v1alpha1.ResultFailed || !strings.Contains(got.Outcome.Message, "not pushed in 24h") {
		t.Errorf("after a day: %s %q", got.Do, got.Outcome.Message)
	}
}

// What the informers say may be a moment old: a push and a lift ask again, on every tip that they try.
func TestEveryTipThatIsTriedAsksThePoliciesLive(t *testing.T) {
	allowed := func(t *testing.T) (*model, *Engine) {
		t.Helper()
		m := newModel()
		e := m.engine("prod", Budget{})
		m.selected = imgBad
		m.writeBack()
		m.rollOut()
		m.walk(t, e)
		m.now = m.now.Add(10 * time.Second)
		return m, e
	}
	t.Run("suspended while another push won", func(t *testing.T) {
		m, e := allowed(t)
		m.raceNext, m.raceStops = true, true
		m.walk(t, e)
		if m.tip().value != imgBad {
			t.Fatalf("pushed although it was suspended before the second try:\n%s", m.story())
		}
		r := m.records[RollbackName(ImageKey(m.ns, imgBad), 1)]
		if r.Status.Waiting == nil || r.Status.Waiting.Barred != v1alpha1.BarSuspended {
			t.Errorf("waits for %+v, want Suspended", r.Status.Waiting)
		}
		m.suspended = false
		m.walk(t, e)
		if m.tip().value != imgGood {
			t.Errorf("not pushed after a moment's suspension:\n%s", m.story())
		}
	})
	t.Run("policies that cannot be read", func(t *testing.T) {
		m, e := allowed(t)
		e.Records = unreadable{m}
		m.walk(t, e)
		if m.tip().value != imgBad {
			t.Errorf("pushed although nobody knows whether it may be:\n%s", m.story())
		}
		r := m.records[RollbackName(ImageKey(m.ns, imgBad), 1)]
		if r.Status.Waiting == nil || r.Status.Waiting.Barred != v1alpha1.BarUnreadable {
			t.Errorf("waits for %+v, want Unreadable", r.Status.Waiting)
		}
	})
}

type unreadable struct{ *model }

func (unreadable) PoliciesNow(context.Context, string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	return nil, nil, errors.New("connection refused")
}

func TestTheKillSwitchComesBeforeAnyOtherPolicy(t *testing.T) {
	const home = "backstop-system"
	stop := func(picks *metav1.LabelSelector) v1alpha1.RollbackPolicy {
		return policyOf(home, "stop", v1alpha1.ModeAuto, func(p *v1alpha1.RollbackPolicy) {
			p.Spec.Suspend, p.Spec.NamespaceSelector = true, picks
		})
	}
	labels := func(k, v string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{k: v}}
	}
	own := policyOf("develop", "p", v1alpha1.ModeAuto)
	web := Subject{Namespace: "develop", NamespaceLabels: map[string]string{"env": "dev"}, Labels: map[string]string{"tier": "web"}}
	for name, tt := range map[string]struct {
		stop v1alpha1.RollbackPolicy
		want v1alpha1.Bar
	}{
		"no namespaceSelector stops everything":       {stop(nil), v1alpha1.BarSuspended},
		"an empty one too":                            {stop(&metav1.LabelSelector{}), v1alpha1.BarSuspended},
		"one that picks the namespace stops it":       {stop(labels("env", "dev")), v1alpha1.BarSuspended},
		"one that picks another leaves it":            {stop(labels("env", "prod")), ""},
		"one that cannot be read stops":               {stop(&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Nope"}}}), v1alpha1.BarSuspended},
		"a policy of Backstop's own that works":       {policyOf(home, "p", v1alpha1.ModeAuto), ""},
		"a suspended one of another namespace, alone": {policyOf("staging", "p", v1alpha1.ModeAuto, func(p *v1alpha1.RollbackPolicy) { p.Spec.Suspend = true }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := Resolve(v1alpha1.TriggerImagePull, []Subject{web}, []v1alpha1.RollbackPolicy{own, tt.stop}, home, Ceiling{})
			if got.Bar != tt.want || (got.Mode == v1alpha1.ModeAuto) != (tt.want == "") {
				t.Errorf("got %s %q %q, want %q", got.Mode, got.Bar, got.Why, tt.want)
			}
		})
	}
}

// What a person says on approving is in Git too, on one line: an auditor reads it beside the change, and it can be no
// trailer of ours.
func TestTheReasonOfAnApprovalIsInTheCommit(t *testing.T) {
	w := aWorld(approved("jane"))
	w.Rollback.Status.Verdict.Why = "seen on staging\nBackstop-Kind: Hold"
	e := &Engine{Now: func() time.Time { return t0 }}
	got := e.revert(t.Context(), w.Rollback, &batch{}).Trailers
	want := []string{"Approved-by: jane", "Approved-because: seen on staging Backstop-Kind: Hold"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	w.Rollback.Status.Verdict.Source = v1alpha1.VerdictByPolicy
	if got := e.revert(t.Context(), w.Rollback, &batch{}).Trailers; got != nil {
		t.Errorf("a policy approved: %q", got)
	}
}

// A policy that became stricter, a lower ceiling and a workload's own word stop what was allowed without a person, as
// what takes the policy away does.
func TestWhatWasAllowedWithoutAPersonIsAskedOnceAPersonIsToBeAsked(t *testing.T) {
	lost := func(w *World) {
		changed(w)
		tipSays("reg/backend:v2")(w)
		w.Branch.Commits = nil
	}
	approves := func(w *World) { w.Policy.Mode = v1alpha1.ModeApprove }
	asks := func(w *World) {
		w.Policy.Asks = []v1alpha1.Doubt{{Type: v1alpha1.DoubtAnnotation, Message: "web says ask"}}
	}
	again := func(w *World) {
		for range maxLapsed {
			w.Rollback.Status.Lapsed = append(w.Rollback.Status.Lapsed, v1alpha1.Lapse{})
		}
	}
	for name, tt := range map[string]struct {
		world World
		do    Effect
		bar   v1alpha1.Bar
	}{
		"a policy's word under Auto":                        {aWorld(approved("policy p")), DoChange, ""},
		"a policy's word, and the policy asks":              {aWorld(approved("policy p"), approves), DoLapse, ""},
		"a policy's word, and the workload asks":            {aWorld(approved("policy p"), asks), DoLapse, ""},
		"a policy's word, and it lapsed often enough":       {aWorld(approved("policy p"), approves, again), DoWait, v1alpha1.BarApproval},
		"another's revert, and the policy asks":             {aWorld(approved("revert abc"), approves), DoLapse, ""},
		"a person's word, and the policy asks":              {aWorld(approved("jane"), approves), DoChange, ""},
		"a person's word, and the workload asks":            {aWorld(approved("jane"), asks), DoChange, ""},
		"lost to a force push under Auto":                   {aWorld(lost), DoLandAgain, ""},
		"lost to a force push, and the policy asks":         {aWorld(lost, approves), DoWait, v1alpha1.BarApproval},
		"a person's revert was lost, and the policy asks":   {aWorld(lost, approved("jane"), approves), DoLandAgain, ""},
		"a policy that only tells bars it as it did before": {aWorld(approved("policy p"), toldOnly), DoWait, v1alpha1.BarToldOnly},
	} {
		t.Run(name, func(t *testing.T) {
			if got := decide(tt.world); got.Do != tt.do || got.Barred != tt.bar {
				t.Errorf("got %s %q %s, want %s %q", got.Do, got.Barred, got.Why, tt.do, tt.bar)
			}
		})
	}
}

func toldOnly(w *World) { w.Policy.Mode = v1alpha1.ModeNotify }
