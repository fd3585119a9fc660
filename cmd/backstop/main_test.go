package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// call runs the program as a user would, without a cluster.
func call(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("HOME", t.TempDir())
	var o, e bytes.Buffer
	code = run(t.Context(), append([]string{"backstop"}, args...), streams{in: strings.NewReader(""), out: &o, err: &e})
	return code, o.String(), e.String()
}

func TestExitCodesAndFirstLines(t *testing.T) {
	tests := map[string]struct {
		args []string
		code int
		says string
	}{
		"help teaches":                            {[]string{"--help"}, exitOK, ""},
		"an unknown command is usage":             {[]string{"frobnicate"}, exitUsage, `unknown command "frobnicate"`},
		"an unknown flag is usage":                {[]string{"get", "--frob"}, exitUsage, "unknown flag: --frob"},
		"an unknown thing to get is usage":        {[]string{"get", "pods"}, exitUsage, "want rollbacks, policies, holds, drift or events"},
		"an unknown output is usage":              {[]string{"get", "-o", "xml"}, exitUsage, `output "xml": want json, yaml or wide`},
		"the version for scripts":                 {[]string{"version", "-o", "json"}, exitOK, ""},
		"the version as a flag":                   {[]string{"--version"}, exitOK, ""},
		"a name with all namespaces is usage":     {[]string{"get", "rb", "x", "-A"}, exitUsage, "a name is of one namespace"},
		"a slash without a name is usage":         {[]string{"get", "rollback/"}, exitUsage, "the name after the slash is missing"},
		"drift has no names":                      {[]string{"get", "drift", "x"}, exitUsage, "get drift takes no names"},
		"a group without a user is usage":         {[]string{"get", "--as-group=x", "--kubeconfig=testdata/kubeconfig"}, exitUsage, "--as-group goes with --as"},
		"what Flux cannot apply is no workload":   {[]string{"revert", "kustomization", "apps", "--dry-run"}, exitUsage, "approve lets Backstop revert it"},
		"an unknown kind is usage":                {[]string{"trace", "widget", "x"}, exitUsage, `"widget" is no kind of workload`},
		"doctor wants a workload":                 {[]string{"doctor", "ghcr.io/a/b:1"}, exitUsage, "want KIND/NAME, such as deploy/backend"},
		"doctor of one has no -A":                 {[]string{"doctor", "deploy", "x", "-A"}, exitUsage, "a workload is of one namespace"},
		"no kubeconfig names where it was looked": {[]string{"get", "--kubeconfig="}, exitError, "no cluster: there is no kubeconfig "},
		"too many arguments are usage":            {[]string{"version", "now"}, exitUsage, ""},
		"a missing name is usage":                 {[]string{"approve"}, exitUsage, "want the name of one Rollback: the command get lists them"},
		"blame of nothing is usage":               {[]string{"blame"}, exitUsage, "want IMAGE, KIND/NAME or KIND NAME"},
		"trace of three words is usage":           {[]string{"trace", "deploy", "x", "y"}, exitUsage, "deploy x y: want KIND/NAME, KIND NAME, NAME or IMAGE"},
		"a shell without completions is usage":    {[]string{"completion", "tcsh"}, exitUsage, "tcsh: want bash, zsh, fish or powershell"},
		"completion alone helps":                  {[]string{"completion"}, exitOK, ""},
		"no cluster is one line":                  {[]string{"get"}, exitError, "backstop: no cluster: "},
		"approve without a cluster is one line":   {[]string{"approve", "x"}, exitError, "backstop: no cluster: "},
		"blame without a cluster is one line":     {[]string{"blame", "deploy/x"}, exitError, "backstop: no cluster: "},
		"lift without a cluster is one line":      {[]string{"lift", "x"}, exitError, "backstop: no cluster: "},
		"a flag without its value is usage":       {[]string{"get", "--namespace"}, exitUsage, "flag needs an argument: --namespace"},
		"revert wants one way to deliver":         {[]string{"revert", "x:1", "--repo", "."}, exitUsage, "give one of --dry-run, --push, --pull-request and --branch"},
		"revert takes not two":                    {[]string{"revert", "x:1", "--repo", ".", "--push", "--dry-run"}, exitUsage, "give one of"},
		"--branch needs --repo":                   {[]string{"revert", "x:1", "--branch", "b"}, exitUsage, "--branch goes with --repo"},
		"--auto-merge is a pull request's":        {[]string{"revert", "x:1", "--push", "--auto-merge"}, exitUsage, "go with --pull-request"},
		"--provider knows three":                  {[]string{"revert", "x:1", "--pull-request", "--provider", "Bitbucket"}, exitUsage, "want GitHub, GitLab, Gitea or Forgejo"},
		"an API is somebody's":                    {[]string{"revert", "x:1", "--pull-request", "--api-url", "https://x"}, exitUsage, "--api-url goes with --provider"},
		"--path needs --repo":                     {[]string{"blame", "x:1", "--path", "apps"}, exitUsage, "--rev and --path go with --repo"},
		"a folder that is no repository":          {[]string{"blame", "x:1", "--repo", "/nonexistent"}, exitError, "not in a Git repository"},
		"a workload without a name is usage":      {[]string{"blame", "deploy/", "--repo", "."}, exitUsage, "want deploy/NAME"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			code, _, errs := call(t, tt.args...)
			if code != tt.code || !strings.Contains(errs, tt.says) {
				t.Errorf("exit code %d and %q, want %d and …%s…", code, errs, tt.code, tt.says)
			}
			if tt.code == exitError && strings.Count(strings.TrimSpace(errs), "\n") != 0 {
				t.Errorf("more than one line: %q", errs)
			}
		})
	}
}

