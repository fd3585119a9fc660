package v1alpha1

// PullRequestProvider is who serves pull requests.
//
// +kubebuilder:validation:Enum=GitHub;GitLab;Gitea
type PullRequestProvider string

// PullRequestPolicy says where pull requests are opened.
type PullRequestPolicy struct {
	// Provider of the repository; Gitea is Forgejo too. Empty finds it out from the host.
	// +optional
	Provider PullRequestProvider `json:"provider,omitempty"`
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
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// PullRequest is the way of a revert whose branch takes no push. It changes until the revert has landed.
type PullRequest struct {
	// Because is what the server said to the push.
	// +kubebuilder:validation:MaxLength=1024
	Because string `json:"because"`
	// Number and URL of it; empty until it is opened.
	// +optional
	Number int64 `json:"number,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url,omitempty"`
	// Branch that it brings.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Branch string `json:"branch,omitempty"`
	// State of it, as it was last seen.
	// +optional
	State PullRequestState `json:"state,omitempty"`
	// WaitsFor is what it waited for when it was last seen.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	WaitsFor []PullRequestWait `json:"waitsFor,omitempty"`
	// By is who merged or closed it, where the provider says so.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	By string `json:"by,omitempty"`
	// At is when it was wanted, and then when it was opened.
	At Time `json:"at"`
}
