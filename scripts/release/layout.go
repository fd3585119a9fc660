package release

import (
	"fmt"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// open reads a layout and what it names first: the rest are signatures of that.
func open(out, repository string) (layout.Path, v1.Hash, error) {
	path, err := layout.FromPath(filepath.Join(out, "oci", repository))
	if err != nil {
		return "", v1.Hash{}, fmt.Errorf("open the layout of %s: %w", repository, err)
	}
	index, err := path.ImageIndex()
	if err != nil {
		return "", v1.Hash{}, fmt.Errorf("read the layout of %s: %w", repository, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return "", v1.Hash{}, fmt.Errorf("read the layout of %s: %w", repository, err)
	}
	if len(manifest.Manifests) == 0 {
		return "", v1.Hash{}, fmt.Errorf("the layout of %s is empty", repository)
	}
	return path, manifest.Manifests[0].Digest, nil
}
