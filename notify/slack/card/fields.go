package card

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/slack-go/slack"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
)

// fields are the facts in two columns.
func fields(f Facts) []*slack.TextBlockObject {
	r := f.Rollback
	var out []*slack.TextBlockObject
	add := func(label, value string) {
		if value != "" {
			out = append(out, mrkdwn("*"+label+"*\n"+value))
		}
	}
	add("Workload", workloadField(r))
	add("Cluster", foreign(f.Cluster, 100))
	if applies(r) {
		applyFields(r, add)
		add("Commit", commitField(f))
		add("Policy", policyField(f))
		return out
	}
	add("Image", imageField(r))
	if r.Spec.OpenedFor == v1alpha1.TriggerDrift {
		add("Changed by hand", driftField(&r.Status))
		add("Flux undoes it", deadlineField(r))
	} else {
		add(podsLabel(r), podsField(&r.Status))
	}
	add("Commit", commitField(f))
	add("Policy", policyField(f))
	return out
}

func workloadField(r *v1alpha1.Rollback) string {
	var names []string
	for _, w := range workloads(&r.Status) {
		names = append(names, code(w.String(), 120))
	}
	if len(names) == 0 {
		return "in namespace " + foreign(r.Namespace, 63)
	}
	return join(names, 3) + " in " + foreign(r.Namespace, 63)
}

func imageField(r *v1alpha1.Rollback) string {
	bad, good := tags(r.Spec.Subject.Name, targetOf(r))
	from, to := code(bad, 80), code(good, 80)
	if r.Spec.OpenedFor == v1alpha1.TriggerDrift {
		said := "%s\nGit says %s\ncluster runs %s"
		if stateOf(r) == ended {
			said = "%s\nGit said %s\ncluster ran %s"
		}
		repository := code(image.Repository(r.Spec.Subject.Name), 200)
		return fmt.Sprintf(said, repository, cmp.Or(from, "nothing"), cmp.Or(to, "another image"))
	}
	if to == "" {
		return code(image.Repository(r.Spec.Subject.Name), 200) + "\n" + from
	}
	if a, b := image.Repository(r.Spec.Subject.Name), image.Repository(targetOf(r)); a != b {
		return code(r.Spec.Subject.Name, 300) + "\n→ " + code(targetOf(r), 300)
	}
	return code(image.Repository(r.Spec.Subject.Name), 200) + "\n" + from + " → " + to
}

// podsLabel: of what a canary refused no pods are counted.
func podsLabel(r *v1alpha1.Rollback) string {
	if onlyRefused(&r.Status) {
		return "Update"
	}
	if stateOf(r) == ended || stateOf(r) == reverted {
		return "Pods that failed"
	}
	return "Pods failing"
}

// podsField describes how bad it is, since when and why.
func podsField(s *v1alpha1.RollbackStatus) string {
	if len(s.Failures) == 0 {
		return ""
	}
	since := "since " + clock(s.FirstSeen())
	why := because(s)
	if s.Pods == nil {
		return joinNonEmpty(" · ", why, since)
	}
	count := fmt.Sprint(s.Pods.Failing)
	if s.Pods.Total > 0 {
		count += fmt.Sprintf(" of %d", s.Pods.Total)
	}
	out := joinNonEmpty(" · ", count, why, since)
	if s.Pods.Ready > 0 {
		out += fmt.Sprintf("\n%d ready on what ran before", s.Pods.Ready)
	}
	return out
}

// commitField is the suspect: its page, who, when, and how long before the failure.
func commitField(f Facts) string {
	s := f.Rollback.Status.Suspect
	if s == nil {
		return ""
	}
	out := f.Links.link(s.Commit)
	// Git writes an author as NAME <ADDRESS>; the name is what people know.
	name, _, _ := strings.Cut(s.Author, " <")
	switch author := foreign(name, 80); {
	case s.Automation != nil && author != "":
		out += " by image automation as " + author
	case s.Automation != nil:
		out += " by image automation"
	case author != "":
		out += " by " + author
	}
	if !s.When.IsZero() {
		out += "\n" + date(s.When.Time)
		if first := f.Rollback.Status.FirstSeen(); first.After(s.When.Time) {
			out += ", " + lasted(first.Sub(s.When.Time)) + " before " + what(f.Rollback)
		}
	}
	if subject := foreign(s.Subject, 120); subject != "" {
		out += "\n" + subject
	}
	return out
}

func policyField(f Facts) string {
	var names []string
	for _, p := range f.Policies {
		names = append(names, foreign(p.Name, 130))
	}
	out := join(names, 3)
	var limits []string
	if f.Cooldown > 0 {
		limits = append(limits, "cooldown "+lasted(f.Cooldown))
	}
	if f.Budget != "" {
		limits = append(limits, "budget "+foreign(f.Budget, 30))
	}
	return joinNonEmpty("\n", out, strings.Join(limits, " · "))
}

// kubelet is the kubelet's own words, which the block that shows them parses nothing of. A change by hand has none.
func kubelet(s *v1alpha1.RollbackStatus) string {
	for _, f := range s.Failures {
		if m := cut(f.Message, 600); m != "" && f.Drift == nil {
			return isolated(m)
		}
	}
	return ""
}

func joinNonEmpty(sep string, parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, sep)
}
