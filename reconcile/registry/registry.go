package registry

import (
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/utils/lru"

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

// Until reports when the registry of an image, which asked to be left alone, may be asked again; zero where it did not.
func (r *Registry) Until(image string) time.Time {
	t, err := parse(image, reconcile.Access{})
	if err != nil {
		return time.Time{}
	}
	return r.limits.reopens(t.host())
}
