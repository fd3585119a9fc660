package card

import (
	"cmp"
	"fmt"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// proposal names the pull request of a Rollback, with a link where a browser opens it; empty if absent.
func proposal(s *v1alpha1.RollbackStatus) string {
	pr := s.PullRequest
	if pr == nil || pr.Number == 0 {
		return ""
	}
	name := fmt.Sprintf("pull request %d", pr.Number)
	if to := web(pr.URL); to != "" {
		return "<" + to + "|" + name + ">"
	}
	return name
}

// proposed reports where the change waits to be merged, and for whom or what by name.
func proposed(s *v1alpha1.RollbackStatus) string {
	pr := s.PullRequest
	if !pr.IsOpen() {
		return ""
	}
	out := "*Opened* " + proposal(s) + ", which waits for " + foreign(v1alpha1.WaitsFor(pr.WaitsFor), 500)
	if pr.Foreign != "" {
		out += ". It is a person's to finish: " + foreign(pr.Foreign, 500)
	}
	return out
}

// merging describes what an approval does where there is a pull request.
func merging(r *v1alpha1.Rollback, w words) string {
	s := &r.Status
	out := fmt.Sprintf("Merges pull request %d into %s, as soon as its provider lets it: %s goes back to %s",
		s.PullRequest.Number, plain(s.Suspect.Branch, 40), w.bad, cmp.Or(w.good, "its former image"))
	if marked(s.Suspect) {
		return out + ", and image automation is held off " + heldUntil(s)
	}
	return out + "."
}

// returning names open pull requests that bring again what was reverted, and those that Backstop closed for it.
func returning(r *v1alpha1.Rollback) []string {
	found := r.Status.Returning
	if found == nil {
		return nil
	}
	var out []string
	for _, p := range found.PullRequests {
		name := fmt.Sprintf("pull request %d", p.Number)
		if to := web(p.URL); to != "" {
			name = "<" + to + "|" + name + ">"
		}
		what := code(r.Spec.Subject.Name, 200)
		if p.State == v1alpha1.PullRequestClosed {
			out = append(out, "*Closed* "+name+", which brought "+what+" again. Delete its branch, so that image automation "+
				"begins anew")
			continue
		}
		out = append(out, "*Beware* "+name+" brings "+what+" again. It is left open: "+p.Left.Words())
	}
	if found.More > 0 {
		out = append(out, fmt.Sprintf("*Beware* %d more pull requests bring it again", found.More))
	}
	return out
}

// became describes what became of a pull request; empty where there was none.
func became(s *v1alpha1.RollbackStatus) string {
	pr := s.PullRequest
	if pr == nil || pr.Number == 0 {
		return ""
	}
	verb := map[v1alpha1.PullRequestState]string{
		v1alpha1.PullRequestMerged: "Merged", v1alpha1.PullRequestClosed: "Closed", v1alpha1.PullRequestOpen: "Opened",
	}[pr.State]
	out := "*" + verb + "* " + proposal(s)
	if pr.By != "" {
		out += " by " + foreign(pr.By, 100)
	}
	return out
}

func marked(s *v1alpha1.Suspect) bool {
	for _, n := range s.Places {
		if n.Marker != "" {
			return true
		}
	}
	return false
}
