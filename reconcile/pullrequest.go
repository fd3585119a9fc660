package reconcile

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// GitServer is the way to the API beside a Git server: over the connection that Git takes there, with the same
// certificates, proxy and redirects, and with the same credentials.
type GitServer struct {
	// URL of the repository, without credentials.
	URL string
	// Source names whose credentials they are, for sentences.
	Source string
	// Client connects. It sends no credentials by itself.
	Client *http.Client
	// Login gives the credentials: a token, alone or as a user's password. A Refusal says what is missing.
	Login func(ctx context.Context) (user, token string, err error)
	// Permissions are those of a GitHub App's installation, as GitHub names them; nil for other logins.
	Permissions func(ctx context.Context) (map[string]string, error)
	// Clean makes one harmless line of at most n characters of what the server says.
	Clean func(words string, n int) string
	// Timeout of one request.
	Timeout time.Duration
}

// Mergeability is what a provider says of merging a pull request now.
type Mergeability string

// The answers of a provider.
const (
	// MergeClean: nothing that the provider knows stands against it.
	MergeClean Mergeability = "Clean"
	// MergeWaits: it waits for what the pull request's waits say, or for the provider to find out.
	MergeWaits Mergeability = "Waits"
	// MergeConflicts: it does not merge with its base as it is.
	MergeConflicts Mergeability = "Conflicts"
)

// PullRequest is a pull request, or a merge request, as its provider has it.
type PullRequest struct {
	// Number in its repository, and URL for people.
	Number int64
	URL    string
	State  v1alpha1.PullRequestState
	// Title and Body as they stand there now.
	Title, Body string
	// Branch that it brings, with its newest commit, and Base, where that goes to.
	Branch, Head, Base string
	// Merge reports whether it may be merged, and Waits for what it waits.
	Merge Mergeability
	Waits []v1alpha1.PullRequestWait
	// Armed means that the provider merges it by itself once it may.
	Armed bool
	// By is who merged or closed it; empty where the provider does not say.
	By string
	// ID is what else the provider calls it by.
	ID string
}

// Proposal is a pull request to be opened.
type Proposal struct {
	Branch, Base string
	Story        Story
	// Before are the messages of the commits that its branch had before, of which its title may be.
	Before []string
}

// Story is what a pull request tells: the facts of the card, as plain texts. All of it may be foreign.
type Story struct {
	// Image that is reverted, and Target, what it is reverted to; empty where whole files go back.
	Image, Target string
	// Commit that brought it in, by whom, and the first line of its message.
	Commit, Author, Subject string
	// Changes are the places that change; Left says of others why they stay.
	Changes []StoryChange
	Left    []string
	// Failures are what the cluster saw; none where a person asked for the revert without one.
	Failures []StoryFailure
	// Workloads that run the image, as far as they are known.
	Workloads []string
	// Held are the policies of image automation that are held, and ByPerson says that a person lifts the hold, not a newer
	// image.
	Held     []string
	ByPerson bool
	// Followed means that a sidecar follows the pull request.
	Followed bool
	// Lifts means that a hold is taken away, and nothing is reverted: Author is why then, and Target what is selected.
	Lifts bool
	// Message of the revert's commit, whose last paragraph holds its trailers.
	Message string
}

// StoryChange is a place whose value goes back; without values it is a whole file.
type StoryChange struct{ File, From, To string }

// MergeOrder says how a pull request is merged.
type MergeOrder struct {
	// Head is the commit that was looked at: with another one nothing is merged.
	Head string
	// Title and Message of the commit, where one is made.
	Title, Message string
	// Arm has the provider merge it by itself once it may, where it may not now.
	Arm bool
}

// Merging is what became of an order to merge.
type Merging string

// What becomes of an order to merge.
const (
	// MergingDone: it is merged.
	MergingDone Merging = "Done"
	// MergingArmed: the provider merges it by itself once it may, or it stands in the provider's queue.
	MergingArmed Merging = "Armed"
)

