package deliver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/reconcile"
)

// Provider is who serves a repository, and its pull requests.
type Provider string

// servedWords names the providers of Served to a person: Forgejo has the API of Gitea.
const servedWords = "GitHub, GitLab, Gitea and Forgejo"

// Served lists the providers whose pull requests Backstop opens.
func Served() []Provider { return []Provider{GitHub, GitLab, Gitea} }

// The providers. Bitbucket, Azure DevOps and CodeCommit are known by name, and refused.
const (
	GitHub      Provider = "GitHub"
	GitLab      Provider = "GitLab"
	Gitea       Provider = "Gitea"
	Bitbucket   Provider = "Bitbucket"
	AzureDevOps Provider = "Azure DevOps"
	CodeCommit  Provider = "CodeCommit"
)

// Options of Locate.
type Options struct {
	// Provider, where a person names it; empty finds out.
	Provider Provider
	// API is the base of the API, where a person names it; empty derives it from the repository's URL.
	API string
}

// Repository is a repository at a provider.
type Repository struct {
	Provider Provider
	// API is the base of the API, without a slash at its end.
	API string
	// Project is the path of the repository below the base, such as owner/name.
	Project string
}

// owner and name of a repository that has no folders around it.
func (l Repository) owner() string { owner, _, _ := strings.Cut(l.Project, "/"); return owner }
func (l Repository) name() string  { _, name, _ := strings.Cut(l.Project, "/"); return name }

// WebURL is the http(s) URL at which a repository is looked at, whatever Git itself takes: ssh://git@host/o/r and
// git@host:o/r become https://host/o/r. It says false where a URL leads to no server.
func WebURL(remote string) (string, bool) {
	if !strings.Contains(remote, "://") {
		// git takes host:path for SSH, unless a slash comes before the colon.
		host, path, ok := strings.Cut(remote, ":")
		if !ok || strings.Contains(host, "/") || len(host) < 2 {
			return "", false
		}
		remote = "ssh://" + host + "/" + strings.TrimPrefix(path, "/")
	}
	u, err := url.Parse(remote)
	if err != nil || u.Host == "" {
		return "", false
	}
	switch u.Scheme {
	case "http", "https":
	case "ssh", "git+ssh", "ssh+git":
		// The port is SSH's.
		host := u.Hostname()
		switch host {
		case "ssh.github.com", "altssh.gitlab.com":
			_, host, _ = strings.Cut(host, ".")
		}
		u.Scheme, u.Host = "https", host
	default:
		return "", false
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String(), true
}

// Locate finds the provider, the base of its API, and the repository there.
func Locate(ctx context.Context, server *reconcile.GitServer, o Options) (Repository, error) {
	u, err := url.Parse(server.URL)
	if err != nil || u.Host == "" {
		return Repository{}, reconcile.RefuseAs(reconcile.FaultNoProvider, "%s leads to no provider", server.URL)
	}
	path := strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git")
	segments := strings.Split(path, "/")
	provider := o.Provider
	if provider == "" {
		provider = byURL(u)
	}
	if provider != "" && !slices.Contains(Served(), provider) {
		return Repository{Provider: provider}, nil
	}
	if len(segments) < 2 || slices.Contains(segments, "") || slices.Contains(segments, "..") {
		return Repository{}, reconcile.RefuseAs(reconcile.FaultNoProvider, "%s does not end in OWNER/NAME, as repositories "+
			"with pull requests do", server.URL)
	}
	if o.API != "" {
		return named(u, provider, o.API, segments)
	}
	root := u.Scheme + "://" + u.Host
	switch {
	case provider == GitHub:
		return Repository{GitHub, githubAPI(u), lastTwo(segments)}, nil
	case provider == GitLab && strings.EqualFold(u.Host, "gitlab.com"):
		return Repository{GitLab, root, path}, nil
	case provider == Gitea:
		return Repository{Gitea, root + prefixOf(segments[:len(segments)-2]), lastTwo(segments)}, nil
	}
	return probe(ctx, server, provider, root, segments)
}

// named is a repository whose API a person named.
func named(u *url.URL, provider Provider, api string, segments []string) (Repository, error) {
	base, err := url.Parse(api)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return Repository{}, reconcile.RefuseAs(reconcile.FaultNoProvider, "the API that is named for %s is no http or "+
			"https URL", u.Host)
	}
	api = strings.TrimSuffix(base.String(), "/")
	switch provider {
	case GitHub:
		return Repository{GitHub, api, lastTwo(segments)}, nil
	case GitLab:
		api = strings.TrimSuffix(api, "/api/v4")
		// A relative root stands before the project in the path too.
		within := strings.Join(segments, "/")
		if root := strings.TrimSuffix(strings.Trim(base.Path, "/"), "api/v4"); root != "" {
			within = strings.TrimPrefix(within, strings.Trim(root, "/")+"/")
		}
		return Repository{GitLab, api, within}, nil
	case Gitea:
		return Repository{Gitea, strings.TrimSuffix(api, "/api/v1"), lastTwo(segments)}, nil
	case Bitbucket, AzureDevOps, CodeCommit:
	}
	return Repository{}, reconcile.RefuseAs(reconcile.FaultNoProvider, "an API is named for %s and no provider", u.Host)
}

