package wire

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/backstop-dev/backstop/internal/text"
)

// Redactor takes secrets out of foreign text: Git servers, proxies and libraries like to repeat what they were given.
type Redactor struct{ secrets []string }

const redacted = "[redacted]"

// What foreign text is cut to in a sentence, in runes.
const (
	nameRunes  = 100
	urlRunes   = 300
	wordsRunes = 300
	hookRunes  = 400
)

// escapes are percent-encoded bytes, which some write in small letters.
var escapes = regexp.MustCompile(`%[0-9A-F]{2}`)

// userinfo in a URL: what stands before the @.
var userinfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/?#\s"'@]*@`)

// add remembers a secret in every form in which it travels. Values that are too short to be secrets would garble every
// sentence and are left.
func (r *Redactor) add(secret string) {
	if len(secret) < 4 {
		return
	}
	quoted := strconv.Quote(secret)
	forms := []string{secret, strings.TrimSpace(secret), html.EscapeString(secret), quoted[1 : len(quoted)-1],
		base64.RawStdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret))}
	for _, escaped := range []string{url.QueryEscape(secret), url.PathEscape(secret)} {
		forms = append(forms, escaped, escapes.ReplaceAllStringFunc(escaped, strings.ToLower))
	}
	if data, err := json.Marshal(secret); err == nil {
		forms = append(forms, string(data[1:len(data)-1]))
	}
	for line := range strings.Lines(secret) {
		if line = strings.TrimSpace(line); len(line) >= 16 {
			forms = append(forms, line)
		}
	}
	for _, s := range forms {
		if !slices.Contains(r.secrets, s) {
			r.secrets = append(r.secrets, s)
		}
	}
	// The longest first: one form may be part of another.
	slices.SortFunc(r.secrets, func(a, b string) int { return len(b) - len(a) })
}

// addLogin remembers a password in the form in which basic authentication sends it.
func (r *Redactor) addLogin(name, password string) {
	if password != "" {
		r.add(password)
		r.add(base64.RawStdEncoding.EncodeToString([]byte(name + ":" + password)))
	}
}

// Clean makes one harmless line of at most n runes of foreign text.
func (r *Redactor) Clean(s string, n int) string {
	for _, secret := range r.secrets {
		s = strings.ReplaceAll(s, secret, redacted)
	}
	return OneLine(text.Mask(userinfo.ReplaceAllString(s, "$1")), n)
}

// OneLine leaves no control character and no run of blanks in foreign text, and at most n runes.
func OneLine(s string, n int) string {
	if len(s) > 16*n {
		s = s[:16*n]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, unicode.Is(unicode.C, r), r == '\u2028', r == '\u2029':
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// WithoutUser is a URL as it may be shown.
func WithoutUser(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return OneLine(userinfo.ReplaceAllString(raw, "$1"), urlRunes)
	}
	if u.Scheme == "ssh" && u.User != nil {
		u.User = url.User(u.User.Username())
	} else {
		u.User = nil
	}
	u.RawQuery, u.Fragment = "", ""
	return OneLine(u.String(), urlRunes)
}
