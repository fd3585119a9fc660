package gate

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/dsse"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/registry"
)

// Signatures is where the signatures of images are.
type Signatures interface {
	Signatures(ctx context.Context, repository, digest string, access reconcile.Access) ([]registry.Signature, error)
}

// Verifier checks signatures of images.
type Verifier struct {
	from Signatures
	keys []signature.Verifier
}

// NewVerifier takes public keys in PEM, as cosign writes them. One of them must have signed.
func NewVerifier(from Signatures, keys [][]byte) (*Verifier, error) {
	v := &Verifier{from: from}
	for i, pem := range keys {
		key, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
		if err != nil {
			return nil, fmt.Errorf("read public key %d: it is no key in PEM (cosign public-key writes one)", i+1)
		}
		verifier, err := signature.LoadVerifier(key, crypto.SHA256)
		if err != nil {
			return nil, fmt.Errorf("use public key %d: %w", i+1, err)
		}
		v.keys = append(v.keys, verifier)
	}
	return v, nil
}

// Verify checks that one of the keys signed this digest. An *Unsigned says that none did.
func (v *Verifier) Verify(ctx context.Context, ref, digest string, access reconcile.Access) error {
	found, err := v.from.Signatures(ctx, image.Repository(ref), digest, access)
	switch {
	case err != nil:
		return err
	case len(found) == 0:
		return &Unsigned{Reason: "no signature of cosign beside " + text.ShortDigest(digest)}
	}
	other := false
	for _, s := range found {
		about, ok := v.signed(s)
		if ok && about == digest {
			return nil
		}
		other = other || ok
	}
	if other {
		return &Unsigned{Reason: fmt.Sprintf("what a given key signed beside %s is no signature of this image",
			text.ShortDigest(digest))}
	}
	return &Unsigned{
		Reason: fmt.Sprintf("none of %s beside %s is of a given key", report.Plural(len(found), "signature"),
			text.ShortDigest(digest)),
	}
}

// signed reports whether one of the keys made a signature, and of which digest.
func (v *Verifier) signed(s registry.Signature) (digest string, ok bool) {
	for _, key := range v.keys {
		if s.Bundle != nil {
			if statement, ok := bundled(s.Bundle, key); ok {
				return digestStated(statement), true
			}
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(s.Base64)
		if err == nil && key.VerifySignature(bytes.NewReader(raw), bytes.NewReader(s.Payload)) == nil {
			return digestIn(s.Payload), true
		}
	}
	return "", false
}

// digestIn is the digest that a payload speaks about; empty where it is no payload of a signature of an image.
func digestIn(data []byte) string {
	var p struct {
		Critical struct {
			Type  string `json:"type"`
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
		} `json:"critical"`
	}
	if err := json.Unmarshal(data, &p); err != nil || p.Critical.Type != payload.CosignSignatureType {
		return ""
	}
	return p.Critical.Image.Digest
}

// bundled gives the statement that a key signed in a Sigstore bundle.
func bundled(data []byte, key signature.Verifier) ([]byte, bool) {
	var bundle struct {
		Envelope json.RawMessage `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(data, &bundle); err != nil || bundle.Envelope == nil {
		return nil, false
	}
	var statement []byte
	err := dsse.WrapVerifier(key, dsse.WithExpectedPayloadType("application/vnd.in-toto+json"),
		dsse.WithDecodedPayload(&statement)).VerifySignature(bytes.NewReader(bundle.Envelope), nil)
	return statement, err == nil
}

// digestStated is the digest that a statement of cosign sign speaks about; empty for any other statement, such as an
// attestation, which says something about an image but not that it may run.
func digestStated(statement []byte) string {
	var s struct {
		PredicateType string `json:"predicateType"`
		Subject       []struct {
			Digest struct {
				SHA256 string `json:"sha256"`
			} `json:"digest"`
		} `json:"subject"`
	}
	const signs = "https://sigstore.dev/cosign/sign/v1"
	if json.Unmarshal(statement, &s) != nil || s.PredicateType != signs || len(s.Subject) != 1 {
		return ""
	}
	return "sha256:" + s.Subject[0].Digest.SHA256
}
