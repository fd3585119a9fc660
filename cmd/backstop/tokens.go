package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/reconcile/deliver"
)

// environment is where the command line of a provider takes a token from.
type environment struct {
	// tokens are the variables with a token, and hosts those that name the server that it is for, as a host or a URL.
	tokens, hosts []string
	// usual are the APIs that it is for where none of hosts is set.
	usual []string
}

// environmentOf is what is asked for the API of a provider.
func environmentOf(where deliver.Repository) environment {
	switch where.Provider {
	case deliver.GitHub:
		if where.API == githubAPI || strings.HasPrefix(where.API, "https://") && strings.HasSuffix(where.API, ".ghe.com") {
			return environment{tokens: []string{"GH_TOKEN", "GITHUB_TOKEN"}, usual: []string{where.API}}
		}
		return environment{tokens: []string{"GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"},
			hosts: []string{"GH_HOST", "GITHUB_SERVER_URL"}}
	case deliver.GitLab:
		return environment{tokens: []string{"GITLAB_TOKEN", "GITLAB_ACCESS_TOKEN", "OAUTH_TOKEN"},
			hosts: []string{"GITLAB_HOST", "GITLAB_URI", "GL_HOST", "CI_SERVER_URL"}, usual: []string{"https://gitlab.com"}}
	case deliver.Gitea:
		return environment{tokens: []string{"GITEA_SERVER_TOKEN", "GITEA_TOKEN"},
			hosts: []string{"GITEA_SERVER_URL", "GITHUB_SERVER_URL"},
			usual: []string{"https://gitea.com", "https://codeberg.org"}}
	case deliver.Bitbucket, deliver.AzureDevOps, deliver.CodeCommit:
	}
	return environment{}
}

const githubAPI = "https://api.github.com"

// userToken is a token of the environment, and its name there.
type userToken struct{ name, token string }

// tokenFor is the token that the command line of a provider takes from the environment. It is the user's, and the
// server is the repository's to name, which may be somebody else's: it goes to a server that the user named, by a flag
// or in the environment, or to the provider's own.
func tokenFor(where deliver.Repository, flag bool, env func(string) string) (userToken, error) {
	of := environmentOf(where)
	i := slices.IndexFunc(of.tokens, func(name string) bool { return env(name) != "" })
	if i < 0 {
		return userToken{}, nil
	}
	found := userToken{of.tokens[i], env(of.tokens[i])}
	api, err := url.Parse(where.API)
	if err != nil {
		return userToken{}, fmt.Errorf("read the API's URL: %w", err)
	}
	named := of.usual
	for _, name := range of.hosts {
		if value := env(name); value != "" {
			named = []string{value}
			break
		}
	}
	if flag || slices.ContainsFunc(named, func(host string) bool { return serves(host, api) }) {
		return found, nil
	}
	return userToken{}, fmt.Errorf("%s is not sent to %s, which only the repository names: set %s to it, or give "+
		"--provider and --api-url", found.name, oneLine(api.Scheme+"://"+api.Host), of.hosts[0])
}

// serves reports whether a host or a URL that a user named is that of an API. A host alone is asked by https.
func serves(named string, api *url.URL) bool {
	if !strings.Contains(named, "://") {
		named = "https://" + named
	}
	u, err := url.Parse(named)
	return err == nil && u.Scheme == api.Scheme && u.Host != "" && strings.EqualFold(u.Host, api.Host)
}
