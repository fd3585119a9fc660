package slack

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/test/slackstub"
)

func TestSettings(t *testing.T) {
	tokens := key1("tokens")
	for name, tt := range map[string]struct {
		change func(*objects)
		reason string
		says   []string
	}{
		"a good one":                 {func(*objects) {}, "", nil},
		"served as v1":               {func(o *objects) { o.version = "v1" }, "", nil},
		"no notification-controller": {func(o *objects) { o.version = "v2" }, "NoProvider", []string{"v1 or v1beta3", "install Flux's notification-controller"}},
		"no Provider":                {func(o *objects) { delete(o.specs, provider1) }, "NoProvider", []string{"production/slack does not exist"}},
		"a Provider that may not be read": {func(o *objects) { o.denied[provider1] = true }, "Forbidden",
			[]string{"grant get on providers"}},
		"another type":             {func(o *objects) { o.specs[provider1]["type"] = "msteams" }, "NotSlack", []string{"type msteams"}},
		"a spec of another shape":  {func(o *objects) { o.specs[provider1]["secretRef"] = "tokens" }, "NotSlack", []string{"cannot be read"}},
		"no Secret named":          {func(o *objects) { delete(o.specs[provider1], "secretRef") }, "NoToken", []string{"secretRef", "xoxb-"}},
		"a Secret that is missing": {func(o *objects) { delete(o.secrets, tokens) }, "NoSecret", []string{"production/tokens"}},
		"a Secret that may not be read": {func(o *objects) { o.denied[tokens] = true }, "Forbidden",
			[]string{"production/tokens", "component credentials"}},
		"no token":       {func(o *objects) { delete(o.secrets[tokens], "token") }, "NoToken", []string{"key token", "xoxb-"}},
		"a user's token": {func(o *objects) { o.secrets[tokens]["token"] = "xoxp-user-secret" }, "WrongToken", []string{"xoxb-", "OAuth & Permissions"}},
		"a bot's token that Slack rotates": {func(o *objects) { o.secrets[tokens]["token"] = "xoxe.xoxb-1-rotated-secret" }, "TokenRotation",
			[]string{"production/tokens", "12 hours", "does not renew", "make an app without it"}},
		"the token to renew others": {func(o *objects) { o.secrets[tokens]["token"] = "xoxe-1-renew-secret" }, "TokenRotation", []string{"rotates"}},
		"a bot's token in the app's place": {func(o *objects) { o.secrets[tokens]["appToken"] = "xoxb-bot-secret" }, "WrongToken",
			[]string{"xapp-", "connections:write"}},
		"no channel": {func(o *objects) { delete(o.specs[provider1], "channel") }, "NoChannel", []string{"spec.channel"}},
		"a webhook": {func(o *objects) { o.specs[provider1]["address"] = "https://hooks.slack.com/services/T0/B0/secret" }, "Webhook",
			[]string{"incoming webhook", "chat.postMessage"}},
		"a webhook in the Secret": {func(o *objects) { o.secrets[tokens]["address"] = "https://hooks.slack.com/services/T0/B0/secret" }, "Webhook",
			[]string{"incoming webhook"}},
		"an address of another host": {func(o *objects) { o.specs[provider1]["address"] = "https://slack.evil.example/api/" }, "WrongAddress",
			[]string{"slack.evil.example", "not Slack's", "use https://slack.com/api/chat.postMessage", "--slack-hosts=slack.evil.example"}},
		"another host in the Secret": {func(o *objects) { o.secrets[tokens]["address"] = "https://evil.example/api/" }, "WrongAddress",
			[]string{"evil.example"}},
		"a host that ends as Slack's": {func(o *objects) { o.specs[provider1]["address"] = "https://notslack.com/api/" }, "WrongAddress",
			[]string{"notslack.com"}},
		"Slack without TLS": {func(o *objects) { o.specs[provider1]["address"] = "http://slack.com/api/" }, "WrongAddress",
			[]string{"unencrypted", "https://slack.com/api/"}},
		"Slack at another port":                    {func(o *objects) { o.specs[provider1]["address"] = "https://slack.com:8443/api/" }, "WrongAddress", []string{"another port"}},
		"an address that is none":                  {func(o *objects) { o.specs[provider1]["address"] = "slack" }, "WrongAddress", []string{"https://slack.com/api/"}},
		"an address with a password":               {func(o *objects) { o.specs[provider1]["address"] = "https://u:secret@slack.com/api/" }, "WrongAddress", nil},
		"certificates that are none":               {func(o *objects) { with(o, "certSecretRef", "certs", map[string]string{"ca.crt": "secret"}) }, "WrongCertificate", []string{"ca.crt"}},
		"half a pair of certificates":              {func(o *objects) { with(o, "certSecretRef", "certs", map[string]string{"tls.key": "secret"}) }, "WrongCertificate", []string{"tls.crt"}},
		"a Secret of certificates that is missing": {func(o *objects) { o.specs[provider1]["certSecretRef"] = map[string]any{"name": "certs"} }, "NoSecret", []string{"production/certs"}},
		"a proxy without address":                  {func(o *objects) { with(o, "proxySecretRef", "proxy", map[string]string{"username": "u"}) }, "WrongProxy", []string{"key address"}},
		"a proxy that is no URL":                   {func(o *objects) { with(o, "proxySecretRef", "proxy", map[string]string{"address": "::secret"}) }, "WrongProxy", nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := acme("")
			tt.change(o)
			s, err := Read(t.Context(), o, provider1, nil)
			var wrong *Trouble
			switch {
			case tt.reason == "" && err != nil:
				t.Fatal(err)
			case tt.reason == "":
				if s.API != "https://slack.com/api/" || s.Channel != slackstub.ChannelID || s.Timeout != 15*time.Second ||
					string(s.Token) != slackstub.BotToken {
					t.Errorf("got %+v", s)
				}
				return
			case !errors.As(err, &wrong) || wrong.Reason != tt.reason:
				t.Fatalf("got %v, want a trouble of reason %s", err, tt.reason)
			}
			requireContains(t, "the sentence", wrong.Sentence, tt.says...)
			if strings.Contains(wrong.Sentence, "secret") && strings.Contains(wrong.Sentence, "-secret") {
				t.Errorf("the sentence holds a secret: %s", wrong.Sentence)
			}
		})
	}
}

