package release

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	spdxjson "github.com/spdx/tools-golang/json"
)

const root = "../.."

// program stands for both commands: what a release is made of is the same with a program that takes a second to build.
const program = `package main

import (
	"os"

	"golang.org/x/time/rate"
)

func main() { os.Stdout.WriteString(os.Args[1] + " for " + os.Args[2]); _ = rate.Inf }
`

// modules are what the stand-in requires, as this checkout does.
func modules(t *testing.T) (mod, sums string) {
	t.Helper()
	pick := func(file string) (out string) {
		for line := range strings.Lines(string(read(t, root, file))) {
			if strings.Contains(line, rootsModule+" ") || strings.Contains(line, "golang.org/x/time ") {
				out += line
			}
		}
		return out
	}
	return "module example.com/stand-in\n\ngo 1.26\n\nrequire (\n" + pick("go.mod") + ")\n", pick("go.sum")
}

// checkout is a repository with the parts that a release takes, and small commands in place of Backstop's.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "deploy", "kustomize"), os.DirFS(filepath.Join(root, "deploy", "kustomize"))); err != nil {
		t.Fatal(err)
	}
	mod, sums := modules(t)
	for name, text := range map[string]string{
		"go.mod":                            mod,
		"go.sum":                            sums,
		"cmd/backstop/main.go":              program,
		"cmd/sidecar/main.go":               program,
		"LICENSE":                           "Apache-2.0\n",
		"README.md":                         "# Backstop\n",
		"scripts/kubectl_complete-backstop": "#!/bin/sh\n",
	} {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "-q"}, {"add", "."},
		{"-c", "user.name=a", "-c", "user.email=a@b", "-c", "gc.auto=0", "commit", "-q", "-m", "Start"},
	} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=1700000000 +0000", "GIT_AUTHOR_DATE=1700000000 +0000")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return dir
}

var here = platform{runtime.GOOS, runtime.GOARCH}

// shared is one release that the tests look at, made when the first asks.
var shared struct {
	once sync.Once
	dir  string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.dir != "" {
		os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

// one is a copy of the shared release, for a test to do with as it likes.
func one(t *testing.T) string {
	t.Helper()
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "backstop-release-test-") //nolint:usetesting // it outlives the test that asks first
		if err != nil {
			t.Fatal(err)
		}
		shared.dir = dir
		if err := os.CopyFS(filepath.Join(dir, "release"), os.DirFS(build(t, checkout(t)))); err != nil {
			t.Fatal(err)
		}
	})
	copied := filepath.Join(t.TempDir(), "release")
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(shared.dir, "release"))); err != nil {
		t.Fatal(err)
	}
	return copied
}

