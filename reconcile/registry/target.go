package registry

import (
	"fmt"
	"net"
	"strings"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
)

// target is an image, parsed.
type target struct {
	// ref is the full reference, with the default tag where there was none.
	ref name.Reference
	// familiar is the repository as the kubelet looks up credentials for it, docker.io/library/app.
	familiar string
	// tag is what the reference names as its tag, also beside a digest; empty where it names none.
	tag string
	// short is the reference for sentences, without the registry.
	short string
}

// host is the registry for sentences and limits.
func (t target) host() string {
	if h := t.ref.Context().RegistryStr(); h != name.DefaultRegistry {
		return h
	}
	return "docker.io"
}

// parse reads an image as the kubelet does: what its parser refuses can never be pulled, which is the proof of an
// invalid name.
func parse(image string, access reconcile.Access) (target, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return target{}, &Error{Cause: v1alpha1.CauseInvalidName, proved: true, Sentence: fmt.Sprintf(
			"%s is no image reference: %s", clip(image), parseError(err))}
	}
	named = reference.TagNameOnly(named)
	var opts []name.Option
	if access.Insecure {
		opts = append(opts, name.Insecure)
	}
	ref, err := name.ParseReference(named.String(), opts...)
	if err != nil {
		return target{}, undecided(
			"%s cannot be asked for: it is a reference to the kubelet, but not to this client", clip(image))
	}
	short, tag := reference.Path(named), ""
	if tagged, ok := named.(reference.Tagged); ok {
		tag = tagged.Tag()
		short += ":" + tag
	}
	if digested, ok := named.(reference.Digested); ok {
		short += "@" + digested.Digest().String()
	}
	return target{ref: ref, familiar: named.Name(), tag: tag, short: short}, nil
}

// by is the same target as another access asks for it, with TLS or without.
func (t target) by(access reconcile.Access) (target, error) {
	var opts []name.Option
	if access.Insecure {
		opts = append(opts, name.Insecure)
	}
	var err error
	t.ref, err = name.ParseReference(t.ref.Name(), opts...)
	return t, err
}

// parseError gives the parser's words, which are its own.
func parseError(err error) string {
	s := err.Error()
	for _, own := range []error{
		reference.ErrReferenceInvalidFormat, reference.ErrTagInvalidFormat, reference.ErrDigestInvalidFormat,
		reference.ErrNameContainsUppercase, reference.ErrNameEmpty, reference.ErrNameTooLong,
	} {
		if strings.HasPrefix(s, own.Error()) {
			return own.Error()
		}
	}
	return reference.ErrReferenceInvalidFormat.Error()
}

// clip quotes what may hold anything and may be long.
func clip(s string) string {
	return fmt.Sprintf("%q", text.Cut(s, 200))
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}
