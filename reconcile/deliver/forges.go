package deliver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

const (
	// maxForges is how many repositories are kept open, and readLasts how old an answer about a pull request may be: many
	// Rollbacks follow one. An answer that did not come is not waited for again by each of them.
	maxForges = 256
	readLasts = 3 * time.Second
	awayLasts = 15 * time.Second
)

// Forges is reconcile.Forges: it finds a repository's provider once, and keeps the way to it as long as what it is made
// of stays the same.
type Forges struct {
	dial  func(reconcile.Source) (*reconcile.GitServer, error)
	pulls reconcile.Pulls

	mu   sync.Mutex
	open map[way]*opened
}

// way is by whose login the pull requests of a source are reached.
type way struct{ source, login types.NamespacedName }

// opened is a way that was found.
type opened struct {
	of    string
	forge reconcile.Forge
	close func()
}

var _ reconcile.Forges = (*Forges)(nil)

// NewForges finds ways by what dial makes of a source. pulls opens pull requests where an SSH key has no API; nil where
// none are opened so.
func NewForges(dial func(reconcile.Source) (*reconcile.GitServer, error), pulls reconcile.Pulls) *Forges {
	return &Forges{dial: dial, pulls: pulls, open: map[way]*opened{}}
}

// Forge gives the way to the pull requests of the repository that a source pushes to.
func (f *Forges) Forge(ctx context.Context, src reconcile.Source, provider v1alpha1.PullRequestProvider,
) (reconcile.Forge, error) {
	name, of := way{source: src.Pushes()}, fingerprint(src, provider)
	if src.API != nil {
		name.login = src.API.Name
	}
	f.mu.Lock()
	known := f.open[name]
	f.mu.Unlock()
	if known != nil && known.of == of {
		return known.forge, nil
	}
	if by := f.pushed(ctx, src, provider); by != nil {
		f.keep(name, &opened{of: of, forge: by, close: func() {}})
		return by, nil
	}
	server, err := f.dial(withLogin(src))
	if err != nil {
		return nil, err
	}
	if src.API != nil {
		server.Source = "Secret " + src.API.Name.String()
	}
	where, err := Locate(ctx, server, Options{Provider: Provider(provider)})
	if err != nil {
		server.Client.CloseIdleConnections()
		return nil, err
	}
	forge, err := Open(server, where)
	if err != nil {
		return nil, err
	}
	next := &opened{of: of, forge: &shared{Forge: forge, now: time.Now}, close: server.Client.CloseIdleConnections}
	f.keep(name, next)
	return next.forge, nil
}

// keep remembers a way.
func (f *Forges) keep(name way, next *opened) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if old := f.open[name]; old != nil {
		old.close()
	}
	if len(f.open) >= maxForges {
		// Whichever: it is found again.
		for other, o := range f.open {
			o.close()
			delete(f.open, other)
			break
		}
	}
	f.open[name] = next
}

// withLogin is a source that is reached by its login for the API alone: over https, where Git itself takes SSH.
func withLogin(src reconcile.Source) reconcile.Source {
	if src.API == nil {
		return src
	}
	auth := src.Auth
	if p := src.Push; p != nil {
		src.URL, src.Timeout, auth, src.Push = p.URL, p.Timeout, p.Auth, nil
	}
	secret := maps.Clone(src.API.Auth.Secret)
	if token, ok := secret["token"]; ok {
		delete(secret, "token")
		secret["bearerToken"] = token
	}
	for _, cert := range []string{"ca.crt", "caFile"} {
		if data, ok := auth.Secret[cert]; ok && secret[cert] == nil {
			secret[cert] = data
		}
	}
	src.Auth = reconcile.Auth{Secret: secret, Proxy: auth.Proxy}
	if _, app := secret["githubAppID"]; app {
		src.Auth.Provider = "github"
	}
	if web, ok := WebURL(src.URL); ok {
		src.URL = web
	}
	return src
}

