package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// undo is the second story: somebody goes back by hand, which Flux would silently undo, and a person makes it real
// in Git, or has Flux restore it.
func (w *world) undo(ctx context.Context, good, newer string) error {
	w.say("somebody runs kubectl rollout undo deployment/%s", app)
	if _, err := w.env.Kubectl(ctx, "-n", ns, "rollout", "undo", "deployment/"+app); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	var asked slackstub.Message
	err := w.tell(ctx, w.rollback(w.image(app, newer), func(s *v1alpha1.RollbackStatus) (string, bool) {
		m, ok := w.card(s)
		if _, has := m.Button(card.Approve); !ok || !has || s.Failures[0].Drift == nil {
			return "no card tells of the change by hand", false
		}
		asked = m
		return "Slack: " + m.Text + " Flux would undo it " + s.Failures[0].Drift.Undone, true
	}))
	if err != nil {
		return err
	}
	limit := time.Minute
	if w.byHand {
		limit = time.Hour
		w.say("it is your turn again: press Adopt into Git or Restore from Git as Jane Doe")
	} else if err := w.adopts(ctx, asked); err != nil {
		return err
	}
	adopted := false
	decided := w.rollback(w.image(app, newer), func(s *v1alpha1.RollbackStatus) (string, bool) {
		if s.Verdict == nil {
			return s.Phase, false
		}
		adopted = s.Verdict.Answer == v1alpha1.Approve
		return fmt.Sprintf("decided: %s by %s", s.Verdict.Answer, s.Verdict.By), true
	})
	decided.limit = limit
	if err := w.tell(ctx, decided); err != nil {
		return err
	}
	if adopted {
		return w.tell(ctx, w.reverted(app, good, newer)...)
	}
	return w.tell(ctx, w.running(app, w.image(app, newer), "restored: production/backend runs %s"),
		w.isRecord(w.image(app, newer)))
}

// adopts is Jane's click.
func (w *world) adopts(ctx context.Context, asked slackstub.Message) error {
	r, err := w.slack.Click(ctx, slackstub.Click{
		User: slackstub.Jane, Channel: asked.Channel, TS: asked.TS, Action: card.Approve,
	})
	if err == nil && !r.Acked {
		err = errors.New("nobody acknowledged it")
	}
	if err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	w.say("Jane Doe presses Adopt into Git, and then Adopt; acknowledged after %s", r.Took.Round(time.Millisecond))
	return nil
}
