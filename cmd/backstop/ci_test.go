package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/backstop-dev/backstop/test/gitserver"
	"github.com/backstop-dev/backstop/test/registrystub"
)

// asCommand makes the test binary be backstop.
const asCommand = "BACKSTOP_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	m.Run()
}

// bin gives a folder with a backstop, and a go that describes what it is asked to do.
func bin(t *testing.T, backstop bool) string {
	t.Helper()
	dir := t.TempDir()
	text := map[string]string{"go": "#!/bin/sh\necho \"go $*\" >&2\n"}
	if backstop {
		text["backstop"] = "#!/bin/sh\n" + asCommand + "=1 exec " + os.Args[0] + " \"$@\"\n"
	}
	files(t, dir, text)
	for name := range text {
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// shell runs a script of a CI in a folder.
func shell(t *testing.T, dir, path, script string, env map[string]string) (int, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-e", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(gitserver.Env(), "PATH="+path+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
	for _, key := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = append(cmd.Env, key+"="+env[key])
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// change makes a repository with a registry's good image on main and a bad one on a branch, and gives its folder.
func change(t *testing.T) (origin, host string) {
	t.Helper()
	r, err := registrystub.Start(registrystub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if _, err := r.PushImage("app", "v1"); err != nil {
		t.Fatal(err)
	}
	origin = t.TempDir()
	gitIn(t, origin, "init", "-q", "-b", "main")
	gitIn(t, origin, "config", "uploadpack.allowAnySHA1InWant", "true")
	files(t, origin, map[string]string{"app.yaml": pod(r.Host() + "/app:v1"), "old.yaml": pod(r.Host() + "/app:gone")})
	gitIn(t, origin, "add", "-A")
	gitIn(t, origin, "commit", "-qm", "start")
	gitIn(t, origin, "checkout", "-qb", "change")
	files(t, origin, map[string]string{"app.yaml": pod(r.Host() + "/app:v2")})
	gitIn(t, origin, "commit", "-qam", "change")
	return origin, r.Host()
}

func shallow(t *testing.T, origin string) string {
	t.Helper()
	clone := filepath.Join(t.TempDir(), "clone")
	gitIn(t, t.TempDir(), "clone", "-q", "--depth=1", "--branch=change", "file://"+origin, clone)
	return clone
}

func ciFile(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("../../deploy/ci/" + name)
	if err == nil && into != nil {
		err = yaml.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheActionStepByStep(t *testing.T) {
	var action struct {
		Inputs map[string]struct{ Default string }
		Runs   struct {
			Using string
			Steps []struct {
				Uses, Name, Shell, Run string
				Env                    map[string]string
			}
		}
	}
	ciFile(t, "action.yml", &action)
	origin, _ := change(t)
	clone := shallow(t, origin)
	here, err := filepath.Abs("../../deploy/ci")
	if err != nil {
		t.Fatal(err)
	}
	github := map[string]string{"github.action_path": here, "github.token": "", "inputs.base || github.base_ref": "main"}
	for name, input := range action.Inputs {
		github["inputs."+name] = input.Default
	}
	path := filepath.Join(t.TempDir(), "path")
	ran := 0
	for _, step := range action.Runs.Steps {
		if step.Uses != "" {
			if !strings.Contains(step.Uses, "@v") {
				t.Errorf("%s names no version", step.Uses)
			}
			continue
		}
		ran++
		env := map[string]string{"GITHUB_PATH": path}
		for key, expression := range step.Env {
			name := strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(expression, "${{"), "}}"))
			value, known := github[name]
			if !known {
				t.Fatalf("%s: nobody knows %s", step.Name, expression)
			}
			env[key] = value
		}
		code, out := shell(t, clone, bin(t, true), step.Run, env)
		switch step.Name {
		case "Install":
			if code != 0 || out != "" {
				t.Errorf("a backstop that is there: %d, %s", code, out)
			}
			install(t, clone, step.Run, env)
		case "Check":
			if code != exitError || !strings.Contains(out, "::error file=app.yaml,line=7,") || strings.Contains(out, "old.yaml") {
				t.Errorf("exit code %d: %s", code, out)
			}
			env["PATHS"], env["ARGS"] = "old.yaml", "--offline --parallel 2"
			if code, out := shell(t, clone, bin(t, true), step.Run, env); code != exitOK || !strings.Contains(out, "0 findings") {
				t.Errorf("another path: exit code %d: %s", code, out)
			}
		}
	}
	if ran != 2 || action.Runs.Using != "composite" {
		t.Errorf("%d steps ran of a %q action", ran, action.Runs.Using)
	}
}

// install runs the Action's first step where there is no backstop yet, with releases in a folder.
func install(t *testing.T, clone, script string, env map[string]string) {
	t.Helper()
	dir := t.TempDir()
	release := filepath.Join(dir, env["VERSION"])
	if err := os.Mkdir(release, 0o755); err != nil {
		t.Fatal(err)
	}
	files(t, dir, map[string]string{"backstop": "#!/bin/sh\necho the released one\n"})
	archive := fmt.Sprintf("backstop_%s_%s_%s.tar.gz", strings.TrimPrefix(env["VERSION"], "v"), runtime.GOOS, runtime.GOARCH)
	pack := fmt.Sprintf("chmod +x backstop && tar -czf %[1]s/%[2]s backstop && cd %[1]s && sha256sum %[2]s >checksums.txt", release, archive)
	if code, out := shell(t, dir, bin(t, false), pack, nil); code != 0 {
		t.Fatal(out)
	}
	env["RELEASES"] = "file://" + dir
	code, out := shell(t, clone, bin(t, false), script+"\n$HOME/.local/bin/backstop", env)
	if code != 0 || !strings.HasSuffix(out, "the released one\n") {
		t.Errorf("no backstop: %d, %s", code, out)
	}
	files(t, release, map[string]string{archive: "another file"})
	code, out = shell(t, clone, bin(t, false), script, env)
	if code == 0 || !strings.Contains(out, "is not the file that") {
		t.Errorf("another file: %d, %s", code, out)
	}
}

func TestTheGitLabTemplateStepByStep(t *testing.T) {
	var template struct {
		Backstop struct {
			Variables    map[string]string
			BeforeScript []string `yaml:"before_script"`
			Script       []string
			AllowFailure struct {
				ExitCodes []int `yaml:"exit_codes"`
			} `yaml:"allow_failure"`
			Artifacts struct{ Reports map[string]string }
		}
	}
	ciFile(t, "gitlab.yml", &template)
	job := template.Backstop
	origin, _ := change(t)
	clone := shallow(t, origin)
	env := maps.Clone(job.Variables)
	env["CI_MERGE_REQUEST_DIFF_BASE_SHA"] = gitIn(t, origin, "rev-parse", "main")
	script := strings.Join(slices.Concat(job.BeforeScript, job.Script), "\n")
	code, out := shell(t, clone, bin(t, true), script, env)
	if code != exitError || !strings.Contains(out, "app.yaml:7") || strings.Contains(out, "old.yaml") {
		t.Errorf("exit code %d: %s", code, out)
	}
	data, err := os.ReadFile(filepath.Join(clone, job.Artifacts.Reports["codequality"]))
	if err != nil || !strings.Contains(string(data), `"check_name": "backstop/image-missing"`) {
		t.Errorf("the report is %s, %v", data, err)
	}
	if !slices.Equal(job.AllowFailure.ExitCodes, []int{exitUnknown}) {
		t.Errorf("failures that are allowed: %v", job.AllowFailure.ExitCodes)
	}
}

func TestThePreCommitHook(t *testing.T) {
	origin, host := change(t)
	files(t, origin, map[string]string{".backstop.yaml": "environments: {all: {paths: ['**'], immutable: true}}\n"})
	hook(t, origin, "pre-commit")
	commit := "git -c user.name=Ann -c user.email=ann@example.com commit -qam next"
	files(t, origin, map[string]string{"app.yaml": pod(host + "/app:latest")})
	if code, out := shell(t, origin, bin(t, true), commit, nil); code == 0 || !strings.Contains(out, "[tag-mutable]") {
		t.Errorf("exit code %d: %s", code, out)
	}
	files(t, origin, map[string]string{"app.yaml": pod(host + "/app:v3")})
	if code, out := shell(t, origin, bin(t, true), commit, nil); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
	// The first commit of a repository.
	empty := t.TempDir()
	gitIn(t, empty, "init", "-q")
	hook(t, empty, "pre-commit")
	for image, want := range map[string]int{":latest": 1, ":v3": 0} {
		files(t, empty, map[string]string{
			".backstop.yaml": "environments: {all: {paths: ['**'], immutable: true}}\n", "app.yaml": pod(host + "/app" + image),
		})
		if code, out := shell(t, empty, bin(t, true), "git add . && "+commit, nil); code != want {
			t.Errorf("%s: exit code %d, want %d: %s", image, code, want, out)
		}
	}
}

func TestThePrePushHook(t *testing.T) {
	origin, host := change(t)
	gitIn(t, origin, "checkout", "-q", "--detach")
	clone := filepath.Join(t.TempDir(), "clone")
	gitIn(t, t.TempDir(), "clone", "-q", "--branch=main", "file://"+origin, clone)
	hook(t, clone, "pre-push")
	next := func(image string) {
		files(t, clone, map[string]string{"app.yaml": pod(image)})
		gitIn(t, clone, "commit", "-qam", "next")
	}
	next(host + "/app:v2")
	if code, out := shell(t, clone, bin(t, true), "git push -q origin main", nil); code == 0 || !strings.Contains(out, "[image-missing]") {
		t.Errorf("exit code %d: %s", code, out)
	}
	next("127.0.0.1:1/app:v1")
	code, out := shell(t, clone, bin(t, true), "git push -q origin main", nil)
	if code != 0 || !strings.Contains(out, "pushed all the same") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, out := shell(t, clone, bin(t, true), "git push -q origin :change", nil); code != 0 {
		t.Errorf("a branch cannot be deleted: exit code %d: %s", code, out)
	}
}

func hook(t *testing.T, repo, name string) {
	t.Helper()
	data, err := os.ReadFile("../../deploy/ci/" + name)
	if err == nil {
		err = os.WriteFile(filepath.Join(repo, ".git", "hooks", name), data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}
