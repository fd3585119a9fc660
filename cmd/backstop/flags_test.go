package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFlagThatWouldBeIgnoredIsUsage(t *testing.T) {
	const kubeconfig = "--kubeconfig=testdata/kubeconfig"
	dir, _ := testRepository(t)
	tests := map[string]struct {
		args []string
		says string
	}{
		"signatures are not verified offline":     {[]string{"check", dir, "--offline", "--verify-signature=/nonexistent"}, "--verify-signature asks the registry, which --offline leaves alone"},
		"layers are not asked for offline":        {[]string{"check", dir, "--offline", "--deep"}, "--deep asks the registry, which --offline leaves alone"},
		"platforms are not looked at offline":     {[]string{"check", dir, "--offline", "--platform=linux/arm64"}, "--platform asks the registry, which --offline leaves alone"},
		"an empty platform is none":               {[]string{"check", dir, "--platform="}, "--platform is empty"},
		"empty guardrails are none":               {[]string{"check", dir, "--offline", "--config="}, "--config is empty"},
		"JSON of what goes on is not printed":     {[]string{"get", "-w", "-o", "json", kubeconfig}, "--watch prints for people: leave -o json out"},
		"nor YAML of changes by hand":             {[]string{"get", "drift", "-w", "-o", "yaml", kubeconfig}, "--watch prints for people: leave -o yaml out"},
		"an interval is of what is watched":       {[]string{"trace", "deploy/x", "--interval=5s", kubeconfig}, "--interval goes with --watch"},
		"the history's number has a sign":         {[]string{"trace", "deploy/x", "--history", "3", kubeconfig}, "--history takes its number with a sign: --history=3"},
		"no history is no number":                 {[]string{"trace", "deploy/x", "--history=0", kubeconfig}, "--history takes a number from 1 on"},
		"a timeout is of what is waited for":      {[]string{"approve", "x", "--timeout=5s", kubeconfig}, "--timeout goes with --wait"},
		"nobody waits for less than nothing":      {[]string{"reject", "x", "--wait", "--timeout=-5s", kubeconfig}, "--timeout -5s: want more than 0s"},
		"an empty question is any":                {[]string{"approve", "x", "--question=", kubeconfig}, "--question is empty"},
		"an empty user is oneself":                {[]string{"approve", "x", "--as=", kubeconfig}, "--as is empty"},
		"an empty repository is the cluster":      {[]string{"blame", "x:1", "--repo=", kubeconfig}, "--repo is empty"},
		"an empty path is everything":             {[]string{"blame", "x:1", "--repo", dir, "--path="}, "--path is empty"},
		"an empty revision is what is there":      {[]string{"blame", "x:1", "--repo", dir, "--rev="}, "--rev is empty"},
		"an empty target is the former value":     {[]string{"revert", "x:1", "--repo", dir, "--dry-run", "--to="}, "--to is empty"},
		"a clone has no context":                  {[]string{"blame", "x:1", "--repo", dir, "--context=a"}, "--context goes with a cluster, and --repo looks in a clone alone"},
		"a clone has no user":                     {[]string{"revert", "x:1", "--repo", dir, "--dry-run", "--as=x"}, "--as goes with a cluster"},
		"a clone has no kubeconfig":               {[]string{"blame", "x:1", "--repo", dir, kubeconfig}, "--kubeconfig goes with a cluster"},
		"a container is of a workload that lives": {[]string{"blame", "deploy/backend", "--repo", dir, "--container=x"}, "--container goes with a cluster"},
		"blame prints nothing wide":               {[]string{"blame", "x:1", "--repo", dir, "-o", "wide"}, `output "wide": want json or yaml`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			code, out, errs := call(t, tt.args...)
			if code != exitUsage || out != "" || !strings.Contains(errs, tt.says) {
				t.Errorf("exit code %d, %q and %q, want %d and …%s…", code, out, errs, exitUsage, tt.says)
			}
		})
	}
}

func TestHelpOfWhatIsNoCommandIsUsage(t *testing.T) {
	code, out, errs := call(t, "help", "chek")
	if code != exitUsage || out != "" || !strings.Contains(errs, `unknown command "chek" for "backstop"`) || !strings.Contains(errs, "check") {
		t.Errorf("exit code %d, %q and %q", code, out, errs)
	}
	if code, out, errs := call(t, "help", "check"); code != exitOK || errs != "" || !strings.Contains(out, "backstop check [PATH…]") {
		t.Errorf("of one that is: exit code %d, %q and %q", code, out, errs)
	}
}

func TestAReportThatCannotBeWrittenIsTold(t *testing.T) {
	dir, _ := testRepository(t)
	file := filepath.Join(t.TempDir(), "none", "report.json")
	code, _, errs := call(t, "check", dir, "--offline", "-o", "json", "--output-file", file)
	if want := "--output-file " + file + ": no such file or directory"; code != exitUsage || !strings.Contains(errs, want) {
		t.Errorf("exit code %d and %q, want %d and …%s…", code, errs, exitUsage, want)
	}
	// What stands in the file stays until there is a report.
	file = filepath.Join(t.TempDir(), "report.json")
	if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := call(t, "check", dir, "--offline", "--output-file", file, "--base", "nope"); code != exitUsage {
		t.Errorf("exit code %d and %q", code, errs)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "before" {
		t.Errorf("the file has %q (%v)", data, err)
	}
}

func TestAClusterThatWasNamedIsNoClone(t *testing.T) {
	dir, _ := testRepository(t)
	t.Chdir(dir)
	for name, args := range map[string][]string{
		"blame of a namespace":   {"blame", "ghcr.io/acme/backend:v1.1.0", "-n", "production"},
		"what pushes":            {"revert", "ghcr.io/acme/backend:v1.1.0", "--push"},
		"what opens a request":   {"revert", "ghcr.io/acme/backend:v1.1.0", "--pull-request"},
		"a context that is away": {"blame", "ghcr.io/acme/backend:v1.1.0", "--context", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := call(t, args...)
			if code != exitError || out != "" || !strings.Contains(errs, "no cluster: ") {
				t.Errorf("exit code %d, %q and %q", code, out, errs)
			}
		})
	}
	code, out, errs := call(t, "blame", "ghcr.io/acme/backend:v1.1.0")
	if code != exitOK || !strings.Contains(out, "Update from") {
		t.Errorf("who names nothing: exit code %d, %q and %q", code, out, errs)
	}
}

