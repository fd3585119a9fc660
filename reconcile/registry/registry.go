package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/utils/lru"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

const (
	// remembered is how long the same question gets the same answer.
	remembered = 10 * time.Second
	// defaultTimeout of one question.
	defaultTimeout = 30 * time.Second
	// The caches hold this many answers, manifests and configs, and sessions.
	maxAnswers, maxContents, maxSessions = 256, 512, 64
)

// Options of a Registry. The zero value is good.
type Options struct {
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Timeout of one question, with all the requests that it takes; 30 s when zero.
	Timeout time.Duration
	// UserAgent of the requests; "backstop" when empty.
	UserAgent string
	// Caches are registries, or prefixes of their repositories, that fetch from another registry: what they lack proves
	// nothing.
	Caches []string
	// Service is an address of the cluster's Services, which no image may lead to, nor to this machine's own; empty
	// outside of a cluster.
	Service string
	// Hosts are registries, by the name that images have them under, whose addresses are let alone.
	Hosts []string
	// Logger for each question, at debug; none when nil.
	Logger *slog.Logger
}

// Registry asks registries about images. It implements reconcile.Registry and may be used by many at once.
type Registry struct {
	now       func() time.Time
	timeout   time.Duration
	userAgent string
	log       *slog.Logger

	caches   []string
	reach    reach
	limits   *limits
	flight   singleflight.Group
	answers  *lru.Cache // key of a question → reconcile.Proof
	contents *lru.Cache // digest → *content or v1.Platform
	sessions *lru.Cache // key of repository and access → *session
	// transports are the connections: key of registry and access → *http.Transport
	transports *lru.Cache
}

// New makes a Registry.
func New(o Options) *Registry {
	r := &Registry{
		now: o.Now, timeout: o.Timeout, userAgent: o.UserAgent, log: o.Logger,
		answers:  lru.New(maxAnswers),
		contents: lru.New(maxContents),
		sessions: lru.New(maxSessions),
		transports: lru.NewWithEvictionFunc(maxSessions, func(_ lru.Key, t any) {
			t.(*http.Transport).CloseIdleConnections()
		}),
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.timeout == 0 {
		r.timeout = defaultTimeout
	}
	if r.userAgent == "" {
		r.userAgent = "backstop"
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.limits = newLimits(r.now)
	r.caches, r.reach = o.Caches, newReach(o.Service, o.Hosts)
	return r
}

// Prove asks for an image. It never fails: what could not be learned is FindingUnproved, with the reason. The same
// question asked by several at once, or again within ten seconds, is put to the registry once.
func (r *Registry) Prove(ctx context.Context, q reconcile.Question) reconcile.Proof {
	key := questionKey(q)
	if kept, ok := r.answers.Get(key); ok {
		if p := kept.(reconcile.Proof); r.now().Sub(p.At) < remembered {
			return p
		}
	}
	asked := r.flight.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
		defer cancel()
		start := r.now()
		p := r.prove(ctx, q)
		p.At = r.now()
		r.log.Debug("asked the registry", "image", clip(q.Image),
			"finding", p.Finding, "cause", p.Cause, "took", p.At.Sub(start))
		if p.Finding != reconcile.FindingUnproved {
			r.answers.Add(key, p)
		}
		return p, nil
	})
	select {
	case done := <-asked:
		return done.Val.(reconcile.Proof)
	case <-ctx.Done():
		return reconcile.Proof{
			Finding: reconcile.FindingUnproved, Cause: v1alpha1.CauseUnknown, At: r.now(),
			Sentence: fmt.Sprintf("nobody waited for the registry's answer about %s", clip(q.Image)),
		}
	}
}

// prove asks with one credential after the other, as the kubelet does, until one is let in.
func (r *Registry) prove(ctx context.Context, q reconcile.Question) reconcile.Proof {
	t, err := parse(q.Image, q.Access)
	if err != nil {
		return verdict(err)
	}
	var proof reconcile.Proof
	err = r.try(ctx, t, q.Access, func(s *session) error {
		p := &probe{r: r, s: s, t: t, q: q}
		found, err := p.run(ctx)
		proof = found
		return err
	})
	if err != nil {
		return verdict(err)
	}
	return proof
}

// ResolveDigest gives the digest of an image's manifest or index. The error is an *Error; its cause is NotFound where
// the registry says 404, which proves nothing by itself.
func (r *Registry) ResolveDigest(ctx context.Context, image string, access reconcile.Access) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	t, err := parse(image, access)
	if err != nil {
		return "", err
	}
	var digest string
	err = r.try(ctx, t, access, func(s *session) error {
		m, err := s.resolve(ctx, t.ref.Identifier())
		digest = m.digest.String()
		return err
	})
	if err != nil {
		return "", err
	}
	return digest, nil
}

