package classify

import (
	"regexp"
	"strings"
)

// A cache of another registry lacks whatever it could not fetch: its upstream limits it, refuses it or is away, and it
// answers "not found" for an image that is there. Only a person can tell, so names that look like a cache's take the
// blame off an image. They never put it on one.
var (
	// mirrored is how containerd asks a host that stands for another one.
	mirrored = regexp.MustCompile(`[?&]ns=[a-z0-9]`)
	// upstream is a registry's name where a project or folder of another registry stands, which is how caches are laid
	// out.
	upstream = regexp.MustCompile(`[^/:\s"]/(?:` +
		`(?:registry-1\.|index\.)?docker\.io|(?:[a-z]+\.)?gcr\.io|ghcr\.io|quay\.io|` +
		`registry\.k8s\.io|mcr\.microsoft\.com|public\.ecr\.aws|registry\.gitlab\.com|lscr\.io|nvcr\.io|cgr\.dev|` +
		`registry\.(?:access\.)?redhat\.(?:io|com)|docker\.elastic\.co|xpkg\.upbound\.io|[a-z0-9-]+-docker\.pkg\.dev)/`)
	// proxies are what people call the project or folder of a cache.
	proxies = regexp.MustCompile(`(?:^|[/"\s])(?:(?:[a-z0-9.-]+[-_])?(?:cache|mirrors?|remote|pull-?through)|` +
		`(?:(?:docker|docker-?hub|hub|ghcr|quay|gcr|k8s|registry|images?|containers?|oci|dependency)[-_])?` +
		`proxy(?:[-_]cache)?|` +
		`docker-?hub(?:[-_][a-z]+)?|hub|ghcr|quay|gcr|ecr-public|k8s-?io|registry-k8s)/`)
	// proxyHosts are hosts that are called so.
	proxyHosts = regexp.MustCompile(`(?:^|[/"\s])(?:[a-z0-9-]+-)?(?:cache|proxy|mirror|pullthrough)` +
		`(?:-[a-z0-9-]+)?(?:\.[a-z0-9-]+)+(?::[0-9]+)?/`)
	// others is what CRI-O says of mirrors before it says what the registry itself answered, which is what counts.
	others = regexp.MustCompile(`\(mirrors also failed: \[[^\]]*\]\)`)
	// public are hosts where such a word is somebody's own name. Docker Hub's account "mirror" is no cache.
	public = regexp.MustCompile(`(?:docker\.io|ghcr\.io|quay\.io|registry\.k8s\.io|mcr\.microsoft\.com)/[a-z0-9._-]+/`)
)

// cached says whether a message speaks of an image that the node asked a cache for, as far as names tell.
func cached(message string) bool {
	if len(message) > maxRead {
		message = message[:maxRead]
	}
	message = others.ReplaceAllString(strings.ToLower(message), "")
	if mirrored.MatchString(message) || upstream.MatchString(message) || proxyHosts.MatchString(message) {
		return true
	}
	return proxies.MatchString(public.ReplaceAllString(message, ""))
}
