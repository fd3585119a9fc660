package deliver

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/backstop-dev/backstop/internal/text"
)

// joiner is a character that nobody sees. It stands between the letters of what a provider would act on.
const joiner = "\u2060"

var (
	// pings are mentions: an @ that begins a word. app@sha256 pings nobody.
	pings = regexp.MustCompile(`(^|[^\pL\pN_])@([\pL\pN_-])`)
	// closings are the words with which a message closes an issue of a tracker that knows issues by name.
	closings = regexp.MustCompile(`(?i)\b(close[sd]?|closing|fix|fixe[sd]|fixing|resolve[sd]?|resolving|` +
		`implement|implements|implemented|implementing)(:?\s+|:)((?-i:[A-Z][A-Z0-9_]+-[0-9]))`)
	// numbers are references to issues and pull requests.
	numbers = regexp.MustCompile(`(^|[^\pL\pN_-])((?i:gh)-)([0-9])|` +
		`([#!]|/(?:issues|pull|pulls|merge_requests|work_items)/)([0-9])`)
)

// defused is foreign text in which nothing pings, closes or refers, also where a provider makes a commit's message of
// it, which knows no fences. It looks as before.
func defused(s string) string {
	s = pings.ReplaceAllString(s, "${1}@"+joiner+"${2}")
	s = closings.ReplaceAllString(s, "${1}"+joiner+"${2}${3}")
	return numbers.ReplaceAllString(s, "${1}${2}${4}"+joiner+"${3}${5}")
}

// code is foreign text of one line in a span of code.
func code(s string, n int) string {
	s = defused(text.Cut(text.OneLine(text.Mask(head(s, n))), n))
	if s == "" {
		return "(empty)"
	}
	ticks := strings.Repeat("`", longest(s)+1)
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		s = " " + s + " "
	}
	return ticks + s + ticks
}

// block is foreign text in a block of code, with at most n lines of at most width characters.
func block(s string, n, width int) string {
	var lines []string
	for line := range strings.SplitSeq(text.Mask(head(s, n*width)), "\n") {
		line = strings.TrimRightFunc(text.Visible(line), unicode.IsSpace)
		if line == "" && len(lines) == 0 {
			continue
		}
		if len(lines) == n {
			lines = append(lines, "…")
			break
		}
		// Spaces at the beginning say nothing, and a command is one only there.
		lines = append(lines, defused(text.Cut(line, width)))
	}
	body := strings.TrimRight(strings.Join(lines, "\n"), "\n")
	fence := strings.Repeat("`", max(longest(body)+1, 3))
	return fence + "text\n" + body + "\n" + fence
}

// head is the beginning of a text of which at most n characters are shown: no more of it is worth a look.
func head(s string, n int) string { return s[:min(len(s), 8*n)] }

// longest counts the backticks of the longest run.
func longest(s string) int {
	most, run := 0, 0
	for _, r := range s {
		if run++; r != '`' {
			run = 0
		}
		most = max(most, run)
	}
	return most
}

// clipped is a text of at most n characters.
func clipped(s string, n int) string { return text.Cut(s, n) }
