package release

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ociregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

// keys writes a pair of keys and gives their files.
func keys(t *testing.T) (private, public string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := cryptoutils.MarshalPrivateKeyToPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	open, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	private, public = filepath.Join(dir, "key.pem"), filepath.Join(dir, "key.pub")
	if err := errors.Join(os.WriteFile(private, pem, 0o600), os.WriteFile(public, open, 0o600)); err != nil {
		t.Fatal(err)
	}
	return private, public
}

func TestSignatureVerifiesAndAChangedByteDoesNot(t *testing.T) {
	private, public := keys(t)
	_, stranger := keys(t)
	out := one(t)
	if err := Run(t.Context(), []string{"verify", "-o", out, "-key", public}, io.Discard); err == nil {
		t.Error("a release without a signature is verified")
	}
	for range 2 { // the second replaces the first
		if err := Run(t.Context(), []string{"sign", "-o", out, "-key", private}, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	if err := Run(t.Context(), []string{"verify", "-o", out, "-key", public}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), []string{"verify", "-o", out, "-key", stranger}, io.Discard); err == nil {
		t.Error("another key verifies it")
	}
	err := filepath.WalkDir(out, func(at string, e os.DirEntry, err error) error {
		rel, _ := filepath.Rel(out, at)
		if err != nil || e.IsDir() || strings.HasPrefix(rel, "bin") || e.Name() == "oci-layout" {
			return err
		}
		before, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		for _, i := range []int{0, len(before) / 3, len(before) / 2, len(before) - 1} {
			changed := bytes.Clone(before)
			changed[i] ^= 1
			if err := os.WriteFile(at, changed, 0o600); err != nil {
				return err
			}
			if err := Run(t.Context(), []string{"verify", "-o", out, "-key", public}, io.Discard); err == nil {
				t.Errorf("the changed byte %d of %d in %s is not seen: %q", i, len(before), rel, before[max(i-30, 0):min(i+30, len(before))])
			}
		}
		return os.WriteFile(at, before, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	pushed(t, out, public)
}

// pushed sends a release to a registry and verifies there what cosign verify --key would look at.
func pushed(t *testing.T, out, public string) {
	t.Helper()
	server := httptest.NewServer(ociregistry.New(ociregistry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	to := strings.TrimPrefix(server.URL, "http://") + "/some/folder"
	if err := Run(t.Context(), []string{"push", "-o", out, "-to", to}, io.Discard); err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	for repository, tag := range map[string]string{imageRepository: "v1.2.3", manifestsRepository: "v1.2.3", chartRepository: "1.2.3"} {
		ref, err := name.ParseReference(to + "/" + repository + ":" + tag)
		if err != nil {
			t.Fatal(err)
		}
		got, err := remote.Get(ref)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := remote.Image(ref.Context().Tag(signatureTag(got.Digest)))
		if err != nil {
			t.Fatal(err)
		}
		if err := verifySignature(signed, registry+"/"+repository+"@"+got.Digest.String(), verifier); err != nil {
			t.Errorf("%s: %v", repository, err)
		}
	}
}
