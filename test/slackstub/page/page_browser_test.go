//go:build browser

package page_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"github.com/backstop-dev/backstop/test/chromium"
	"github.com/backstop-dev/backstop/test/slackstub"
	"github.com/backstop-dev/backstop/test/slackstub/page"
)

// cards are the golden files of notify/slack/card: every state that a card can be in.
const cards = "../../../notify/slack/card/testdata/*.golden.json"

type card struct {
	Text   string       `json:"text"`
	Blocks slack.Blocks `json:"blocks"`
}

func load(t *testing.T, file string) card {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c card
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return c
}

func workspace(t *testing.T) (*slackstub.Workspace, *slack.Client) {
	t.Helper()
	w, err := slackstub.Start(slackstub.Options{AckWithin: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, slack.New(slackstub.BotToken, slack.OptionAPIURL(w.APIURL()))
}

func browse(t *testing.T, w *slackstub.Workspace, width, height int) *chromium.Page {
	t.Helper()
	server := httptest.NewServer(page.Handler(w, slackstub.ChannelID))
	t.Cleanup(server.Close)
	b, err := chromium.Start(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	p, err := b.Open(t.Context(), server.URL, width, height)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// TestEveryStateIsShown shows every card, and writes pictures of them where PICTURES names a folder.
func TestEveryStateIsShown(t *testing.T) {
	w, api := workspace(t)
	p := browse(t, w, 1000, 1400)
	files, err := filepath.Glob(cards)
	if err != nil || len(files) < 30 {
		t.Fatalf("%d cards, %v", len(files), err)
	}
	folder := os.Getenv("PICTURES")
	for _, file := range files {
		c := load(t, file)
		_, ts, err := api.PostMessageContext(t.Context(), slackstub.ChannelID, slack.MsgOptionText(c.Text, false),
			slack.MsgOptionBlocks(c.Blocks.BlockSet...))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		at := `[data-ts="` + ts + `"]`
		if err := p.Until(t.Context(), `document.querySelector('`+at+`')`); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		text, err := p.Text(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range []string{"<!", "&amp;", "&lt;", "which this page does not know", "undefined", "NaN"} {
			hostile := strings.Contains(file, "hostile") || strings.Contains(file, "worst")
			if strings.Contains(text, raw) && !(hostile && (raw == "<!" || raw == "&lt;")) {
				t.Errorf("%s: the page shows %q:\n%s", file, raw, text)
			}
		}
		if folder != "" {
			shot, err := p.Picture(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			keep(t, filepath.Join(folder, strings.TrimSuffix(filepath.Base(file), ".golden.json")+".png"), shot)
		}
		w.Delete(slackstub.ChannelID, ts)
		if err := p.Until(t.Context(), `!document.querySelector('`+at+`')`); err != nil {
			t.Fatal(err)
		}
	}
}

// keep writes a picture as small as it gets: text on a page has few colours, and the rest are as good as one of them.
func keep(t *testing.T, file string, shot []byte) {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	area := full.Bounds()
	count := map[color.Color]int{}
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			count[full.At(x, y)]++
		}
	}
	var palette color.Palette
	for _, c := range slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int {
		return cmp.Or(count[b]-count[a], strings.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	}) {
		if len(palette) < 64 && (len(palette) == 0 || apart(c, palette.Convert(c)) > 20) {
			palette = append(palette, c)
		}
	}
	small := image.NewPaletted(area, palette)
	draw.Draw(small, area, full, area.Min, draw.Src)
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// apart reports how far two colours are from each other.
func apart(a, b color.Color) int {
	r, g, bl, _ := a.RGBA()
	r2, g2, bl2, _ := b.RGBA()
	off := func(x, y uint32) int { return int(max(x, y)-min(x, y)) >> 8 }
	return off(r, r2) + off(g, g2) + off(bl, bl2)
}

// app is the smallest app that answers clicks: Jane's are taken, everybody else's are refused.
func app(t *testing.T, w *slackstub.Workspace, api *slack.Client, after card) {
	t.Helper()
	client := socketmode.New(slack.New(slackstub.BotToken, slack.OptionAppLevelToken(slackstub.AppToken), slack.OptionAPIURL(w.APIURL())))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(cancel)
	go func() { _ = client.RunContext(ctx) }()
	go func() {
		for event := range client.Events {
			click, ok := event.Data.(slack.InteractionCallback)
			if !ok || event.Type != socketmode.EventTypeInteractive {
				continue
			}
			if err := client.Ack(*event.Request); err != nil {
				return
			}
			ch, ts := click.Channel.ID, click.Container.MessageTs
			if click.User.ID != slackstub.Jane {
				_, _ = api.PostEphemeral(ch, click.User.ID, slack.MsgOptionText("You may not decide this: ask <@U0JANE>", false))
				continue
			}
			_, _, _, _ = api.UpdateMessage(ch, ts, slack.MsgOptionText(after.Text, false), slack.MsgOptionBlocks(after.Blocks.BlockSet...))
			_, _, _ = api.PostMessage(ch, slack.MsgOptionText("*Approved* by <@U0JANE>", false), slack.MsgOptionTS(ts))
			_, _, _ = api.PostMessage(ch, slack.MsgOptionText("⚠️ not &lt;!channel&gt; verified", false), slack.MsgOptionTS(ts), slack.MsgOptionBroadcast())
		}
	}()
	if err := w.Await(t.Context(), func() bool { return w.Connections(slackstub.AppID) > 0 }); err != nil {
		t.Fatal(err)
	}
}

func TestAPersonClicks(t *testing.T) {
	w, api := workspace(t)
	p := browse(t, w, 1280, 860)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	picture := func(name string) {
		t.Helper()
		if folder := os.Getenv("PICTURES"); folder != "" {
			shot, err := p.Picture(t.Context(), "")
			do(err)
			keep(t, filepath.Join(folder, name), shot)
		}
	}
	says := func(words string) {
		t.Helper()
		quoted, _ := json.Marshal(words)
		do(p.Until(t.Context(), "document.body.innerText.includes("+string(quoted)+")"))
	}
	do(p.Until(t.Context(), "document.querySelector('.empty')"))
	ask := load(t, "../../../notify/slack/card/testdata/pull-4-to-decide.golden.json")
	_, _, err := api.PostMessageContext(t.Context(), slackstub.ChannelID, slack.MsgOptionText(ask.Text, false),
		slack.MsgOptionBlocks(ask.Blocks.BlockSet...))
	do(err)
	const approve = `[data-action="backstop.approve"]`
	says("Approval needed")

	// Nobody is connected: the person sees that nothing happened.
	do(p.Click(t.Context(), approve))
	do(p.Click(t.Context(), "#confirm-yes"))
	says("not connected")

	app(t, w, api, load(t, "../../../notify/slack/card/testdata/pull-8-verified.golden.json"))
	do(p.Click(t.Context(), `[data-user="U0MALLORY"]`))
	do(p.Until(t.Context(), `document.querySelector('[data-user="U0MALLORY"][aria-checked="true"]')`))
	do(p.Click(t.Context(), approve))
	do(p.Until(t.Context(), "document.querySelector('#confirm').open"))
	picture("confirm.png")
	do(p.Click(t.Context(), "#confirm-no"))
	do(p.Until(t.Context(), "!document.querySelector('#confirm').open"))
	if n := len(w.Ephemerals("")); n != 0 {
		t.Errorf("a denied dialog was answered %d times", n)
	}
	do(p.Click(t.Context(), approve))
	do(p.Click(t.Context(), "#confirm-yes"))
	says("You may not decide this")
	says("Only visible to you")
	picture("refused.png")

	do(p.Click(t.Context(), `[data-user="U0JANE"]`))
	do(p.Until(t.Context(), "!document.body.innerText.includes('You may not decide this')"))
	do(p.Click(t.Context(), approve))
	do(p.Click(t.Context(), "#confirm-yes"))
	says("shop-api is healthy on v1.41.3")
	do(p.Until(t.Context(), "!document.querySelector('"+approve+"')"))
	says("replied to a thread")
	says("not <!channel> verified")
	do(p.Click(t.Context(), "[data-replies]"))
	do(p.Until(t.Context(), "!document.querySelector('#thread').hidden && document.querySelector('#thread').innerText.includes('Approved by @Jane Doe')"))
	// The log stands below the card.
	do(p.Eval(t.Context(), `document.querySelectorAll('#thread, #thread *').forEach(e => { e.scrollTop = e.scrollHeight })`, nil))
	picture("thread.png")
	if got := w.Receipts(); len(got) != 4 || got[1].Sent || !got[3].Acked {
		t.Errorf("clicks were %+v, want one into the void, one denied and two sent", got)
	}
	do(p.Size(t.Context(), 420, 800))
	picture("phone.png")
}
