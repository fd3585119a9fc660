package gitrepo

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/reconcile"
)

const file = "apps/develop/backend.yaml"

func backend(tag string) string {
	return deployment("develop", "backend", repo+":"+tag, "develop:backend")
}

// aliased is the backend with a second container that runs the same image by an alias.
func aliased(tag string, marked bool) string {
	policy := ""
	if marked {
		policy = "develop:backend"
	}
	return strings.Replace(deployment("develop", "backend", repo+":"+tag, policy), "image: ", "image: &img ", 1) + second("*img")
}

func second(image string) string { return "        - name: second\n          image: " + image + "\n" }

// refused blames and must be refused with words.
func (w *world) refused(q reconcile.Query, words ...string) {
	w.Helper()
	s, err := w.mirrors.Blame(w.Context(), w.src, q)
	why, refused := reconcile.AsRefusal(err)
	for _, word := range words {
		if !refused || !strings.Contains(why, word) {
			w.Errorf("blame gives %+v, %v; want a refusal that says %q", s, err, word)
		}
	}
}

func TestBlameGoesThroughTheHistoryByValue(t *testing.T) {
	t.Parallel()
	q := query(repo + ":" + tag1)
	for _, test := range []struct {
		name string
		// history gives the commit to blame.
		history func(w *world) string
		former  string
		added   bool
	}{
		{"commits on other files and later edits of this one do not matter", func(w *world) string {
			w.put("add", file, backend(tag0), "README.md", "a\n")
			bad := w.put("update", file, backend(tag1))
			w.put("readme", "README.md", "b\n")
			w.put("scale", file, strings.Replace(backend(tag1), "replicas: 2", "replicas: 3", 1))
			return bad
		}, tag0, false},
		{"a merge commit is blamed for what it brought in", func(w *world) string {
			w.put("add", file, backend(tag0))
			w.git("checkout", "--quiet", "-b", "topic")
			w.write(file, backend(tag1))
			w.commitOnly("update on a branch")
			w.git("checkout", "--quiet", "main")
			w.write("README.md", "a\n")
			w.commitOnly("readme")
			w.now = w.now.Add(1e9)
			w.git("merge", "--quiet", "--no-ff", "-m", "Merge branch topic", "topic")
			w.git("push", "--quiet", "origin", "main")
			return w.git("rev-parse", "HEAD")
		}, tag0, false},
		{"a squash is blamed whoever wrote it", func(w *world) string {
			w.put("add", file, backend(tag0))
			w.git("checkout", "--quiet", "-b", "topic")
			w.write(file, backend(tag1))
			w.commitOnly("update on a branch")
			w.write("README.md", "a\n")
			w.commitOnly("readme")
			w.git("checkout", "--quiet", "main")
			w.git("merge", "--quiet", "--squash", "topic")
			return w.commit("Squashed")
		}, tag0, false},
		{"a rewritten history is read as it is now", func(w *world) string {
			w.put("add", file, backend(tag0), "README.md", "a\n")
			w.put("readme", "README.md", "b\n")
			w.put("update", file, backend(tag1))
			if s := w.blame(q); s.Commit != w.git("rev-parse", "HEAD") {
				w.Errorf("before: blamed %s", s.Subject)
			}
			w.git("reset", "--quiet", "--hard", "HEAD~2")
			w.write(file, backend(tag1))
			bad := w.commitOnly("update, rewritten")
			w.write("README.md", "c\n")
			w.commitOnly("readme, rewritten")
			w.git("push", "--quiet", "--force", "origin", "HEAD:main")
			return bad
		}, tag0, false},
		{"a value that came back is blamed on its last coming", func(w *world) string {
			w.put("add", file, backend(tag1))
			w.put("away", file, backend(tag0))
			return w.put("back", file, backend(tag1))
		}, tag0, false},
		{"a file that was renamed before is followed", func(w *world) string {
			w.put("add", "apps/develop/old.yaml", backend(tag0))
			bad := w.put("update", "apps/develop/old.yaml", backend(tag1))
			w.git("mv", "apps/develop/old.yaml", file)
			w.commit("rename")
			return bad
		}, tag0, false},
		{"a file that was moved and edited at once is followed", func(w *world) string {
			w.put("add", "old/backend.yaml", backend(tag0))
			w.git("mv", "-k", "old/backend.yaml", "old/x.yaml")
			w.git("mv", "old/x.yaml", "old/backend.yaml")
			w.write("old/backend.yaml", "")
			return w.put("move and update", file, backend(tag1))
		}, tag0, false},
		{"a container that was renamed since is followed by its value", func(w *world) string {
			w.put("add", file, backend(tag0))
			bad := w.put("update", file, backend(tag1))
			w.put("rename the container", file, strings.Replace(backend(tag1), "name: app", "name: web", 1))
			return bad
		}, tag0, false},
		{"a version that does not parse is passed over", func(w *world) string {
			w.put("add", file, backend(tag0))
			bad := w.put("update", file, backend(tag1))
			w.put("break", file, "a: [1,\n"+backend(tag1))
			w.put("mend", file, backend(tag1)+"# mended\n")
			return bad
		}, tag0, false},
		{"the commit that mends a version that does not parse brought what it changed", func(w *world) string {
			w.put("add", file, backend(tag0))
			w.put("break", file, "a: [1,\n"+backend(tag0))
			return w.put("mend and update", file, backend(tag1))
		}, tag0, false},
		{"a new file is blamed on the commit that added it", func(w *world) string {
			w.put("start", "README.md", "a\n")
			return w.put("add", file, backend(tag1))
		}, "", true},
		{"the first commit of all can be it", func(w *world) string {
			return w.put("add", file, backend(tag1))
		}, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			want := test.history(w)
			s := w.blame(q)
			if s.Commit != want {
				t.Errorf("blamed %s %q, want %s\n%s", s.Commit, s.Subject, want, w.run(w.bare, "log", "--oneline", "--graph", "main"))
			}
			if len(s.Places) != 1 || s.Places[0].File != file || s.Places[0].Added != test.added ||
				!strings.HasSuffix(s.Places[0].Former, test.former) {
				t.Errorf("nodes %+v, want former %q", s.Places, test.former)
			}
			if parent := w.run(w.bare, "rev-list", "--parents", "-1", want); s.Parent != strings.Join(append(strings.Fields(parent), "")[1:2], "") {
				t.Errorf("parent %q of %q", s.Parent, parent)
			}
		})
	}
}