// Tags lists the tags of a repository in the registry's order, at most max. The error is an *Error.
func (r *Registry) Tags(ctx context.Context, repository string, access reconcile.Access, max int) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	t, err := parse(repository, access)
	if err != nil {
		return nil, err
	}
	var tags []string
	err = r.try(ctx, t, access, func(s *session) error {
		tags, err = s.tags(ctx, max)
		return err
	})
	return tags, err
}

// Until says when the registry of an image, which asked to be left alone, may be asked again; zero where it did not.
func (r *Registry) Until(image string) time.Time {
	t, err := parse(image, reconcile.Access{})
	if err != nil {
		return time.Time{}
	}
	return r.limits.reopens(t.host())
}

// try does something in a session for a repository with one access after the other until one gets through.
func (r *Registry) try(ctx context.Context, t target, access reconcile.Access, do func(*session) error) error {
	first := r.tryAccess(ctx, t, access, do)
	err := first
	for next := access.Next; next != nil && ctx.Err() == nil; next = next.Next {
		if e := asError(err); e == nil || e.proved || e.Cause == v1alpha1.CauseRateLimited {
			return err
		}
		again, perr := t.by(*next)
		if perr != nil {
			break
		}
		err = r.tryAccess(ctx, again, *next, do)
	}
	if asError(err) != nil && asError(first).Cause != v1alpha1.CauseUnauthorized && !asError(err).proved {
		return first
	}
	return err
}

// tryAccess does it with the first credential of an access that is let in.
func (r *Registry) tryAccess(ctx context.Context, t target, access reconcile.Access, do func(*session) error) error {
	if err := r.limits.closed(t.host()); err != nil {
		return err
	}
	creds, note := credentials(access.DockerConfigs, t.familiar)
	if len(creds) == 0 {
		if byCloud(access.Provider) {
			return &Error{Cause: v1alpha1.CauseUnauthorized, Sentence: fmt.Sprintf(
				"%s is asked with the identity of provider %s, which is not supported yet: a pull secret for it is",
				t.host(), clip(access.Provider))}
		}
		creds = anonymous()
	}
	var err error
	for _, c := range creds {
		err = r.tryOne(ctx, t, access, c, do)
		e := asError(err)
		if e == nil || e.Cause != v1alpha1.CauseUnauthorized {
			return err
		}
		err = &Error{Cause: e.Cause, Sentence: e.Sentence + c.describe() + note}
	}
	return err
}

// tryOne does something in a session. One that was open before is opened anew when the registry refuses it.
func (r *Registry) tryOne(
	ctx context.Context, t target, access reconcile.Access, c credential, do func(*session) error,
) error {
	for again := true; ; again = false {
		s, kept, err := r.open(ctx, t, access, c)
		if err != nil {
			return err
		}
		err = do(s)
		if e := asError(err); e == nil || e.Cause != v1alpha1.CauseUnauthorized {
			return err
		}
		r.sessions.Remove(sessionKey(t, access, c))
		if !kept || !again {
			return err
		}
	}
}

// byCloud says whether a provider's credentials come from the identity of a cloud's workload.
func byCloud(provider string) bool { return provider != "" && provider != "generic" }

// verdict makes a proof of what kept the answer away, or of what proves the absence.
func verdict(err error) reconcile.Proof {
	e := asError(err)
	p := reconcile.Proof{Finding: reconcile.FindingUnproved, Cause: e.Cause, Sentence: e.Sentence, Artifact: e.artifact,
		Untrusted: e.untrusted}
	switch {
	case e.proved:
		p.Finding, p.Digest = reconcile.FindingAbsent, e.digest
	case e.Cause.ImageFault():
		p.Cause = v1alpha1.CauseUnknown
	}
	return p
}

// questionKey tells questions apart without keeping what is secret in them.
func questionKey(q reconcile.Question) string {
	h := sha256.New()
	add(h, q.Image, q.Witness, fmt.Sprint(q.Deep), fmt.Sprint(len(q.Platforms)))
	add(h, q.Platforms...)
	addAccess(h, q.Access)
	return hex.EncodeToString(h.Sum(nil))
}

func addAccess(h hash.Hash, a reconcile.Access) {
	add(h, fmt.Sprint(a.Insecure), string(a.CA), string(a.ClientCert), string(a.ClientKey), a.Proxy, a.Provider)
	for _, c := range a.DockerConfigs {
		add(h, string(c))
	}
	if a.Next != nil {
		addAccess(h, *a.Next)
	}
}

// add writes fields that cannot run into each other.
func add(h hash.Hash, fields ...string) {
	for _, f := range fields {
		_, _ = fmt.Fprintf(h, "%d:", len(f))
		_, _ = io.WriteString(h, f)
	}
}
