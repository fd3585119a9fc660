package release

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/backstop-dev/backstop/scripts/image"
)

// image makes the layout of the image, and hangs SBOM and provenance on it.
func (r *release) image(ctx context.Context) error {
	scratch, err := os.MkdirTemp("", "backstop-release-")
	if err != nil {
		return fmt.Errorf("make a folder for the predicates: %w", err)
	}
	defer os.RemoveAll(scratch)
	predicate, err := r.provenance()
	if err != nil {
		return err
	}
	provenance := filepath.Join(scratch, "provenance.json")
	if err := os.WriteFile(provenance, predicate, 0o600); err != nil {
		return fmt.Errorf("keep the provenance: %w", err)
	}
	certificates, err := r.roots(ctx)
	if err != nil {
		return err
	}
	args := []string{
		"-o", filepath.Join(r.out, "oci", imageRepository), "-name", registry + "/" + imageRepository + ":" + r.version,
		"-version", r.version, "-revision", r.commit, "-created", strconv.FormatInt(r.created.Unix(), 10),
	}
	var binaries []string
	for _, p := range r.platforms {
		if p.os != "linux" {
			continue
		}
		title := fmt.Sprintf("backstop-image_%s_%s_%s", r.bare, p.os, p.arch)
		bill, err := r.sbom(r.compiled(p, "sidecar"), title, certificates)
		if err != nil {
			return err
		}
		name := title + ".spdx.json"
		if err := r.write(name, bill); err != nil {
			return err
		}
		args = append(args, "-attach", p.String()+"="+sbomType+"="+filepath.Join(r.out, name),
			"-attach", p.String()+"="+provenanceType+"="+provenance)
		binaries = append(binaries, p.String()+"="+r.compiled(p, "sidecar"))
	}
	if len(binaries) == 0 {
		return fmt.Errorf("an image needs a platform of Linux among -platforms")
	}
	if err := image.Run(append(args, binaries...), io.Discard); err != nil {
		return err
	}
	_, digest, err := open(r.out, imageRepository)
	r.imageDigest = digest.String()
	return err
}

// artifact is an image that holds one archive: how Flux and Helm keep files in a registry.
type artifact struct {
	configType, contentType types.MediaType
	config                  []byte
	content                 []byte
	annotations             map[string]string
}

// image gives the artifact the form of an image.
func (a artifact) image() (v1.Image, error) {
	img, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{
		Layer: static.NewLayer(a.content, a.contentType), MediaType: a.contentType,
	})
	if err != nil {
		return nil, fmt.Errorf("add the content: %w", err)
	}
	annotated, ok := mutate.Annotations(img, a.annotations).(v1.Image)
	if !ok {
		return nil, fmt.Errorf("annotate the artifact: not an image any more")
	}
	return &configured{Image: annotated, kind: a.configType, raw: a.config}, nil
}

// configured is an image with a configuration that is no image's.
type configured struct {
	v1.Image
	kind types.MediaType
	raw  []byte
}

func (c *configured) RawConfigFile() ([]byte, error)      { return c.raw, nil }
func (c *configured) ConfigName() (v1.Hash, error)        { return partial.ConfigName(c) }
func (c *configured) Digest() (v1.Hash, error)            { return partial.Digest(c) }
func (c *configured) Size() (int64, error)                { return partial.Size(c) }
func (c *configured) RawManifest() ([]byte, error)        { return partial.RawManifest(c) }
func (c *configured) ConfigFile() (*v1.ConfigFile, error) { return partial.ConfigFile(c) }

func (c *configured) Manifest() (*v1.Manifest, error) {
	m, err := c.Image.Manifest()
	if err != nil {
		return nil, err
	}
	m = m.DeepCopy()
	hash, size, err := v1.SHA256(bytes.NewReader(c.raw))
	if err != nil {
		return nil, err
	}
	m.Config = v1.Descriptor{MediaType: c.kind, Size: size, Digest: hash}
	return m, nil
}

func (c *configured) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	if name, err := c.ConfigName(); err == nil && name == h {
		return static.NewLayer(c.raw, c.kind), nil
	}
	return c.Image.LayerByDigest(h)
}

// keep writes an artifact as a layout of its own.
func (r *release) keep(repository, tag string, a artifact) error {
	img, err := a.image()
	if err != nil {
		return fmt.Errorf("make the artifact %s: %w", repository, err)
	}
	path, err := layout.Write(filepath.Join(r.out, "oci", repository), empty.Index)
	if err != nil {
		return fmt.Errorf("write the layout of %s: %w", repository, err)
	}
	if err := path.AppendImage(img, layout.WithAnnotations(map[string]string{
		refName: tag,
	})); err != nil {
		return fmt.Errorf("write the layout of %s: %w", repository, err)
	}
	return nil
}

// annotations are those that every artifact has.
func (r *release) annotations(what string) map[string]string {
	return map[string]string{
		"org.opencontainers.image.created":     r.created.Format(time.RFC3339),
		"org.opencontainers.image.source":      source,
		"org.opencontainers.image.revision":    r.version + "@sha1:" + r.commit,
		"org.opencontainers.image.version":     r.version,
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.description": what,
	}
}

func toJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings
	}
	return data
}