func lastTwo(segments []string) string { return strings.Join(segments[len(segments)-2:], "/") }

func prefixOf(segments []string) string {
	if len(segments) == 0 {
		return ""
	}
	return "/" + strings.Join(segments, "/")
}

// byURL knows the providers that a host or a path gives away; empty for others, and where a host names two.
func byURL(u *url.URL) Provider {
	host := strings.ToLower(u.Hostname())
	ends := func(domains ...string) bool {
		return slices.ContainsFunc(domains, func(d string) bool { return host == d || strings.HasSuffix(host, "."+d) })
	}
	switch {
	case ends("github.com", "ghe.com"):
		return GitHub
	case ends("gitlab.com"):
		return GitLab
	case ends("gitea.com", "codeberg.org"):
		return Gitea
	case ends("bitbucket.org"), strings.HasPrefix(u.Path, "/scm/"):
		return Bitbucket
	case ends("dev.azure.com", "visualstudio.com"), strings.Contains(u.Path, "/_git/"):
		return AzureDevOps
	case strings.HasPrefix(host, "git-codecommit.") && strings.Contains(host, ".amazonaws.com"):
		return CodeCommit
	}
	var found []Provider
	for _, word := range []struct {
		in string
		is Provider
	}{{"github", GitHub}, {"gitlab", GitLab}, {"gitea", Gitea}, {"forgejo", Gitea}, {"bitbucket", Bitbucket}} {
		if strings.Contains(host, word.in) {
			found = append(found, word.is)
		}
	}
	if len(found) == 1 {
		return found[0]
	}
	return ""
}

// githubAPI is the API of github.com, of a tenant of ghe.com, or of a GitHub Enterprise server.
func githubAPI(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	switch {
	case host == "github.com", host == "www.github.com":
		return "https://api.github.com"
	case strings.HasSuffix(host, ".ghe.com"):
		return "https://api." + strings.TrimPrefix(host, "api.")
	}
	return u.Scheme + "://" + u.Host + "/api/v3"
}

// maxRoots is how many folders a relative root of a server may have.
const maxRoots = 3

// probe asks a server who it is, without credentials, at each folder that may be its root.
func probe(ctx context.Context, server *reconcile.GitServer, provider Provider, root string, segments []string,
) (Repository, error) {
	ctx, cancel := context.WithTimeout(ctx, server.Timeout)
	defer cancel()
	var last error
	for n := 0; n <= min(maxRoots, len(segments)-2); n++ {
		base := root + prefixOf(segments[:n])
		for _, ask := range probes {
			if provider != "" && ask.is != provider {
				continue
			}
			ok, err := ask.answers(ctx, server, base)
			if ok && ask.is == GitHub {
				return Repository{GitHub, base + "/api/v3", lastTwo(segments)}, nil
			}
			if ok {
				return Repository{ask.is, base, strings.Join(segments[n:], "/")}, nil
			}
			if err != nil {
				last = err
			}
		}
	}
	if last != nil {
		return Repository{}, fmt.Errorf("ask %s who it is: %s", root, server.Clean(last.Error(), 300))
	}
	return Repository{}, reconcile.RefuseAs(reconcile.FaultNoProvider, "%s does not say which provider it is; "+
		"Backstop opens pull requests of %s: name the provider", root, servedWords)
}

// question is something that a provider answers without credentials, and what its answer is told by.
type question struct {
	is   Provider
	path string
	told func(status int, h http.Header, body map[string]any) bool
}

var probes = []question{
	{Gitea, "/api/v1/version", func(status int, _ http.Header, body map[string]any) bool {
		_, says := body["version"].(string)
		// With sign-in required it says so in its own form.
		_, url := body["url"].(string)
		return status == http.StatusOK && says ||
			(status == http.StatusUnauthorized || status == http.StatusForbidden) && url && body["message"] != nil
	}},
	{GitLab, "/api/v4/version", func(status int, h http.Header, body map[string]any) bool {
		_, version := body["version"].(string)
		return status == http.StatusOK && version ||
			status == http.StatusUnauthorized && (body["message"] == "401 Unauthorized" || h.Get("X-Gitlab-Meta") != "")
	}},
	{Bitbucket, "/rest/api/1.0/application-properties", func(status int, _ http.Header, body map[string]any) bool {
		return status == http.StatusOK && body["displayName"] == "Bitbucket"
	}},
	{GitHub, "/api/v3/meta", func(_ int, h http.Header, _ map[string]any) bool {
		return h.Get("X-GitHub-Enterprise-Version") != "" || h.Get("X-GitHub-Request-Id") != ""
	}},
}

// answers asks the question at a base.
func (q question) answers(ctx context.Context, server *reconcile.GitServer, base string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+q.path, nil)
	if err != nil {
		return false, fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	res, err := server.Client.Do(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode >= 500 {
		return false, fmt.Errorf("HTTP %d", res.StatusCode)
	}
	var body map[string]any
	// What is no JSON object is no answer of an API.
	_ = json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&body)
	return q.told(res.StatusCode, res.Header, body), nil
}
