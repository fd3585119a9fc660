// Package workflows_test keeps what CI runs from being swapped or misused: actionlint reports whether a workflow is
// well-formed, and these rules are about whom it trusts. They are the audits of zizmor that can be told from the files
// alone; make verify asks zizmor itself too where it is.
package workflows_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const root = "../.."

// workflow is what these rules look at.
type workflow struct {
	On          any            `yaml:"on"`
	Permissions map[string]any `yaml:"permissions"`
	Jobs        map[string]struct {
		Permissions map[string]string `yaml:"permissions"`
		Timeout     int               `yaml:"timeout-minutes"`
		RunsOn      string            `yaml:"runs-on"`
		Steps       []step            `yaml:"steps"`
	} `yaml:"jobs"`
	// Runs is an action's.
	Runs struct{ Steps []step } `yaml:"runs"`
}

type step struct {
	Uses, Run string
	With      map[string]any
}

// pinned is an action by its commit, with its release beside it for whoever reads, and for what updates it.
var pinned = regexp.MustCompile(`^uses: [\w.-]+/[\w./-]+@([0-9a-f]{40}) # v\d+\.\d+\.\d+$`)

// ours is Backstop's own Action, which a reader of the docs takes from a release.
var ours = regexp.MustCompile(`^uses: backstop-dev/backstop/deploy/ci@v\d+\.\d+\.\d+( #.*)?$`)

func TestActionsArePinnedByCommit(t *testing.T) {
	commits := map[string]string{}
	found := 0
	for _, file := range glob(t, ".github/workflows/*.y*ml", "deploy/ci/*.yml", "docs/*.md", "docs/*/*.md") {
		for n, line := range strings.Split(read(t, file), "\n") {
			text := strings.TrimLeft(line, "# -")
			if !strings.HasPrefix(text, "uses: ") || strings.HasPrefix(text, "uses: ./") {
				continue
			}
			found++
			if ours.MatchString(text) && !strings.Contains(file, "workflows") {
				continue
			}
			m := pinned.FindStringSubmatch(text)
			if m == nil {
				t.Errorf("%s:%d: %q names no commit with its release beside it", file, n+1, text)
				continue
			}
			name, _, _ := strings.Cut(strings.TrimPrefix(text, "uses: "), "@")
			if commits[name] == "" {
				commits[name] = text
			}
			if commits[name] != text {
				t.Errorf("%s:%d: %q, and elsewhere %q", file, n+1, text, commits[name])
			}
		}
	}
	if found < 10 {
		t.Errorf("%d actions are looked at", found)
	}
}

func TestWorkflowsMayDoWhatTheyNeedAndNoMore(t *testing.T) {
	// write reports which job may write what, beside which nothing may.
	write := map[string]bool{
		"release.yaml release contents": true, "release.yaml release packages": true, "release.yaml release id-token": true,
		"release.yaml release attestations": true, "scorecard.yaml scorecard security-events": true, "scorecard.yaml scorecard id-token": true,
	}
	for _, file := range glob(t, ".github/workflows/*.y*ml") {
		w := parse(t, file)
		name := filepath.Base(file)
		if w.Permissions == nil || len(w.Permissions) != 0 {
			t.Errorf("%s: permissions are %v, want {}: each job says what it needs", name, w.Permissions)
		}
		on, _ := w.On.(map[string]any)
		for _, trigger := range []string{"pull_request_target", "workflow_run", "issue_comment"} {
			if _, ok := on[trigger]; ok || w.On == trigger {
				t.Errorf("%s: %s runs with rights for what strangers wrote", name, trigger)
			}
		}
		for id, job := range w.Jobs {
			if job.Timeout == 0 || job.Permissions == nil || strings.HasSuffix(job.RunsOn, "latest") {
				t.Errorf("%s: job %s needs timeout-minutes, permissions and a runner by its version", name, id)
			}
			writes := false
			for what, right := range job.Permissions {
				writes = writes || right == "write"
				if right != "read" && !write[name+" "+id+" "+what] {
					t.Errorf("%s: job %s may %s %s", name, id, right, what)
				}
			}
			steps(t, name, job.Steps, writes)
		}
	}
	steps(t, "action.yml", parse(t, filepath.Join(root, "deploy", "ci", "action.yml")).Runs.Steps, false)
}

// steps looks at what runs.
func steps(t *testing.T, name string, steps []step, writes bool) {
	t.Helper()
	if len(steps) == 0 {
		t.Errorf("%s has no steps", name)
	}
	for _, s := range steps {
		if strings.Contains(s.Run, "${{") {
			t.Errorf("%s: an expression in a script lets its value run: hand it over by env:\n%s", name, s.Run)
		}
		if strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["persist-credentials"] != false {
			t.Errorf("%s: actions/checkout leaves its token in the checkout: set persist-credentials: false", name)
		}
		if writes && strings.HasPrefix(s.Uses, "actions/setup-go@") && s.With["cache"] != false {
			t.Errorf("%s: what another workflow left in the cache goes into what is released: set cache: false", name)
		}
		for key, value := range s.With {
			text, _ := value.(string)
			if slices.Contains([]string{"script", "run", "command", "inlineScript"}, key) && strings.Contains(text, "${{") {
				t.Errorf("%s: an expression in %s of %s lets its value run", name, key, s.Uses)
			}
			if writes && strings.HasPrefix(key, "cache-") {
				t.Errorf("%s: %s of %s brings what another workflow left into what is released", name, key, s.Uses)
			}
		}
		if writes && strings.HasPrefix(s.Uses, "actions/cache") {
			t.Errorf("%s: actions/cache brings what another workflow left into what is released", name)
		}
	}
}

