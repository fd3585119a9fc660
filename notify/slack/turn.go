package slack

import (
	"context"
	"time"
)

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

// until reports when the next thing is due.
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
