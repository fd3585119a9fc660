package reconcile

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// unheard are records whose informers have not heard yet: what is decided by allows, and what is read live forbids.
type unheard struct {
	*proposals
	forbid func(m *model) error
}

func (r unheard) PoliciesNow(ctx context.Context, ns string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	m := r.model
	suspended, removed, killed, mode := m.suspended, m.removed, m.killed, m.mode
	defer func() { m.suspended, m.removed, m.killed, m.mode = suspended, removed, killed, mode }()
	if err := r.forbid(m); err != nil {
		return nil, nil, err
	}
	return r.Policies(ctx, ns)
}

// effect is something that is written.
type effect struct {
	delivery v1alpha1.Delivery
	mode     v1alpha1.Mode
	arm      bool
	// before goes on to where the effect is next.
	before func(p *proposals, goOn func(time.Duration))
	// wrote reports whether it was written.
	wrote func(p *proposals) bool
}

// start is a world in which the effect is next.
func (of effect) start(t *testing.T) (*proposals, *Engine, func(time.Duration)) {
	t.Helper()
	p, e := byPullRequest(of.delivery, of.mode)
	p.spec.PullRequest = &v1alpha1.PullRequestPolicy{AutoMerge: of.arm, CloseAutomations: true}
	if of.delivery == v1alpha1.DeliveryPush {
		e.Git = p.model
	}
	goOn := func(d time.Duration) { t.Helper(); p.goOn(t, e, d) }
	of.before(p, goOn)
	return p, e, goOn
}

// lifts goes on to where a newer image lifts the hold.
func lifts(p *proposals, goOn func(time.Duration)) {
	goOn(time.Minute)
	p.pr.Merge = MergeClean
	goOn(time.Minute)
	p.rollOut()
	goOn(time.Minute)
	p.selected, p.present[imgBad2] = imgBad2, true
}

