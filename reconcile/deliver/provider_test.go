package deliver_test

import (
	"testing"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/deliver"
	"github.com/backstop-dev/backstop/test/forgestub"
)

func TestProviderByHost(t *testing.T) {
	for url, want := range map[string]deliver.Repository{
		"https://github.com/acme/fleet.git":          {Provider: deliver.GitHub, API: "https://api.github.com", Project: "acme/fleet"},
		"https://github.com/acme/fleet/":             {Provider: deliver.GitHub, API: "https://api.github.com", Project: "acme/fleet"},
		"https://acme.ghe.com/acme/fleet":            {Provider: deliver.GitHub, API: "https://api.acme.ghe.com", Project: "acme/fleet"},
		"https://github.acme.example/ops/fleet.git":  {Provider: deliver.GitHub, API: "https://github.acme.example/api/v3", Project: "ops/fleet"},
		"https://gitlab.com/acme/ops/deep/fleet.git": {Provider: deliver.GitLab, API: "https://gitlab.com", Project: "acme/ops/deep/fleet"},
		"https://codeberg.org/acme/fleet.git":        {Provider: deliver.Gitea, API: "https://codeberg.org", Project: "acme/fleet"},
		"https://forgejo.acme.example:3000/o/fleet":  {Provider: deliver.Gitea, API: "https://forgejo.acme.example:3000", Project: "o/fleet"},
		"https://gitea.acme.example/git/o/fleet.git": {Provider: deliver.Gitea, API: "https://gitea.acme.example/git", Project: "o/fleet"},
	} {
		t.Run(url, func(t *testing.T) {
			got, err := deliver.Locate(t.Context(), server(url, "x"), deliver.Options{})
			if err != nil || got != want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, want)
			}
		})
	}
}

func TestProviderByProbe(t *testing.T) {
	kinds(t, func(t *testing.T, kind forgestub.Kind) {
		for name, o := range map[string]forgestub.Options{
			"at the root":            {Kind: kind},
			"below a relative root":  {Kind: kind, Prefix: "/git"},
			"two folders deep":       {Kind: kind, Prefix: "/tools/git"},
			"a project in subgroups": {Kind: kind, Project: "acme/ops/fleet"},
		} {
			if o.Project != "" && kind != forgestub.GitLab || o.Prefix != "" && kind == forgestub.GitHub {
				continue
			}
			t.Run(name, func(t *testing.T) {
				w := start(t, o)
				if pr := w.open(); pr.Number != 1 {
					t.Errorf("opened %+v", pr)
				}
				// GitHub's queue is beside the base of its REST.
				w.SetRules(forgestub.Rules{Queue: true})
				pr := w.read(1)
				if kind == forgestub.Gitea {
					return
				}
				done, err := w.api.Merge(t.Context(), pr, reconcile.MergeOrder{Head: pr.Head})
				if err != nil || done != reconcile.MergingArmed || !w.PRs()[0].Queued {
					t.Errorf("%s, %v", done, err)
				}
			})
		}
	})
}

func TestProviderAsAPersonNamesIt(t *testing.T) {
	for name, tt := range map[string]struct {
		url  string
		o    deliver.Options
		want deliver.Repository
	}{
		"GitHub behind another name": {"https://git.acme.example/ops/fleet.git", deliver.Options{Provider: deliver.GitHub},
			deliver.Repository{Provider: deliver.GitHub, API: "https://git.acme.example/api/v3", Project: "ops/fleet"}},
		"Gitea where the host says GitHub": {"https://github.acme.example/ops/fleet.git", deliver.Options{Provider: deliver.Gitea},
			deliver.Repository{Provider: deliver.Gitea, API: "https://github.acme.example", Project: "ops/fleet"}},
		"GitLab with its API": {"https://acme.example/gl/ops/fleet.git",
			deliver.Options{Provider: deliver.GitLab, API: "https://acme.example/gl/api/v4/"},
			deliver.Repository{Provider: deliver.GitLab, API: "https://acme.example/gl", Project: "ops/fleet"}},
		"an API on another port": {"https://git.acme.example/ops/fleet.git",
			deliver.Options{Provider: deliver.Gitea, API: "https://git.acme.example:3000/api/v1"},
			deliver.Repository{Provider: deliver.Gitea, API: "https://git.acme.example:3000", Project: "ops/fleet"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := deliver.Locate(t.Context(), server(tt.url, "x"), tt.o)
			if err != nil || got != tt.want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

func TestURLsThatLeadToNoRepository(t *testing.T) {
	for _, url := range []string{"", "https://github.com", "https://github.com/acme", "https://github.com/acme/../x",
		"https://github.com//fleet", "file:///srv/fleet"} {
		t.Run(url, func(t *testing.T) {
			got, err := deliver.Locate(t.Context(), server(url, "x"), deliver.Options{})
			if reconcile.KindOf(err) != reconcile.FaultNoProvider {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestWebURL(t *testing.T) {
	for remote, want := range map[string]string{
		"https://github.com/acme/fleet.git":          "https://github.com/acme/fleet.git",
		"https://jane:secret@github.com/acme/fleet":  "https://github.com/acme/fleet",
		"http://127.0.0.1:3000/acme/fleet.git":       "http://127.0.0.1:3000/acme/fleet.git",
		"git@github.com:acme/fleet.git":              "https://github.com/acme/fleet.git",
		"ssh://git@git.acme.example:7999/ops/fleet":  "https://git.acme.example/ops/fleet",
		"ssh://git@ssh.github.com:443/acme/fleet":    "https://github.com/acme/fleet",
		"ssh://git@altssh.gitlab.com:443/acme/fleet": "https://gitlab.com/acme/fleet",
		"/srv/git/fleet.git":                         "",
		"../fleet":                                   "",
		"./x:y":                                      "",
		`C:\fleet`:                                   "",
		"file:///srv/fleet":                          "",
		"https://":                                   "",
		"git://git.acme.example/fleet":               "",
	} {
		t.Run(remote, func(t *testing.T) {
			got, ok := deliver.WebURL(remote)
			if got != want || ok != (want != "") {
				t.Errorf("got %q, %v, want %q", got, ok, want)
			}
		})
	}
}
