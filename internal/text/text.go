// Package text makes text from outside harmless: what a kubelet, a registry, a Git server or a commit says is data, and
// is shown on terminals, in conditions, in Slack and in logs.
//
//	Mask ── secrets out ──► OneLine ── one line that shows what it holds ──► Cut ── as long as there is room ──► escape
//
// Escaping stays with whoever writes the text somewhere, since each place has marks of its own, and comes last, so that
// no escape is cut in two.
package text

import (
	"encoding/base64"
	"log/slog"
	"regexp"
	"slices"
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

// edge begins a token also where the text before it is percent-encoded.
const edge = `(?:\b|%[0-9a-f]{2})`

// form is one that a secret has in errors, URLs and headers. What its pattern finds holds one of its signs, in small or
// capital letters: to look for the signs costs little, and few texts have any.
type form struct {
	signs   []string
	pattern string
}

// forms are all of them. Each sign has an example in the tests.
var forms = []form{
	// WebSockets with their tickets, and the URLs that Slack takes answers at.
	{[]string{"ws://", "wss://"}, `wss?://[^\s"]+`},
	{[]string{"://hooks."}, `https?://hooks\.[^\s"]+`},
	{[]string{"ticket="}, `ticket=[^\s"&]+`},
	// Tokens of Slack, GitHub, GitLab, Bitbucket, registries, clouds and Vault, and what a JSON Web Token looks like.
	{[]string{"xox", "xapp"}, edge + `(?:xox[a-z]|xapp)[-.][^\s"&]+`},
	{[]string{"gho_", "ghp_", "ghs_", "ghu_", "ghr_"}, edge + `gh[opsur]_[a-z0-9]{20,}`},
	{[]string{"github_pat_"}, edge + `github_pat_[a-z0-9_]{20,}`},
	{[]string{"glpat-", "gldt-", "glrt-", "glrtr-", "glptt-", "glcbt-", "glsoat-", "glagent-", "glft-", "glimt-",
		"glffct-", "gloas-", "glwt-"},
		edge + `gl(?:pat|dt|rt|rtr|ptt|cbt|soat|agent|ft|imt|ffct|oas|wt)-[a-z0-9_.-]{10,}`},
	{[]string{"atbb", "atctt3", "atatt3"}, edge + `at(?:bb|ctt3|att3)[a-z0-9_=-]{20,}`},
	{[]string{"dckr_"}, edge + `dckr_[a-z]{3}_[a-z0-9_-]{20,}`},
	{[]string{"npm_"}, edge + `npm_[a-z0-9]{36}`},
	{[]string{"akia", "asia"}, edge + `A[KS]IA[A-Z0-9]{16}\b`},
	{[]string{"aiza"}, edge + `AIza[a-z0-9_-]{35}`},
	{[]string{"ya29."}, edge + `ya29\.[a-z0-9_-]{20,}`},
	{[]string{"hvs.", "hvb."}, edge + `hv[sb]\.[a-z0-9_-]{20,}`},
	{[]string{"age-secret-key-1"}, edge + `AGE-SECRET-KEY-1[a-z0-9]{20,}`},
	{[]string{"eyj"}, edge + `(?-i:eyJ)[a-z0-9_-]{8,}\.[a-z0-9_-]+(?:\.[a-z0-9_-]*)?`},
	{[]string{"private key-----"},
		`-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?`},
	// What a login sends, in a header, a query or JSON.
	{[]string{"authorization"}, `\b(?:proxy-)?authorization["']?\s*[:=]\s*["'\[]*` +
		`(?:(?:basic|bearer|token|digest|negotiate)\s+[^\s"]+|[^\s"']{16,})`},
	{[]string{"bearer", "basic"}, `\b(?:bearer|basic)\s+[a-z0-9+/_.-]{20,}=*`},
	{[]string{"token=", "key=", "secret=", "passwd=", "password=", "sig=", "signature=", "credential="},
		`\b(?:(?:access|private|refresh|id|job)_?token|token|api_?key|client_secret|passw(?:or)?d|sig|signature|` +
			`x-(?:amz|goog)-(?:signature|security-token|credential))=[^\s"'&,;]+`},
	{[]string{`token\"`, `token"`, `password\"`, `password"`, `secret\"`, `secret"`, `auth\"`, `auth"`, `private_key`},
		`\\?"(?:[a-z]+_?token|token|password|secret|auth|client_secret|private_key)\\?"\s*:\s*\\?"[^"\\]+`},
	// What stands before the @ of an address, with its password; a password may hold what it should not.
	{[]string{"//"},
		`//[^/\s"@]+:[^/\s"]*@|//[^/\s"@:]*:\d*[^\d/\s"@][^\s"@]*@|https?://[^/\s"@:]+@`},
	{[]string{"%2f%2f"}, `(?:%2f){2}[^\s"/@&]+?%3a[^\s"/@&]*?%40`},
}

// secrets is any of the forms.
var secrets = func() *regexp.Regexp {
	var patterns []string
	for _, f := range forms {
		patterns = append(patterns, f.pattern)
	}
	return regexp.MustCompile(`(?i)` + strings.Join(patterns, "|"))
}()

// mayHold reports whether a text has a sign of a secret.
func mayHold(s string) bool {
	if strings.ContainsAny(s, "\u017f\u212a") {
		return true // letters that are an s and a k to those who ignore case
	}
	s = strings.ToLower(s)
	return slices.ContainsFunc(forms, func(f form) bool {
		return slices.ContainsFunc(f.signs, func(sign string) bool {
			return strings.Contains(s, sign) && (sign != "//" || strings.Contains(s, "@"))
		})
	})
}

// withoutLogins takes out what is a name and a password as basic authentication sends them: eight letters of base64 or
// more, and at most two signs that fill up.
func withoutLogins(s string) string {
	var out strings.Builder
	kept := 0
	for at := 0; at < len(s); at++ {
		end := at
		for end < len(s) && base64Letter(s[end]) {
			end++
		}
		if end-at < 8 {
			at = end
			continue
		}
		for fill := 0; fill < 2 && end < len(s) && s[end] == '='; fill++ {
			end++
		}
		if login(s[at:end]) {
			out.WriteString(s[kept:at])
			out.WriteString(Redacted)
			kept = end
		}
		at = end - 1
	}
	if kept == 0 {
		return s
	}
	out.WriteString(s[kept:])
	return out.String()
}

// base64Letter reports whether a byte is one of either alphabet of base64.
func base64Letter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("+/-_", c) >= 0
}

// standard spells base64 for URLs with the letters of the other alphabet.
var standard = strings.NewReplacer("-", "+", "_", "/")

// login reports whether a text is a name and a password in base64.
func login(s string) bool {
	s = standard.Replace(strings.TrimRight(s, "="))
	plain, err := base64.RawStdEncoding.DecodeString(s)
	name, password, found := strings.Cut(string(plain), ":")
	return err == nil && found && name != "" && password != "" &&
		!strings.ContainsFunc(string(plain), func(r rune) bool { return r <= ' ' || r > '~' })
}

// maxMasked is how much of a text is looked through, in bytes; the rest is cut off.
const maxMasked = 64 << 10

// Mask takes secrets out of a text that may be logged or shown.
func Mask(s string) string {
	s = CutBytes(s, maxMasked)
	if mayHold(s) {
		s = secrets.ReplaceAllString(s, Redacted)
	}
	return withoutLogins(s)
}

// MaskAttr is the ReplaceAttr of a log's handler that keeps secrets out of it, whoever wrote the words.
func MaskAttr(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case string:
		a.Value = slog.StringValue(Mask(v))
	case error:
		a.Value = slog.StringValue(Mask(v.Error()))
	}
	return a
}

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
