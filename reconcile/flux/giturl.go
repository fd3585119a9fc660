package flux

import (
	"net/url"
	"path"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/backstop-dev/backstop/reconcile"
)

// defaultBranch is what source-controller checks out where spec.ref says nothing.
const defaultBranch = "master"

// sameRepository reports whether two URLs name one Git repository. The user, a trailing .git and slashes do not matter,
// the host's case neither. Between HTTP and SSH the ports do not compare.
//
//	https://github.com/acme/fleet  =  ssh://git@github.com/acme/fleet.git  ≠  https://github.com:8443/acme/fleet
func sameRepository(a, b string) bool {
	if a == b {
		return true
	}
	ua, okA := parseGitURL(a)
	ub, okB := parseGitURL(b)
	if !okA || !okB || ua.host != ub.host || ua.path != ub.path {
		return false
	}
	return ua.ssh != ub.ssh || ua.port == ub.port
}

// gitURL is a repository's URL without what differs between people.
type gitURL struct {
	host, port, path string
	ssh              bool
}

func parseGitURL(s string) (gitURL, bool) {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Hostname() == "" {
		return gitURL{}, false
	}
	out := gitURL{host: strings.ToLower(u.Hostname()), port: u.Port()}
	standard := ""
	switch strings.ToLower(u.Scheme) {
	case "http":
		standard = "80"
	case "https":
		standard = "443"
	case "ssh":
		standard, out.ssh = "22", true
	default:
		return gitURL{}, false
	}
	if out.port == standard {
		out.port = ""
	}
	out.path = strings.TrimSuffix(path.Clean("/"+u.Path), ".git")
	return out, out.path != "/"
}

// branchOf is the branch that a reference follows, in the order in which source-controller looks: a commit, the name of
// a reference, a tag or version, a branch. A Refusal describes what it is pinned to instead, and what to do.
func branchOf(ref *sourcev1.GitRepositoryRef, who string) (string, error) {
	pinned := func(format string, args ...any) (string, error) {
		return "", reconcile.Refuse("%s is pinned to "+format+", so no revert on a branch reaches the cluster: "+
			"change what it is pinned to, or let it follow a branch (spec.ref.branch)", append([]any{who},
			args...)...)
	}
	switch {
	case ref == nil:
		return defaultBranch, nil
	case ref.Commit != "":
		return pinned("commit %s", ref.Commit)
	case ref.Name != "":
		if branch, ok := strings.CutPrefix(ref.Name, "refs/heads/"); ok && branch != "" {
			return branch, nil
		}
		return pinned("the reference %s", ref.Name)
	case ref.SemVer != "":
		return pinned("the version range %s", ref.SemVer)
	case ref.Tag != "":
		return pinned("tag %s", ref.Tag)
	case ref.Branch != "":
		return ref.Branch, nil
	}
	return defaultBranch, nil
}

// cleanPath makes a path in a repository of what an object says: no leading "./" or "/", and never above the root.
func cleanPath(p string) string {
	return strings.TrimPrefix(path.Clean("/"+p), "/")
}

// overlaps reports whether one of two folders is within the other.
func overlaps(a, b string) bool {
	return a == b || inside(a, b) || inside(b, a)
}

func inside(dir, p string) bool { return dir == "" || strings.HasPrefix(p, dir+"/") }
