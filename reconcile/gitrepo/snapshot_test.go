package gitrepo

import (
	"io/fs"
	"strings"
	"testing"
)

func TestSnapshotReadsACommitWithoutTheMirror(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	w.filler(3)
	old, err := w.mirrors.Snapshot(t.Context(), w.src, w.git("rev-parse", bad+"^"))
	if err != nil {
		t.Fatal(err)
	}
	tip, err := w.mirrors.Snapshot(t.Context(), w.src, "")
	if err != nil {
		t.Fatal(err)
	}
	// Whoever holds the mirror keeps nobody from reading.
	defer w.hold(w.mirrors)()
	says := func(tree fs.FS, text string) bool {
		found := false
		err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := fs.ReadFile(tree, name)
			found = found || strings.Contains(string(data), text)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		return found
	}
	if says(old, tag1) || !says(tip, tag1) {
		t.Errorf("the commit before says %s: %t, the tip: %t", tag1, says(old, tag1), says(tip, tag1))
	}
}
