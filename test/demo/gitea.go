package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"code.gitea.io/sdk/gitea"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/giteaserver"
)

// jane is a person with a login at Gitea.
const jane = "jane"

// forge is a real Gitea that has the repository, whose deployed branch is protected: image automation may push to it,
// and Backstop's policy wants pull requests.
type forge struct {
	server *giteaserver.Server
	repo   *giteaserver.Repository
}

// gitea starts a real Gitea in the place of the plain Git server, and makes the repository there.
func (w *world) gitea(ctx context.Context, bin string) error {
	w.say("starting a real Gitea, whose main branch is protected")
	dir := filepath.Join(w.dir, "gitea")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	s, err := giteaserver.Start(ctx, giteaserver.Options{Bin: bin, Dir: dir})
	if err != nil {
		return err
	}
	w.later(s.Kill)
	if err := s.Users(ctx, gitUser, jane); err != nil {
		return err
	}
	repo, err := s.Create(ctx, "fleet", gitUser, jane)
	if err != nil {
		return err
	}
	w.forge = &forge{s, repo}
	w.gitURL, w.password, w.bare = s.URL+repo.Path(), giteaserver.Password, repo.Dir
	w.say("Gitea is at %s; log in as %s with %s", s.URL, jane, giteaserver.Password)
	return nil
}

// protect lets nobody push to main but image automation.
func (w *world) protect(ctx context.Context) error {
	return w.forge.repo.Protect(ctx, "main", func(o *gitea.CreateBranchProtectionOption) {
		o.EnablePush, o.EnablePushWhitelist, o.PushWhitelistUsernames = true, true, []string{gitUser}
	})
}

// opened waits for the pull request of an image.
func (w *world) opened(image string) chapter {
	return w.rollback(image, func(s *v1alpha1.RollbackStatus) (string, bool) {
		if !s.PullRequest.IsOpen() {
			return s.Phase, false
		}
		return fmt.Sprintf("opened: %s, which waits for %s", s.PullRequest.URL,
			v1alpha1.WaitsFor(s.PullRequest.WaitsFor)), true
	})
}

// lifting waits for the pull request that lifts the hold, which a person merges.
func (w *world) lifting(ctx context.Context, image string) error {
	var number int64
	err := w.tell(ctx, w.rollback(image, func(s *v1alpha1.RollbackStatus) (string, bool) {
		if !s.LiftPullRequest.IsOpen() {
			return "no pull request lifts the hold", false
		}
		number = s.LiftPullRequest.Number
		return "opened to lift the hold: " + s.LiftPullRequest.URL, true
	}))
	if err != nil {
		return err
	}
	if w.byHand {
		w.say("merge it in the browser")
		return nil
	}
	api, err := w.forge.server.As(ctx, jane)
	if err != nil {
		return err
	}
	return w.tell(ctx, chapter{limit: time.Minute, until: func(context.Context) (string, bool, error) {
		done, _, err := api.MergePullRequest(w.forge.repo.Owner, w.forge.repo.Name, number,
			gitea.MergePullRequestOption{Style: gitea.MergeStyleSquash})
		return "Jane Doe merges it at Gitea", done && err == nil, err
	}})
}
