package slack

import (
	"net/url"
	"strings"

	"github.com/backstop-dev/backstop/internal/text"
)

// Hosts are hosts beside Slack's own that a Provider's address may name, as HOST or HOST:PORT: a gateway of the
// platform, or a stand-in for Slack in tests. What answers there reports who clicked, so that only the platform names
// them.
type Hosts []string

// slackHosts are Slack's own, with all names below them.
var slackHosts = []string{"slack.com", "slack-gov.com"}

// Allow reports whether tokens may be sent to an address. Slack's own hosts are reached over TLS alone.
func (h Hosts) Allow(u *url.URL) bool {
	for _, named := range h {
		if strings.EqualFold(named, u.Host) || strings.EqualFold(named, u.Hostname()) {
			return true
		}
	}
	return secure(u) && isSlacks(u)
}

func isSlacks(u *url.URL) bool {
	name := strings.ToLower(u.Hostname())
	for _, host := range slackHosts {
		if name == host || strings.HasSuffix(name, "."+host) {
			return true
		}
	}
	return false
}

func secure(u *url.URL) bool {
	return (u.Scheme == "https" || u.Scheme == "wss") && (u.Port() == "" || u.Port() == "443")
}

// judge describes what is wrong with the host of a Provider's address; nil where nothing is.
func (h Hosts) judge(address string) *Trouble {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return trouble("WrongAddress",
			"the address is not the URL of Slack's Web API: use https://slack.com/api/chat.postMessage")
	case h.Allow(u):
		return nil
	case isSlacks(u):
		return trouble("WrongAddress",
			"the address would send the token unencrypted, or to another port than Slack's: use "+
				"https://%s/api/chat.postMessage", text.Cut(u.Hostname(), 100))
	}
	return trouble("WrongAddress",
		"the address names the host %s, which is not Slack's: use https://slack.com/api/chat.postMessage, or have "+
			"Backstop started with --slack-hosts=%[1]s where the platform vouches for that host", text.Cut(u.Host, 100))
}
