package flux

import (
	"regexp"
	"strings"
	"time"
)

// revision is what Flux calls the state of a source: a commit, and the branch or tag it was found at.
type revision struct {
	// Ref is the branch, tag or full reference; empty when the revision names none.
	Ref string
	// Commit is the full hash in lower case; empty when the revision names no Git commit (an OCI digest, a bucket's).
	Commit string
}

var commitHash = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// parseRevision reads the forms of a Git revision:
//
//	main@sha1:<40 hex>              a branch or tag
//	refs/heads/main@sha1:<40 hex>   a reference by its full name
//	sha1:<40 hex>                   a commit alone; sha256 with 64 hex for such a repository
//	main/<40 hex>, <40 hex>         as Flux wrote them before 2.0
//
// An OCI artifact's digest (latest@sha256:<64 hex>) looks like the commit of a SHA-256 repository: which of them it is
// only the kind of the source says.
func parseRevision(s string) revision {
	ref, hash := "", s
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		ref, hash = s[:i], s[i+1:]
	} else if i := strings.LastIndexByte(s, '/'); i >= 0 && !strings.Contains(s, ":") {
		ref, hash = s[:i], s[i+1:]
	}
	algorithm, digest, ok := strings.Cut(hash, ":")
	if !ok {
		algorithm, digest = "", hash
	}
	digest = strings.ToLower(digest)
	fits := commitHash.MatchString(digest) &&
		(algorithm == "" || algorithm == "sha1" && len(digest) == 40 || algorithm == "sha256" && len(digest) == 64)
	if !fits {
		return revision{}
	}
	if ref == "HEAD" {
		ref = ""
	}
	return revision{Ref: ref, Commit: digest}
}

// progress is what a controller reports that it is doing.
type progress struct {
	// What it does, in its own words: Running health checks, Running 'upgrade' action.
	What string
	// Revision that it is about; empty where the message names none.
	Revision string
	// Timeout after which it ends at the latest.
	Timeout time.Duration
}

// The messages of kustomize-controller and of helm-controller while they work.
var progressing = regexp.MustCompile(`^(.+?)(?: for revision (\S+))? with (?:a )?timeout of (\S+)$`)

// maxTimeout is the longest wait that is believed.
const maxTimeout = 24 * time.Hour

// parseProgress reads the message of a Reconciling condition.
func parseProgress(message string) (progress, bool) {
	m := progressing.FindStringSubmatch(message)
	if m == nil {
		return progress{}, false
	}
	timeout, err := time.ParseDuration(m[3])
	if err != nil || timeout <= 0 {
		return progress{}, false
	}
	return progress{What: m[1], Revision: m[2], Timeout: min(timeout, maxTimeout)}, true
}
