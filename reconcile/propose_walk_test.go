package reconcile

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// proposals is the model with a provider beside it: a branch of one pull request, which a squash brings to the deployed
// branch.
type proposals struct {
	*model
	spec v1alpha1.RollbackPolicySpec
	pr   *PullRequest
	// head of the pull request's branch, and who has been on it beside Backstop.
	head    string
	foreign bool
	// brings says what it makes of the deployed branch.
	brings                   string
	opened, merges, comments int
	away                     bool
	// lift is the pull request that lifts the hold.
	lift *PullRequest
	// logins that the provider was asked with.
	logins []string
}

func (p *proposals) Lift(ctx context.Context, src Source, l Lift) (string, error) {
	if l.Onto == "" {
		return "", RefuseAs(FaultWantsPullRequest, "push main: the server refuses it: protected branch hook declined")
	}
	return "the head of the lift", l.Permit()
}

func (p *proposals) policies(all []v1alpha1.RollbackPolicy) []v1alpha1.RollbackPolicy {
	for i := range all {
		all[i].Spec.Delivery, all[i].Spec.PullRequest = p.spec.Delivery, p.spec.PullRequest
	}
	return all
}

func (p *proposals) Policies(ctx context.Context, ns string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	all, labels, err := p.model.Policies(ctx, ns)
	return p.policies(all), labels, err
}

func (p *proposals) PoliciesNow(ctx context.Context, ns string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	return p.Policies(ctx, ns)
}

func (p *proposals) Land(context.Context, Source, []Revert) ([]Landing, error) {
	return nil, RefuseAs(FaultWantsPullRequest, "push main: the server refuses it: protected branch hook declined")
}

func (p *proposals) Propose(_ context.Context, _ Source, onto Onto, reverts []Revert) (Proposed, error) {
	out := Proposed{Base: p.tip().id, Landings: make([]Landing, len(reverts)), Message: "Revert"}
	r := reverts[0]
	out.Landings[0].Err = r.Permit(p.look(r.Suspect, &r.Target, r.Since))
	if out.Landings[0].Err != nil {
		return out, nil //nolint:nilerr // a landing has its own error
	}
	if p.foreign {
		return out, RefuseAs(FaultForeign, "%s has commit e, which is not Backstop's", onto.Branch)
	}
	err := p.write(func() error {
		if p.head == "" || onto.Rebuild {
			p.head, p.brings = "head of "+p.tip().id, r.Target.Values[0].Value
		}
		return nil
	})
	out.Head, out.Own = p.head, true
	return out, err
}

func (p *proposals) Find(_ context.Context, branch, _ string) (*PullRequest, error) {
	if strings.HasPrefix(branch, "backstop/lift-") {
		return p.lift, nil
	}
	return p.read()
}

func (p *proposals) Read(_ context.Context, number int64) (*PullRequest, error) {
	if number == 2 {
		out := *p.lift
		return &out, nil
	}
	return p.read()
}

func (p *proposals) Forget(int64) {}

func (p *proposals) Update(context.Context, *PullRequest, Proposal) error { return nil }

func (p *proposals) WantsPullRequest(context.Context, string) (*bool, error) { return nil, nil }

func (p *proposals) Rights(context.Context) (Rights, error) { return Rights{}, nil }

func (p *proposals) read() (*PullRequest, error) {
	if p.away {
		return nil, errors.New("HTTP 502")
	}
	if p.pr == nil {
		return nil, nil
	}
	out := *p.pr
	out.Head = p.head
	return &out, nil
}

// The provider's Open and the records' have one name.
type forgeOf struct{ *proposals }

