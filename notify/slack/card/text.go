package card

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/slack-go/slack/slackutilsx"
	"golang.org/x/text/unicode/bidi"

	"github.com/backstop-dev/backstop/internal/text"
)

// Whatever comes from outside (kubelet messages, commit subjects, authors, image references, names) is data. It is
// cleaned and cut by runes first and escaped last, so that no escape is ever cut in two.

// cut keeps at most n runes of outside text, cleaned.
func cut(s string, n int) string { return text.Cut(text.OneLine(s), n) }

// isolated keeps the direction of right-to-left text to itself, so that it cannot reorder what stands beside it.
func isolated(s string) string {
	for _, r := range s {
		if r < utf8.RuneSelf {
			continue
		}
		p, _ := bidi.LookupRune(r)
		switch p.Class() {
		case bidi.R, bidi.AL, bidi.AN:
			return "\u2068" + s + "\u2069"
		default:
		}
	}
	return s
}

// escaped is outside text of which at most n characters reach Slack, escapes counted, and no escape cut in two.
func escaped(s string, n int) string {
	s = cut(s, n)
	all, fits := 0, 0
	for i, r := range s {
		all += width(r)
		if all < n {
			fits = i + utf8.RuneLen(r)
		}
	}
	if all > n {
		s = strings.TrimRight(s[:fits], " \u200c\u200d…") + "…"
	}
	return isolated(slackutilsx.EscapeMessage(s))
}

// width is how many characters Slack is sent for one.
func width(r rune) int {
	switch r {
	case '&':
		return len("&amp;")
	case '<', '>':
		return len("&lt;")
	}
	return 1
}

// foreign puts outside text into mrkdwn. Text that Slack would read as bold, italic, struck or code becomes code, where
// nothing is formatted; Slack cannot escape those.
func foreign(s string, n int) string {
	if strings.ContainsAny(s, "*_~`") {
		return code(s, n)
	}
	return escaped(s, n)
}

// code is outside text as inline code.
func code(s string, n int) string {
	s = escaped(strings.ReplaceAll(s, "`", "'"), n)
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// plain is outside text for plain_text, where nothing is parsed. Angle brackets and backticks have no business in it.
func plain(s string, n int) string {
	return isolated(strings.Map(func(r rune) rune {
		switch r {
		case '<':
			return '‹'
		case '>':
			return '›'
		case '`':
			return '\''
		}
		return r
	}, cut(s, n)))
}

// date is a time in the reader's own zone, with the day; absolute for whoever reads the text raw.
func date(t time.Time) string {
	return fmt.Sprintf("<!date^%d^{date_short_pretty} at {time}|%s>", t.Unix(), t.UTC().Format("2006-01-02 15:04 MST"))
}

// about is a date that Flux's jitter moves a little.
func about(t time.Time) string {
	return fmt.Sprintf("<!date^%d^{date_short_pretty} at about {time}|%s>", t.Unix(),
		t.UTC().Format("2006-01-02 at about 15:04 MST"))
}

// clock is a time of day in the reader's own zone.
func clock(t time.Time) string {
	return fmt.Sprintf("<!date^%d^{time}|%s>", t.Unix(), t.UTC().Format("15:04 MST"))
}

// deadline is until when, for text that Slack shows as it is: on a card of yesterday the time alone is ambiguous.
func deadline(t time.Time) string { return t.UTC().Format("2 Jan 15:04 MST") }

// lasted prints a duration as people say it.
func lasted(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return withRest(int(d.Minutes()), "min", int(d.Seconds())%60, "s")
	case d < 48*time.Hour:
		return withRest(int(d.Hours()), "h", int(d.Minutes())%60, "min")
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

func withRest(n int, unit string, rest int, restUnit string) string {
	if rest == 0 {
		return fmt.Sprintf("%d %s", n, unit)
	}
	return fmt.Sprintf("%d %s %d %s", n, unit, rest, restUnit)
}

var (
	userID  = regexp.MustCompile(`^[UW][A-Z0-9]{2,30}$`)
	groupID = regexp.MustCompile(`^S[A-Z0-9]{2,30}$`)
)

// who shows a decider: a Slack user by mention, which Slack shows by name, anybody else by the name that Kubernetes
// knows.
func who(by string) string {
	if slackUser, ok := strings.CutPrefix(by, "slack:"); ok {
		_, id, _ := strings.Cut(slackUser, "/")
		if userID.MatchString(id) {
			return "<@" + id + ">"
		}
	}
	return foreign(by, 100)
}

// maxObject is how many characters Slack takes in one text object.
const maxObject = 3000

// fit puts lines together as long as they fit into one text object.
func fit(lines ...string) string {
	var out []string
	left := maxObject
	for _, l := range lines {
		n := utf8.RuneCountInString(l) + 1
		if l == "" || n > left {
			continue
		}
		left -= n
		out = append(out, l)
	}
	return strings.Join(out, "\n")
}

// join lists at most n items, and how many more there are.
func join(items []string, n int) string {
	if len(items) > n {
		return strings.Join(items[:n], ", ") + fmt.Sprintf(" and %d more", len(items)-n)
	}
	if len(items) < 2 {
		return strings.Join(items, "")
	}
	return strings.Join(items[:len(items)-1], ", ") + " and " + items[len(items)-1]
}
