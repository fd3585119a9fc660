package registry

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
)

const (
	// maxManifest is what containerd and the distribution specification allow for manifests, in bytes.
	maxManifest = 4 << 20
	// pageSize of a tags list.
	pageSize = 100
	// maxPages of a tags list.
	maxPages = 100
)

// acceptable are the kinds of manifests that runtimes know.
var acceptable = strings.Join([]string{
	string(types.OCIImageIndex), string(types.DockerManifestList),
	string(types.OCIManifestSchema1), string(types.DockerManifestSchema2), "*/*",
}, ", ")

// tagName is the specification's.
var tagName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// manifest is the answer to a request for one.
type manifest struct {
	digest    v1.Hash
	mediaType types.MediaType
	size      int64
	body      []byte
	// headless means that HEAD answers 404 for it, also after a GET has shown it.
	headless bool
}

// do sends one request and gives an answer of status 200 or 206; everything else is an *Error. The caller closes it.
func (s *session) do(ctx context.Context, method, path string, header map[string]string) (*http.Response, error) {
	u := path
	if !strings.Contains(path, "://") {
		u = s.repo.Scheme() + "://" + s.repo.RegistryStr() + "/v2/" + s.repo.RepositoryStr() + "/" + path
	}
	req, err := http.NewRequestWithContext(ctx, method, u, nil)
	if err != nil {
		return nil, untrue(s.host, "something that is no address")
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fault(s.host, err)
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusPartialContent {
		return resp, nil
	}
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // the connection can be used again
	_ = resp.Body.Close()
	e := refusal(s.host, resp.StatusCode)
	e.coded = resp.StatusCode == http.StatusNotFound && s.own(resp) && s.saysUnknown(said, path)
	return resp, e
}

// saysUnknown reports whether an answer holds a registry's own code for what it does not have, and nothing else.
// Something on the way, and a cache whose upstream does not answer, says 404 without one; a registry that has it and
// does not give it out says why. The names that were asked for are nobody's reason.
func (s *session) saysUnknown(body []byte, path string) bool {
	var said struct {
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &said) != nil || len(said.Errors) == 0 {
		return false
	}
	for _, e := range said.Errors {
		switch strings.ToUpper(e.Code) {
		case "MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN", "NOT_FOUND":
		default:
			return false
		}
	}
	names := strings.NewReplacer(s.repo.RepositoryStr(), " ", path[strings.LastIndexByte(path, '/')+1:], " ")
	return !image.Withholds(names.Replace(string(body)))
}

// resolve looks whether the manifest of a tag or digest exists, with HEAD where that says enough.
func (s *session) resolve(ctx context.Context, identifier string) (manifest, error) {
	resp, err := s.do(ctx, http.MethodHead, "manifests/"+identifier, map[string]string{"Accept": acceptable})
	switch {
	case unknown(err):
		return s.manifest(ctx, identifier)
	case missing(err):
		return s.fetched(ctx, identifier)
	case err != nil:
		return manifest{}, err
	}
	_ = resp.Body.Close()
	if kind := kindOf(resp); strings.HasPrefix(kind, "text/") {
		return manifest{}, untrue(s.host, "a page (%s) instead of a manifest", clip(kind))
	}
	digest, err := v1.NewHash(resp.Header.Get("Docker-Content-Digest"))
	if err != nil {
		return s.manifest(ctx, identifier)
	}
	if asked, err := v1.NewHash(identifier); err == nil && asked != digest {
		return manifest{}, untrue(s.host, "digest %s for %s", digest, asked)
	}
	return manifest{digest: digest, mediaType: types.MediaType(kindOf(resp)), size: resp.ContentLength}, nil
}

// fetched reads a manifest that HEAD does not find. Some caches answer HEAD with 404 until a GET has fetched it from
// upstream; of a registry that goes on to, nobody can tell whether nodes get the image: containerd asks by HEAD.
func (s *session) fetched(ctx context.Context, identifier string) (manifest, error) {
	m, err := s.manifest(ctx, identifier)
	if err != nil {
		return m, err
	}
	resp, err := s.do(ctx, http.MethodHead, "manifests/"+identifier, map[string]string{"Accept": acceptable})
	if err == nil {
		_ = resp.Body.Close()
	}
	m.headless = missing(err)
	return m, nil
}

// manifest reads the manifest of a tag or digest.
func (s *session) manifest(ctx context.Context, identifier string) (manifest, error) {
	resp, err := s.do(ctx, http.MethodGet, "manifests/"+identifier, map[string]string{"Accept": acceptable})
	if err != nil {
		return manifest{}, err
	}
	body, err := s.read(resp)
	if err != nil {
		return manifest{}, err
	}
	m := manifest{mediaType: types.MediaType(kindOf(resp)), size: int64(len(body)), body: body}
	switch {
	case !json.Valid(body):
		return manifest{}, untrue(s.host, "a manifest that is no JSON")
	case !describes(body):
		return manifest{}, untrue(s.host, "200 with something that is no manifest")
	}
	asked, err := v1.NewHash(identifier)
	if err != nil {
		asked.Algorithm = "sha256"
	}
	if m.digest, err = sum(asked.Algorithm, body); err != nil {
		return manifest{}, untrue(s.host, "an unknown kind of digest")
	}
	if asked.Hex != "" && asked != m.digest {
		return manifest{}, untrue(s.host, "content with digest %s for %s", m.digest, asked)
	}
	return m, nil
}

// describes reports whether a body says what a manifest does, and is no error that came with status 200.
func describes(body []byte) bool {
	var m struct {
		Errors                                               json.RawMessage `json:"errors"`
		Manifests, Config, Layers, Blobs, FSLayers, Artifact json.RawMessage
	}
	if json.Unmarshal(body, &m) != nil || len(m.Errors) > 0 {
		return false
	}
	return slices.ContainsFunc([]json.RawMessage{m.Manifests, m.Config, m.Layers, m.Blobs, m.FSLayers},
		func(part json.RawMessage) bool { return len(part) > 0 })
}

// config reads a small blob and checks its digest.
func (s *session) config(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	resp, err := s.do(ctx, http.MethodGet, "blobs/"+d.Digest.String(), nil)
	if err != nil {
		return nil, s.elsewhere(resp, err)
	}
	body, err := s.read(resp)
	if err != nil {
		return nil, err
	}
	if got, err := sum(d.Digest.Algorithm, body); err != nil || got != d.Digest {
		return nil, untrue(s.host, "content with another digest for %s", d.Digest)
	}
	return body, nil
}

// blob looks whether a blob exists. Where HEAD does not say it, because the storage only signs GETs or something on the
// way drops the length, its first byte is asked for.
func (s *session) blob(ctx context.Context, d v1.Descriptor) error {
	path := "blobs/" + d.Digest.String()
	size := int64(-1)
	resp, err := s.do(ctx, http.MethodHead, path, nil)
	switch {
	case err == nil:
		size = resp.ContentLength
		_ = resp.Body.Close()
	case unknown(err), missing(err), resp != nil && resp.StatusCode == http.StatusForbidden && !s.own(resp):
	default:
		return s.elsewhere(resp, err)
	}
	if size < 0 {
		if resp, err = s.do(ctx, http.MethodGet, path, map[string]string{"Range": "bytes=0-0"}); err != nil {
			return s.elsewhere(resp, err)
		}
		_ = resp.Body.Close()
		size = whole(resp)
	}
	if size != d.Size {
		return untrue(s.host, "%d bytes for blob %s, which has %d", size, d.Digest, d.Size)
	}
	return nil
}

// own reports whether the registry itself answered, not what it redirects to.
func (s *session) own(resp *http.Response) bool { return resp.Request.URL.Host == s.repo.RegistryStr() }

// elsewhere makes a 404 of the storage behind a registry a fault of the two: the registry itself says that the blob
// exists.
func (s *session) elsewhere(resp *http.Response, err error) error {
	if missing(err) && resp != nil && !s.own(resp) {
		return unavailable("%s has a blob that its storage does not", s.host)
	}
	return err
}

// missing reports whether an error is the registry's 404.
func missing(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Cause == v1alpha1.CauseNotFound
}

// read reads a manifest or config to its end.
func (s *session) read(resp *http.Response) ([]byte, error) {
	defer func() { _ = resp.Body.Close() }()
	if kind := kindOf(resp); strings.HasPrefix(kind, "text/html") {
		return nil, untrue(s.host, "a page (%s) instead of content", clip(kind))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil {
		return nil, fault(s.host, err)
	}
	if len(body) > maxManifest {
		return nil, untrue(s.host, "a manifest or config of more than %d MiB", maxManifest>>20)
	}
	return body, nil
}

func kindOf(resp *http.Response) string {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return kind
}

// whole is the size of what one byte was asked of; -1 when the answer does not say.
func whole(resp *http.Response) int64 {
	if resp.StatusCode == http.StatusOK {
		return resp.ContentLength
	}
	var size int64
	if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes 0-0/%d", &size); err != nil {
		return -1
	}
	return size
}

func sum(algorithm string, body []byte) (v1.Hash, error) {
	h, err := v1.Hasher(algorithm)
	if err != nil {
		return v1.Hash{}, err
	}
	if _, err := io.Copy(h, bytes.NewReader(body)); err != nil {
		return v1.Hash{}, err
	}
	return v1.Hash{Algorithm: algorithm, Hex: hex.EncodeToString(h.Sum(nil))}, nil
}
