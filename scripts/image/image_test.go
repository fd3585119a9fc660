package image

import (
	"archive/tar"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestRunMakesAnImageForEachPlatform(t *testing.T) {
	dir := t.TempDir()
	args := []string{"-name", "localhost:5000/backstop:v1", "-version", "v1", "-revision", "abc", "-created", "1700000000"}
	for _, arch := range []string{"amd64", "arm64"} {
		binary := filepath.Join(dir, arch)
		if err := os.WriteFile(binary, []byte("I run on "+arch), 0o700); err != nil {
			t.Fatal(err)
		}
		args = append(args, "linux/"+arch+"="+binary)
	}
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	for _, out := range []string{first, second, second} { // the third replaces the second
		if err := Run(append([]string{"-o", out}, args...), io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := tree(t, first), tree(t, second); !cmp.Equal(a, b) {
		t.Errorf("the same binaries gave other bytes: %s", cmp.Diff(a, b))
	}

	index := onlyIndex(t, first)
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"amd64", "arm64"} {
		d := manifest.Manifests[i]
		if d.Platform == nil || d.Platform.OS != "linux" || d.Platform.Architecture != want {
			t.Fatalf("manifest %d is for %v, want linux/%s", i, d.Platform, want)
		}
		img, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(config.OS, config.Architecture, config.Config.User, config.Config.Entrypoint,
			config.Config.Labels["org.opencontainers.image.created"])
		if want := fmt.Sprint("linux", want, "65532:65532", []string{"/backstop"}, "2023-11-14T22:13:20Z"); got != want {
			t.Errorf("configuration %s, want %s", got, want)
		}
		files := unpack(t, img)
		if got := files["backstop"]; got != "0755 I run on "+want {
			t.Errorf("backstop is %q", got)
		}
		if got := files["tmp/"]; got != "1777 " {
			t.Errorf("tmp is %q", got)
		}
		_, roots, _ := strings.Cut(files["etc/ssl/certs/ca-certificates.crt"], " ")
		if !x509.NewCertPool().AppendCertsFromPEM([]byte(roots)) {
			t.Error("no root certificate can be read")
		}
	}
}

func TestRootfsIsTheFirstLayer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rootfs")
	if err := Run([]string{"-rootfs", dir}, io.Discard); err != nil {
		t.Fatal(err)
	}
	want, err := baseFiles()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range want {
		info, err := os.Stat(filepath.Join(dir, f.name))
		if err != nil {
			t.Fatal(err)
		}
		if !info.IsDir() && info.Size() != int64(len(f.data)) {
			t.Errorf("%s has %d bytes, want %d", f.name, info.Size(), len(f.data))
		}
		if f.name == "tmp/" && info.Mode().Perm()|info.Mode()&os.ModeSticky != 0o777|os.ModeSticky {
			t.Errorf("tmp is %s", info.Mode())
		}
	}
}

func TestRunRefusesNonsense(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"no binary":           {nil, "no binary given"},
		"no platform":         {[]string{"bin/backstop"}, "is not OS/ARCH=BINARY"},
		"binary that is gone": {[]string{"linux/amd64=/does/not/exist"}, "read the binary"},
		"name without a tag":  {[]string{"-name", "backstop", "linux/amd64=x"}, "-name"},
		"time in words":       {[]string{"-created", "now", "linux/amd64=x"}, "is not a number of seconds"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Run(append([]string{"-o", filepath.Join(t.TempDir(), "out")}, tt.args...), io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

// onlyIndex reads a layout that names one index, and checks its names.
func onlyIndex(t *testing.T, dir string) v1.ImageIndex {
	t.Helper()
	root, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := root.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("index.json: %v, %v", manifest, err)
	}
	want := map[string]string{
		"org.opencontainers.image.ref.name": "v1",
		"io.containerd.image.name":          "localhost:5000/backstop:v1",
	}
	if diff := cmp.Diff(want, manifest.Manifests[0].Annotations); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	index, err := root.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// tree reads a folder: what is in each file.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir)] = string(data)
		return err
	})
	if err != nil || len(files) < 4 {
		t.Fatalf("read %s: %d files, %v", dir, len(files), err)
	}
	return files
}

// unpack gives mode and content of every file in an image.
func unpack(t *testing.T, img v1.Image) map[string]string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for in := tar.NewReader(r); ; {
			h, err := in.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(in)
			if err != nil {
				t.Fatal(err)
			}
			files[h.Name] = fmt.Sprintf("%04o %s", h.Mode, data)
		}
	}
	return files
}