// Every effect asks live, right before it: between what was decided and what is written anybody may forbid it.
func TestNoEffectIsWrittenThatWasForbiddenAMomentAgo(t *testing.T) {
	forbid := map[string]func(m *model) error{
		"the policy is deleted":               func(m *model) error { m.removed = true; return nil },
		"the policy is suspended":             func(m *model) error { m.suspended = true; return nil },
		"the policy is made anew, and tells":  func(m *model) error { m.mode = v1alpha1.ModeNotify; return nil },
		"the kill switch":                     func(m *model) error { m.killed = true; return nil },
		"the kill switch, and no policy else": func(m *model) error { m.killed, m.removed = true, true; return nil },
		"policies that cannot be read":        func(*model) error { return errors.New("connection refused") },
	}
	effects := map[string]effect{
		"a push": {v1alpha1.DeliveryPush, v1alpha1.ModeAuto, false, func(*proposals, func(time.Duration)) {},
			func(p *proposals) bool { return p.tip().value != imgBad }},
		"a lift": {v1alpha1.DeliveryPush, v1alpha1.ModeAuto, false, func(p *proposals, goOn func(time.Duration)) {
			goOn(time.Minute)
			p.rollOut()
			goOn(time.Minute)
			p.selected = "reg.local/app:v4"
			p.present[p.selected], p.started[p.selected] = true, true
		}, func(p *proposals) bool { return !p.tip().held }},
		"a pull request that is opened": {v1alpha1.DeliveryPullRequest, v1alpha1.ModeAuto, false, func(*proposals, func(time.Duration)) {},
			func(p *proposals) bool { return p.opened > 0 || p.head != "" }},
		"a pull request that is merged": {v1alpha1.DeliveryPullRequest, v1alpha1.ModeAuto, false, func(p *proposals, goOn func(time.Duration)) {
			goOn(time.Minute)
			p.pr.Merge = MergeClean
		}, func(p *proposals) bool { return p.merges > 0 }},
		"a pull request that is armed": {v1alpha1.DeliveryPullRequest, v1alpha1.ModeApprove, true, func(p *proposals, goOn func(time.Duration)) {
			goOn(time.Minute)
			p.answers(v1alpha1.Approve)
		}, func(p *proposals) bool { return p.pr.Armed || p.merges > 0 }},
		"a pull request that lifts a hold": {v1alpha1.DeliveryPullRequest, v1alpha1.ModeAuto, false, lifts,
			func(p *proposals) bool { return p.lift != nil }},
		"the merge of one that lifts a hold": {v1alpha1.DeliveryPullRequest, v1alpha1.ModeAuto, false, func(p *proposals, goOn func(time.Duration)) {
			lifts(p, goOn)
			goOn(time.Minute)
			p.lift.Merge = MergeClean
		}, func(p *proposals) bool { return !p.tip().held }},
		"an automation's pull request that is closed": {v1alpha1.DeliveryPullRequest, v1alpha1.ModeAuto, false, func(p *proposals, goOn func(time.Duration)) {
			goOn(time.Minute)
			n := p.record().Status.Suspect.Places[0]
			line := func(value string) string {
				return n.Pointer[strings.LastIndexByte(n.Pointer, '/')+1:] + ": " + value + ` # {"$imagepolicy": "` + n.Marker + `"}`
			}
			p.shut = map[int64]string{}
			p.incoming = []Incoming{incoming(FileChange{n.File, []string{line(n.Bad)}, []string{line(n.Former)}})}
			_ = p.merge("joe")
		}, func(p *proposals) bool { return len(p.shut) > 0 }},
	}
	for effect, of := range effects {
		start := func(t *testing.T) (*proposals, *Engine, func(time.Duration)) { t.Helper(); return of.start(t) }
		t.Run(effect+", allowed", func(t *testing.T) {
			p, _, goOn := start(t)
			if goOn(2 * time.Minute); !of.wrote(p) {
				t.Errorf("it is not written although nothing forbids it:\n%s", p.story())
			}
		})
		for name, no := range forbid {
			t.Run(effect+", "+name, func(t *testing.T) {
				p, e, goOn := start(t)
				e.Records = unheard{p, no}
				if goOn(2 * time.Minute); of.wrote(p) {
					t.Errorf("it is written:\n%s", p.story())
				}
			})
		}
		if of.delivery == v1alpha1.DeliveryPullRequest {
			// A provider's library reads before it writes, for as long as the provider takes.
			t.Run(effect+", the kill switch while the provider is read", func(t *testing.T) {
				p, _, goOn := start(t)
				p.meanwhile = func() { p.now, p.killed = p.now.Add(time.Second), true }
				if goOn(2 * time.Minute); !p.killed || p.opened == 0 && p.pr != nil || p.opened > 0 && of.wrote(p) {
					t.Errorf("killed %v, and it is written:\n%s", p.killed, p.story())
				}
			})
		}
		t.Run(effect+", a ceiling that was lowered by a restart", func(t *testing.T) {
			p, e, goOn := start(t)
			e.Ceiling.Mode = v1alpha1.ModeNotify
			if goOn(2 * time.Minute); of.wrote(p) {
				t.Errorf("it is written:\n%s", p.story())
			}
		})
	}
}

