package manifest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEditChangesOnlyTheValue(t *testing.T) {
	for _, tc := range []struct {
		name, before, pointer, value, after string
	}{
		{"a plain scalar", "image: a/b:v1 # why\nx:   y\n", "#/image", "a/b:v2", "image: a/b:v2 # why\nx:   y\n"},
		{"CRLF stays", "a: 1\r\nimage: a/b:v1\r\nb: 2\r\n", "#/image", "a/b:v22", "a: 1\r\nimage: a/b:v22\r\nb: 2\r\n"},
		{"a byte order mark stays", "\uFEFFimage: a/b:v1\n", "#/image", "a/b:v2", "\uFEFFimage: a/b:v2\n"},
		{"no final newline", "image: a/b:v1", "#/image", "a/b:v2", "image: a/b:v2"},
		{"old Mac line ends", "a: 1\rimage: a/b:v1\rb: 2\r", "#/image", "a/b:v2", "a: 1\rimage: a/b:v2\rb: 2\r"},
		{"characters of several bytes before it", "{ä: ü, \"日本\": \"語\u2028\", image: a/b:v1}", "#/image", "a/b:v2", "{ä: ü, \"日本\": \"語\u2028\", image: a/b:v2}"},
		{"tabs around it", "image:\ta/b:v1\t# c\n", "#/image", "a/b:v2", "image:\ta/b:v2\t# c\n"},
		{"YAML in a folded block", "patches:\n- patch: >\n    [{op: add, path: /v1/image/tag,\n    value: v1}]\n", "#/patches[0]/patch!#[path=~1v1~1image~1tag]/value", "v2",
			"patches:\n- patch: >\n    [{op: add, path: /v1/image/tag,\n    value: v2}]\n"},
		{"an image that is a folded block", "image: >-\n  a/b:v1\nx: 1\n", "#/image", "a/b:v2", "image: >-\n  a/b:v2\nx: 1\n"},
		{"a variable of a file of environment variables", "# TAG=v0\r\nTAGS=v1\r\n TAG=v1\r\n", "env#/TAG", "v2", "# TAG=v0\r\nTAGS=v1\r\n TAG=v2\r\n"},
		{"single quotes", "image: 'a/b:v1'\n", "#/image", "it's:v2", "image: 'it''s:v2'\n"},
		{"double quotes", "image: \"a/b:v1\"\n", "#/image", "a\"\\b:v2", "image: \"a\\\"\\\\b:v2\"\n"},
		{"a control character in single quotes", "image: 'a/b:v1'\n", "#/image", "a:\tb\n", "image: \"a:\\tb\\n\"\n"},
		{"an image in an argument", "args:\n- --x\n- --reloader=r.example/a:v1 # why\n", "#/args[1]=r.example~1a", "r.example/a:v2",
			"args:\n- --x\n- --reloader=r.example/a:v2 # why\n"},
		{"one of two images of a variable", "env: [{name: X, value: \"3=r.example/a:v1,4=r.example/ab:v1\"}]\n",
			"#/env[name=X]/value=r.example~1ab", "r.example/ab:v2", "env: [{name: X, value: \"3=r.example/a:v1,4=r.example/ab:v2\"}]\n"},
		{"the second of two images of one repository", "x: |\n  3.6=r.example/a:v1-3.6\n  3.7=r.example/a:v1-3.7\n", "#/x=3.7", "r.example/a:v0-3.7",
			"x: |\n  3.6=r.example/a:v1-3.6\n  3.7=r.example/a:v0-3.7\n"},
		{"the value of a key and a value", "literals:\n- TAG=v1\n", "#/literals[0]=TAG", "v2", "literals:\n- TAG=v2\n"},
		{"an image in a block of text", "x: |\n  - name: a\n    image: r.example/a:v1 # c\ny: 1\n", "#/x=r.example~1a", "r.example/a:v22",
			"x: |\n  - name: a\n    image: r.example/a:v22 # c\ny: 1\n"},
		{"a value that is no image by its place", "data: {TAG: v1}\n", "#/data/TAG", "v2", "data: {TAG: v2}\n"},
		{"YAML in double quotes", "patches:\n- patch: \"- op: replace\\n  path: /a/image/tag\\n  value: v1 # \\u00fc\\n\"\n",
			"#/patches[0]/patch!#[path=~1a~1image~1tag]/value", "v2",
			"patches:\n- patch: \"- op: replace\\n  path: /a/image/tag\\n  value: v2 # \\u00fc\\n\"\n"},
		{"YAML in double quotes that are folded", "patches:\n- patch: \"- op: replace\\n\\\n    \\  path: /a/image/tag\\n  value:\n    v1\\n\"\n",
			"#/patches[0]/patch!#[path=~1a~1image~1tag]/value", "v2",
			"patches:\n- patch: \"- op: replace\\n\\\n    \\  path: /a/image/tag\\n  value:\n    v2\\n\"\n"},
		{"YAML in single quotes", "patches:\n- patch: '[{op: add, path: /a/image/tag, value: \"v1\"}, {op: add, path: /b, value: ''x''}]'\n",
			"#/patches[0]/patch!#[path=~1a~1image~1tag]/value", "v2",
			"patches:\n- patch: '[{op: add, path: /a/image/tag, value: \"v2\"}, {op: add, path: /b, value: ''x''}]'\n"},
		{"flow style", "{image: a/b:v1, x: [1,2]}\n", "#/image", "c/d:v2", "{image: c/d:v2, x: [1,2]}\n"},
		{"JSON", `{"image":"a/b:v1","x":1}`, "#/image", "a/b:v2", `{"image":"a/b:v2","x":1}`},
		{"a tag that is a number needs quotes", "image:\n  repository: a\n  tag: v1\n", "#/image/tag", "1.10", "image:\n  repository: a\n  tag: \"1.10\"\n"},
		{"a tag that YAML 1.1 takes for a boolean", "image: {repository: a, tag: v1}\n", "#/image/tag", "yes", "image: {repository: a, tag: \"yes\"}\n"},
		{"a tag that is an octal number", "image: {repository: a, tag: v1}\n", "#/image/tag", "0123", "image: {repository: a, tag: \"0123\"}\n"},
		{"a tag that is a time in base 60", "image: {repository: a, tag: v1}\n", "#/image/tag", "12:30", "image: {repository: a, tag: \"12:30\"}\n"},
		{"a tag that is a float", "image: {repository: a, tag: v1}\n", "#/image/tag", "1e3", "image: {repository: a, tag: \"1e3\"}\n"},
		{"a commit that reads as a float", "image: {repository: a, tag: v1}\n", "#/image/tag", "12345e67", "image: {repository: a, tag: \"12345e67\"}\n"},
		{"a tag that is a date", "image: {repository: a, tag: v1}\n", "#/image/tag", "2026-11-21", "image: {repository: a, tag: \"2026-11-21\"}\n"},
		{"a version needs no quotes", "image: {repository: a, tag: v1}\n", "#/image/tag", "1.2.3", "image: {repository: a, tag: 1.2.3}\n"},
		{"a number becomes text", "image: {repository: a, tag: 16}\n", "#/image/tag", "17", "image: {repository: a, tag: \"17\"}\n"},
		{"text that YAML would cut", "image: {repository: a, tag: v1}\n", "#/image/tag", "a: b # c", "image: {repository: a, tag: \"a: b # c\"}\n"},
		{"to empty", "images: [{name: a, newTag: v1}]\n", "#/images[name=a]/newTag", "", "images: [{name: a, newTag: \"\"}]\n"},
		{"from empty quotes", "images:\n- name: a\n  newTag: '' # c\n", "#/images[name=a]/newTag", "v1", "images:\n- name: a\n  newTag: 'v1' # c\n"},
		{"from nothing", "images:\n- newTag:\n  name: a\n", "#/images[name=a]/newTag", "v1", "images:\n- newTag: v1\n  name: a\n"},
		{"from nothing before a comment", "images:\n- newTag:   # c\n  name: a\n", "#/images[name=a]/newTag", "v1", "images:\n- newTag: v1   # c\n  name: a\n"},
		{"from nothing in flow style", "images: [{name: a, newTag: }]\n", "#/images[name=a]/newTag", "v1", "images: [{name: a, newTag: v1 }]\n"},
		{"from nothing at the end", "images:\n- name: a\n  newTag:", "#/images[name=a]/newTag", "v1", "images:\n- name: a\n  newTag: v1"},
		{"from nothing with an anchor", "images:\n- newTag: &t\n  name: a\n", "#/images[name=a]/newTag", "v1", "images:\n- newTag: &t v1\n  name: a\n"},
		{"from null", "images:\n- newTag: ~\n  name: a\n", "#/images[name=a]/newTag", "v1", "images:\n- newTag: v1\n  name: a\n"},
		{"behind an anchor and a tag", "image: &i !!str  a/b:v1 # c\n", "#/image", "a/b:v2", "image: &i !!str  a/b:v2 # c\n"},
		{"a quoted scalar of several lines", "image: \"a/b:\\\n  v1\"\nx: y\n", "#/image", "a/b:v2", "image: \"a/b:v2\"\nx: y\n"},
		{"an alias whose anchor is only a definition", "x: &i a/b:v1\ny: {image: *i}\n", "#/y/image", "a/b:v2", "x: &i a/b:v2\ny: {image: *i}\n"},
		{"an alias of a text that another text repeats", "x: &i a/b:v1\ny: {image: *i}\nz: *i\n", "#/y/image", "a/b:v2", "x: &i a/b:v2\ny: {image: *i}\nz: *i\n"},
		{"a marked anchor that other text repeats", "a: &i b:v1 # {\"$imagepolicy\": \"n:p\"}\nb: *i\n", "#/a", "b:v2", "a: &i b:v2 # {\"$imagepolicy\": \"n:p\"}\nb: *i\n"},
		{"the second document", "image: a/b:v1\n---\nimage: a/b:v1\n...\n", ";2#/image", "a/b:v2", "image: a/b:v1\n---\nimage: a/b:v2\n...\n"},
		{"a document on the line of its start", "--- {image: a/b:v1}\n", "#/image", "a/b:v2", "--- {image: a/b:v2}\n"},
		{"the same value again", "image:   a/b:v1\r\n", "#/image", "a/b:v1", "image:   a/b:v1\r\n"},
		{"an inline patch", "patches:\n- patch: |-\n    - op: add\n      path: /spec/template/spec/containers/0/image\r\n      value: a:v1 # c\n  options: {}\n",
			"#/patches[0]/patch!#[path=~1spec~1template~1spec~1containers~10~1image]/value", "1.5",
			"patches:\n- patch: |-\n    - op: add\n      path: /spec/template/spec/containers/0/image\r\n      value: \"1.5\" # c\n  options: {}\n"},
		{"Helm values in a ConfigMap", "kind: ConfigMap\ndata:\n  v.yaml: |+\n\n      image: {repository: a, tag: v1}\n\n\n", "#/data/v.yaml!#/image/tag", "v2",
			"kind: ConfigMap\ndata:\n  v.yaml: |+\n\n      image: {repository: a, tag: v2}\n\n\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Edit([]byte(tc.before), []Change{{Pointer: tc.pointer, Value: tc.value}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.after, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEditRefusesWhatItCannotDoExactly(t *testing.T) {
	shared := "a: {image: &i x:v1}\nb: {image: *i}\n"
	for _, tc := range []struct {
		name, yaml string
		edits      []Change
		want       error
	}{
		{"a pointer to nothing", "image: a:v1\n", []Change{{Pointer: "#/images", Value: "x"}}, ErrNoNode},
		{"an anchor that another node shares", shared, []Change{{Pointer: "#/a/image", Value: "x:v2"}}, ErrRefused},
		{"an alias whose anchor is a node", shared, []Change{{Pointer: "#/b/image", Value: "x:v2"}}, ErrRefused},
		{"two values for one text", shared, []Change{{Pointer: "#/a/image", Value: "x:v2"}, {Pointer: "#/b/image", Value: "x:v3"}}, ErrRefused},
		{"a folded block of two lines", "image: >-\n  a:v1\n  b\n", []Change{{Pointer: "#/image", Value: "a:v2"}}, ErrRefused},
		{"a block of text", "image: |\n  a:v1\n", []Change{{Pointer: "#/image", Value: "a:v2"}}, ErrRefused},
		{"a marked block of text", "x:\n# {\"$imagepolicy\": \"n:p\"}\n- |\n  a:v1\n", []Change{{Pointer: "#/x[0]", Value: "a:v2"}}, ErrRefused},
		{"a plain scalar of several lines", "containers:\n- image: a\n    b\n", []Change{{Pointer: "#/containers[0]/image", Value: "c"}}, ErrRefused},
		{"a tag that says number", "images: [{name: a, newTag: !!int 5}]\n", []Change{{Pointer: "#/images[name=a]/newTag", Value: "6"}}, ErrRefused},
		{"a key without a colon", "images: [{name: a, newTag}]\n", []Change{{Pointer: "#/images[name=a]/newTag", Value: "v1"}}, ErrRefused},
		{"a value that is not UTF-8", "image: a:v1\n", []Change{{Pointer: "#/image", Value: "a:\xff"}}, ErrRefused},
		{"a file that does not parse", "a: [\n", nil, ErrNotYAML},
		{"a file that SOPS encrypted", "image: a:v1\nsops: {mac: x}\n", []Change{{Pointer: "#/image", Value: "a:v2"}}, ErrSOPS},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Edit([]byte(tc.yaml), tc.edits)
			if !errors.Is(err, tc.want) || got != nil {
				t.Errorf("%q, %v; want %v", got, err, tc.want)
			}
		})
	}
}

