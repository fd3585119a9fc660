package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
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
	// The user says that the tokens are for this server.
	for _, name := range []string{"GH_HOST", "GITLAB_HOST", "GITEA_SERVER_URL"} {
		t.Setenv(name, f.URL)
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

// A token of the user's goes where the user wants it, whatever server a repository or an object of a tenant names.
func TestTokenOfAProvidersCommandLine(t *testing.T) {
	type env map[string]string
	at := func(p deliver.Provider, api string) deliver.Repository {
		return deliver.Repository{Provider: p, API: api}
	}
	const dotcom, acme, evil = "https://api.github.com", "https://git.acme.example", "https://gitlab.evil.example"
	for name, tt := range map[string]struct {
		where deliver.Repository
		env   env
		flag  bool
		want  string
		says  string
	}{
		"gh":                               {where: at(deliver.GitHub, dotcom), env: env{"GITHUB_TOKEN": "b", "GH_TOKEN": "a"}, want: "a"},
		"gh at a tenant":                   {where: at(deliver.GitHub, "https://api.acme.ghe.com"), env: env{"GITHUB_TOKEN": "b"}, want: "b"},
		"not by http":                      {where: at(deliver.GitHub, "http://api.acme.ghe.com"), env: env{"GITHUB_TOKEN": "b"}},
		"gh at a server":                   {where: at(deliver.GitHub, acme+"/api/v3"), env: env{"GH_TOKEN": "a", "GH_ENTERPRISE_TOKEN": "b", "GH_HOST": "git.acme.example"}, want: "b"},
		"github.com's stays there":         {where: at(deliver.GitHub, acme+"/api/v3"), env: env{"GH_TOKEN": "a"}},
		"a server that nobody named":       {where: at(deliver.GitHub, acme+"/api/v3"), env: env{"GH_ENTERPRISE_TOKEN": "b"}, says: "GH_ENTERPRISE_TOKEN is not sent to https://git.acme.example, which only the repository names: set GH_HOST to it, or give --provider and --api-url"},
		"another than the one":             {where: at(deliver.GitHub, acme+"/api/v3"), env: env{"GH_ENTERPRISE_TOKEN": "b", "GH_HOST": "git.other.example"}, says: "is not sent to"},
		"in GitHub's own runs":             {where: at(deliver.GitHub, acme+"/api/v3"), env: env{"GITHUB_ENTERPRISE_TOKEN": "b", "GITHUB_SERVER_URL": acme}, want: "b"},
		"a flag names it":                  {where: at(deliver.GitHub, acme+"/api/v3"), env: env{"GH_ENTERPRISE_TOKEN": "b"}, flag: true, want: "b"},
		"glab":                             {where: at(deliver.GitLab, "https://gitlab.com"), env: env{"GITLAB_ACCESS_TOKEN": "a", "GH_TOKEN": "b"}, want: "a"},
		"a host with gitlab in its name":   {where: at(deliver.GitLab, evil), env: env{"GITLAB_TOKEN": "a"}, says: "GITLAB_TOKEN is not sent to https://gitlab.evil.example"},
		"one whose name begins the same":   {where: at(deliver.GitLab, "https://git.acme.example.evil.example"), env: env{"GITLAB_TOKEN": "a", "GITLAB_HOST": "git.acme.example"}, says: "is not sent"},
		"another port":                     {where: at(deliver.GitLab, acme+":8443"), env: env{"GITLAB_TOKEN": "a", "GITLAB_HOST": acme}, says: "is not sent"},
		"plain http of one named by https": {where: at(deliver.GitLab, "http://git.acme.example"), env: env{"GITLAB_TOKEN": "a", "GITLAB_HOST": "git.acme.example"}, says: "is not sent"},
		"gitlab.com, and another is named": {where: at(deliver.GitLab, "https://gitlab.com"), env: env{"GITLAB_TOKEN": "a", "GITLAB_HOST": "git.acme.example"}, says: "is not sent"},
		"glab at a server":                 {where: at(deliver.GitLab, acme), env: env{"GITLAB_TOKEN": "a", "GITLAB_HOST": "git.ACME.example"}, want: "a"},
		"in GitLab's own runs":             {where: at(deliver.GitLab, acme), env: env{"GITLAB_TOKEN": "a", "CI_SERVER_URL": acme}, want: "a"},
		"tea":                              {where: at(deliver.Gitea, "https://codeberg.org"), env: env{"GITEA_SERVER_TOKEN": "a"}, want: "a"},
		"tea at a server":                  {where: at(deliver.Gitea, acme), env: env{"GITEA_SERVER_TOKEN": "a", "GITEA_SERVER_URL": acme}, want: "a"},
		"none":                             {where: at(deliver.Gitea, acme), env: env{"GITLAB_TOKEN": "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tokenFor(tt.where, tt.flag, func(k string) string { return tt.env[k] })
			if got.token != tt.want || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %q, %v, want %q, %q", got.token, err, tt.want, tt.says)
			}
		})
	}
}

// What a tenant's GitRepository says of proxies and certificates is for the tenant's own credentials.
func TestTheUsersTokenGoesThroughNoTenantsProxy(t *testing.T) {
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		asked = append(asked, req.Host+" "+req.Header.Get("Authorization"))
	}))
	defer proxy.Close()
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer api.Close()
	r := &remote{}
	r.origin.Source.URL, r.origin.Source.Branch = api.URL+"/acme/fleet.git", "main"
	r.origin.Source.Auth = reconcile.Auth{Proxy: map[string][]byte{"address": []byte(proxy.URL)},
		Secret: map[string][]byte{"ca.crt": []byte("a tenant's")}}
	server, err := r.server("secret")
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := server.Client.Do(req); err == nil {
		resp.Body.Close()
	}
	if len(asked) > 0 {
		t.Errorf("the tenant's proxy is asked: %q", asked)
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
