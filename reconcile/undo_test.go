package reconcile

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// undoing is a Kustomization that cannot be built since a commit whose files may go back.
type undoing struct {
	*model
	*reconciler
	// trigger that the policies are about.
	trigger v1alpha1.TriggerType
	t       *testing.T
	e       *Engine
	key     Key
}

func (u *undoing) Policies(context.Context, string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	all, labels, err := u.model.Policies(context.Background(), "")
	for i := range all {
		for k := range all[i].Spec.Triggers {
			all[i].Spec.Triggers[k].Type = u.trigger
		}
	}
	return all, labels, err
}

func (u *undoing) PoliciesNow(ctx context.Context, ns string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	return u.Policies(ctx, ns)
}

func newUndoing(t *testing.T) *undoing {
	m, r, e, key := notBuilt()
	m.ns, m.authors = key.Namespace, v1alpha1.AuthorsAnyone
	m.push(commit{value: "bad", person: true})
	u := &undoing{model: m, reconciler: r, trigger: v1alpha1.TriggerApply, t: t, e: e, key: key}
	e.Records = u
	e.Try = func(ctx context.Context, _ Source, r Revert) error { return r.Proof(ctx, nil, nil) }
	past := PastCommit{Commit: m.tip().id, Parent: m.branch[0].id, Subject: "Rename", Author: "Jane", When: m.tip().when}
	r.found = Blamed{Source: v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}, Branch: "main",
		By: r.now.Ref, Suspect: &past, ChangedBy: []PastCommit{past}, Files: []v1alpha1.Place{
			{File: "apps/app.yaml", Part: v1alpha1.PartFile, Bad: "bad", Former: m.branch[0].value},
		}}
	return u
}

// pass lets time go by.
func (u *undoing) pass(span time.Duration) *v1alpha1.Rollback {
	u.t.Helper()
	for end := u.model.now.Add(span); u.model.now.Before(end); u.model.now = u.model.now.Add(5 * time.Second) {
		if _, err := u.e.Walk(u.t.Context(), u.key); err != nil {
			u.t.Fatalf("walk: %v\n%s", err, u.story())
		}
	}
	if len(u.records) != 1 {
		u.t.Fatalf("%d records, want one\n%s", len(u.records), u.story())
	}
	for _, r := range u.records {
		return r
	}
	return nil
}

// ended checks how a record ended, and with which words.
func (u *undoing) ended(t *testing.T, s *v1alpha1.RollbackStatus, result v1alpha1.Result, says string) {
	t.Helper()
	if s.Outcome == nil || s.Outcome.Result != result || !strings.Contains(s.Outcome.Message, says) {
		t.Errorf("ended %+v, want %s %q\n%s", s.Outcome, result, says, u.story())
	}
}

// pushed checks whether a revert came after so many commits: one at most, and as it must.
func (u *undoing) pushed(t *testing.T, after int, want bool) {
	t.Helper()
	reverts := 0
	for _, b := range u.branch[after:] {
		if b.trail != nil {
			reverts++
		}
	}
	if pushed := reverts == 1; pushed != want || reverts > 1 || len(u.broke) > 0 {
		t.Errorf("%d reverts, want %v; %q\n%s", reverts, want, u.broke, u.story())
	}
}

func (u *undoing) mended() { u.reconciler.now.Failed, u.reconciler.now.Ready = nil, true }