func TestNodesOfOneAnchorChangeTogether(t *testing.T) {
	before := []byte("a: {image: &i x:v1}\nb: {image: *i}\nc: *i\n")
	got, err := Edit(before, []Change{{Pointer: "#/b/image", Value: "x:v2"}, {Pointer: "#/a/image", Value: "x:v2"}})
	if want := "a: {image: &i x:v2}\nb: {image: *i}\nc: *i\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	nodes, err := Nodes("", before)
	if err != nil {
		t.Fatal(err)
	}
	if picked := Match(nodes[1:], "x:v1", Target{}); len(picked) != 1 {
		t.Errorf("picked %v", picked)
	}
	if picked := Match(nodes, "x:v1", Target{}); len(picked) != 2 || picked[0].Anchor != picked[1].Anchor {
		t.Errorf("picked %v, want both nodes of the anchor", picked)
	}
}

func TestManyEditsAtOnce(t *testing.T) {
	data := read(t, "testdata/writeback/before/kustomization-images.yaml")
	got, err := Edit(data, []Change{
		{Pointer: "#/images[name=other]/newTag", Value: "1.0"}, {Pointer: "#/images[name=backend]/newName", Value: "r/b"}, {Pointer: "#/images[name=backend]/newTag", Value: "v9"},
	})
	want := strings.NewReplacer("newName: localhost:5000/backend", "newName: r/b", "newTag: develop-v1.0.0-1700000001", "newTag: v9",
		`"develop-v1.0.0-1700000001"`, `"1.0"`).Replace(string(data))
	if err != nil || string(got) != want {
		t.Errorf("%s, %v; want\n%s", got, err, want)
	}
}