// The time that a decision tells is information: who writes 1970 does not come before whom Backstop has read.
func TestADecisionDated1970DoesNotOverruleAnEarlierOne(t *testing.T) {
	epoch := func(by string, a v1alpha1.Answer) v1alpha1.Decision {
		d := decision(by, a, 0)
		d.At = micro(time.Unix(0, 0))
		return d
	}
	for name, tt := range map[string]struct {
		// verdict is what was read before the backdated decision was written.
		verdict   v1alpha1.Answer
		decisions []v1alpha1.Decision
		want      string
		do        Effect
	}{
		"an approval over a refusal that was read":    {v1alpha1.Reject, []v1alpha1.Decision{decision("oncall", v1alpha1.Reject, 0), epoch("mallory", v1alpha1.Approve)}, "", DoOutcome},
		"a refusal over an approval that was read":    {v1alpha1.Approve, []v1alpha1.Decision{decision("oncall", v1alpha1.Approve, 0), epoch("mallory", v1alpha1.Reject)}, "", DoChange},
		"an approval over a refusal in the same read": {"", []v1alpha1.Decision{epoch("mallory", v1alpha1.Approve), decision("oncall", v1alpha1.Reject, time.Hour)}, "oncall Reject", DoVerdict},
		"an approval after one, in the same read":     {"", []v1alpha1.Decision{decision("oncall", v1alpha1.Approve, 0), epoch("mallory", v1alpha1.Approve)}, "oncall Approve", DoVerdict},
		"nobody decided before":                       {"", []v1alpha1.Decision{epoch("oncall", v1alpha1.Approve)}, "oncall Approve", DoVerdict},
	} {
		t.Run(name, func(t *testing.T) {
			got := decide(aWorld(asksApproval, decidedBy(tt.decisions...), func(w *World) {
				if tt.verdict != "" {
					w.Rollback.Status.Verdict = &v1alpha1.Verdict{Answer: tt.verdict, Source: v1alpha1.VerdictByPerson, By: "oncall", At: micro(t0)}
				}
			}))
			said := ""
			if got.Do == DoVerdict {
				said = got.Verdict.By + " " + string(got.Verdict.Answer)
			}
			if got.Do != tt.do || said != tt.want {
				t.Errorf("%s %q (%s%s), want %s %q", got.Do, said, got.Why, got.Outcome.Message, tt.do, tt.want)
			}
		})
	}
}

// What one person said of an earlier question neither counts for the next one nor keeps that person from answering it.
func TestThePersonWhoAnsweredAnOlderQuestionAnswersTheNewOne(t *testing.T) {
	w := aWorld(asksApproval)
	id := questionID(&w, answersOf(&w))
	said := func(question string, a v1alpha1.Answer) v1alpha1.Decision {
		return v1alpha1.Decision{By: "jane", Question: question, Answer: a, At: micro(t0)}
	}
	for name, tt := range map[string]struct {
		decisions []v1alpha1.Decision
		want      v1alpha1.Answer
	}{
		"an approval of the older one counts for nothing":     {[]v1alpha1.Decision{said("000000000000", v1alpha1.Approve)}, ""},
		"a refusal of the older one, and an approval of this": {[]v1alpha1.Decision{said("000000000000", v1alpha1.Reject), said(id, v1alpha1.Approve)}, v1alpha1.Approve},
		"an approval of the older one, and a refusal of this": {[]v1alpha1.Decision{said("000000000000", v1alpha1.Approve), said(id, v1alpha1.Reject)}, v1alpha1.Reject},
		"answers to two older ones, and to this": {[]v1alpha1.Decision{said("000000000000", v1alpha1.Reject), said("111111111111", v1alpha1.Reject),
			said(id, v1alpha1.Approve)}, v1alpha1.Approve},
		"an answer without a question": {[]v1alpha1.Decision{said("", v1alpha1.Approve)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := decide(aWorld(asksApproval, decidedByAll(tt.decisions)))
			if got.Verdict.Answer != tt.want || tt.want == "" && got.Question == nil {
				t.Errorf("%s %q, want %q", got.Do, got.Verdict.Answer, tt.want)
			}
		})
	}
}

