package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/deliver"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
)

// proposal is how revert opens a pull request.
type proposal struct {
	wanted, autoMerge bool
	provider, apiURL  string
}

func (p *proposal) bind(f *pflag.FlagSet) {
	f.BoolVar(&p.wanted, "pull-request", false, "push to a branch of its own and open a pull request")
	f.BoolVar(&p.autoMerge, "auto-merge", false,
		"with --pull-request: merge it, or have the provider do so once checks and reviews allow it")
	f.StringVar(&p.provider, "provider", "",
		"with --pull-request: GitHub, GitLab or Gitea (default: found out from the host)")
	f.StringVar(&p.apiURL, "api-url", "", "with --pull-request and --provider: base of the API (default: from the URL)")
}

func (p *proposal) check() error {
	switch {
	case !p.wanted && (p.autoMerge || p.provider != "" || p.apiURL != ""):
		return badUsage("--auto-merge, --provider and --api-url go with --pull-request")
	case p.apiURL != "" && p.provider == "":
		return badUsage("--api-url goes with --provider")
	}
	for _, known := range deliver.Served() {
		if strings.EqualFold(p.provider, string(known)) {
			p.provider = string(known)
			return nil
		}
	}
	switch {
	case strings.EqualFold(p.provider, "Forgejo"):
		p.provider = string(deliver.Gitea)
	case p.provider != "":
		return badUsage("--provider %s: want GitHub, GitLab, Gitea or Forgejo", oneLine(p.provider))
	}
	return nil
}

// open opens the pull request of a revert, or gives the one that is open for it.
func (p *proposal) open(ctx context.Context, std streams, repo repository, rev reconcile.Revert, plan *gitrepo.Plan,
) error {
	forge, where, err := p.forge(ctx, std, repo)
	if err != nil {
		return err
	}
	branch := reconcile.ProposedBranch(rev.Suspect.Commit)
	base := plan.Landings[0].Change.Branch
	if base == "" {
		return badUsage("--pull-request: what is deployed is no branch: give --rev BRANCH")
	}
	pr, err := forge.Find(ctx, branch, "")
	if err == nil && pr != nil && pr.Base != base {
		if pr.State == v1alpha1.PullRequestOpen {
			// It is that of another deployed branch, which has the same commit.
			branch = reconcile.ProposedBranchTo(rev.Suspect.Commit, base)
		}
		pr, err = forge.Find(ctx, branch, base)
	}
	if err != nil {
		return err
	}
	if pr != nil && pr.State == v1alpha1.PullRequestOpen {
		fmt.Fprintln(std.err, "It is open already.")
	} else {
		if base, err = repo.propose(ctx, branch, rev, plan); err != nil {
			return err
		}
		pr, err = forge.Open(ctx, reconcile.Proposal{Branch: branch, Base: base, Story: storyOf(rev, plan)})
		if err != nil {
			return err
		}
		fmt.Fprintf(std.err, "Opened at %s, from %s to %s.\n", where.Provider, branch, oneLine(base))
	}
	fmt.Fprintln(std.out, oneLine(pr.URL))
	if p.autoMerge {
		return merge(ctx, std, forge, pr)
	}
	return nil
}

// merge merges the pull request as it was opened or found, or leaves it to the provider.
func merge(ctx context.Context, std streams, forge reconcile.Forge, pr *reconcile.PullRequest) error {
	was := pr.Head
	pr, err := settled(ctx, forge, pr.Number)
	if err != nil {
		return err
	}
	if was != "" && pr.Head != was {
		return reconcile.RefuseAs(reconcile.FaultHeadMoved, "pull request %d is not merged: somebody pushed to its branch "+
			"meanwhile, look at it first", pr.Number)
	}
	done, err := forge.Merge(ctx, pr, reconcile.MergeOrder{Head: pr.Head, Arm: true})
	if err != nil {
		return err
	}
	if done == reconcile.MergingArmed {
		fmt.Fprintf(std.err, "It waits for %s. The provider merges it then.\n", v1alpha1.WaitsFor(pr.Waits))
		return nil
	}
	fmt.Fprintln(std.err, "Merged.")
	return nil
}

