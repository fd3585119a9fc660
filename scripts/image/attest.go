package image

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// attachment is what is said about one image: an in-toto predicate.
type attachment struct {
	predicateType string
	file          string
}

func (o *options) attach(arg string) error {
	parts := strings.SplitN(arg, "=", 3)
	if len(parts) != 3 {
		return fmt.Errorf("%q is not OS/ARCH=PREDICATETYPE=FILE", arg)
	}
	o.attached[parts[0]] = append(o.attached[parts[0]], attachment{predicateType: parts[1], file: parts[2]})
	return nil
}

// attest puts one more manifest into the index for each image that something is said about, in the form that BuildKit
// gives its attestations: they are copied wherever the index is, and docker buildx imagetools inspect prints them.
func attest(o options, index v1.ImageIndex) (v1.ImageIndex, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("read the index: %w", err)
	}
	for i, platform := range o.platforms {
		if len(o.attached[platform]) == 0 {
			continue
		}
		about := manifest.Manifests[i].Digest
		said, err := statements(o, about, o.attached[platform])
		if err != nil {
			return nil, fmt.Errorf("attach to the image for %s: %w", platform, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: said,
			Descriptor: v1.Descriptor{
				Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"},
				Annotations: map[string]string{
					"vnd.docker.reference.type":   "attestation-manifest",
					"vnd.docker.reference.digest": about.String(),
				},
			},
		})
	}
	return index, nil
}

// statements makes an image whose layers are in-toto statements about the image with that digest.
func statements(o options, about v1.Hash, attached []attachment) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, a := range attached {
		predicate, err := os.ReadFile(a.file)
		if err != nil {
			return nil, fmt.Errorf("read the predicate: %w", err)
		}
		statement, err := json.Marshal(map[string]any{
			"_type":         "https://in-toto.io/Statement/v1",
			"predicateType": a.predicateType,
			"predicate":     json.RawMessage(predicate),
			"subject": []any{map[string]any{
				"name":   o.name.Repository.String(),
				"digest": map[string]string{about.Algorithm: about.Hex},
			}},
		})
		if err != nil {
			return nil, fmt.Errorf("write the statement of %s: %w", a.file, err)
		}
		img, err = mutate.Append(img, mutate.Addendum{
			Layer:       static.NewLayer(statement, "application/vnd.in-toto+json"),
			MediaType:   "application/vnd.in-toto+json",
			Annotations: map[string]string{"in-toto.io/predicate-type": a.predicateType},
		})
		if err != nil {
			return nil, fmt.Errorf("add the statement of %s: %w", a.file, err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "unknown", "unknown"
	for i := range config.History {
		config.History[i].Created = v1.Time{Time: o.created}
	}
	return mutate.ConfigFile(img, config)
}
