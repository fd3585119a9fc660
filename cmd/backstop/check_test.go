package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/test/gitserver"
	"github.com/backstop-dev/backstop/test/registrystub"
)

// files writes files below a folder.
func files(t *testing.T, dir string, text map[string]string) {
	t.Helper()
	for name, content := range text {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=Ann", "-c", "user.email=ann@example.com"}, args...)...)
	cmd.Dir, cmd.Env = dir, gitserver.Env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func pod(image string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: app}\nspec:\n  containers:\n  - name: app\n    image: " + image + "\n"
}

// report runs check and reads its JSON.
func reportOf(t *testing.T, want int, args ...string) report.Report {
	t.Helper()
	code, out, errs := call(t, append([]string{"check", "-o", "json"}, args...)...)
	if code != want {
		t.Fatalf("exit code %d, want %d: %s%s", code, want, out, errs)
	}
	var r report.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r
}

func TestCheckExitCodes(t *testing.T) {
	r, err := registrystub.Start(registrystub.Options{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if _, err := r.PushImage("app", "v1"); err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, r.CA(), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files(t, dir, map[string]string{
		"good/app.yaml": pod(r.Host() + "/app:v1"), "bad/app.yaml": pod(r.Host() + "/app:v2"),
		"guard/app.yaml": pod("acme/app:latest"), "guard/.backstop.yaml": "environments: {all: {paths: ['**'], immutable: true}}\n",
		"broken/.backstop.yaml": "enviroments: {}\n", "remote/kustomization.yaml": "resources: ['https://127.0.0.1:1/x?ref=y']\n",
		"empty/readme.md": "", "docs/values.yaml": "a: b\n",
	})
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "good", "link.yaml")); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	tests := map[string]struct {
		args []string
		code int
		says string
	}{
		"clean":                           {[]string{at("good"), "--registry-ca", ca}, exitOK, "1 image (1 asked for)"},
		"a link is named, not followed":   {[]string{at("good"), "--offline"}, exitOK, "link.yaml is a symbolic link"},
		"a finding":                       {[]string{at("bad"), "--registry-ca", ca}, exitError, "app.yaml:7"},
		"offline there is none":           {[]string{at("bad"), "--offline"}, exitOK, "no registry was asked"},
		"a guardrail":                     {[]string{at("guard"), "--offline"}, exitError, "[tag-mutable]"},
		"an unknown certificate":          {[]string{at("good")}, exitUnknown, "signed by an unknown authority"},
		"a remote base":                   {[]string{at("remote"), "--offline"}, exitUnknown, "--allow-remote"},
		"an unknown key is usage":         {[]string{at("broken")}, exitUsage, `.backstop.yaml:1: unknown key "enviroments": want one of`},
		"no such folder is usage":         {[]string{at("nowhere")}, exitUsage, "no such file"},
		"an unknown format is usage":      {[]string{"-o", "pdf"}, exitUsage, "want one of text, json"},
		"an unknown platform is usage":    {[]string{at("good"), "--platform", "amd64"}, exitUsage, "want os/arch"},
		"a flag for a base is usage":      {[]string{at("good"), "--base", "--offline"}, exitUsage, "want a branch, a tag or a commit"},
		"nobody asks is usage":            {[]string{at("good"), "--parallel", "0"}, exitUsage, "--parallel 0: want at least 1"},
		"no patience at all is usage":     {[]string{at("good"), "--patience", "-1s"}, exitUsage, "--patience -1s: want no less than 0s"},
		"any remote base is usage":        {[]string{at("good"), "--allow-remote", "x/,"}, exitUsage, "would allow any address"},
		"a base without Git is usage":     {[]string{at("good"), "--base", "main"}, exitUsage, "not in a Git repository"},
		"a CA that is not there is usage": {[]string{at("good"), "--registry-ca", at("x")}, exitUsage, "--registry-ca"},
		"a key that is none is usage":     {[]string{at("good"), "--verify-signature", ca}, exitUsage, "--verify-signature: "},
		"an empty folder":                 {[]string{at("empty")}, exitError, "✗ .  no file in "},
		"a folder of other YAML":          {[]string{at("docs"), "--offline"}, exitError, "[nothing-to-check]"},
		"an empty folder that may be one": {[]string{at("empty"), "--offline", "--allow-empty"}, exitOK, "0 images"},
		"a file alone":                    {[]string{at("bad/app.yaml"), "--registry-ca", ca}, exitError, "app.yaml:7"},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			code, out, errs := call(t, append([]string{"check"}, tt.args...)...)
			if code != tt.code || !strings.Contains(out+errs, tt.says) {
				t.Errorf("exit code %d, want %d and …%s…:\n%s%s", code, tt.code, tt.says, out, errs)
			}
			if strings.Contains(out, "root:") {
				t.Error("what the link leads to was read")
			}
		})
	}
	t.Run("a report in a file, text on the terminal", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "out.sarif")
		code, out, _ := call(t, "check", at("bad"), "--registry-ca", ca, "-o", "sarif", "--output-file", file)
		data, err := os.ReadFile(file)
		if code != exitError || err != nil || !strings.Contains(string(data), `"version": "2.1.0"`) || !strings.Contains(out, "✗") {
			t.Errorf("exit code %d, %v, %s, %s", code, err, data, out)
		}
	})
}

