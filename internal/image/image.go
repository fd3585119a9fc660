// Package image reads references of container images, and says in which way two of them are the same.
//
//	registry.example:5000/team/app:v1@sha256:…
//	└─────── Host ──────┘ └ Path ┘ Tag  Digest
//
//	                     repository   tag                  digest
//	Equal                same         same                 same
//	SameTag              same         same, or told by …   … the digest where both have one; one side may lack it
//	SameRepository       same         any                  any
//
// What Docker's short names leave out is filled in first, and Docker Hub's other names are its one name, so that app,
// docker.io/library/app:latest and index.docker.io/app are one. A name that no registry would take is the same as
// itself alone.
package image

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// DockerHub is the host of a reference that names none.
const DockerHub = "docker.io"

// shape is what a digest looks like. How many digits it has is its algorithm's matter, and the registry's to say.
var shape = regexp.MustCompile(`^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]+$`)

// hub are the other names under which Docker Hub is asked.
var hub = map[string]bool{"index.docker.io": true, "registry-1.docker.io": true, "registry.hub.docker.com": true}

// Registry is the host of a registry under its one name: Docker Hub has several, and 443 is the port of HTTPS.
func Registry(host string) string {
	if host = strings.TrimSuffix(host, ":443"); hub[host] {
		return DockerHub
	}
	return host
}

// Reference is an image's reference in parts, with what a short name leaves out filled in.
type Reference struct {
	// Host of the registry, with its port.
	Host string
	// Path of the repository there.
	Path string
	// Tag; empty where a digest stands alone.
	Tag string
	// Digest, as algorithm:hex; empty for none.
	Digest string
}

// Repository is host and path.
func (r Reference) Repository() string { return r.Host + "/" + r.Path }

// Parse reads a reference. The error describes what is wrong with it.
func Parse(s string) (Reference, error) {
	repository, tag, digest := Split(s)
	if host, path, ok := strings.Cut(repository, "/"); ok && (hub[host] || host == DockerHub) {
		// The library knows only one of the names, and adds library/ under no other.
		repository = path
	}
	parsed, err := name.NewTag(Join(repository, tag, ""), name.WeakValidation)
	if err != nil {
		return Reference{}, fmt.Errorf("read image %q: %w", s, err)
	}
	if digest != "" && !shape.MatchString(digest) {
		return Reference{}, fmt.Errorf("read image %q: %q is no digest such as sha256:…", s, digest)
	}
	r := Reference{Host: parsed.RegistryStr(), Path: parsed.RepositoryStr(), Tag: parsed.TagStr(), Digest: digest}
	if r.Host == name.DefaultRegistry {
		r.Host = DockerHub
	}
	if digest != "" {
		// A digest alone names no tag; the library would fill in latest.
		r.Tag = tag
	}
	return r, nil
}

// Split cuts a reference into its repository (with registry), tag and digest, as written.
func Split(s string) (repository, tag, digest string) {
	repository, digest, _ = strings.Cut(s, "@")
	if i := strings.LastIndexByte(repository, ':'); i > strings.LastIndexByte(repository, '/') {
		repository, tag = repository[:i], repository[i+1:]
	}
	return repository, tag, digest
}

// Join is the opposite of Split.
func Join(repository, tag, digest string) string {
	if tag != "" {
		repository += ":" + tag
	}
	if digest != "" {
		repository += "@" + digest
	}
	return repository
}

// Short is what tells an image apart from its neighbours: the tag, or else the digest, shortened; all of it where it
// has neither.
func Short(s string) string {
	_, tag, digest := Split(s)
	if tag != "" {
		return tag
	}
	if _, hex, ok := strings.Cut(digest, ":"); ok {
		return "@" + hex[:min(12, len(hex))]
	}
	return s
}

// Brief is what people call an image: the last part of its name, with its tag, or else its digest, shortened.
func Brief(s string) string {
	repository, tag, digest := Split(s)
	name := repository[strings.LastIndexByte(repository, '/')+1:]
	switch {
	case tag != "":
		return name + ":" + tag
	case digest != "":
		return name + Short(s)
	}
	return name
}

// Repository is a reference without tag and digest, as written.
func Repository(s string) string {
	repository, _, _ := Split(s)
	return repository
}

// Host is the registry of a reference; Docker Hub where it names none, or cannot be read.
func Host(s string) string {
	r, err := Parse(s)
	if err != nil {
		return DockerHub
	}
	return r.Host
}

// both reads two references; where one cannot be read, ok is false and they are the same only where they are written
// the same.
func both(a, b string) (x, y Reference, ok bool) {
	x, errX := Parse(a)
	y, errY := Parse(b)
	return x, y, errX == nil && errY == nil
}

// Equal reports whether two references name the same repository, tag and digest.
func Equal(a, b string) bool {
	x, y, ok := both(a, b)
	return a == b || ok && x == y
}

// SameTag reports whether two references name one image as far as both say something: where both have a digest it
// decides, else the tag does. A tag alone and a digest alone have nothing in common.
func SameTag(a, b string) bool {
	x, y, ok := both(a, b)
	switch {
	case a == b:
		return true
	case !ok || x.Repository() != y.Repository():
		return false
	case x.Digest != "" && y.Digest != "":
		return x.Digest == y.Digest
	}
	return x.Tag != "" && x.Tag == y.Tag
}

// SameRepository reports whether two references are of one repository.
func SameRepository(a, b string) bool {
	x, y, ok := both(a, b)
	return a == b || ok && x.Repository() == y.Repository()
}
