package classify

import (
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestAnImageOfACacheIsNotBlamed(t *testing.T) {
	const notFound = `failed to pull and unpack image "{i}": failed to resolve reference "{i}": {i}: not found`
	const transferred = `failed to pull and unpack image "{i}": failed to resolve image: {i}: not found`
	tests := map[string]v1alpha1.Cause{
		"harbor.acme.io/cache/acme/node:22":                           v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/dockerhub-proxy/library/node:22":              v1alpha1.CauseRegistryUnavailable,
		"acme.jfrog.io/docker-remote/acme/web:1":                      v1alpha1.CauseRegistryUnavailable,
		"nexus.acme.io:8083/docker-proxy/web:1":                       v1alpha1.CauseRegistryUnavailable,
		"gitlab.acme.io/team/dependency_proxy/containers/node:22":     v1alpha1.CauseRegistryUnavailable,
		"1.dkr.ecr.eu-west-1.amazonaws.com/docker-hub/acme/web:1":     v1alpha1.CauseRegistryUnavailable,
		"1.dkr.ecr.eu-west-1.amazonaws.com/x/quay.io/acme/web:1":      v1alpha1.CauseRegistryUnavailable,
		"europe-docker.pkg.dev/acme/docker-hub-cache/web:1":           v1alpha1.CauseRegistryUnavailable,
		"localhost:7439/ghcr.io/acme/web:1":                           v1alpha1.CauseRegistryUnavailable,
		"mirror.acme.io/acme/web:1":                                   v1alpha1.CauseRegistryUnavailable,
		"docker-mirror.acme.io:5000/acme/web:1":                       v1alpha1.CauseRegistryUnavailable,
		"mirror.gcr.io/acme/web:1":                                    v1alpha1.CauseRegistryUnavailable,
		"docker-remote.acme.io/acme/web:1":                            v1alpha1.CauseRegistryUnavailable,
		"acme-docker-remote.jfrog.io/web:1":                           v1alpha1.CauseRegistryUnavailable,
		"docker-hub-remote.artifactory.acme.io/acme/web:1":            v1alpha1.CauseRegistryUnavailable,
		"dockerhub.acme.io/acme/web:1":                                v1alpha1.CauseRegistryUnavailable,
		"docker-hub.acme.io/acme/web:1":                               v1alpha1.CauseRegistryUnavailable,
		"dockerhub.registry.acme.io:5000/web:1":                       v1alpha1.CauseRegistryUnavailable,
		"docker.proxy.acme.io/acme/web:1":                             v1alpha1.CauseRegistryUnavailable,
		"docker-proxy.registry.acme.io/library/web:1":                 v1alpha1.CauseRegistryUnavailable,
		"ghcr.cache.acme.io/acme/web:1":                               v1alpha1.CauseRegistryUnavailable,
		"mirrors.acme.io/acme/web:1":                                  v1alpha1.CauseRegistryUnavailable,
		"registry-mirror:5000/acme/web:1":                             v1alpha1.CauseRegistryUnavailable,
		"1.dkr.ecr.eu-west-1.amazonaws.com/kubernetes/pause:3.10":     v1alpha1.CauseRegistryUnavailable,
		"1.dkr.ecr.cn-north-1.amazonaws.com.cn/kubernetes/pause:3.10": v1alpha1.CauseRegistryUnavailable,
		"1.dkr.ecr.eu-west-1.amazonaws.com/github/acme/web:1":         v1alpha1.CauseRegistryUnavailable,
		"1.dkr.ecr.cn-north-1.amazonaws.com.cn/github/acme/web:1":     v1alpha1.CauseRegistryUnavailable,
		"1.dkr.ecr-fips.us-east-1.amazonaws.com/gitlab/acme/web:1":    v1alpha1.CauseRegistryUnavailable,
		"1.dkr-ecr.eu-west-1.on.aws/chainguard/web:1":                 v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/dockerproxy/acme/web:1":                       v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/proxy-docker/acme/web:1":                      v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/proxy.docker.io/acme/web:1":                   v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/proxycache/acme/web:1":                        v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/docker_proxy/acme/web:1":                      v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/dockerhubproxy/acme/web:1":                    v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/ghcrproxy/acme/web:1":                         v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/proxy-ghcr.io/acme/web:1":                     v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/cache-dockerhub/acme/web:1":                   v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/mirror-quay/acme/web:1":                       v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/dockercache/acme/web:1":                       v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/docker-io/acme/web:1":                         v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/ghcr-io/acme/web:1":                           v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/pullthroughcache/acme/web:1":                  v1alpha1.CauseRegistryUnavailable,
		"acme.azurecr.io/docker-hub/acme/web:1":                       v1alpha1.CauseRegistryUnavailable,
		"nexus.acme.io/repository/docker-proxy/web:1":                 v1alpha1.CauseRegistryUnavailable,
		"nexus.acme.io/docker-group/acme/web:1":                       v1alpha1.CauseRegistryUnavailable,
		"acme.jfrog.io/acme-docker-virtual/library/nginx:9":           v1alpha1.CauseRegistryUnavailable,
		"acme.jfrog.io/docker-all/acme/web:1":                         v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/docker.io-proxied/acme/web:1":                 v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/upstream-dockerhub/acme/web:1":                v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/public-docker-proxy/acme/web:1":               v1alpha1.CauseRegistryUnavailable,
		"quay.acme.io/mirrored/web:1":                                 v1alpha1.CauseRegistryUnavailable,
		"acme.azurecr.io/cached/acme/web:1":                           v1alpha1.CauseRegistryUnavailable,
		"registry.acme.io/docker-cached/acme/web:1":                   v1alpha1.CauseRegistryUnavailable,
		"registry.acme.io/proxied/acme/web:1":                         v1alpha1.CauseRegistryUnavailable,
		"harbor.acme.io/external-ghcr/acme/web:1":                     v1alpha1.CauseRegistryUnavailable,
		"docker.m.daocloud.io/acme/web:1":                             v1alpha1.CauseRegistryUnavailable,
		"dockerproxy.net/acme/web:1":                                  v1alpha1.CauseRegistryUnavailable,
		"hub-mirror.c.163.com/acme/web:1":                             v1alpha1.CauseRegistryUnavailable,
		"registry.acme.io/team/mirrored-web:1":                        v1alpha1.CauseNotFound,
		"registry.acme.io/upstream-team/web:1":                        v1alpha1.CauseNotFound,
		"registry.acme.io/nginx-proxy/web:1":                          v1alpha1.CauseNotFound,
		"registry.acme.io/policy/web:1":                               v1alpha1.CauseNotFound,
		"registry.acme.io/team/scan:1":                                v1alpha1.CauseNotFound,
		"m.acme.io/team/web:1":                                        v1alpha1.CauseNotFound,
		"registry.acme.io/virtual-group/web:1":                        v1alpha1.CauseNotFound,
		"registry.gitlab.com/acme-group/web:1":                        v1alpha1.CauseNotFound,
		"1.dkr.ecr.eu-west-1.amazonaws.com/acme/kubernetes/web:1":     v1alpha1.CauseNotFound,
		"1.dkr.ecr.eu-west-1.amazonaws.com/web:1":                     v1alpha1.CauseNotFound,
		"registry.acme.io/kubernetes/web:1":                           v1alpha1.CauseNotFound,
		"registry.acme.io/github/runner:1":                            v1alpha1.CauseNotFound,
		"quay.acme.io/team/web:1":                                     v1alpha1.CauseNotFound,
		"hub.acme.io/team/web:1":                                      v1alpha1.CauseNotFound,
		"registry.acme.io/docker/web:1":                               v1alpha1.CauseNotFound,
		"registry.acme.io/team/remote-control:1":                      v1alpha1.CauseNotFound,
		"registry.acme.io/team/proxysql:1":                            v1alpha1.CauseNotFound,
		"proximity.acme.io/team/web:1":                                v1alpha1.CauseNotFound,
		"ghcr.io/acme/dockerproxy:1":                                  v1alpha1.CauseNotFound,
		"docker.io/proxycache/web:1":                                  v1alpha1.CauseNotFound,
		"registry.acme.io/team/cached-web:1":                          v1alpha1.CauseNotFound,
		"ghcr.io/acme/web:1":                                          v1alpha1.CauseNotFound,
		"ghcr.io/acme/cache:1":                                        v1alpha1.CauseNotFound,
		"docker.io/acme/redis-cache:1":                                v1alpha1.CauseNotFound,
		"quay.io/oauth2-proxy/oauth2-proxy:v9":                        v1alpha1.CauseNotFound,
		"registry.acme.io/oauth2-proxy/oauth2-proxy:v9":               v1alpha1.CauseNotFound,
		"docker.io/mirror/web:1":                                      v1alpha1.CauseNotFound,
		"registry.acme.io/team/hubble:1":                              v1alpha1.CauseNotFound,
	}
	for image, want := range tests {
		t.Run(image, func(t *testing.T) {
			check(t, want, "ErrImagePull", strings.ReplaceAll(notFound, "{i}", image))
			check(t, want, "ErrImagePull", strings.ReplaceAll(transferred, "{i}", image))
		})
	}
}

// Docker says "manifest unknown" and no more: the image itself tells whom it asked.
func TestARuntimeThatDoesNotNameTheCache(t *testing.T) {
	for image, want := range map[string]v1alpha1.Cause{
		"nexus.acme.io/docker-proxy/web:3":                             v1alpha1.CauseRegistryUnavailable,
		"acme.jfrog.io/docker-virtual/web:3":                           v1alpha1.CauseRegistryUnavailable,
		"1.dkr.ecr.eu-west-1.amazonaws.com/docker-hub/library/nginx:9": v1alpha1.CauseRegistryUnavailable,
		"mirror.acme.io/web@sha256:" + strings.Repeat("a", 64):         v1alpha1.CauseRegistryUnavailable,
		"registry.acme.io/team/web:3":                                  v1alpha1.CauseNotFound,
		"web:3":                                                        v1alpha1.CauseNotFound,
		"acme/proxy:3":                                                 v1alpha1.CauseNotFound,
		"":                                                             v1alpha1.CauseNotFound,
	} {
		if got, ok := Of("ErrImagePull", "Error response from daemon: manifest unknown: manifest unknown", image); !ok || got != want {
			t.Errorf("%q: %s, want %s", image, got, want)
		}
	}
	if got, _ := Of("ErrImagePull", "rpc error: code = Unknown desc = Error response from daemon: toomanyrequests: x", "mirror.acme.io/web:3"); got != v1alpha1.CauseRateLimited {
		t.Errorf("a limit is %s", got)
	}
}
