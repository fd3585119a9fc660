package wire

import (
	"regexp"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/reconcile"
)

// What servers say when they do not take a push. The status of the command is the server's own; the words beside it may
// be a hook's, which anybody wrote, so that they never make a lost race of what the status says is declined.
var (
	// declining statuses say that a rule or a hook decided, not the state of the branch.
	declining = []string{
		"declined", "prohibited", "protected", "denied", "deny", "refusing", "not allowed", "permission", "policy",
		"violation", "checked out", "hook",
	}
	// racing statuses say that the branch is not what it was, or that somebody is writing it.
	racing = []string{
		"non-fast-forward", "non-fast forward", "fetch first", "stale info", "cannot lock ref", "but expected",
		"incorrect old value", "failed to lock", "reference already exists", "failed to update ref", "unable to create",
	}
	// raced are lines that git itself writes about a lost race, whatever the status is.
	raced = regexp.MustCompile(`(?i)cannot lock ref '[^']*'|is at [0-9a-f]{40} but expected [0-9a-f]{40}|` +
		`unable to create '[^']*\.lock': file exists`)

	// persons are words of rules that no pull request satisfies: a person has to change something.
	persons = []string{
		"cannot force-push", "you're not authorized to push",
		"cannot contain secrets", "file path is restricted", "cannot update this protected ref", "workflows` permission",
		"workflows permission", "workflow scope", "does not follow the pattern", "author's email",
		"protected from changing file",
		"user permission denied", "not allowed to push code to this project", "genericcontribute", "tf401027", "tf401019",
	}
	// signatures are words of rules that want signed commits, which no pull request of unsigned ones satisfies.
	signatures = []string{"verified signature", "unverified commit", "must be signed"}
	// pullRequests are words of rules that want a pull request.
	pullRequests = []string{
		"changes must be made through a pull request", "changes must be made through the merge queue",
		"required status check", "code scanning is waiting for results", "approving review is required",
		"approving reviews are required",
		"review is required", "not allowed to push code to protected branches", "not allowed to push to protected branch",
		"can only be modified through pull requests", "permission denied to update branch", "you must use a pull request",
		"tf402455", "gitrefupdaterejectedbypolicyexception",
	}
	// resting are words of servers that take nothing from anybody for now, and filled those of a full disk.
	resting = []string{
		"temporarily read-only", "is read-only", "in read-only mode", "under maintenance", "maintenance mode",
	}
	filled = []string{"quota exceeded", "over quota", "exceeded its quota", "no space left", "storage limit"}
	// refusing are words of rules and hooks that name neither.
	refusing = append([]string{"gh0", "signed", "tf40"}, declining...)
)

// kindOfDecline explains why a server did not take a push: by the status of the command first, then by the words beside
// it. It is empty for what may be tried again.
func kindOfDecline(status, words string) reconcile.FaultKind {
	ruled := containsAny(status, declining...)
	if !ruled && containsAny(status, racing...) {
		return reconcile.FaultLostRace
	}
	said := strings.ToLower(status + " " + words)
	switch {
	case containsAny(said, persons...):
		return reconcile.FaultDeclined
	case containsAny(said, signatures...):
		return reconcile.FaultWantsSignature
	case containsAny(said, pullRequests...):
		return reconcile.FaultWantsPullRequest
	case containsAny(said, filled...):
		return reconcile.FaultQuota
	case containsAny(said, resting...):
		return reconcile.FaultReadOnly
	case !ruled && raced.MatchString(words):
		return reconcile.FaultLostRace
	case ruled, containsAny(said, refusing...):
		return reconcile.FaultDeclined
	}
	return ""
}

func containsAny(s string, any ...string) bool {
	s = strings.ToLower(s)
	return slices.ContainsFunc(any, func(a string) bool { return strings.Contains(s, a) })
}