func TestCheckKeepsTheWarningsOfKustomizeToItself(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string]string{"app.yaml": pod("acme/app:v1"), "kustomization.yaml": "resources: [app.yaml]\ncommonLabels: {a: b}\n"})
	if said := stderrOf(t, func() { reportOf(t, exitOK, dir, "--offline") }); said != "" {
		t.Errorf("it says %q", said)
	}
}

// stderrOf is what something writes to the standard error of the process, which it must leave as it was.
func stderrOf(t *testing.T, do func()) string {
	t.Helper()
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stderr
	os.Stderr = stderr
	defer func() { os.Stderr = before }()
	do()
	if os.Stderr != stderr {
		t.Error("the standard error is another file now")
	}
	said, err := os.ReadFile(stderr.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

func TestRevertKeepsTheWarningsOfKustomizeToItself(t *testing.T) {
	dir, _ := testRepository(t)
	files(t, dir, map[string]string{"apps/production/kustomization.yaml": "resources: [backend.yaml]\ncommonLabels: {a: b}\n"})
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", "build"}} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %s", args, out)
		}
	}
	var code int
	var errs string
	said := stderrOf(t, func() { code, _, errs = call(t, "revert", "deploy/backend", "--repo", dir, "--dry-run") })
	if code != exitOK || said != "" || !strings.Contains(errs, "Rendered: ") {
		t.Errorf("exit code %d, it says %q: %s", code, said, errs)
	}
}

