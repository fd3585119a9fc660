//go:build browser

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/chromium"
	"github.com/backstop-dev/backstop/test/fleet"
	"github.com/backstop-dev/backstop/test/slackstub"
	"github.com/backstop-dev/backstop/test/slackstub/page"
)

// The whole way of an approval, with a real browser at one end and the real sidecar at the other.
func TestTheCardInABrowserIsSeenRefusedApprovedAndARecord(t *testing.T) {
	w := world(t, quick)
	c := w.room(slackstub.Options{})
	startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove), onSlack)
	server := httptest.NewServer(page.Handler(c.slack, slackstub.ChannelID))
	t.Cleanup(server.Close)
	browser, err := chromium.Start(context.WithoutCancel(t.Context()))
	w.must(err)
	t.Cleanup(browser.Close)
	tab, err := browser.Open(t.Context(), server.URL, 1280, 1000)
	w.must(err)
	t.Cleanup(tab.Close)
	w.Settle()
	image, r, m := c.asksOnSlack("backend", fleet.Tag(prod, 1))
	c.heard()

	at := fmt.Sprintf(`.messages > [data-ts="%s"]`, m.TS)
	button := fmt.Sprintf(`%s [data-action="%s"]`, at, card.Approve)
	shows := func(words string) {
		t.Helper()
		quoted, _ := json.Marshal(words)
		w.must(tab.Until(t.Context(), "document.querySelector('#messages').innerText.includes("+string(quoted)+")"))
	}
	press := func(user string) {
		t.Helper()
		w.must(tab.Click(t.Context(), `[data-user="`+user+`"]`))
		w.must(tab.Until(t.Context(), `document.querySelector('[data-user="`+user+`"][aria-checked="true"]')`))
		w.must(tab.Click(t.Context(), button))
		w.must(tab.Until(t.Context(), `document.querySelector('#confirm').open`))
		w.must(tab.Click(t.Context(), "#confirm-yes"))
	}
	shows("Approval needed: revert backend")
	shows("backstop approve " + r.Name)
	tip := w.Tip()
	press(slackstub.Mallory)
	shows("Only visible to you")
	shows("You may not decide here")
	w.unmoved(prod, tip)

	press(slackstub.Jane)
	r = w.ends(prod, image, v1alpha1.ResultVerified)
	if by := r.Status.Verdict.By; by != "slack:"+slackstub.TeamID+"/"+slackstub.Jane {
		t.Errorf("decided by %s", by)
	}
	shows("backend is healthy on")
	shows("Approved by @Jane Doe")
	w.must(tab.Until(t.Context(), `document.querySelector('`+at+`') && !document.querySelector('`+at+` .button')`))
	w.must(tab.Click(t.Context(), fmt.Sprintf(`[data-replies="%s"]`, m.TS)))
	w.must(tab.Until(t.Context(), `document.querySelector('#thread').innerText.includes('Approved by @Jane Doe')`))
	w.runs(prod, "backend", fleet.Tag(prod, 0))
}
