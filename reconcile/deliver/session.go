package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
)

const (
	// maxBody is how much of an answer is read.
	maxBody = 4 << 20
	// maxObjects and maxValues are what it may hold: a page of pull requests holds a tenth of that.
	maxObjects = 20_000
	maxValues  = 300_000
	// maxWords is how much of a refusal is read.
	maxWords = 8 << 10
	// maxKept is how many answers are kept to be asked for again, and maxKeptBody how long one may be.
	maxKept     = 64
	maxKeptBody = 256 << 10
	// maxTimeout bounds one call whatever the source says.
	maxTimeout = time.Minute
)

// tooLong begins what is said of an answer that is longer than what is read.
const tooLong = "the answer has more"

// session is the transport below a provider's library. It sends the credentials, to the base of the API alone, reads no
// more than a bound, and asks for what it has read before only if it changed: such a question costs nothing of a rate
// limit. An answer that refuses is an error before a library sees it.
type session struct {
	server *reconcile.GitServer
	where  Repository
	next   http.RoundTripper

	mu    sync.Mutex
	kept  map[string]*answer
	order []string
}

// answer is what a server said, and the mark to ask whether it still says so.
type answer struct {
	etag   string
	header http.Header
	body   []byte
}

// refused is an answer that is no success.
type refused struct {
	status int
	header http.Header
	body   string
}

func (r *refused) Error() string { return fmt.Sprintf("HTTP %d: %s", r.status, r.body) }

// forbidden is a request that was not sent, since what its context needs forbids it now.
type forbidden struct{ error }

func (f *forbidden) Unwrap() error { return f.error }

func newSession(server *reconcile.GitServer, where Repository) *session {
	next := server.Client.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	return &session{server: server, where: where, next: next, kept: map[string]*answer{}}
}

// client is what a provider's library connects with.
func (s *session) client() *http.Client {
	c := *s.server.Client
	c.Transport = s
	return &c
}

// deadline bounds one call.
func (s *session) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, min(max(s.server.Timeout, 10*time.Second), maxTimeout))
}

// authorization is the header that a provider takes.
func (s *session) authorization(ctx context.Context) (string, error) {
	user, token, err := s.server.Login(ctx)
	if err != nil {
		return "", err
	}
	if s.where.Provider == Gitea && user != "" {
		basic := http.Request{Header: http.Header{}}
		basic.SetBasicAuth(user, token)
		return basic.Header.Get("Authorization"), nil
	}
	return "Bearer " + token, nil
}

// RoundTrip sends one request.
func (s *session) RoundTrip(req *http.Request) (*http.Response, error) {
	// GitHub's GraphQL is beside the base of a server's REST.
	if !strings.HasPrefix(req.URL.String(), strings.TrimSuffix(s.where.API, "/v3")+"/") {
		return nil, errors.New("the request leaves the API")
	}
	auth, err := s.authorization(req.Context())
	if err != nil {
		return nil, err
	}
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		if err := reconcile.Permitted(req.Context()); err != nil {
			return nil, &forbidden{err}
		}
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", auth)
	known := s.known(req)
	if known != nil {
		req.Header.Set("If-None-Match", known.etag)
	}
	res, err := s.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch {
	case res.StatusCode == http.StatusNotModified && known != nil:
		_ = res.Body.Close()
		out := *res
		out.StatusCode, out.Status, out.Header = http.StatusOK, "200 OK", known.header.Clone()
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(known.body)), int64(len(known.body))
		return &out, nil
	case res.StatusCode >= 400:
		words, _ := io.ReadAll(io.LimitReader(res.Body, maxWords))
		_ = res.Body.Close()
		if isPage(res) && slices.Contains(ofPages, res.StatusCode) {
			return nil, s.page(res)
		}
		return nil, &refused{status: res.StatusCode, header: res.Header, body: string(words)}
	}
	return s.read(req, res)
}

// ofPages are the statuses by which a provider's API tells of credentials and of what they may see. With a page they
// are another's: of a login, a proxy or a firewall.
var ofPages = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone}

func isPage(res *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return kind == "text/html"
}

// page is a page for a browser where an answer of the API should be.
func (s *session) page(res *http.Response) error {
	return reconcile.RefuseAs(reconcile.FaultConnection, "a page for a browser comes in place of the API's answer (HTTP "+
		"%d): a login, a proxy or a firewall stands before %s", res.StatusCode, s.where.API)
}

// read takes an answer in, and keeps it where it has a mark.
func (s *session) read(req *http.Request, res *http.Response) (*http.Response, error) {
	if isPage(res) {
		_ = res.Body.Close()
		return nil, s.page(res)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	_ = res.Body.Close()
	if err != nil {
		return nil, err
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("%s than %d bytes", tooLong, maxBody)
	}
	if text.Heavy(body, maxObjects, maxValues) {
		return nil, fmt.Errorf("%s than %d objects, or %d values", tooLong, maxObjects, maxValues)
	}
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	etag := res.Header.Get("ETag")
	if req.Method != http.MethodGet || res.StatusCode != http.StatusOK || etag == "" || len(body) > maxKeptBody {
		return res, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := req.URL.String()
	if s.kept[key] == nil {
		s.order = append(s.order, key)
	}
	s.kept[key] = &answer{etag: etag, header: res.Header.Clone(), body: body}
	if len(s.order) > maxKept {
		delete(s.kept, s.order[0])
		s.order = s.order[1:]
	}
	return res, nil
}

func (s *session) known(req *http.Request) *answer {
	if req.Method != http.MethodGet {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[req.URL.String()]
}

// Forget has nothing to forget: nothing that is read is kept here without asking whether it changed.
func (s *session) Forget(int64) {}
