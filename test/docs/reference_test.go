package docs_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// source is all Go of some files and folders, without tests.
func source(t *testing.T, places ...string) string {
	t.Helper()
	var all strings.Builder
	for _, place := range places {
		err := filepath.WalkDir(filepath.Join(root, place), func(at string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || filepath.Ext(at) != ".go" || strings.HasSuffix(at, "_test.go") {
				return err
			}
			text, err := os.ReadFile(at)
			all.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// all is what a pattern finds in its first group.
func all(text, pattern string) map[string]bool {
	out := map[string]bool{}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		out[m[1]] = true
	}
	return out
}

// section is what stands below a heading of a page.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/%s has no section %q", page, heading)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	return rest
}

// rows are the names in the first column of the tables of a section.
func rows(t *testing.T, page, heading string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for line := range strings.Lines(section(t, page, heading)) {
		if first, _, row := strings.Cut(strings.TrimPrefix(line, "| "), " |"); row && strings.HasPrefix(line, "| ") {
			maps.Copy(out, all(first, "`([^`]+)`"))
		}
	}
	return out
}

// same describes what only one of code and reference has.
func same(t *testing.T, what string, code, reference map[string]bool) {
	t.Helper()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(code)), slices.Sorted(maps.Keys(reference))); diff != "" || len(code) == 0 {
		t.Errorf("%s (-code +reference):\n%s", what, diff)
	}
}

// TestReferenceNamesWhatScriptsGoBy holds the words of the reference to those in the code, both ways.
func TestReferenceNamesWhatScriptsGoBy(t *testing.T) {
	const page = "reference/conditions.md"
	_, phase, _ := strings.Cut(source(t, "api/v1alpha1"), ") PhaseNow() string {")
	phase, _, _ = strings.Cut(phase, "\n}\n")
	same(t, "phases", all(phase, `return "([A-Z]\w+)"`), rows(t, page, "Phases of a Rollback"))

	same(t, "conditions of a Rollback", all(source(t, "reconcile/status.go"), `Type: "([A-Z]\w+)"`), rows(t, page, "Conditions of a Rollback"))

	policy := source(t, "reconcile/policystatus.go", "notify/slack/condition.go")
	words := all(policy, `(?:\bType: |\.Type, stalled\.Status = |const Ready = )"([A-Z]\w+)"`)
	maps.Copy(words, all(policy, `say\(metav1\.Condition\w+, "([A-Z]\w+)"`))
	same(t, "conditions and reasons of a RollbackPolicy", words, rows(t, page, "Conditions of a RollbackPolicy"))

	slack := source(t, "notify/slack")
	words = all(slack, `trouble\("([A-Z]\w+)"`)
	maps.Copy(words, all(slack, `c\.Reason, c\.Message = "([A-Z]\w+)"`))
	same(t, "reasons of SlackReady", words, rows(t, "slack.md", "When it does not work"))

	news := source(t, "notify/news.go", "notify/kubeevents")
	words = all(news, `\.say\("([A-Z]\w+)"`)
	maps.Copy(words, all(news, `\breason(?:, what)? :?= "([A-Z]\w+)"`))
	maps.Copy(words, all(news, `EventTypeWarning, "([A-Z]\w+)"`))
	same(t, "reasons of Events", words, rows(t, page, "Events"))

	keys := all(source(t, "reconcile"), `"(backstop\.dev/[a-z-]+)"`)
	same(t, "labels and annotations", keys, rows(t, page, "Labels and annotations"))

	same(t, "results", all(source(t, "api/v1alpha1"), `\bResult\w+ +Result = "([A-Z]\w+)"`), rows(t, "how-it-works.md", "How it ends"))
}

