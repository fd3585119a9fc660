package notify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// WhatsNew reads what a change says from the steps that it filled.
func WhatsNew(before, after *v1alpha1.Rollback) []News {
	return slices.Concat(foundOut(before, after), done(before, after))
}

// account is News in the order in which it is told.
type account []News

func (n *account) say(reason string, warning bool, format string, args ...any) {
	*n = append(*n, News{Reason: reason, Sentence: fmt.Sprintf(format, args...), Warning: warning})
}

// foundOut is what led to the verdict, and the verdict.
func foundOut(before, after *v1alpha1.Rollback) (out account) {
	b, a, image := &before.Status, &after.Status, after.Spec.Subject.Name
	if f := failing(a); f != nil && failing(b) == nil {
		if f.Apply != nil {
			out.say("CannotApply", true, "%s: %s: %s", f.Workload, f.Cause.Words(), f.Message)
		} else {
			out.say("ImageFailing", true, "%s cannot have %s (%s): %s", f.Workload, image, f.Cause, f.Message)
		}
	}
	if f := changed(b, a); f != nil {
		out.say("Drifted", true, "%s: %s", f.Workload, f.Message)
	}
	if b.Suspect == nil && a.Suspect != nil {
		out.blamed(after)
	}
	if (b.Target == nil || b.Target.Image != a.Target.Image || b.Target.Proved != a.Target.Proved) && a.Target != nil {
		reason := "TargetProved"
		if !a.Target.Proved {
			reason = "TargetNotProved"
		}
		out.say(reason, !a.Target.Proved, "%s", a.Target.Proof)
	}
	if asked(b) == nil && asked(a) != nil {
		out.say("ApprovalNeeded", true, "a person decides by %s whether %s: %s",
			asked(a).Until.UTC().Format("2 Jan 15:04:05 MST"), question(after), because(asked(a)))
		out[len(out)-1].Answer = how(after)
	}
	if pr := a.PullRequest; pr != nil && pr.Number > 0 && (b.PullRequest == nil || b.PullRequest.Number == 0) {
		out.say("PullRequestOpened", false, "pull request %d reverts %s: %s", pr.Number, goesBack(after), pr.URL)
	}
	if b.Verdict == nil && a.Verdict != nil {
		out.say("Decided", false, "%s: %s", a.Verdict.By, a.Verdict.Answer)
	}
	return out
}

// blamed tells the commit that is to blame.
func (n *account) blamed(r *v1alpha1.Rollback) {
	s := r.Status.Suspect
	if r.OfWorkload() {
		n.say("SuspectFound", false, "what keeps %s from becoming ready came in with commit %.12s on %s", r.Spec.Subject,
			s.Commit, s.Branch)
		return
	}
	if r.OfObject() {
		n.say("SuspectFound", false, "what %s cannot apply came in with commit %.12s on %s", r.Spec.Subject, s.Commit,
			s.Branch)
		return
	}
	n.say("SuspectFound", false, "%s came in with commit %.12s on %s%s", r.Spec.Subject.Name, s.Commit, s.Branch, by(s))
}

// done is what was written since the verdict, and what came of it.
func done(before, after *v1alpha1.Rollback) (out account) {
	b, a := &before.Status, &after.Status
	out = append(out, proposed(b.PullRequest, a.PullRequest)...)
	out = append(out, returning(b.Returning, a.Returning, goesBack(after))...)
	if b.Change == nil && a.Change != nil {
		to := " to " + a.Target.Image
		if a.Suspect.ByFiles() {
			to = ""
		}
		out.say("Reverted", false, "%.12s on %s reverts %s%s%s", a.Change.Commit, a.Change.Branch,
			goesBack(after), to, hold(a.Change))
	}
	if newly := askedSince(b.Request, a.Request); len(newly) > 0 {
		what := "what Git says"
		if a.Landed != nil {
			what = fmt.Sprintf("%.12s", a.Landed.Commit)
		}
		out.say("ReconcileRequested", false, "asked %s to apply %s", objects(newly), what)
	}
	if a.Outcome != nil && (b.Outcome == nil || b.Outcome.Result != a.Outcome.Result) {
		out.say(string(a.Outcome.Result), a.Outcome.Result.NeedsPerson(), "%s", a.Outcome.Message)
	}
	if a.Outcome != nil && a.Waiting != nil && (b.Waiting == nil || b.Waiting.Why != a.Waiting.Why) {
		out.say("HoldStands", true, "%s", a.Waiting.Why)
	}
	for _, said := range lifted(b, a) {
		out.say("HoldLifted", false, "%s", said)
	}
	return out
}

// lifted says of each hold that was lifted by whom; of a record without holds by place of all of them.
func lifted(b, a *v1alpha1.RollbackStatus) []string {
	var out []string
	say := func(policies, by string) {
		if said := fmt.Sprintf("the hold on %s was lifted by %s", policies, by); !slices.Contains(out, said) {
			out = append(out, said)
		}
	}
	for _, h := range a.Holds {
		was := slices.ContainsFunc(b.Holds, func(o v1alpha1.Hold) bool { return o.Place == h.Place && o.LiftedBy != "" })
		if p := a.PlaceOf(&h); p != nil && h.LiftedBy != "" && !was {
			say(p.Marker, h.LiftedBy)
		}
	}
	if len(a.Holds) == 0 && b.Lifted == nil && a.Lifted != nil {
		say(strings.Join(a.Change.Policies, ", "), a.Lifted.By)
	}
	return out
}

