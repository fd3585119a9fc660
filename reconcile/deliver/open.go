package deliver

import "github.com/backstop-dev/backstop/reconcile"

// Open gives the way to the pull requests of a repository. It knows every provider that Served lists.
func Open(server *reconcile.GitServer, where Repository) (reconcile.Forge, error) {
	switch where.Provider {
	case GitHub:
		return openGitHub(server, where)
	case GitLab:
		return openGitLab(server, where)
	case Gitea:
		return openGitea(server, where), nil
	case Bitbucket, AzureDevOps, CodeCommit:
	}
	return nil, reconcile.RefuseAs(reconcile.FaultNoProvider, "%s is at %s, whose pull requests Backstop does not open: "+
		"it opens those of %s", server.URL, where.Provider, servedWords)
}
