package gitrepo

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// clone is a repository on this machine whose history a test writes.
type clone struct {
	*testing.T
	dir string
	now time.Time
}

func newClone(t *testing.T) *clone {
	t.Helper()
	c := &clone{T: t, dir: t.TempDir(), now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	c.git("init", "--quiet", "--initial-branch=main")
	return c
}

func (c *clone) git(args ...string) string {
	c.Helper()
	cmd := exec.CommandContext(c.Context(), "git", args...)
	cmd.Dir = c.dir
	date := fmt.Sprintf("%d +0000", c.now.Unix())
	cmd.Env = append(gitserver.Env(), "GIT_AUTHOR_NAME=Jane", "GIT_AUTHOR_EMAIL=jane@example.com", "GIT_COMMITTER_NAME=Jane",
		"GIT_COMMITTER_EMAIL=jane@example.com", "GIT_AUTHOR_DATE="+date, "GIT_COMMITTER_DATE="+date)
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// put writes files, given as path, content, path, content, removes those without content, and commits.
func (c *clone) put(message string, files ...string) {
	c.Helper()
	for i := 0; i+1 < len(files); i += 2 {
		name := filepath.Join(c.dir, files[i])
		if files[i+1] == "" {
			if err := os.Remove(name); err != nil {
				c.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			c.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o644); err != nil {
			c.Fatal(err)
		}
	}
	c.commit(message)
}

// replace edits a file and commits.
func (c *clone) replace(message, name, before, after string) {
	c.Helper()
	data := c.read(name)
	if !strings.Contains(data, before) {
		c.Fatalf("%s does not hold %q", name, before)
	}
	c.put(message, name, strings.ReplaceAll(data, before, after))
}

func (c *clone) read(name string) string {
	c.Helper()
	data, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		c.Fatal(err)
	}
	return string(data)
}

// move renames a file or folder and commits.
func (c *clone) move(message, from, to string) {
	c.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(c.dir, to)), 0o755); err != nil {
		c.Fatal(err)
	}
	c.git("mv", from, to)
	c.commit(message)
}

func (c *clone) commit(message string) {
	c.Helper()
	c.now = c.now.Add(time.Hour)
	c.git("add", "--all")
	c.git("commit", "--quiet", "-m", message)
}

// idle adds commits that change nothing.
func (c *clone) idle(commits int) {
	c.Helper()
	var in strings.Builder
	for n := range commits {
		fmt.Fprintf(&in, "commit refs/heads/main\ncommitter J <j@example.com> %d +0000\ndata 4\nidle\n", c.now.Unix())
		if n == 0 {
			in.WriteString("from refs/heads/main^0\n")
		}
	}
	cmd := exec.CommandContext(c.Context(), "git", "fast-import", "--quiet")
	cmd.Dir, cmd.Env, cmd.Stdin = c.dir, gitserver.Env(), strings.NewReader(in.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		c.Fatalf("import: %v: %s", err, out)
	}
}

func (c *clone) open() *Local {
	c.Helper()
	l, err := OpenLocal(c.dir, "", Options{Now: func() time.Time { return c.now }})
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { _ = l.Close() })
	return l
}

// ask is what a person at the root of the clone asks.
func ask(image string) reconcile.Query {
	return reconcile.Query{Image: image, Root: reconcile.Root{By: v1alpha1.ObjectRef{Kind: "folder", Name: "."}}}
}

// undo blames an image and gives the suspect and the diff of the revert to the newest former value; without lines where
// no such branch exists.
func (c *clone) undo(q reconcile.Query) (s v1alpha1.Suspect, lines []string) {
	c.Helper()
	l := c.open()
	s, err := l.Blame(c.Context(), q)
	if err != nil {
		c.Fatalf("blame %s: %v", q.Image, err)
	}
	former, err := l.Former(c.Context(), s, 8)
	if err != nil {
		c.Fatalf("former: %v", err)
	}
	if len(former) == 0 {
		return s, nil
	}
	plan, err := l.Plan(c.Context(), []reconcile.Revert{{
		Image: q.Image, Suspect: s, Target: v1alpha1.Target{Image: former[0].Image, Values: former[0].Values},
	}}, reconcile.Source{})
	if err == nil {
		err = plan.Landings[0].Err
	}
	if err != nil {
		c.Fatalf("plan: %v", err)
	}
	return s, diffOf(plan.Reverted)
}

// diffOf lists the lines that a plan takes out and puts in, file by file.
func diffOf(files []FileChange) []string {
	var out []string
	for _, f := range files {
		before, after := strings.Split(string(f.Before), "\n"), strings.Split(string(f.After), "\n")
		for _, line := range without(before, after) {
			out = append(out, f.Path+" -"+strings.TrimSpace(line))
		}
		for _, line := range without(after, before) {
			out = append(out, f.Path+" +"+strings.TrimSpace(line))
		}
	}
	return out
}

// without lists the lines of a text that another one has less often.
func without(a, b []string) []string {
	count := map[string]int{}
	for _, line := range b {
		count[line]++
	}
	var out []string
	for _, line := range a {
		if count[line]--; count[line] < 0 {
			out = append(out, line)
		}
	}
	return out
}

// app is a Deployment.
func app(name, image string) string { return deployment("shop", name, image, "") }

// release is a HelmRelease with values.
func release(name, values string) string {
	return "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: " + name + "}\nspec:\n  values:\n" +
		"    " + strings.ReplaceAll(strings.TrimSpace(values), "\n", "\n    ") + "\n"
}

// undoneByPerson describes what a person who asks for an image undoes, which the commit "bump" brought.
func (c *clone) undoneByPerson(t *testing.T, image string, want []string) {
	t.Helper()
	c.put("readme", "README.md", "a\n")
	q := ask(image)
	q.ByPerson = true
	s, diff := c.undo(q)
	if s.Subject != "bump" {
		t.Errorf("blamed %q: %+v", s.Subject, s.Places)
	}
	sameLines(t, diff, want)
}

func sameLines(t *testing.T, diff, want []string) {
	t.Helper()
	if got, want := strings.Join(diff, "\n"), strings.Join(want, "\n"); got != want {
		t.Errorf("the revert is\n%s\nwant\n%s", got, want)
	}
}
