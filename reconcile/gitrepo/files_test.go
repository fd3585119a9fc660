package gitrepo

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// filesOf is the newest commit as a suspect whose files go back.
func (c *clone) filesOf(files ...string) reconcile.Revert {
	c.Helper()
	hash := func(rev, file string) string {
		if c.git("ls-tree", rev, file) == "" {
			return v1alpha1.NoFile
		}
		return c.git("rev-parse", rev+":"+file)
	}
	r := reconcile.Revert{
		Suspect: v1alpha1.Suspect{Commit: c.git("rev-parse", "HEAD"), Branch: "main", When: v1alpha1.NewTime(c.now)},
		Subject: "Kustomization/flux-system/apps",
	}
	for i, file := range files {
		n := v1alpha1.Place{File: file, Part: v1alpha1.PartFile, Bad: hash("HEAD", file), Former: hash("HEAD~1", file)}
		r.Suspect.Places = append(r.Suspect.Places, n)
		r.Target.Values = append(r.Target.Values, v1alpha1.PlaceValue{Index: int32(i), Value: n.Former})
	}
	return r
}

func TestFilesOfACommitGoBack(t *testing.T) {
	const ten = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"
	edit := func(before, after string) string { return strings.Replace(ten, before, after, 1) }
	for name, test := range map[string]struct {
		// before, suspect and since are commits; since may be none.
		before, suspect, since []string
		files                  []string
		want                   map[string]string
		refused                v1alpha1.DoubtType
		over                   bool
	}{
		"a file that nobody touched since": {before: []string{"a.yaml", ten}, suspect: []string{"a.yaml", edit("3\n", "x\n")},
			files: []string{"a.yaml"}, want: map[string]string{"a.yaml": ten}},
		"a file that somebody changed elsewhere since": {before: []string{"a.yaml", ten}, suspect: []string{"a.yaml", edit("3\n", "x\n")},
			since: []string{"a.yaml", strings.Replace(edit("3\n", "x\n"), "9\n", "y\n", 1)}, files: []string{"a.yaml"},
			want: map[string]string{"a.yaml": edit("9\n", "y\n")}},
		"a file whose lines somebody changed since": {before: []string{"a.yaml", ten}, suspect: []string{"a.yaml", edit("3\n", "x\n")},
			since: []string{"a.yaml", edit("3\n", "y\n")}, files: []string{"a.yaml"}, over: true},
		"one of two files that somebody changed since": {before: []string{"a.yaml", ten, "b.yaml", ten},
			suspect: []string{"a.yaml", edit("3\n", "x\n"), "b.yaml", edit("3\n", "x\n")}, since: []string{"a.yaml", edit("3\n", "y\n")},
			files: []string{"a.yaml", "b.yaml"}, refused: v1alpha1.DoubtChangedSince},
		"one of two files that somebody reverted since": {before: []string{"a.yaml", ten, "b.yaml", ten},
			suspect: []string{"a.yaml", edit("3\n", "x\n"), "b.yaml", edit("3\n", "x\n")}, since: []string{"a.yaml", ten},
			files: []string{"a.yaml", "b.yaml"}, want: map[string]string{"b.yaml": ten}},
		"files that somebody reverted since": {before: []string{"a.yaml", ten}, suspect: []string{"a.yaml", edit("3\n", "x\n")},
			since: []string{"a.yaml", ten, "b.yaml", "b\n"}, files: []string{"a.yaml"}, over: true},
		"a file that came, with its folder": {before: []string{"a.yaml", ten}, suspect: []string{"new/deep/b.yaml", "b\n", "a.yaml", edit("3\n", "x\n")},
			files: []string{"a.yaml", "new/deep/b.yaml"}, want: map[string]string{"a.yaml": ten, "new/deep/b.yaml": ""}},
		"an empty file that came": {before: []string{"a.yaml", ten, "b/c.yaml", "c\n"}, suspect: []string{"b/empty.yaml", "\n", "a.yaml", edit("3\n", "x\n")},
			files: []string{"a.yaml", "b/empty.yaml"}, want: map[string]string{"a.yaml": ten, "b/empty.yaml": "", "b/c.yaml": "c\n"}},
		"a file that came and was changed since": {before: []string{"a.yaml", ten}, suspect: []string{"b.yaml", "b\n", "a.yaml", edit("3\n", "x\n")},
			since: []string{"b.yaml", "c\n"}, files: []string{"a.yaml", "b.yaml"}, refused: v1alpha1.DoubtChangedSince},
		"a file that went, with its folder": {before: []string{"a.yaml", ten, "old/b.yaml", "b\n"}, suspect: []string{"old/b.yaml", ""},
			files: []string{"old/b.yaml"}, want: map[string]string{"a.yaml": ten, "old/b.yaml": "b\n"}},
		"a file that went, among others": {before: []string{"x/a.yaml", ten, "x/b.yaml", "b\n", "x/b/c.yaml", "c\n", "x/b-d.yaml", "d\n"}, suspect: []string{"x/b.yaml", ""},
			files: []string{"x/b.yaml"}, want: map[string]string{"x/a.yaml": ten, "x/b.yaml": "b\n", "x/b/c.yaml": "c\n"}},
		"a file that went and came again since": {before: []string{"a.yaml", ten, "b.yaml", "b\n"}, suspect: []string{"b.yaml", ""},
			since: []string{"b.yaml", "c\n"}, files: []string{"b.yaml"}, over: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClone(t)
			c.put("before", test.before...)
			c.put("suspect", test.suspect...)
			r := c.filesOf(test.files...)
			if test.since != nil {
				c.put("since", test.since...)
			}
			l := c.open()
			plan, err := l.Plan(t.Context(), []reconcile.Revert{r}, reconcile.Source{})
			if err != nil {
				t.Fatal(err)
			}
			got := plan.Landings[0].Err
			switch {
			case test.refused != "":
				if _, no := reconcile.AsRefusal(got); !no || !strings.Contains(got.Error(), "changed at the same place since") {
					t.Errorf("got %v, want a refusal for %s", got, test.refused)
				}
				return
			case test.over:
				if got == nil || !errors.Is(got, reconcile.ErrSuperseded) && !strings.Contains(got.Error(), "changed at the same place") {
					t.Errorf("got %v, want that it is over", got)
				}
				return
			case got != nil:
				t.Fatal(got)
			}
			if err := plan.Commit("undo"); err != nil {
				t.Fatal(err)
			}
			c.git("fsck", "--strict")
			for file, want := range test.want {
				is := ""
				if c.git("ls-tree", "undo", file) != "" {
					is = c.git("show", "undo:"+file) + "\n"
				}
				if is != want {
					t.Errorf("%s is %q, want %q", file, is, want)
				}
			}
			if changed := strings.Fields(c.git("diff", "--name-only", "main", "undo")); !subset(changed, test.files) {
				t.Errorf("changed %q, want none beside %q", changed, test.files)
			}
			message := c.git("log", "-1", "--format=%B", "undo")
			for _, line := range []string{"This reverts commit " + r.Suspect.Commit, "Backstop-Subject: Kustomization/flux-system/apps",
				"Backstop-Place: " + plan.Reverted[0].Path + "#", "Revert what " + text.Short(r.Suspect.Commit) + " changed"} {
				if !strings.Contains(message, line) {
					t.Errorf("the message lacks %q:\n%s", line, message)
				}
			}
			if strings.Contains(message, "Image") {
				t.Errorf("the message names an image:\n%s", message)
			}
			look := func(rev string) reconcile.Branch {
				o, err := OpenLocal(c.dir, rev, l.options)
				if err != nil {
					t.Fatal(err)
				}
				defer o.Close()
				b, err := o.history.look(t.Context(), r.Suspect, &r.Target, r.Suspect.When.Time)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			if b := look("main"); b.HoldsTarget != "" || len(b.Commits) != 0 {
				t.Errorf("before the revert %+v", b)
			}
			b := look("undo")
			if b.HoldsTarget != c.git("rev-parse", "undo") || len(b.Commits) != 1 {
				t.Errorf("after the revert %+v", b)
			}
			for i, n := range r.Suspect.Places {
				if b.Values[int32(i)] != n.Former {
					t.Errorf("%s is %q after the revert, want %q", n.File, b.Values[int32(i)], n.Former)
				}
			}
		})
	}
}

