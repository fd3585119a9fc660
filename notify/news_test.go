package notify

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func rollback(change func(*v1alpha1.RollbackStatus)) *v1alpha1.Rollback {
	r := &v1alpha1.Rollback{Spec: v1alpha1.RollbackSpec{OpenedFor: v1alpha1.TriggerImagePull, Subject: v1alpha1.ImageSubject("reg/backend:v2")}}
	if change != nil {
		change(&r.Status)
	}
	r.Namespace, r.Name = "develop", "backend-1f2e3d-1"
	return r
}

func TestWhatsNew(t *testing.T) {
	failed := func(s *v1alpha1.RollbackStatus) {
		s.Failures = []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull, Workload: v1alpha1.Workload{Kind: "Deployment", Name: "backend"}, Cause: v1alpha1.CauseNotFound,
			Message: "manifest unknown"}}
	}
	proved := func(s *v1alpha1.RollbackStatus) {
		failed(s)
		s.Target = &v1alpha1.Target{Image: "reg/backend:v1", Proved: true, Proof: "reg has v1"}
		s.Suspect = &v1alpha1.Suspect{Commit: "0123456789abcdef", Branch: "main"}
	}
	asking := func(s *v1alpha1.RollbackStatus) {
		proved(s)
		s.Waiting = &v1alpha1.Waiting{Why: "a person decides"}
		s.Question = &v1alpha1.Question{Until: v1alpha1.NewTime(time.Date(2026, 11, 21, 14, 32, 0, 0, time.UTC)),
			Answers: []v1alpha1.Answer{v1alpha1.Approve, v1alpha1.Reject},
			Doubts:  []v1alpha1.Doubt{{Message: "the policy asks for an approval"}, {Message: "the files are shared"}}}
	}
	changed := func(s *v1alpha1.RollbackStatus) {
		proved(s)
		s.Change = &v1alpha1.Change{Commit: "aaaaaaaaaaaaaaaa", Hold: "bbbbbbbbbbbbbbbb", Branch: "main", Policies: []string{"develop:backend"}}
	}
	over := func(r v1alpha1.Result) func(s *v1alpha1.RollbackStatus) {
		return func(s *v1alpha1.RollbackStatus) {
			changed(s)
			s.Outcome = &v1alpha1.Outcome{Result: r, Message: "it ended"}
		}
	}
	tests := map[string]struct {
		before, after func(*v1alpha1.RollbackStatus)
		want          []string
	}{
		"nothing new says nothing": {failed, failed, nil},
		"a first failure warns with the kubelet's words": {nil, failed,
			[]string{"! ImageFailing: Deployment/backend cannot have reg/backend:v2 (NotFound): manifest unknown"}},
		"suspect and target": {failed, proved, []string{
			"SuspectFound: reg/backend:v2 came in with commit 0123456789ab on main", "TargetProved: reg has v1"}},
		"pull requests that bring it again are named once": {over(v1alpha1.ResultVerified), func(s *v1alpha1.RollbackStatus) {
			over(v1alpha1.ResultVerified)(s)
			s.Returning = &v1alpha1.Returning{PullRequests: []v1alpha1.ReturningPull{
				{Number: 8, URL: "https://git.example/8", State: v1alpha1.PullRequestClosed},
				{Number: 9, URL: "https://git.example/9", State: v1alpha1.PullRequestOpen, Left: v1alpha1.LeftFork}}}
		}, []string{"ReturningClosed: Backstop closed pull request 8, which brought reg/backend:v2 again: https://git.example/8",
			"! Returning: pull request 9 brings reg/backend:v2 again, and is left open: its branch is another repository's: https://git.example/9"}},
		"a question says until when, what and why, once": {proved, asking, []string{
			"! ApprovalNeeded: a person decides by 21 Nov 14:32:00 UTC whether reg/backend:v2 goes back to reg/backend:v1: " +
				"the policy asks for an approval; the files are shared. To decide: backstop approve backend-1f2e3d-1 -n develop"}},
		"the same question is not asked again": {asking, func(s *v1alpha1.RollbackStatus) {
			asking(s)
			s.Waiting.Why = "the branch cannot be read yet"
		}, nil},
		"a change names both commits and what is held": {proved, changed, []string{
			"Reverted: aaaaaaaaaaaa on main reverts reg/backend:v2 to reg/backend:v1 and bbbbbbbbbbbb holds develop:backend"}},
		"a good end is no warning": {changed, over(v1alpha1.ResultVerified), []string{"Verified: it ended"}},
		"a bad end warns":          {changed, over(v1alpha1.ResultFailed), []string{"! Failed: it ended"}},
		"an end that is replaced after expiry is told again": {over(v1alpha1.ResultExpired), over(v1alpha1.ResultVerified),
			[]string{"Verified: it ended"}},
		"a hold that stands is told each time its sentence changes": {over(v1alpha1.ResultVerified), func(s *v1alpha1.RollbackStatus) {
			over(v1alpha1.ResultVerified)(s)
			s.Waiting = &v1alpha1.Waiting{Why: "the hold stands (day 2)"}
		}, []string{"! HoldStands: the hold stands (day 2)"}},
		"a release names who": {over(v1alpha1.ResultVerified), func(s *v1alpha1.RollbackStatus) {
			over(v1alpha1.ResultVerified)(s)
			s.Lifted = &v1alpha1.Lifted{By: "jane"}
		}, []string{"HoldLifted: the hold on develop:backend was lifted by jane"}},
		"each hold is told when it is lifted": {holding("jane", ""), func(s *v1alpha1.RollbackStatus) {
			holding("jane", "joe")(s)
			s.Lifted = &v1alpha1.Lifted{By: "joe"}
		}, []string{"HoldLifted: the hold on develop:canary was lifted by joe"}},
		"also while another one stands": {holding("", ""), holding("jane", ""),
			[]string{"HoldLifted: the hold on develop:backend was lifted by jane"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, n := range WhatsNew(rollback(tt.before), rollback(tt.after)) {
				said := n.Reason + ": " + n.Text()
				if n.Warning {
					said = "! " + said
				}
				got = append(got, said)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

type counting struct{ told []string }

func (c *counting) Tell(_, after *v1alpha1.Rollback) { c.told = append(c.told, after.Name) }

func TestAllTellsEach(t *testing.T) {
	a, b := &counting{}, &counting{}
	r := rollback(nil)
	r.Name = "x"
	All{a, b}.Tell(r, r)
	if strings.Join(a.told, "")+strings.Join(b.told, "") != "xx" {
		t.Errorf("told %v and %v", a.told, b.told)
	}
}

// holding has holds on two places, each lifted by somebody or by nobody yet.
func holding(by ...string) func(*v1alpha1.RollbackStatus) {
	return func(s *v1alpha1.RollbackStatus) {
		s.Suspect = &v1alpha1.Suspect{}
		for i, policy := range []string{"develop:backend", "develop:canary"} {
			p := v1alpha1.Place{File: policy, Marker: policy}
			s.Suspect.Places = append(s.Suspect.Places, p)
			s.Holds = append(s.Holds, v1alpha1.Hold{Place: p.Identity(), LiftedBy: by[i]})
		}
	}
}