// build makes a release of a checkout, for this machine and, where that is not Linux, for Linux too.
func build(t *testing.T, from string) string {
	t.Helper()
	platforms := here.String()
	if here.os != "linux" {
		platforms += ",linux/amd64"
	}
	out := filepath.Join(t.TempDir(), "release")
	if err := Run(t.Context(), []string{"build", "-root", from, "-o", out, "-version", "v1.2.3", "-platforms", platforms}, io.Discard); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTwoBuildsAreEqual(t *testing.T) {
	first, second := one(t), build(t, checkout(t))
	n, err := same(first, second)
	if err != nil || n < 30 {
		t.Fatalf("%d files: %v", n, err)
	}
	if err := os.WriteFile(filepath.Join(second, "install.yaml"), []byte("kind: Other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := same(first, second); err == nil {
		t.Error("a file that differs is not seen")
	}
	for _, repository := range repositories {
		if err := intact(filepath.Join(first, "oci", repository)); err != nil {
			t.Errorf("%s: %v", repository, err)
		}
	}
	statementsOfTheImage(t, first)
	install := string(read(t, first, "install.yaml"))
	_, digest, err := open(first, imageRepository)
	if err != nil {
		t.Fatal(err)
	}
	if want := "image: ghcr.io/backstop-dev/backstop:v1.2.3@" + digest.String() + "\n"; !strings.Contains(install, want) {
		t.Errorf("install.yaml lacks %s", want)
	}
	files := unpack(t, filepath.Join(first, "backstop_1.2.3_"+here.os+"_"+here.arch+".tar.gz"))
	for name, want := range map[string]string{
		"completions/backstop.bash": "completion for bash\n", "completions/_backstop": "completion for zsh\n",
		"completions/backstop.fish": "completion for fish\n", "LICENSE": "Apache-2.0\n",
	} {
		if files[name] != want {
			t.Errorf("the archive's %s is %q, want %q", name, files[name], want)
		}
	}
}

// statementsOfTheImage checks that SBOM and provenance are about the images that they hang on.
func statementsOfTheImage(t *testing.T, out string) {
	t.Helper()
	path, digest, err := open(out, imageRepository)
	if err != nil {
		t.Fatal(err)
	}
	all, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	index, err := all.ImageIndex(digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 2 {
		t.Fatalf("%d manifests, want an image and what is said about it", len(manifest.Manifests))
	}
	about := manifest.Manifests[1].Annotations["vnd.docker.reference.digest"]
	if about != manifest.Manifests[0].Digest.String() {
		t.Errorf("the attestation is about %s, which is not the image", about)
	}
	img, err := index.Image(manifest.Manifests[1].Digest)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, l := range layers {
		content, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		var s struct {
			PredicateType string
			Subject       []struct{ Digest map[string]string }
		}
		if err := json.NewDecoder(content).Decode(&s); err != nil {
			t.Fatal(err)
		}
		if got := "sha256:" + s.Subject[0].Digest["sha256"]; got != about {
			t.Errorf("a statement is about %s, want %s", got, about)
		}
		types = append(types, s.PredicateType)
	}
	if want := []string{sbomType, provenanceType}; !slices.Equal(types, want) {
		t.Errorf("statements %q, want %q", types, want)
	}
}

func TestReleaseIsMadeOfACommit(t *testing.T) {
	dir := checkout(t)
	linked, out := filepath.Join(t.TempDir(), "linked"), filepath.Join(t.TempDir(), "release")
	if said, err := exec.CommandContext(t.Context(), "git", "-C", dir, "worktree", "add", "--detach", linked).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("# Another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"a file differs from its commit": {[]string{"build", "-root", dir, "-version", "v1.2.3"}, "differs from its commit"},
		"a linked worktree":              {[]string{"build", "-root", linked, "-version", "v1.2.3", "-o", out}, "not in a linked worktree"},
		"a version without v":            {[]string{"build", "-root", dir, "-version", "1.2.3"}, "want a semantic version"},
		"no version":                     {[]string{"check"}, "want a semantic version"},
		"no verb":                        {nil, "want build, check"},
		"another verb":                   {[]string{"publish"}, "is not one of build"},
		"no key":                         {[]string{"sign"}, "give it by -key"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Run(t.Context(), tt.args, io.Discard); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestSBOMListsWhatTheBinaryHolds(t *testing.T) {
	out := one(t)
	for file, binary := range map[string]string{
		"backstop_1.2.3_" + here.os + "_" + here.arch + ".spdx.json": filepath.Join(here.os+"-"+here.arch, here.binary("backstop")),
		"backstop-image_1.2.3_linux_amd64.spdx.json":                 filepath.Join("linux-amd64", "sidecar"),
	} {
		doc, err := spdxjson.Read(bytes.NewReader(read(t, out, file)))
		if err != nil {
			t.Fatal(err)
		}
		listed := map[string]string{}
		for _, p := range doc.Packages {
			listed[p.PackageName] = p.PackageVersion
		}
		want := map[string]string{}
		text, err := exec.CommandContext(t.Context(), "go", "version", "-m", filepath.Join(out, "bin", binary)).Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			switch f := strings.Fields(line); {
			case strings.HasSuffix(f[0], ":"):
				want["stdlib"] = strings.TrimPrefix(f[1], "go")
			case f[0] == "mod":
				want[f[1]] = "v1.2.3"
			case f[0] == "dep":
				want[f[1]] = f[2]
			}
		}
		if strings.Contains(file, "image") {
			want[rootsModule] = listed[rootsModule]
		}
		if diff := cmp.Diff(want, listed); diff != "" || listed["golang.org/x/time"] == "" {
			t.Errorf("%s (-held +listed):\n%s", file, diff)
		}
	}
}

func read(t *testing.T, out, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(out, file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// unpack reads an archive: what is in each file.
func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	data := read(t, "", file)
	files := map[string]string{}
	if strings.HasSuffix(file, ".zip") {
		in, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range in.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			files[f.Name] = string(text)
		}
		return files
	}
	compressed, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for in := tar.NewReader(compressed); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(text)
	}
}