// Forge opens and follows the pull requests of one repository. Its errors are of a kind: NotFound (or not visible to
// the credentials), Unauthorized, Forbidden (the sentence names the right that is missing), HeadMoved, NotYet, Never; a
// RetryAfter says until when the provider answers nobody.
type Forge interface {
	Reader
	// Open opens a pull request; where one is open for the branch already, it gives that one.
	Open(ctx context.Context, p Proposal) (*PullRequest, error)
	// Update has a pull request that is open tell what a proposal tells beyond it. What stands there stays.
	Update(ctx context.Context, pr *PullRequest, p Proposal) error
	// Merge merges a pull request, by no way around a rule.
	Merge(ctx context.Context, pr *PullRequest, order MergeOrder) (Merging, error)
	// Disarm tells the provider to merge a pull request no longer by itself, or that it stands in a queue.
	Disarm(ctx context.Context, pr *PullRequest) error
	// Verify has the provider sign what Backstop put on a branch that is at a head still, and gives its head then. Where
	// the login does not let it, Verifies says so, and the head is left.
	Verify(ctx context.Context, branch, head string) (string, error)
	// Close closes a pull request without a merge, and then explains why in a comment. One that is not open is left as it
	// is.
	Close(ctx context.Context, pr *PullRequest, why string) error
}

// Reader is what of a Forge changes nothing.
type Reader interface {
	// Find gives the pull request that brings a branch to a base, or to any where that is empty: the open one, else the
	// newest; nil for none.
	Find(ctx context.Context, branch, base string) (*PullRequest, error)
	// Read reads a pull request anew.
	Read(ctx context.Context, number int64) (*PullRequest, error)
	// Forget has the next Read ask the provider, however short ago it was asked.
	Forget(number int64)
	// WantsPullRequest reports whether the rules of a branch take a pull request and no push of these credentials; nil
	// where the provider does not tell.
	WantsPullRequest(ctx context.Context, branch string) (*bool, error)
	// Opened gives the pull requests that are open to a branch, with what they change: the newest ones, as far as is read.
	Opened(ctx context.Context, base string) (Opened, error)
	// Verifies reports whether the provider signs what is committed with the login.
	Verifies(ctx context.Context) bool
	// Rights says what the credentials may do, as far as the provider shows it.
	Rights(ctx context.Context) (Rights, error)
}

// Opened are the pull requests that are open to a branch.
type Opened struct {
	PullRequests []Incoming
	// More means that there are others, which were not read.
	More bool
}

// Incoming is an open pull request with what it changes.
type Incoming struct {
	PullRequest
	// Fork means that its branch is another repository's. Whole says that all that it changes was read.
	Fork, Whole bool
	Files       []FileChange
}

// FileChange is what a pull request changes in one file: lines, without the signs before them, in their order.
type FileChange struct {
	File           string
	Added, Removed []string
}

// Rights are what credentials may do in a repository, as far as its provider shows it.
type Rights struct {
	// Shut explains why nobody can open a pull request, whatever the credentials; empty where one can be opened.
	Shut string
	// Lacks are rights that it takes and that the credentials have not, Unshown those that the provider does not show.
	Lacks, Unshown []string
	// Misses are rights that it goes without, and what Backstop does not do then.
	Misses []string
	// Needs says what it takes, as the provider names it.
	Needs string
	// Ends is when the credentials end; zero where that is never, or not shown.
	Ends time.Time
}

// Asker is a Forge whose pull requests are asked for by options of the push that brings their branch.
type Asker interface {
	Asks(p Proposal) []string
}

// askedBy is a source whose pushes to the branch of a proposal ask for its pull request, where the forge is asked so.
func askedBy(src Source, forge Forge, p Proposal) Source {
	if a, is := forge.(Asker); is {
		src.Asks = a.Asks(p)
	}
	return src
}

// Pulls opens pull requests by Git alone, for a login that has no API.
type Pulls interface {
	// Proposed gives the newest commit of a branch of where a source pushes, empty where there is none, and the number of
	// the pull request that the server has of it, zero for none.
	Proposed(ctx context.Context, src Source, branch string) (head string, number int64, err error)
	// Request pushes the newest commit of a branch to a reference that stands for a pull request, with options.
	Request(ctx context.Context, src Source, branch, ref string, options []string) error
}

// Forges finds the ways to the pull requests of sources.
type Forges interface {
	// Forge gives the way to the pull requests of the repository that a source pushes to, with the source's credentials.
	// provider is who it is, where a policy names it; empty finds out. A Refusal says what is missing.
	Forge(ctx context.Context, src Source, provider v1alpha1.PullRequestProvider) (Forge, error)
}

// ProposedBranch is the branch of a suspect's pull request: one for each suspect, whoever opens it.
func ProposedBranch(commit string) string { return "backstop/revert-" + commit[:min(12, len(commit))] }

// ProposedBranchTo is its branch where the pull request of another deployed branch, which has the same suspect, has the
// first name.
func ProposedBranchTo(commit, base string) string {
	slug := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, base)
	return ProposedBranch(commit) + "-" + strings.Trim(slug[:min(40, len(slug))], "-")
}
