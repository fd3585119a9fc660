package slack

import "context"

// failed decides what an error of Slack means for the job and the outbox.
func (w *work) failed(ctx context.Context, method string, err error) {
	now := w.p.Now()
	if after := limited(err); after > 0 {
		w.p.Metrics.calls.WithLabelValues(method, "limited").Inc()
		w.blocked[method] = now.Add(after)
		w.finish(w.job, w.r, after)
		return
	}
	w.p.Metrics.calls.WithLabelValues(method, "failed").Inc()
	kind := kindOf(err)
	if kind == refusedThread && method == methodPost {
		w.unthread(ctx, err)
		return
	}
	if (kind == messageGone || kind == refusedThread) && method == methodUpdate {
		w.p.Log.Info("slack: a card cannot be changed any more and is posted afresh",
			"rollback", w.label(), "why", words(err))
		w.lose()
		return
	}
	if w.stuck(err) {
		// It says nothing about the channel that the Provider names now.
		w.move(words(err))
		return
	}
	w.p.Apps.report(w.app, explain(err, w.app))
	switch kind {
	case refusedContent:
		if !w.job.plain {
			w.job.plain = true
			w.finish(w.job, w.r, 0)
			return
		}
		w.again()
	case refusedApp:
		w.hold(now)
	case noAnswer:
		if method == methodPost && !neverSent(err) {
			w.maybePosted()
		}
		w.hold(now)
	case messageGone, refusedThread, refusedChannel:
		w.again()
	}
}

// unthread does without a thread: a card stands by itself then, one whose own message is gone is posted afresh, and
// what else a thread would be told is on the card too.
func (w *work) unthread(ctx context.Context, err error) {
	w.p.Log.Info("slack: a thread takes no replies", "rollback", w.label(), "why", words(err))
	j := w.job
	switch {
	case j.card == nil && j.thread == "":
		w.again()
	case j.card == nil:
		w.dissolve(ctx, j.thread)
		w.finish(j, w.r, 0)
	case j.lost == nil && !j.alone && err.Error() == threadNotFound:
		j.alone = true
		w.lose()
	default:
		next := j.card.DeepCopy()
		next.Told = told(w.r, false)
		j.lost, j.unsure = nil, false
		w.set(next, true)
		w.finish(j, w.r, 0)
	}
}

// maybePosted remembers that a post may have arrived although Slack did not say so.
func (w *work) maybePosted() {
	if w.job.card == nil {
		w.job.unsure = true
		delete(w.adopted, w.channel())
	}
}
