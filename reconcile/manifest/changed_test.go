package manifest

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/kyaml/kio"
)

// show writes deltas as "pointer: before -> after".
func show(deltas []Delta) (list []string) {
	value := func(n *Node) string {
		if n == nil {
			return "none"
		}
		return n.Value
	}
	for _, d := range deltas {
		list = append(list, d.Pointer+": "+value(d.Before)+" -> "+value(d.After))
	}
	return list
}

func TestChangedTellsImagesFromEverythingElse(t *testing.T) {
	const base = "kind: Deployment\nmetadata: {name: a}\nspec:\n  replicas: 2\n  template: {spec: {containers: [{name: x, image: \"a:v1\"}, {name: y, image: \"b:v1\"}]}}\n"
	replace := func(pairs ...string) string {
		s := base
		for i := 0; i < len(pairs); i += 2 {
			s = string(bytes.ReplaceAll([]byte(s), []byte(pairs[i]), []byte(pairs[i+1])))
		}
		return s
	}
	const at = "Deployment/a#/spec/template/spec/containers"
	for _, tc := range []struct {
		name, before, after string
		deltas              []string
		only                bool
	}{
		{"nothing", base, base, nil, true},
		{"one image", base, replace("a:v1", "a:v2"), []string{at + "[name=x]/image: a:v1 -> a:v2"}, true},
		{"two images", base, replace("v1", "v2"), []string{at + "[name=x]/image: a:v1 -> a:v2", at + "[name=y]/image: b:v1 -> b:v2"}, true},
		{"an image and more", base, replace("a:v1", "a:v2", "replicas: 2", "replicas: 3"), []string{at + "[name=x]/image: a:v1 -> a:v2"}, false},
		{"something else", base, replace("replicas: 2", "replicas: 3"), nil, false},
		{"a number that became text", base, replace("replicas: 2", "replicas: \"2\""), nil, false},
		{"layout, comments, quotes, order of keys and line ends", base, "# c\r\nmetadata:   {\"name\": 'a'}\r\nkind: Deployment # d\r\nspec:\r\n    template: {spec: {containers: [{image: a:v1, name: x}, {name: y, image: b:v1}]}}\r\n    replicas: 2\r\n", nil, true},
		{"a marker", "image: a/b:v1\n", "image: a/b:v1 # " + marked + "\n", nil, true},
		{"an added container", base, replace("[{name: x", "[{name: z, image: \"c:v1\"}, {name: x"), []string{at + "[name=z]/image: none -> c:v1"}, false},
		{"a removed container", base, replace(", {name: y, image: \"b:v1\"}", ""), []string{at + "[name=y]/image: b:v1 -> none"}, false},
		{"an added key of an image", "images: [{name: a, newTag: v1}]\n", "images: [{name: a, newTag: v1, digest: \"sha256:a\"}]\n", []string{"#/images[name=a]/digest: none -> sha256:a"}, true},
		{"an image that became empty", "image: a/b:v1\nx: y\n", "image: \"\"\nx: y\n", []string{"#/image: a/b:v1 -> none"}, true},
		{"an image that became a block", "image: a/b:v1\n", "image: {repository: a/b, tag: v1}\n", []string{"#/image: a/b:v1 -> none", "#/image/repository: none -> a/b", "#/image/tag: none -> v1"}, false},
		{"documents in another order", "kind: A\nmetadata: {name: a}\n---\nkind: B\nmetadata: {name: b}\nimage: b:v1\n", "kind: B\nmetadata: {name: b}\nimage: b:v2\n---\nkind: A\nmetadata: {name: a}\n", []string{"B/b#/image: b:v1 -> b:v2"}, true},
		{"a new file", "", "image: a:v1\n", []string{"#/image: none -> a:v1"}, false},
		{"a deleted file", "image: a:v1\n", "", []string{"#/image: a:v1 -> none"}, false},
		{"an image in an inline patch", "patches:\n- patch: |\n    [{op: add, path: /spec/template/spec/containers/0/image, value: a:v1}]\n", "patches:\n- patch: |\n    - {op: add, path: /spec/template/spec/containers/0/image, value: a:v2}\n",
			[]string{"#/patches[0]/patch!#[path=~1spec~1template~1spec~1containers~10~1image]/value: a:v1 -> a:v2"}, true},
		{"more in an inline patch", "patches:\n- patch: |\n    [{op: add, path: /a/image, value: a:v1}, {op: remove, path: /x}]\n", "patches:\n- patch: |\n    [{op: add, path: /a/image, value: a:v1}, {op: remove, path: /y}]\n", nil, false},
		{"a shared anchor", "x: &i a:v1\ny: {image: *i}\n", "x: &i a:v2\ny: {image: *i}\n", []string{"#/y/image: a:v1 -> a:v2"}, true},
		{"an alias written out", "x: &r {cpu: 1}\ny: *r\n", "x: {cpu: 1}\ny: {cpu: 1}\n", nil, true},
		{"a merge key written out", "x: &r {cpu: 1, m: 2}\ny: {<<: *r, m: 3}\n", "x: {cpu: 1, m: 2}\ny: {m: 3, cpu: 1}\n", nil, true},
		{"null in other words", "a: ~\n", "a:\n", nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			deltas, only, err := Changed([]byte(tc.before), []byte(tc.after))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.deltas, show(deltas)); diff != "" {
				t.Errorf("deltas (-want +got):\n%s", diff)
			}
			if only != tc.only {
				t.Errorf("only = %v, want %v", only, tc.only)
			}
		})
	}
	if _, _, err := Changed([]byte("a: ["), nil); !errors.Is(err, ErrNotYAML) {
		t.Errorf("a version before that does not parse: %v", err)
	}
	if _, _, err := Changed(nil, []byte("a: [")); !errors.Is(err, ErrNotYAML) {
		t.Errorf("a version after that does not parse: %v", err)
	}
}

