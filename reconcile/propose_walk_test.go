package reconcile

import (
	"context"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

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
			if s.Outcome == nil || s.Outcome.Result != tt.result || !strings.Contains(s.Outcome.Message, tt.says) || len(p.broke) > 0 {
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
			if s := &p.record().Status; p.tip().held || s.Lifted == nil || s.Lifted.By != "pull request 2, merged by bot" {
				t.Errorf("the hold is %+v\n%s", s.Lifted, p.story())
			}
		})
	}
}

func TestALoginBesideThatOfGit(t *testing.T) {
	p, e := byPullRequest(v1alpha1.DeliveryPullRequest, v1alpha1.ModeApprove)
	p.spec.PullRequest = &v1alpha1.PullRequestPolicy{SecretRef: &v1alpha1.LocalRef{Name: "api"}}
	denied := true
	e.Login = func(_ context.Context, names []types.NamespacedName, src Source) (Source, error) {
		if denied {
			return src, RefuseAs(FaultNoRights, "Backstop may not read Secret %s", names[0])
		}
		src.API = &Login{Name: names[0], Auth: Auth{Secret: map[string][]byte{"token": []byte("t0ken")}}}
		return src, nil
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
