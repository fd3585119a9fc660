//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// images pushes what can be run.
type images struct {
	t    *testing.T
	host string
	app  v1.Layer
}

func newImages(t *testing.T, root, host string) *images {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "app")
	cmd := exec.Command("go", "build", "-o", binary, "./test/e2e/app")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the app: %v\n%s", err, out)
	}
	content, err := os.ReadFile(binary)
	must(t, err)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	must(t, w.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(content))}))
	_, err = w.Write(content)
	must(t, err)
	must(t, w.Close())
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil })
	must(t, err)
	return &images{t: t, host: host, app: layer}
}

// push pushes an image of the app that does something, for one platform, and gives its reference.
func (i *images) push(repo, tag, does, platform string) string {
	i.t.Helper()
	p, err := v1.ParsePlatform(platform)
	must(i.t, err)
	img, err := mutate.AppendLayers(empty.Image, i.app)
	must(i.t, err)
	config, err := img.ConfigFile()
	must(i.t, err)
	config = config.DeepCopy()
	config.OS, config.Architecture = p.OS, p.Architecture
	config.Config.Entrypoint, config.Config.User = []string{"/app", does}, "65532"
	// Two tags with the same content would be the same image.
	config.Config.Labels = map[string]string{"tag": tag}
	img, err = mutate.ConfigFile(img, config)
	must(i.t, err)
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: p}})
	ref, err := name.NewTag(i.host+"/"+repo+":"+tag, name.Insecure)
	must(i.t, err)
	must(i.t, remote.WriteIndex(ref, index))
	return ref.String()
}

// backstop pushes what make image built, and gives its repository and tag.
func (i *images) backstop(root string) (repository, tag string) {
	i.t.Helper()
	folder, err := layout.FromPath(filepath.Join(root, "dist", "image"))
	if err != nil {
		i.t.Fatalf("make image first: %v", err)
	}
	index, err := folder.ImageIndex()
	must(i.t, err)
	manifest, err := index.IndexManifest()
	must(i.t, err)
	inner, err := index.ImageIndex(manifest.Manifests[0].Digest)
	must(i.t, err)
	ref, err := name.NewTag(i.host+"/backstop:e2e", name.Insecure)
	must(i.t, err)
	must(i.t, remote.WriteIndex(ref, inner))
	return i.host + "/backstop", "e2e"
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
