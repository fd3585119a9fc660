package release

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/payload"
)

const (
	checksums = "checksums.txt"
	// artifacts lists what is pushed, by tag and digest.
	artifacts = "artifacts.txt"
	// simpleSigning and signatureAnnotation are the form in which cosign keeps a signature beside an image.
	simpleSigning       = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureAnnotation = "dev.cosignproject.cosign/signature"
)

// repositories are what is pushed.
var repositories = []string{imageRepository, manifestsRepository, chartRepository}

// signatureTag is where cosign looks for the signature of a digest.
func signatureTag(digest v1.Hash) string { return digest.Algorithm + "-" + digest.Hex + ".sig" }

// sign signs the checksums, and every artifact in its own layout, with a key at hand. The workflow signs without one.
func sign(out, keyFile string) error {
	pem, err := os.ReadFile(keyFile)
	if err != nil {
		return fmt.Errorf("read the key: give it by -key: %w", err)
	}
	password := func(bool) ([]byte, error) { return []byte(os.Getenv("COSIGN_PASSWORD")), nil }
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(pem, password)
	if err != nil {
		return fmt.Errorf("read the key %s: %w", keyFile, err)
	}
	signer, err := signature.LoadSigner(key, crypto.SHA256)
	if err != nil {
		return fmt.Errorf("sign with %s: %w", keyFile, err)
	}
	list, err := os.ReadFile(filepath.Join(out, checksums))
	if err != nil {
		return fmt.Errorf("read the checksums: make the release first: %w", err)
	}
	signed, err := signer.SignMessage(bytes.NewReader(list))
	if err != nil {
		return fmt.Errorf("sign the checksums: %w", err)
	}
	encoded := base64.StdEncoding.EncodeToString(signed)
	if err := os.WriteFile(filepath.Join(out, checksums+".sig"), []byte(encoded), 0o644); err != nil {
		return fmt.Errorf("write the signature: %w", err)
	}
	for _, repository := range repositories {
		if err := signArtifact(out, repository, signer); err != nil {
			return fmt.Errorf("sign %s: %w", repository, err)
		}
	}
	return nil
}

// signArtifact puts the signature into the artifact's layout, under the name that it has in a registry.
func signArtifact(out, repository string, signer signature.Signer) error {
	path, digest, err := open(out, repository)
	if err != nil {
		return err
	}
	ref, err := name.NewDigest(registry + "/" + repository + "@" + digest.String())
	if err != nil {
		return err
	}
	text, err := payload.Cosign{Image: ref}.MarshalJSON()
	if err != nil {
		return err
	}
	signed, err := signer.SignMessage(bytes.NewReader(text))
	if err != nil {
		return err
	}
	img, err := mutate.Append(
		mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON),
		mutate.Addendum{
			Layer: static.NewLayer(text, simpleSigning), MediaType: simpleSigning,
			Annotations: map[string]string{signatureAnnotation: base64.StdEncoding.EncodeToString(signed)},
		})
	if err != nil {
		return err
	}
	tag := signatureTag(digest)
	return path.ReplaceImage(img, named(tag), layout.WithAnnotations(map[string]string{refName: tag}))
}

const refName = "org.opencontainers.image.ref.name"

// named finds what a layout has under a name.
func named(tag string) func(v1.Descriptor) bool {
	return func(d v1.Descriptor) bool { return d.Annotations[refName] == tag }
}

// verify checks that nothing of a release is other than what its signatures stand for.
func verify(out, keyFile string, stdout io.Writer) error {
	pem, err := os.ReadFile(keyFile)
	if err != nil {
		return fmt.Errorf("read the public key: give it by -key: %w", err)
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
	if err != nil {
		return fmt.Errorf("read the public key %s: %w", keyFile, err)
	}
	verifier, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		return fmt.Errorf("verify with %s: %w", keyFile, err)
	}
	files, err := verifyFiles(out, verifier)
	if err != nil {
		return err
	}
	for _, repository := range repositories {
		if err := verifyArtifact(out, repository, verifier); err != nil {
			return fmt.Errorf("verify %s: %w", repository, err)
		}
	}
	fmt.Fprintf(stdout, "verified: %d files, %d artifacts\n", files, len(repositories))
	return nil
}

