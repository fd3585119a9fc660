package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// askFor is how long after its end a Rollback can still be decided, where the policy's maxAge says no less.
const askFor = 24 * time.Hour

// questionOf is what people are asked now, where doubts explain why.
func questionOf(w *World, doubts []v1alpha1.Doubt) *v1alpha1.Question {
	return questionWith(w, answersOf(w), doubts)
}

// questionWith is a question to which these are the answers.
func questionWith(w *World, answers []v1alpha1.Answer, doubts []v1alpha1.Doubt) *v1alpha1.Question {
	out := make([]v1alpha1.Doubt, 0, len(doubts))
	for _, d := range doubts {
		out = append(out, v1alpha1.Doubt{Type: d.Type, Message: sentence(d.Message)})
	}
	q := &v1alpha1.Question{
		ID: questionID(w, answers), Until: v1alpha1.NewTime(answerBy(w)), Doubts: out, Answers: answers,
	}
	fit(q)
	return q
}

// answersOf are the answers that can be carried out.
func answersOf(w *World) []v1alpha1.Answer {
	s := &w.Rollback.Status
	switch {
	case s.Outcome != nil && s.Outcome.Result == v1alpha1.ResultRestored:
		return []v1alpha1.Answer{v1alpha1.Approve}
	case onlyTold(w) != "", s.PullRequest != nil && s.PullRequest.Foreign != "":
		return []v1alpha1.Answer{v1alpha1.Reject}
	}
	return []v1alpha1.Answer{v1alpha1.Approve, v1alpha1.Reject}
}

// questionID names what would be written: it changes with the subject, the suspect, the places that hold the bad value,
// the target, the answers, the way of delivery and after a verdict that lapsed. The wording of a doubt is no part of
// it.
func questionID(w *World, answers []v1alpha1.Answer) string {
	s := &w.Rollback.Status
	h := sha256.New()
	put := func(parts ...string) {
		fmt.Fprintf(h, "%d[", len(parts))
		for _, p := range parts {
			fmt.Fprintf(h, "%d:%s", len(p), p)
		}
	}
	put(string(w.Rollback.Spec.OpenedFor), w.Rollback.Spec.Subject.Name, s.Suspect.Commit, s.Suspect.Branch,
		strconv.Itoa(len(s.Lapsed)))
	for i, n := range s.Suspect.Places {
		if w.Branch == nil || w.Branch.Values[int32(i)] == n.Bad {
			put(n.File, n.Pointer, n.Bad)
		}
	}
	put(s.Target.Image)
	for _, v := range s.Target.Values {
		put(strconv.Itoa(int(v.Index)), v.Value)
	}
	for _, a := range answers {
		put(string(a))
	}
	put(string(w.Policy.Delivery))
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// decisionOn is the decision that counts for a question, of those that were read together.
func decisionOn(w *World, q *v1alpha1.Question) (v1alpha1.Decision, bool) {
	var out []v1alpha1.Decision
	for _, d := range w.Rollback.Spec.Decisions {
		if d.Question == q.ID && q.Allows(d.Answer) {
			out = append(out, d)
		}
	}
	return v1alpha1.FirstDecision(out)
}

// answerBy is when nobody is waited for any longer.
func answerBy(w *World) time.Time {
	s := &w.Rollback.Status
	ends, _ := graceEnds(w)
	out := ends.Add(w.Policy.Approval)
	if n := len(s.Lapsed); n > 0 {
		if after := s.Lapsed[n-1].At.Add(w.Policy.Approval); after.After(out) {
			return after
		}
	}
	return out
}

// expires ends a Rollback that nobody decided in time; it is asked about all the same.
func expires(w *World, q *v1alpha1.Question, why string) Step {
	step := end(w, v1alpha1.ResultExpired, "nobody decided in %s; it can still be approved or rejected. Asked because %s",
		ShortDuration(w.Policy.Approval), why)
	step.Question = q
	return step
}

// stillAsks reports whether a Rollback that has ended can be decided all the same: one that expired, and one whose
// drift Flux undid.
func stillAsks(s *v1alpha1.RollbackStatus) bool {
	if s.Outcome == nil || s.Verdict != nil || s.Suspect == nil || s.Target == nil {
		return false
	}
	return s.Outcome.Result == v1alpha1.ResultExpired || s.Outcome.Result == v1alpha1.ResultRestored
}

// maxLapsed is how many verdicts of one Rollback may lapse.
const maxLapsed = 4

// onlyTold explains why nothing may be done here at all; empty when something may.
func onlyTold(w *World) string {
	s := &w.Rollback.Status
	var no *barredBy
	switch {
	case errors.As(mayWrite(w.Policy, s, w.Now), &no):
		return no.why
	case s.Target.Refused != nil:
		return "it is not reverted here: " + s.Target.Refused.Message
	case len(s.Target.Values) == 0:
		return "there is nothing to go back to: " + s.Target.Proof
	case w.ReadOnly != "":
		return w.ReadOnly
	}
	return ""
}

func messages(all []v1alpha1.Doubt) string {
	var out []string
	for _, d := range all {
		out = append(out, d.Message)
	}
	return strings.Join(out, "; ")
}

// answeredBy turns the decision on a question into a verdict.
func answeredBy(w *World, d v1alpha1.Decision, q *v1alpha1.Question) Step {
	return Step{Do: DoVerdict, Why: fmt.Sprintf("%s answers %s", d.By, d.Answer), Verdict: v1alpha1.Verdict{
		Answer: d.Answer, Source: v1alpha1.VerdictByPerson, By: d.By, Policies: countedPolicies(w),
		At: v1alpha1.NewTime(w.Now), Why: cut(d.Reason, 500), Lift: w.Policy.Lift,
		Question: q.ID,
	}}
}

func verdict(w *World, source v1alpha1.VerdictSource, by, why string) Step {
	return Step{Do: DoVerdict, Why: "allowed by " + brief(by), Verdict: v1alpha1.Verdict{
		Answer: v1alpha1.Approve, Source: source, By: brief(by), Policies: countedPolicies(w),
		At:       v1alpha1.NewTime(w.Now),
		Why:      brief(why),
		Cooldown: metav1.Duration{Duration: w.Policy.Cooldown}, Lift: w.Policy.Lift,
		Question: questionID(w, answersOf(w)),
	}}
}

// countedPolicies are the policies that count now.
func countedPolicies(w *World) []v1alpha1.PolicyRef {
	return append([]v1alpha1.PolicyRef(nil), w.Policy.Read...)
}
