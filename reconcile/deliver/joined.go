package deliver

import (
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/reconcile"
)

// A pull request that another revert of the same commit joins tells of that one too. What stands in its body stays,
// since people write there and other clusters have: lines are added to the lists that are there, and nothing is taken
// away.

// more is the title and the body that a pull request gets by what a proposal tells; false where nothing is missing.
func more(pr *reconcile.PullRequest, p reconcile.Proposal) (title, body string, changed bool) {
	title = pr.Title
	// A title that a person wrote is left.
	if slices.ContainsFunc(p.Before, func(m string) bool { return titleOf(reconcile.Story{Message: m}) == pr.Title }) {
		title = titleOf(p.Story)
	}
	body = joined(strings.ReplaceAll(pr.Body, "\r\n", "\n"), story{p.Story})
	if len([]rune(body)) > maxText {
		body = pr.Body
	}
	return title, body, title != pr.Title || body != strings.ReplaceAll(pr.Body, "\r\n", "\n")
}

// joined adds to a body what a story tells beyond it.
func joined(body string, s story) string {
	paragraphs := strings.Split(strings.TrimRight(body, "\n"), "\n\n")
	for _, list := range []struct {
		title string
		items []string
	}{
		{"What changes", s.changes()}, {"What stays", codes(s.Left)},
		{"Workloads that run it, as far as they are known", codes(s.Workloads)},
	} {
		at := slices.Index(paragraphs, "**"+list.title+"**") + 1
		if at == 0 || at == len(paragraphs) {
			continue
		}
		for _, item := range list.items {
			lines := strings.Split(paragraphs[at], "\n")
			if line := "- " + item; item != "" && !slices.Contains(lines, line) && len(lines) < maxList {
				paragraphs[at] += "\n" + line
			}
		}
	}
	if at := slices.Index(paragraphs, "**What the cluster says**") + 1; at > 0 {
		for _, f := range s.Failures[:min(len(s.Failures), maxList)] {
			if said := said(f); !strings.Contains(body, said) {
				paragraphs = slices.Insert(paragraphs, at, said)
			}
		}
	}
	if last := len(paragraphs) - 1; plainTrailer.MatchString(strings.TrimSpace(first(paragraphs[last]))) {
		for line := range strings.SplitSeq(strings.Join(trailers(s.Message), "\n"), "\n") {
			line = strings.TrimSpace(line)
			if plainTrailer.MatchString(line) && !strings.Contains(paragraphs[last], line) {
				paragraphs[last] += "  \n" + line
			}
		}
	}
	return strings.Join(paragraphs, "\n\n") + body[len(strings.TrimRight(body, "\n")):]
}

func first(paragraph string) string {
	line, _, _ := strings.Cut(paragraph, "\n")
	return line
}
