package slackstub

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"
)

func start(t *testing.T, o Options) (*Workspace, *slack.Client) {
	t.Helper()
	w, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, slack.New(BotToken, slack.OptionAPIURL(w.APIURL()), slack.OptionAppLevelToken(AppToken))
}

func section(text string) slack.Block {
	return slack.NewSectionBlock(slack.NewTextBlockObject(slack.MarkdownType, text, false, true), nil, nil)
}

func post(t *testing.T, api *slack.Client, channel string, opts ...slack.MsgOption) string {
	t.Helper()
	_, ts, err := api.PostMessageContext(t.Context(), channel, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

func TestAuthSaysWhoTheBotIsAndWhatItMay(t *testing.T) {
	_, api := start(t, Options{})
	who, err := api.AuthTestContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if who.BotID != BotID || who.UserID != BotUser || who.TeamID != TeamID {
		t.Errorf("auth.test says %+v", who)
	}
	if got := who.Header.Get("X-OAuth-Scopes"); !strings.Contains(got, "chat:write") {
		t.Errorf("X-OAuth-Scopes is %q", got)
	}
}

func TestTokensOpenWhatTheyAreFor(t *testing.T) {
	w, _ := start(t, Options{})
	for name, tt := range map[string]struct{ bot, app, want string }{
		"a token of nobody": {"xoxb-no", AppToken, "invalid_auth"},
		"no token":          {"", AppToken, "not_authed"},
		"the app's token":   {AppToken, AppToken, "not_allowed_token_type"},
	} {
		api := slack.New(tt.bot, slack.OptionAPIURL(w.APIURL()), slack.OptionAppLevelToken(tt.app))
		if _, err := api.AuthTestContext(t.Context()); err == nil || err.Error() != tt.want {
			t.Errorf("%s: auth.test: %v, want %s", name, err, tt.want)
		}
	}
	api := slack.New(BotToken, slack.OptionAPIURL(w.APIURL()), slack.OptionAppLevelToken(BotToken))
	if _, _, err := api.StartSocketModeContext(t.Context()); err == nil || err.Error() != "not_allowed_token_type" {
		t.Errorf("apps.connections.open with the bot's token: %v", err)
	}
}

func TestAMissingScopeIsNamed(t *testing.T) {
	w, api := start(t, Options{})
	w.Change(func(t *Team) { t.Apps[0].Scopes = []string{"chat:write"} })
	_, err := api.GetUserInfoContext(t.Context(), Jane)
	var refused slack.SlackErrorResponse
	if !errors.As(err, &refused) || refused.Err != "missing_scope" || refused.Needed != "users:read" || refused.Provided != "chat:write" {
		t.Errorf("users.info: %#v", err)
	}
}

func TestAMessageLivesInPlace(t *testing.T) {
	w, api := start(t, Options{})
	ctx := t.Context()
	channel, ts, err := api.PostMessageContext(ctx, "#deploys", slack.MsgOptionText("one", false), slack.MsgOptionBlocks(section("one")),
		slack.MsgOptionMetadata(slack.SlackMetadata{EventType: "backstop", EventPayload: map[string]any{"id": "x"}}))
	if err != nil || channel != ChannelID {
		t.Fatalf("post by name: %s %v", channel, err)
	}
	other := post(t, api, ChannelID, slack.MsgOptionText("another", false))
	if other == ts {
		t.Error("two messages share a timestamp")
	}
	if _, _, _, err := api.UpdateMessageContext(ctx, channel, ts, slack.MsgOptionText("two", false)); err != nil {
		t.Fatal(err)
	}
	got := w.Messages(ChannelID)[0]
	if got.Text != "two" || got.Blocks != nil || len(got.Versions) != 1 || !strings.Contains(string(got.Metadata), `"backstop"`) {
		t.Errorf("after an update with text alone: %+v", got)
	}
	link, err := api.GetPermalinkContext(ctx, &slack.PermalinkParameters{Channel: channel, Ts: ts})
	if err != nil || !strings.HasPrefix(link, "https://acme.slack.com/archives/"+ChannelID+"/p") {
		t.Errorf("permalink %s: %v", link, err)
	}
	post(t, api, channel, slack.MsgOptionText("below", false), slack.MsgOptionTS(ts))
	post(t, api, channel, slack.MsgOptionText("below, for all", false), slack.MsgOptionTS(ts), slack.MsgOptionBroadcast())
	if n, m := len(w.Thread(channel, ts)), len(w.Messages(channel)); n != 2 || m != 3 {
		t.Errorf("%d lines in the thread and %d in the channel, want 2 and 3", n, m)
	}
	w.Delete(channel, ts)
	if _, _, _, err := api.UpdateMessageContext(ctx, channel, ts, slack.MsgOptionText("x", false)); err == nil || err.Error() != "message_not_found" {
		t.Errorf("update of a deleted message: %v", err)
	}
	_, _, res, err := api.PostMessageWithResponseContext(ctx, channel, slack.MsgOptionText("late", false), slack.MsgOptionTS(ts))
	if err != nil || res.ThreadTimestamp != "" {
		t.Errorf("a reply to a deleted message: %+v, %v", res, err)
	}
}

func TestRefusals(t *testing.T) {
	w, api := start(t, Options{})
	other := &App{ID: "A0OTHER", BotToken: "xoxb-other", BotUser: "U0OTHER", BotID: "B0OTHER", Scopes: []string{"chat:write"}}
	w.Change(func(t *Team) {
		t.Apps = append(t.Apps, other)
		t.Users["U0OTHER"] = &User{ID: "U0OTHER", Name: "other", TeamID: TeamID, Bot: true}
		t.Channels[ChannelID].Members = append(t.Channels[ChannelID].Members, "U0OTHER")
	})
	ts := post(t, api, ChannelID, slack.MsgOptionText("ours", false))
	theirs := slack.New("xoxb-other", slack.OptionAPIURL(w.APIURL()))
	text := slack.MsgOptionText("x", false)
	ctx := t.Context()
	say := func(_ string, _ string, err error) error { return err }
	update := func(_ string, _ string, _ string, err error) error { return err }
	for name, tt := range map[string]struct {
		do   func() error
		want string
	}{
		"a channel that the bot was not invited to": {func() error { return say(api.PostMessageContext(ctx, "C0RANDOM", text)) }, "not_in_channel"},
		"a private channel that it does not know":   {func() error { return say(api.PostMessageContext(ctx, "G0PRIVATE", text)) }, "channel_not_found"},
		"no such channel":                           {func() error { return say(api.PostMessageContext(ctx, "#nowhere", text)) }, "channel_not_found"},
		"an update by name":                         {func() error { return update(api.UpdateMessageContext(ctx, "#deploys", ts, text)) }, "channel_not_found"},
		"an update of another app's message":        {func() error { return update(theirs.UpdateMessageContext(ctx, ChannelID, ts, text)) }, "cant_update_message"},
		"an update that is too long": {func() error {
			return update(api.UpdateMessageContext(ctx, ChannelID, ts, slack.MsgOptionText(strings.Repeat("ö", 4001), false)))
		}, "msg_too_long"},
		"nothing to say": {func() error { return say(api.PostMessageContext(ctx, ChannelID)) }, "no_text"},
		"an ephemeral for who is not there": {func() error {
			_, err := api.PostEphemeralContext(ctx, ChannelID, "U0NOBODY", text)
			return err
		}, "user_not_in_channel"},
		"no such group": {func() error { _, err := api.GetUserGroupMembersContext(ctx, "S0NONE"); return err }, "no_such_subteam"},
		"no such user":  {func() error { _, err := api.GetUserInfoContext(ctx, "U0NONE"); return err }, "user_not_found"},
	} {
		if err := tt.do(); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
	w.Change(func(t *Team) { t.Channels[ChannelID].Archived = true })
	if err := say(api.PostMessageContext(ctx, ChannelID, text)); err == nil || err.Error() != "is_archived" {
		t.Errorf("an archived channel: %v", err)
	}
}

func TestPeopleAreRead(t *testing.T) {
	_, api := start(t, Options{})
	ctx := t.Context()
	members, next, err := api.GetUsersInConversationContext(ctx, &slack.GetUsersInConversationParameters{ChannelID: ChannelID})
	if err != nil || len(members) != 2 || next == "" {
		t.Errorf("the first page has %v, next %q: %v", members, next, err)
	}
	group, err := api.GetUserGroupMembersContext(ctx, GroupID)
	if diff := cmp.Diff([]string{Omar}, group); diff != "" || err != nil {
		t.Errorf("the group: %v\n%s", err, diff)
	}
	guest, err := api.GetUserInfoContext(ctx, Guest)
	if err != nil || !guest.IsRestricted || guest.Profile.Email != "" {
		t.Errorf("the guest is %+v: %v", guest, err)
	}
	stranger, err := api.GetUserInfoContext(ctx, Stranger)
	if err != nil || !stranger.IsStranger || stranger.TeamID == TeamID {
		t.Errorf("the stranger is %+v: %v", stranger, err)
	}
	ch, err := api.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: ChannelID})
	if err != nil || !ch.IsMember || ch.IsExtShared {
		t.Errorf("the channel is %+v: %v", ch, err)
	}
}

func TestFaults(t *testing.T) {
	w, api := start(t, Options{})
	try := func(ctx context.Context) error {
		_, _, err := api.PostMessageContext(ctx, ChannelID, slack.MsgOptionText("x", false))
		return err
	}
	w.Fail("chat.postMessage", Fault{Error: "internal_error", Times: 1, Skip: 1})
	if err := try(t.Context()); err != nil {
		t.Errorf("a skipped request: %v", err)
	}
	if err := try(t.Context()); err == nil || err.Error() != "internal_error" {
		t.Errorf("the faulty request: %v", err)
	}
	w.Fail("chat.postMessage", RateLimited(7*time.Second))
	var limited *slack.RateLimitedError
	if err := try(t.Context()); !errors.As(err, &limited) || limited.RetryAfter != 7*time.Second {
		t.Errorf("a rate limit: %v", err)
	}
	w.Mend()
	w.Fail("", Fault{Status: http.StatusBadGateway, Times: 1})
	var status slack.StatusCodeError
	if err := try(t.Context()); !errors.As(err, &status) || status.Code != http.StatusBadGateway {
		t.Errorf("a page instead of JSON: %v", err)
	}
	before := len(w.Everything())
	w.Fail("chat.postMessage", Fault{Cut: CutBefore, Times: 1})
	w.Fail("chat.postMessage", Fault{Cut: CutAfter, Times: 1})
	for range 2 {
		if err := try(t.Context()); err == nil {
			t.Error("a cut connection gave an answer")
		}
	}
	if got := len(w.Everything()) - before; got != 1 {
		t.Errorf("%d messages came of two cut posts, want the one that was cut afterwards", got)
	}
	w.Fail("chat.postMessage", Fault{Delay: time.Hour, Times: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := try(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a slow answer: %v", err)
	}
	w.Leave()
	if err := try(t.Context()); err == nil {
		t.Error("Slack answered while it was away")
	}
	w.Mend()
	if err := try(t.Context()); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}

func TestPostsFasterThanAllowedAreLimited(t *testing.T) {
	w, api := start(t, Options{PostEvery: time.Hour})
	ctx := t.Context()
	post(t, api, ChannelID, slack.MsgOptionText("x", false))
	var limited *slack.RateLimitedError
	if _, _, err := api.PostMessageContext(ctx, ChannelID, slack.MsgOptionText("x", false)); !errors.As(err, &limited) {
		t.Errorf("the second post: %v", err)
	}
	if got := w.MaxPosts(ChannelID, time.Second); got != 1 {
		t.Errorf("%d posts within a second, want 1", got)
	}
	if got := len(w.Requests("chat.postMessage")); got != 2 {
		t.Errorf("%d requests are kept, want 2", got)
	}
	for _, r := range w.Requests("") {
		if r.Args.Has("token") {
			t.Errorf("the log of requests holds a token: %v", r.Args)
		}
	}
}

func TestBlocksAreHeldToTheLimits(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é", n) }
	plain := func(s string) *slack.TextBlockObject {
		return slack.NewTextBlockObject(slack.PlainTextType, s, false, false)
	}
	button := func(id string) *slack.ButtonBlockElement { return slack.NewButtonBlockElement(id, "v", plain("Go")) }
	many := func(n int, b slack.Block) (out []slack.Block) {
		for range n {
			out = append(out, b)
		}
		return out
	}
	w, api := start(t, Options{})
	for name, tt := range map[string]struct {
		blocks []slack.Block
		want   string
	}{
		"a good card": {[]slack.Block{
			slack.NewHeaderBlock(plain(long(150))), section(long(3000)), slack.NewDividerBlock(),
			slack.NewActionBlock("a", button("1"), button("2").WithConfirm(slack.NewConfirmationBlockObject(plain("t"), plain("x"), plain("y"), plain("n")))),
			slack.NewContextBlock("c", plain("x")),
			&slack.RichTextBlock{Type: slack.MBTRichText, Elements: []slack.RichTextElement{&slack.RichTextPreformatted{
				Type: slack.RTEPreformatted, Elements: []slack.RichTextSectionElement{slack.NewRichTextSectionTextElement("<raw>", nil)},
			}}},
		}, ""},
		"a header that is too long": {[]slack.Block{slack.NewHeaderBlock(plain(long(151)))},
			"must be less than 151 characters [json-pointer:/blocks/0/text/text]"},
		"a header in mrkdwn": {[]slack.Block{slack.NewHeaderBlock(slack.NewTextBlockObject(slack.MarkdownType, "x", false, false))},
			"must be plain_text [json-pointer:/blocks/0/text/type]"},
		"an empty section": {[]slack.Block{section("")}, "must be more than 0 characters [json-pointer:/blocks/0/text/text]"},
		"too many blocks":  {many(51, section("x")), "no more than 50 items allowed [json-pointer:]"},
		"two blocks of one name": {[]slack.Block{slack.NewActionBlock("a", button("1")), slack.NewActionBlock("a", button("1"))},
			"block_id already exists [json-pointer:/blocks/1/block_id]"},
		"two buttons of one action": {[]slack.Block{slack.NewActionBlock("a", button("1"), button("1"))},
			"action_id already exists [json-pointer:/blocks/0/elements/1/action_id]"},
		"a dialog that is too long": {[]slack.Block{slack.NewActionBlock("a", button("1").WithConfirm(
			slack.NewConfirmationBlockObject(plain("t"), plain(long(301)), plain("y"), plain("n"))))},
			"must be less than 301 characters [json-pointer:/blocks/0/elements/0/confirm/text/text]"},
		"an unknown block": {[]slack.Block{&slack.UnknownBlock{Type: "hologram"}}, "unsupported type: hologram [json-pointer:/blocks/0/type]"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := api.PostMessageContext(t.Context(), ChannelID, slack.MsgOptionText("x", false), slack.MsgOptionBlocks(tt.blocks...))
			var refused slack.SlackErrorResponse
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("%v: %#v", err, err)
			case tt.want == "":
			case !errors.As(err, &refused) || refused.Err != "invalid_blocks":
				t.Errorf("got %v, want invalid_blocks", err)
			default:
				if diff := cmp.Diff([]string{"[ERROR] " + tt.want}, refused.ResponseMetadata.Messages); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
	if n := len(w.Messages(ChannelID)); n != 1 {
		t.Errorf("%d messages stand in the channel, want the good one", n)
	}
}

func TestPingsAreSeenWhereSlackSeesThem(t *testing.T) {
	w, api := start(t, Options{})
	post(t, api, ChannelID, slack.MsgOptionText("&lt;!channel&gt;", false), slack.MsgOptionBlocks(
		section("&lt;@U0JANE&gt;"), slack.NewHeaderBlock(slack.NewTextBlockObject(slack.PlainTextType, "<!channel>", false, false))))
	post(t, api, ChannelID, slack.MsgOptionText("<!here>", false), slack.MsgOptionBlocks(section("<!subteam^S1> <@U1>")))
	got := w.Messages(ChannelID)
	if pings := got[0].Pings(); len(pings) > 0 {
		t.Errorf("escaped text pings %q", pings)
	}
	if diff := cmp.Diff([]string{"<!here>", "<!subteam^S1>", "<@U1>"}, got[1].Pings()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
