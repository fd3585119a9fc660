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
