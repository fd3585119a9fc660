package registry

import (
	"regexp"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/reconcile"
)

// pullThrough are repositories that are caches by their address, whoever runs them: Google's mirror of Docker Hub,
// GitLab's dependency proxy, and those of Amazon ECR under the prefixes that its console proposes. What the others that
// fetch from elsewhere are called is their owner's choice (Harbor, Artifactory, Nexus, Artifact Registry, Azure):
// --registry-caches names them.
var pullThrough = []*regexp.Regexp{
	regexp.MustCompile(`^mirror\.gcr\.io/`),
	regexp.MustCompile(`^[^/]+/(.+/)?dependency_proxy/containers/`),
	regexp.MustCompile(`^[0-9]+\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.(amazonaws\.com(\.cn)?|on\.aws)/` +
		`(docker-hub|ecr-public|github|gitlab|kubernetes|k8s|quay|azure-container-registry|chainguard)/`),
}

// IsCache says whether an image is one of a cache that its address or an option names.
func (r *Registry) IsCache(image string) bool {
	t, err := parse(image, reconcile.Access{})
	return err == nil && r.cached(t)
}

// cached says whether a repository is one of a cache, as its address or the flag says.
func (r *Registry) cached(t target) bool {
	repository := t.host() + "/" + t.ref.Context().RepositoryStr()
	return slices.ContainsFunc(pullThrough, func(c *regexp.Regexp) bool { return c.MatchString(repository) }) ||
		slices.ContainsFunc(r.caches, func(c string) bool {
			c = strings.TrimSuffix(c, "/")
			return repository == c || strings.HasPrefix(repository, c+"/")
		})
}
