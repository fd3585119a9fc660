//go:build providers

package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"code.gitea.io/sdk/gitea"
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/giteaserver"
	"github.com/backstop-dev/backstop/test/gitserver"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// The users of the Gitea: whose login the GitRepository has, and two people.
const (
	giteaBot   = "fleet-bot"
	giteaAlice = "alice"
	giteaBob   = "bob"
	// updates is the branch that image automation pushes to, since nobody may push to main.
	updates = "flux-image-updates"
)

// company is a world whose repository is at a real Gitea.
type company struct {
	*World
	server *giteaserver.Server
	repo   *giteaserver.Repository
}

// serve is a setup that stands a real Gitea in the place of the stand-in.
func (c *company) serve(t *testing.T) func(*setup) {
	return func(s *setup) {
		s.Serve = func(w *World, s *setup) (string, error) {
			var err error
			c.server, err = giteaserver.Start(t.Context(), giteaserver.Options{Bin: os.Getenv("GITEA"), Dir: t.TempDir()})
			if err != nil {
				return "", err
			}
			t.Cleanup(func() { c.server.Stop(20 * time.Second) })
			if err := c.server.Users(t.Context(), giteaBot, giteaAlice, giteaBob); err != nil {
				return "", err
			}
			c.repo, err = c.server.Create(t.Context(), "fleet", giteaBot, giteaAlice, giteaBob)
			if err != nil {
				return "", err
			}
			w.Git, w.Repo, w.Origin = &gitserver.Server{URL: c.server.URL}, c.repo.Dir, c.repo.URL(giteaAlice)
			s.Git.Username, s.Git.Password = giteaBot, giteaserver.Password
			return c.repo.Path(), nil
		}
	}
}

func (c *company) as(user string) *gitea.Client {
	c.t.Helper()
	api, err := c.server.As(c.t.Context(), user)
	c.must(err)
	return api
}

// protect takes no push to main, and a merge with so many approvals.
func (c *company) protect(approvals int64) {
	c.t.Helper()
	c.must(c.repo.Protect(c.t.Context(), fleet.Branch, func(o *gitea.CreateBranchProtectionOption) {
		o.EnablePush, o.RequiredApprovals = false, approvals
	}))
}

// aside has image automation push to a branch of its own.
func (c *company) aside() {
	c.t.Helper()
	a := Object(c.World, fleet.Get[*automationv1.ImageUpdateAutomation](c.Fleet, c.Fleet.Namespace(prod), prod))
	change(c.World, a, func(a *automationv1.ImageUpdateAutomation) {
		a.Spec.GitSpec.Push = &automationv1.PushSpec{Branch: updates}
	})
}

// updated waits for image automation to push a bad image to its branch, and merges that as Alice does.
func (c *company) updated(app, tag string) (image string) {
	c.t.Helper()
	image = c.publishBad(app, tag)
	c.scan(app)
	file := c.Fleet.File(prod, app)
	c.Until("image automation pushes "+tag+" to its branch", func() error {
		said, err := c.Alice.Git(c.t.Context(), "--git-dir="+c.Repo, "show", updates+":"+file)
		if err == nil && !strings.Contains(said, image+" ") {
			err = fmt.Errorf("it says\n%s", said)
		}
		return err
	})
	api := c.as(giteaAlice)
	pr, _, err := api.CreatePullRequest(c.repo.Owner, c.repo.Name,
		gitea.CreatePullRequestOption{Title: "Update images", Head: updates, Base: fleet.Branch})
	c.must(err)
	c.approve(giteaBob, pr.Index)
	c.merge(giteaAlice, pr.Index)
	return image
}

// approve reviews a pull request.
func (c *company) approve(user string, number int64) {
	c.t.Helper()
	_, _, err := c.as(user).CreatePullReview(c.repo.Owner, c.repo.Name, number,
		gitea.CreatePullReviewOptions{State: gitea.ReviewStateApproved, Body: "It is fine."})
	c.must(err)
}

// merge squashes a pull request as a person does.
func (c *company) merge(user string, number int64) {
	c.t.Helper()
	c.Until(fmt.Sprintf("%s merges pull request %d", user, number), func() error {
		done, _, err := c.as(user).MergePullRequest(c.repo.Owner, c.repo.Name, number,
			gitea.MergePullRequestOption{Style: gitea.MergeStyleSquash, DeleteBranchAfterMerge: new(true)})
		if err == nil && !done {
			err = fmt.Errorf("it is not merged")
		}
		return err
	})
}

