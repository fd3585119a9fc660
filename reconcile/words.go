package reconcile

import (
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/internal/text"
)

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// cut takes at most n runes of foreign text and leaves no control characters in it.
func cut(s string, n int) string { return text.Cut(text.OneLine(s), n) }

// brief fits one line of what a server, a provider or a person said into what the API takes for a reason. Whoever made
// the words: a secret in them is not recorded.
func brief(s string) string { return cut(text.Mask(s), 512) }

// sentence fits text into what the API takes for one, without secrets.
func sentence(s string) string { return cut(text.Mask(s), 1000) }

// clock prints a time of day for a sentence.
func clock(t time.Time) string { return t.UTC().Format("15:04:05 MST") }

// deadline is clock with the day where the time alone could be that of another one.
func deadline(t, now time.Time) string { return text.Day(t, now) + clock(t) }

// joinWords puts sentences together, leaving out the empty ones and what was said already.
func joinWords(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return strings.Join(out, "; ")
}

// ShortDuration prints 9m30s, 10m instead of 10m0s, and 1h instead of 1h0m0s.
func ShortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Roughly prints an age as people say it.
func Roughly(d time.Duration) string {
	if d < time.Hour {
		return ShortDuration(d.Truncate(time.Second))
	}
	return ShortDuration(d.Truncate(time.Minute))
}
