package v1alpha1

import "strings"

// PullRequestProvider is who serves pull requests.
//
// +kubebuilder:validation:Enum=GitHub;GitLab;Gitea
type PullRequestProvider string

// PullRequestPolicy says where pull requests are opened, and how they are merged.
type PullRequestPolicy struct {
	// Provider of the repository; Gitea is Forgejo too. Empty finds it out from the host.
	// +optional
	Provider PullRequestProvider `json:"provider,omitempty"`
	// SecretRef names a Secret in the policy's namespace with a login for the provider's API, where that of the
	// GitRepository opens no pull requests: token or bearerToken, username and password, or a GitHub App's keys.
	// +optional
	SecretRef *LocalRef `json:"secretRef,omitempty"`
	// AutoMerge has the provider merge what is allowed by itself, once its rules let it. Without it Backstop merges when
	// the provider says that nothing is missing.
	// +optional
	AutoMerge bool `json:"autoMerge,omitempty"`
	// CloseAutomations has Backstop close open pull requests that bring again what it reverted, where all that they
	// change is what image automation writes. Others, and all without it, are named for people.
	// +optional
	CloseAutomations bool `json:"closeAutomations,omitempty"`
}

// ReturningLeft is why a pull request that brings again what was reverted is left open.
//
// +kubebuilder:validation:Enum=Policy;MoreChanges;Fork;Unsure;Refused
type ReturningLeft string

// Why such a pull request is left open.
const (
	// LeftByPolicy: the policies do not say closeAutomations, or let nothing be written now.
	LeftByPolicy ReturningLeft = "Policy"
	// LeftMoreChanges: it changes more than what image automation writes.
	LeftMoreChanges ReturningLeft = "MoreChanges"
	// LeftFork: its branch is another repository's.
	LeftFork ReturningLeft = "Fork"
	// LeftUnsure: its lines do not say for certain that it is the same image, not all of it could be read, or it changed.
	LeftUnsure ReturningLeft = "Unsure"
	// LeftRefused: the provider does not close it for these credentials.
	LeftRefused ReturningLeft = "Refused"
)

// Words explains why, after "it is left open:".
func (l ReturningLeft) Words() string {
	return map[ReturningLeft]string{
		LeftByPolicy:    "the policy does not have Backstop close it",
		LeftMoreChanges: "it changes more than what image automation writes",
		LeftFork:        "its branch is another repository's",
		LeftUnsure:      "it is not certain that it brings the same image",
		LeftRefused:     "its provider does not close it for these credentials",
	}[l]
}

// Returning are open pull requests that bring again what was reverted.
type Returning struct {
	// At is when Backstop looked for them last.
	At Time `json:"at"`
	// PullRequests that were found.
	// +optional
	// +kubebuilder:validation:MaxItems=3
	PullRequests []ReturningPull `json:"pullRequests,omitempty"`
	// More counts those that were found beyond the list.
	// +optional
	More int32 `json:"more,omitempty"`
	// Unread explains why not all open pull requests could be looked at; empty where they were.
	// +optional
	// +kubebuilder:validation:MaxLength=160
	Unread string `json:"unread,omitempty"`
}

// ReturningPull is one of them.
type ReturningPull struct {
	// Number and URL of it.
	Number int64 `json:"number"`
	// +optional
	// +kubebuilder:validation:MaxLength=200
	URL string `json:"url,omitempty"`
	// State of it: Closed where Backstop closed it.
	State PullRequestState `json:"state"`
	// Left explains why it is left open; empty where it was closed.
	// +optional
	Left ReturningLeft `json:"left,omitempty"`
}

// PullRequestState is whether a pull request still waits.
//
// +kubebuilder:validation:Enum=Open;Merged;Closed
type PullRequestState string

// The states of a pull request.
const (
	PullRequestOpen   PullRequestState = "Open"
	PullRequestMerged PullRequestState = "Merged"
	PullRequestClosed PullRequestState = "Closed"
)

// PullRequestWaitKind is what a pull request waits for.
//
// +kubebuilder:validation:Enum=Review;CodeOwner;Check;Discussion;Draft;Rebase;Queue;Provider
type PullRequestWaitKind string

