package gate_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/dsse"

	"github.com/backstop-dev/backstop/gate"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/test/registrystub"
)

// keyPair makes a key as cosign does, and gives its public half in PEM.
func keyPair(t *testing.T) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, pem
}

// bundle makes a Sigstore bundle as cosign 3 does: a statement about a digest, signed by a key.
func bundle(t *testing.T, key *ecdsa.PrivateKey, predicate, about string) []byte {
	t.Helper()
	const kind = "application/vnd.in-toto+json"
	signer, err := signature.LoadSigner(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	statement := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q},"annotations":{}}],`+
		`"predicateType":%q,"predicate":{}}`, strings.TrimPrefix(about, "sha256:"), predicate)
	envelope, err := dsse.WrapSigner(signer, kind).SignMessage(strings.NewReader(statement))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Appendf(nil, `{"mediaType":%q,"verificationMaterial":{"publicKey":{"hint":"x"}},"dsseEnvelope":%s}`, bundleKind, envelope)
}

const bundleKind = "application/vnd.dev.sigstore.bundle.v0.3+json"

// refer stores a bundle that refers to an image. The client keeps a list under a tag where the registry has no other.
func refer(t *testing.T, r *registrystub.Registry, repo, to string, bundle []byte) {
	t.Helper()
	repository, err := name.NewRepository(r.Host() + "/" + repo)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := remote.Get(repository.Digest(to), remote.WithTransport(r))
	if err != nil {
		t.Fatal(err)
	}
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, bundleKind)
	img, err = mutate.AppendLayers(img, static.NewLayer(bundle, bundleKind))
	if err != nil {
		t.Fatal(err)
	}
	referring := mutate.Subject(img, subject.Descriptor).(v1.Image)
	digest, err := referring.Digest()
	if err == nil {
		err = remote.Write(repository.Digest(digest.String()), referring, remote.WithTransport(r))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sign stores a signature beside an image as cosign sign --key does: about one digest, beside another.
func sign(t *testing.T, r *registrystub.Registry, key *ecdsa.PrivateKey, beside, about string) {
	t.Helper()
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":%q},`+
		`"type":"cosign container image signature"},"optional":null}`, about)
	signer, err := signature.LoadSigner(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signer.SignMessage(bytes.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	blob, err := r.PutBlob("app", payload)
	if err != nil {
		t.Fatal(err)
	}
	config, err := r.PutBlob("app", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	const kind = "application/vnd.oci.image.manifest.v1+json"
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": kind,
		"config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
		"layers": []any{map[string]any{
			"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "digest": blob, "size": len(payload),
			"annotations": map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(raw)},
		}},
	})
	if err == nil {
		err = r.PutManifest("app", strings.Replace(beside, ":", "-", 1)+".sig", kind, manifest)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestGateImageThatIsNotSigned(t *testing.T) {
	r := stub(t, registrystub.Options{TLS: true, Token: &ci})
	key, pem := keyPair(t)
	stranger, _ := keyPair(t)
	_, second := keyPair(t)
	good, other, stolen := push(t, r, "app", "good"), push(t, r, "app", "other"), push(t, r, "app", "stolen")
	push(t, r, "app", "bare")
	sign(t, r, key, good, good)
	sign(t, r, stranger, other, other)
	sign(t, r, key, stolen, good)
	o := asking(r, true)
	client := registry.New(registry.Options{})
	v, err := gate.NewVerifier(client, [][]byte{second, pem})
	if err != nil {
		t.Fatal(err)
	}
	o.Verify = v.Verify
	o.Head = tree(map[string]string{
		"bare.yaml": deployment("a", r.Host()+"/app:bare"), "good.yaml": deployment("a", r.Host()+"/app:good"),
		"other.yaml": deployment("a", r.Host()+"/app:other"), "stolen.yaml": deployment("a", r.Host()+"/app:stolen"),
	})
	got := check(t, o)
	wantFindings(t, got, "error image-unsigned bare.yaml:12", "error image-unsigned other.yaml:12", "error image-unsigned stolen.yaml:12")
	wantWords(t, got, "no signature of cosign beside", "none of 1 signature beside", "is no signature of this image", "cosign sign --key")
	o = asked(o, asking(r, true))
	r.Fail("/v2/app/manifests/sha256-", registrystub.Status(500))
	o.Head = tree(map[string]string{"good.yaml": deployment("a", r.Host()+"/app:good")})
	wantFindings(t, check(t, o), "unknown registry-no-answer good.yaml:12")
	if _, err := gate.NewVerifier(client, [][]byte{[]byte("no key")}); err == nil || !strings.Contains(err.Error(), "public key 1") {
		t.Errorf("no key gives %v", err)
	}
}

func TestGateImageSignedWithABundle(t *testing.T) {
	for title, referrers := range map[string]bool{"the registry lists what refers to an image": true, "a tag does": false} {
		t.Run(title, func(t *testing.T) {
			r := stub(t, registrystub.Options{TLS: true, Token: &ci, Referrers: referrers})
			key, pem := keyPair(t)
			stranger, _ := keyPair(t)
			const signs = "https://sigstore.dev/cosign/sign/v1"
			digests := map[string]string{}
			for _, tag := range []string{"good", "attested", "stolen", "stranger", "broken"} {
				digests[tag] = push(t, r, "app", tag)
			}
			refer(t, r, "app", digests["good"], bundle(t, stranger, signs, digests["good"]))
			refer(t, r, "app", digests["good"], bundle(t, key, signs, digests["good"]))
			refer(t, r, "app", digests["attested"], bundle(t, key, "https://slsa.dev/provenance/v1", digests["attested"]))
			refer(t, r, "app", digests["stolen"], bundle(t, key, signs, digests["good"]))
			refer(t, r, "app", digests["stranger"], bundle(t, stranger, signs, digests["stranger"]))
			refer(t, r, "app", digests["broken"], []byte(`{"dsseEnvelope":{"payload":"!","signatures":[{"sig":"?"}]}}`))
			o := asking(r, true)
			v, err := gate.NewVerifier(registry.New(registry.Options{}), [][]byte{pem})
			if err != nil {
				t.Fatal(err)
			}
			o.Verify = v.Verify
			files := map[string]string{}
			for tag := range digests {
				files[tag+".yaml"] = deployment("a", r.Host()+"/app:"+tag)
			}
			o.Head = tree(files)
			got := check(t, o)
			wantFindings(t, got, "error image-unsigned attested.yaml:12", "error image-unsigned broken.yaml:12",
				"error image-unsigned stolen.yaml:12", "error image-unsigned stranger.yaml:12")
			wantWords(t, got, "is no signature of this image", "none of 1 signature")
		})
	}
}

// signatures are what is stored beside every image.
type signatures []registry.Signature

func (s signatures) Signatures(context.Context, string, string, reconcile.Access) ([]registry.Signature, error) {
	return s, nil
}

// The bundle was made by sigstore-go, with which cosign 3 signs.
func TestGateABundleOfSigstoresOwnClient(t *testing.T) {
	made, err := os.ReadFile("testdata/bundle.sigstore.json")
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile("testdata/cosign.pub")
	if err != nil {
		t.Fatal(err)
	}
	v, err := gate.NewVerifier(signatures{{Bundle: made}}, [][]byte{pem})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Verify(t.Context(), "acme/app:v1", "sha256:"+strings.Repeat("ab", 32), reconcile.Access{}); err != nil {
		t.Error(err)
	}
	if err := v.Verify(t.Context(), "acme/app:v1", "sha256:"+strings.Repeat("cd", 32), reconcile.Access{}); err == nil {
		t.Error("the signature of one image is good for another")
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte(`{"dsseEnvelope":{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":""}]}}`), "AAAA")
	f.Add([]byte(`{"critical":{"type":"cosign container image signature"}}`), "")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	pem, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, sig string) {
		v, err := gate.NewVerifier(signatures{{Bundle: data}, {Payload: data, Base64: sig}}, [][]byte{pem})
		if err != nil {
			t.Fatal(err)
		}
		if v.Verify(t.Context(), "acme/app:v1", "sha256:"+strings.Repeat("ab", 32), reconcile.Access{}) == nil {
			t.Error("nobody signed this")
		}
	})
}
