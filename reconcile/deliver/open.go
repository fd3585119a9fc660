package deliver

import "github.com/backstop-dev/backstop/reconcile"

// served are the providers whose pull requests Backstop opens, and how.
var served = []struct {
	provider Provider
	open     func(*reconcile.GitServer, Repository) (reconcile.Forge, error)
}{
	{GitHub, func(s *reconcile.GitServer, r Repository) (reconcile.Forge, error) { return openGitHub(s, r) }},
	{GitLab, func(s *reconcile.GitServer, r Repository) (reconcile.Forge, error) { return openGitLab(s, r) }},
	{Gitea, func(s *reconcile.GitServer, r Repository) (reconcile.Forge, error) { return openGitea(s, r), nil }},
}

// servedWords names them to a person: Forgejo has the API of Gitea.
const servedWords = "GitHub, GitLab, Gitea and Forgejo"

// Served lists the providers whose pull requests Backstop opens.
func Served() []Provider {
	var out []Provider
	for _, s := range served {
		out = append(out, s.provider)
	}
	return out
}

// Open gives the way to the pull requests of a repository.
func Open(server *reconcile.GitServer, where Repository) (reconcile.Forge, error) {
	for _, s := range served {
		if s.provider == where.Provider {
			return s.open(server, where)
		}
	}
	return nil, reconcile.RefuseAs(reconcile.FaultNoProvider, "%s is at %s, whose pull requests Backstop does not open: "+
		"it opens those of %s", server.URL, where.Provider, servedWords)
}