func (c *company) pull(number int64) *gitea.PullRequest {
	c.t.Helper()
	pr, _, err := c.as(giteaAlice).GetPullRequest(c.repo.Owner, c.repo.Name, number)
	c.must(err)
	return pr
}

func TestRealGitea(t *testing.T) {
	c := &company{}
	c.World = world(t, quick, c.serve(t))
	r := c.room(slackstub.Options{})
	s := startSidecar(t, c.World)
	c.auto(prod, mode(v1alpha1.ModeApprove), onSlack,
		func(p *v1alpha1.RollbackPolicy) { p.Spec.Delivery = v1alpha1.DeliveryAuto })
	c.Settle()

	// A push is refused, and what was approved on Slack becomes a pull request.
	bad, asked := c.asked("backend", fleet.Tag(prod, 1))
	c.protect(0)
	r.pressed(slackstub.Jane, r.card(asked, card.Approve), card.Approve)
	done := c.ends(prod, bad, v1alpha1.ResultVerified, "runs "+c.Fleet.Image("backend", fleet.Tag(prod, 0)))
	pr := done.Status.PullRequest
	if pr == nil || !strings.Contains(pr.Because, "Not allowed to push to protected branch main") ||
		pr.State != v1alpha1.PullRequestMerged || pr.By != giteaBot || !strings.HasPrefix(pr.URL, c.server.URL) {
		t.Fatalf("the record has %+v", pr)
	}
	there := c.pull(pr.Number)
	if !there.HasMerged || len(there.Labels) != 1 || there.Labels[0].Name != "backstop" || !strings.Contains(there.Body, "`"+bad+"`") {
		t.Errorf("Gitea has %+v, with the body\n%s", there, there.Body)
	}
	if got := c.git("rev-list", "--parents", "-1", fleet.Branch); len(strings.Fields(got)) != 2 || !c.isHeld("backend", fleet.Tag(prod, 1)) {
		t.Errorf("the squash is %s, and the branch says\n%s", got, c.File(c.Fleet.File(prod, "backend")))
	}

	// Where image automation has a branch of its own nothing is pushed. A branch that wants a review is not gone around.
	c.protect(1)
	c.aside()
	second := c.updated("frontend", fleet.Tag(prod, 1))
	asked = c.until(prod, second, "asks", func(s *v1alpha1.RollbackStatus) bool { return s.Question.Allows(v1alpha1.Approve) })
	r.pressed(slackstub.Jane, r.card(asked, card.Approve), card.Approve)
	waits := c.until(prod, second, "waits for a review", func(s *v1alpha1.RollbackStatus) bool {
		return s.PullRequest != nil && strings.Contains(s.PullRequest.NotMerged, "approvals")
	})
	if got := waits.Status.PullRequest; !strings.Contains(got.Because, "pushes to "+updates+", while Flux deploys main") {
		t.Errorf("the record has %+v", got)
	}
	c.approve(giteaBob, waits.Status.PullRequest.Number)
	done = c.ends(prod, second, v1alpha1.ResultVerified, "runs "+c.Fleet.Image("frontend", fleet.Tag(prod, 0)))
	if got := done.Status.PullRequest; got.State != v1alpha1.PullRequestMerged || got.Number != waits.Status.PullRequest.Number {
		t.Errorf("the record has %+v", got)
	}

	// The hold goes the way that the revert came.
	c.backstop("lift", done.Name)
	lifts := c.until(prod, second, "lifts its hold by a pull request", func(s *v1alpha1.RollbackStatus) bool {
		return s.LiftPullRequest.IsOpen()
	})
	c.approve(giteaBob, lifts.Status.LiftPullRequest.Number)
	c.released(second, "")
	if c.isHeld("frontend", fleet.Tag(prod, 1)) {
		t.Errorf("the branch says\n%s", c.File(c.Fleet.File(prod, "frontend")))
	}
	c.noSecretIn("the sidecar's log", s.Log(), []string{giteaserver.Password})
}
