package gitrepo

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/reconcile"
)

func TestTheCommitsBetweenTwo(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	w.filler(5)
	tip := w.git("rev-parse", "HEAD")
	all := strings.Fields(w.git("rev-list", "--reverse", "--first-parent", bad+"..HEAD"))
	for _, c := range []struct {
		name, good, bad string
		most            int
		want            []string
		refused         string
	}{
		{"oldest first, without the good one", bad, tip, 10, all, ""},
		{"as many as there may be", bad, tip, len(all), all, ""},
		{"none between one and itself", tip, tip, 10, nil, ""},
		{"more than are looked at", bad, tip, len(all) - 1, nil, "does not come before"},
		{"one that comes after it", tip, bad, 10, nil, "does not come before"},
		{"the last ones, where no good one is known", "", tip, 2, all[len(all)-2:], ""},
	} {
		got, err := w.mirrors.Between(t.Context(), w.src, c.good, c.bad, c.most)
		why, refused := reconcile.AsRefusal(err)
		if refused != (c.refused != "") || !strings.Contains(why, c.refused) || err != nil && !refused {
			t.Errorf("%s: got %v, want %q", c.name, err, c.refused)
			continue
		}
		var hashes []string
		for _, p := range got {
			hashes = append(hashes, p.Commit)
			if parent := w.git("rev-parse", p.Commit+"^"); p.Parent != parent || p.Subject == "" || p.Author == "" || p.When.IsZero() {
				t.Errorf("%s: %+v, whose parent is %s", c.name, p, parent)
			}
		}
		if err == nil && strings.Join(hashes, " ") != strings.Join(c.want, " ") {
			t.Errorf("%s: got %v, want %v", c.name, hashes, c.want)
		}
	}
}

// What has the same hash in two commits need not be rendered twice.
func TestATreeTellsWhatIsTheSame(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	hash := func(commit, name string) any {
		t.Helper()
		tree, err := w.mirrors.Snapshot(t.Context(), w.src, commit)
		if err != nil {
			t.Fatal(err)
		}
		info, err := fs.Stat(tree, name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys()
	}
	before := w.git("rev-parse", bad+"^")
	changed := w.git("diff-tree", "--no-commit-id", "--name-only", "-r", bad)
	file := strings.Fields(changed)[0]
	folder, _, _ := strings.Cut(file, "/")
	if hash(before, file) == hash(bad, file) || hash(before, folder) == hash(bad, folder) {
		t.Errorf("%s changed, and tells the same", file)
	}
	w.filler(1)
	if tip := w.git("rev-parse", "HEAD"); hash(bad, file) != hash(tip, file) {
		t.Errorf("%s did not change, and tells something else", file)
	}
}
