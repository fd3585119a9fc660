package gitrepo

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

// packed is a clone whose files are all in one pack, most of them as deltas of each other.
func packed(t *testing.T, files int) (dir string, want map[string]string) {
	w := newWorld(t)
	want = map[string]string{}
	var put []string
	for i := range files {
		name := fmt.Sprintf("apps/a%d/b%d/app%d.yaml", i%7, i%31, i)
		want[name] = strings.Repeat(fmt.Sprintf("# file %d of many that look alike\n", i), 60)
		put = append(put, name, want[name])
	}
	w.put("add", put...)
	w.git("repack", "-adfq", "--depth=50", "--window=50")
	if loose := w.glob(w.work, ".git/objects/??/*"); len(loose) > 0 {
		t.Fatalf("%d objects are in no pack", len(loose))
	}
	return w.work, want
}

// treeOf is the files of a clone.
func treeOf(t *testing.T, dir string) fs.FS {
	t.Helper()
	l, err := OpenLocal(dir, "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	tree, err := l.Tree()
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestTreeIsReadFromManyGoroutinesAtOnce(t *testing.T) {
	dir, want := packed(t, 200)
	for _, processors := range []int{2, 16} {
		t.Run(fmt.Sprintf("on %d processors", processors), func(t *testing.T) {
			before := runtime.GOMAXPROCS(processors)
			defer runtime.GOMAXPROCS(before)
			tree := treeOf(t, dir)
			var reading sync.WaitGroup
			for seed := range uint64(16) {
				reading.Go(func() { readAllOf(t, tree, want, rand.New(rand.NewPCG(seed, seed))) })
			}
			reading.Wait()
		})
	}
}

// readAllOf reads every file of a tree in an order of its own, and lists and describes what is on the way.
func readAllOf(t *testing.T, tree fs.FS, want map[string]string, order *rand.Rand) {
	names := make([]string, 0, len(want))
	for name := range want {
		names = append(names, name)
	}
	order.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		data, err := fs.ReadFile(tree, name)
		if err != nil || string(data) != want[name] {
			t.Errorf("%s: %v, %q", name, err, data[:min(len(data), 40)])
		}
		info, err := fs.Stat(tree, name)
		if err != nil || info.Size() != int64(len(want[name])) {
			t.Errorf("%s: %v, %v", name, err, info)
		}
		entries, err := fs.ReadDir(tree, filepath.Dir(name))
		if err != nil || len(entries) == 0 {
			t.Errorf("%s: %v, %v", filepath.Dir(name), err, entries)
		}
	}
}

func TestTreeIsAFileSystem(t *testing.T) {
	dir, want := packed(t, 70)
	tree := treeOf(t, dir)
	var names []string
	for name := range want {
		names = append(names, name)
	}
	if err := fstest.TestFS(tree, names...); err != nil {
		t.Error(err)
	}
	if _, err := fs.ReadFile(tree, "apps/none.yaml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there gives %v", err)
	}
}
