package slack

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
)

// Records keeps where cards stand.
type Records interface {
	// Get reads a Rollback, live; nil if absent.
	Get(ctx context.Context, namespace, name string) (*v1alpha1.Rollback, error)
	// SaveCard writes status.card and nothing else.
	SaveCard(ctx context.Context, r *v1alpha1.Rollback, c *v1alpha1.Card) error
}

// Broadcast reports which lines of a thread are shown in the channel too.
type Broadcast string

// The choices.
const (
	BroadcastNever    Broadcast = "never"
	BroadcastFailures Broadcast = "failures"
	BroadcastAll      Broadcast = "all"
)

// Plan is what a card shows and where it goes.
type Plan struct {
	// Facts to render.
	Facts card.Facts
	// Provider to post with; the zero value posts nowhere.
	Provider types.NamespacedName
}

// Options of a Poster.
type Options struct {
	// Cluster names this cluster, for digests.
	Cluster string
	Apps    *Apps
	Records Records
	// All lists the Rollbacks; they may be a moment old.
	All func() []v1alpha1.Rollback
	// Plan describes what a Rollback's card shows.
	Plan func(ctx context.Context, r *v1alpha1.Rollback) (Plan, error)
	// Broadcast of thread lines; BroadcastFailures when empty.
	Broadcast Broadcast
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Log; nil discards.
	Log *slog.Logger
	// Metrics counts; nil counts nowhere.
	Metrics *Metrics
}

// The times that Slack's limits and people's patience set.
const (
	// lookAgain is how often all records are compared with their cards.
	lookAgain = 15 * time.Second
	// digestAfter is how long a new card waits for its neighbours, so that many become a digest.
	digestAfter = 2 * time.Second
	// settleDrift is that of a change by hand, which Flux may undo before long.
	settleDrift = 500 * time.Millisecond
	// updateEvery is the least time between two updates of one card.
	updateEvery = 2 * time.Second
	// postEvery is the least time between two posts to one channel.
	postEvery = time.Second
	// callsEvery is the least time between two updates of one app, of which Slack allows some 50 a minute.
	callsEvery = 1200 * time.Millisecond
	// late is how long after its end a Rollback still gets its first card: an outage of Slack may have kept it away.
	late = 6 * time.Hour
)

// Poster keeps the cards.
type Poster struct {
	Options

	wake chan struct{}
	// outboxes belong to Run's goroutine.
	outboxes map[types.NamespacedName]*outbox
	// seen is the resourceVersion of ended records that have been looked at.
	seen map[types.UID]string
	// keeper is the outbox that a record was offered to last.
	keeper map[types.UID]types.NamespacedName

	mu    sync.Mutex
	inbox map[types.UID]*v1alpha1.Rollback
}

// newer reports whether a is a later state than b.
func newer(a, b *v1alpha1.Rollback) bool {
	if b == nil {
		return true
	}
	x, err := strconv.ParseUint(a.ResourceVersion, 10, 64)
	y, err2 := strconv.ParseUint(b.ResourceVersion, 10, 64)
	return err != nil || err2 != nil || x >= y
}

// due reports whether a Rollback without a card may get one.
func (p *Poster) due(r *v1alpha1.Rollback) bool {
	return r.Status.Outcome == nil || p.Now().Sub(r.Status.Outcome.At.Time) < late
}

// posterOf is the Provider that posted a card.
func posterOf(c *v1alpha1.Card) types.NamespacedName {
	if c == nil {
		return types.NamespacedName{}
	}
	ns, name, _ := strings.Cut(c.Provider, "/")
	return types.NamespacedName{Namespace: ns, Name: name}
}

// outbox keeps the cards of one Provider. Its goroutine does one thing at a time.
type outbox struct {
	p    *Poster
	name types.NamespacedName
	wake chan struct{}

	posts   map[string]*rate.Limiter
	updates *rate.Limiter
	// blocked says until when Slack wants a method to be left alone, held until when nothing is tried.
	blocked map[string]time.Time
	held    time.Time
	fails   int
	// client whose tokens were in use when the outbox was held.
	client any
	// channels are IDs by the names that Providers use, adopted those whose history was looked into.
	channels map[string]string
	adopted  map[string]bool
	digests  map[string]*digest

	// mu guards jobs, and of each job what offer changes: r, noting, pending, due; and card, which it reads.
	mu   sync.Mutex
	jobs map[types.UID]*job
}

// job is one Rollback's card on an outbox.
type job struct {
	r *v1alpha1.Rollback
	// card is where it stands, nil before its first post; unsaved until the record states it too.
	card    *v1alpha1.Card
	unsaved bool
	// pending means that it may have to be brought up to date, not before due.
	pending bool
	due     time.Time
	tries   int
	// noting means that the card is as it should be and only the thread has to be told.
	noting bool
	// thread of the digest that the first post goes to; alone means that a thread refused it.
	thread string
	alone  bool
	// lost is a message that this card replaces, unsure that an earlier post may have arrived after all, plain that
	// Slack refused the blocks.
	lost          *v1alpha1.Card
	unsure, plain bool
}

// digest is a message above the cards of many Rollbacks. It has no record of its own: its cards name it.
type digest struct {
	channel, ts, hash string
	changed           bool
	due               time.Time
}
