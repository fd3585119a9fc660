package reconcile

// FaultKind is what a peer's refusal is about. Code decides by it, and people read the sentence.
type FaultKind string

// The kinds of faults of a Git server.
const (
	// FaultUnauthorized: the server does not accept the credentials, or asks for some (401, an SSH key).
	FaultUnauthorized FaultKind = "Unauthorized"
	// FaultForbidden: the credentials may not do this (403).
	FaultForbidden FaultKind = "Forbidden"
	// FaultNotFound: there is no such repository or branch, or it is shown to nobody without access (404).
	FaultNotFound FaultKind = "NotFound"
	// FaultProxy: the proxy in between does not accept the credentials (407).
	FaultProxy FaultKind = "Proxy"
	// FaultConnection: the other side is not who it should be, or what is written down to reach it does not fit.
	FaultConnection FaultKind = "Connection"
	// FaultRedirected: the server sends its clients to another origin.
	FaultRedirected FaultKind = "Redirected"
	// FaultTooLarge: the server sends more than is taken from any.
	FaultTooLarge FaultKind = "TooLarge"
	// FaultQuota: a disk is full, the server's or Backstop's own.
	FaultQuota FaultKind = "Quota"
	// FaultReadOnly: the server takes nothing from anybody for now.
	FaultReadOnly FaultKind = "ReadOnly"
	// FaultLostRace: somebody else pushed first.
	FaultLostRace FaultKind = "LostRace"
	// FaultWantsPullRequest: the branch takes a pull request and no push.
	FaultWantsPullRequest FaultKind = "WantsPullRequest"
	// FaultWantsSignature: the branch takes commits with a signature that the server knows, and these have none.
	FaultWantsSignature FaultKind = "WantsSignature"
	// FaultDeclined: a hook or a rule of the server wants that a person changes something.
	FaultDeclined FaultKind = "Declined"
	// FaultNoRights: the API server does not let whoever asks read what it takes to know. It tells nothing of what is
	// there.
	FaultNoRights FaultKind = "NoRights"
	// FaultNotYet: the provider does not merge a pull request now; reviews, checks or time may change that.
	FaultNotYet FaultKind = "NotYet"
	// FaultNever: the provider does not merge a pull request as it is.
	FaultNever FaultKind = "Never"
	// FaultNotRendered: Backstop does not render it, and Flux may.
	FaultNotRendered FaultKind = "NotRendered"
	// FaultHeadMoved: the branch of a pull request is not what it was.
	FaultHeadMoved FaultKind = "HeadMoved"
	// FaultForeign: the branch of a pull request holds what is not Backstop's.
	FaultForeign FaultKind = "Foreign"
	// FaultNoProvider: the repository has no provider whose pull requests can be opened.
	FaultNoProvider FaultKind = "NoProvider"
)

// Heals reports whether the fault may be gone at another time, although nothing in Git changed: access comes back with
// a new Secret, a new source, a new Role, or by itself.
func (k FaultKind) Heals() bool {
	switch k {
	case FaultUnauthorized, FaultForbidden, FaultNotFound, FaultProxy, FaultConnection, FaultRedirected, FaultTooLarge,
		FaultQuota, FaultReadOnly, FaultNoRights, FaultNotYet, FaultHeadMoved:
		return true
	case FaultLostRace, FaultWantsPullRequest, FaultWantsSignature, FaultDeclined, FaultNever, FaultNotRendered,
		FaultForeign, FaultNoProvider:
	}
	return false
}