// TestReferenceNamesTheEnvironment holds the variables of the reference to those that are read, both ways.
func TestReferenceNamesTheEnvironment(t *testing.T) {
	const page = "reference/environment.md"
	code := source(t, "cmd", "gate", "reconcile", "internal", "watcher", "notify", "trace", "doctor")
	read := all(code, `Getenv\("([A-Z_]+)"\)`)
	maps.Copy(read, all(code, `"([A-Z]+(?:_[A-Z]+)*_TOKEN)"`))
	maps.Copy(read, all(code, `"((?:GH|GL|GITLAB|GITHUB|GITEA|CI)_(?:HOST|URI|SERVER_URL))"`))
	manifest, err := os.ReadFile(filepath.Join(root, "deploy", "kustomize", "base", "deployment.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(read, all(string(manifest), `(?m)^ +- name: ([A-Z][A-Z_]+)$`))
	// What libraries read: client-go, Go itself, and those that know the logins of registries.
	for _, name := range []string{"KUBECONFIG", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE"} {
		read[name] = true
	}
	named := rows(t, page, "The commands")
	maps.Copy(named, rows(t, page, "The sidecar"))
	same(t, "variables", read, named)

	script := map[string]bool{}
	for _, name := range []string{"install.sh", "check.sh", "gitlab.yml"} {
		text, err := os.ReadFile(filepath.Join(root, "deploy", "ci", name))
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(script, all(string(text), `(?m)^#   ([A-Z]+)  `))
		maps.Copy(script, all(string(text), `(?m)^    (BACKSTOP_[A-Z]+):`))
	}
	named = rows(t, page, "The scripts for CI")
	same(t, "variables of the scripts for CI", script, named)
}

// TestPoliciesAreExplained holds docs/policies.md to the fields of a RollbackPolicy, and what Backstop may do to its
// Roles.
func TestPoliciesAreExplained(t *testing.T) {
	fields := all(section(t, "reference/api.md", "RollbackPolicy"), "(?m)^\\| `spec\\.(\\w+)` ")
	page, err := os.ReadFile(filepath.Join(root, "docs", "policies.md"))
	if err != nil || len(fields) < 10 {
		t.Fatalf("%d fields: %v", len(fields), err)
	}
	for name := range fields {
		if !regexp.MustCompile("(?m)^\\| `" + name + "[.`[]").Match(page) {
			t.Errorf("docs/policies.md does not explain spec.%s", name)
		}
	}
	rights := strings.ToLower(section(t, "security.md", "Rights"))
	for _, file := range []string{"rbac/role.yaml", "default/cluster-role.yaml"} {
		text, err := os.ReadFile(filepath.Join(root, "deploy", "kustomize", filepath.FromSlash(file)))
		if err != nil {
			t.Fatal(err)
		}
		for list := range all(string(text), `(?m)^  resources: \[(.*)\]`) {
			for kind := range strings.SplitSeq(list, ", ") {
				kind, _, _ = strings.Cut(strings.Replace(kind, "validatingadmission", "admission ", 1), "bindings")
				kind, _, _ = strings.Cut(kind, "/")
				if !strings.Contains(rights, strings.Replace(kind, "policy", "policies", 1)) && !strings.Contains(rights, kind) {
					t.Errorf("docs/security.md does not say why Backstop may read or write %s", kind)
				}
			}
		}
	}
}

var (
	flagAlone = regexp.MustCompile("`(--[a-z][a-z-]+)[^`\n]*`")
	fieldPath = regexp.MustCompile("`\\.?((?:spec|status)\\.[\\w.\\[\\]]+)`")
)

// fluxFields are those of Flux's kinds, where the docs name one without its kind.
var fluxFields = []string{
	"spec.wait", "spec.healthChecks", "spec.timeout", "spec.git.push.branch", "spec.channel", "spec.address", "spec.secretRef",
	"spec.certSecretRef", "spec.proxySecretRef", "spec.driftDetection", "spec.images", "spec.path", "status.history",
}

// TestFlagsAndFieldsInTheDocsExist holds what the pages name to the reference, which is written from the program and
// the types.
func TestFlagsAndFieldsInTheDocsExist(t *testing.T) {
	pages := pages(t)
	reference := func(name string) string { return pages[filepath.Join(root, "docs", "reference", name)] }
	flags := all(reference("sidecar.md")+reference("commands.md"), `(--[a-z][a-z-]+)`)
	fields := map[string]bool{}
	for path := range all(reference("api.md"), "(?m)^\\| `([^`]+)`") {
		fields[strings.ReplaceAll(path, "[]", "")] = true
	}
	found := 0
	for file, text := range pages {
		if filepath.Base(file) == "CHANGELOG.md" {
			continue
		}
		text = fenced.ReplaceAllString(text, "")
		for name := range all(text, flagAlone.String()) {
			found++
			if !flags[name] {
				t.Errorf("%s names the flag %s, which no command and not the sidecar has", file, name)
			}
		}
		for path := range all(text, fieldPath.String()) {
			found++
			if !fields[strings.ReplaceAll(path, "[]", "")] && !slices.Contains(fluxFields, path) {
				t.Errorf("%s names the field %s, which docs/reference/api.md does not have", file, path)
			}
		}
	}
	if found < 60 {
		t.Errorf("%d flags and fields found", found)
	}
}
