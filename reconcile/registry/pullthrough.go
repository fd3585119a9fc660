package registry

import (
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/internal/image"
)

// cached reports whether a repository is one of a cache, as its address or --registry-caches says. What most caches are
// called is their owner's choice (Harbor, Artifactory, Nexus, Artifact Registry, Azure): the flag names them.
func (r *Registry) cached(t target) bool {
	repository := t.host() + "/" + t.ref.Context().RepositoryStr()
	return image.PullThrough(repository) ||
		slices.ContainsFunc(r.caches, func(c string) bool {
			c = strings.TrimSuffix(c, "/")
			return repository == c || strings.HasPrefix(repository, c+"/")
		})
}
