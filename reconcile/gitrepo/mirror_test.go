package gitrepo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// cloneDepth is how many commits a new mirror holds.
const cloneDepth = 50

// busy is a repository whose wanted commit is back commits ago.
func busy(t *testing.T, back int) (w *world, bad string) {
	w, bad = standard(t)
	w.filler(back)
	return w, bad
}

func TestMirrorIsShallowAndGrowsOnDemand(t *testing.T) {
	t.Parallel()
	w, bad := busy(t, 3*cloneDepth)
	tip := w.git("rev-parse", "HEAD")
	if there, err := w.mirrors.Contains(t.Context(), w.src, tip, tip); err != nil || !there {
		t.Fatalf("the tip is not here: %v", err)
	}
	if m := w.state(); m.Depth != cloneDepth || len(m.Shallow) != 1 {
		t.Errorf("after the clone: depth %d, shallow %v", m.Depth, m.Shallow)
	}
	if s := w.blame(query(repo + ":" + tag1)); s.Commit != bad {
		t.Errorf("blamed %q", s.Subject)
	}
	if m := w.state(); m.Depth != 4*cloneDepth {
		t.Errorf("depth %d, want %d", m.Depth, 4*cloneDepth)
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
	if got := w.log.String(); strings.Contains(got, "afresh") && !strings.Contains(got, "no state is kept yet") {
		t.Errorf("the log says:\n%s", got)
	}
	requests := w.server.Requests()
	for _, c := range strings.Fields(w.run(w.bare, "rev-list", "main")) {
		if there, err := w.mirrors.Contains(t.Context(), w.src, c, c); err != nil || !there {
			t.Fatalf("after growing over a gap: %v", err)
		}
	}
	if n := w.server.Requests() - requests; n > 0 {
		t.Errorf("%d requests for what is here", n)
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
		{"a state that was cut", func(w *world, dir string) { w.cut(filepath.Join(dir, "repo", "mirror.json")) }},
		{"a state that names another tip", func(w *world, dir string) {
			p := filepath.Join(dir, "repo", "mirror.json")
			raw, err := os.ReadFile(p)
			if err != nil {
				w.Fatal(err)
			}
			w.overwrite(p, bytes.ReplaceAll(raw, []byte(w.git("rev-parse", "HEAD")), bytes.Repeat([]byte("1"), 40)))
		}},
		{"a clone that was killed", func(w *world, dir string) {
			_ = os.Remove(filepath.Join(dir, "repo", "mirror.json"))
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
			dir := w.folder()
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

// folder is that of the only mirror.
func (w *world) folder() string {
	w.Helper()
	all := w.glob(w.dir, "*")
	if len(all) != 1 {
		w.Fatalf("%d mirrors, want one", len(all))
	}
	return all[0]
}

// kept is what the only mirror says of itself.
type kept struct {
	Depth   int
	Shallow []string
}

func (w *world) state() (out kept) {
	w.Helper()
	raw, err := os.ReadFile(filepath.Join(w.folder(), "repo", "mirror.json"))
	if err != nil {
		w.Fatal(err)
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		w.Fatal(err)
	}
	return out
}

// hold works with the mirror of the world's source until it is told to stop.
func (w *world) hold(m *Mirrors) (stop func()) {
	w.Helper()
	begun, end, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- m.with(w.Context(), w.src, func(*branch) error {
			close(begun)
			<-end
			return nil
		})
	}()
	<-begun
	return func() {
		close(end)
		if err := <-done; err != nil {
			w.Error(err)
		}
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

// onlyClones is a server as Azure DevOps and CodeCommit are: it turns away who does not claim multi_ack, and who asks
// for more than a clone.
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
	w.put("more", "README.md", w.now.String())
	before := w.server.Requests()
	w.blame(query(repo + ":" + tag1))
	if n := w.server.Requests() - before; n > 4 {
		t.Errorf("%d requests for two clones, want 4: the mirror did not learn what the server takes", n)
	}
	w.sameTreeAsGitRevert(w.land(w.wish(w.blame(query(repo + ":" + tag1))))[0].Change.Commit, bad)
}

// Whoever commits says when, and clocks are wrong: image automation's own, too.
func TestACommitIsFoundWhateverItSaysOfItsTime(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		wrong time.Duration
		// which of the commits are wrong: the one that is looked for, or those after it.
		after bool
	}{
		"it is dated in some days":                {72 * time.Hour, false},
		"it is dated a year ago":                  {-366 * 24 * time.Hour, false},
		"those after it are dated some days ago":  {-72 * time.Hour, true},
		"those after it are dated some years ago": {-3 * 366 * 24 * time.Hour, true},
		"those after it are dated in a year":      {366 * 24 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.put("begin", "a.yaml", "a: 1\n")
			right := w.now
			at := func(wrong bool, n int) string {
				w.now = right.Add(time.Duration(n) * time.Minute)
				if wrong {
					w.now = w.now.Add(tt.wrong)
				}
				return w.put(fmt.Sprint("commit ", n), "a.yaml", fmt.Sprintf("a: %d\n", n+1))
			}
			commit, tip := at(!tt.after, 1), ""
			for n := range 15 {
				tip = at(tt.after, n+2)
			}
			w.now = right.Add(time.Hour)
			if there, err := w.mirrors.Contains(t.Context(), w.src, tip, commit); err != nil || !there {
				t.Errorf("%v, %v", there, err)
			}
			if there, err := w.mirrors.Contains(t.Context(), w.src, commit, tip); err != nil || there {
				t.Errorf("the other way round: %v, %v", there, err)
			}
		})
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
