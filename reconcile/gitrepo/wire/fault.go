package wire

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/backstop-dev/backstop/internal/cloud"
	"github.com/backstop-dev/backstop/reconcile"
)

// statusError is an HTTP answer that is no success.
type statusError struct {
	code  int
	words string
	after time.Duration
}

func (e *statusError) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("HTTP %d: %s", e.code, e.words), ": ")
}

// serverSaid is what a Git server wrote instead of an answer.
type serverSaid struct{ words string }

func (e *serverSaid) Error() string { return e.words }

// Failed makes a sentence of what went wrong between here and the Git server, and a refusal with its kind where
// somebody has to change something. The cause itself is not kept: texts of libraries and servers may hold secrets.
func (r *Remote) Failed(ctx context.Context, doing string, err error) error {
	if recorded := r.fault(); recorded != nil && !errors.As(err, new(*pktline.ErrorLine)) {
		err = recorded
	}
	if u := (*plumbing.UnexpectedError)(nil); errors.As(err, &u) {
		err = u.Err
	}
	if bound := r.Meter.tripped.Load(); bound != nil {
		err = bound
	}
	what := fmt.Sprintf("%s %s of %s", doing, r.Branch.Short(), r.URL)
	if kind := reconcile.KindOf(err); kind != "" {
		return reconcile.RefuseAs(kind, "%s: %w", what, err)
	}
	var timeout net.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%s: %w", what, context.Canceled)
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s: no answer within %s: %w", what, r.Timeout, context.DeadlineExceeded)
	}
	if kind, sentence := r.refusal(err); sentence != "" {
		return reconcile.RefuseAs(kind, "%s: %s", what, sentence)
	}
	said := fmt.Errorf("%s: %s", what, r.Words.Clean(err.Error(), 400))
	var status *statusError
	if errors.As(err, &status) && status.after > 0 {
		return &reconcile.RetryAfter{After: status.after, Err: said}
	}
	return said
}

// refusal describes what a person has to do, and what it is about; empty where trying again at once may help.
func (r *Remote) refusal(err error) (reconcile.FaultKind, string) {
	words := r.Words.Clean(err.Error(), 400)
	var status *statusError
	if errors.As(err, &status) {
		return r.refusedStatus(status)
	}
	var bound *boundError
	if errors.As(err, &bound) {
		return reconcile.FaultTooLarge, bound.Error()
	}
	if kind, sentence := r.refusedPeer(err, words); sentence != "" {
		return kind, sentence
	}
	switch {
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return reconcile.FaultNotFound, "the repository is empty"
	case strings.Contains(words, "unable to authenticate"):
		return reconcile.FaultUnauthorized,
			fmt.Sprintf("the server does not accept the SSH key: check identity in the Secret of %s", r.Source)
	case strings.Contains(words, "Proxy Authentication Required"):
		return reconcile.FaultProxy,
			fmt.Sprintf("the proxy does not accept the credentials: check the proxySecretRef of %s", r.Source)
	}
	return r.refusedWords(err, words)
}

// refusedPeer explains why the other side is not who it should be.
func (r *Remote) refusedPeer(err error, words string) (reconcile.FaultKind, string) {
	var away *redirectError
	if errors.As(err, &away) {
		return reconcile.FaultRedirected, fmt.Sprintf("the server redirects to %s, which is another origin and gets no "+
			"credentials: write the new address into the URL of %s if it is right", r.Words.Clean(away.to, urlRunes), r.Source)
	}
	const kind = reconcile.FaultConnection
	if errors.Is(err, cloud.ErrMetadata) {
		return kind, fmt.Sprintf("its address is one of a cloud's metadata, where no Git server is: correct the URL of %s",
			r.Source)
	}
	var key *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	var unknownCA x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &key) && len(key.Want) == 0:
		return kind, fmt.Sprintf("the server's host key is not in known_hosts of the Secret of %s: add it", r.Source)
	case errors.As(err, &key), errors.As(err, &revoked):
		return kind,
			fmt.Sprintf("the server's host key is not the one in known_hosts of the Secret of %s: somebody may be in "+
				"between, or the key was changed", r.Source)
	case errors.As(err, &unknownCA):
		return kind,
			fmt.Sprintf("the server's certificate is signed by an unknown authority: put it into ca.crt of the Secret "+
				"of %s", r.Source)
	case errors.As(err, &host), errors.As(err, &invalid):
		return kind, "the server's certificate is not valid: " + words
	case strings.Contains(words, "remote error: tls:") && !strings.Contains(words, "internal error"):
		return kind, fmt.Sprintf("the server refuses the TLS handshake (%s): check tls.crt and tls.key in the Secret of %s",
			words, r.Source)
	}
	return "", ""
}

