package manifest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// seeds are all YAML files in testdata, and the comments over which readers could disagree.
func seeds(f *testing.F) [][]byte {
	f.Helper()
	var all [][]byte
	err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "fuzz") {
			return err
		}
		data, err := os.ReadFile(path)
		all = append(all, data)
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range markerSeeds {
		all = append(all, []byte(seed))
	}
	for _, shape := range shapes {
		all = append(all, []byte(shape.yaml))
	}
	return all
}

func FuzzNodes(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		nodes, err := Nodes("f.yaml", data)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, n := range nodes {
			if seen[n.Pointer] {
				t.Errorf("two nodes at %s", n.Pointer)
			}
			seen[n.Pointer] = true
			if n.Held != nil && n.Policy == "" {
				t.Errorf("%s is held without a marker", n.Pointer)
			}
			if n.Group == "" || n.Line < 1 || n.Part == "" {
				t.Errorf("incomplete node %+v", n)
			}
			if n.Part == PartImage && n.Value != "" && !strings.ContainsAny(n.Value, " \t\n\u0085\u2028\u2029") && !MayHold(data, n.Value) {
				t.Errorf("MayHold overlooks %q at %s", n.Value, n.Pointer)
			}
		}
		deltas, only, err := Changed(data, data)
		if err != nil || len(deltas) != 0 || !only {
			t.Errorf("a file differs from itself: %v, only %v, err %v", deltas, only, err)
		}
	})
}

func FuzzMarkers(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// kyaml cuts files at every "---" before it parses, even in a text, and reads only files with the token.
		if bytes.Contains(data, []byte("---")) || bytes.ContainsAny(data, "*<%") {
			return
		}
		ours, theirs, err := sameMarkers(data)
		if err != nil {
			return
		}
		if theirs > ours {
			t.Errorf("%d markers, kyaml reads %d", ours, theirs)
		}
	})
}

func FuzzEdit(f *testing.F) {
	for i, seed := range seeds(f) {
		f.Add(seed, []string{"v1.2.3", "", "1.10", "yes", "a'b\"c\\ d", "ghcr.io/a/b:v1@sha256:00", "a: b", "# c"}[i%8], uint8(i))
	}
	f.Fuzz(func(t *testing.T, data []byte, value string, which uint8) {
		nodes, err := Nodes("", data)
		if err != nil || len(nodes) == 0 {
			return
		}
		n := nodes[int(which)%len(nodes)]
		edited, err := Edit(data, []Change{{Pointer: n.Pointer, Value: value}})
		if err != nil {
			return
		}
		was, _ := parse(data)
		is, err := parse(edited)
		if err != nil {
			t.Fatalf("the result does not read: %v\n%s", err, edited)
		}
		before, _ := was.places("")
		after, err := is.places("")
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, at := range after {
			got[at.Pointer] = at.Value
		}
		for _, at := range before {
			want := at.Value
			if at.Pointer == n.Pointer {
				want = value
			}
			// A value that looks like no image ends being a node where only its looks made it one.
			if now, ok := got[at.Pointer]; ok && now != want {
				t.Errorf("%s is %q, want %q\n%s", at.Pointer, now, want, edited)
			}
		}
		if back, err := Edit(edited, []Change{{Pointer: n.Pointer, Value: n.Value}}); err == nil {
			if _, _, err := Changed(data, back); err != nil {
				t.Errorf("after going back: %v", err)
			}
		}
	})
}

func FuzzHold(f *testing.F) {
	for i, seed := range seeds(f) {
		f.Add(seed, []string{"v1.2.3", "", "a b{c}%", "\n#"}[i%4], int64(i)*1e9, uint8(i))
	}
	f.Fuzz(func(t *testing.T, data []byte, not string, since int64, which uint8) {
		nodes, err := Nodes("", data)
		if err != nil {
			return
		}
		nodes = slices.DeleteFunc(nodes, func(n Node) bool { return n.Policy == "" || n.Held != nil })
		if len(nodes) == 0 {
			return
		}
		n := nodes[int(which)%len(nodes)]
		mark := Mark{Not: not, Since: time.Unix(since%1e11, 0).UTC(), Lift: v1alpha1.LiftNewerImage}
		if which%2 == 1 {
			mark.Lift = v1alpha1.LiftManual
		}
		held, err := WriteHold(data, n.Pointer, mark)
		if err != nil {
			return
		}
		after, err := Nodes("", held)
		if err != nil {
			t.Fatal(err)
		}
		for _, now := range after {
			if now.Pointer == n.Pointer {
				want := n
				want.Held = &mark
				if diff := cmp.Diff(want, now); diff != "" {
					t.Errorf("after WriteHold (-want +got):\n%s", diff)
				}
			}
		}
		cleared, err := ClearHold(held, n.Pointer)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(cleared, data) {
			t.Errorf("after WriteHold and ClearHold %q, want %q", cleared, data)
		}
	})
}

func FuzzClosure(f *testing.F) {
	f.Add("resources: [base, ../../x, /etc/passwd, https://u:p@h/x?ref=v1, d.yaml, link, sub]", "resources: [..]\n", "base")
	f.Add("bases: [../../..]\npatchesStrategicMerge: [d.yaml, \"a: b\"]\npatches: [{path: d.yaml}]", "components: [.]", ".")
	f.Add("configMapGenerator: [{files: [values.yaml=d.yaml, a=../../b.yaml]}]", "{{ x }}", "./app/")
	f.Add("resources: [\".\", \"\\0\", \"a//b\", \"./base/../base\"]", "kind: Component\nresources: [../d.yaml]", "/app/base")
	f.Fuzz(func(t *testing.T, app, base, root string) {
		tree := fstest.MapFS{
			"app/kustomization.yaml": {Data: []byte(app)}, "app/base/kustomization.yml": {Data: []byte(base)},
			"app/d.yaml": {Data: []byte("a: b")}, "base/x.yaml": {}, "base/y/z.yml": {}, "base/y/Kustomization": {Data: []byte(app)},
			"app/link": {Data: []byte("../../secret"), Mode: fs.ModeSymlink}, "app/sub": {Mode: fs.ModeIrregular},
			"app/base/d.yaml": {Data: []byte("/d.yaml"), Mode: fs.ModeSymlink},
		}
		files, err := Closure(tree, root)
		if err != nil {
			return
		}
		for _, list := range [][]string{files.Paths, files.Values} {
			if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
				t.Errorf("not sorted, or with duplicates: %q", list)
			}
			for _, path := range list {
				if file := tree[path]; file == nil || !file.Mode.IsRegular() {
					t.Errorf("%q is no file of the tree", path)
				}
			}
		}
	})
}