// An image runs in workloads of several namespaces that a fleet's policies tell apart: the strictest value of each
// field counts, whoever's it is.
func TestTheStrictestOfSeveralNamespacesCounts(t *testing.T) {
	const home = "backstop-system"
	env := func(name string) Subject {
		return Subject{Name: "Deployment/web", Namespace: name, NamespaceLabels: map[string]string{"env": name}}
	}
	subjects := []Subject{env("dev"), env("prod")}
	fleetOf := func(name string, mode v1alpha1.Mode, changes ...policyChange) v1alpha1.RollbackPolicy {
		return policyOf(home, name, mode, append([]policyChange{fleet, func(p *v1alpha1.RollbackPolicy) {
			p.Spec.NamespaceSelector.MatchLabels = map[string]string{"env": name}
		}}, changes...)...)
	}
	suspended := func(p *v1alpha1.RollbackPolicy) { p.Spec.Suspend = true }
	manual := func(p *v1alpha1.RollbackPolicy) { p.Spec.Lift = v1alpha1.LiftManual }
	for name, tt := range map[string]struct {
		policies []v1alpha1.RollbackPolicy
		mode     v1alpha1.Mode
		bar      v1alpha1.Bar
		release  v1alpha1.LiftMode
	}{
		"Auto in one and Approve in the other": {[]v1alpha1.RollbackPolicy{fleetOf("dev", v1alpha1.ModeAuto), fleetOf("prod", v1alpha1.ModeApprove)},
			v1alpha1.ModeApprove, "", v1alpha1.LiftNewerImage},
		"Notify in one": {[]v1alpha1.RollbackPolicy{fleetOf("dev", v1alpha1.ModeAuto), fleetOf("prod", v1alpha1.ModeNotify)},
			v1alpha1.ModeNotify, "", v1alpha1.LiftNewerImage},
		"a policy in one alone": {[]v1alpha1.RollbackPolicy{policyOf("dev", "p", v1alpha1.ModeAuto)}, v1alpha1.ModeNotify, v1alpha1.BarNoPolicy, v1alpha1.LiftNewerImage},
		"suspended in one": {[]v1alpha1.RollbackPolicy{policyOf("dev", "p", v1alpha1.ModeAuto), policyOf("prod", "p", v1alpha1.ModeAuto, suspended)},
			v1alpha1.ModeNotify, v1alpha1.BarSuspended, v1alpha1.LiftNewerImage},
		"the kill switch for one": {[]v1alpha1.RollbackPolicy{policyOf("dev", "p", v1alpha1.ModeAuto), policyOf("prod", "p", v1alpha1.ModeAuto), fleetOf("prod", v1alpha1.ModeAuto, suspended)},
			v1alpha1.ModeNotify, v1alpha1.BarSuspended, v1alpha1.LiftNewerImage},
		"a lift by a person in one": {[]v1alpha1.RollbackPolicy{policyOf("dev", "p", v1alpha1.ModeAuto), policyOf("prod", "p", v1alpha1.ModeAuto, manual)},
			v1alpha1.ModeAuto, "", v1alpha1.LiftManual},
	} {
		for _, order := range [][]Subject{subjects, {subjects[1], subjects[0]}} {
			t.Run(name+", "+order[0].Namespace+" first", func(t *testing.T) {
				got := Resolve(v1alpha1.TriggerImagePull, order, tt.policies, home, Ceiling{})
				if diff := cmp.Diff([]string{string(tt.mode), string(tt.bar), string(tt.release)},
					[]string{string(got.Mode), string(got.Bar), string(got.Lift)}); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		}
	}
}

// What is written to workloads asks in its moment too.
func TestNoWorkloadIsWrittenThatWasForbiddenAMomentAgo(t *testing.T) {
	p, _ := byPullRequest(v1alpha1.DeliveryPush, v1alpha1.ModeAuto)
	for name, killed := range map[string]bool{"allowed": false, "the kill switch": true} {
		t.Run(name, func(t *testing.T) {
			pods := &deletes{}
			w := behind()
			e := &Engine{Home: "backstop-system", Now: func() time.Time { return w.Now }, Pods: pods, Triggers: testRows,
				Records: unheard{p, func(m *model) error { m.killed = killed; return nil }}}
			rb := w.Rollback.DeepCopy()
			err := e.deletePod(t.Context(), &w, Step{Pod: StuckPod{Name: "web-0"}}, rb)
			if (err != nil) != killed || (pods.deleted == "") != killed {
				t.Errorf("%v, deleted %q", err, pods.deleted)
			}
		})
	}
}

type deletes struct {
	modelPods
	deleted string
}

func (d *deletes) Delete(_ context.Context, _ string, pod StuckPod) error {
	d.deleted = pod.Name
	return nil
}