func subset(some, of []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(of, s) })
}

func TestTwoUndosOfOneFileShareAPush(t *testing.T) {
	c := newClone(t)
	c.put("before", "a.yaml", "1\n2\n3\n4\n5\n6\n7\n8\n9\n")
	c.put("one", "a.yaml", "x\n2\n3\n4\n5\n6\n7\n8\n9\n")
	one := c.filesOf("a.yaml")
	c.put("two", "a.yaml", "x\n2\n3\n4\n5\n6\n7\n8\ny\n")
	two := c.filesOf("a.yaml")
	again := two
	again.Rollback = "prod/flux-system/other-1"
	plan, err := c.open().Plan(t.Context(), []reconcile.Revert{one, two, again}, reconcile.Source{})
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range plan.Landings {
		if l.Err != nil {
			t.Errorf("%d: %v", i, l.Err)
		}
	}
	if got := string(plan.After()["a.yaml"]); got != "1\n2\n3\n4\n5\n6\n7\n8\n9\n" {
		t.Errorf("left %q", got)
	}
}

// What would be left is shown to whoever proves it, and a refusal leaves only that revert out.
func TestAnUndoIsProvedOnItsTip(t *testing.T) {
	c := newClone(t)
	c.put("before", "a.yaml", "good\n", "b.yaml", "good\n")
	c.put("one", "a.yaml", "bad\n", "new/c.yaml", "new\n")
	one := c.filesOf("a.yaml", "new/c.yaml")
	c.put("two", "b.yaml", "bad\n")
	two := c.filesOf("b.yaml")
	no := reconcile.NotUndone(v1alpha1.DoubtPrunes, "it deletes something")
	asked := 0
	one.Proof = func(_ context.Context, tip, after fs.FS) error {
		asked++
		for file, want := range map[string][2]string{"a.yaml": {"bad\n", "good\n"}, "new/c.yaml": {"new\n", ""}} {
			is, _ := manifest.ReadFile(tip, file)
			left, _ := manifest.ReadFile(after, file)
			if string(is) != want[0] || string(left) != want[1] {
				t.Errorf("%s is %q and is left %q, want %q", file, is, left, want)
			}
		}
		if _, err := fs.Stat(after, "new"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the folder that came is still there: %v", err)
		}
		return nil
	}
	two.Proof = func(context.Context, fs.FS, fs.FS) error { return no }
	plan, err := c.open().Plan(t.Context(), []reconcile.Revert{one, two}, reconcile.Source{})
	if err != nil {
		t.Fatal(err)
	}
	if plan.Landings[0].Err != nil || !errors.Is(plan.Landings[1].Err, no) || asked == 0 {
		t.Errorf("landed %+v, asked %d times", plan.Landings, asked)
	}
	if got := plan.After(); len(got) != 2 || string(got["a.yaml"]) != "good\n" {
		t.Errorf("left %q", got)
	}
}

