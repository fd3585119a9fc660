package registry

import (
	"context"
	"encoding/json"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
)

const (
	// simpleSigning is the kind of the payloads that cosign signs, and signatureKey where it puts the signature.
	simpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureKey  = "dev.cosignproject.cosign/signature"
	// bundleKind begins the kinds of Sigstore's bundles, and bundleNow is the one that cosign 3 stores.
	bundleKind = "application/vnd.dev.sigstore.bundle."
	bundleNow  = "application/vnd.dev.sigstore.bundle.v0.3+json"
	// maxSignatures of one image.
	maxSignatures = 32
)

// Signature is what cosign stored beside an image: a payload and, in base64, its signature; or a Sigstore bundle.
type Signature struct {
	Payload []byte
	Base64  string
	Bundle  []byte
}

// Signatures gives what cosign stored beside the image of a digest: under the tag sha256-….sig, and as the bundles that
// refer to it. None is no error; an error is an *Error.
func (r *Registry) Signatures(
	ctx context.Context, repository, digest string, access reconcile.Access,
) ([]Signature, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	t, err := parse(repository+"@"+digest, access)
	if err != nil {
		return nil, err
	}
	var found []Signature
	err = r.try(ctx, t, access, func(s *session) error {
		if found, err = s.signatures(ctx, tagOf(digest)+".sig"); err != nil {
			return err
		}
		bundles, err := s.bundles(ctx, digest)
		found = append(found, bundles...)
		return err
	})
	return found, err
}

// tagOf is the tag under which what belongs to a digest is kept.
func tagOf(digest string) string { return strings.Replace(digest, ":", "-", 1) }

// signatures reads those under a tag.
func (s *session) signatures(ctx context.Context, tag string) ([]Signature, error) {
	var found []Signature
	err := s.layers(ctx, tag, func(layer v1.Descriptor) error {
		signature := layer.Annotations[signatureKey]
		if layer.MediaType != simpleSigning || signature == "" || len(found) == maxSignatures {
			return nil
		}
		payload, err := s.config(ctx, layer)
		found = append(found, Signature{Payload: payload, Base64: signature})
		return err
	})
	if missing(err) {
		return nil, nil
	}
	return found, err
}

// bundles reads those that refer to a digest.
func (s *session) bundles(ctx context.Context, digest string) ([]Signature, error) {
	referrers, err := s.referrers(ctx, digest)
	if err != nil {
		return nil, err
	}
	var found []Signature
	looked := 0
	for _, d := range referrers {
		if d.ArtifactType != "" && !strings.HasPrefix(d.ArtifactType, bundleKind) || d.Digest.Hex == "" {
			continue
		}
		if looked++; looked > maxSignatures {
			break
		}
		err := s.layers(ctx, d.Digest.String(), func(layer v1.Descriptor) error {
			if !strings.HasPrefix(string(layer.MediaType), bundleKind) || len(found) == maxSignatures {
				return nil
			}
			bundle, err := s.config(ctx, layer)
			found = append(found, Signature{Bundle: bundle})
			return err
		})
		if err != nil && !missing(err) {
			return nil, err
		}
	}
	return found, nil
}

// layers reads the layers of a manifest.
func (s *session) layers(ctx context.Context, identifier string, do func(v1.Descriptor) error) error {
	m, err := s.manifest(ctx, identifier)
	if err != nil {
		return err
	}
	var doc struct {
		Layers []v1.Descriptor `json:"layers"`
	}
	if text.Heavy(m.body, maxObjects, maxValues) || json.Unmarshal(m.body, &doc) != nil {
		return untrue(s.host, "something that is no manifest of signatures")
	}
	for _, layer := range doc.Layers {
		if err := do(layer); err != nil {
			return err
		}
	}
	return nil
}

// referrers lists what refers to a digest. A registry that does not know the question has a tag for the answer.
func (s *session) referrers(ctx context.Context, digest string) ([]v1.Descriptor, error) {
	resp, err := s.do(ctx, "GET", "referrers/"+digest+"?artifactType="+strings.ReplaceAll(bundleNow, "+", "%2B"), nil)
	var body []byte
	if err == nil {
		body, err = s.read(resp)
	} else if missing(err) || unknown(err) {
		var m manifest
		if m, err = s.manifest(ctx, tagOf(digest)); missing(err) {
			return nil, nil
		}
		body = m.body
	}
	if err != nil {
		return nil, err
	}
	var index struct {
		Manifests []v1.Descriptor `json:"manifests"`
	}
	if text.Heavy(body, maxObjects, maxValues) || json.Unmarshal(body, &index) != nil {
		return nil, untrue(s.host, "something that is no list of what refers to an image")
	}
	return index.Manifests, nil
}
