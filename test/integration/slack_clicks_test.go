package integration

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// The clicks of people on Slack, with a real API server and the real sidecar.

func TestApproveOnTheCard(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	c := w.room(slackstub.Options{})
	s := startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove), onSlack)
	w.Settle()
	image, r, m := c.asksOnSlack("backend", fleet.Tag(prod, 1))
	tip := w.Tip()
	c.pressed(slackstub.Mallory, m, card.Approve)
	c.hears(slackstub.Mallory, "You may not decide here", "lets <@U0JANE>, <!subteam^S0ONCALL> decide", "backstop approve "+r.Name)
	w.unmoved(prod, tip)
	c.pressed(slackstub.Jane, m, card.Approve)
	c.hears(slackstub.Jane, "Your approval is recorded")

	r = w.ends(prod, image, v1alpha1.ResultVerified)
	const jane = "slack:" + slackstub.TeamID + "/" + slackstub.Jane
	if r.Status.Verdict.By != jane || len(r.Spec.Decisions) != 1 {
		t.Errorf("the verdict is %+v of %+v", r.Status.Verdict, r.Spec.Decisions)
	}
	if body := w.git("show", "-s", "--format=%B", r.Status.Change.Commit); !strings.Contains(body, "Approved-by: "+jane) {
		t.Errorf("the revert does not say who approved it:\n%s", body)
	}
	w.revertedOnce(prod, "backend", image, fleet.Tag(prod, 0))
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	c.told(r, "Decided", jane+": Approve")
	c.oneCard(r, "is healthy on", "<@U0JANE>")
	w.Until("the thread says who decided", func() error {
		said := ""
		for _, line := range c.slack.Thread(m.Channel, m.TS) {
			said += line.Text + "\n"
		}
		if !strings.Contains(said, "<@U0JANE>") {
			return fmt.Errorf("it says %q", said)
		}
		return nil
	})
	// The record has no button to press; a screen that is old still has.
	err := slackstub.ErrNoButton
	for v := 1; errors.Is(err, slackstub.ErrNoButton); v++ {
		_, err = c.slack.Click(t.Context(), slackstub.Click{
			User: slackstub.Omar, Channel: m.Channel, TS: m.TS, Action: card.Reject, Version: v,
		})
	}
	w.must(err)
	c.hears(slackstub.Omar, "<@U0JANE> approved this already", "your click changes nothing")
	c.silent(s)
}

func TestClickAfterARestartOfTheSidecar(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	c := w.room(slackstub.Options{})
	s := startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove), onSlack)
	w.Settle()
	image, _, m := c.asksOnSlack("backend", fleet.Tag(prod, 1))
	s.Stop(10 * time.Second)
	if _, err := c.click(slackstub.Omar, m, card.Approve); err == nil {
		t.Error("a click was heard by nobody, and sent")
	}
	s = startSidecar(t, w)
	c.pressed(slackstub.Omar, m, card.Approve)
	r := w.ends(prod, image, v1alpha1.ResultVerified)
	if r.Status.Verdict.By != "slack:"+slackstub.TeamID+"/"+slackstub.Omar {
		t.Errorf("the verdict is %+v", r.Status.Verdict)
	}
	c.oneCard(r, "is healthy on")
	c.silent(s)
}

func TestRejectAndExpiryOnSlack(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	c := w.room(slackstub.Options{})
	s := startSidecar(t, w)
	policy := w.auto(prod, mode(v1alpha1.ModeApprove), onSlack)
	w.Settle()
	image, _, m := c.asksOnSlack("backend", fleet.Tag(prod, 1))
	tip := w.Tip()
	c.pressed(slackstub.Jane, m, card.Reject)
	r := w.ends(prod, image, v1alpha1.ResultRejected, "slack:"+slackstub.TeamID+"/"+slackstub.Jane+" keeps "+image)
	c.oneCard(r, "Kept "+fleet.Tag(prod, 1), "<@U0JANE>")
	c.told(r, "Decided", slackstub.Jane+": Reject")
	w.unmoved(prod, tip)

	// Nobody decides on the next one in time; somebody does afterwards.
	was := policy.DeepCopy()
	policy = Object(w, was)
	policy.Spec.Approval.Timeout.Duration = soon
	w.must(w.Client.Update(t.Context(), policy))
	bad := w.publishBad("frontend", fleet.Tag(prod, 1))
	w.wroteBack(prod, "frontend", fleet.Tag(prod, 1))
	r = w.ends(prod, bad, v1alpha1.ResultExpired)
	m = c.card(r, "No decision in time", card.Approve)
	c.pressed(slackstub.Omar, m, card.Approve)
	r = w.ends(prod, bad, v1alpha1.ResultVerified)
	c.oneCard(r, "is healthy on", "<@U0OMAR>")
	c.silent(s)
}

func TestClickDuringAChangeOfLeader(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	c := w.room(slackstub.Options{})
	w.auto(prod, mode(v1alpha1.ModeApprove), onSlack)
	w.Settle()
	common.lease.Lock()
	t.Cleanup(common.lease.Unlock) // after the sidecars have ended
	first := startSidecar(t, w, "--leader-elect=true")
	w.says(first, `"msg":"leader"`, `"self":true`)
	second := startSidecar(t, w, "--leader-elect=true")
	w.says(second, `"msg":"leader"`, `"self":false`)
	image, _, m := c.asksOnSlack("backend", fleet.Tag(prod, 1))
	c.heard()
	if strings.Contains(second.Log(), `"msg":"slack connected"`) {
		t.Error("a follower hears clicks too")
	}
	first.Stop(15 * time.Second)
	// People press until it takes. In between nobody hears them, and Slack answers so.
	c.patiently("a click is acknowledged", 2*patience, func() error {
		receipt, err := c.click(slackstub.Jane, m, card.Approve)
		if err == nil && receipt.Acked {
			return nil
		}
		return slackstub.ErrNoApp
	})
	r := w.ends(prod, image, v1alpha1.ResultVerified)
	w.revertedOnce(prod, "backend", image, fleet.Tag(prod, 0))
	c.oneCard(r, "is healthy on", "<@U0JANE>")
	w.says(second, `"msg":"slack click"`, `"result":"recorded"`)
	c.silent(first)
	c.silent(second)
}