// builder is the image that builds, by its release and its digest.
var builder = regexp.MustCompile(`(?m)^\s*(?:FROM(?: --platform=\S+)?|image:) +(\S+)`)

// Dependabot renews the Dockerfile's, and nothing GitLab's: they are one.
func TestImagesArePinnedByDigest(t *testing.T) {
	found := map[string]bool{}
	for _, file := range glob(t, "Dockerfile", "deploy/ci/gitlab.yml") {
		for _, m := range builder.FindAllStringSubmatch(read(t, file), -1) {
			if m[1] == "scratch" {
				continue
			}
			if !regexp.MustCompile(`^[\w./-]+:[\w.]+@sha256:[0-9a-f]{64}$`).MatchString(m[1]) {
				t.Errorf("%s: %s has no digest beside its tag", file, m[1])
			}
			found[m[1]] = true
		}
	}
	if len(found) != 1 {
		t.Errorf("the images that build are %v, want one", found)
	}
}

// never are words that no workflow and no action has, by the audit of zizmor that looks for them.
var never = map[string]*regexp.Regexp{
	"secrets-inherit: a called workflow gets every secret":               regexp.MustCompile(`secrets:\s*inherit`),
	"overprovisioned-secrets: a step gets every secret":                  regexp.MustCompile(`(?i)toJSON\(\s*secrets\s*\)|secrets\[`),
	"unredacted-secrets: a part of a secret is not masked in the log":    regexp.MustCompile(`(?i)fromJSON\(\s*secrets\.`),
	"insecure-commands: what a step prints becomes a command":            regexp.MustCompile(`ACTIONS_ALLOW_UNSECURE_COMMANDS`),
	"bot-conditions: whoever triggers again passes for the bot":          regexp.MustCompile(`github\.(triggering_)?actor\s*[!=]=`),
	"unsound-contains: a part of a name passes for the name":             regexp.MustCompile(`contains\(\s*'`),
	"unsound-condition: a block of text is always true":                  regexp.MustCompile(`\bif: [|>]`),
	"self-hosted-runner: what one job leaves another one finds":          regexp.MustCompile(`self-hosted`),
	"hardcoded-container-credentials: a password stands in the workflow": regexp.MustCompile(`(?m)^\s+password: *[^$\s]`),
	"unpinned-images: an image without a digest":                         regexp.MustCompile(`(?m)^\s+(?:container|image): *[^\s@{]+$|docker://[^\s@]+$`),
	"github-env: what a step writes is the environment of the next":      regexp.MustCompile(`GITHUB_ENV`),
	"undocumented-permissions: nobody knows why it may write":            regexp.MustCompile(`(?m)^\s+[a-z-]+: write$`),
	"secrets-outside-env: any branch's workflow may read the secret":     regexp.MustCompile(`\bsecrets\.\w`),
	"misfeature: a shell or an option that goes wrong silently":          regexp.MustCompile(`shell: *cmd\b|pip-install:`),
	"archived-uses: nobody mends the action any more": regexp.MustCompile(
		`uses: (?:actions-rs/|actions/(?:create-release|upload-release-asset|setup-ruby|setup-elixir|setup-haskell)@)`),
	"obfuscation: an address that is not what it looks like": regexp.MustCompile(`uses: [^\s]*(//|/\./|\.\.)`),
}

func TestNoWorkflowHasWhatZizmorFinds(t *testing.T) {
	for _, file := range glob(t, ".github/workflows/*.y*ml", "deploy/ci/action.yml") {
		text := read(t, file)
		for why, words := range never {
			if found := words.FindString(text); found != "" {
				t.Errorf("%s: %s: %q", file, why, strings.TrimSpace(found))
			}
		}
		if !strings.HasPrefix(text, "name: ") && !strings.Contains(text, "\nname: ") {
			t.Errorf("%s: anonymous-definition: it has no name", file)
		}
	}
	for text, audit := range map[string]string{
		"    secrets: inherit": "secrets-inherit", "env: {ALL: ${{ toJSON(secrets) }}}": "overprovisioned-secrets",
		"if: github.actor == 'dependabot[bot]'": "bot-conditions", "runs-on: [self-hosted, linux]": "self-hosted-runner",
		"      password: hunter2": "hardcoded-container-credentials", "    container: golang:1.26": "unpinned-images",
		`run: echo "A=$B" >>"$GITHUB_ENV"`: "github-env", "if: |\n  ${{ false }}": "unsound-condition",
		"      contents: write": "undocumented-permissions", "KEY: ${{ secrets.KEY }}": "secrets-outside-env",
		"uses: actions/create-release@v1": "archived-uses", "  shell: cmd": "misfeature",
		"if: contains('refs/heads/main', github.ref)": "unsound-contains", "uses: actions/./checkout@v4": "obfuscation",
	} {
		found := false
		for why, words := range never {
			found = found || strings.HasPrefix(why, audit) && words.MatchString(text)
		}
		if !found {
			t.Errorf("%s does not find %q", audit, text)
		}
	}
}

func glob(t *testing.T, patterns ...string) []string {
	t.Helper()
	var out []string
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, found...)
	}
	if len(out) == 0 {
		t.Fatalf("nothing is %q", patterns)
	}
	return out
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func parse(t *testing.T, file string) workflow {
	t.Helper()
	var w workflow
	if err := yaml.Unmarshal([]byte(read(t, file)), &w); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return w
}
