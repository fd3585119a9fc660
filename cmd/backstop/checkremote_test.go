package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestCheckAChangeAllowsItselfNoAddress(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte(strings.Replace(pod("acme/remote:v1"), "name: app", "name: remote", 1)))
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	allow := "remoteBases: [" + host + "/]\n"
	base := map[string]string{"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": pod("acme/a:v1"), ".backstop.yaml": "platforms: [linux/amd64]\n"}
	for title, tt := range map[string]struct {
		before, after string
		args          []string
		asked         bool
	}{
		"its own file":             {"platforms: [linux/amd64]\n", allow, []string{"--base", "main"}, false},
		"its own file and no base": {"platforms: [linux/amd64]\n", allow, nil, false},
		"the file of the base":     {allow, allow, []string{"--base", "main"}, true},
		"the base, and it forbids": {allow, "platforms: [linux/amd64]\n", []string{"--base", "main"}, true},
		"a flag":                   {"platforms: [linux/amd64]\n", "platforms: [linux/amd64]\n", []string{"--allow-remote", host + "/"}, true},
	} {
		t.Run(title, func(t *testing.T) {
			asked.Store(0)
			dir := t.TempDir()
			base[".backstop.yaml"] = tt.before
			files(t, dir, base)
			gitIn(t, dir, "init", "-q", "-b", "main")
			gitIn(t, dir, "add", "-A")
			gitIn(t, dir, "commit", "-qm", "start")
			gitIn(t, dir, "checkout", "-qb", "change")
			files(t, dir, map[string]string{
				"kustomization.yaml": "resources: [a.yaml, '" + server.URL + "/b.yaml']\n", ".backstop.yaml": tt.after,
			})
			gitIn(t, dir, "commit", "-qam", "change")
			code, out, errs := call(t, append([]string{"check", dir, "--offline"}, tt.args...)...)
			want := exitUnknown
			if tt.asked {
				want = exitOK
			}
			if code != want || asked.Load() > 0 != tt.asked {
				t.Errorf("exit code %d, %d requests:\n%s%s", code, asked.Load(), out, errs)
			}
		})
	}
}