// What image automation does to a file that it writes, it may do to any file: every node must be found again.
func TestPointersSurviveReserialisation(t *testing.T) {
	rewritten := 0
	for _, tc := range shapes {
		var out bytes.Buffer
		before := []byte(tc.yaml)
		objects, err := (&kio.ByteReader{Reader: bytes.NewReader(before), PreserveSeqIndent: true}).Read()
		if err != nil && strings.HasPrefix(tc.yaml, "- ") {
			continue // image automation leaves a file that is a list alone
		}
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if err := (kio.ByteWriter{Writer: &out}).Write(objects); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), before) {
			rewritten++
		}
		deltas, only, err := Changed(before, out.Bytes())
		if err != nil || len(deltas) > 0 || !only {
			t.Errorf("%s: %v, only %v, err %v in\n%s", tc.name, show(deltas), only, err, out.String())
		}
	}
	if rewritten < 4 {
		t.Errorf("only %d files were written differently", rewritten)
	}
}

func TestPointersSurviveWhatPeopleMoveAndAdd(t *testing.T) {
	before := tree(t, "\n-- f --\n"+deployment("a", "n", "a:v1")+"---\n"+deployment("b", "n", "b:v1")+"---\nimages: [{name: x, newTag: v1}]\n")
	after := tree(t, "\n-- f --\n# new\n"+"images: [{name: new, newTag: v9}, {newTag: v1, name: x}]\n---\n"+
		deployment("new", "n", "new:v1")+"---\n"+deployment("b", "n", "b:v1")+"---\n"+
		"kind: Deployment\nmetadata: {namespace: n, name: a}\nspec: {template: {spec: {containers: "+
		"[{name: side, image: side:v1}, {name: new, image: new:v1}, {image: a:v1, name: app}]}}}\n")
	now := map[string]string{}
	for _, n := range after {
		now[n.Pointer] = n.Value
	}
	for _, n := range before {
		if now[n.Pointer] != n.Value {
			t.Errorf("%s was %q and is %q", n.Pointer, n.Value, now[n.Pointer])
		}
	}
}
