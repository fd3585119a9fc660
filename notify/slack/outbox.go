package slack

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/card"
)

// job is one Rollback's card on an outbox.
type job struct {
	r *v1alpha1.Rollback
	// card is where it stands, nil before its first post; unsaved until the record says so too.
	card    *v1alpha1.Card
	unsaved bool
	// pending says that it may have to be brought up to date, not before due.
	pending bool
	due     time.Time
	tries   int
	// noting says that the card is as it should be and only the thread has to be told.
	noting bool
	// thread of the digest that the first post goes to.
	thread string
	// lost is a message that this card replaces, unsure that an earlier post may have arrived after all, plain that
	// Slack refused the blocks.
	lost          *v1alpha1.Card
	unsure, plain bool
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

func newOutbox(p *Poster, name types.NamespacedName) *outbox {
	return &outbox{
		p: p, name: name, wake: make(chan struct{}, 1), posts: map[string]*rate.Limiter{},
		updates: rate.NewLimiter(rate.Every(callsEvery), 5), blocked: map[string]time.Time{},
		channels: map[string]string{}, adopted: map[string]bool{}, digests: map[string]*digest{}, jobs: map[types.UID]*job{},
	}
}

// offer takes a record's newest state.
func (d *outbox) offer(r *v1alpha1.Rollback) {
	d.mu.Lock()
	j := d.jobs[r.UID]
	if j == nil {
		j = &job{r: r, card: r.Status.Card.DeepCopy()}
		d.jobs[r.UID] = j
	}
	if newer(r, j.r) {
		j.r, j.noting = r, false
	}
	if !j.pending {
		j.pending = true
		j.due = later(j.due, d.p.Now())
		if j.card == nil && card.Ready(j.r) {
			j.due = later(j.due, d.p.Now().Add(settles(j.r)))
		}
	}
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// settles is how long the first card of a record waits for its neighbours.
func settles(r *v1alpha1.Rollback) time.Duration {
	if r.Spec.OpenedFor == v1alpha1.TriggerDrift {
		return settleDrift
	}
	return digestAfter
}

// forget drops records that are gone.
func (d *outbox) forget(there map[types.UID]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for uid, j := range d.jobs {
		if !there[uid] && !j.pending {
			delete(d.jobs, uid)
		}
	}
}

// drop forgets a record that another outbox keeps from now on.
func (d *outbox) drop(uid types.UID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.jobs, uid)
}

// keeps says whether the job is still this outbox's.
func (w *work) keeps() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.jobs[w.r.UID] == w.job
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// run works until ctx ends. What it has begun then is finished: its context outlives ctx.
func (d *outbox) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-timer.C:
		}
		for ctx.Err() == nil {
			wait, idle := d.step(ctx)
			if idle {
				break
			}
			if wait > 0 {
				timer.Reset(wait)
				break
			}
		}
	}
}

// step does the first thing that is due. wait is how long nothing is due; idle says that nothing ever will be.
func (d *outbox) step(ctx context.Context) (wait time.Duration, idle bool) {
	now := d.p.Now()
	app := d.p.Apps.Get(d.name)
	if app == nil {
		// The next look at all comes by again.
		return lookAgain, false
	}
	// New tokens are tried at once.
	if d.client != any(app.Client) {
		d.client, d.held, d.fails = app.Client, time.Time{}, 0
		d.hurry(now)
	}
	if d.held.After(now) {
		return d.held.Sub(now), false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*app.Timeout+10*time.Second)
	defer cancel()
	if j := d.next(app, now); j != nil {
		w := &work{outbox: d, app: app, job: j}
		w.do(ctx)
		d.markDigest(j)
		return 0, false
	}
	if g := d.nextDigest(now); g != nil {
		d.updateDigest(ctx, app, g)
		return 0, false
	}
	return d.until(app, now)
}

// hurry makes everything due that waited because of an error.
func (d *outbox) hurry(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, j := range d.jobs {
		if j.tries > 0 {
			j.tries, j.due = 0, now
		}
	}
}

