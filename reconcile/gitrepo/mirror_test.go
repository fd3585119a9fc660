package gitrepo

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// busy is a repository whose wanted commit is back commits ago.
func busy(t *testing.T, back int) (w *world, bad string) {
	w, bad = standard(t)
	w.filler(back)
	return w, bad
}

func TestMirrorIsShallowAndGrowsOnDemand(t *testing.T) {
	t.Parallel()
	w, bad := busy(t, 3*cloneDepth)
	m := w.mirrors.mirror(w.src)
	if err := m.acquire(t.Context(), w.src); err != nil {
		t.Fatal(err)
	}
	if err := m.fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m.depth != cloneDepth || len(m.shallow) != 1 || m.objects.has(m.history().tip) == false {
		t.Errorf("after the clone: depth %d, shallow %v", m.depth, m.shallow)
	}
	m.release()
	if s := w.blame(query(repo + ":" + tag1)); s.Commit != bad {
		t.Errorf("blamed %q", s.Subject)
	}
	if m.depth != cloneDepth*deepenBy {
		t.Errorf("depth %d, want %d", m.depth, cloneDepth*deepenBy)
	}
	// Kept warm: nothing is fetched twice.
	before := w.server.Requests()
	w.blame(query(repo + ":" + tag1))
	if n := w.server.Requests() - before; n > 2 {
		t.Errorf("%d requests for a blame on a warm mirror, want one that is answered by a second at most", n)
	}
	// What is new is added, and a restarted process goes on with what is there.
	w.filler(2 * cloneDepth)
	w.mirrors = w.open()
	if s := w.blame(query(repo + ":" + tag1)); s.Commit != bad {
		t.Errorf("blamed %q", s.Subject)
	}
	if got := w.log.String(); strings.Contains(got, "afresh") && !strings.Contains(got, "there is none yet") {
		t.Errorf("the log says:\n%s", got)
	}
	m = w.mirrors.mirror(w.src)
	for _, c := range strings.Fields(w.run(w.bare, "rev-list", "main")) {
		if _, err := m.objects.commit(plumbing.NewHash(c)); err != nil {
			t.Fatalf("after growing over a gap: %v", err)
		}
	}
}

func TestHistoryThatIsTooShortIsSaid(t *testing.T) {
	t.Parallel()
	w, _ := busy(t, 2*cloneDepth)
	clone := filepath.Join(t.TempDir(), "shallow")
	w.run(t.TempDir(), "clone", "--quiet", "--depth", "10", "file://"+w.bare, clone)
	l, err := OpenLocal(clone, "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Blame(t.Context(), query(repo+":"+tag1))
	if why, refused := reconcile.AsRefusal(err); !refused || !strings.Contains(why, "git fetch --unshallow") {
		t.Errorf("blame gives %v", err)
	}
}

func TestMirrorThatIsDamagedOrAnothersIsClonedAfresh(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		harm func(w *world, dir string)
	}{
		{"a pack that was cut", func(w *world, dir string) {
			for _, p := range w.glob(dir, "repo/objects/pack/*.pack") {
				w.cut(p)
			}
		}},
		{"an index that was cut", func(w *world, dir string) {
			for _, p := range w.glob(dir, "repo/objects/pack/*.idx") {
				w.cut(p)
			}
		}},
		{"packs that are gone", func(w *world, dir string) {
			for _, p := range w.glob(dir, "repo/objects/pack/*") {
				_ = os.Remove(p)
			}
		}},
		{"bytes turned over in a pack", func(w *world, dir string) {
			for _, p := range w.glob(dir, "repo/objects/pack/*.pack") {
				raw, err := os.ReadFile(p)
				if err != nil {
					w.Fatal(err)
				}
				for i := 40; i < len(raw)-20; i++ {
					raw[i] ^= 0x55
				}
				w.overwrite(p, raw)
			}
		}},
		{"a state that was cut", func(w *world, dir string) { w.cut(filepath.Join(dir, "repo", stateFile)) }},
		{"a state that names another tip", func(w *world, dir string) {
			p := filepath.Join(dir, "repo", stateFile)
			raw, err := os.ReadFile(p)
			if err != nil {
				w.Fatal(err)
			}
			w.overwrite(p, bytes.ReplaceAll(raw, []byte(w.git("rev-parse", "HEAD")), bytes.Repeat([]byte("1"), 40)))
		}},
		{"a clone that was killed", func(w *world, dir string) {
			_ = os.Remove(filepath.Join(dir, "repo", stateFile))
			if err := os.MkdirAll(filepath.Join(dir, "clone-123", "objects"), 0o700); err != nil {
				w.Fatal(err)
			}
		}},
		{"a file in place of the folder", func(w *world, dir string) {
			_ = os.RemoveAll(filepath.Join(dir, "repo"))
			w.overwrite(filepath.Join(dir, "repo"), []byte("hello"))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, bad := standard(t)
			w.blame(query(repo + ":" + tag1))
			dir := w.mirrors.mirror(w.src).dir
			test.harm(w, dir)
			w.mirrors = w.open()
			s := w.blame(query(repo + ":" + tag1))
			if s.Commit != bad {
				t.Errorf("blamed %q", s.Subject)
			}
			if left := w.glob(dir, "clone-*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			w.sameTreeAsGitRevert(w.land(w.wish(s))[0].Change.Commit, bad)
		})
	}
}

func (w *world) glob(dir, pattern string) []string {
	w.Helper()
	out, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		w.Fatal(err)
	}
	return out
}

