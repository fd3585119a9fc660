package deliver

import (
	"github.com/google/go-github/v88/github"

	"github.com/backstop-dev/backstop/reconcile"
)

// gitHub is a repository at github.com, a tenant of ghe.com, or a GitHub Enterprise server.
type gitHub struct {
	*session
	api    *github.Client
	asides asides
}

func openGitHub(server *reconcile.GitServer, where Repository) (*gitHub, error) {
	s := newSession(server, where)
	base := where.API + "/"
	api, err := github.NewClient(github.WithHTTPClient(s.client()), github.WithURLs(&base, &base),
		github.WithDisableRateLimitCheck(), github.WithUserAgent("backstop"))
	if err != nil {
		return nil, reconcile.RefuseAs(reconcile.FaultNoProvider, "%s is no base of an API: %w", where.API, err)
	}
	return &gitHub{session: s, api: api}, nil
}