// refusedStatus judges an HTTP status. A server that is overloaded also says 403.
func (r *Remote) refusedStatus(e *statusError) (reconcile.FaultKind, string) {
	words := r.Words.Clean(e.words, wordsRunes)
	if words != "" {
		words = " (it says: " + words + ")"
	}
	switch e.code {
	case http.StatusUnauthorized:
		if !r.Credentials {
			return reconcile.FaultUnauthorized, fmt.Sprintf("the server asks for credentials, but %s has no secretRef", r.Source)
		}
		return reconcile.FaultUnauthorized,
			fmt.Sprintf("the server does not accept the credentials: check the Secret of %s%s", r.Source, words)
	case http.StatusForbidden:
		if strings.Contains(strings.ToLower(e.words), "rate limit") {
			return "", ""
		}
		return reconcile.FaultForbidden,
			fmt.Sprintf("the server refuses this to the credentials in the Secret of %s%s", r.Source, words)
	case http.StatusNotFound, http.StatusGone:
		return reconcile.FaultNotFound, r.unknown() + words
	case http.StatusProxyAuthRequired:
		return reconcile.FaultProxy,
			fmt.Sprintf("the proxy does not accept the credentials: check the proxySecretRef of %s%s", r.Source, words)
	case http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusConflict, http.StatusLocked:
		return "", ""
	}
	if e.code >= 400 && e.code < 500 {
		return reconcile.FaultForbidden, fmt.Sprintf("the server answers %d%s", e.code, words)
	}
	return "", ""
}

// refusedWords judges what SSH servers write in prose.
func (r *Remote) refusedWords(err error, words string) (reconcile.FaultKind, string) {
	lower := strings.ToLower(words)
	if containsAny(lower, "repository not found", "does not exist", "not appear to be a git repository",
		"no such repository", "could not be found", "project you were looking for") {
		return reconcile.FaultNotFound, r.unknown() + " (it says: " + words + ")"
	}
	var said *serverSaid
	var line *pktline.ErrorLine
	if !errors.As(err, &said) && !errors.As(err, &line) {
		return "", ""
	}
	if containsAny(lower, "permission", "denied", "not authorized", "read-only", "read only", "not allowed") {
		return reconcile.FaultForbidden,
			fmt.Sprintf("the server refuses this to the credentials in the Secret of %s (it says: %s)", r.Source, words)
	}
	return "", ""
}

func (r *Remote) unknown() string {
	return fmt.Sprintf("the server knows no such repository, or shows it to nobody without access: check the URL and the "+
		"Secret of %s", r.Source)
}

// redirectError is a redirect that leaves the origin. It names the origin alone, since a path or query may hold
// secrets.
type redirectError struct{ to string }

func (e *redirectError) Error() string { return "redirected to another origin: " + e.to }

func statusOf(res *http.Response) error {
	words, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	_ = res.Body.Close()
	e := &statusError{code: res.StatusCode, words: plain(string(words))}
	if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
		e.after = min(time.Duration(n)*time.Second, time.Hour)
	}
	return e
}

// plain drops a body that is a page for a browser.
func plain(body string) string {
	for _, r := range body {
		if r == '<' {
			return ""
		}
		if r > ' ' {
			break
		}
	}
	return body
}
