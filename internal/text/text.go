// Package text makes text from outside harmless: what a kubelet, a registry, a Git server or a commit says is data, and
// is shown on terminals, in conditions, in Slack and in logs.
//
//	Mask ── secrets out ──► OneLine ── one line that shows what it holds ──► Cut ── as long as there is room ──► escape
//
// Escaping stays with whoever writes the text somewhere, since each place has marks of its own, and comes last, so that
// no escape is cut in two.
package text

import (
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The joiners that emoji and some scripts are made with.
const joiners = "\u200c\u200d"

// OneLine makes one line of a text, with single blanks between words. It takes out what could move a cursor, hide text
// or turn the direction of writing: control characters, format characters such as U+202E, private ones, and bytes that
// are no UTF-8. The joiners that emoji and some scripts are made with stay.
func OneLine(s string) string {
	if !plain(s) {
		s = strings.Map(shown, s)
	}
	return strings.Join(strings.Fields(s), " ")
}

// Visible puts a blank where OneLine removes something, and keeps all blanks, so that columns stay aligned. A command
// that a CI server finds anywhere in a line of a log is broken by a blank.
func Visible(s string) string {
	if !plain(s) {
		s = strings.Map(func(r rune) rune {
			if r = shown(r); r < 0 {
				return ' '
			}
			return r
		}, s)
	}
	if strings.Contains(s, "##") {
		s = logged.ReplaceAllString(s, "## $1[")
	}
	return s
}

// logged are the commands of GitHub, Azure DevOps and TeamCity: ##[group], ##vso[task.setvariable], ##teamcity[…].
var logged = regexp.MustCompile(`##([A-Za-z]*)\[`)

// plain reports that a text is nothing but ASCII that can be seen, as most are.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// shown is what a character becomes; negative for nothing.
func shown(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case strings.ContainsRune(joiners, r):
		return r
	case r == utf8.RuneError, unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs):
		return -1
	}
	return r
}

// Cut keeps at most n characters of a text, the last of which says that there was more.
func Cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	if n <= 0 {
		return ""
	}
	end := 0
	for range n - 1 {
		_, width := utf8.DecodeRuneInString(s[end:])
		end += width
	}
	return strings.TrimRight(s[:end], " "+joiners) + "…"
}

// CutBytes keeps at most n bytes of a text, for fields that count bytes.
func CutBytes(s string, n int) string {
	const more = "…"
	switch {
	case len(s) <= n:
		return s
	case n < len(more):
		return ""
	}
	end := n - len(more)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.TrimRight(s[:end], " "+joiners) + more
}

// Redacted stands where a secret stood.
const Redacted = "[redacted]"

// secrets are what errors, URLs and headers may carry.
var secrets = regexp.MustCompile(`(?i)` + strings.Join([]string{
	// WebSockets with their tickets, and the URLs that Slack takes answers at.
	`wss?://[^\s"]+`, `https?://hooks\.[^\s"]+`, `ticket=[^\s"&]+`,
	// Tokens of Slack, GitHub, GitLab and AWS, and what a JSON Web Token looks like.
	`\b(?:xox[a-z]|xapp)[-.][^\s"&]+`, `\bgh[opsur]_[a-z0-9]{20,}`, `\bgithub_pat_[a-z0-9_]{20,}`,
	`\bglpat-[a-z0-9_-]{10,}`,
	`\bAKIA[A-Z0-9]{16}\b`, `\beyJ[a-z0-9_-]{8,}\.[a-z0-9_-]+(?:\.[a-z0-9_-]*)?`,
	// What a login sends.
	`\b(?:proxy-)?authorization:\s*\S+(?:\s+[^\s"]+)?`, `\b(?:bearer|basic)\s+[a-z0-9+/_.-]{20,}=*`,
	// What stands before the @ of an address, with its password.
	`//[^/\s"@]+:[^/\s"@]*@`,
}, "|"))

// Mask takes secrets out of a text that may be logged or shown.
func Mask(s string) string { return secrets.ReplaceAllString(s, Redacted) }

// Short is the part of a hash that people use: its first 12 characters.
func Short(hash string) string { return hash[:min(12, len(hash))] }

// ShortDigest is a digest with its algorithm, and of its hash the part that people use.
func ShortDigest(digest string) string {
	algorithm, hex, ok := strings.Cut(digest, ":")
	if !ok {
		return digest
	}
	return algorithm + ":" + Short(hex)
}

// Day is the day of a time, to be followed by its time of day; empty where that alone could mean no other day.
func Day(t, now time.Time) string {
	if t.Sub(now) < 12*time.Hour {
		return ""
	}
	return t.UTC().Format("2 Jan ")
}