func TestAutomationIsKnownByValue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name          string
		before, after string
		latest        string
		byHand        string
	}{
		{"the policy selects it", backend(tag0), backend(tag1), tag1, ""},
		{"the policy selected it before", backend(tag0), backend(tag1), tag2, ""},
		{"the policy never did as far as is known", backend(tag0), backend("typo"), tag1, "neither what ImagePolicy develop:backend selects nor what it selected before"},
		{"there was no marker", deployment("develop", "backend", repo+":"+tag0, ""), backend(tag1), tag1, "the value had no marker"},
		{"the marker is another policy's now", deployment("develop", "backend", repo+":"+tag0, "develop:other"), backend(tag1), tag1,
			"the commit changed the marker from develop:other to develop:backend"},
		{"the marker was held", strings.Replace(backend(tag0), "# {", "# backstop:hold not=x {", 1), backend(tag1), tag1, "the marker was held"},
		{"there was no such node", "# nothing\n", backend(tag1), tag1, "the commit added the value"},
		{"an alias follows the marked scalar", aliased(tag0, true), aliased(tag1, true), tag1, ""},
		{"an alias follows a scalar without a marker", aliased(tag0, false), aliased(tag1, false), tag1, "the value had no marker"},
		{"an alias stood for no marked scalar before", backend(tag0) + second(repo+":"+tag0), aliased(tag1, true), tag1, "had no marker"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.put("add", file, test.before)
			w.put("fluxcdbot did it", file, test.after)
			image := repo + ":" + tag1
			if strings.Contains(test.after, "typo") {
				image = repo + ":typo"
			}
			q := query(image)
			q.Policies[0].Latest, q.Policies[0].Previous = repo+":"+test.latest, repo+":"+tag1
			s := w.blame(q)
			if got := s.Automation != nil; got != (test.byHand == "") {
				t.Errorf("automation %v", s.Automation)
			}
			if !strings.Contains(s.ByHand, test.byHand) || (s.ByHand == "") != (test.byHand == "") {
				t.Errorf("by hand since %q, want %q", s.ByHand, test.byHand)
			}
			q.Policies[0].Automation = nil
			if s := w.blame(q); s.Automation != nil || s.ByHand == "" {
				t.Error("an automation that is not known wrote it")
			}
			q.Policies = nil
			if s := w.blame(q); s.Automation != nil || s.ByHand == "" {
				t.Error("a policy that is not known selected it")
			}
		})
	}
}

func TestBlameGoesThroughBackstopsOwnCommits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("add", file, backend(tag0))
	first := w.put("update to 1", file, backend(tag1))
	w.put("update to 2", file, backend(tag2))
	// Backstop goes back from 2 to 1, and then 1 fails too.
	w.land(w.wish(w.blame(query(repo + ":" + tag2))))
	w.pull()
	s := w.blame(query(repo + ":" + tag1))
	if s.Commit != first || !strings.HasSuffix(s.Places[0].Former, tag0) {
		t.Errorf("blamed %q, former %q; want the commit that brought it first", s.Subject, s.Places[0].Former)
	}
	if s.Automation == nil {
		t.Error("the hold that Backstop wrote since hides whose change it was")
	}
	f, err := w.mirrors.Former(t.Context(), w.src, s, 8)
	if err != nil || len(f) != 1 || f[0].Image != repo+":"+tag0 {
		t.Errorf("former %+v, %v", f, err)
	}
}