func TestCheckUsesWhatDockerLoginLeft(t *testing.T) {
	r, err := registrystub.Start(registrystub.Options{Token: &registrystub.Login{Username: "ci", Password: "s3cret"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if _, err := r.PushImage("app", "v1"); err != nil {
		t.Fatal(err)
	}
	dir, docker := t.TempDir(), t.TempDir()
	files(t, dir, map[string]string{"app.yaml": pod(r.Host() + "/app:v1")})
	t.Setenv("DOCKER_CONFIG", docker)
	reportOf(t, exitUnknown, dir)
	files(t, docker, map[string]string{"config.json": `{"auths": {"` + r.Host() + `": {"auth": "` +
		base64.StdEncoding.EncodeToString([]byte("ci:s3cret")) + `"}}}`})
	reportOf(t, exitOK, dir)
	// A credential helper is a program of the user's, in the user's configuration.
	bin := t.TempDir()
	files(t, docker, map[string]string{"config.json": `{"credHelpers": {"` + r.Host() + `": "stub"}}`})
	files(t, bin, map[string]string{"docker-credential-stub": "#!/bin/sh\necho '{\"Username\":\"ci\",\"Secret\":\"s3cret\"}'\n"})
	if err := os.Chmod(filepath.Join(bin, "docker-credential-stub"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	reportOf(t, exitOK, dir)
}

// history makes a repository with a main branch and a change to it, and gives its folder.
func history(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	gitIn(t, dir, "init", "-q", "-b", "main")
	files(t, dir, map[string]string{
		"a.yaml": pod("acme/a:v1"), "b.yaml": pod("acme/b:v1"), ".gitignore": "build\nkept.yaml\n", "kept.yaml": pod("acme/kept:v1"),
		"build/out.yaml": pod("acme/out:v1"),
	})
	gitIn(t, dir, "add", "-A")
	gitIn(t, dir, "add", "-f", "kept.yaml")
	gitIn(t, dir, "commit", "-qm", "start")
	gitIn(t, dir, "checkout", "-qb", "change")
	files(t, dir, map[string]string{"b.yaml": pod("acme/b:v2")})
	gitIn(t, dir, "mv", "a.yaml", "moved.yaml")
	gitIn(t, dir, "commit", "-qam", "change")
	gitIn(t, dir, "checkout", "-q", "main")
	files(t, dir, map[string]string{"later.yaml": pod("acme/later:v9"), "a.yaml": pod("acme/a:v7")})
	gitIn(t, dir, "add", "-A")
	gitIn(t, dir, "commit", "-qm", "main goes on")
	gitIn(t, dir, "checkout", "-q", "change")
	return dir
}

func imagesOf(r report.Report) string {
	var all []string
	for _, u := range r.Images {
		all = append(all, u.Image)
	}
	return strings.Join(all, " ")
}

func TestCheckComparesWithWhereTheChangeLeftMain(t *testing.T) {
	dir := history(t)
	if got, want := imagesOf(reportOf(t, exitOK, dir, "--offline")), "acme/b:v2 acme/kept:v1 acme/a:v1"; got != want {
		t.Errorf("images are %q, want %q", got, want)
	}
	if got, want := imagesOf(reportOf(t, exitOK, dir, "--offline", "--base", "main")), "acme/b:v2"; got != want {
		t.Errorf("the change brings in %q, want %q", got, want)
	}
	if got, want := imagesOf(reportOf(t, exitOK, dir, "--offline", "--head", "main", "--base", "change")), "acme/a:v7 acme/later:v9"; got != want {
		t.Errorf("main brings in %q, want %q", got, want)
	}
	if got := imagesOf(reportOf(t, exitOK, filepath.Join(dir, "moved.yaml"), "--offline", "--base", "main")); got != "" {
		t.Errorf("a moved file brings in %q", got)
	}
}

func TestGateShallowCloneAsCIMakesIt(t *testing.T) {
	origin := history(t)
	clone := filepath.Join(t.TempDir(), "clone")
	gitIn(t, t.TempDir(), "clone", "-q", "--depth=1", "--branch=change", "file://"+origin, clone)
	code, _, errs := call(t, "check", clone, "--offline", "--base", "origin/main")
	if code != exitUsage || !strings.Contains(errs, "git fetch --depth=1 origin main") {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	// What it says helps.
	gitIn(t, clone, "fetch", "-q", "--depth=1", "origin", "main")
	code, out, errs := call(t, "check", clone, "--offline", "--base", "FETCH_HEAD", "-o", "json")
	if code != exitOK || !strings.Contains(errs, "too shallow to tell") {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var r report.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if got, want := imagesOf(r), "acme/b:v2 acme/a:v1"; got != want {
		t.Errorf("the change brings in %q, want %q", got, want)
	}
}

func TestCheckFilesThatGitKnowsNothingOf(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string]string{
		".backstop.yaml":               "environments: {all: {paths: [apps], immutable: true}}\n",
		"apps/base/kustomization.yaml": "resources: [app.yaml]\n", "apps/base/app.yaml": pod("acme/app:latest"),
		"apps/over/kustomization.yaml": "resources: [../base]\n", "apps/one.yaml": pod("acme/one:latest"),
	})
	for title, tt := range map[string]struct {
		in    string
		paths []string
		want  int
	}{
		"the folder itself":                      {".", nil, 2},
		"a folder in it, from it":                {".", []string{"apps/over"}, 1},
		"two of them":                            {".", []string{"apps/over", "apps/one.yaml"}, 2},
		"a folder in it, from there":             {"apps/over", nil, 1},
		"a folder in it, from elsewhere":         {"/", []string{filepath.Join(dir, "apps/over")}, 1},
		"a folder in it with a .git, from there": {"apps/over", nil, 1},
	} {
		t.Run(title, func(t *testing.T) {
			if strings.Contains(title, ".git") {
				// git init, and no commit yet
				files(t, dir, map[string]string{".git/HEAD": "ref: refs/heads/main\n", ".git/objects/x": "", ".git/refs/x": ""})
			}
			if !filepath.IsAbs(tt.in) {
				tt.in = filepath.Join(dir, tt.in)
			}
			t.Chdir(tt.in)
			got := reportOf(t, exitError, append([]string{"--offline"}, tt.paths...)...)
			if n := got.Count(report.LevelError); n != tt.want {
				t.Errorf("%d findings, want %d: %+v", n, tt.want, got.Findings)
			}
		})
	}
}