// Going back from a write-back by value must give what the automation would have left had it never run.
func TestEditTakesAWriteBackBack(t *testing.T) {
	files, err := filepath.Glob("testdata/writeback/after/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		before, after := read(t, strings.Replace(file, "/after/", "/before/", 1)), read(t, file)
		deltas, _, err := Changed(before, after)
		if err != nil {
			if !errors.Is(err, ErrNotYAML) {
				t.Errorf("%s: %v", file, err)
			}
			continue
		}
		var edits []Change
		for _, d := range deltas {
			edits = append(edits, Change{Pointer: d.Pointer, Value: d.Before.Value})
		}
		got, err := Edit(after, edits)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		want := bytes.ReplaceAll(after, []byte("develop-v1.1.0-1700000200"), []byte("develop-v1.0.0-1700000001"))
		// The hold in multi.yaml names the bad value, and stays.
		want = bytes.ReplaceAll(want, []byte("not=develop-v1.0.0-1700000001"), []byte("not=develop-v1.1.0-1700000200"))
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func TestTheWordsThatYAMLReadsAsOtherTypesGetQuotes(t *testing.T) {
	data, err := os.ReadFile("testdata/words.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		word, kind, _ := strings.Cut(line, " ")
		if got := staysText(word); got != (kind == "text") {
			t.Errorf("staysText(%q) = %v, want it to be %s", word, got, kind)
		}
	}
}
