package classify

import (
	"regexp"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// phrases speak for a cause.
type phrases struct {
	cause v1alpha1.Cause
	// anywhere lists what may stand anywhere in the words. Each has a space in it.
	anywhere []string
	// whole lists what must be all that stands between two colons.
	whole []string
	// except lists phrases that hold one of anywhere and speak for another cause.
	except []string
}

func (p phrases) match(text string, segments []string) bool {
	for _, e := range p.except {
		text = strings.ReplaceAll(text, e, gone)
	}
	for _, a := range p.anywhere {
		if strings.Contains(text, a) {
			return true
		}
	}
	for _, w := range p.whole {
		if slices.Contains(segments, w) {
			return true
		}
	}
	return false
}

// serverError is a status of the registry, or of what stands before it, at the beginning of a segment.
var serverError = regexp.MustCompile(`^5[0-9][0-9]\b`)

// rules are the phrases of containerd, CRI-O and Docker, of Go's network errors, and of the registries, in lower case
// with names as §. testdata/pulls.tsv was written by a real kubelet, testdata/wordings.tsv after what others write.
var rules = []phrases{
	{cause: v1alpha1.CauseNotFound, anywhere: []string{
		"failed to resolve reference §: §: not found",     // containerd
		"failed to resolve image: §: not found",           // containerd 2.1 and later
		"no available registry endpoint: § not found",     // containerd 1.2
		"manifest unknown",                                // CRI-O, Docker, most registries
		"manifest for § not found",                        // Docker
		"name unknown",                                    // GitLab, ECR, distribution
		"repository name not known to registry",           // distribution
		"the named manifest is not known to the registry", // Artifactory
		"was deleted or has expired. to pull, revive",     // Quay
		"unknown: artifact § not found",                   // Harbor
		"manifest tagged by § is not found",               // ACR
		"requested image not found",                       // ECR
	}},
	{cause: v1alpha1.CausePlatformMismatch, anywhere: []string{
		"no match for platform in manifest",              // containerd
		"no matching manifest for",                       // Docker
		"no image found in image index for architecture", // CRI-O
		"no image found in manifest list for architecture",
		"cannot be used on this platform",            // Docker
		"does not match the specified platform",      // Docker
		"does not provide the specified platform",    // Docker with containerd
		"no matching platform found in the manifest", // Docker
		"based image is incompatible with a",         // Docker on Windows
	}},
	{cause: v1alpha1.CauseNotAnImage, anywhere: []string{
		"mismatched image rootfs and manifest layers",                // containerd
		"number of layers and diffids don't match",                   // containerd
		"invalid rootfs in image configuration",                      // Docker
		"unsupported image-specific operation on artifact with type", // CRI-O
		// Of these the type that is named decides.
		"media type " + noImageType, "mediatype " + noImageType, "mime type " + noImageType, "config type " + noImageType,
		"unknown type " + noImageType, "stream processor for " + noImageType, "encountered remote " + noImageType,
	}},
	{cause: v1alpha1.CauseInvalidName, anywhere: []string{
		"invalid reference format",
		"couldn't parse image",
		"repository name must be lowercase",
	}},
	{cause: v1alpha1.CauseBlobMissing, anywhere: []string{
		"could not fetch content descriptor § § from remote: not found", // containerd
		"failed open: content at § not found",                           // containerd
		"blob unknown",                                                  // CRI-O, distribution
		"unknown: blob § not found",
		"fetching blob: invalid status code from registry 404",
		"fetching blob: statuscode: 404",
		"fetching blob: received unexpected http status: 404",
	}},
	{cause: v1alpha1.CauseUnauthorized, anywhere: []string{
		"401 unauthorized", "403 forbidden",
		"invalid status code from registry 401", "invalid status code from registry 403",
		"statuscode: 401", "statuscode: 403", "status 401", "status 403", "status: 401", "status: 403",
		"pull access denied", "repository does not exist or may require", "does not exist or no pull access",
		"requested access to the resource is denied", "access to the requested resource is not authorized",
		"authentication required", "authorization required", "authorization failed", "authentication failed",
		"access denied", "access forbidden", "is not allowed access",
		"no basic auth credentials", "unable to retrieve auth token", "incorrect username or password",
		"is not authorized to", "not authorized to perform", "unauthorized to access",
		"authorization token has expired", "security token included in the request",
		"requesting bearer token: invalid status code from registry 412",
		"requesting bearer token: invalid status code from registry 400",
		"failed to fetch oauth token: unexpected status from post request to §: 412",
		"failed to fetch oauth token: unexpected status from post request to §: 400",
		"failed to fetch anonymous token: unexpected status from get request to §: 412",
		"denied on resource", "do not have permission", "does not have permission", "permission denied for",
	}, whole: []string{
		"unauthorized", "denied", "forbidden", "insufficient_scope",
	}, except: []string{
		"proxy authentication required",
	}},
	{cause: v1alpha1.CauseRateLimited, anywhere: []string{
		"429 too many requests", "too many requests", "pull rate limit", "rate limit exceeded",
		"quota exceeded for quota", "invalid status code from registry 429", "statuscode: 429", "status 429",
	}, whole: []string{
		"toomanyrequests",
	}},
	{cause: v1alpha1.CauseRegistryUnavailable, anywhere: []string{
		"no such host", "server misbehaving", "temporary failure in name resolution",
		"connection refused", "connection reset by peer", "connection timed out", "broken pipe",
		"no route to host", "network is unreachable", "host is down", "use of closed network connection",
		"i/o timeout", "timeout awaiting response", "tls handshake timeout", "context deadline exceeded", "awaiting headers",
		"request canceled while waiting for connection",
		"certificate signed by unknown authority", "certificate has expired", "certificate is valid for",
		"cannot validate certificate", "failed to verify certificate", "tls: handshake failure",
		"server gave http response to https client", "sent an http request to an https server",
		"400 bad request", "408 request timeout", "proxy authentication required",
		"service unavailable", "service temporarily unavailable", "bad gateway", "gateway timeout",
		"internal server error", "unexpected eof", "server sent goaway", "stream error: stream id",
		"invalid status code from registry 5", "unexpected http status: 5", "statuscode: 5", "statuscode: 400",
		"invalid status code from registry 407", "statuscode: 407",
		"unexpected media type text/html", "http2: client connection lost", "operation timed out",
		"client.timeout exceeded", "malformed http response", "no healthy upstream", "upstream connect error",
		"server closed idle connection", "cannot assign requested address", "stopped after 10 redirects",
		"bad record mac", "connection closed by peer", "remote error: tls",
		"mirror resolve retries exhausted", "could not resolve mirror", // Spegel, which k3s embeds
		// A cache whose upstream limits or refuses it says so of what it merely does not have: nobody can tell.
		"unknown: repository § not found", "unknown blob", "invalid character '<' looking for beginning of value",
	}, whole: []string{
		"x509", "tls", "eof", "unavailable", "proxyconnect tcp",
	}},
	{cause: v1alpha1.CauseNodeFault, anywhere: []string{
		"no space left on device", "disk quota exceeded", "input/output error", "read-only file system",
		"too many open files", "cannot allocate memory", "structure needs cleaning", "low on resource",
		"disk pressure", "desc = connection error", "dial unix", "unknown service runtime",
		"failed to prepare extraction snapshot", "failed to get reader from content store",
		"content digest §: not found", "snapshot § does not exist", "failed to mount",
		"snapshot does not exist", "failed to get snapshot", "failed to commit snapshot", "failed to stat snapshot",
		"layer does not exist", "layer not known",
		// The runtime itself is away: no registry speaks like this.
		"error reading from server", "transport is closing", "closing transport due to", "server is not initialized yet",
		"missing protocol scheme", "first path segment in url", "unsupported protocol scheme", "invalid port § after host",
		"too many colons in address", "registries configuration",
		"failed to load x509 key pair", "failed to parse hosts", "snapshotter not loaded", "snapshotter § was not found",
		"missing parent § bucket", "credential provider", "credential helper",
		"resource temporarily unavailable", "failed to setxattr", "database is locked", "locked for",
		"unknown runtime handler", "failed to create oci registry", "try increasing the number of subordinate ids",
		"failed to record image pull intent", "no unpack platforms defined",
		"short name mode is enforcing", "did not resolve to an alias",
	}, whole: []string{
		"permission denied", "operation not permitted", "no such file or directory",
		"device or resource busy", "pull qps exceeded",
	}},
	{cause: v1alpha1.CauseUnknown, anywhere: []string{
		"source image rejected", "signature validation", "signature verification", "a signature was required",
		"blocked pull of", "blocking pull of", // containerd's verifiers
	}},
}
