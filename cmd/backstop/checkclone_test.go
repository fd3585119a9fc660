package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// Clones that lack files: the gate says so, or reads them where they are.
func TestCheckOfClonesThatLackFiles(t *testing.T) {
	from := t.TempDir()
	gitIn(t, from, "init", "--quiet", "--initial-branch=main")
	gitIn(t, from, "config", "uploadpack.allowFilter", "true")
	files(t, from, map[string]string{"apps/a/pod.yaml": pod("reg.example.org/a:v1"), "apps/b/pod.yaml": pod("reg.example.org/b:v1")})
	gitIn(t, from, "add", "--all")
	gitIn(t, from, "commit", "--quiet", "-m", "first")
	files(t, from, map[string]string{"apps/a/pod.yaml": pod("reg.example.org/a:v2")})
	gitIn(t, from, "commit", "--quiet", "--all", "-m", "second")
	dir := t.TempDir()
	fleet := t.TempDir()
	gitIn(t, fleet, "init", "--quiet", "--initial-branch=main")
	files(t, fleet, map[string]string{
		"clusters/prod/apps.yaml": "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps, namespace: flux-system}\n" +
			"spec: {interval: 5m, path: ./apps/web, prune: true, sourceRef: {kind: GitRepository, name: flux-system}}\n",
		"apps/web/kustomization.yaml": "resources: [../../base]\n",
		"base/kustomization.yaml":     "resources: [pod.yaml]\n",
		"base/pod.yaml":               pod("reg.example.org/a:v1"),
	})
	gitIn(t, fleet, "add", "--all")
	gitIn(t, fleet, "commit", "--quiet", "-m", "first")
	for name, c := range map[string]struct{ cone, want string }{
		"a base that the checkout lacks":   {"apps clusters", `apps/web is not built: this checkout is sparse and lacks "../../base"`},
		"a folder that the checkout lacks": {"clusters base", `is not built: this checkout is sparse and lacks "./apps/web"`},
	} {
		t.Run(name, func(t *testing.T) {
			to := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			gitIn(t, dir, "clone", "--quiet", "--sparse", "file://"+fleet, to)
			gitIn(t, to, append([]string{"sparse-checkout", "set"}, strings.Fields(c.cone)...)...)
			code, out, errs := call(t, "check", "--offline", to)
			if code != 3 || !strings.Contains(out+errs, c.want) || !strings.Contains(out, "--head HEAD") || strings.Contains(out, "correct") {
				t.Errorf("exit code %d, want 3 and %q: %s%s", code, c.want, out, errs)
			}
			if code, out, errs = call(t, "check", "--offline", "--head", "HEAD", to); code != 0 || !strings.Contains(out, "1 image") {
				t.Errorf("of the commit: exit code %d: %s%s", code, out, errs)
			}
		})
	}
	for name, c := range map[string]struct {
		clone, args []string
		code        int
		want        string
	}{
		"a sparse checkout":            {[]string{"--sparse"}, nil, 0, "the checkout is sparse: it lacks 2 files of the commit"},
		"a sparse one, by its commit":  {[]string{"--sparse"}, []string{"--head", "HEAD"}, 0, "2 images"},
		"a bare repository":            {[]string{"--bare"}, nil, 2, "is a bare repository"},
		"a bare one, by its branch":    {[]string{"--bare"}, []string{"--head", "main"}, 0, "2 images"},
		"a partial clone":              {[]string{"--filter=blob:none"}, nil, 0, "2 images"},
		"a partial one, by its base":   {[]string{"--filter=blob:none"}, []string{"--base", "HEAD~1"}, 3, "the clone is partial"},
		"a treeless one":               {[]string{"--filter=tree:0"}, []string{"--base", "HEAD~1"}, 3, "the clone is partial"},
		"nothing of it is checked out": {[]string{"--filter=blob:none", "--no-checkout"}, []string{"--head", "main"}, 3, "the clone is partial"},
	} {
		t.Run(name, func(t *testing.T) {
			to := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			gitIn(t, dir, append(append([]string{"clone", "--quiet"}, c.clone...), "file://"+from, to)...)
			code, out, errs := call(t, append([]string{"check", "--offline", "--allow-empty", to}, c.args...)...)
			if code != c.code || !strings.Contains(out+errs, c.want) || strings.Contains(out+errs, "damaged") {
				t.Errorf("exit code %d, want %d and %q: %s%s", code, c.code, c.want, out, errs)
			}
		})
	}
}
