package slack

import (
	"cmp"
	"slices"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
)

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

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
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

// wait reports how long a call has to wait for Slack's limits.
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