func verifyFiles(out string, verifier signature.Verifier) (int, error) {
	list, err := os.ReadFile(filepath.Join(out, checksums))
	if err != nil {
		return 0, fmt.Errorf("read the checksums: %w", err)
	}
	encoded, err := os.ReadFile(filepath.Join(out, checksums+".sig"))
	if err != nil {
		return 0, fmt.Errorf("read the signature of the checksums: %w", err)
	}
	if err := isSigned(verifier, string(encoded), list); err != nil {
		return 0, fmt.Errorf("verify %s: %w", checksums, err)
	}
	lines := strings.Split(strings.TrimSpace(string(list)), "\n")
	for _, line := range lines {
		want, file, _ := strings.Cut(line, "  ")
		data, err := os.ReadFile(filepath.Join(out, filepath.FromSlash(file)))
		if err != nil {
			return 0, fmt.Errorf("read what %s names: %w", checksums, err)
		}
		if sum(data) != want {
			return 0, fmt.Errorf("%s is not the file that was signed", file)
		}
	}
	return len(lines), nil
}

// isSigned verifies a signature in base64.
func isSigned(verifier signature.Verifier, encoded string, signed []byte) error {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return fmt.Errorf("the signature is not base64: %w", err)
	}
	return verifier.VerifySignature(bytes.NewReader(raw), bytes.NewReader(signed))
}

func verifyArtifact(out, repository string, verifier signature.Verifier) error {
	path, digest, err := open(out, repository)
	if err != nil {
		return err
	}
	listed, err := os.ReadFile(filepath.Join(out, artifacts))
	if err != nil {
		return fmt.Errorf("read which artifacts there are: %w", err)
	}
	if err := intact(string(path)); err != nil {
		return fmt.Errorf("the layout is not what it says: %w", err)
	}
	index, err := path.ImageIndex()
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for i, d := range manifest.Manifests {
		tag := d.Annotations[refName]
		if i == 0 {
			// What was signed with the checksums says under which name the artifact is pushed.
			name := registry + "/" + repository + ":" + tag
			if !slices.Contains(strings.Split(string(listed), "\n"), name+"@"+digest.String()) {
				return fmt.Errorf("%s is not the artifact that was signed", name)
			}
			if full, ok := d.Annotations["io.containerd.image.name"]; ok && full != name {
				return fmt.Errorf("the layout names %s, want %s", full, name)
			}
			continue
		}
		if tag != signatureTag(digest) {
			return fmt.Errorf("the layout has %q too, which nothing signs", tag)
		}
		img, err := path.Image(d.Digest)
		if err != nil {
			return err
		}
		return verifySignature(img, registry+"/"+repository+"@"+digest.String(), verifier)
	}
	return fmt.Errorf("%s has no signature", digest)
}