func (f forgeOf) Open(_ context.Context, of Proposal) (*PullRequest, error) {
	if of.Story.Lifts {
		f.lift = &PullRequest{Number: 2, State: v1alpha1.PullRequestOpen, Merge: MergeWaits, Head: "the head of the lift"}
		return f.lift, nil
	}
	err := f.write(func() error {
		f.opened++
		f.pr = &PullRequest{Number: 1, URL: "https://git.example/pulls/1", State: v1alpha1.PullRequestOpen, Merge: MergeWaits}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f.read()
}

func (p *proposals) Merge(_ context.Context, pr *PullRequest, order MergeOrder) (Merging, error) {
	switch {
	case pr.Number == 2:
		p.lift.State, p.lift.By = v1alpha1.PullRequestMerged, "bot"
		p.push(commit{value: p.tip().value})
		return MergingDone, nil
	case order.Head != p.head || pr.Head != p.head:
		return "", RefuseAs(FaultHeadMoved, "the head moved")
	case p.pr.Merge != MergeClean && order.Arm:
		return MergingArmed, p.write(func() error { p.pr.Armed = true; return nil })
	case p.pr.Merge != MergeClean:
		return "", RefuseAs(FaultNotYet, "not yet")
	}
	return MergingDone, p.write(func() error { return p.merge("bot") })
}

// merge squashes.
func (p *proposals) merge(by string) error {
	p.merges++
	p.push(commit{value: p.brings, held: true})
	p.pr.State, p.pr.By, p.pr.Armed = v1alpha1.PullRequestMerged, by, false
	return nil
}

// mergeAlone merges what a person took the hold out of.
func (p *proposals) mergeAlone(by string) error {
	err := p.merge(by)
	p.branch[len(p.branch)-1].held = false
	return err
}

// goesOnAlone has a person go on with that.
func goesOnAlone(p *proposals, goOn func()) {
	_ = p.mergeAlone("joe")
	goOn()
	p.asksAlone()
	p.answers(v1alpha1.Approve)
}

// asksAlone wants people to be asked about it.
func (p *proposals) asksAlone() {
	q := p.record().Status.Question
	if q == nil || q.Doubts[0].Type != v1alpha1.DoubtHoldMissing || !strings.Contains(q.Doubts[0].Message, "without the hold of") {
		p.broke = append(p.broke, "it does not ask about the hold")
	}
}

func (p *proposals) Disarm(context.Context, *PullRequest) error {
	return p.write(func() error { p.pr.Armed = false; return nil })
}

func (p *proposals) Close(context.Context, *PullRequest, string) error {
	return p.write(func() error {
		p.comments++
		p.pr.State, p.pr.Armed = v1alpha1.PullRequestClosed, false
		return nil
	})
}

// byPullRequest is a world whose pods fail, with an engine that delivers so.
func byPullRequest(delivery v1alpha1.Delivery, mode v1alpha1.Mode) (*proposals, *Engine) {
	p := &proposals{model: newModel(), spec: v1alpha1.RollbackPolicySpec{Delivery: delivery}}
	p.mode, p.failsFor, p.selected = mode, time.Minute, imgBad
	p.writeBack()
	p.rollOut()
	e := p.engine("prod", Budget{Count: 3, Per: time.Hour})
	e.Records, e.Git, e.Forges = p, p, forges{p}
	return p, e
}

type forges struct{ p *proposals }

func (f forges) Forge(_ context.Context, src Source, _ v1alpha1.PullRequestProvider) (Forge, error) {
	if src.API != nil {
		f.p.logins = append(f.p.logins, src.API.Name.String()+" "+string(src.API.Auth.Secret["token"]))
	}
	return forgeOf{f.p}, nil
}

// goOn walks for a while.
func (p *proposals) goOn(t *testing.T, e *Engine, d time.Duration) {
	t.Helper()
	for end := p.now.Add(d); p.now.Before(end); p.now = p.now.Add(5 * time.Second) {
		if _, err := e.Walk(t.Context(), ImageKey(p.ns, imgBad)); err != nil && !errors.Is(err, errCrash) {
			t.Fatalf("walk: %v\n%s", err, p.story())
		}
	}
}

func (p *proposals) record() *v1alpha1.Rollback {
	for _, r := range p.records {
		if r.Spec.Subject.Name == imgBad {
			return r
		}
	}
	return nil
}

// answers is a person on the card.
func (p *proposals) answers(a v1alpha1.Answer) {
	r := p.record()
	r.Spec.Decisions = append(r.Spec.Decisions, v1alpha1.Decision{By: "jane", Question: r.Status.Question.ID, Answer: a})
}

func TestWalksByPullRequest(t *testing.T) {
	approve, auto, byPolicy := v1alpha1.ModeApprove, v1alpha1.ModeAuto, v1alpha1.DeliveryPullRequest
	for name, tt := range map[string]struct {
		delivery v1alpha1.Delivery
		mode     v1alpha1.Mode
		act      func(p *proposals, goOn func())
		result   v1alpha1.Result
		source   v1alpha1.VerdictSource
		says     string
	}{
		"approved on the card, merged when it is clean": {byPolicy, approve, func(p *proposals, goOn func()) {
			p.answers(v1alpha1.Approve)
			goOn()
			p.pr.Merge = MergeClean
		}, v1alpha1.ResultVerified, v1alpha1.VerdictByPerson, ""},
		"merged by a person":                                                       {byPolicy, approve, func(p *proposals, _ func()) { _ = p.merge("joe") }, v1alpha1.ResultVerified, v1alpha1.VerdictByMerge, ""},
		"target alone asks, and goes on without the hold":                          {byPolicy, approve, goesOnAlone, v1alpha1.ResultVerified, v1alpha1.VerdictByPerson, ""},
		"target alone asks where the policy decided, and goes on without the hold": {byPolicy, auto, goesOnAlone, v1alpha1.ResultVerified, v1alpha1.VerdictByPerson, ""},
		"target alone asks after it expired, and goes on without the hold": {byPolicy, approve, func(p *proposals, goOn func()) {
			p.now = p.now.Add(time.Hour)
			goOn()
			_ = p.mergeAlone("joe")
			p.now = p.now.Add(10 * time.Minute)
			goOn()
			p.asksAlone()
			p.answers(v1alpha1.Approve)
			p.now = p.now.Add(10 * time.Minute)
		}, v1alpha1.ResultVerified, v1alpha1.VerdictByPerson, ""},
		"target alone, rejected": {byPolicy, approve, func(p *proposals, goOn func()) {
			_ = p.mergeAlone("joe")
			goOn()
			p.answers(v1alpha1.Reject)
		}, v1alpha1.ResultRejected, v1alpha1.VerdictByPerson, "jane rejected it, and pull request 1 is merged by joe"},
		"target alone, and the hold is put back": {byPolicy, approve, func(p *proposals, goOn func()) {
			_ = p.mergeAlone("joe")
			goOn()
			p.push(commit{value: p.brings, held: true})
		}, v1alpha1.ResultVerified, v1alpha1.VerdictByMerge, ""},
		"target alone, and image automation writes again": {byPolicy, approve, func(p *proposals, goOn func()) {
			_ = p.mergeAlone("joe")
			goOn()
			p.push(commit{value: imgBad})
		}, v1alpha1.ResultSuperseded, "", "which brought no hold"},
		"merged while the provider is away": {byPolicy, approve, func(p *proposals, _ func()) { _ = p.merge("joe"); p.away = true },
			v1alpha1.ResultVerified, v1alpha1.VerdictByMerge, ""},
		"merged after it expired": {byPolicy, approve, func(p *proposals, goOn func()) {
			p.now = p.now.Add(time.Hour)
			goOn()
			_ = p.merge("joe")
		}, v1alpha1.ResultVerified, v1alpha1.VerdictByMerge, ""},
		"rejected on the card": {byPolicy, approve, func(p *proposals, _ func()) { p.answers(v1alpha1.Reject) }, v1alpha1.ResultRejected, v1alpha1.VerdictByPerson, "jane keeps"},
		"closed by a person":   {byPolicy, approve, func(p *proposals, _ func()) { p.pr.State, p.pr.By = v1alpha1.PullRequestClosed, "joe" }, v1alpha1.ResultRejected, "", "without a merge by joe"},
		"closed by a person, opened again and merged": {byPolicy, approve, func(p *proposals, goOn func()) {
			p.pr.State, p.pr.By = v1alpha1.PullRequestClosed, "joe"
			goOn()
			p.pr.State = v1alpha1.PullRequestOpen
			for range 3 {
				goOn()
				p.now = p.now.Add(5 * time.Minute)
			}
			if q := p.record().Status.Question; q == nil || !q.Allows(v1alpha1.Approve) {
				p.broke = append(p.broke, "it does not ask again")
			}
			_ = p.merge("joe")
			p.now = p.now.Add(10 * time.Minute)
			goOn()
		}, v1alpha1.ResultVerified, v1alpha1.VerdictByMerge, ""},
		"allowed by the policy, closed by a person, and opened again": {byPolicy, auto, func(p *proposals, goOn func()) {
			p.pr.State, p.pr.By = v1alpha1.PullRequestClosed, "joe"
			goOn()
			p.pr.State, p.pr.Merge = v1alpha1.PullRequestOpen, MergeClean
			for range 3 {
				goOn()
				p.now = p.now.Add(5 * time.Minute)
			}
			if p.merges > 0 {
				p.broke = append(p.broke, "it was merged without a yes")
			}
			p.answers(v1alpha1.Approve)
		}, v1alpha1.ResultVerified, v1alpha1.VerdictByPerson, ""},
		"a person edits it":    {byPolicy, approve, func(p *proposals, _ func()) { p.brings = "reg.local/app:v0"; _ = p.merge("joe") }, v1alpha1.ResultSuperseded, "", "no longer says"},
		"a person fixes main":  {byPolicy, approve, func(p *proposals, _ func()) { p.push(commit{value: "reg.local/app:v0", person: true}) }, v1alpha1.ResultSuperseded, "", "no longer says"},
		"the policy decides":   {byPolicy, auto, func(p *proposals, _ func()) { p.pr.Merge = MergeClean }, v1alpha1.ResultVerified, v1alpha1.VerdictByPolicy, ""},
		"the push was refused": {v1alpha1.DeliveryAuto, auto, func(p *proposals, _ func()) { p.pr.Merge = MergeClean }, v1alpha1.ResultVerified, v1alpha1.VerdictByPolicy, ""},
		"the provider is away for an hour": {byPolicy, auto, func(p *proposals, goOn func()) {
			p.away = true
			for range 12 {
				goOn()
				p.now = p.now.Add(4 * time.Minute)
			}
			p.away, p.pr.Merge = false, MergeClean
		}, v1alpha1.ResultVerified, v1alpha1.VerdictByPolicy, ""},
		"a push to its branch that is ours": {byPolicy, auto, func(p *proposals, goOn func()) {
			p.head = "another head of ours"
			goOn()
			p.pr.Merge = MergeClean
		}, v1alpha1.ResultVerified, v1alpha1.VerdictByPolicy, ""},
		"its branch is deleted, and the pull request stays open": {byPolicy, auto, func(p *proposals, goOn func()) {
			p.head = ""
			goOn()
			if p.head == "" {
				p.broke = append(p.broke, "it is not pushed again")
			}
			p.pr.Merge = MergeClean
		}, v1alpha1.ResultVerified, v1alpha1.VerdictByPolicy, ""},
		"a base that moved": {byPolicy, auto, func(p *proposals, goOn func()) {
			p.push(commit{value: imgBad, person: true})
			p.pr.Merge = MergeConflicts
			goOn()
			p.pr.Merge = MergeClean
		}, v1alpha1.ResultVerified, v1alpha1.VerdictByPolicy, ""},
		"a foreign commit, merged by a person": {byPolicy, auto, func(p *proposals, goOn func()) {
			p.head, p.foreign, p.pr.Merge = "e", true, MergeClean
			goOn()
			if p.merges > 0 || p.record().Status.Question == nil || p.record().Status.Question.Allows(v1alpha1.Approve) {
				p.broke = append(p.broke, "a foreign commit was merged, or asks for nothing")
			}
			_ = p.merge("joe")
		}, v1alpha1.ResultVerified, v1alpha1.VerdictByMerge, ""},
		"from Push to PullRequest meanwhile": {v1alpha1.DeliveryAuto, approve, func(p *proposals, goOn func()) {
			p.spec.Delivery = byPolicy
			goOn()
			p.answers(v1alpha1.Approve)
			p.pr.Merge = MergeClean
		}, v1alpha1.ResultVerified, v1alpha1.VerdictByPerson, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, e := byPullRequest(tt.delivery, tt.mode)
			p.goOn(t, e, time.Minute)
			if tt.delivery == byPolicy && (p.opened != 1 || p.merges > 0) {
				t.Fatalf("opened %d, merged %d\n%s", p.opened, p.merges, p.story())
			}
			tt.act(p, func() { p.goOn(t, e, time.Minute) })
			p.goOn(t, e, 2*time.Minute)
			p.rollOut()
			p.goOn(t, e, 15*time.Minute)
			s := &p.record().Status
			if s.Outcome == nil || s.Outcome.Result != tt.result || !strings.Contains(s.Outcome.Sentence, tt.says) || len(p.broke) > 0 {
				t.Fatalf("it ends %+v, %q\n%s", s.Outcome, p.broke, p.story())
			}
			if tt.source != "" && s.Verdict.Source != tt.source || tt.source == "" && s.Verdict != nil {
				t.Errorf("the verdict is %+v", s.Verdict)
			}
			if tt.source == v1alpha1.VerdictByMerge && !p.away && s.Verdict.By != "joe" {
				t.Errorf("the verdict is by %s", s.Verdict.By)
			}
			if p.opened != 1 || p.pr.State == v1alpha1.PullRequestOpen {
				t.Errorf("opened %d, and it is %+v", p.opened, p.pr)
			}
			if tt.result == v1alpha1.ResultVerified && (p.merges != 1 || (s.Change.Hold != "") != p.branch[len(p.branch)-1].held || s.PullRequest.State != v1alpha1.PullRequestMerged && !p.away) {
				t.Errorf("merged %d times, the change is %+v, and the record has %+v", p.merges, s.Change, s.PullRequest)
			}
			if tt.result == v1alpha1.ResultSuperseded && p.merges == 0 && p.comments != 1 {
				t.Errorf("it was closed %d times", p.comments)
			}
		})
	}
}

func TestWhatIsArmedIsDisarmed(t *testing.T) {
	for name, stop := range map[string]func(p *proposals){
		"suspended":                 func(p *proposals) { p.suspended = true },
		"stopped by a kill switch":  func(p *proposals) { p.killed = true },
		"under a ceiling of Notify": func(p *proposals) { p.mode = v1alpha1.ModeNotify },
		"without a policy":          func(p *proposals) { p.removed = true },
		"closed by a person":        func(p *proposals) { p.pr.State, p.pr.Armed = v1alpha1.PullRequestClosed, false },
		"pushed to by a person":     func(p *proposals) { p.head, p.foreign = "e", true },
		"fixed on the branch":       func(p *proposals) { p.push(commit{value: "reg.local/app:v0", person: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			p, e := byPullRequest(v1alpha1.DeliveryPullRequest, v1alpha1.ModeAuto)
			p.spec.PullRequest = &v1alpha1.PullRequestPolicy{AutoMerge: true}
			p.goOn(t, e, time.Minute)
			if !p.pr.Armed || !p.record().Status.PullRequest.Armed {
				t.Fatalf("it is %+v\n%s", p.pr, p.story())
			}
			stop(p)
			p.goOn(t, e, time.Minute)
			if p.pr.Armed || p.merges > 0 {
				t.Errorf("it is %+v, merged %d times\n%s", p.pr, p.merges, p.story())
			}
		})
	}
	t.Run("rejected on the card, and armed by a person", func(t *testing.T) {
		p, e := byPullRequest(v1alpha1.DeliveryPullRequest, v1alpha1.ModeApprove)
		p.goOn(t, e, time.Minute)
		p.pr.Armed = true
		p.answers(v1alpha1.Reject)
		p.goOn(t, e, time.Minute)
		if p.pr.Armed || p.pr.State != v1alpha1.PullRequestClosed {
			t.Errorf("it is %+v", p.pr)
		}
	})
	t.Run("and armed again when it may be", func(t *testing.T) {
		p, e := byPullRequest(v1alpha1.DeliveryPullRequest, v1alpha1.ModeAuto)
		p.spec.PullRequest = &v1alpha1.PullRequestPolicy{AutoMerge: true}
		p.goOn(t, e, time.Minute)
		p.suspended = true
		p.goOn(t, e, time.Minute)
		p.suspended = false
		p.goOn(t, e, time.Minute)
		if !p.pr.Armed {
			t.Errorf("it is %+v\n%s", p.pr, p.story())
		}
	})
}

func TestACrashBetweenAnyTwoCallsLeavesOnePullRequest(t *testing.T) {
	for n := 1; n < 30; n++ {
		for _, after := range []bool{false, true} {
			p, e := byPullRequest(v1alpha1.DeliveryPullRequest, v1alpha1.ModeAuto)
			p.crashAt, p.crashPost = n, after
			p.goOn(t, e, time.Minute)
			if p.pr != nil {
				p.pr.Merge = MergeClean
			}
			p.goOn(t, e, 2*time.Minute)
			p.rollOut()
			p.goOn(t, e, 2*time.Minute)
			if s := &p.record().Status; p.opened != 1 || p.merges != 1 || s.Outcome == nil || s.Outcome.Result != v1alpha1.ResultVerified {
				t.Errorf("crash %d, %v: opened %d, merged %d\n%s", n, after, p.opened, p.merges, p.story())
			}
		}
	}
}

func TestAHoldGoesTheWayThatTheRevertCame(t *testing.T) {
	for name, delivery := range map[string]v1alpha1.Delivery{
		"the policy wants it":  v1alpha1.DeliveryPullRequest,
		"the push was refused": v1alpha1.DeliveryAuto,
	} {
		t.Run(name, func(t *testing.T) {
			p, e := byPullRequest(delivery, v1alpha1.ModeAuto)
			p.goOn(t, e, time.Minute)
			p.pr.Merge = MergeClean
			p.goOn(t, e, time.Minute)
			p.rollOut()
			p.goOn(t, e, time.Minute)
			p.selected, p.present[imgBad2] = imgBad2, true
			p.goOn(t, e, time.Minute)
			if p.lift == nil || !p.tip().held {
				t.Fatalf("it is lifted by %+v\n%s", p.lift, p.story())
			}
			p.lift.Merge = MergeClean
			p.goOn(t, e, time.Minute)
			if s := &p.record().Status; p.tip().held || s.Release == nil || s.Release.By != "pull request 2, merged by bot" {
				t.Errorf("the hold is %+v\n%s", s.Release, p.story())
			}
		})
	}
}

func TestALoginBesideThatOfGit(t *testing.T) {
	p, e := byPullRequest(v1alpha1.DeliveryPullRequest, v1alpha1.ModeApprove)
	p.spec.PullRequest = &v1alpha1.PullRequestPolicy{SecretRef: &v1alpha1.LocalRef{Name: "api"}}
	denied := true
	e.Tokens = func(_ context.Context, name types.NamespacedName) (map[string][]byte, error) {
		if denied {
			return nil, RefuseAs(FaultNoRights, "Backstop may not read Secret %s", name)
		}
		return map[string][]byte{"token": []byte("t0ken")}, nil
	}
	p.goOn(t, e, time.Minute)
	if w := p.record().Status.Waiting; p.opened > 0 || w == nil || !strings.Contains(w.Why, "may not read Secret develop/api") {
		t.Errorf("opened %d, and it waits for %+v", p.opened, w)
	}
	denied = false
	p.goOn(t, e, 2*time.Minute)
	if p.opened != 1 || p.logins[0] != "develop/api t0ken" {
		t.Errorf("opened %d with %q", p.opened, p.logins)
	}
}
