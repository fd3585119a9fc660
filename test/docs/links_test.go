// Package docs_test keeps the documentation walkable: every link leads somewhere, every page is reached, and what
// people are told to run is there.
package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	anchor  = regexp.MustCompile(`<a id="([^"]+)">`)
	fenced  = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	// dropped are the signs that GitHub leaves out of the name of a heading.
	dropped = regexp.MustCompile(`[^\p{L}\p{N}\- _]`)
	// told are the make targets and the paths of this repository in commands.
	target = regexp.MustCompile(`\bmake ([a-z][a-z-]*)\b`)
	ours   = regexp.MustCompile(`github\.com/backstop-dev/backstop//([\w./-]+)`)
	path   = regexp.MustCompile(`(?:^|[\s` + "`" + `])((?:deploy|scripts|docs|gate|test)/[\w./-]+)`)
)

// pages are every page of the documentation, by its path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out[filepath.Clean(file)] = string(text)
		}
	}
	if len(out) < 20 {
		t.Fatalf("%d pages", len(out))
	}
	return out
}

// names are the anchors of a page.
func names(text string) map[string]bool {
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		title := strings.ToLower(strings.ReplaceAll(m[1], "`", ""))
		out[strings.ReplaceAll(dropped.ReplaceAllString(title, ""), " ", "-")] = true
	}
	for _, m := range anchor.FindAllStringSubmatch(text, -1) {
		out[m[1]] = true
	}
	return out
}

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	all := pages(t)
	for file, text := range all {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			to, name, _ := strings.Cut(m[1], "#")
			at := file
			if to != "" {
				at = filepath.Join(filepath.Dir(file), to)
			}
			if _, err := os.Stat(at); err != nil {
				t.Errorf("%s links to %s, which is not there", file, m[1])
				continue
			}
			if text, page := all[at]; page && name != "" && !names(text)[name] {
				t.Errorf("%s links to %s, and %s has no such heading", file, m[1], to)
			}
		}
	}
}

// TestEveryPageIsReached starts where a newcomer does.
func TestEveryPageIsReached(t *testing.T) {
	all := pages(t)
	seen := map[string]bool{}
	var walk func(string)
	walk = func(file string) {
		if _, page := all[file]; !page || seen[file] {
			return
		}
		seen[file] = true
		for _, m := range link.FindAllStringSubmatch(all[file], -1) {
			to, _, _ := strings.Cut(m[1], "#")
			walk(filepath.Join(filepath.Dir(file), to))
		}
	}
	walk(filepath.Join(root, "README.md"))
	for file := range all {
		if !seen[file] && filepath.Base(file) != "SECURITY.md" {
			t.Errorf("no way leads from README.md to %s", file)
		}
	}
}

func TestWhatTheDocsTellToRunIsThere(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range pages(t) {
		if filepath.Base(file) == "CHANGELOG.md" {
			continue
		}
		for _, m := range ours.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, strings.TrimSuffix(m[1], "."))); err != nil {
				t.Errorf("%s names %s, which is not there", file, m[1])
			}
		}
		for _, block := range append(fenced.FindAllString(text, -1), inlineCode(text)...) {
			for _, m := range target.FindAllStringSubmatch(block, -1) {
				if !strings.Contains(string(makefile), "\n"+m[1]+":") {
					t.Errorf("%s says make %s, and there is no such target", file, m[1])
				}
			}
			for _, m := range path.FindAllStringSubmatch(block, -1) {
				if strings.HasPrefix(m[1], "deploy/") && strings.Count(m[1], "/") == 1 {
					continue // kubectl's short name for a Deployment
				}
				if _, err := os.Stat(filepath.Join(root, strings.TrimRight(m[1], "./"))); err != nil {
					t.Errorf("%s names %s, which is not there", file, m[1])
				}
			}
		}
	}
}

var code = regexp.MustCompile("`[^`\n]+`")

func inlineCode(text string) []string {
	return code.FindAllString(fenced.ReplaceAllString(text, ""), -1)
}

// TestVersionsInTheDocsAreOne holds what people copy to the release that the kustomizations name.
func TestVersionsInTheDocsAreOne(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "deploy", "ci", "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`default: (v\d+\.\d+\.\d+)`).FindStringSubmatch(string(text))
	if m == nil {
		t.Fatal("the Action names no release")
	}
	version := regexp.MustCompile(`(?:releases/download/|deploy/ci@|\?ref=|manifests/backstop:|backstop/)(v\d+\.\d+\.\d+)`)
	for file, text := range pages(t) {
		for _, found := range version.FindAllStringSubmatch(text, -1) {
			if found[1] != m[1] {
				t.Errorf("%s names %s, and the release is %s", file, found[1], m[1])
			}
		}
	}
}