// intact checks that every blob of a layout is what its name says, and that none is missing that another names.
func intact(layout string) error {
	folder := filepath.Join(layout, "blobs", "sha256")
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	names := regexp.MustCompile(`"digest":\s*"sha256:([0-9a-f]{64})"`)
	read := func(file string) ([]byte, error) {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, m := range names.FindAllSubmatch(data, -1) {
			if _, err := os.Stat(filepath.Join(folder, string(m[1]))); err != nil {
				return nil, fmt.Errorf("%s names a blob that is not there: %w", filepath.Base(file), err)
			}
		}
		return data, nil
	}
	data, err := read(filepath.Join(layout, "index.json"))
	if err != nil {
		return err
	}
	if err := described(data, folder); err != nil {
		return err
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return err
		}
		if sum(data) != e.Name() {
			return fmt.Errorf("blob %s has the digest %s", e.Name(), sum(data))
		}
		if bytes.HasPrefix(data, []byte(`{"schemaVersion"`)) {
			if _, err := read(filepath.Join(folder, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// described checks that what an index says of each blob is so, and that it says nothing else.
func described(index []byte, folder string) error {
	var manifest v1.IndexManifest
	if err := json.Unmarshal(index, &manifest); err != nil {
		return fmt.Errorf("read index.json: %w", err)
	}
	again, err := json.MarshalIndent(manifest, "", "   ")
	if err != nil {
		return err
	}
	if !bytes.Equal(again, index) || len(manifest.Manifests) > 2 {
		return fmt.Errorf("index.json is not as it was written")
	}
	for _, d := range manifest.Manifests {
		data, err := os.ReadFile(filepath.Join(folder, d.Digest.Hex))
		if err != nil {
			return err
		}
		var blob struct {
			MediaType types.MediaType
			Config    struct{ MediaType string }
		}
		if err := json.Unmarshal(data, &blob); err != nil {
			return fmt.Errorf("read %s: %w", d.Digest, err)
		}
		if blob.MediaType != d.MediaType || int64(len(data)) != d.Size ||
			d.ArtifactType != "" && d.ArtifactType != blob.Config.MediaType {
			return fmt.Errorf("%s is a %s of %d bytes, which index.json does not say", d.Digest, blob.MediaType, len(data))
		}
		for key := range d.Annotations {
			if key != refName && key != "io.containerd.image.name" {
				return fmt.Errorf("index.json has %q", key)
			}
		}
	}
	return nil
}

// verifySignature checks that one signature of an image is the key's, and stands for this artifact.
func verifySignature(img v1.Image, want string, verifier signature.Verifier) error {
	manifest, err := img.Manifest()
	if err != nil {
		return err
	}
	for _, l := range manifest.Layers {
		layer, err := img.LayerByDigest(l.Digest)
		if err != nil {
			return err
		}
		content, err := layer.Compressed()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(io.LimitReader(content, 1<<20))
		_ = content.Close()
		if err != nil {
			return err
		}
		var says payload.Cosign
		if err := says.UnmarshalJSON(text); err != nil || says.Image.String() != want {
			continue
		}
		if isSigned(verifier, l.Annotations[signatureAnnotation], text) == nil {
			return nil
		}
	}
	return fmt.Errorf("no signature for %s is of this key", want)
}

// push sends every artifact to a registry, under its version, and its signature where it has one.
func push(ctx context.Context, out, to string, stdout io.Writer) error {
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	for _, repository := range repositories {
		path, first, err := open(out, repository)
		if err != nil {
			return err
		}
		index, err := path.ImageIndex()
		if err != nil {
			return fmt.Errorf("read the layout of %s: %w", repository, err)
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			return fmt.Errorf("read the layout of %s: %w", repository, err)
		}
		for _, d := range manifest.Manifests {
			ref, err := name.NewTag(to + "/" + repository + ":" + d.Annotations[refName])
			if err != nil {
				return fmt.Errorf("push %s: %w", repository, err)
			}
			if err := pushOne(index, d, ref, options); err != nil {
				return fmt.Errorf("push %s: %w", ref, err)
			}
			if d.Digest == first {
				fmt.Fprintf(stdout, "%s@%s\n", ref.Context(), d.Digest)
			}
		}
	}
	return nil
}

func pushOne(index v1.ImageIndex, d v1.Descriptor, ref name.Tag, options []remote.Option) error {
	if d.MediaType.IsIndex() {
		inner, err := index.ImageIndex(d.Digest)
		if err != nil {
			return err
		}
		return remote.WriteIndex(ref, inner, options...)
	}
	img, err := index.Image(d.Digest)
	if err != nil {
		return err
	}
	return remote.Write(ref, img, options...)
}
