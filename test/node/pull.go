package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The media types of Docker, beside those of OCI.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// accepts is what containerd asks for.
var accepts = strings.Join([]string{dockerManifest, dockerIndex, ocispec.MediaTypeImageManifest,
	ocispec.MediaTypeImageIndex, "*/*"}, ", ")

// maxBlob is the most that is read of an answer; what is longer does not fit its digest.
const maxBlob = 32 << 20

// errNotFound ends containerd's messages of what does not exist.
var errNotFound = errors.New("not found")

// errPrecondition ends containerd's messages of what is not what it says it is.
var errPrecondition = errors.New("failed precondition")

// puller asks registries as containerd does.
type puller struct {
	plain *http.Client
	trust map[string]*http.Client
}

func newPuller(trust map[string][]byte) *puller {
	p := &puller{plain: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}},
		trust: map[string]*http.Client{}}
	for host, ca := range trust {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(ca)
		p.trust[host] = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool,
			MinVersion: tls.VersionTLS12}}}
	}
	return p
}

// pulled is an image that is all there.
type pulled struct {
	// ref is the full reference and digest what its tag resolved to.
	ref, digest string
	// repo is the reference without tag and digest.
	repo string
	// alien means that it is a single manifest for another platform, which nobody looks at before it is run.
	alien bool
	// behaviour is what a container of it does; nil where it runs well.
	behaviour *Behaviour
}

// image is a pull under way.
type image struct {
	*registry
	ref      string
	object   string
	platform Node
	// behaviour is what its config says; nil where it runs well.
	behaviour *Behaviour
}

// pull resolves an image and reads everything of it. Its error describes what a kubelet would.
func (p *puller) pull(ctx context.Context, named reference.Named, platform Node, as login) (pulled, error) {
	ref, object := named.String(), ""
	switch r := named.(type) {
	case reference.Digested:
		object = r.Digest().String()
	case reference.Tagged:
		object = r.Tag()
	}
	i := &image{registry: p.registry(named, as), ref: ref, object: object, platform: platform}
	top, err := i.resolve(ctx)
	if err != nil {
		return pulled{}, words(ref, fmt.Errorf("failed to resolve reference %q: %w", ref, err))
	}
	alien, err := i.fetchAll(ctx, top)
	if err != nil {
		return pulled{}, words(ref, err)
	}
	return pulled{ref: ref, repo: named.Name(), digest: string(top.Digest), alien: alien,
		behaviour: i.behaviour}, nil
}

// words puts the beginning before an error that containerd, gRPC and the kubelet do.
func words(ref string, err error) error {
	err = fmt.Errorf("failed to pull and unpack image %q: %w", ref, err)
	switch {
	case errors.Is(err, errNotFound):
		return fmt.Errorf("rpc error: code = NotFound desc = %w", err)
	case errors.Is(err, errPrecondition):
		return fmt.Errorf("rpc error: code = FailedPrecondition desc = %w", err)
	}
	return err
}

// resolve turns the tag into a digest.
func (i *image) resolve(ctx context.Context) (ocispec.Descriptor, error) {
	res, err := i.do(ctx, http.MethodHead, "manifests/"+i.object)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound:
		return ocispec.Descriptor{}, fmt.Errorf("%s: %w", i.ref, errNotFound)
	case res.StatusCode > 299:
		return ocispec.Descriptor{}, fmt.Errorf("pulling from host %s failed with status code [manifests %s]: %s", i.host,
			i.object, res.Status)
	}
	d := ocispec.Descriptor{MediaType: mediaType(res)}
	says := res.Header.Get("Docker-Content-Digest")
	if says == "" {
		body, err := i.read(ctx, "manifests/"+i.object)
		if err != nil {
			return d, err
		}
		says = digestOf(body)
	}
	d.Digest, err = digest.Parse(says)
	return d, err
}

func mediaType(res *http.Response) string {
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	return kind
}

// fetchAll reads index, manifest, config and layers.
func (i *image) fetchAll(ctx context.Context, top ocispec.Descriptor) (alien bool, err error) {
	manifest := top
	raw, err := i.fetch(ctx, top, "manifests")
	if err != nil {
		return false, err
	}
	single := top.MediaType != dockerIndex && top.MediaType != ocispec.MediaTypeImageIndex
	if !single {
		if manifest, err = i.choose(raw); err != nil {
			return false, err
		}
		if raw, err = i.fetch(ctx, manifest, "manifests"); err != nil {
			return false, err
		}
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return false, fmt.Errorf("failed to unmarshal manifest %s: %w", manifest.Digest, err)
	}
	raw, err = i.fetch(ctx, m.Config, "blobs")
	if err != nil {
		return false, err
	}
	for _, layer := range m.Layers {
		if _, err := i.fetch(ctx, layer, "blobs"); err != nil {
			return false, err
		}
	}
	var config ocispec.Platform
	if err := json.Unmarshal(raw, &config); err != nil {
		return false, fmt.Errorf("failed to unmarshal config %s: %w", m.Config.Digest, err)
	}
	i.behaviour = behaves(raw)
	alien = config.OS != "" && config.OS != i.platform.OS ||
		config.Architecture != "" && config.Architecture != i.platform.Arch
	return alien, nil
}

// choose takes the first manifest of an index that fits the platform.
func (i *image) choose(raw []byte) (ocispec.Descriptor, error) {
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("failed to unmarshal index: %w", err)
	}
	for _, m := range index.Manifests {
		if m.Platform == nil || m.Platform.OS == i.platform.OS && m.Platform.Architecture == i.platform.Arch {
			return m, nil
		}
	}
	return ocispec.Descriptor{}, fmt.Errorf("no match for platform in manifest: %w", errNotFound)
}

// fetch reads one manifest or blob and checks that it is what its digest says.
func (i *image) fetch(ctx context.Context, d ocispec.Descriptor, kind string) ([]byte, error) {
	body, err := i.read(ctx, kind+"/"+d.Digest.String())
	if errors.Is(err, errNotFound) {
		return nil, fmt.Errorf("failed to copy: httpReadSeeker: failed open: could not fetch content descriptor "+
			"%s (%s) from remote: %w", d.Digest, d.MediaType, err)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to copy: httpReadSeeker: failed open: %w", err)
	}
	if got := digestOf(body); got != d.Digest.String() {
		return nil, fmt.Errorf("failed commit on ref %q: unexpected commit digest %s, expected %s: %w",
			strings.TrimSuffix(kind, "s")+"-"+d.Digest.String(), got, d.Digest, errPrecondition)
	}
	return body, nil
}

// read is a GET.
func (i *image) read(ctx context.Context, path string) ([]byte, error) {
	res, err := i.do(ctx, http.MethodGet, path)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound:
		return nil, errNotFound
	case res.StatusCode > 299:
		return nil, fmt.Errorf("unexpected status code %s: %s", res.Request.URL.Redacted(), res.Status)
	}
	var body bytes.Buffer
	if _, err := io.Copy(&body, io.LimitReader(res.Body, maxBlob)); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

func digestOf(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// onLoopback reports whether containerd takes a registry as plain HTTP.
func onLoopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return name == "localhost" || ip != nil && ip.IsLoopback()
}