// fingerprint is a hash of what a way is made of.
func fingerprint(src reconcile.Source, provider v1alpha1.PullRequestProvider) string {
	url, timeout, auth := src.URL, src.Timeout, src.Auth
	if p := src.Push; p != nil {
		url, timeout, auth = p.URL, p.Timeout, p.Auth
	}
	h := sha256.New()
	put := func(b []byte) { fmt.Fprintf(h, "%d:", len(b)); h.Write(b) }
	for _, s := range []string{url, timeout.String(), auth.Provider, string(provider)} {
		put([]byte(s))
	}
	secrets := []map[string][]byte{auth.Secret, auth.Proxy}
	if src.API != nil {
		secrets = append(secrets, src.API.Auth.Secret)
	}
	for _, data := range secrets {
		put(nil)
		for _, k := range slices.Sorted(maps.Keys(data)) {
			put([]byte(k))
			put(data[k])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// shared answers all who follow one pull request at the same time with one read.
type shared struct {
	reconcile.Forge
	now func() time.Time

	mu   sync.Mutex
	read map[int64]*sight

	// listing is one question at a time, which answers all who ask meanwhile.
	listing sync.Mutex
	listed  map[string]listed
}

// listed are the open pull requests to a branch.
type listed struct {
	at   time.Time
	open reconcile.Opened
	err  error
}

type sight struct {
	mu  sync.Mutex
	at  time.Time
	pr  *reconcile.PullRequest
	err error
}

// Read reads a pull request, unless it was read a moment ago.
func (s *shared) Read(ctx context.Context, number int64) (*reconcile.PullRequest, error) {
	s.mu.Lock()
	if s.read == nil || len(s.read) > 1000 {
		s.read = map[int64]*sight{}
	}
	one := s.read[number]
	if one == nil {
		one = &sight{}
		s.read[number] = one
	}
	s.mu.Unlock()
	one.mu.Lock()
	defer one.mu.Unlock()
	lasts := readLasts
	if one.err != nil {
		lasts = awayLasts
	}
	if s.now().Sub(one.at) >= lasts {
		one.pr, one.err = s.Forge.Read(ctx, number)
		one.at = s.now()
	}
	return one.pr, one.err
}

// Opened lists the open pull requests, unless they were listed a moment ago: many Rollbacks of one commit ask at once.
func (s *shared) Opened(ctx context.Context, base string) (reconcile.Opened, error) {
	s.listing.Lock()
	defer s.listing.Unlock()
	if was, ok := s.listed[base]; ok && s.now().Sub(was.at) < awayLasts {
		return was.open, was.err
	}
	open, err := s.Forge.Opened(ctx, base)
	if ctx.Err() == nil {
		s.listed = map[string]listed{base: {at: s.now(), open: open, err: err}}
	}
	return open, err
}

// Forget has the next Read ask the provider.
func (s *shared) Forget(number int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.read, number)
}

// Update has a pull request tell more, after which what was read of it is old.
func (s *shared) Update(ctx context.Context, pr *reconcile.PullRequest, p reconcile.Proposal) error {
	defer s.Forget(pr.Number)
	return s.Forge.Update(ctx, pr, p)
}

// Merge merges a pull request, after which what was read of it is old.
func (s *shared) Merge(ctx context.Context, pr *reconcile.PullRequest, order reconcile.MergeOrder,
) (reconcile.Merging, error) {
	defer s.Forget(pr.Number)
	return s.Forge.Merge(ctx, pr, order)
}

// Disarm disarms a pull request, after which what was read of it is old.
func (s *shared) Disarm(ctx context.Context, pr *reconcile.PullRequest) error {
	defer s.Forget(pr.Number)
	return s.Forge.Disarm(ctx, pr)
}

// Close closes a pull request, after which what was read of it is old.
func (s *shared) Close(ctx context.Context, pr *reconcile.PullRequest, why string) error {
	defer s.Forget(pr.Number)
	return s.Forge.Close(ctx, pr, why)
}
