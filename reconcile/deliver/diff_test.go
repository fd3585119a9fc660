package deliver

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/reconcile"
)

func TestDiffsOfGit(t *testing.T) {
	for name, tt := range map[string]struct {
		diff  string
		want  []reconcile.FileChange
		whole bool
	}{
		"two files": {"diff --git a/a.yaml b/a.yaml\nindex 1..2 100644\n--- a/a.yaml\n+++ b/a.yaml\n@@ -1,3 +1,3 @@ spec:\n x\n-old\n+new\n z\n" +
			"diff --git a/d/b.yaml b/d/b.yaml\n--- a/d/b.yaml\n+++ b/d/b.yaml\n@@ -7 +7 @@\n-1\n+2\n",
			[]reconcile.FileChange{{File: "a.yaml", Added: []string{"new"}, Removed: []string{"old"}}, {File: "d/b.yaml", Added: []string{"2"}, Removed: []string{"1"}}}, true},
		"lines that look like heads": {"diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n--- a/x\n-@@ -1 +1 @@\n+++ b/x\n+diff --git a/q b/q\n",
			[]reconcile.FileChange{{File: "a", Added: []string{"++ b/x", "diff --git a/q b/q"}, Removed: []string{"-- a/x", "@@ -1 +1 @@"}}}, true},
		"a new file": {"diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n",
			[]reconcile.FileChange{{File: "n", Added: []string{"x"}}}, true},
		"a deleted file": {"diff --git a/n b/n\ndeleted file mode 100644\n--- a/n\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n",
			[]reconcile.FileChange{{File: "n", Removed: []string{"x"}}}, true},
		"a name in quotes": {"diff --git \"a/\\303\\244\" \"b/\\303\\244\"\n--- \"a/\\303\\244\"\n+++ \"b/\\303\\244\"\n@@ -1 +1 @@\n-x\n+y\n",
			[]reconcile.FileChange{{File: "ä", Added: []string{"y"}, Removed: []string{"x"}}}, true},
		"Windows' ends of lines": {"diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-x\r\n+y\r\n",
			[]reconcile.FileChange{{File: "a", Added: []string{"y"}, Removed: []string{"x"}}}, true},
		"an end that is missing": {"diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n-x\n",
			[]reconcile.FileChange{{File: "a", Removed: []string{"x"}}}, false},
		"a file that is moved": {"diff --git a/a b/b\nsimilarity index 100%\nrename from a\nrename to b\n", []reconcile.FileChange{{}}, false},
		"nothing":              {"", nil, true},
		"no diff":              {"<html>", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, whole := wholeDiff(tt.diff)
			if diff := cmp.Diff(tt.want, got); diff != "" || whole != tt.whole {
				t.Errorf("whole: %v, want %v\n%s", whole, tt.whole, diff)
			}
		})
	}
}

func FuzzDiff(f *testing.F) {
	f.Add("diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n-x\n+y\n z\n")
	f.Add("@@ -1,9 +1 @@\n+x\n\\ No newline")
	f.Add("diff --git \"a/\\303\" \"b\n--- \"\n@@ -0,0 +1,99999999999999999999 @@\n")
	f.Fuzz(func(t *testing.T, diff string) {
		files, _ := wholeDiff(diff)
		lines := 0
		for _, file := range files {
			lines += len(file.Added) + len(file.Removed)
		}
		var one reconcile.FileChange
		hunks(diff, &one)
		if most := strings.Count(diff, "\n") + 1; lines > most || len(one.Added)+len(one.Removed) > most {
			t.Errorf("%d lines of %d", lines, most)
		}
	})
}
