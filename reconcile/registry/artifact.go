package registry

import (
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// artifacts are the types of configs and layers that are no container image's, by what they begin with.
var artifacts = []struct{ prefix, what string }{
	{"application/vnd.cncf.helm.", "a Helm chart"},
	{"application/vnd.cncf.flux.", "a Flux artifact"},
	{"application/vnd.dev.cosign.", "a signature"},
	{"application/vnd.dev.sigstore.", "a signature"},
	{"application/vnd.cncf.notary.", "a signature"},
	{"application/vnd.in-toto", "an attestation"},
	{"application/vnd.dsse.", "an attestation"},
	{"application/vnd.buildkit.", "a build cache"},
	{"application/vnd.wasm.", "a WebAssembly module"},
	{"application/wasm", "a WebAssembly module"},
	{"application/vnd.module.wasm.", "a WebAssembly module"},
	{"application/spdx", "an SBOM"},
	{"text/spdx", "an SBOM"},
	{"application/vnd.cyclonedx", "an SBOM"},
	{"application/vnd.syft", "an SBOM"},
}

// artifact names the kind of a manifest that no runtime can run, and the media type that shows it; empty for an image.
// Its config is of another type than an image's, or none of its layers is one.
func artifact(c *content) (what, kind string) {
	kind = string(c.config.MediaType)
	if c.config.MediaType.IsConfig() {
		if len(c.layers) == 0 {
			return "", ""
		}
		for _, l := range c.layers {
			if kind = string(l.MediaType); isLayer(kind) {
				return "", ""
			}
		}
	} else if len(c.layers) > 0 && strings.HasPrefix(kind, "application/vnd.oci.empty.") {
		// An artifact without a config is what its layers are.
		kind = string(c.layers[0].MediaType)
	}
	for _, a := range artifacts {
		if strings.HasPrefix(kind, a.prefix) {
			return a.what, kind
		}
	}
	return "an artifact", kind
}

// isLayer reports whether a type is one of a file system's layers, in any compression or form.
func isLayer(kind string) bool {
	return kind == "" || strings.HasPrefix(kind, "application/vnd.oci.image.layer.") ||
		strings.HasPrefix(kind, "application/vnd.docker.image.rootfs.")
}

// content is what a manifest says. It is addressed by its digest and never changes.
type content struct {
	// children of an index; config and layers of an image.
	children []v1.Descriptor
	config   *v1.Descriptor
	layers   []v1.Descriptor
}
