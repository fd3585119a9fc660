package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Error explains why a registry did not give what it was asked for. No words of the registry are in it.
type Error struct {
	// Cause is NotFound for a 404, or why there was no answer.
	Cause v1alpha1.Cause
	// Sentence for a human, without a secret.
	Sentence string

	// status of the answer; 0 where there was none.
	status int
	// coded means that the registry itself answered 404, with its own code for what it does not have.
	coded bool
	// proved means that the cause is proved to be the image's own fault.
	proved bool
	// digest of the image whose fault it is, where one was seen.
	digest string
	// untrusted means that the registry's certificate is not valid here.
	untrusted bool
	// artifact is what is there instead of an image.
	artifact string
}

// Error is the sentence.
func (e *Error) Error() string { return e.Sentence }

var (
	errTooLong = errors.New("the answer is too long")
	errPlain   = errors.New("plain HTTP is not allowed")
	errInside  = errors.New("redirected to an inner address")
	errAround  = errors.New("redirected too often")
)

// asError gives the *Error of an error; nil for nil.
func asError(err error) *Error {
	var e *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	}
	return &Error{Cause: v1alpha1.CauseUnknown, Sentence: "the registry could not be asked"}
}

func unavailable(format string, args ...any) *Error {
	return &Error{Cause: v1alpha1.CauseRegistryUnavailable, Sentence: fmt.Sprintf(format, args...)}
}

// undecided is an answer that does not settle the question.
func undecided(format string, args ...any) *Error {
	return &Error{Cause: v1alpha1.CauseUnknown, Sentence: fmt.Sprintf(format, args...)}
}

// untrue is an answer that cannot be true.
func untrue(host, format string, args ...any) *Error {
	return unavailable("%s gives an answer that cannot be right: %s", host, fmt.Sprintf(format, args...))
}

// refusal describes what a status other than 200 means. Only 404 speaks of the image.
func refusal(host string, status int) *Error {
	said := strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
	e := &Error{Cause: v1alpha1.CauseRegistryUnavailable, status: status}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Cause, e.Sentence = v1alpha1.CauseUnauthorized, fmt.Sprintf("%s refuses this client (%s)", host, said)
	case http.StatusTooManyRequests:
		e.Cause, e.Sentence = v1alpha1.CauseRateLimited, fmt.Sprintf("%s limits this client (%s)", host, said)
	case http.StatusNotFound:
		e.Cause, e.Sentence = v1alpha1.CauseNotFound, fmt.Sprintf("%s answers %s", host, said)
	case http.StatusProxyAuthRequired:
		e.Sentence = fmt.Sprintf("the proxy before %s refuses this client (%s)", host, said)
	default:
		e.Sentence = fmt.Sprintf("%s answers %s", host, said)
	}
	return e
}

// unknown reports whether the registry does not know what it was asked to do.
func unknown(err error) bool {
	e := asError(err)
	return e != nil && (e.status == http.StatusMethodNotAllowed || e.status == http.StatusNotImplemented)
}

// fault explains why a request got no answer.
func fault(host string, err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	// Where both TLS and plain HTTP were tried, the certificate says more than the answer to plain HTTP.
	if why := certificate(err); why != "" {
		e := unavailable("%s cannot be reached: %s", host, why)
		e.untrusted = true
		return e
	}
	// The greeting and the token come through go-containerregistry, which keeps the status. A 404 there says nothing
	// of an image.
	var status *transport.Error
	if errors.As(err, &status) {
		e := refusal(host, status.StatusCode)
		if e.Cause == v1alpha1.CauseNotFound {
			return unavailable("%s does not answer as a registry does (404 to the greeting or to the request for a token)", host)
		}
		return e
	}
	if why := network(err); why != "" {
		return unavailable("%s cannot be reached: %s", host, why)
	}
	return unavailable("%s does not answer as a registry does", host)
}

// network names what kept a request from being answered, in words that hold nothing of the request.
func network(err error) string {
	prefix := ""
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "proxyconnect" {
		prefix = "its proxy: "
	}
	for _, why := range []func(error) string{refused, unreachable, secured} {
		if said := why(err); said != "" {
			return prefix + said
		}
	}
	var timed net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timed) && timed.Timeout():
		return prefix + "no answer in time"
	case errors.Is(err, context.Canceled):
		return "the question was given up"
	case cut(err):
		return prefix + "the connection was cut"
	case errors.Is(err, errPlain):
		return "it asks for plain HTTP, which is only used where the ImageRepository says insecure: true"
	}
	return ""
}

// refused names what this client itself, or a proxy, did not let through.
func refused(err error) string {
	switch {
	case errors.Is(err, errTooLong):
		return "its answer is too long"
	case errors.Is(err, errInside):
		return "it redirects to an inner address"
	case errors.Is(err, errForbidden):
		return "its address is one that no image leads to (of this machine, of a cloud's metadata or of the cluster's " +
			"Services); --registry-hosts names registries that may be there"
	case errors.Is(err, errAround):
		return "it redirects too often"
	case strings.Contains(err.Error(), http.StatusText(http.StatusProxyAuthRequired)): // net/http keeps only the words
		return "its proxy refuses this client (407 Proxy Authentication Required)"
	}
	return ""
}

// unreachable names why there is no connection.
func unreachable(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "the name has no address"
	case errors.As(err, &dns):
		return "the name cannot be looked up"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route"
	}
	return ""
}

// cut reports whether a connection ended in the middle. The errors of HTTP/2 are not exported by net/http: their words
// are looked at, not shown.
func cut(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	words := err.Error()
	return strings.Contains(words, "stream error: ") || strings.Contains(words, "http2: ")
}

// certificate names what is wrong with a certificate; empty when nothing is.
func certificate(err error) string {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &authority):
		return "TLS: its certificate is signed by an unknown authority"
	case errors.As(err, &hostname):
		return "TLS: its certificate is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "TLS: its certificate has expired or is not yet valid"
	case errors.As(err, &invalid), errors.As(err, &verify):
		return "TLS: its certificate is not valid"
	}
	return ""
}

// secured names what is wrong with TLS; empty when nothing is.
func secured(err error) string {
	var (
		record tls.RecordHeaderError
		alert  tls.AlertError
	)
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return "it speaks plain HTTP, which is only used where the ImageRepository says insecure: true"
	case errors.As(err, &alert), errors.As(err, &record), strings.Contains(err.Error(), "remote error: tls: "):
		return "TLS: the handshake failed"
	}
	return ""
}

// errForbidden means that an image leads to an address where no registry is.
var errForbidden = errors.New("an address that no image leads to")