func TestFilesGoBackWhenAPersonSaysSo(t *testing.T) {
	refuses := NotUndone(v1alpha1.DoubtPrunes, "Secret/prod/kept would not be in Git any more")
	for name, c := range map[string]struct {
		before func(*undoing)
		// asks means that a person is asked; then comes what happens.
		asks bool
		then func(*undoing)
		// result, says, refused, pushed are the end.
		result  v1alpha1.Result
		says    string
		refused v1alpha1.DoubtType
		pushed  bool
	}{
		"approved": {asks: true, then: func(u *undoing) {
			u.decide(0)
			u.pass(10 * time.Second)
			u.mended()
		}, result: v1alpha1.ResultVerified, says: "Kustomization/apps applies what Git says again, without what c101 changed", pushed: true},
		"approved, and restarted in the middle": {asks: true, then: func(u *undoing) {
			u.decide(0)
			// The revert is pushed, and the process dies before it is written down.
			u.crashAt, u.crashPost = 2, true
			for range 4 {
				_, _ = u.e.Walk(u.t.Context(), u.key)
			}
			u.crashAt = -1
			u.e = u.engineAgain()
			u.pass(10 * time.Second)
			u.mended()
		}, result: v1alpha1.ResultVerified, pushed: true},
		"rejected":       {asks: true, then: func(u *undoing) { u.decide(1) }, result: v1alpha1.ResultRejected},
		"nobody decides": {asks: true, then: func(u *undoing) { u.pass(15 * time.Minute) }, result: v1alpha1.ResultExpired},
		"a policy with mode Auto never does it alone": {before: func(u *undoing) { u.mode = v1alpha1.ModeAuto }, asks: true,
			then: func(u *undoing) { u.pass(15 * time.Minute) }, result: v1alpha1.ResultExpired, says: "files go back only when a person says so"},
		"mode Notify": {before: func(u *undoing) { u.mode = v1alpha1.ModeNotify }, result: v1alpha1.ResultReportedOnly,
			says: "cannot be built since c101 (main): correct it there, or revert the commit"},
		"authors Automation": {before: func(u *undoing) { u.authors = v1alpha1.AuthorsAutomation }, result: v1alpha1.ResultReportedOnly,
			says: "Nothing is asked: the change is not image automation's"},
		"the object says never": {before: func(u *undoing) { u.reconciler.now.Says = RollbackNever }, result: v1alpha1.ResultReportedOnly},
		"nothing proves it":     {before: func(u *undoing) { u.unproved = refuses }, result: v1alpha1.ResultReportedOnly, says: "it is not reverted here: Secret/prod/kept", refused: v1alpha1.DoubtPrunes},
		"nothing proves it any more when it is approved": {asks: true, then: func(u *undoing) {
			u.unproved = refuses
			u.decide(0)
		}, result: v1alpha1.ResultFailed, says: "Secret/prod/kept"},
		"a person's fix is applied first": {asks: true, then: func(u *undoing) {
			u.push(commit{value: "fixed", person: true})
			u.mended()
		}, result: v1alpha1.ResultSuperseded, says: "somebody mended what c101 broke"},
		"a person's fix is in Git, and Flux fails still": {asks: true, then: func(u *undoing) { u.push(commit{value: "fixed", person: true}) },
			result: v1alpha1.ResultReportedOnly, says: "main at c102 no longer says what c101 changed"},
		"a person's fix is in Git, and then applied": {asks: true, then: func(u *undoing) {
			u.push(commit{value: "fixed", person: true})
			u.pass(time.Minute)
			u.mended()
		}, result: v1alpha1.ResultSuperseded},
		"it still fails with the revert": {asks: true, then: func(u *undoing) {
			u.decide(0)
			u.pass(6 * time.Minute)
		}, result: v1alpha1.ResultFailed, says: "Kustomization/apps still fails with the revert", pushed: true},
		"suspended while a person is asked": {asks: true, then: func(u *undoing) {
			u.reconciler.now.Idle = true
			u.pass(time.Minute)
			u.reconciler.now.Idle = false
			u.decide(0)
			u.pass(10 * time.Second)
			u.mended()
		}, result: v1alpha1.ResultVerified, pushed: true},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUndoing(t)
			if c.before != nil {
				c.before(u)
			}
			commits := len(u.branch)
			got := u.pass(4 * time.Minute)
			if (got.Status.Question != nil) != c.asks {
				t.Fatalf("asks %+v, want %v\n%s", got.Status.Question, c.asks, u.story())
			}
			if q := got.Status.Question; q != nil && (q.Doubts[0].Type != v1alpha1.DoubtPolicyAsks || len(q.Doubts) != 1 || len(got.Status.Target.Also) != 1 || !got.Status.Target.Proved) {
				t.Errorf("asks %+v about %+v", q, got.Status.Target)
			}
			if c.then != nil {
				c.then(u)
				got = u.pass(30 * time.Second)
			}
			s := got.Status
			u.ended(t, &s, c.result, c.says)
			if s.Question != nil && c.result != v1alpha1.ResultExpired {
				t.Errorf("asks %+v after the end", s.Question)
			}
			if d := s.Target; c.refused != "" && (d == nil || d.Refused == nil || d.Refused.Type != c.refused) {
				t.Errorf("the target is %+v, want it refused for %s", d, c.refused)
			}
			u.pushed(t, commits, c.pushed)
			if c.pushed && (s.Change == nil || s.Change.Hold != "" || s.HoldStands() || u.proved < 2 || s.Request == nil) {
				t.Errorf("the change is %+v, asked %+v, proved %d times", s.Change, s.Request, u.proved)
			}
		})
	}
}

// engineAgain is the engine of a process that was started anew.
func (u *undoing) engineAgain() *Engine {
	e := u.engine("prod", Budget{})
	e.Applies, e.Records, e.Try = u.reconciler, u, u.e.Try
	return e
}

// Of two Kustomizations that one commit of a shared base broke, the second finds the files reverted.
func TestOneRevertServesAllThatShareTheFiles(t *testing.T) {
	u := newUndoing(t)
	got := u.pass(4 * time.Minute)
	u.push(commit{value: u.branch[0].value, trail: &TrailerCommit{Kind: TrailerRevert, Rollbacks: []string{"prod/flux-system/other-1"}, Reverts: []string{got.Status.Suspect.Commit},
		Places: []string{"apps/app.yaml#"}, Format: TrailerFormat}})
	u.pass(10 * time.Second)
	u.mended()
	got = u.pass(time.Minute)
	if v := got.Status.Verdict; v == nil || v.Source != v1alpha1.VerdictByBranch || got.Status.Outcome == nil || got.Status.Outcome.Result != v1alpha1.ResultVerified {
		t.Errorf("verdict %+v, outcome %+v\n%s", v, got.Status.Outcome, u.story())
	}
}