// What a pull request waits for.
const (
	WaitsForReview     PullRequestWaitKind = "Review"
	WaitsForCodeOwner  PullRequestWaitKind = "CodeOwner"
	WaitsForCheck      PullRequestWaitKind = "Check"
	WaitsForDiscussion PullRequestWaitKind = "Discussion"
	WaitsForDraft      PullRequestWaitKind = "Draft"
	WaitsForRebase     PullRequestWaitKind = "Rebase"
	WaitsForQueue      PullRequestWaitKind = "Queue"
	WaitsForProvider   PullRequestWaitKind = "Provider"
)

// PullRequestWait is one thing that a pull request waits for.
type PullRequestWait struct {
	// Kind of what it waits for; Provider where only the provider knows.
	Kind PullRequestWaitKind `json:"kind"`
	// Name of the person, team or check; empty where the provider names none.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name,omitempty"`
}

// PullRequest is the way of a revert whose branch takes no push, or whose policy wants one. It changes until the revert
// has landed.
type PullRequest struct {
	// Because is what the server said to the push, or that the policy wants a pull request.
	// +kubebuilder:validation:MaxLength=512
	Because string `json:"because"`
	// Number and URL of it; empty until it is opened.
	// +optional
	Number int64 `json:"number,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=512
	URL string `json:"url,omitempty"`
	// Branch that it brings.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Branch string `json:"branch,omitempty"`
	// Head is the commit of its branch that was looked at last, and Base the tip of the deployed branch then.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Head string `json:"head,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Base string `json:"base,omitempty"`
	// Own means that Head brings nothing but what Backstop put there; nothing else is merged by it.
	// +optional
	Own bool `json:"own,omitempty"`
	// Foreign says what stands on its branch that is not Backstop's: a person finishes it then.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Foreign string `json:"foreign,omitempty"`
	// Armed means that Backstop told the provider to merge it by itself.
	// +optional
	Armed bool `json:"armed,omitempty"`
	// Tried is when Backstop last told the provider to merge it, and NotMerged what that said against it.
	// +optional
	Tried *Time `json:"tried,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=512
	NotMerged string `json:"notMerged,omitempty"`
	// State of it, as it was last seen.
	// +optional
	State PullRequestState `json:"state,omitempty"`
	// WaitsFor is what it waited for when it was last seen.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	WaitsFor []PullRequestWait `json:"waitsFor,omitempty"`
	// By is who merged or closed it, where the provider says so.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	By string `json:"by,omitempty"`
	// At is when it was wanted, and then when it was opened.
	At Time `json:"at"`
	// MergedAt is when it was first seen to be merged.
	// +optional
	MergedAt *Time `json:"mergedAt,omitempty"`
	// AskedAt is the time of the spec.lift that it was opened for; empty where no person asked for one.
	// +optional
	AskedAt *Time `json:"askedAt,omitempty"`
	// Missed explains why the deployed branch does not have the lift that it brings, although it was merged.
	// +optional
	// +kubebuilder:validation:MaxLength=320
	Missed string `json:"missed,omitempty"`
}

// Spent reports that nothing comes of it any more: it was closed, or is merged and missed its branch.
func (p *PullRequest) Spent() bool {
	return p != nil && (p.State == PullRequestClosed || p.Missed != "")
}

// IsOpen reports whether a pull request is there and was open when it was last seen.
func (p *PullRequest) IsOpen() bool {
	return p != nil && p.Number > 0 && p.State == PullRequestOpen
}

// WaitsFor says what a pull request waits for.
func WaitsFor(waits []PullRequestWait) string {
	words := map[PullRequestWaitKind]string{
		WaitsForReview: "a review", WaitsForCodeOwner: "a code owner's review",
		WaitsForCheck: "a check", WaitsForDiscussion: "a discussion to be resolved",
		WaitsForDraft: "somebody to take it out of draft", WaitsForRebase: "its base, which moved",
		WaitsForQueue: "its turn in the queue", WaitsForProvider: "its provider",
	}
	var out []string
	for _, w := range waits {
		said := words[w.Kind]
		if w.Name != "" {
			said += " (" + w.Name + ")"
		}
		out = append(out, said)
	}
	if len(out) == 0 {
		return "somebody to merge it"
	}
	return strings.Join(out, ", ")
}