// cut leaves the first half of a file.
func (w *world) cut(path string) {
	w.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		w.Fatal(err)
	}
	w.overwrite(path, raw[:len(raw)/2])
}

func (w *world) overwrite(path string, raw []byte) {
	w.Helper()
	_ = os.Remove(path)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		w.Fatal(err)
	}
}

func TestMirrorFollowsTheSource(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	w.blame(query(repo + ":" + tag1))
	// Another branch, another repository, other credentials: the object is edited in place.
	w.git("push", "--quiet", "origin", "HEAD~1:refs/heads/old")
	w.src.Branch = "old"
	w.refused(query(repo+":"+tag1), "none of the 2 files")
	w.src.Branch = "refs/heads/main"
	if s := w.blame(query(repo + ":" + tag1)); s.Commit != bad {
		t.Errorf("blamed %q", s.Subject)
	}
	if _, err := w.server.Create("org/empty.git"); err != nil {
		t.Fatal(err)
	}
	url := w.src.URL
	w.src.URL = w.server.URL + "/org/empty.git"
	w.refused(query(repo+":"+tag1), "empty")
	w.src.URL = w.server.URL + "/org/none.git"
	w.refused(query(repo+":"+tag1), "knows no such repository")
	w.src.URL, w.src.Branch = url, "gone"
	w.refused(query(repo+":"+tag1), "has no branch gone")
	w.src.Branch = "a/../../b"
	w.refused(query(repo+":"+tag1), "is not a branch")
	w.src.Branch = "main"
	w.src.Auth = reconcile.Auth{Secret: map[string][]byte{"username": []byte("bot"), "password": []byte("wrong-password")}}
	w.refused(query(repo+":"+tag1), "does not accept the credentials", "GitRepository flux-system/fleet")
	w.src.Auth = reconcile.Auth{}
	w.refused(query(repo+":"+tag1), "has no secretRef")
}

func TestTwoBranchesOfOneSourceAreClonedOnceEach(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	w.git("push", "--quiet", "origin", "HEAD:refs/heads/staging")
	other := w.src
	other.Branch = "staging"
	for range 4 {
		for _, src := range []reconcile.Source{w.src, other} {
			if s, err := w.mirrors.Blame(t.Context(), src, query(repo+":"+tag1)); err != nil || s.Commit != bad {
				t.Fatalf("%s: %q, %v", src.Branch, s.Subject, err)
			}
		}
	}
	if n := strings.Count(w.log.String(), "cloned afresh"); n != 2 {
		t.Errorf("%d clones of two branches:\n%s", n, w.log.String())
	}
	if n := len(w.glob(w.dir, "*")); n != 2 {
		t.Errorf("%d mirrors, want one a branch", n)
	}
}

func TestMirrorsOfWhatIsGoneAreRemoved(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	earlier := filepath.Join(w.dir, "00000000000000000000000000000000", "repo")
	if err := os.MkdirAll(earlier, 0o700); err != nil {
		t.Fatal(err)
	}
	w.overwrite(filepath.Join(earlier, "pack"), []byte("x"))
	w.blame(query(repo + ":" + tag1))
	left := func() int {
		t.Helper()
		w.mirrors.Tidy(time.Hour)
		n := 0
		for _, dir := range w.glob(w.dir, "*") {
			if sizeOf(dir) > 0 {
				n++
			}
		}
		return n
	}
	if n := left(); n != 2 {
		t.Errorf("%d mirrors at the start, want 2: what an earlier process used may be asked for again", n)
	}
	w.now = w.now.Add(50 * time.Minute)
	w.blame(query(repo + ":" + tag1))
	w.now = w.now.Add(20 * time.Minute)
	if n := left(); n != 1 {
		t.Errorf("%d mirrors after an hour, want the one that is used", n)
	}
	held := w.mirrors.mirror(w.src)
	if err := held.acquire(t.Context(), w.src); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(2 * time.Hour)
	if n := left(); n != 1 {
		t.Error("a mirror was removed under who works with it")
	}
	held.release()
	w.now = w.now.Add(2 * time.Hour)
	if n := left(); n != 0 {
		t.Errorf("%d mirrors that nobody asked for in hours", n)
	}
	w.blame(query(repo + ":" + tag1))
}

