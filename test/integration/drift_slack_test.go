package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// A change by hand on Slack: its card, and both answers.

const jane = "slack:" + slackstub.TeamID + "/" + slackstub.Jane

// buttons are the action IDs on a card.
func buttons(m slackstub.Message) string {
	var out []string
	for _, b := range m.Buttons() {
		out = append(out, b.ActionID)
	}
	return strings.Join(out, " ")
}

// scraped waits for a line of the sidecar's metrics.
func (w *World) scraped(s *Sidecar, line string) {
	w.t.Helper()
	said := ""
	w.Until("the metrics say "+line, func() error {
		said = ""
		for _, m := range listens.FindAllStringSubmatch(s.Log(), -1) {
			res, err := http.Get("http://" + m[1] + "/metrics")
			if err != nil {
				return err
			}
			text, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil {
				return err
			}
			if strings.Contains("\n"+string(text), "\n"+line+"\n") {
				return nil
			}
			said += m[1] + " " + res.Status + "\n"
			for l := range strings.Lines(string(text)) {
				if strings.HasPrefix(l, "backstop_") {
					said += l
				}
			}
		}
		return fmt.Errorf("they say:\n%s", said)
	})
}

func TestAdoptADriftOnSlack(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	c := w.room(slackstub.Options{})
	s := startSidecar(t, w)
	w.asks(prod, onSlack)
	w.Settle()
	good := w.Fleet.Image("backend", fleet.Tag(prod, 0))
	bad, suspect := w.release(prod, "backend", 1)
	w.kubectl(prod, "rollout", "undo", "deployment/backend")
	r, f := w.undid(prod, "backend", bad, good)
	m := c.card(r, "backend was rolled back by hand to "+fleet.Tag(prod, 0), "Git says `"+fleet.Tag(prod, 1)+"`", "cluster runs `"+fleet.Tag(prod, 0)+"`",
		"by kubectl", "revision 2 → 1", "Flux undoes it", fmt.Sprintf("<!date^%d^{date_short_pretty} at about {time}|", f.Drift.UndoneAt.Unix()),
		"managedFields: kubectl owns the image", "ReplicaSets: revision 2", "Git at "+suspect[:12], "Adopt into Git", "Restore from Git")
	if got := buttons(m); !strings.HasPrefix(got, card.Approve+" "+card.Reject) {
		t.Errorf("the buttons are %s", got)
	}
	c.told(r, "Drifted", "kubectl changed container backend by hand to "+good+", back from revision 2 to 1, while Git says "+bad)
	w.scraped(s, fmt.Sprintf(`backstop_drift{namespace=%q} 1`, w.Fleet.Namespace(prod)))
	c.pressed(slackstub.Mallory, m, card.Approve)
	c.hears(slackstub.Mallory, "You may not decide here")
	w.unmoved(prod, suspect)

	c.pressed(slackstub.Jane, m, card.Approve)
	c.hears(slackstub.Jane, "What runs is written to Git next")
	r = w.ends(prod, bad, v1alpha1.ResultVerified, "runs "+good)
	if body := w.git("show", "-s", "--format=%B", r.Status.Change.Commit); !strings.Contains(body, "Approved-by: "+jane) {
		t.Errorf("the revert does not say who adopted it:\n%s", body)
	}
	w.automationRan(prod, 3)
	if tip := w.Tip(); tip != r.Status.Change.Hold {
		t.Errorf("the tip is %s, want the hold %s", tip, r.Status.Change.Hold)
	}
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	c.oneCard(r, "backend stays on "+fleet.Tag(prod, 0)+", as Git says now", "*Adopt into Git* by <@U0JANE>")
	w.scraped(s, `backstop_rollbacks_total{cause="Drift",result="verified"} 1`)
	c.silent(s)
}

func TestRestoreADriftOnSlack(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	c := w.room(slackstub.Options{})
	s := startSidecar(t, w)
	w.asks(prod, onSlack)
	w.Settle()
	tip := w.Tip()
	image := w.Fleet.Image("backend", fleet.Tag(prod, 0))
	hotfix := w.Fleet.Image("backend", "hotfix")
	w.Publish("backend", "hotfix")
	w.setImage(prod, "backend", hotfix)
	r, _ := w.adrift(prod, image, "Deployment/backend")
	m := c.card(r, "backend was changed by hand to hotfix", "cluster runs `hotfix`", "it cannot be adopted into Git, only be restored from it",
		hotfix+" was never in Git at this place", "Restore from Git")
	if got := buttons(m); !strings.HasPrefix(got, card.Reject) || strings.Contains(got, card.Approve) {
		t.Errorf("the buttons are %s", got)
	}
	c.pressed(slackstub.Jane, m, card.Reject)
	c.hears(slackstub.Jane, "Flux restores what Git says")
	r = w.ends(prod, image, v1alpha1.ResultRestored, jane+" had it restored from Git", "Deployment/backend runs "+image+" again, as Git says")
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	c.oneCard(r, "backend is back on "+fleet.Tag(prod, 0)+", as Git says", "<@U0JANE> had it restored from Git")
	w.unmoved(prod, tip)
	c.silent(s)
}