// turn is when a job may be taken up: when it is due and Slack's limits allow the call that it needs. A thousand may
// wait, so nothing is rendered before.
func (d *outbox) turn(j *job, app *App, now time.Time) time.Time {
	wait := time.Duration(0)
	switch {
	case j.unsaved:
	case j.card == nil:
		wait = d.wait(methodPost, d.channelOf(app), now)
	case j.noting:
		wait = d.wait(methodPost, j.card.Channel, now)
	default:
		wait = d.wait(methodUpdate, "", now)
	}
	return later(j.due, now.Add(wait))
}

// next is the job whose turn it is: what was never posted comes before what changed, the older one first.
func (d *outbox) next(app *App, now time.Time) *job {
	d.mu.Lock()
	defer d.mu.Unlock()
	var first *job
	for _, j := range d.jobs {
		if j.pending && !d.turn(j, app, now).After(now) && (first == nil || order(j, first) < 0) {
			first = j
		}
	}
	return first
}

func order(a, b *job) int {
	posted := func(j *job) int {
		if j.card != nil {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(posted(a), posted(b)), a.r.CreationTimestamp.Compare(b.r.CreationTimestamp.Time),
		cmp.Compare(a.r.Namespace, b.r.Namespace), cmp.Compare(a.r.Name, b.r.Name))
}

// until says when the next thing is due.
func (d *outbox) until(app *App, now time.Time) (time.Duration, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var first time.Time
	at := func(t time.Time) {
		if first.IsZero() || t.Before(first) {
			first = t
		}
	}
	waiting := 0
	for _, j := range d.jobs {
		if j.pending {
			waiting++
			at(d.turn(j, app, now))
		}
	}
	d.p.Metrics.pending.WithLabelValues(d.name.String()).Set(float64(waiting))
	for _, g := range d.digests {
		if g.changed {
			at(g.due)
		}
	}
	if first.IsZero() {
		return 0, true
	}
	return max(first.Sub(now), time.Millisecond), false
}

// wait says how long a call has to wait for Slack's limits.
func (d *outbox) wait(method, channel string, now time.Time) time.Duration {
	if until := d.blocked[method]; until.After(now) {
		return until.Sub(now)
	}
	limit := d.limit(method, channel)
	missing := 1 - limit.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return max(time.Duration(missing/float64(limit.Limit())*float64(time.Second)), time.Millisecond)
}

// took counts a call.
func (d *outbox) took(method, channel string, now time.Time) {
	d.limit(method, channel).ReserveN(now, 1)
}

func (d *outbox) limit(method, channel string) *rate.Limiter {
	if method != methodPost {
		return d.updates
	}
	if d.posts[channel] == nil {
		d.posts[channel] = rate.NewLimiter(rate.Every(postEvery), 1)
	}
	return d.posts[channel]
}

// hold leaves Slack alone for a while, longer each time, because every call would fail alike.
func (d *outbox) hold(now time.Time) {
	d.fails++
	d.held = now.Add(backoff(d.fails))
}

// backoff is 5 s, then twice as long each time, at most 2 min.
func backoff(n int) time.Duration {
	return min(5*time.Second<<min(n-1, 8), 2*time.Minute)
}

// finish ends a step of a job that was taken in the state of r. again is when it is looked at next; negative for when
// it changes.
func (d *outbox) finish(j *job, r *v1alpha1.Rollback, again time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if again < 0 && j.r == r {
		j.pending, j.tries = false, 0
		return
	}
	j.due = d.p.Now().Add(max(again, 0))
}

// records lists jobs, oldest first.
func (d *outbox) records(want func(*job) bool) []*job {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []*job
	for _, j := range d.jobs {
		if want(j) {
			out = append(out, j)
		}
	}
	slices.SortFunc(out, func(a, b *job) int {
		return cmp.Or(a.r.CreationTimestamp.Compare(b.r.CreationTimestamp.Time), cmp.Compare(a.r.Namespace, b.r.Namespace),
			cmp.Compare(a.r.Name, b.r.Name))
	})
	return out
}
