package main

import (
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/deliver"
	"github.com/backstop-dev/backstop/test/forgestub"
)

// protected is a provider whose main takes no push, on which image automation wrote a bad tag, and a clone of it.
func protected(t *testing.T, kind forgestub.Kind) (f *forgestub.Forge, dir string) {
	t.Helper()
	f, err := forgestub.Start(forgestub.Options{Kind: kind, Protected: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	for _, tag := range []string{"v1.0.0", "v1.1.0"} {
		_, err := f.Commit("main", "Update from image update automation", map[string]string{"apps/production/backend.yaml": "apiVersion: apps/v1\n" +
			"kind: Deployment\nmetadata: {name: backend, namespace: production}\nspec:\n  template:\n    spec:\n      containers:\n" +
			"        - name: backend\n          image: ghcr.io/acme/backend:" + tag + " # {\"$imagepolicy\": \"production:backend\"}\n"})
		if err != nil {
			t.Fatal(err)
		}
	}
	dir = filepath.Join(t.TempDir(), "work")
	origin := strings.Replace(f.RepoURL(), "://", "://"+forgestub.Bot+":"+forgestub.Token+"@", 1)
	for _, args := range [][]string{{"clone", "-q", origin, dir}, {"-C", dir, "config", "user.name", "Jane"},
		{"-C", dir, "config", "user.email", "jane@example.com"}} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	for _, name := range []string{"GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "GITLAB_TOKEN",
		"GITLAB_ACCESS_TOKEN", "OAUTH_TOKEN", "GITEA_SERVER_TOKEN", "GITEA_TOKEN"} {
		t.Setenv(name, "")
	}
	return f, dir
}

func TestRevertOpensAPullRequest(t *testing.T) {
	for kind, variable := range map[forgestub.Kind]string{
		forgestub.GitHub: "GH_ENTERPRISE_TOKEN", forgestub.GitLab: "GITLAB_TOKEN", forgestub.Gitea: "GITEA_SERVER_TOKEN",
	} {
		t.Run(string(kind), func(t *testing.T) {
			f, dir := protected(t, kind)
			code, _, errs := call(t, "revert", "deploy/backend", "--repo", dir, "--push")
			if code != exitError || !strings.Contains(strings.ToLower(errs), "protected") {
				t.Errorf("a push ends with %d: %s", code, errs)
			}
			code, _, errs = call(t, "revert", "deploy/backend", "--repo", dir, "--pull-request")
			if code != exitError || !strings.Contains(errs, "GH_TOKEN, GITLAB_TOKEN, GITEA_SERVER_TOKEN") || len(f.PRs()) > 0 {
				t.Errorf("without a token it ends with %d: %s", code, errs)
			}
			t.Setenv(variable, forgestub.Token)
			code, out, errs := call(t, "revert", "deploy/backend", "--repo", dir, "--pull-request")
			if code != exitOK || !strings.Contains(errs, "Opened at "+string(kind)) {
				t.Fatalf("exit code %d: %s", code, errs)
			}
			suspect, err := f.Git("rev-parse", "main")
			if err != nil {
				t.Fatal(err)
			}
			pr := f.PRs()[0]
			if pr.Branch != "backstop/revert-"+suspect[:12] || pr.Base != "main" ||
				pr.Title != "Revert v1.1.0 of backend in apps/production" || !slices.Equal(pr.Labels, []string{"backstop"}) {
				t.Errorf("it is %+v", pr)
			}
			for _, want := range []string{"`ghcr.io/acme/backend:v1.0.0`", "`production:backend`", "This reverts commit " + suspect + ".",
				"Backstop-Kind: Revert"} {
				if !strings.Contains(pr.Body, want) {
					t.Errorf("the body does not say %q:\n%s", want, pr.Body)
				}
			}
			if !strings.Contains(out, "http://127.0.0.1:") || strings.Contains(out+errs, forgestub.Token) {
				t.Errorf("it prints %s%s", out, errs)
			}
			code, _, errs = call(t, "revert", "deploy/backend", "--repo", dir, "--pull-request", "--auto-merge")
			if code != exitOK || !strings.Contains(errs, "It is open already.") || !strings.Contains(errs, "Merged.") || len(f.PRs()) != 1 {
				t.Errorf("the second time it ends with %d: %s", code, errs)
			}
			got, err := f.Git("show", "main:apps/production/backend.yaml")
			if err != nil || !strings.Contains(got, "backend:v1.0.0 # backstop:hold not=v1.1.0") {
				t.Errorf("main says %s, %v", got, err)
			}
		})
	}
}

func TestRevertLeavesTheMergeToTheProvider(t *testing.T) {
	f, dir := protected(t, forgestub.GitLab)
	t.Setenv("GITLAB_TOKEN", forgestub.Token)
	f.SetRules(forgestub.Rules{Checks: []string{"ci"}})
	code, _, errs := call(t, "revert", "deploy/backend", "--repo", dir, "--pull-request", "--auto-merge")
	if code != exitOK || !strings.Contains(errs, "It waits for a check (ci). The provider merges it then.") || !f.PRs()[0].Armed {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestPullRequestsThatCannotBeOpened(t *testing.T) {
	for origin, want := range map[string]string{
		"":                                     "has no remote origin",
		"/srv/git/fleet.git":                   "origin leads to no server",
		"https://bitbucket.org/acme/fleet.git": "Bitbucket, whose pull requests Backstop does not open",
	} {
		t.Run(want, func(t *testing.T) {
			_, dir := protected(t, forgestub.Gitea)
			args := []string{"-C", dir, "remote", "set-url", "origin", origin}
			if origin == "" {
				args = []string{"-C", dir, "remote", "remove", "origin"}
			}
			if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			code, _, errs := call(t, "revert", "deploy/backend", "--repo", dir, "--pull-request")
			if code != exitError || !strings.Contains(errs, want) {
				t.Errorf("exit code %d: %s", code, errs)
			}
		})
	}
}

func TestTokenOfAProvidersCommandLine(t *testing.T) {
	const dotcom = "https://api.github.com"
	for name, tt := range map[string]struct {
		where deliver.Repository
		env   map[string]string
		want  string
	}{
		"gh":                       {deliver.Repository{Provider: deliver.GitHub, API: dotcom}, map[string]string{"GITHUB_TOKEN": "b", "GH_TOKEN": "a"}, "a"},
		"gh at a tenant":           {deliver.Repository{Provider: deliver.GitHub, API: "https://api.acme.ghe.com"}, map[string]string{"GITHUB_TOKEN": "b"}, "b"},
		"gh at a server":           {deliver.Repository{Provider: deliver.GitHub, API: "https://git.acme.example/api/v3"}, map[string]string{"GH_TOKEN": "a", "GH_ENTERPRISE_TOKEN": "b"}, "b"},
		"github.com's stays there": {deliver.Repository{Provider: deliver.GitHub, API: "https://git.acme.example/api/v3"}, map[string]string{"GH_TOKEN": "a"}, ""},
		"glab":                     {deliver.Repository{Provider: deliver.GitLab}, map[string]string{"GITLAB_ACCESS_TOKEN": "a", "GH_TOKEN": "b"}, "a"},
		"tea":                      {deliver.Repository{Provider: deliver.Gitea}, map[string]string{"GITEA_SERVER_TOKEN": "a"}, "a"},
		"none":                     {deliver.Repository{Provider: deliver.Gitea}, map[string]string{"GITLAB_TOKEN": "a"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := tokenFor(tt.where, func(k string) string { return tt.env[k] }); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// pushedTo is a pull request whose branch somebody pushed to after it was opened.
type pushedTo struct {
	reconcile.Forge
	merged bool
}

func (p *pushedTo) Read(_ context.Context, number int64) (*reconcile.PullRequest, error) {
	return &reconcile.PullRequest{Number: number, Head: "theirs", Merge: reconcile.MergeClean}, nil
}

func (p *pushedTo) Merge(context.Context, *reconcile.PullRequest, reconcile.MergeOrder) (reconcile.Merging, error) {
	p.merged = true
	return reconcile.MergingDone, nil
}

func TestNothingIsMergedThatSomebodyPushedMeanwhile(t *testing.T) {
	for head, merges := range map[string]bool{"ours": false, "theirs": true, "": true} {
		p := &pushedTo{}
		err := merge(t.Context(), streams{out: io.Discard, err: io.Discard}, p, &reconcile.PullRequest{Number: 7, Head: head})
		if p.merged != merges || (err == nil) != merges {
			t.Errorf("opened at %q it is merged %v, %v", head, p.merged, err)
		}
	}
}