// settled reads a pull request until its provider has found out whether it can be merged, a few times.
func settled(ctx context.Context, forge reconcile.Forge, number int64) (*reconcile.PullRequest, error) {
	for wait := time.Second; ; wait *= 2 {
		pr, err := forge.Read(ctx, number)
		if err != nil || wait > 8*time.Second || !slices.ContainsFunc(pr.Waits, func(w v1alpha1.PullRequestWait) bool {
			return w.Kind == v1alpha1.WaitsForProvider && w.Name == ""
		}) {
			return pr, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// forge finds the provider of a repository, and the token that its own command line takes.
func (p *proposal) forge(ctx context.Context, std streams, repo repository,
) (reconcile.Forge, deliver.Repository, error) {
	server, err := repo.server("")
	if err != nil {
		return nil, deliver.Repository{}, err
	}
	where, err := deliver.Locate(ctx, server, deliver.Options{Provider: deliver.Provider(p.provider), API: p.apiURL})
	if err != nil {
		return nil, where, err
	}
	found, err := tokenFor(where, p.apiURL != "", os.Getenv)
	if err != nil {
		// The repository's own credentials may do.
		fmt.Fprintf(std.err, "%v\n", err)
	}
	if found.token != "" {
		if server, err = repo.server(found.token); err != nil {
			return nil, where, err
		}
		server.Source = "the environment's " + found.name
	}
	forge, err := deliver.Open(server, where)
	return forge, where, err
}

// storyOf is what the pull request of a revert by hand tells.
func storyOf(rev reconcile.Revert, plan *gitrepo.Plan) reconcile.Story {
	s := reconcile.Story{
		Image: rev.Image, Target: rev.Target.Image, Commit: rev.Suspect.Commit, Author: rev.Suspect.Author,
		Subject: rev.Suspect.Subject, Held: plan.Landings[0].Change.Policies,
		ByPerson: rev.Lift == v1alpha1.LiftManual,
		Left:     untouched(rev),
	}
	for _, v := range rev.Target.Values {
		n := rev.Suspect.Places[v.Index]
		s.Changes = append(s.Changes, reconcile.StoryChange{File: n.File, From: n.Bad, To: v.Value})
	}
	if len(plan.Messages) > 0 {
		s.Message = plan.Messages[0]
	}
	return s
}

// propose pushes with git itself, with the credentials of the user who runs it.
func (l *local) propose(ctx context.Context, branch string, _ reconcile.Revert, p *gitrepo.Plan) (string, error) {
	if err := p.Push(ctx, "origin", branch); err != nil {
		return "", fmt.Errorf("%w: a branch that an earlier pull request left is in the way until somebody deletes it", err)
	}
	return l.Branch(), nil
}

// server is the way to the API of origin.
func (l *local) server(token string) (*reconcile.GitServer, error) {
	cmd := exec.Command("git", "-C", l.dir, "remote", "get-url", "--push", "origin")
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.New("the repository has no remote origin: a pull request needs one")
	}
	web, ok := deliver.WebURL(string(bytes.TrimSpace(out)))
	if !ok {
		return nil, errors.New("origin leads to no server that has pull requests: give it an https or SSH URL")
	}
	src := reconcile.Source{URL: web, Branch: cmp.Or(l.Branch(), "main"), Auth: tokenAuth(token)}
	src.Name.Name = "origin"
	server, err := gitrepo.API(src, time.Now)
	if err == nil && token == "" {
		server.Login = func(context.Context) (string, string, error) {
			return "", "", reconcile.RefuseAs(reconcile.FaultUnauthorized, "no token for the API: set the variable that gh, "+
				"glab or tea take it from (GH_TOKEN, GITLAB_TOKEN, GITEA_SERVER_TOKEN)")
		}
	}
	return server, err
}

// propose pushes with the credentials of the GitRepository.
func (r *remote) propose(ctx context.Context, branch string, rev reconcile.Revert, _ *gitrepo.Plan) (string, error) {
	out, err := r.git.Propose(ctx, r.origin.Source, reconcile.Onto{Branch: branch}, []reconcile.Revert{rev})
	if err != nil {
		return "", err
	}
	return r.origin.Source.Branch, out.Landings[0].Err
}

// server is the way to the API beside the GitRepository.
func (r *remote) server(token string) (*reconcile.GitServer, error) {
	src := r.origin.Source
	if token != "" {
		if p := src.Push; p != nil {
			src.URL = p.URL
		}
		// The proxy and the certificates of the GitRepository are whose it is: they get no token of the user's.
		src.Push, src.Auth = nil, tokenAuth(token)
	}
	web, ok := deliver.WebURL(src.URL)
	ssh := web != src.URL && strings.HasPrefix(src.URL, "ssh:")
	if !ok || !ssh {
		return gitrepo.API(src, time.Now)
	}
	src.URL, src.Push = web, nil
	if token == "" {
		src.Auth = reconcile.Auth{Proxy: src.Auth.Proxy}
	}
	server, err := gitrepo.API(src, time.Now)
	if err == nil && token == "" {
		server.Login = func(context.Context) (string, string, error) {
			return "", "", reconcile.RefuseAs(reconcile.FaultUnauthorized, "%s logs in with an SSH key, which opens no pull "+
				"request: set the variable that gh, glab or tea take a token from (GH_TOKEN, GITLAB_TOKEN, GITEA_SERVER_TOKEN)",
				server.Source)
		}
	}
	return server, err
}

func tokenAuth(token string) reconcile.Auth {
	if token == "" {
		return reconcile.Auth{}
	}
	return reconcile.Auth{Secret: map[string][]byte{"bearerToken": []byte(token)}}
}

// untouched says of each place that a revert leaves why it does.
func untouched(r reconcile.Revert) []string {
	var out []string
	for i, n := range r.Suspect.Places {
		if slices.ContainsFunc(r.Target.Values, func(v v1alpha1.PlaceValue) bool { return int(v.Index) == i }) {
			continue
		}
		commit := r.Suspect.Commit
		if n.Origin != nil && n.Origin.Commit != "" {
			commit = n.Origin.Commit
		}
		out = append(out, oneLine(fmt.Sprintf("Left as it is: %s %s, which came with %s and had no value before.", n.File,
			n.Pointer, text.Short(commit))))
	}
	for _, v := range r.Suspect.Stays {
		out = append(out, oneLine(fmt.Sprintf("Left as it is: %s %s says %s behind a marker of %s, which is no part of the "+
			"image.", v.File, v.Pointer, v.Value, v.Marker)))
	}
	return out
}