func TestMirrorFoldersAreNobodysChoice(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	for _, name := range []string{"../../etc", "a/b", "x\x00y", strings.Repeat("n", 5000)} {
		dir := w.mirrors.mirror(reconcile.Source{Name: types.NamespacedName{Namespace: name, Name: name}, Branch: name}).dir
		if filepath.Dir(dir) != w.dir || len(filepath.Base(dir)) != 32 {
			t.Errorf("the mirror of %q is in %s", name, dir)
		}
	}
}

// onlyClones is a server as Azure DevOps and CodeCommit are: it turns away who does not claim multi_ack, and who asks for
// more than a clone.
func onlyClones() gitserver.Fault {
	return func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/git-upload-pack") {
			return false
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return false
		}
		if !bytes.Contains(body, []byte("multi_ack")) || bytes.Contains(body, []byte("have ")) {
			http.Error(rw, "TF401035", http.StatusInternalServerError)
			return true
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		return false
	}
}

func TestServerThatOnlyServesClones(t *testing.T) {
	t.Parallel()
	w, bad := busy(t, cloneDepth)
	w.server.SetFault(onlyClones())
	for range 4 {
		s := w.blame(query(repo + ":" + tag1))
		if s.Commit != bad {
			t.Errorf("blamed %q", s.Subject)
		}
		w.put("readme", "README.md", w.now.String())
	}
	m := w.mirrors.mirror(w.src)
	if m.refused < maxRefused || !m.acks {
		t.Errorf("refused %d times, acks %v: the mirror did not learn", m.refused, m.acks)
	}
	w.sameTreeAsGitRevert(w.land(w.wish(w.blame(query(repo + ":" + tag1))))[0].Change.Commit, bad)
}

func TestMirrorThatGatheredPacksIsClonedAfresh(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	w.blame(query(repo + ":" + tag1))
	m := w.mirrors.mirror(w.src)
	m.packs = maxPacks
	w.put("readme", "README.md", "a")
	if s := w.blame(query(repo + ":" + tag1)); s.Commit != bad || m.packs != 1 {
		t.Errorf("blamed %q with %d packs", s.Subject, m.packs)
	}
	if got := len(w.glob(m.dir, "repo/objects/pack/*.pack")); got != 1 {
		t.Errorf("%d packs on disk", got)
	}
}

func TestContains(t *testing.T) {
	t.Parallel()
	w, bad := busy(t, 2*cloneDepth)
	first, tip := w.git("rev-list", "--max-parents=0", "HEAD"), w.git("rev-parse", "HEAD")
	w.git("checkout", "--quiet", "-b", "topic", "HEAD~3")
	side := w.commitOnly("on a branch")
	w.git("checkout", "--quiet", "main")
	w.git("merge", "--quiet", "--no-ff", "-m", "merge", "topic")
	w.git("push", "--quiet", "origin", "HEAD:main")
	merge := w.git("rev-parse", "HEAD")
	lost := w.run(w.bare, "commit-tree", "-p", tip, "-m", "lost", tip+"^{tree}")
	for _, test := range []struct {
		name        string
		tip, commit string
		want        bool
	}{
		{"itself", merge, merge, true},
		{"its first parent", merge, tip, true},
		{"its second parent", merge, side, true},
		{"far behind the shallow edge", merge, bad, true},
		{"the first of all", merge, first, true},
		{"its child", tip, merge, false},
		{"another branch", tip, side, false},
		{"a commit that is on no branch", merge, lost, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := w.mirrors.Contains(t.Context(), w.src, test.tip, test.commit)
			if err != nil || got != test.want {
				t.Errorf("contains gives %v, %v", got, err)
			}
		})
	}
	if _, err := w.mirrors.Contains(t.Context(), w.src, lost, merge); err == nil {
		t.Error("a tip that is on no branch is no error")
	}
}