func TestValueThatOnlyBackstopEverWroteIsBlamedOnIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("add", file, backend(tag0))
	w.write(file, backend(tag1))
	own := w.commit("Adopt\n\nBackstop-Kind: Revert\nBackstop-Rollback: a/b/c")
	if s := w.blame(query(repo + ":" + tag1)); s.Commit != own {
		t.Errorf("blamed %q", s.Subject)
	}
}

func TestFormerListsDistinctValuesNewestFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tag := range []string{"a", "b", "a", "c", "bad", "c", "bad"} {
		w.put("to "+tag, file, backend(tag))
	}
	s := w.blame(query(repo + ":bad"))
	f, err := w.mirrors.Former(t.Context(), w.src, s, 8)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range f {
		got = append(got, strings.TrimPrefix(x.Image, repo+":"))
		if x.Values[0].Value != x.Image || x.Commit == "" {
			t.Errorf("former %+v", x)
		}
	}
	if diff := cmp.Diff([]string{"c", "a", "b"}, got); diff != "" {
		t.Errorf("former values (-want +got):\n%s", diff)
	}
	if f, err := w.mirrors.Former(t.Context(), w.src, s, 1); err != nil || len(f) != 1 {
		t.Errorf("asked for one, got %d, %v", len(f), err)
	}
}

func TestBlameOfWhatGitDoesNotSay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("add", file, backend(tag0), "other/backend.yaml", backend(tag1), "apps/develop/kustomization.yaml", kustomization("backend.yaml"),
		"apps/develop/unlisted.yaml", backend(tag1))
	w.refused(query(repo+":"+tag1), "none of the 2 files", "Kustomization/flux-system/apps", "spec.images")
	w.refused(query(repo+":x\ny"), "none of the 2 files")
	q := query(repo + ":" + tag0)
	q.Root.Path = "apps/nowhere"
	w.refused(q, "apps/nowhere", "not in the repository")
	q.Root.Path = "../nowhere"
	w.refused(q, "not in the repository")
}

func TestWhatIsOffTheBranchIsFoundWhereItIsApplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("add", file, backend(tag0))
	bad := w.put("update", file, backend(tag1))
	later := w.put("a readme", "README.md", "hello")
	tip := w.put("a person's fix", file, backend(tag0))
	q := query(repo + ":" + tag1)
	blamed := func(when string) {
		t.Helper()
		if s := w.blame(q); s.Commit != bad || len(s.Places) != 1 || s.Places[0].Former != repo+":"+tag0 {
			t.Errorf("%s: blamed %s, nodes %+v", when, s.Commit, s.Places)
		}
	}
	blamed("fixed a moment ago")
	for i := range lately {
		tip = w.put("another readme", "README.md", strings.Repeat("hello ", i+2))
	}
	w.refused(q, "the only file that", "at "+tip[:12])
	for _, test := range []struct{ name, applied string }{{"right then", bad}, {"a commit later", later}} {
		q.Applied = test.applied
		blamed("applied " + test.name)
	}
	for _, test := range []struct{ name, applied string }{
		{"the tip itself", tip}, {"a commit that is not there", strings.Repeat("5", 40)}, {"no hash at all", "main"},
		{"one that was rewritten", w.run(w.bare, "commit-tree", "-p", bad, "-m", "lost", bad+"^{tree}")},
	} {
		q.Applied = test.applied
		w.refused(q, "the only file that", "at "+tip[:12])
	}
}

func TestHostileTrees(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("add", file, backend(tag0))
	bad := w.put("update", file, backend(tag1))
	// A link out, a submodule, and entries that git would never write, in one raw tree.
	w.now = w.now.Add(1e9)
	blob := w.run(w.bare, "hash-object", "-w", w.work+"/"+file)
	w.write("target", "/etc/passwd")
	link := w.run(w.bare, "hash-object", "-w", w.work+"/target")
	develop := w.mktree("100644 blob "+blob+"\tbackend.yaml", "120000 blob "+link+"\tlink.yaml",
		"160000 commit "+strings.Repeat("1", 40)+"\tmodule")
	apps := w.mktree("040000 tree " + develop + "\tdevelop")
	root := w.mktree("040000 tree "+apps+"\tapps", "100644 blob "+blob+"\t100644 apps")
	hostile := w.run(w.bare, "commit-tree", "-p", bad, "-m", "hostile", root)
	w.run(w.bare, "update-ref", "refs/heads/main", hostile)
	s := w.blame(query(repo + ":" + tag1))
	if s.Commit != bad {
		t.Errorf("blamed %q", s.Subject)
	}
	out := w.land(w.wish(s))
	if got := w.show(out[0].Change.Commit, file); got != backend(tag0) {
		t.Errorf("not reverted:\n%s", got)
	}
	for _, p := range []string{"apps/develop/link.yaml", "100644 apps"} {
		if w.run(w.bare, "rev-parse", "main:"+p) != w.run(w.bare, "rev-parse", hostile+":"+p) {
			t.Errorf("%s changed", p)
		}
	}
}
