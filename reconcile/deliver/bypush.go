package deliver

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
)

// An SSH key has no API. GitLab opens a merge request by options of a push, and Gitea by a push to a reference of its
// own; what becomes of it Git does not show, but by the deployed branch, which tells when it has landed. People merge
// and close it.

// pushSoon is how long a server that opens what was pushed is waited for at first.
const pushSoon = 500 * time.Millisecond

// byPush is a repository whose pull requests are opened by what is pushed.
type byPush struct {
	where Repository
	src   reconcile.Source
	pulls reconcile.Pulls
}

var (
	_ reconcile.Forge = (*byPush)(nil)
	_ reconcile.Asker = (*byPush)(nil)
)

// pushed gives the way by pushes alone to the repository of a source that logs in with an SSH key; nil where the server
// has none.
func (f *Forges) pushed(ctx context.Context, src reconcile.Source, provider v1alpha1.PullRequestProvider,
) reconcile.Forge {
	remote := src.URL
	if src.Push != nil {
		remote = src.Push.URL
	}
	u, err := url.Parse(remote)
	web, ok := WebURL(remote)
	if f.pulls == nil || err != nil || u.Scheme != "ssh" || src.API != nil || !ok {
		return nil
	}
	// It is asked who it is without credentials.
	bare := src
	bare.URL, bare.Push = web, nil
	bare.Auth = reconcile.Auth{Proxy: src.Auth.Proxy}
	server, err := f.dial(bare)
	if err != nil {
		return nil
	}
	defer server.Client.CloseIdleConnections()
	where, err := Locate(ctx, server, Options{Provider: Provider(provider)})
	if err != nil || where.Provider != GitLab && where.Provider != Gitea {
		return nil
	}
	return &byPush{where: where, src: src, pulls: f.pulls}
}

// Asks are the options that have GitLab open a merge request. One that is open already takes the title.
func (b *byPush) Asks(p reconcile.Proposal) []string {
	if b.where.Provider != GitLab {
		return nil
	}
	return []string{"merge_request.create=", "merge_request.target=" + p.Base, "merge_request.title=" + titleOf(p.Story),
		"merge_request.description=" + b.describe(p), "merge_request.remove_source_branch="}
}

// describe is the body: one line, in which nothing is foreign.
func (b *byPush) describe(p reconcile.Proposal) string {
	if p.Story.Lifts {
		return "Image automation may write the image again. Its commit says why it was held off. Opened with an SSH key: " +
			"people merge it, or close it."
	}
	return "Reverts what commit " + text.Short(p.Story.Commit) + " brought in, and holds image automation off. Its " +
		"commits have the reasons. Opened with an SSH key: people merge it, or close it."
}

// Find gives the pull request of a branch's newest commit. Whether it is open still, Git does not show.
func (b *byPush) Find(ctx context.Context, branch, base string) (*reconcile.PullRequest, error) {
	head, number, err := b.pulls.Proposed(ctx, b.src, branch)
	if err != nil || number == 0 {
		return nil, err
	}
	path := "/-/merge_requests/"
	if b.where.Provider == Gitea {
		path = "/pulls/"
	}
	return &reconcile.PullRequest{
		Number: number, URL: fmt.Sprintf("%s/%s%s%d", b.where.API, b.where.Project, path, number),
		State: v1alpha1.PullRequestOpen, Branch: branch, Head: head, Base: base, Merge: reconcile.MergeWaits,
		Waits: []v1alpha1.PullRequestWait{{Kind: v1alpha1.WaitsForProvider}},
	}, nil
}

// Open has the server open a pull request, and finds it.
func (b *byPush) Open(ctx context.Context, p reconcile.Proposal) (*reconcile.PullRequest, error) {
	var refused error
	if b.where.Provider == Gitea {
		refused = b.request(ctx, p)
	}
	var pr *reconcile.PullRequest
	found, err := soon(ctx, pushSoon, func() (bool, error) {
		var err error
		if pr, err = b.Find(ctx, p.Branch, p.Base); pr == nil && err == nil {
			err = refused
		}
		return pr != nil, err
	})
	if found || err != nil {
		return pr, err
	}
	return nil, reconcile.RefuseAs(reconcile.FaultNotYet, "open a pull request of %s: %s was pushed, and %s shows none "+
		"for it: open it by hand, or give a token for the API (spec.pullRequest.secretRef)", b.where.Project, p.Branch,
		b.where.Provider)
}

// request pushes a branch to the reference by which Gitea opens a pull request, or adds to the one that is open.
func (b *byPush) request(ctx context.Context, p reconcile.Proposal) error {
	if err := reconcile.Permitted(ctx); err != nil {
		return err
	}
	encoded := func(s string) string { return "{base64}" + base64.StdEncoding.EncodeToString([]byte(s)) }
	return b.pulls.Request(ctx, b.src, p.Branch, "refs/for/"+p.Base+"/"+p.Branch, []string{
		"title=" + encoded(titleOf(p.Story)), "description=" + encoded(b.describe(p)), "force-push=true"})
}

// Update has Gitea's pull request follow its branch; GitLab's does by itself.
func (b *byPush) Update(ctx context.Context, _ *reconcile.PullRequest, p reconcile.Proposal) error {
	if b.where.Provider != Gitea {
		return nil
	}
	if there, err := b.Find(ctx, p.Branch, p.Base); there != nil || err != nil {
		return err
	}
	return b.request(ctx, p)
}

// unseen is what an SSH key cannot do.
func (b *byPush) unseen(what string, number int64) error {
	return reconcile.RefuseAs(reconcile.FaultNotFound, "%s pull request %d of %s: GitRepository %s logs in with an SSH "+
		"key, which has no API: people merge it or close it there", what, number, b.where.Project, b.src.Pushes())
}

// Read is not possible: what becomes of it is told by the deployed branch.
func (b *byPush) Read(_ context.Context, number int64) (*reconcile.PullRequest, error) {
	return nil, b.unseen("read", number)
}

// Merge is not possible.
func (b *byPush) Merge(_ context.Context, pr *reconcile.PullRequest, _ reconcile.MergeOrder,
) (reconcile.Merging, error) {
	return "", b.unseen("merge", pr.Number)
}

// Disarm has nothing to do: nothing is armed.
func (b *byPush) Disarm(context.Context, *reconcile.PullRequest) error { return nil }

// Close is not possible.
func (b *byPush) Close(_ context.Context, pr *reconcile.PullRequest, _ string) error {
	return b.unseen("close", pr.Number)
}

// Forget has nothing to forget.
func (b *byPush) Forget(int64) {}

// WantsPullRequest is not told: only a push tells.
func (b *byPush) WantsPullRequest(context.Context, string) (*bool, error) { return nil, nil }

// Opened is not possible.
func (b *byPush) Opened(context.Context, string) (reconcile.Opened, error) {
	return reconcile.Opened{}, reconcile.RefuseAs(reconcile.FaultNotFound, "list the pull requests of %s: an SSH key has "+
		"no API", b.where.Project)
}

// Verifies is for GitHub alone.
func (b *byPush) Verifies(context.Context) bool { return false }

// Verify leaves a branch as it is.
func (b *byPush) Verify(_ context.Context, _, head string) (string, error) { return head, nil }

// Rights says what a token would add.
func (b *byPush) Rights(context.Context) (reconcile.Rights, error) {
	return reconcile.Rights{Needs: "a token for the API in spec.pullRequest.secretRef",
		Misses: []string{"a token for the API (a pull request is opened by a push, and people merge it or close it)"}}, nil
}
