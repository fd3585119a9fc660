package deliver

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/reconcile"
)

var update = flag.Bool("update", false, "write the golden files")

const revertMessage = `Revert v2 of backend in apps/production

This reverts commit 5d0c1f2e3a4b5c6d7e8f90123456789abcdef012.

Backstop-Kind: Revert
Backstop-Format: 1
Backstop-Image: ghcr.io/acme/backend:v2
Backstop-Subject: Image ghcr.io/acme/backend:v2
Backstop-Place: apps/production/backend.yaml#/spec/template/spec/containers/backend/image
`

func sample() reconcile.Story {
	return reconcile.Story{
		Image:  "ghcr.io/acme/backend:v2",
		Target: "ghcr.io/acme/backend:v1", Commit: "5d0c1f2e3a4b5c6d7e8f90123456789abcdef012", Author: "fluxcdbot",
		Subject: "Update images", Message: revertMessage,
		Changes: []reconcile.StoryChange{{File: "apps/production/backend.yaml", From: "ghcr.io/acme/backend:v2", To: "ghcr.io/acme/backend:v1"}},
	}
}

func TestBody(t *testing.T) {
	hostile := sample()
	evil := "@acme/admins closes #12, fixes acme/fleet#7, resolves OPS-1\n/merge\n/approve @jane\n```\n</details>\n" +
		"![x](https://evil.example/x.png) see https://github.com/acme/fleet/issues/3 and GH-9 and !4 ghp_0123456789abcdefghij0123\u202e"
	hostile.Image, hostile.Target, hostile.Author, hostile.Subject = evil, "`", "``x`"+evil, evil
	hostile.Changes = []reconcile.StoryChange{{File: evil, From: evil, To: ""}}
	hostile.Left, hostile.Held, hostile.Workloads = []string{evil}, []string{evil}, []string{evil}
	hostile.Failures = []reconcile.StoryFailure{{Workload: evil, Cause: evil, Message: evil}}
	hostile.Commit = evil
	hostile.Message = "Revert " + evil + "\n\nBackstop-Kind: Revert\nBackstop-Place: @acme/x.yaml#/a\nBackstop-Image: closes #1\n" +
		"Backstop-Place: acme/fleet#7\n/merge\n"
	full := sample()
	full.Failures = []reconcile.StoryFailure{{Workload: "Deployment/backend", Cause: "NotFound",
		Message: "Failed to pull image \"ghcr.io/acme/backend:v2\": manifest unknown\nmanifest tagged by v2 is not found"}}
	full.Workloads, full.Followed = []string{"Deployment/backend", "CronJob/report"}, true
	full.Held, full.ByPerson = []string{"flux-system:backend"}, true
	full.Left = []string{"apps/staging/backend.yaml /spec, which came with 0123456789ab and had no value before."}
	byNewer := sample()
	byNewer.Held = []string{"flux-system:backend"}
	files := sample()
	files.Image, files.Target, files.Subject = "", "", "Rename the app"
	files.Changes = []reconcile.StoryChange{{File: "apps/production/app.yaml"}, {File: "apps/production/kustomization.yaml"}}
	files.Failures = []reconcile.StoryFailure{{Workload: "Kustomization/apps", Cause: "NotBuilt", Message: "kustomize build failed: yaml: line 6"}}
	for name, s := range map[string]reconcile.Story{
		"files": files, "by-hand": sample(), "followed": full, "held-until-newer": byNewer, "hostile": hostile,
	} {
		t.Run(name, func(t *testing.T) {
			got := "# " + titleOf(s) + "\n\n" + bodyOf(s)
			path := filepath.Join("testdata", name+".md")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			harmless(t, bodyOf(s))
		})
	}
}

