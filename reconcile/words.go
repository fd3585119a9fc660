package reconcile

import (
	"strings"
	"time"

	"github.com/backstop-dev/backstop/internal/text"
)

// short is the first 12 characters of a hash.
func short(hash string) string {
	if len(hash) > 12 {
		return hash[:12]
	}
	return hash
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// cut takes at most n runes of foreign text and leaves no control characters in it.
func cut(s string, n int) string { return text.Cut(text.OneLine(s), n) }

// sentence fits text into what the API takes for one.
func sentence(s string) string { return cut(s, 1000) }

// eachSentence fits texts into what the API takes for a list of them.
func eachSentence(all []string) []string {
	out := make([]string, 0, len(all))
	for _, s := range all[:min(len(all), 32)] {
		out = append(out, sentence(s))
	}
	return out
}

// sameImage compares references as far as both say something: a digest on one side only does not make them differ.
func sameImage(a, b string) bool {
	if a == b {
		return true
	}
	ta, da, _ := strings.Cut(a, "@")
	tb, db, _ := strings.Cut(b, "@")
	if da != "" && db != "" {
		return da == db && familiar(ta) == familiar(tb)
	}
	return familiar(ta) == familiar(tb)
}

// familiar strips what Docker's short names leave out.
func familiar(ref string) string {
	return strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(ref, "index.docker.io/"), "docker.io/"), "library/")
}

// clock prints a time of day for a sentence.
func clock(t time.Time) string { return t.UTC().Format("15:04:05 MST") }

// registryHost is the host of an image reference; docker.io where it names none.
func registryHost(image string) string {
	host, _, found := strings.Cut(image, "/")
	if !found || (!strings.ContainsAny(host, ".:") && host != "localhost") {
		return "docker.io"
	}
	return host
}

// joinWords puts sentences together, leaving out the empty ones.
func joinWords(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, "; ")
}
