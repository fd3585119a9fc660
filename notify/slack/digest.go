package slack

import (
	"context"
	"slices"
	"time"

	"github.com/slack-go/slack"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
)

const (
	// many Rollbacks of one commit or one minute become a digest when there are more than this.
	many = 5
	// oneMinute is how close together Rollbacks belong together, and oneHour how close those of one commit.
	oneMinute = time.Minute
	oneHour   = time.Hour
	// digestEvery is the least time between two updates of a digest.
	digestEvery = 5 * time.Second
)

// related reports whether two Rollbacks belong to one digest.
func related(a, b *v1alpha1.Rollback) bool {
	apart := a.CreationTimestamp.Sub(b.CreationTimestamp.Time).Abs()
	if apart <= oneMinute {
		return true
	}
	x, y := a.Status.Suspect, b.Status.Suspect
	return x != nil && y != nil && x.Commit == y.Commit && x.Source == y.Source && apart <= oneHour
}

// join finds the digest of a job that is posted for the first time, where it belongs to one, and posts the digest
// if it has no card yet: then it takes the turn of the job's own post, and says so.
func (w *work) join(ctx context.Context) bool {
	group := w.records(func(o *job) bool {
		return related(o.r, w.r) && (o.card != nil || w.p.due(o.r) && !recovered(o.r))
	})
	if len(group) <= many {
		return false
	}
	for _, o := range group {
		thread := o.thread
		if o.card != nil && o.card.Channel == w.channel() {
			thread = o.card.Thread
		}
		if thread != "" {
			w.job.thread = thread
			return false
		}
	}
	c := card.Digest(w.p.Cluster, w.states(group))
	id, ts, err := w.app.Client.PostMessageContext(ctx, w.channel(), digestOptions(c)...)
	if err != nil {
		w.failed(ctx, methodPost, err)
		return true
	}
	w.went(methodPost)
	w.p.Log.Info("slack: posted a digest", "rollbacks", len(group), "channel", id, "message", ts)
	w.channels[w.app.Channel] = id
	if w.posts[id] == nil {
		w.posts[id] = w.posts[w.app.Channel]
	}
	w.digests[ts] = &digest{channel: id, ts: ts, hash: hashOf(c)}
	for _, o := range group {
		if o.card == nil {
			o.thread = ts
		}
	}
	return true
}

// states are the newest states of jobs, which change while the outbox works.
func (d *outbox) states(jobs []*job) []*v1alpha1.Rollback {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]*v1alpha1.Rollback, 0, len(jobs))
	for _, j := range jobs {
		out = append(out, j.r)
	}
	return out
}

// members are the Rollbacks of a digest: those in its thread, and those that had their cards before there were many.
func (d *outbox) members(g *digest) []*v1alpha1.Rollback {
	in := func(o *job) bool { return o.thread == g.ts || o.card != nil && o.card.Thread == g.ts }
	inThread := d.records(in)
	return d.states(d.records(func(o *job) bool {
		return in(o) || o.card != nil && o.card.Thread == "" && o.card.Channel == g.channel &&
			slices.ContainsFunc(inThread, func(m *job) bool { return related(m.r, o.r) })
	}))
}

func recovered(r *v1alpha1.Rollback) bool {
	return r.Status.Outcome != nil && r.Status.Outcome.Result == v1alpha1.ResultRecovered
}

func digestOptions(c card.Card) []slack.MsgOption {
	return []slack.MsgOption{
		slack.MsgOptionText(c.Text, false), slack.MsgOptionBlocks(c.Blocks...), slack.MsgOptionDisableLinkUnfurl(),
		slack.MsgOptionDisableMediaUnfurl(),
	}
}

// markDigest reports that the digest above a job may have to change.
func (d *outbox) markDigest(j *job) {
	if j.card == nil || j.card.Thread == "" {
		return
	}
	g := d.digests[j.card.Thread]
	if g == nil {
		g = &digest{channel: j.card.Channel, ts: j.card.Thread}
		d.digests[g.ts] = g
	}
	if !g.changed {
		g.changed, g.due = true, later(g.due, d.p.Now().Add(digestEvery))
	}
}

func (d *outbox) nextDigest(now time.Time) *digest {
	for _, g := range d.digests {
		if g.changed && !g.due.After(now) {
			return g
		}
	}
	return nil
}

// updateDigest brings a digest up to date.
func (d *outbox) updateDigest(ctx context.Context, app *App, g *digest) {
	now := d.p.Now()
	c := card.Digest(d.p.Cluster, d.members(g))
	if hashOf(c) == g.hash {
		g.changed = false
		return
	}
	if wait := d.wait(methodUpdate, "", now); wait > 0 {
		g.due = now.Add(wait)
		return
	}
	d.took(methodUpdate, "", now)
	_, _, _, err := app.Client.UpdateMessageContext(ctx, g.channel, g.ts, digestOptions(c)...)
	switch after := limited(err); {
	case err == nil:
		d.p.Metrics.calls.WithLabelValues(methodUpdate, "ok").Inc()
		g.hash, g.changed, g.due = hashOf(c), false, now.Add(digestEvery)
	case after > 0:
		d.blocked[methodUpdate] = now.Add(after)
		g.due = now.Add(after)
	case kindOf(err) == messageGone, kindOf(err) == refusedThread:
		// Its cards stay where they are.
		g.changed = false
	default:
		d.p.Log.Warn("slack: update a digest", "channel", g.channel, "error", words(err))
		g.due = now.Add(backoff(4))
	}
}

// dissolve does without a digest that nobody can answer below: its cards stand by themselves, and where none is in its
// thread it goes, since nothing would keep it true.
func (w *work) dissolve(ctx context.Context, ts string) {
	for _, o := range w.records(func(o *job) bool { return o.thread == ts && o.card == nil }) {
		o.thread, o.alone = "", true
	}
	g := w.digests[ts]
	if g == nil || len(w.records(func(o *job) bool { return o.card != nil && o.card.Thread == ts })) > 0 {
		return
	}
	delete(w.digests, ts)
	_, _, _ = w.app.Client.DeleteMessageContext(ctx, g.channel, ts)
}