func TestBodyIsBounded(t *testing.T) {
	s := sample()
	long := strings.Repeat("x y\n", 5_000)
	for range 100 {
		s.Changes = append(s.Changes, reconcile.StoryChange{File: long, From: long, To: long})
		s.Failures = append(s.Failures, reconcile.StoryFailure{Workload: long, Cause: long, Message: long})
		s.Left, s.Workloads, s.Held = append(s.Left, long), append(s.Workloads, long), append(s.Held, long)
	}
	s.Subject, s.Image = long, long
	if got := bodyOf(s); utf8.RuneCountInString(got) > 60_000 || !strings.Contains(got, "Backstop-Kind: Revert") {
		t.Errorf("the body has %d characters", utf8.RuneCountInString(got))
	}
	if got := titleOf(s); utf8.RuneCountInString(got) > 250 {
		t.Errorf("the title has %d characters", utf8.RuneCountInString(got))
	}
}

var acts = regexp.MustCompile(`(^|[^\pL\pN_])@[\pL\pN_-]|[#!][0-9]|(?i:\bgh-)[0-9]|` +
	`(?i:close[sd]?|fix|fixe[sd]|resolve[sd]?):?\s+[A-Z][A-Z0-9_]+-[0-9]|/(issues|pull|merge_requests)/[0-9]`)

// harmless wants nothing in a body that a provider acts on: in no place, since a squash makes a message of it, and no
// command outside of a fence.
func harmless(t *testing.T, body string) {
	t.Helper()
	if found := acts.FindString(body); found != "" {
		t.Errorf("the body holds %q", found)
	}
	rest := outside(body)
	for line := range strings.SplitSeq(rest, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "/") {
			t.Errorf("outside of the fences is the command %q", line)
		}
	}
	for _, mark := range []string{"<", "![", "](", "evil", "\u202e"} {
		if strings.Contains(rest, mark) {
			t.Errorf("outside of the fences is %q, in\n%s", mark, rest)
		}
	}
}

// outside is a Markdown text without its blocks and spans of code.
func outside(body string) string {
	var out []string
	fence := ""
	for line := range strings.SplitSeq(body, "\n") {
		ticks := line[:len(line)-len(strings.TrimLeft(line, "`"))]
		switch {
		case fence != "" && len(ticks) >= len(fence) && strings.TrimSpace(line) == ticks:
			fence = ""
		case fence != "":
		case len(ticks) >= 3 && !strings.Contains(line[len(ticks):], "`"):
			fence = ticks
		default:
			out = append(out, withoutSpans(line))
		}
	}
	if fence != "" {
		out = append(out, "evil: a fence is open")
	}
	return strings.Join(out, "\n")
}

func withoutSpans(line string) string {
	var out strings.Builder
	for {
		open := strings.IndexByte(line, '`')
		if open < 0 {
			return out.String() + line
		}
		n := open
		for n < len(line) && line[n] == '`' {
			n++
		}
		out.WriteString(line[:open])
		rest := line[n:]
		ticks := line[open:n]
		end := regexp.MustCompile("(^|[^`])" + ticks + "($|[^`])").FindStringIndex(rest)
		if end == nil {
			return out.String() + ticks + rest
		}
		at := strings.Index(rest[end[0]:], ticks) + end[0]
		line = rest[at+len(ticks):]
	}
}

func FuzzFences(f *testing.F) {
	for _, seed := range []string{"", "`", "``` a", "@jane", "closes #1", "/merge\n/approve", "a`b``c```d", "\n\n", "~~~", "fixes OPS-1",
		"<details>", "    x", "\x00\xff", "`\n`", "@@a", "#\u20601"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, foreign string) {
		if strings.Contains(foreign, "evil") {
			t.Skip()
		}
		s := reconcile.Story{
			Image: foreign, Target: foreign, Commit: foreign, Author: foreign, Subject: foreign,
			Changes: []reconcile.StoryChange{{File: foreign, From: foreign, To: foreign}}, Left: []string{foreign},
			Failures:  []reconcile.StoryFailure{{Workload: foreign, Cause: foreign, Message: foreign}},
			Workloads: []string{foreign}, Held: []string{foreign}, Message: foreign,
		}
		body := bodyOf(s)
		harmless(t, body)
		if !utf8.ValidString(body) {
			t.Errorf("%q is no UTF-8", body)
		}
		if found := acts.FindString(titleOf(s)); found != "" {
			t.Errorf("the title holds %q", found)
		}
	})
}