func TestWhatWasMistypedIsNamed(t *testing.T) {
	dir, _ := testRepository(t)
	empty := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args []string
		says string
	}{
		"a kubeconfig that says nothing":     {[]string{"get", "--kubeconfig=" + empty}, "no cluster: " + empty + " names no cluster, and this is no pod\n"},
		"a folder that is not there":         {[]string{"blame", "ghcr.io/acme/backend:v1.1.0", "--repo", dir, "--path", "app"}, "--path app: no such folder in the repository at "},
		"a file in place of a folder":        {[]string{"blame", "ghcr.io/acme/backend:v1.1.0", "--repo", dir, "--path", "apps/production/backend.yaml"}, "--path apps/production/backend.yaml is a file: give its folder, apps/production"},
		"a folder of this machine":           {[]string{"revert", "ghcr.io/acme/backend:v1.1.0", "--dry-run", "--repo", dir, "--path", dir + "/apps"}, "no such folder in the repository at "},
		"a folder that has not the workload": {[]string{"blame", "deploy/backend", "--repo", dir, "--path", "app"}, "--path app: no such folder in the repository at "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			code, out, errs := call(t, tt.args...)
			if code == exitOK || out != "" || !strings.Contains(errs, tt.says) {
				t.Errorf("exit code %d, %q and %q, want …%s…", code, out, errs, tt.says)
			}
		})
	}
}

func TestWhatALaterCommitSaysIsCommitted(t *testing.T) {
	dir, _ := testRepository(t)
	bump(t, dir, "v1.2.0")
	code, _, errs := call(t, "blame", "ghcr.io/acme/backend:v1.2.0", "--repo", dir, "--rev", "HEAD~1")
	if code != exitError || strings.Contains(errs, "not committed") || !strings.Contains(errs, "does not say ghcr.io/acme/backend:v1.2.0") {
		t.Errorf("exit code %d and %q", code, errs)
	}
}

func TestRevertOfWhatGitNoLongerSays(t *testing.T) {
	dir, _ := testRepository(t)
	for _, more := range [][]string{nil, {"--to", "v0.9.0"}} {
		code, _, errs := call(t, append([]string{"revert", "ghcr.io/acme/backend:v1.0.0", "--repo", dir, "--dry-run"}, more...)...)
		if want := "git no longer says ghcr.io/acme/backend:v1.0.0, since "; code != exitError || !strings.Contains(errs, want) {
			t.Errorf("%v: exit code %d and %q, want …%s…", more, code, errs, want)
		}
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestWhatCannotBePrintedIsNoSuccess(t *testing.T) {
	dir, _ := testRepository(t)
	t.Setenv("HOME", t.TempDir())
	for _, args := range [][]string{
		{"version"}, {"--help"}, {"blame", "deploy/backend", "--repo", dir}, {"blame", "deploy/backend", "--repo", dir, "-o", "json"},
		{"revert", "deploy/backend", "--repo", dir, "--dry-run"},
	} {
		var errs strings.Builder
		code := run(t.Context(), append([]string{"backstop"}, args...), streams{in: strings.NewReader(""), out: full{}, err: &errs})
		if code != exitError || !strings.Contains(errs.String(), "no space left on device") {
			t.Errorf("%v: exit code %d and %q", args, code, errs.String())
		}
	}
}

func TestGuardrailsThatDoNotCountAreNamed(t *testing.T) {
	const rails = "environments:\n  p: {paths: [apps], tags: ^x-}\n"
	for name, tt := range map[string]struct {
		file string
		code int
		says string
	}{
		"called otherwise":         {".backstop.yml", exitUsage, ".backstop.yml is not read: guardrails are in .backstop.yaml"},
		"called otherwise below":   {"apps/.backstop.yml", exitOK, "0 findings"},
		"below what is checked":    {"apps/.backstop.yaml", exitOK, "apps/.backstop.yaml:1  these guardrails do not count here"},
		"at the root, as they are": {".backstop.yaml", exitError, "does not match ^x-, which p requires"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := testRepository(t)
			if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(rails), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, errs := call(t, "check", dir, "--offline")
			if code != tt.code || !strings.Contains(out+errs, tt.says) {
				t.Errorf("exit code %d, %q and %q, want %d and …%s…", code, out, errs, tt.code, tt.says)
			}
			// Whoever names them has them count.
			code, out, errs = call(t, "check", dir, "--offline", "--config", filepath.Join(dir, tt.file))
			if code != exitError || strings.Contains(out, "do not count") {
				t.Errorf("with --config: exit code %d, %q and %q", code, out, errs)
			}
		})
	}
}