func TestTextsAreMergedByLines(t *testing.T) {
	for name, test := range map[string]struct{ base, ours, theirs, want string }{
		"apart":                 {"1\n2\n3\n", "x\n2\n3\n", "1\n2\ny\n", "x\n2\ny\n"},
		"the same":              {"1\n2\n", "1\nx\n", "1\nx\n", "1\nx\n"},
		"one of them":           {"1\n2\n", "1\n2\n", "2\n", "2\n"},
		"no newline at the end": {"1\n2\n3", "1\n2\n3", "x\n2\n3", "x\n2\n3"},
		"on the same line":      {"1\n2\n3\n", "1\nx\n3\n", "1\ny\n3\n", "conflict"},
		"next to each other":    {"1\n2\n3\n", "x\n2\n3\n", "1\ny\n3\n", "conflict"},
		"two at one place":      {"1\n2\n", "1\nx\n2\n", "1\ny\n2\n", "conflict"},
		"inside what went":      {"1\n2\n3\n4\n", "4\n", "1\n2\nx\n4\n", "conflict"},
		"of nothing":            {"", "", "x\n", "x\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := merge([]byte(test.base), []byte(test.ours), []byte(test.theirs))
			if !ok {
				got = []byte("conflict")
			}
			if string(got) != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
