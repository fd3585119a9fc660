package fluxstub

import (
	"archive/tar"
	"bytes"
	"path/filepath"
	"testing"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func TestAnArchiveIsUnpackedInMemoryAndOnDisk(t *testing.T) {
	var archive bytes.Buffer
	out := tar.NewWriter(&archive)
	const text = "image: app:v1\n"
	for _, h := range []*tar.Header{
		{Name: "apps/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "apps/app.yaml", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))},
		{Name: "apps/link.yaml", Typeflag: tar.TypeSymlink, Linkname: "app.yaml"},
		{Name: "../outside.yaml", Typeflag: tar.TypeReg, Mode: 0o644},
	} {
		if err := out.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := out.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]struct {
		files filesys.FileSystem
		root  string
	}{
		"in memory": {filesys.MakeFsInMemory(), "/"},
		"on disk":   {filesys.MakeFsOnDisk(), t.TempDir()},
	} {
		t.Run(name, func(t *testing.T) {
			if err := unpack(archive.Bytes(), to.files, to.root); err != nil {
				t.Fatal(err)
			}
			if got, err := to.files.ReadFile(filepath.Join(to.root, "apps/app.yaml")); err != nil || string(got) != text {
				t.Errorf("%q, %v", got, err)
			}
			if to.files.Exists(filepath.Join(to.root, "apps/link.yaml")) || !to.files.Exists(filepath.Join(to.root, "outside.yaml")) {
				t.Error("want no link, and nothing outside the folder")
			}
		})
	}
}
