package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestUninstallLeavesGitHoldsReadable runs what docs/upgrade.md says about holds when no cluster is at hand any more.
func TestUninstallLeavesGitHoldsReadable(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "upgrade.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, stays, found := strings.Cut(string(page), "**What stays is in Git**")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(stays, -1)
	if !found || len(blocks) != 2 {
		t.Fatalf("%d commands about what stays in Git", len(blocks))
	}
	dir := t.TempDir()
	shell := func(script string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_PAGER=cat", "GIT_CONFIG_GLOBAL=/dev/null")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return string(out)
	}
	const hold = "backstop:hold not=v2 since=2026-11-21T09:13:26Z "
	before := map[string]string{
		"app.yaml":           "image: reg/app:v1 # {\"$imagepolicy\": \"production:app\"}\n",
		"kustomization.yaml": "images:\n- name: app\n  newTag: v1 # {\"$imagepolicy\": \"production:app:tag\"}\n",
		"by-hand.yaml":       "image: reg/app:v1 # {\"$imagepolicy\": \"production:app\"}\r\nother: \"#backstop\"\r\n",
		"no hold.yaml":       "image: reg/other:v1 # {\"$imagepolicy\": \"production:other\"}\n",
	}
	for name, text := range before {
		switch name {
		case "by-hand.yaml":
			text = strings.Replace(text, "# {", "# backstop:hold {", 1)
		case "kustomization.yaml":
			text = strings.Replace(text, "# {", "# "+strings.TrimSpace(hold)+" lift=Manual {", 1)
		case "app.yaml":
			text = strings.Replace(text, "# {", "# "+hold+"{", 1)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shell("git init -q && git add . && git -c user.name=a -c user.email=a@b commit -qm Start")

	listed := shell(blocks[0][1])
	for _, want := range []string{"app.yaml:1:", "not=v2 since=2026-11-21T09:13:26Z", "lift=Manual", "by-hand.yaml:1:", `"production:app:tag"`} {
		if !strings.Contains(listed, want) {
			t.Errorf("the holds are not told with %q:\n%s", want, listed)
		}
	}
	shell(blocks[1][1])
	for name, want := range before {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is\n%q, want\n%q", name, got, want)
		}
	}
}