// proposed is what became of a pull request.
func proposed(b, a *v1alpha1.PullRequest) (out account) {
	if a == nil || a.Number == 0 {
		return nil
	}
	before := v1alpha1.PullRequest{}
	if b != nil {
		before = *b
	}
	if a.Foreign != "" && before.Foreign == "" {
		out.say("PullRequestForeign", true, "pull request %d is a person's to finish: %s", a.Number, a.Foreign)
	}
	if a.State == before.State || a.State == v1alpha1.PullRequestOpen {
		return out
	}
	by := ""
	if a.By != "" {
		by = " by " + a.By
	}
	reason, what := "PullRequestMerged", "was merged"
	if a.State == v1alpha1.PullRequestClosed {
		reason, what = "PullRequestClosed", "was closed without a merge"
	}
	out.say(reason, false, "pull request %d %s%s: %s", a.Number, what, by, a.URL)
	return out
}

// returning are the pull requests that were found to bring again what was reverted.
func returning(b, a *v1alpha1.Returning, what string) (out account) {
	if a == nil {
		return nil
	}
	for _, p := range a.PullRequests {
		known := b != nil && slices.ContainsFunc(b.PullRequests, func(o v1alpha1.ReturningPull) bool {
			return o.Number == p.Number && o.State == p.State
		})
		switch {
		case known:
		case p.State == v1alpha1.PullRequestClosed:
			out.say("ReturningClosed", false, "Backstop closed pull request %d, which brought %s again: %s", p.Number,
				what, p.URL)
		default:
			out.say("Returning", true, "pull request %d brings %s again, and is left open: %s: %s", p.Number, what,
				p.Left.Words(), p.URL)
		}
	}
	return out
}

func asked(s *v1alpha1.RollbackStatus) *v1alpha1.Question {
	if s.Verdict != nil {
		return nil
	}
	return s.Question
}

// because are the reasons of a question, in one line.
func because(q *v1alpha1.Question) string {
	var out []string
	for _, d := range q.Doubts {
		out = append(out, d.Message)
	}
	return strings.Join(out, "; ")
}

// how is the command that answers a question.
func how(r *v1alpha1.Rollback) string {
	answer := "approve"
	if !r.Status.Question.Allows(v1alpha1.Approve) {
		answer = "reject"
	}
	return fmt.Sprintf("backstop %s %s -n %s", answer, r.Name, r.Namespace)
}

// question is what an approval would do.
func question(r *v1alpha1.Rollback) string {
	to := "what was there before"
	if r.Status.Target != nil && r.Status.Target.Image != "" {
		to = r.Status.Target.Image
	}
	if r.Spec.OpenedFor == v1alpha1.TriggerDrift {
		return fmt.Sprintf("Git takes %s in place of %s", to, r.Spec.Subject.Name)
	}
	return fmt.Sprintf("%s goes back to %s", goesBack(r), to)
}

// goesBack is what an approval reverts: an image, or what a commit changed in whole files.
func goesBack(r *v1alpha1.Rollback) string {
	if s := r.Status.Suspect; s.ByFiles() {
		return fmt.Sprintf("what %.12s changed for %s", s.Commit, r.Spec.Subject)
	}
	return r.Spec.Subject.Name
}

// failing is the first failure that is no change by hand; nil if absent.
func failing(s *v1alpha1.RollbackStatus) *v1alpha1.Failure {
	i := slices.IndexFunc(s.Failures, func(f v1alpha1.Failure) bool { return f.Drift == nil })
	if i < 0 {
		return nil
	}
	return &s.Failures[i]
}

// changed is the first change by hand that was not known before, also of a container that was changed already; nil
// where there is none.
func changed(before, after *v1alpha1.RollbackStatus) *v1alpha1.Failure {
	for i := range after.Failures {
		f := &after.Failures[i]
		known := slices.ContainsFunc(before.Failures, func(o v1alpha1.Failure) bool {
			return o.Workload == f.Workload && o.Revision == f.Revision && o.Container == f.Container
		})
		if f.Drift != nil && !known {
			return f
		}
	}
	return nil
}

func by(s *v1alpha1.Suspect) string {
	if s.Automation != nil {
		return ", written by " + s.Automation.String()
	}
	return ""
}

func hold(c *v1alpha1.Change) string {
	if c.Hold == "" {
		return ""
	}
	return fmt.Sprintf(" and %.12s holds %s", c.Hold, strings.Join(c.Policies, ", "))
}

// askedSince are the objects that were asked for a reconcile between two readings.
func askedSince(before, after *v1alpha1.Request) []v1alpha1.AskedObject {
	switch {
	case after == nil:
		return nil
	case before == nil || before.Token != after.Token:
		return after.Asked
	}
	return after.Asked[min(len(before.Asked), len(after.Asked)):]
}

func objects(asked []v1alpha1.AskedObject) string {
	var out []string
	for _, a := range asked {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}
