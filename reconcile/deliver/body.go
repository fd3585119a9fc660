package deliver

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
)

const (
	// maxTitle and maxText are what every provider takes, in characters.
	maxTitle = 250
	maxText  = 60_000
	// label is put on a pull request where the repository has it.
	label = "backstop"
	// maxList bounds each list, maxName a name in it, and the others what a kubelet or a commit says.
	maxList  = 20
	maxName  = 300
	maxLines = 6
	maxWidth = 400
)

// story writes what a pull request tells.
type story struct{ reconcile.Story }

// titleOf is the title of the pull request: the first line of the commit's message.
func titleOf(of reconcile.Story) string {
	title, _, _ := strings.Cut(of.Message, "\n")
	return text.Cut(defused(text.OneLine(text.Mask(head(title, maxTitle)))), maxTitle)
}

// bodyOf is the body of the pull request, in Markdown.
func bodyOf(of reconcile.Story) string {
	s := story{of}
	if of.Lifts {
		return s.lift()
	}
	parts := []string{s.lead(), s.list("What changes", s.changes()), s.why(), s.list("What stays", codes(s.Left)),
		s.list("Workloads that run it, as far as they are known", codes(s.Workloads)), s.hold(), s.merging()}
	out := make([]string, 0, len(parts)+2)
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return clipped(strings.Join(append(out, trailers(s.Message)...), "\n\n")+"\n", maxText)
}

func (s story) lead() string {
	by := ""
	if s.Author != "" {
		by = ", by " + code(s.Author, maxName)
	}
	commit := s.Commit
	if !hash.MatchString(commit) {
		// A hash alone is made a link of.
		commit = code(commit, maxName)
	}
	out := fmt.Sprintf("This reverts %s to %s. It came in with commit %s%s", code(s.Image, maxName),
		code(s.Target, maxName), commit, by)
	if s.Image == "" {
		if by != "" {
			by += ","
		}
		out = fmt.Sprintf("This reverts what commit %s%s changed in the files below, and leaves what was changed in them "+
			"since. Flux cannot apply it", commit, by)
	}
	if s.Subject == "" {
		return out + "."
	}
	return out + ":\n\n" + block(s.Subject, 1, maxWidth)
}

func (s story) changes() []string {
	out := make([]string, len(s.Changes))
	for i, c := range s.Changes[:min(len(s.Changes), maxList)] {
		if c.From == "" && c.To == "" {
			out[i] = code(c.File, maxName)
			continue
		}
		to := code(c.To, maxName)
		if c.To == "" {
			to = "nothing"
		}
		out[i] = fmt.Sprintf("%s: %s becomes %s", code(c.File, maxName), code(c.From, maxName), to)
	}
	return out
}

func (s story) why() string {
	if len(s.Failures) == 0 {
		return ""
	}
	out := []string{"**What the cluster says**"}
	for i, f := range s.Failures {
		if i == maxList {
			out = append(out, fmt.Sprintf("and %d more.", len(s.Failures)-i))
			break
		}
		out = append(out, said(f))
	}
	return strings.Join(out, "\n\n")
}

func (s story) list(title string, items []string) string {
	if len(items) == 0 {
		return ""
	}
	lines := []string{"**" + title + "**", ""}
	for i, item := range items {
		if i == maxList {
			lines = append(lines, fmt.Sprintf("- and %d more", len(items)-i))
			break
		}
		lines = append(lines, "- "+item)
	}
	return strings.Join(lines, "\n")
}

// codes are names in spans of code, as many as a list shows.
func codes(items []string) []string {
	out := make([]string, len(items))
	for i, item := range items[:min(len(items), maxList)] {
		out[i] = code(item, maxName)
	}
	return out
}

func (s story) hold() string {
	if len(s.Held) == 0 {
		return ""
	}
	lift := "It is lifted by itself once a newer image is proved to exist"
	if s.ByPerson {
		lift = "A person lifts it, with `backstop lift`"
	}
	return s.list("The hold", []string{"A second commit keeps image automation from writing the image back at its next " +
		"run: it puts `backstop:hold` before the markers of " +
		strings.Join(codes(s.Held[:min(len(s.Held), maxList)]), ", ") +
		". It holds in every cluster that deploys this branch. " + lift + "."})
}

// lift is the body of a pull request that takes a hold away.
func (s story) lift() string {
	lead := fmt.Sprintf("This takes the hold of %s away, so that image automation writes the image that its policy "+
		"selects again: %s. It was reverted from %s before.", strings.Join(codes(s.Held[:min(len(s.Held), maxList)]), ", "),
		code(s.Target, maxName), code(s.Image, maxName))
	parts := []string{lead, s.list("Why now", []string{code(s.Author, maxName)}), s.list("Merging", []string{
		"Merge it in whatever way this repository merges. The hold is in every cluster that deploys this branch.",
		"Closing it without a merge keeps the hold: Backstop does not open it again by itself.",
	})}
	return clipped(strings.Join(append(parts, trailers(s.Message)...), "\n\n")+"\n", maxText)
}

// commentOf is the comment below a pull request that Backstop closes.
func commentOf(why string) string {
	return "Backstop closes this pull request:\n\n" + block(why, 5, 500)
}

func (s story) merging() string {
	items := []string{
		"Merge it in whatever way this repository merges. What counts is what the branch says then, not which commit says " +
			"it.",
		"Every cluster that deploys these files gets the change.",
	}
	if s.Followed {
		items = append(items, "After the merge Backstop asks Flux to apply it, and checks that it arrives.",
			"Closing it without a merge says no: Backstop does not open it again.")
	} else {
		items = append(items, "After the merge Flux applies it at its next run.")
	}
	return s.list("Merging", items)
}

// plainTrailer is a trailer whose value means nothing to any provider, so that it may stand outside of a fence.
var plainTrailer = regexp.MustCompile(`^[A-Za-z][A-Za-z-]*: (?:Image )?[A-Za-z0-9][A-Za-z0-9._/:+@~#-]*$`)

// trailers are the paragraphs that close the body: a provider that makes the message of a squashed commit of it then
// keeps what the commits said. A value that could mean something to a provider is left out.
func trailers(message string) []string {
	paragraphs := strings.Split(strings.TrimSpace(message), "\n\n")
	if len(paragraphs) < 2 {
		return nil
	}
	var reverts, last []string
	for _, p := range paragraphs[1 : len(paragraphs)-1] {
		for line := range strings.SplitSeq(p, "\n") {
			if revertsLine.MatchString(line) {
				reverts = append(reverts, line)
			}
		}
	}
	for line := range strings.SplitSeq(paragraphs[len(paragraphs)-1], "\n") {
		if plainTrailer.MatchString(line) && defused(line) == line {
			last = append(last, line)
		}
	}
	var out []string
	for _, lines := range [][]string{reverts, last} {
		if len(lines) > 0 {
			// Two blanks break the line where it is shown.
			out = append(out, strings.Join(lines, "  \n"))
		}
	}
	return out
}

var hash = regexp.MustCompile(`^[0-9a-f]{40}$`)

var revertsLine = regexp.MustCompile(`^This reverts commit [0-9a-f]{40}\.$`)

// said is what one workload suffers from.
func said(f reconcile.StoryFailure) string {
	return code(f.Workload, maxName) + ": " + code(f.Cause, maxName) + "\n\n" + block(f.Message, maxLines, maxWidth)
}
