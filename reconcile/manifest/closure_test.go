package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func file(data string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(data), Mode: 0o644} }
func link(target string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
}
func problems(list ...string) (p []Problem) {
	for _, s := range list {
		name, reason, _ := strings.Cut(s, ": ")
		one := Problem{File: name, Why: reason, Remote: strings.Contains(reason, "is remote"),
			Link: strings.Contains(reason, "symbolic link")}
		one.Unfollowed = one.Remote || strings.Contains(reason, "not followed")
		if quoted := strings.SplitN(reason, `"`, 3); len(quoted) == 3 {
			one.Ref = quoted[1]
		}
		if in, _, ok := strings.Cut(reason, " is in a submodule"); ok {
			one.Submodule = in[strings.LastIndexByte(in, ' ')+1:]
		}
		p = append(p, one)
	}
	return p
}

func TestClosureFollowsKustomizations(t *testing.T) {
	for _, tc := range []struct {
		name string
		tree fstest.MapFS
		root string
		want Files
	}{
		{
			name: "resources, bases, components and patches, out of the root and back",
			root: "./clusters/dev/",
			tree: fstest.MapFS{
				"clusters/dev/kustomization.yaml": file(`
resources: [deploy.yaml, ../../base, sub/file.json]
components: [../../components/a]
bases: [../../old]
patches: [{path: p.yaml, target: {kind: Deployment}}, {patch: "a: b"}]
patchesStrategicMerge: [sm.yaml, "kind: Deployment\nspec: {}"]
patchesJson6902: [{path: j.yaml, target: {}}]
replacements: [{path: r.yaml}, {source: {}}]
transformers: [t.yaml, ../../transformers, "kind: X\na: b"]
configMapGenerator: [{name: v, files: [values.yaml, x=../../shared/v.yml, script.sh], envs: [e.env]}]
crds: [crd.yaml]
configurations: [conf.yaml]
`),
				"clusters/dev/deploy.yaml": file(""), "clusters/dev/sub/file.json": file(""), "clusters/dev/p.yaml": file(""),
				"clusters/dev/sm.yaml": file(""), "clusters/dev/j.yaml": file(""), "clusters/dev/r.yaml": file(""), "clusters/dev/t.yaml": file(""),
				"clusters/dev/values.yaml": file(""), "clusters/dev/script.sh": file(""), "clusters/dev/e.env": file("A=b"), "clusters/dev/unused.yaml": file(""),
				"shared/v.yml": file(""), "base/kustomization.yml": file("resources: [b.yaml]"), "base/b.yaml": file(""),
				"components/a/Kustomization": file("kind: Component\npatches: [{path: c.yaml}]"), "components/a/c.yaml": file(""),
				"old/kustomization.yaml": file("{}"), "transformers/kustomization.yaml": file("resources: [x.yaml]"), "transformers/x.yaml": file(""),
			},
			want: Files{
				Paths: []string{
					"base/b.yaml", "base/kustomization.yml", "clusters/dev/deploy.yaml", "clusters/dev/j.yaml", "clusters/dev/kustomization.yaml",
					"clusters/dev/p.yaml", "clusters/dev/r.yaml", "clusters/dev/sm.yaml", "clusters/dev/sub/file.json", "clusters/dev/t.yaml",
					"components/a/Kustomization", "components/a/c.yaml", "old/kustomization.yaml", "transformers/kustomization.yaml", "transformers/x.yaml",
				},
				Values: []string{"clusters/dev/e.env", "clusters/dev/values.yaml", "shared/v.yml"},
			},
		}, {
			name: "without a kustomization file everything below, folders with one by it",
			root: "/apps",
			tree: fstest.MapFS{
				"apps/a.yaml": file(""), "apps/x/b.yml": file(""), "apps/x/readme.md": file(""), "apps/x/c.json": file(""),
				"apps/k/kustomization.yaml": file("resources: [used.yaml]"), "apps/k/used.yaml": file(""), "apps/k/unused.yaml": file(""),
				"apps/.github/workflows/ci.yaml": file(""), "apps/.sops.yaml": file(""), "other/z.yaml": file(""),
			},
			want: Files{Paths: []string{"apps/a.yaml", "apps/k/kustomization.yaml", "apps/k/used.yaml", "apps/x/b.yml"}},
		}, {
			name: "the root of the repository",
			root: "",
			tree: fstest.MapFS{"a.yaml": file("")},
			want: Files{Paths: []string{"a.yaml"}},
		}, {
			name: "cycles end",
			root: "a",
			tree: fstest.MapFS{
				"a/kustomization.yaml": file("resources: [../b, ., x.yaml]"), "b/kustomization.yaml": file("resources: [../a, ../b]"), "a/x.yaml": file(""),
			},
			want: Files{Paths: []string{"a/kustomization.yaml", "a/x.yaml", "b/kustomization.yaml"}},
		}, {
			name: "what leads out, away or nowhere",
			root: "a",
			tree: fstest.MapFS{
				"a/kustomization.yaml": file(`resources:
- ../../x
- /etc/passwd
- https://user:token@github.com/acme/base//deploy?ref=v1&token=abc
- git@github.com:acme/base
- github.com/acme/base?ref=main
- missing.yaml
- empty
- file.yaml/below
patches: [{path: folder}]
`),
				"a/empty/readme.md": file(""), "a/folder/x.yaml": file(""), "a/file.yaml": file(""),
			},
			want: Files{
				Paths: []string{"a/kustomization.yaml"},
				Problems: problems(
					`a/kustomization.yaml: "../../x" leads out of the repository`,
					`a/kustomization.yaml: "/etc/passwd" is an absolute path`,
					`a/kustomization.yaml: "file.yaml/below" is not in the repository`,
					`a/kustomization.yaml: "folder" is a folder where a file is expected`,
					`a/kustomization.yaml: "github.com/acme/base" is remote: only files of this repository are read`,
					`a/kustomization.yaml: "github.com:acme/base" is remote: only files of this repository are read`,
					`a/kustomization.yaml: "https://github.com/acme/base//deploy" is remote: only files of this repository are read`,
					`a/kustomization.yaml: "missing.yaml" is not in the repository`,
					`a/kustomization.yaml: the folder "empty" has no kustomization file`,
				),
			},
		}, {
			name: "links and submodules",
			root: "a",
			tree: fstest.MapFS{
				"a/kustomization.yaml": file("resources: [l.yaml, ldir/x.yaml, ldir, sub, checkout/x.yaml, real.yaml]"), "a/l.yaml": link("../secret"),
				"a/ldir": link("/etc"), "a/sub": {Mode: fs.ModeIrregular}, "a/real.yaml": file(""),
				"a/checkout/.git": file("gitdir: x"), "a/checkout/x.yaml": file(""),
			},
			want: Files{
				Paths: []string{"a/kustomization.yaml", "a/real.yaml"},
				Problems: problems(
					`a/kustomization.yaml: "checkout/x.yaml" is not followed: a/checkout is in a submodule, which Backstop does not read`,
					`a/kustomization.yaml: "l.yaml" is not followed: a/l.yaml is a symbolic link, which is not followed`,
					`a/kustomization.yaml: "ldir" is not followed: a/ldir is a symbolic link, which is not followed`,
					`a/kustomization.yaml: "ldir/x.yaml" is not followed: a/ldir is a symbolic link, which is not followed`,
					`a/kustomization.yaml: "sub" is not followed: a/sub is in a submodule, which Backstop does not read`,
				),
			},
		}, {
			name: "a kustomization that is a link, one that does not parse, and two in one folder",
			root: "a",
			tree: fstest.MapFS{
				"a/x/kustomization.yaml": link("/etc/k"), "a/x/b.yaml": file(""), "a/y/kustomization.yaml": file("resources: [\n"),
				"a/z/kustomization.yaml": file("resources: [1.yaml]"), "a/z/Kustomization": file("resources: [2.yaml]"), "a/z/1.yaml": file(""), "a/z/2.yaml": file(""),
			},
			want: Files{
				Paths: []string{"a/x/b.yaml", "a/y/kustomization.yaml", "a/z/1.yaml", "a/z/2.yaml", "a/z/Kustomization", "a/z/kustomization.yaml"},
				Problems: problems(
					"a/x/kustomization.yaml: a/x/kustomization.yaml is a symbolic link, which is not followed",
					"a/y/kustomization.yaml: cannot be read: not YAML: line 1: did not find expected node content",
					"a/z: has a/z/kustomization.yaml and a/z/Kustomization: kustomize takes only one",
				),
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Closure(tc.tree, tc.root)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestClosureNeedsAFolder(t *testing.T) {
	tree := fstest.MapFS{"a/x.yaml": file(""), "l": link("a"), "a/l": link("/")}
	for _, root := range []string{"b", "a/x.yaml", "l", "a/l/etc", "../b", "a\x00"} {
		if files, err := Closure(tree, root); err == nil {
			t.Errorf("Closure(%q) = %v, want an error", root, files)
		}
	}
	if _, err := Closure(tree, "b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is missing: %v", err)
	}
}

// os.DirFS follows links by itself: Closure must not.
func TestClosureStaysInAFolderOnDisk(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	for name, data := range map[string]string{
		filepath.Join(outside, "secret.yaml"): "a: b", filepath.Join(dir, "kustomization.yaml"): "resources: [out/secret.yaml, in.yaml]",
		filepath.Join(dir, "in.yaml"): "a: b",
	} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	got, err := Closure(os.DirFS(dir), ".")
	if err != nil {
		t.Fatal(err)
	}
	want := Files{
		Paths:    []string{"in.yaml", "kustomization.yaml"},
		Problems: problems(`kustomization.yaml: "out/secret.yaml" is not followed: out is a symbolic link, which is not followed`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A chain of folders as long as a hostile repository likes must not use up the stack.
func TestALongChainOfKustomizationsIsFollowed(t *testing.T) {
	tree := fstest.MapFS{}
	const n = 1200
	for i := range n {
		tree[fmt.Sprintf("k%d/kustomization.yaml", i)] = file(fmt.Sprintf("resources: [../k%d, missing%d.yaml]", (i+1)%n, i))
	}
	files, err := Closure(tree, "k0")
	if err != nil || len(files.Paths) != n || len(files.Problems) != maxProblems {
		t.Errorf("%d files, %d problems, %v", len(files.Paths), len(files.Problems), err)
	}
	deep := fstest.MapFS{"deep/" + strings.Repeat(strings.Repeat("d", 100)+"/", maxPath/100+1) + "x.yaml": file("")}
	files, err = Closure(deep, "deep")
	if err != nil || len(files.Paths) != 0 || len(files.Problems) == 0 || !strings.Contains(files.Problems[0].Why, "longer than") {
		t.Errorf("%d files, %d problems, %v", len(files.Paths), len(files.Problems), err)
	}
}
