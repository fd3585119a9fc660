package deliver_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/deliver"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/test/forgestub"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// opensByOptions is what GitLab makes of push options: a merge request, for which it keeps a reference. It answers
// nothing else, as an SSH key sees nothing else of it.
const opensByOptions = `while read old new ref; do
  i=0
  while [ $i -lt "${GIT_PUSH_OPTION_COUNT:-0}" ]; do eval echo "\"\$GIT_PUSH_OPTION_$i\"" >>asked; i=$((i+1)); done
  if [ "$ref" != refs/heads/main ] && [ "${GIT_PUSH_OPTION_COUNT:-0}" -gt 0 ]; then git update-ref refs/merge-requests/7/head $new; fi
done`

// keyed is a cluster that logs in with an SSH key, at a GitLab.
func keyed(t *testing.T, f *forgestub.Forge, name string) *cluster {
	t.Helper()
	s, err := gitserver.StartSSH(f.Root, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c := aCluster(t, f, name)
	c.src.URL = s.URL + "/" + forgestub.Project + ".git"
	c.src.Auth = reconcile.Auth{Secret: map[string][]byte{"identity": s.Identity, "known_hosts": s.KnownHosts}}
	// What the host is called by is only known to whoever asks it.
	dial := func(src reconcile.Source) (*reconcile.GitServer, error) {
		if len(src.Auth.Secret) > 0 {
			return gitrepo.API(src, nil)
		}
		return server(f.RepoURL(), ""), nil
	}
	if c.api, err = deliver.NewForges(dial, c.git).Forge(t.Context(), c.src, ""); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAnSSHKeyOpensAMergeRequestByAPush(t *testing.T) {
	f := broken(t, forgestub.Options{Kind: forgestub.GitLab, Protected: true}, 2)
	if _, err := f.Git("config", "receive.advertisePushOptions", "true"); err != nil {
		t.Fatal(err)
	}
	if err := gitserver.Hook(f.Repo, "post-receive", opensByOptions); err != nil {
		t.Fatal(err)
	}
	var first *reconcile.PullRequest
	// A second cluster, and a process that begins anew, find it by its commit.
	for _, name := range []string{"east", "west", "east"} {
		c := keyed(t, f, name)
		pr, err := c.delivers([]reconcile.Revert{c.revert(name, "app-00")})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if first == nil {
			first = pr
		}
		if pr.Number != 7 || pr.Head != first.Head || !strings.HasSuffix(pr.URL, "/acme/fleet/-/merge_requests/7") {
			t.Errorf("%s has %+v", name, pr)
		}
		// What becomes of it Git does not show, and nothing is merged or closed by the key.
		for what, call := range map[string]func() error{
			"read":  func() error { _, err := c.api.Read(t.Context(), 7); return err },
			"merge": func() error { _, err := c.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head}); return err },
			"close": func() error { return c.api.Close(t.Context(), pr, "it is over") },
		} {
			if err := call(); reconcile.KindOf(err) != reconcile.FaultNotFound || !strings.Contains(err.Error(), "SSH key") {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	asked, err := os.ReadFile(filepath.Join(f.Repo, "asked"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(asked)), "\n")
	for _, want := range []string{"merge_request.create=", "merge_request.target=main", "merge_request.title=Revert reg.example/app-00:" + tagBad} {
		if !slices.Contains(lines, want) {
			t.Errorf("it was not asked for %q, but\n%s", want, asked)
		}
	}
	if n := strings.Count(string(asked), "merge_request.create="); n != 1 {
		t.Errorf("it was asked %d times:\n%s", n, asked)
	}
	// Another image of the commit joins it.
	c := keyed(t, f, "east")
	pr, err := c.delivers([]reconcile.Revert{c.revert("east", "app-00"), c.revert("east", "app-01")})
	if err != nil || pr.Number != 7 || pr.Head == first.Head {
		t.Errorf("it is %+v, %v", pr, err)
	}
}

func TestAServerThatTakesNoPushOptions(t *testing.T) {
	f := broken(t, forgestub.Options{Kind: forgestub.GitLab, Protected: true}, 1)
	c := keyed(t, f, "east")
	_, err := c.delivers([]reconcile.Revert{c.revert("east", "app-00")})
	if reconcile.KindOf(err) != reconcile.FaultNoProvider || !strings.Contains(err.Error(), "takes no push options") {
		t.Errorf("it says %v", err)
	}
}

func TestAnSSHKeyOpensNothingAtGitHub(t *testing.T) {
	f, err := forgestub.Start(forgestub.Options{Kind: forgestub.GitHub})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	dial := func(src reconcile.Source) (*reconcile.GitServer, error) {
		if len(src.Auth.Secret) > 0 {
			return gitrepo.API(src, nil)
		}
		return server(f.RepoURL(), ""), nil
	}
	src := reconcile.Source{URL: "ssh://git@git.example/acme/fleet.git", Auth: reconcile.Auth{Secret: map[string][]byte{"identity": []byte("a key")}}}
	_, err = deliver.NewForges(dial, &agit{}).Forge(t.Context(), src, "")
	if reconcile.KindOf(err) != reconcile.FaultUnauthorized || !strings.Contains(err.Error(), "an API token is needed beside it") {
		t.Errorf("it says %v", err)
	}
}

// agit is a Gitea's Git server, as far as pull requests go.
type agit struct {
	head     string
	number   int64
	asked    []string
	options  []string
	refuses  error
	anothers bool
}

func (a *agit) Proposed(context.Context, reconcile.Source, string) (string, int64, error) {
	return a.head, a.number, nil
}

func (a *agit) Request(_ context.Context, _ reconcile.Source, branch, ref string, options []string) error {
	a.asked, a.options = append(a.asked, branch+" to "+ref), options
	if a.anothers || a.refuses == nil {
		a.number = 4
	}
	return a.refuses
}

func TestAnSSHKeyOpensAPullRequestAtGiteaByAPush(t *testing.T) {
	f, err := forgestub.Start(forgestub.Options{Kind: forgestub.Gitea})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	dial := func(reconcile.Source) (*reconcile.GitServer, error) { return server(f.RepoURL(), ""), nil }
	src := reconcile.Source{URL: "ssh://git@git.example/acme/fleet.git"}
	for name, tt := range map[string]struct {
		there *agit
		asked int
		fails bool
	}{
		"it is opened":               {&agit{head: "a1"}, 1, false},
		"it is there":                {&agit{head: "a1", number: 4}, 0, false},
		"another cluster was faster": {&agit{head: "a1", refuses: errors.New("new commit is same with old commit"), anothers: true}, 1, false},
		"the server refuses it":      {&agit{head: "a1", refuses: reconcile.RefuseAs(reconcile.FaultDeclined, "no")}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			api, err := deliver.NewForges(dial, tt.there).Forge(t.Context(), src, "")
			if err != nil {
				t.Fatal(err)
			}
			pr, err := api.Find(t.Context(), branch, "main")
			if err == nil && pr == nil {
				pr, err = api.Open(t.Context(), proposal())
			}
			if (err != nil) != tt.fails || err == nil && (pr.Number != 4 || !strings.HasSuffix(pr.URL, "/acme/fleet/pulls/4")) {
				t.Fatalf("it is %+v, %v", pr, err)
			}
			if len(tt.there.asked) != tt.asked || tt.asked > 0 && tt.there.asked[0] != branch+" to refs/for/main/"+branch {
				t.Errorf("the server was asked %q", tt.there.asked)
			}
		})
	}
}