func with(o *objects, field, name string, data map[string]string) {
	o.specs[provider1][field] = map[string]any{"name": name}
	o.secrets[key1(name)] = data
}

func TestTheAddressIsFluxsOrAMethods(t *testing.T) {
	for in, want := range map[string]string{
		"":                                       "https://slack.com/api/",
		"https://slack.com/api/chat.postMessage": "https://slack.com/api/",
		"https://slack.com/api":                  "https://slack.com/api/",
		"https://slack-gov.com/api/":             "https://slack-gov.com/api/",
		"http://127.0.0.1:8080/api/chat.postMessage?x=1": "http://127.0.0.1:8080/api/",
	} {
		if got, err := base(in); err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestSecretsPrintAsNothing(t *testing.T) {
	s := &Settings{Token: "xoxb-secret", AppToken: "xapp-secret", SigningSecret: "0123secret"}
	raw, _ := json.Marshal(s.Token)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", s.Token, "settings", fmt.Sprintf("%+v", s))
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s.Token, s.AppToken, s.SigningSecret, s.Token), string(raw), log.String()} {
		if strings.Contains(text, "secret") {
			t.Errorf("printed: %s", text)
		}
	}
	for in, want := range map[string]string{
		`Post "https://hooks.slack.com/actions/T/1/abc": EOF`:        `Post "[redacted]": EOF`,
		`dial wss://wss-primary.slack.com/link/?ticket=abc&app_id=1`: `dial [redacted]`,
		`token xoxb-1-2-abc and xapp-1-A-2-abc`:                      `token [redacted] and [redacted]`,
		`proxyconnect http://user:pass@proxy:3128: refused`:          `proxyconnect http:[redacted]proxy:3128: refused`,
		`nothing to hide`: `nothing to hide`,
	} {
		if got := text.Mask(in); got != want {
			t.Errorf("%q is masked as %q, want %q", in, got, want)
		}
	}
}

