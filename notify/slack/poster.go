package slack

import (
	"context"
	"log/slog"
	"maps"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/card"
)

// Records keeps where cards stand.
type Records interface {
	// Get reads a Rollback, live; nil where there is none.
	Get(ctx context.Context, namespace, name string) (*v1alpha1.Rollback, error)
	// SaveCard writes status.card and nothing else.
	SaveCard(ctx context.Context, r *v1alpha1.Rollback, c *v1alpha1.Card) error
}

// Broadcast says which lines of a thread are shown in the channel too.
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
	// Plan says what a Rollback's card shows.
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
	// settleDrift is that of a change by hand, which Flux may take back before long.
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

// New makes a Poster. Nothing is posted before Run.
func New(o Options) *Poster {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics()
	}
	if o.Broadcast == "" {
		o.Broadcast = BroadcastFailures
	}
	return &Poster{
		Options: o, wake: make(chan struct{}, 1), outboxes: map[types.NamespacedName]*outbox{}, seen: map[types.UID]string{},
		keeper: map[types.UID]types.NamespacedName{}, inbox: map[types.UID]*v1alpha1.Rollback{},
	}
}

// Tell hears of a saved change. It only remembers the newest state, and never waits.
func (p *Poster) Tell(_, after *v1alpha1.Rollback) {
	p.mu.Lock()
	if newer(after, p.inbox[after.UID]) {
		p.inbox[after.UID] = after.DeepCopy()
	}
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// newer says whether a is a later state than b.
func newer(a, b *v1alpha1.Rollback) bool {
	if b == nil {
		return true
	}
	x, err := strconv.ParseUint(a.ResourceVersion, 10, 64)
	y, err2 := strconv.ParseUint(b.ResourceVersion, 10, 64)
	return err != nil || err2 != nil || x >= y
}

// Run posts until ctx ends, then lets every outbox finish what it is doing.
func (p *Poster) Run(ctx context.Context) {
	var working sync.WaitGroup
	defer working.Wait()
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	p.lookAtAll(ctx, &working)
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			p.lookAtAll(ctx, &working)
		case <-p.wake:
			p.mu.Lock()
			told := p.inbox
			p.inbox = map[types.UID]*v1alpha1.Rollback{}
			p.mu.Unlock()
			for _, r := range told {
				p.offer(ctx, &working, r)
			}
		}
	}
}

// lookAtAll compares every record with its card. An ended one is looked at again only when it has changed.
func (p *Poster) lookAtAll(ctx context.Context, working *sync.WaitGroup) {
	there := map[types.UID]bool{}
	all := p.All()
	for i := range all {
		r := &all[i]
		there[r.UID] = true
		if r.Status.Outcome != nil && p.seen[r.UID] == r.ResourceVersion {
			continue
		}
		p.seen[r.UID] = r.ResourceVersion
		p.offer(ctx, working, r)
	}
	for uid := range p.seen {
		if !there[uid] {
			delete(p.seen, uid)
		}
	}
	maps.DeleteFunc(p.keeper, func(uid types.UID, _ types.NamespacedName) bool { return !there[uid] })
	for _, d := range p.outboxes {
		d.forget(there)
	}
}

// offer hands a record to the outbox that keeps its card.
func (p *Poster) offer(ctx context.Context, working *sync.WaitGroup, r *v1alpha1.Rollback) {
	if r.Status.Card == nil && !p.due(r) {
		return
	}
	name, ok := p.outboxOf(ctx, r)
	if !ok {
		// Another look finds a Provider that is named later.
		delete(p.seen, r.UID)
		return
	}
	d := p.outboxes[name]
	if d == nil {
		d = newOutbox(p, name)
		p.outboxes[name] = d
		working.Go(func() { d.run(ctx) })
	}
	if before, ok := p.keeper[r.UID]; ok && before != name {
		p.outboxes[before].drop(r.UID)
	}
	p.keeper[r.UID] = name
	d.offer(r)
}

// due says whether a Rollback without a card may get one.
func (p *Poster) due(r *v1alpha1.Rollback) bool {
	return r.Status.Outcome == nil || p.Now().Sub(r.Status.Outcome.At.Time) < late
}

// outboxOf finds the Provider of a card: the one that posted it while it is still in use, since no other app may change
// its message. A question that is open is asked by the Provider that the policies name now.
func (p *Poster) outboxOf(ctx context.Context, r *v1alpha1.Rollback) (types.NamespacedName, bool) {
	by := posterOf(r.Status.Card)
	inUse := by.Name != "" && p.Apps.Get(by) != nil
	if inUse && !card.Open(r) {
		return by, true
	}
	plan, err := p.Plan(ctx, r)
	if err != nil {
		p.Log.Warn("slack: find out where a card belongs", "rollback", r.Namespace+"/"+r.Name, "error", words(err))
		return by, inUse
	}
	if inUse && p.Apps.Get(plan.Provider) == nil {
		return by, true
	}
	return plan.Provider, plan.Provider.Name != ""
}
