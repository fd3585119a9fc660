package card

import (
	"fmt"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// scope describes what is written, and what the commit brought in beside it that stays.
func scope(f Facts) string {
	s := f.Rollback.Status.Suspect
	if applies(f.Rollback) {
		return applyScope(f)
	}
	if s == nil {
		return fit(append([]string{remediated(&f.Rollback.Status)}, told(&f.Rollback.Status)...)...)
	}
	lines := append([]string{remediated(&f.Rollback.Status)}, told(&f.Rollback.Status)...)
	if files := filesOf(s); len(files) > 0 && f.Rollback.Status.Target != nil {
		lines = append(lines, fmt.Sprintf("*In Git* %s on %s of %s", join(files, 3), code(s.Branch, 80),
			foreign(s.Source.String(), 120)))
	}
	if len(s.OtherImages) > 0 {
		var others []string
		for _, i := range s.OtherImages {
			others = append(others, code(i, 120))
		}
		lines = append(lines, "*Not reverted* "+join(others, 5)+", which the same commit brought in")
	}
	if len(s.Stays) > 0 {
		var others []string
		for _, v := range s.Stays {
			others = append(others, code(v.Value, 80)+" in "+code(v.File, 120))
		}
		lines = append(lines, "*Not reverted* "+join(others, 3)+
			", which the same ImagePolicy writes and is no part of the image")
	}
	if !s.OnlyImages {
		lines = append(lines, "*Not reverted* what else the commit changed beside images")
	}
	if len(s.SharedBy) > 0 {
		var others []string
		for _, o := range s.SharedBy {
			others = append(others, foreign(o.String(), 120))
		}
		lines = append(lines, "*Also changes* "+join(others, 5)+", by the same files")
	}
	if t := f.Rollback.Status.Target; t != nil && t.Proof != "" {
		label := "*Proof* "
		if !t.Proved {
			label = "*Not proved* "
		}
		lines = append(lines, label+foreign(t.Proof, 400))
	}
	return fit(lines...)
}

// next describes what happens next and when; at the end it is the record. A state is told by a word and a symbol.
func next(f Facts) string {
	r := f.Rollback
	s := &r.Status
	switch stateOf(r) {
	case asking:
		return question(f)
	case reverting:
		return fit("⏳ "+byWhom(r), pushing(r), waitsFor(s))
	case reverted:
		then := ", then the pods are checked"
		if applies(r) && !r.OfWorkload() {
			then = ""
		}
		return fit("⏳ "+byWhom(r), pushed(f), "*Next* Flux applies it"+then, waitsFor(s))
	case ended:
		return record(f)
	case failing:
	}
	if s.Waiting == nil && applies(r) {
		what := "that Flux cannot apply"
		if r.OfWorkload() {
			what = "at which what Git says of it became what fails"
		}
		return "🔎 *Next* Backstop looks for the commit " + what
	}
	if s.Waiting == nil {
		return "🔎 *Next* Backstop looks for the commit that brought the image in"
	}
	out := "🔎 *Next* " + foreign(s.Waiting.Why, 800)
	if s.Waiting.Until != nil {
		out += ", until " + date(s.Waiting.Until.Time)
	}
	return out
}

// question describes what happens without an answer, and why a person is asked.
func question(f Facts) string {
	a := f.Rollback.Status.Question
	out := "🟡 *A person decides* by " + date(a.Until.Time) + ". "
	switch {
	case f.Rollback.Spec.OpenedFor == v1alpha1.TriggerDrift:
		out += unanswered(&f.Rollback.Status)
	case f.Mode == v1alpha1.ModeAuto:
		out += "Without a decision Git is changed only if what is listed here is over by then."
	default:
		out += "Without a decision nothing is changed."
	}
	lines := []string{out}
	if line := proposed(&f.Rollback.Status); line != "" {
		lines = append(lines, line)
	}
	for i, why := range a.Doubts {
		if i == 5 {
			lines = append(lines, fmt.Sprintf("• %d more reasons", len(a.Doubts)-i))
			break
		}
		lines = append(lines, "• "+foreign(why.Message, 300))
	}
	return fit(lines...)
}

// byWhom reports who decided, and when.
func byWhom(r *v1alpha1.Rollback) string {
	a, by, at := answer(r)
	verb := map[v1alpha1.Answer]string{v1alpha1.Approve: "Approved", v1alpha1.Reject: "Rejected"}[a]
	if verb != "" && r.Spec.OpenedFor == v1alpha1.TriggerDrift {
		verb = answers[a]
	}
	if verb == "" {
		return ""
	}
	if merged(r) {
		return "*Merged* " + proposal(&r.Status) + " by " + foreign(by, 200) + " at " + clock(at)
	}
	if v := r.Status.Verdict; v != nil && v.Source != v1alpha1.VerdictByPerson {
		by = foreign(by, 200)
	} else {
		by = who(by)
	}
	return fmt.Sprintf("*%s* by %s at %s", verb, by, clock(at))
}

// merged reports that the merge of the pull request was the approval.
func merged(r *v1alpha1.Rollback) bool {
	v := r.Status.Verdict
	return v != nil && v.Source == v1alpha1.VerdictByMerge
}

func pushing(r *v1alpha1.Rollback) string {
	switch {
	case rejected(r) && r.Spec.OpenedFor == v1alpha1.TriggerDrift:
		return restoring(&r.Status)
	case rejected(r):
		return "*Next* nothing: Git stays as it is"
	case r.Status.PullRequest.IsOpen():
		return "*Next* " + proposal(&r.Status) + " is merged"
	case r.Status.Suspect == nil:
		return "*Next* the change is pushed"
	}
	return "*Next* the change is pushed to " + code(r.Status.Suspect.Branch, 80)
}

// pushed names the commits that were written.
func pushed(f Facts) string {
	c := f.Rollback.Status.Change
	out := fmt.Sprintf("*Pushed* %s to %s at %s", f.Links.link(c.Commit), code(c.Branch, 80), clock(c.At.Time))
	if c.By != "" {
		out += ", together with " + foreign(c.By, 200)
	}
	if c.Hold != "" {
		var held []string
		for _, p := range c.Policies {
			held = append(held, foreign(p, 130))
		}
		out += fmt.Sprintf("; %s holds %s", f.Links.link(c.Hold), join(held, 3))
	}
	return out
}

func waitsFor(s *v1alpha1.RollbackStatus) string {
	if s.Waiting == nil || s.Question != nil {
		return ""
	}
	return "*Waiting* " + foreign(s.Waiting.Why, 800)
}

// record is what stands instead of buttons when all is over: how it ended, who decided, what was pushed, how long it
// took.
func record(f Facts) string {
	r := f.Rollback
	s := &r.Status
	o := s.Outcome
	lines := []string{
		fmt.Sprintf("%s *%s* %s", symbol(o.Result), foreign(string(o.Result), 30), said(r)),
	}
	lines = append(lines, byWhom(r))
	if line := became(s); line != "" && !merged(r) {
		lines = append(lines, line)
	}
	if s.Change != nil {
		lines = append(lines, pushed(f))
	}
	lines = append(lines, returning(r)...)
	took := "*Ended* " + date(s.Outcome.At.Time)
	if first := s.FirstSeen(); s.Outcome.At.After(first) && !first.IsZero() {
		since := " after the first failure"
		if r.Spec.OpenedFor == v1alpha1.TriggerDrift {
			since = " after " + what(r)
		}
		took += ", " + lasted(s.Outcome.At.Sub(first)) + since
	}
	return fit(append(lines, took, holdNow(s))...)
}

// said is how it ended, in the Rollback's own words. Where they begin with who decided, Slack shows the name; a
// rejection is told by its reason.
func said(r *v1alpha1.Rollback) string {
	sentence := r.Status.Outcome.Message
	_, by, _ := answer(r)
	rejected := r.Status.Outcome.Result == v1alpha1.ResultRejected
	shut := r.Status.PullRequest != nil && r.Status.Verdict == nil
	if v := r.Status.Verdict; rejected && !shut && (v == nil || v.Answer == v1alpha1.Reject) {
		out := "Git keeps " + code(r.Spec.Subject.Name, 300)
		if applies(r) {
			out = "Git keeps " + theChange(r)
		}
		if v := r.Status.Verdict; v != nil && v.Why != "" {
			out += ": " + foreign(v.Why, 500)
		}
		return out
	}
	if rest, ok := strings.CutPrefix(sentence, by+" "); ok && by != "" {
		return who(by) + " " + foreign(rest, 800)
	}
	return foreign(sentence, 800)
}

// holdNow reports whether image automation is still held off.
func holdNow(s *v1alpha1.RollbackStatus) string {
	switch {
	case s.Lifted != nil && !liftedApart(s):
		return "*Hold lifted* by " + who(s.Lifted.By) + " at " + date(s.Lifted.At.Time)
	case s.Lifted != nil:
		return strings.Join(eachLift(s), "\n")
	case s.Change == nil || s.Change.Hold == "":
		return ""
	case s.Waiting != nil:
		return strings.Join(append(eachLift(s), "*Now* "+foreign(s.Waiting.Why, 500)), "\n")
	case s.Change.Lift == v1alpha1.LiftManual:
		return "*Hold* stands until somebody runs `backstop lift`"
	}
	return "*Hold* stands until a newer image can run"
}

// liftedApart reports whether the holds were lifted by more than one.
func liftedApart(s *v1alpha1.RollbackStatus) bool {
	return slices.ContainsFunc(s.Holds, func(h v1alpha1.Hold) bool { return h.LiftedBy != s.Holds[0].LiftedBy })
}

// eachLift says of each policy whose hold is lifted by whom.
func eachLift(s *v1alpha1.RollbackStatus) []string {
	var out []string
	for _, h := range s.Holds {
		p := s.PlaceOf(&h)
		if h.LiftedBy == "" || p == nil {
			continue
		}
		line := "*Hold on " + foreign(p.Marker, 120) + " lifted* by " + who(h.LiftedBy)
		if !slices.Contains(out, line) && len(out) < 5 {
			out = append(out, line)
		}
	}
	return out
}

func symbol(r v1alpha1.Result) string {
	switch r {
	case v1alpha1.ResultVerified, v1alpha1.ResultRestored, v1alpha1.ResultRecovered:
		return "✅"
	case v1alpha1.ResultRejected, v1alpha1.ResultSuperseded:
		return "⚪"
	case v1alpha1.ResultExpired, v1alpha1.ResultReportedOnly, v1alpha1.ResultSourceNotFound:
		return "⚠️"
	case v1alpha1.ResultFailed:
		return "❌"
	}
	return "•"
}

// context reports who may decide, the way without Slack, and which record this is.
func context(f Facts) []string {
	r := f.Rollback
	var out []string
	if Open(r) {
		out = append(out, mayDecide(f.Policies)...)
		out = append(out, withoutSlack(r))
	}
	return append(out, code("Rollback "+r.Namespace+"/"+r.Name, 330))
}

// withoutSlack is how to decide by command; what a change by hand is answered with has another name there.
func withoutSlack(r *v1alpha1.Rollback) string {
	approve, reject := command("approve", r), command("reject", r)
	switch {
	case !approvable(&r.Status):
		return "Without Slack: " + reject
	case r.Spec.OpenedFor == v1alpha1.TriggerDrift:
		return fmt.Sprintf("Without Slack: %s adopts, %s restores", approve, reject)
	}
	return fmt.Sprintf("Without Slack: %s · %s", approve, reject)
}

func command(verb string, r *v1alpha1.Rollback) string {
	return code(fmt.Sprintf("backstop %s %s -n %s", verb, r.Name, r.Namespace), 340)
}

// mayDecide lists who may decide on Slack. Where several policies apply each has to let a person, so each is listed.
func mayDecide(policies []Policy) []string {
	if len(policies) == 0 {
		return []string{"May decide here: nobody, as no policy applies"}
	}
	if len(policies) == 1 {
		return []string{"May decide here: " + approvers(policies[0].Approvers)}
	}
	var out []string
	for i, p := range policies {
		if i == 5 {
			out = append(out, fmt.Sprintf("and whom %d more policies let", len(policies)-i))
			break
		}
		lead := "and, as "
		if i == 0 {
			lead = "May decide here, as "
		}
		out = append(out, lead+foreign(p.Name, 130)+" says: "+approvers(p.Approvers))
	}
	return out
}

func approvers(a v1alpha1.SlackApproval) string {
	var all []string
	for _, g := range a.UserGroups {
		if groupID.MatchString(g) {
			all = append(all, "<!subteam^"+g+">")
		}
	}
	for _, u := range a.Users {
		if userID.MatchString(u) {
			all = append(all, "<@"+u+">")
		}
	}
	if a.ChannelMembers {
		all = append(all, "everybody in this channel")
	}
	if len(all) == 0 {
		return "nobody, as the policy lists no approvers"
	}
	return join(all, 10)
}
