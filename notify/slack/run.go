package slack

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
)

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
