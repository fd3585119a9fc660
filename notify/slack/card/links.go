package card

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/slack-go/slack/slackutilsx"
)

// maxLink is how long a link may be that is still shown.
const maxLink = 400

// Links finds the page of a commit.
type Links struct {
	// Repository is the URL that the source is fetched from, in any form that Git knows.
	Repository string
	// Template overrides what is known of hosts: a URL with {commit} in it. {repository} is the path on the host.
	Template string
}

var (
	hashForm = regexp.MustCompile(`^[0-9a-f]{7,64}$`)
	scpForm  = regexp.MustCompile(`^(?:[^@/]+@)?([^:/]+):(.+)$`)
)

// Commit is the URL of a commit's page; empty where none is known.
func (l Links) Commit(hash string) string {
	if !hashForm.MatchString(hash) {
		return ""
	}
	host, path := l.place()
	if l.Template != "" {
		return web(strings.NewReplacer("{commit}", hash, "{repository}", path).Replace(l.Template))
	}
	if host == "" || path == "" {
		return ""
	}
	between := commitPath(host)
	if between == "" {
		return ""
	}
	return web((&url.URL{Scheme: "https", Host: host, Path: "/" + path + between + hash}).String())
}

// web lets through what a browser opens and Slack takes.
func web(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
		return ""
	}
	// What ends a link in mrkdwn is no part of one.
	out := strings.NewReplacer("|", "%7C", "<", "%3C", ">", "%3E").Replace(u.String())
	if len(slackutilsx.EscapeMessage(out)) > maxLink || strings.ContainsAny(out, " \n\t") {
		return ""
	}
	return out
}

// place is the host and the path of the repository, without credentials, port or suffix.
func (l Links) place() (host, path string) {
	if u, err := url.Parse(l.Repository); err == nil && u.Host != "" {
		host, path = u.Hostname(), u.Path
	} else if m := scpForm.FindStringSubmatch(l.Repository); m != nil {
		host, path = m[1], m[2]
	}
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	if host == "ssh.dev.azure.com" {
		if parts := strings.Split(path, "/"); len(parts) == 4 {
			return "dev.azure.com", parts[1] + "/" + parts[2] + "/_git/" + parts[3]
		}
	}
	return host, path
}

// commitPath is what the page of a commit has between repository and hash, by the host's name.
func commitPath(host string) string {
	switch {
	case host == "bitbucket.org":
		return "/commits/"
	case host == "codeberg.org", host == "dev.azure.com":
		return "/commit/"
	}
	name, _, _ := strings.Cut(host, ".")
	switch name {
	case "gitlab":
		return "/-/commit/"
	case "github", "gitea", "forgejo":
		return "/commit/"
	}
	return ""
}
