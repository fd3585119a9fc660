package classify

import (
	"regexp"
	"strings"

	"github.com/backstop-dev/backstop/internal/image"
)

// service are the names of registries that caches fetch from, role what people call a cache.
const (
	service = `(?:docker-?hub|docker(?:[-_.]?io)?|hub|ghcr(?:[-_.]?io)?|quay(?:[-_.]?io)?|` +
		`(?:k8s[-_.]?)?gcr(?:[-_.]?io)?|(?:registry[-_.]?)?k8s(?:[-_.]?io)?|mcr|nvcr|lscr|ecr|public[-_]ecr)`
	role = `(?:prox(?:y|ies|ied)|cache[sd]?|mirror(?:s|ed)?|remotes?|pull-?through)`
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
	// proxies are what people call the project or folder of a cache: with a word before it (acme-docker-remote), as what
	// has caches among others (docker-virtual at Artifactory, docker-group at Nexus), as a proxy of something
	// (dockerproxy, registry-proxy), as a role of a registry (proxy-docker, cache.quay.io), or by the registry's name
	// alone.
	proxies = regexp.MustCompile(`(?:^|[/"\s])(?:` +
		`(?:[a-z0-9.-]+[-_.])?(?:cache[sd]?|mirror(?:s|ed)?|proxied|remotes?|pull-?through(?:[-_]?cache)?|proxy[-_]?cache)|` +
		`(?:[a-z0-9.-]+[-_.])?(?:docker|oci|containers?)[-_](?:virtual|group|all)|[a-z0-9.-]+-virtual|` +
		`(?:(?:` + service + `|registry|images?|containers?|oci|dependency)[-_.]?)?` + role + `(?:[-_]?cache)?|` +
		`[a-z0-9.-]+[-_.]` + service + `[-_.]?` + role + `|(?:upstream|external)[-_.]` + service + `|` +
		role + `[-_.]?` + service + `(?:[-_.][a-z0-9]+)*|` +
		`docker-?hub(?:[-_][a-z]+)?|hub|ghcr(?:[-_]?io)?|quay(?:[-_]?io)?|(?:k8s-?)?gcr(?:[-_]?io)?|ecr-public|` +
		`docker[-_]?io|k8s-?io|registry-?k8s(?:-?io)?)/`)
	// hosts are labels of a cache's host: a word of a name (docker-remote.acme.io) or a label of its own
	// (docker.proxy.acme.io).
	hosts = regexp.MustCompile(`(?:^|[/"\s])(?:[a-z0-9-]+\.)*` +
		`(?:(?:[a-z0-9-]+-)?(?:` + service + `?` + role + `|docker-?hub)(?:-[a-z0-9-]+)?)` +
		`(?:(?:\.[a-z0-9-]+)+(?::[0-9]+)?|:[0-9]+)/`)
	// others is what CRI-O says of mirrors before it describes what the registry itself answered, which is what counts.
	others = regexp.MustCompile(`\(mirrors also failed: \[[^\]]*\]\)`)
	// public are hosts where such a word is somebody's own name. Docker Hub's account "mirror" is no cache.
	public = regexp.MustCompile(`(?:docker\.io|ghcr\.io|quay\.io|registry\.k8s\.io|mcr\.microsoft\.com)/[a-z0-9._-]+/`)
	// asked is where containerd names the host that it asked without a slash.
	asked = regexp.MustCompile(`\bpulling from host (\S+) failed`)
	// asks is how CRI-O and containerd name an image, and then where they asked for it.
	asks = []*regexp.Regexp{
		regexp.MustCompile(`docker://(\S+): reading manifest \S+ in ([^\s:]+(?::[0-9]+)?/\S+?):? `),
		regexp.MustCompile(`failed to pull and unpack image "([^"]+)": .*\bcontent at https?://([^/\s]+/\S*) not found`),
	}
	// address is what a URL has around a repository.
	address = regexp.MustCompile(`^(?:[a-z][a-z+.-]*://)?([^/]+/)(?:v2/)?(.+)$`)
)

// cached reports whether a message speaks of an image that the node asked a cache for, as far as names tell.
func cached(message string) bool {
	if len(message) > maxRead {
		message = message[:maxRead]
	}
	message = others.ReplaceAllString(strings.ToLower(message), "")
	message = asked.ReplaceAllString(message, "pulling from host $1/ failed")
	if mirrored.MatchString(message) || upstream.MatchString(message) || hosts.MatchString(message) || elsewhere(message) {
		return true
	}
	apart := func(r rune) bool { return strings.ContainsRune(" \t\n\r\"'()[],", r) }
	for _, word := range strings.FieldsFunc(message, apart) {
		if a := address.FindStringSubmatch(word); a != nil && image.PullThrough(a[1]+a[2]) {
			return true
		}
	}
	return proxies.MatchString(public.ReplaceAllString(message, ""))
}

// elsewhere reports whether a node asked another registry than the one that the image names, as its configuration says.
func elsewhere(message string) bool {
	for _, pair := range asks {
		for _, m := range pair.FindAllStringSubmatch(message, -1) {
			of, err := image.Parse(m[1])
			if err == nil && of.Host != hostOf(m[2]) {
				return true
			}
		}
	}
	return false
}

// hostOf is the registry that an address begins with, under its one name.
func hostOf(address string) string {
	host, _, _ := strings.Cut(address, "/")
	if ref, err := image.Parse(host + "/x/x"); err == nil {
		return ref.Host
	}
	return host
}