// real starts the stand-in on loopback and reads its Provider.
func real(t *testing.T, o slackstub.Options, change func(*slackstub.Workspace, *objects)) (*slackstub.Workspace, *Apps) {
	t.Helper()
	w, err := slackstub.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	objects := acme(w.APIURL() + "chat.postMessage")
	if change != nil {
		change(w, objects)
	}
	apps := &Apps{Reader: objects, Hosts: Hosts{"127.0.0.1"}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	apps.Refresh(t.Context(), []types.NamespacedName{provider1})
	return w, apps
}

func TestWhatSlackSaysOfAnApp(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*slackstub.Workspace, *objects)
		reason string
		says   []string
	}{
		"all is well": {nil, "Ready", []string{"cards go to C0DEPLOYS as @backstop"}},
		"a token that was revoked": {func(_ *slackstub.Workspace, o *objects) { o.secrets[key1("tokens")]["token"] = "xoxb-old" }, "TokenRefused",
			[]string{"production/tokens", "install the app again"}},
		"a scope that is missing": {func(w *slackstub.Workspace, _ *objects) {
			w.Change(func(t *slackstub.Team) { t.Apps[0].Scopes = []string{"users:read"} })
		}, "MissingScope", []string{"chat:write", "users:read", "OAuth & Permissions"}},
		"a bot that was not invited": {func(_ *slackstub.Workspace, o *objects) { o.specs[provider1]["channel"] = "C0RANDOM" }, "NotInChannel",
			[]string{"/invite @backstop"}},
		"a private channel": {func(_ *slackstub.Workspace, o *objects) { o.specs[provider1]["channel"] = "G0PRIVATE" }, "NoSuchChannel",
			[]string{"/invite @backstop"}},
		"an archived channel": {func(w *slackstub.Workspace, _ *objects) {
			w.Change(func(t *slackstub.Team) { t.Channels[slackstub.ChannelID].Archived = true })
		}, "ChannelArchived", []string{"spec.channel"}},
		"no way to hear clicks": {func(_ *slackstub.Workspace, o *objects) { delete(o.secrets[key1("tokens")], "appToken") }, "NoClicks",
			[]string{"appToken"}},
		"a token that has expired": {func(w *slackstub.Workspace, _ *objects) { w.Fail("auth.test", slackstub.Fault{Error: "token_expired"}) }, "TokenRotation",
			[]string{"production/tokens", "make an app without it"}},
		"an app of the whole organisation": {func(w *slackstub.Workspace, _ *objects) {
			w.Change(func(t *slackstub.Team) { t.ID, t.Enterprise = "E0ACME", "E0ACME" })
		}, "OrgWideInstall", []string{"E0ACME", "clicks do not count", "install the app in the workspace of channel C0DEPLOYS"}},
		"an app of a workspace in an organisation": {func(w *slackstub.Workspace, _ *objects) {
			w.Change(func(t *slackstub.Team) { t.Enterprise = "E0ACME" })
		}, "Ready", nil},
		"an app that may not act in the workspace": {func(w *slackstub.Workspace, _ *objects) {
			w.Fail("auth.test", slackstub.Fault{Error: "team_access_not_granted"})
		}, "OrgWideInstall", []string{"install it in that workspace"}},
		"suspended":         {func(_ *slackstub.Workspace, o *objects) { o.specs[provider1]["suspend"] = true }, "Suspended", nil},
		"nobody answers":    {func(w *slackstub.Workspace, _ *objects) { w.Leave() }, "Unreachable", []string{"reverts do not wait"}},
		"a page of a proxy": {func(w *slackstub.Workspace, _ *objects) { w.Fail("", slackstub.Fault{Status: 502}) }, "Unreachable", []string{"502"}},
		"a channel by name": {func(_ *slackstub.Workspace, o *objects) { o.specs[provider1]["channel"] = "#deploys" }, "Ready", nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, apps := real(t, slackstub.Options{}, tt.change)
			c := apps.Condition(provider1, nil)
			if c.Reason != tt.reason || (c.Status == "True") != (tt.reason == "Ready") {
				t.Errorf("the condition is %+v, want reason %s", c, tt.reason)
			}
			requireContains(t, "the condition", c.Message, tt.says...)
			if strings.Contains(c.Message, "xoxb-old") || strings.Contains(c.Message, slackstub.BotToken) {
				t.Errorf("the condition holds a token: %s", c.Message)
			}
		})
	}
	_, apps := real(t, slackstub.Options{}, nil)
	if c := apps.Condition(provider1, map[string]string{"production/slack": "two installations share the app"}); c.Reason != "NotHeard" {
		t.Errorf("clicks that are not heard: %+v", c)
	}
	if c := apps.Condition(key1("another"), nil); c.Reason != "Unread" {
		t.Errorf("a Provider that nobody read: %+v", c)
	}
}

func TestRotationNeedsNoRestart(t *testing.T) {
	w, err := slackstub.Start(slackstub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	o := acme(w.APIURL())
	apps := &Apps{Reader: o, Hosts: Hosts{"127.0.0.1"}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	all := []types.NamespacedName{provider1}
	apps.Refresh(t.Context(), all)
	first := apps.Get(provider1)
	apps.Refresh(t.Context(), all)
	if apps.Get(provider1) != first || len(w.Requests("auth.test")) != 1 {
		t.Error("nothing changed, and yet another client was made or the token tried again")
	}
	w.Change(func(t *slackstub.Team) { t.Apps[0].BotToken = "xoxb-next" })
	o.change(func() { o.secrets[key1("tokens")]["token"] = "xoxb-next" })
	apps.Refresh(t.Context(), all)
	if now := apps.Get(provider1); now == nil || now.Client == first.Client || now.Team != slackstub.TeamID {
		t.Errorf("after the rotation: %+v", now)
	}
	if len(apps.All()) != 1 {
		t.Error("the app is missing")
	}
	apps.Refresh(t.Context(), nil)
	if apps.Get(provider1) != nil {
		t.Error("a Provider that no policy names is kept")
	}
}

func TestCertificatesCount(t *testing.T) {
	_, apps := real(t, slackstub.Options{TLS: true}, nil)
	if c := apps.Condition(provider1, nil); c.Reason != "Unreachable" {
		t.Errorf("without the CA: %+v", c)
	}
	_, apps = real(t, slackstub.Options{TLS: true}, func(w *slackstub.Workspace, o *objects) {
		with(o, "certSecretRef", "certs", map[string]string{"ca.crt": string(w.CA())})
	})
	if c := apps.Condition(provider1, nil); c.Reason != "Ready" {
		t.Errorf("with the CA: %+v", c)
	}
}
