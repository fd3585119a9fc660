package registrystub

import (
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"math/rand"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// PushImage makes a tiny image from scratch with a layer that no other image has, pushes it to repo:tag, and gives its
// digest. One platform, os/arch[/variant], makes an image; none one for linux/amd64; several make an index. An empty
// platform is one that the image does not name.
func (r *Registry) PushImage(repo, tag string, platforms ...string) (string, error) {
	switch len(platforms) {
	case 0:
		platforms = []string{"linux/amd64"}
	case 1:
	default:
		return r.PushIndex(repo, tag, platforms...)
	}
	ref, err := r.reference(repo, tag)
	if err != nil {
		return "", err
	}
	img, err := image(platforms[0])
	if err != nil {
		return "", fmt.Errorf("make an image for %s: %w", platforms[0], err)
	}
	if err := remote.Write(ref, img, remote.WithTransport(r)); err != nil {
		return "", fmt.Errorf("push %s: %w", ref, err)
	}
	digest, err := img.Digest()
	return digest.String(), err
}

// PushLabelled is PushImage for linux/amd64 with labels in the image's config.
func (r *Registry) PushLabelled(repo, tag string, labels map[string]string) (string, error) {
	ref, err := r.reference(repo, tag)
	if err != nil {
		return "", err
	}
	img, err := image("linux/amd64")
	if err != nil {
		return "", err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return "", err
	}
	config = config.DeepCopy()
	config.Config.Labels = labels
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return "", err
	}
	if err := remote.Write(ref, img, remote.WithTransport(r)); err != nil {
		return "", fmt.Errorf("push %s: %w", ref, err)
	}
	digest, err := img.Digest()
	return digest.String(), err
}

// PushIndex is PushImage with an index even for a single platform.
func (r *Registry) PushIndex(repo, tag string, platforms ...string) (string, error) {
	ref, err := r.reference(repo, tag)
	if err != nil {
		return "", err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range platforms {
		img, err := image(p)
		if err != nil {
			return "", fmt.Errorf("make an image for %s: %w", p, err)
		}
		add := mutate.IndexAddendum{Add: img}
		if p != "" {
			if add.Platform, err = v1.ParsePlatform(p); err != nil {
				return "", fmt.Errorf("read platform %s: %w", p, err)
			}
		}
		index = mutate.AppendManifests(index, add)
	}
	if err := remote.WriteIndex(ref, index, remote.WithTransport(r)); err != nil {
		return "", fmt.Errorf("push %s: %w", ref, err)
	}
	digest, err := index.Digest()
	return digest.String(), err
}

func (r *Registry) reference(repo, tag string) (name.Tag, error) {
	ref, err := name.NewTag(r.Host()+"/"+repo+":"+tag, name.Insecure)
	if err != nil {
		return name.Tag{}, fmt.Errorf("name %s:%s: %w", repo, tag, err)
	}
	return ref, nil
}

// image has one layer of its own.
func image(platform string) (v1.Image, error) {
	var seed [8]byte
	if _, err := crand.Read(seed[:]); err != nil {
		return nil, err
	}
	source := rand.NewSource(int64(binary.LittleEndian.Uint64(seed[:])))
	layer, err := random.Layer(64, types.OCILayer, random.WithSource(source))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(base, layer)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	p := &v1.Platform{}
	if platform != "" {
		if p, err = v1.ParsePlatform(platform); err != nil {
			return nil, err
		}
	}
	config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
	return mutate.ConfigFile(img, config)
}

// PutManifest stores any bytes as the manifest of a tag or digest.
func (r *Registry) PutManifest(repo, identifier, mediaType string, raw []byte) error {
	return r.send("PUT", "/v2/"+repo+"/manifests/"+identifier, mediaType, raw)
}

// PutBlob stores any bytes and gives their digest.
func (r *Registry) PutBlob(repo string, raw []byte) (string, error) {
	h, _, err := v1.SHA256(strings.NewReader(string(raw)))
	if err != nil {
		return "", err
	}
	return h.String(), r.send("POST", "/v2/"+repo+"/blobs/uploads/?digest="+h.String(), "application/octet-stream", raw)
}

// DeleteTag takes the tag, or the manifest of a digest, away.
func (r *Registry) DeleteTag(repo, tag string) error {
	return r.send("DELETE", "/v2/"+repo+"/manifests/"+tag, "", nil)
}

// DeleteBlob takes a layer or config away. Manifests still name it.
func (r *Registry) DeleteBlob(repo, digest string) error {
	return r.send("DELETE", "/v2/"+repo+"/blobs/"+digest, "", nil)
}

// Blobs are the digests of an image's config and layers, of all its platforms.
func (r *Registry) Blobs(repo, tag string) ([]string, error) {
	ref, err := r.reference(repo, tag)
	if err != nil {
		return nil, err
	}
	desc, err := remote.Get(ref, remote.WithTransport(r))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ref, err)
	}
	if !desc.MediaType.IsIndex() {
		img, err := desc.Image()
		if err != nil {
			return nil, err
		}
		return blobsOf(img)
	}
	index, err := desc.ImageIndex()
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var all []string
	for _, m := range manifest.Manifests {
		img, err := index.Image(m.Digest)
		if err != nil {
			return nil, err
		}
		blobs, err := blobsOf(img)
		if err != nil {
			return nil, err
		}
		all = append(all, blobs...)
	}
	return all, nil
}

func blobsOf(img v1.Image) ([]string, error) {
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	all := []string{m.Config.Digest.String()}
	for _, l := range m.Layers {
		all = append(all, l.Digest.String())
	}
	return all, nil
}

// Retag gives the manifest of one tag another tag too, as a promotion does.
func (r *Registry) Retag(repo, tag, another string) error {
	ref, err := r.reference(repo, tag)
	if err != nil {
		return err
	}
	desc, err := remote.Get(ref, remote.WithTransport(r))
	if err != nil {
		return fmt.Errorf("read %s: %w", ref, err)
	}
	return r.PutManifest(repo, another, string(desc.MediaType), desc.Manifest)
}
