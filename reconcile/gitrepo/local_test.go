package gitrepo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// plan opens a folder, blames and plans.
func (w *world) plan(dir, rev string) (*Local, *Plan) {
	w.Helper()
	l, err := OpenLocal(dir, rev, Options{Now: func() time.Time { return w.now }, AuthorName: "Jane", AuthorEmail: "jane@example.com"})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = l.Close() })
	s, err := l.Blame(w.Context(), query(repo+":"+tag1))
	if err != nil {
		w.Fatal(err)
	}
	former, err := l.Former(w.Context(), s, 8)
	if err != nil || len(former) == 0 {
		w.Fatalf("former: %v %v", former, err)
	}
	p, err := l.Plan(w.Context(), []reconcile.Revert{{
		Rollback: "local/develop/backend", Image: s.Image, Suspect: s, Hold: true,
		Target: v1alpha1.Target{Image: former[0].Image, Values: former[0].Values},
	}}, reconcile.Source{})
	if err != nil {
		w.Fatal(err)
	}
	return l, p
}

func TestRepositoryThatHasNothingToRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for want, args := range map[string][]string{
		"has no commit yet, and the repository has no branch": nil,
		"named by SHA-256": {"--object-format=sha256"},
	} {
		dir := t.TempDir()
		w.run(dir, append([]string{"init", "--quiet"}, args...)...)
		if _, err := OpenLocal(dir, "", Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("opened as %v, want %q", err, want)
		}
	}
}

func TestPlanOnACloneWritesNothing(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	sub := filepath.Join(w.work, "apps")
	linked := filepath.Join(t.TempDir(), "linked")
	w.git("worktree", "add", "--quiet", "--detach", linked, "main")
	packed := filepath.Join(t.TempDir(), "borrowed")
	w.run(t.TempDir(), "clone", "--quiet", "--shared", w.bare, packed)
	for _, dir := range []string{w.work, sub, w.bare, linked, packed} {
		before := w.run(dir, "count-objects")
		_, p := w.plan(dir, "")
		if after := w.run(dir, "count-objects"); after != before {
			t.Errorf("%s: objects before %s, after %s", dir, before, after)
		}
		held := strings.Replace(backend(tag0), "# {", "# backstop:hold not="+tag1+" since="+w.now.Format(time.RFC3339)+" {", 1)
		if diff := cmp.Diff([]FileChange{{file, []byte(backend(tag1)), []byte(backend(tag0))}}, p.Reverted); diff != "" {
			t.Errorf("%s: reverted (-want +got):\n%s", dir, diff)
		}
		if diff := cmp.Diff([]FileChange{{file, []byte(backend(tag0)), []byte(held)}}, p.Held); diff != "" {
			t.Errorf("%s: held (-want +got):\n%s", dir, diff)
		}
		if len(p.Messages) != 2 || !strings.Contains(p.Messages[0], "This reverts commit "+bad+".") {
			t.Errorf("%s: messages %q", dir, p.Messages)
		}
		if p.Landings[0].Err != nil || p.Landings[0].Change.Hold != p.Head {
			t.Errorf("%s: landings %+v", dir, p.Landings)
		}
	}
}

func TestPlanIsCommittedOnABranch(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	l, p := w.plan(w.work, "main")
	if l.Branch() != "main" || l.Tip() != bad {
		t.Errorf("branch %q at %s", l.Branch(), l.Tip())
	}
	if err := p.Commit("main"); err == nil || !strings.Contains(err.Error(), "is checked out") {
		t.Errorf("commit on what is checked out gives %v", err)
	}
	for _, bad := range []string{"", "a..b", "-x/../../y", "a b"} {
		if err := p.Commit(bad); err == nil {
			t.Errorf("branch %q was written", bad)
		}
	}
	if err := p.Commit("backstop/revert"); err != nil {
		t.Fatal(err)
	}
	if got := w.git("rev-parse", "backstop/revert"); got != p.Head {
		t.Errorf("the branch is at %s, want %s", got, p.Head)
	}
	w.git("fsck", "--strict")
	if got := w.git("diff", "--stat", "HEAD"); got != "" {
		t.Errorf("the work tree changed: %s", got)
	}
	if err := p.Commit("backstop/revert"); err == nil || !strings.Contains(err.Error(), "give another branch") {
		t.Errorf("commit on a branch that is elsewhere gives %v", err)
	}
	// A bare repository has no work tree that could fall behind.
	_, p = w.plan(w.bare, "main")
	if err := p.Commit("main"); err != nil {
		t.Fatal(err)
	}
	w.sameTreeAsGitRevert(w.run(w.bare, "rev-parse", "main^"), bad)
}

func TestPlanIsPushedByGit(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	_, p := w.plan(w.work, "")
	if err := p.Push(t.Context(), "nowhere", "main"); err == nil || !strings.Contains(err.Error(), `no remote "nowhere"`) {
		t.Errorf("push to no remote gives %v", err)
	}
	if err := p.Push(t.Context(), "origin", "main"); err != nil {
		t.Fatal(err)
	}
	w.sameTreeAsGitRevert(w.run(w.bare, "rev-parse", "main^"), bad)
	// Never by force: from the same start it is refused now.
	w.git("reset", "--quiet", "--hard", bad)
	w.now = w.now.Add(time.Hour)
	_, p = w.plan(w.work, "")
	if err := p.Push(t.Context(), "origin", "main"); err == nil || !strings.Contains(err.Error(), "rejected") {
		t.Errorf("push over somebody else's gives %v", err)
	}
}

func TestLocalRepositoriesThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	empty := t.TempDir()
	w.run(empty, "init", "--quiet", "new")
	orphan := filepath.Join(t.TempDir(), "orphan")
	w.run(t.TempDir(), "clone", "--quiet", w.bare, orphan)
	w.run(orphan, "checkout", "--quiet", "--orphan", "fresh")
	for i := range 6 {
		w.run(orphan, "branch", fmt.Sprintf("b%d", i), "origin/main")
	}
	broken := filepath.Join(t.TempDir(), ".git")
	if err := os.WriteFile(broken, []byte("gitdir: /nonexistent\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, dir, rev, want string }{
		{"no repository", "/", "", "not in a Git repository"},
		{"no such folder", filepath.Join(empty, "none"), "", "not in a Git repository"},
		{"no commit yet", filepath.Join(empty, "new"), "", "has no commit yet, and the repository has no branch"},
		{"no commit yet, beside branches", orphan, "", "has no commit yet; the repository has b0, b1, b2, b3, b4 and 2 more"},
		{"no such revision", w.work, "nope", ": it is neither a branch, a tag nor a commit there; the repository has main"},
		{"a file that points nowhere", filepath.Dir(broken), "", "not in a Git repository"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := OpenLocal(test.dir, test.rev, Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("open gives %v, want %q", err, test.want)
			}
		})
	}
	for _, rev := range []string{"main", "refs/heads/main", "origin/main", w.git("rev-parse", "HEAD"), "HEAD"} {
		l, err := OpenLocal(w.work, rev, Options{})
		if err != nil || l.Tip() != w.git("rev-parse", "HEAD") {
			t.Errorf("%s: %v", rev, err)
		}
	}
}
