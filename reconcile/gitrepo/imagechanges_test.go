package gitrepo

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// wanted asks for the image of the world's container.
func wanted(q reconcile.Query, candidates ...string) reconcile.Wanted {
	return reconcile.Wanted{Root: q.Root, Namespace: q.Namespace, Workload: q.Workload,
		Containers: map[string][]string{"app": candidates}}
}

func TestPlaceNamesFileLineAndMarker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.put("one", file, backend(tag0))
	second := w.put("two", file, backend(tag1))
	q := query(repo + ":" + tag1)
	for commit, tag := range map[string]string{"": tag1, first: tag0, second: tag1} {
		at := wanted(q, repo+":"+tag1, repo+":"+tag0)
		at.Commit = commit
		p, err := w.mirrors.Place(t.Context(), w.src, at, "app")
		if err != nil {
			t.Fatal(err)
		}
		if p.Image != repo+":"+tag || len(p.Nodes) != 1 || p.Nodes[0].File != file || p.Nodes[0].Line != 12 || p.Nodes[0].Policy == "" {
			t.Errorf("at %q: %+v", commit, p)
		}
	}
	p, err := w.mirrors.Place(t.Context(), w.src, wanted(reconcile.Query{Root: reconcile.Root{Path: "nowhere"}}), "app")
	if err != nil || p.Image != "" || !strings.Contains(p.Why, "is not in the repository") {
		t.Errorf("a folder that is not there: %+v, %v", p, err)
	}
}

func TestTurnsListEveryImageWithItsCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("nothing yet", "README.md", "hello\n")
	for _, tag := range []string{"a", "b"} {
		w.put("to "+tag+"\n\nwith a body", file, backend(tag))
	}
	w.put("another file", "README.md", "hello again\n")
	w.put("Back to a\n\nBackstop-Kind: Revert\nBackstop-Rollback: x/y/z\nBackstop-Image: "+repo+":b", file, backend("a"))
	w.put("moved", "apps/develop/other.yaml", backend("a"), file, "")
	s := w.blame(query(repo + ":a"))
	turns, more, err := w.mirrors.ImageChanges(t.Context(), w.src, s, 10)
	if err != nil || more {
		t.Fatal(more, err)
	}
	var got []string
	for _, x := range turns {
		got = append(got, strings.TrimPrefix(x.Image, repo+":")+" "+x.Subject+" "+string(x.Backstop))
		if !strings.HasPrefix(x.Author, "Jane ") || len(x.Commit) != 40 || x.When.IsZero() {
			t.Errorf("%+v", x)
		}
	}
	if diff := cmp.Diff([]string{"a Back to a Revert", "b to b ", "a to a "}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if turns, more, err := w.mirrors.ImageChanges(t.Context(), w.src, s, 2); err != nil || len(turns) != 2 || !more {
		t.Errorf("asked for two, got %d, more %v, %v", len(turns), more, err)
	}
}

func TestWritableAsksWithoutPushing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("one", file, backend(tag0))
	tip := w.git("rev-parse", "HEAD")
	for name, test := range map[string]struct {
		change func(*reconcile.Source)
		fault  gitserver.Fault
		want   string
	}{
		"credentials that may push":      {},
		"a wrong password":               {change: func(s *reconcile.Source) { s.Auth.Secret["password"] = []byte("nope-nope") }, want: "Secret of GitRepository flux-system/fleet"},
		"credentials that may only read": {fault: gitserver.On("/info/refs", gitserver.Answer(403, "read only")), want: "refuses this to the credentials"},
		"a branch that is not there":     {change: func(s *reconcile.Source) { s.Branch = "mian" }, want: "has no branch mian"},
		"a source that is read only":     {change: func(s *reconcile.Source) { s.ReadOnly = "it is pinned" }, want: "it is pinned"},
		"signatures without a key":       {change: func(s *reconcile.Source) { s.Verified = true }, want: "spec.git.commit.signingKey"},
	} {
		src := w.src
		src.Auth.Secret = map[string][]byte{"username": []byte("bot"), "password": []byte(password)}
		if test.change != nil {
			test.change(&src)
		}
		w.server.SetFault(test.fault)
		err := w.mirrors.Writable(t.Context(), src)
		w.server.SetFault(nil)
		why, refused := reconcile.AsRefusal(err)
		if test.want == "" && err != nil || test.want != "" && (!refused || !strings.Contains(why, test.want)) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	if w.server.Pushes() != 0 || w.run(w.bare, "rev-parse", "main") != tip {
		t.Error("something was pushed")
	}
}