func TestAClusterThatDoesNotAnswerIsOneLine(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}],
  clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: a, user: {}}]}`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := "backstop: the API server https://127.0.0.1:1 cannot be asked: dial tcp 127.0.0.1:1: connect: connection refused"
	for _, args := range [][]string{
		{"get"}, {"get", "holds"}, {"approve", "x"}, {"reject", "x"}, {"lift", "x"}, {"blame", "deploy/x"},
		{"revert", "deploy/x", "--dry-run"},
	} {
		code, _, errs := call(t, append(args, "--kubeconfig="+kubeconfig)...)
		if code != exitError || strings.TrimSpace(errs) != want {
			t.Errorf("%v: exit code %d and %q", args, code, errs)
		}
	}
}

func TestThePluginNamesItselfAsItsHostDoes(t *testing.T) {
	for _, host := range []string{"kubectl", "flux"} {
		var o bytes.Buffer
		run(t.Context(), []string{"/usr/bin/" + host + "-backstop", "get", "--help"}, streams{out: &o, err: &o})
		if !strings.Contains(o.String(), host+" backstop get [rollbacks|policies|holds|drift|events] [NAME...]") {
			t.Errorf("usage does not say %s backstop:\n%s", host, o.String())
		}
	}
}

func TestCompletionsForBashZshAndFish(t *testing.T) {
	for shell, want := range map[string]string{
		"bash": "complete -o default -F __start_backstop backstop", "zsh": "#compdef backstop", "fish": "complete -c backstop",
	} {
		code, out, errs := call(t, "completion", shell)
		if code != exitOK || errs != "" || !strings.Contains(out, want) || !strings.Contains(out, "__complete") {
			t.Errorf("%s: exit code %d, %q, and %d bytes without %q", shell, code, errs, len(out), want)
		}
	}
	// Each of them asks the program itself for what can follow.
	code, out, _ := call(t, "__complete", "get", "")
	if code != exitOK || !strings.Contains(out, "holds") || !strings.Contains(out, "rollbacks") {
		t.Errorf("exit code %d, what can follow get is %q", code, out)
	}
	code, out, _ = call(t, "__complete", "re")
	if code != exitOK || !strings.Contains(out, "revert\t") || !strings.Contains(out, "reject\t") {
		t.Errorf("exit code %d, what begins with re is %q", code, out)
	}
}

// repository makes a clone in which image automation wrote a bad tag, and a remote of it.
func testRepository(t *testing.T) (dir, bare string) {
	t.Helper()
	dir, bare = filepath.Join(t.TempDir(), "work"), filepath.Join(t.TempDir(), "fleet.git")
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
			"GIT_AUTHOR_NAME=fluxcdbot", "GIT_AUTHOR_EMAIL=bot@example.com", "GIT_COMMITTER_NAME=fluxcdbot",
			"GIT_COMMITTER_EMAIL=bot@example.com", "GIT_AUTHOR_DATE=2026-11-21T09:00:00Z", "GIT_COMMITTER_DATE=2026-11-21T09:00:00Z")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	write := func(tag string) {
		t.Helper()
		file := filepath.Join(dir, "apps", "production", "backend.yaml")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		text := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: backend, namespace: production}\nspec:\n  template:\n    spec:\n" +
			"      containers:\n        - name: backend\n          image: ghcr.io/acme/backend:" + tag +
			" # {\"$imagepolicy\": \"production:backend\"}\n"
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	git("init", "-q", "--bare", "-b", "main", bare)
	git("init", "-q", "-b", "main")
	write("v1.0.0")
	git("add", ".")
	git("commit", "-q", "-m", "Begin")
	write("v1.1.0")
	git("commit", "-q", "-am", "Update from \x1b[31mimage\x1b[0m update automation")
	git("remote", "add", "origin", bare)
	git("push", "-q", "origin", "main")
	git("config", "user.name", "Jane Doe")
	git("config", "user.email", "jane@example.com")
	return dir, bare
}

// stable replaces what differs between runs.
func stable(s string) string {
	s = regexp.MustCompile(`since=\S+`).ReplaceAllString(s, "since=TIME")
	s = regexp.MustCompile(`\d+\w* ago`).ReplaceAllString(s, "AGE ago")
	return s
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got, -update writes it):\n%s", path, diff)
	}
}

func TestBlameAndRevertWithoutACluster(t *testing.T) {
	dir, bare := testRepository(t)
	for name, args := range map[string][]string{
		"blame.txt":          {"blame", "deploy/backend", "--repo", dir},
		"blame.json":         {"blame", "ghcr.io/acme/backend:v1.1.0", "--repo", dir, "-o", "json"},
		"revert-dry-run.txt": {"revert", "deploy/backend", "--repo", dir, "--dry-run"},
		"revert-no-hold.txt": {"revert", "deploy/backend", "--repo", bare, "--dry-run", "--no-hold"},
	} {
		code, out, errs := call(t, args...)
		if code != exitOK {
			t.Errorf("%v: exit code %d: %s", args, code, errs)
		}
		const rendered = "Rendered: Deployment production/backend: ghcr.io/acme/backend:v1.1.0 → ghcr.io/acme/backend:v1.0.0"
		if args[0] == "revert" && !strings.Contains(errs, rendered) {
			t.Errorf("%v says %q, want %q", args, errs, rendered)
		}
		golden(t, name, stable(out))
	}
}

func TestBlameOfWhatIsNotCommitted(t *testing.T) {
	dir, _ := testRepository(t)
	file := filepath.Join(dir, "apps", "production", "backend.yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(data), "v1.1.0", "v1.2.0")), 0o644); err != nil {
		t.Fatal(err)
	}
	code, _, errs := call(t, "blame", "ghcr.io/acme/backend:v1.2.0", "--repo", dir)
	if want := "in the work tree says ghcr.io/acme/backend:v1.2.0, and "; code != exitError || !strings.Contains(errs, want) {
		t.Errorf("exit code %d: %s", code, errs)
	}
	code, _, errs = call(t, "blame", "ghcr.io/acme/backend:v1.3.0", "--repo", dir)
	if code != exitError || !strings.Contains(errs, "the only file that was read") {
		t.Errorf("of what stands nowhere: exit code %d: %s", code, errs)
	}
}

func TestRevertPushesToTheDeployedBranch(t *testing.T) {
	dir, bare := testRepository(t)
	code, _, errs := call(t, "revert", "deploy/backend", "--repo", dir, "--push")
	if code != exitOK || !strings.Contains(errs, "Pushed to main of the remote origin: revert ") {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	show, err := exec.Command("git", "-C", bare, "show", "main:apps/production/backend.yaml").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(show), "backend:v1.0.0 # backstop:hold not=v1.1.0 since=") {
		t.Errorf("the remote's main says:\n%s", show)
	}
	author, err := exec.Command("git", "-C", bare, "log", "-1", "--format=%an <%ae>", "main").Output()
	if err != nil || strings.TrimSpace(string(author)) != "Jane Doe <jane@example.com>" {
		t.Errorf("the author is %s (%v), want the person who ran it", author, err)
	}
}

func TestAKubeconfigWithoutACurrentContextIsOneAllTheSame(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, []byte(strings.Replace(string(data), "current-context: a\n", "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := call(t, "get", "--kubeconfig="+file)
	if want := "no cluster: " + file + " has no current-context: name one of a, b\n"; code != exitError || !strings.HasSuffix(errs, want) {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestBlameOfWhatANewerImageReplaced(t *testing.T) {
	dir, _ := testRepository(t)
	code, out, errs := call(t, "blame", "ghcr.io/acme/backend:v1.0.0", "--repo", dir)
	if code != exitOK || !strings.Contains(out, "Gone since") || strings.Contains(out, "Reverted") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

// bump commits tags of the backend, one after another.
func bump(t *testing.T, dir string, tags ...string) {
	t.Helper()
	file := filepath.Join(dir, "apps", "production", "backend.yaml")
	before := "v1.1.0"
	for _, tag := range tags {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(data), ":"+before, ":"+tag, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("git", "-C", dir, "commit", "-q", "-am", tag).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		before = tag
	}
}

func TestRevertOfATagThatGotADigestGoesBehindTheTag(t *testing.T) {
	dir, _ := testRepository(t)
	bump(t, dir, "v1.2.0", "v1.2.0@sha256:"+strings.Repeat("a", 64))
	code, out, errs := call(t, "revert", "ghcr.io/acme/backend:v1.2.0", "--repo", dir, "--dry-run")
	if code != exitOK || !strings.Contains(out, "+          image: ghcr.io/acme/backend:v1.1.0") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

func TestRevertGoesBehindATypingMistake(t *testing.T) {
	dir, _ := testRepository(t)
	bump(t, dir, "v1.2.0", "v1.3.0sha256:"+strings.Repeat("a", 64), "v1.3.0@sha256:"+strings.Repeat("a", 64))
	code, out, errs := call(t, "revert", "deploy/backend", "--repo", dir, "--dry-run")
	if code != exitOK || !strings.Contains(out, "+          image: ghcr.io/acme/backend:v1.2.0") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

func TestEarlierValuesAreListedOnce(t *testing.T) {
	dir, _ := testRepository(t)
	bump(t, dir, "v1.2.0@sha256:"+strings.Repeat("a", 64), "v1.2.0@sha256:"+strings.Repeat("b", 64), "v1.3.0")
	code, _, errs := call(t, "revert", "deploy/backend", "--repo", dir, "--dry-run", "--to", "v9")
	if want := "earlier values are: v1.2.0, v1.1.0, v1.0.0\n"; code != exitError || !strings.HasSuffix(errs, want) {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestRevertToAValueThatWasNeverThere(t *testing.T) {
	dir, _ := testRepository(t)
	code, _, errs := call(t, "revert", "deploy/backend", "--repo", dir, "--dry-run", "--to", "v0.9.0")
	if code != exitError || !strings.Contains(errs, "--to v0.9.0 was never here; earlier values are: v1.0.0") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
