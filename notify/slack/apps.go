package slack

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/internal/text"
)

// App is a Slack app as a Provider brings it, after Slack said who it is.
type App struct {
	*Settings
	// Client speaks for the app. Another one replaces it when anything of the settings changes.
	Client *slack.Client
	// Team and Enterprise that the token is installed in, Bot the user that it posts as.
	Team, Enterprise, Bot string
	// Scopes that were granted; none where Slack did not say.
	Scopes []string
}

// may reports whether one of the scopes was granted.
func (a *App) may(scopes ...string) bool {
	return slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(a.Scopes, s) })
}

// invite is what a person types to let the bot in.
func (a *App) invite() string { return "/invite @" + a.Bot }

// state is what is known of one Provider.
type state struct {
	app     *App
	tested  time.Time
	trouble *Trouble
	said    string
}

// Apps keeps the Providers that policies name. It is safe for concurrent use.
type Apps struct {
	// Reader reads Providers and Secrets, live.
	Reader client.Reader
	// Hosts that a Provider's address may name beside Slack's own.
	Hosts Hosts
	// Now is the clock.
	Now func() time.Time
	// Log gets one line for each trouble, when it comes and when it goes.
	Log *slog.Logger

	// http makes the client of a Provider; nil for one with the Provider's own transport.
	http func(*Settings) *http.Client

	refreshing sync.Mutex
	mu         sync.Mutex
	all        map[types.NamespacedName]*state
}

const (
	// testAgain is how often a good token is tried, so that one that was revoked is known before it is needed, and
	// mendAgain how often one in trouble is.
	testAgain = 10 * time.Minute
	mendAgain = time.Minute
	// testWithin is how long it is tried, whatever its Provider asks for: all cards wait for the first answers.
	testWithin = 10 * time.Second
)

// Refresh reads the wanted Providers again, tries what is new or was in trouble, and forgets the others.
func (a *Apps) Refresh(ctx context.Context, wanted []types.NamespacedName) {
	a.refreshing.Lock()
	defer a.refreshing.Unlock()
	before := a.snapshot()
	var reading sync.WaitGroup
	for _, name := range slices.Compact(slices.SortedFunc(slices.Values(wanted), byName)) {
		known := before[name]
		reading.Go(func() {
			if s := a.look(ctx, name, known); ctx.Err() == nil {
				a.learn(name, known, s)
			}
		})
	}
	reading.Wait()
	if ctx.Err() != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.all, func(name types.NamespacedName, _ *state) bool { return !slices.Contains(wanted, name) })
}

// learn keeps what is known of a Provider as soon as it is: another one may take its time to answer. What an outbox met
// meanwhile counts, unless the settings or Slack have said something newer.
func (a *Apps) learn(name types.NamespacedName, was state, s *state) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := a.all[name]; now != nil && s.app != nil && s.app == was.app && s.tested.Equal(was.tested) {
		s.trouble, s.tested, s.said = now.trouble, now.tested, now.said
	}
	a.say(name, s)
	if a.all == nil {
		a.all = map[types.NamespacedName]*state{}
	}
	a.all[name] = s
}

func byName(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) }

func (a *Apps) snapshot() map[types.NamespacedName]state {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[types.NamespacedName]state{}
	for name, s := range a.all {
		out[name] = *s
	}
	return out
}

// look reads one Provider, and tries its token when that is due.
func (a *Apps) look(ctx context.Context, name types.NamespacedName, known state) *state {
	s := &state{app: known.app, tested: known.tested, trouble: known.trouble, said: known.said}
	settings, err := Read(ctx, a.Reader, name, a.Hosts)
	var wrong *Trouble
	switch {
	case errors.As(err, &wrong):
		return &state{trouble: wrong, said: known.said}
	case err != nil:
		// The API server does not answer: what was good stays good.
		if s.app == nil {
			s.trouble = trouble("Unread", "%s; trying again", words(err))
		}
		return s
	}
	age := a.Now().Sub(known.tested)
	same := known.app != nil && known.app.sum == settings.sum
	if same && (known.trouble == nil && age < testAgain || known.trouble != nil && age < mendAgain) {
		return s
	}
	app := known.app
	if !same {
		app = a.newApp(settings)
	}
	s.app, s.tested = app, a.Now()
	if settings.Suspended {
		s.trouble = trouble("Suspended", "Provider %s is suspended: no cards are posted", name)
		return s
	}
	s.app, s.trouble = test(ctx, app)
	return s
}

func (a *Apps) newApp(s *Settings) *App {
	speaks := &http.Client{Transport: weighing{s.Transport}, Timeout: s.Timeout, CheckRedirect: stay}
	if a.http != nil {
		speaks = a.http(s)
	}
	return &App{Settings: s, Client: slack.New(string(s.Token), slack.OptionAPIURL(s.API),
		slack.OptionAppLevelToken(string(s.AppToken)), slack.OptionHTTPClient(speaks))}
}

// stay does not follow a redirect: it would carry the token elsewhere, and Slack sends none.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// test asks Slack who the token is, and where it can be asked, whether it may post to the channel. What is learned
// fills a copy, which keeps the client.
func test(ctx context.Context, old *App) (*App, *Trouble) {
	ctx, cancel := context.WithTimeout(ctx, min(old.Timeout, testWithin))
	defer cancel()
	who, err := old.Client.AuthTestContext(ctx)
	if err != nil {
		return old, explain(err, old)
	}
	app := *old
	app.Team, app.Enterprise, app.Bot = who.TeamID, who.EnterpriseID, who.User
	app.Scopes = nil
	for _, s := range strings.Split(who.Header.Get("X-Oauth-Scopes"), ",") {
		if s = strings.TrimSpace(s); s != "" {
			app.Scopes = append(app.Scopes, s)
		}
	}
	if len(app.Scopes) > 0 && !app.may("chat:write") {
		return &app, explain(slack.SlackErrorResponse{
			Err: "missing_scope", Needed: "chat:write", Provided: strings.Join(app.Scopes, ","),
		}, &app)
	}
	if t := testChannel(ctx, &app); t != nil {
		return &app, t
	}
	if orgWide(who) {
		return &app, trouble("OrgWideInstall",
			"the Slack app is installed for the whole organisation (%s): cards are posted, but clicks do not count, since "+
				"they cannot be held against one workspace; install the app in the workspace of channel %s alone, and put "+
				"the Bot User OAuth Token of that installation into key token of Secret %s",
			who.EnterpriseID, app.Channel, app.From)
	}
	if app.AppToken == "" && app.SigningSecret == "" {
		return &app, trouble("NoClicks",
			"Secret %s has neither appToken nor signingSecret: cards are posted, but clicks on their "+
				"buttons are not heard; add the app-level token (xapp-…) in key appToken", app.From)
	}
	return &app, nil
}

// orgWide reports whether a token is an organisation's: Slack names the organisation where a workspace's token has its
// workspace.
func orgWide(who *slack.AuthTestResponse) bool {
	return strings.HasPrefix(who.TeamID, "E") || who.EnterpriseID != "" && who.TeamID == who.EnterpriseID
}

// deaf reports whether a trouble concerns clicks alone: a post that went well does not mention it.
func (t *Trouble) deaf() bool {
	return t != nil && (t.Reason == "NoClicks" || t.Reason == "OrgWideInstall")
}

// testChannel asks for the channel where it is named by ID and may be read. What Slack does not say shows at the first
// post.
func testChannel(ctx context.Context, app *App) *Trouble {
	if !isID(app.Channel) || !app.may("channels:read", "groups:read") {
		return nil
	}
	ch, err := app.Client.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: app.Channel})
	switch {
	case err != nil:
		var said slack.SlackErrorResponse
		if errors.As(err, &said) && said.Err == "missing_scope" {
			return nil // channels:read without groups:read, and the channel is private
		}
		return explain(err, app)
	case ch.IsArchived:
		return explain(slack.SlackErrorResponse{Err: "is_archived"}, app)
	case !ch.IsMember && !app.may("chat:write.public"):
		return explain(slack.SlackErrorResponse{Err: "not_in_channel"}, app)
	}
	return nil
}

func isID(channel string) bool {
	return len(channel) > 2 && strings.ContainsRune("CGD", rune(channel[0])) &&
		strings.Trim(channel, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == ""
}

// Get gives a Provider's app; nil where it cannot post.
func (a *Apps) Get(name types.NamespacedName) *App {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.all[name]
	if s == nil || s.app == nil || s.app.Suspended || s.app.Team == "" {
		return nil
	}
	return s.app
}

// All gives the apps that Slack knows, by name.
func (a *Apps) All() []*App {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*App
	for _, s := range a.all {
		if s.app != nil && s.app.Team != "" && !s.app.Suspended {
			out = append(out, s.app)
		}
	}
	slices.SortFunc(out, func(x, y *App) int { return strings.Compare(x.Name.String(), y.Name.String()) })
	return out
}

// Trouble describes what is wrong with a Provider; nil where nothing is known to be.
func (a *Apps) Trouble(name types.NamespacedName) *Trouble {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.all[name]; s != nil {
		return s.trouble
	}
	return trouble("Unread", "Provider %s was not read yet", name)
}

// report notes what an outbox met with an app; nil that all is well.
func (a *Apps) report(app *App, t *Trouble) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.all[app.Name]
	if s == nil || s.app == nil || s.app.Client != app.Client {
		return
	}
	if t == nil && s.trouble.deaf() {
		return
	}
	s.trouble, s.tested = t, a.Now()
	a.say(app.Name, s)
}

// say logs what changed. The caller holds the lock.
func (a *Apps) say(name types.NamespacedName, s *state) {
	now := ""
	if s.trouble != nil {
		now = s.trouble.Sentence
	}
	switch {
	case now == s.said:
		return
	case now != "":
		a.Log.Warn("slack needs attention", "provider", name.String(), "reason", s.trouble.Reason, "what", now)
	default:
		a.Log.Info("slack is all right", "provider", name.String())
	}
	s.said = now
}

// explain describes what an error of Slack means for a Provider, and what to do.
func explain(err error, app *App) *Trouble {
	var said slack.SlackErrorResponse
	var status slack.StatusCodeError
	var limited *slack.RateLimitedError
	switch {
	case errors.As(err, &said):
		return refused(said, app)
	case errors.As(err, &limited):
		return trouble("RateLimited", "Slack asks to wait %s: cards come later", limited.RetryAfter)
	case errors.As(err, &status):
		return trouble("Unreachable", "%s answers %d: cards come when it is back, and reverts do not wait for them",
			app.API, status.Code)
	}
	return trouble("Unreachable",
		"Slack does not answer at %s (%s): cards come when it is back, and reverts do not wait for them",
		app.API, words(err))
}

func refused(said slack.SlackErrorResponse, app *App) *Trouble {
	switch said.Err {
	case "token_expired":
		return trouble("TokenRotation",
			"the token in Secret %s has expired: tokens of this Slack app are rotated, and Backstop does not renew them; "+
				"Slack does not turn rotation off again, so make an app without it (token_rotation_enabled: false) and "+
				"put its Bot User OAuth Token (xoxb-…) into key token", app.From)
	case "team_access_not_granted", "org_login_required", "team_not_found":
		return trouble("OrgWideInstall",
			"the Slack app may not act in the workspace of channel %s (%s): install it in that workspace, and put the Bot "+
				"User OAuth Token of that installation into key token of Secret %s", app.Channel, said.Err, app.From)
	case "invalid_auth", "not_authed", "token_revoked", "account_inactive", "not_allowed_token_type":
		return trouble("TokenRefused",
			"Slack refuses the token in Secret %s (%s): install the app again and put its Bot User "+
				"OAuth Token into key token", app.From, said.Err)
	case "missing_scope", "no_permission":
		return trouble("MissingScope",
			"the Slack app lacks the scope %s (it has %s): add it under OAuth & Permissions and install "+
				"the app again", orSome(said.Needed, "that it needs"), orSome(said.Provided, "others"))
	case "not_in_channel":
		return trouble("NotInChannel", "the bot is not in channel %s: type %s there", app.Channel, app.invite())
	case "channel_not_found":
		return trouble("NoSuchChannel",
			"Slack shows the bot no channel %s: check spec.channel of Provider %s, and where the "+
				"channel is private type %s there", app.Channel, app.Name, app.invite())
	case "is_archived", "is_inactive":
		return trouble("ChannelArchived",
			"channel %s is archived: name another one in spec.channel of Provider %s", app.Channel,
			app.Name)
	case "invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long", "metadata_too_large":
		return trouble("CardRefused",
			"Slack refuses a card (%s: %s): it is posted as plain text; please report this", said.Err,
			text.Cut(text.Mask(strings.Join(said.ResponseMetadata.Messages, "; ")), 300))
	}
	if strings.HasPrefix(said.Err, "restricted_action") {
		return trouble("Refused",
			"who may post in channel %s is restricted (%s): let the app post there, or name another channel in spec.channel "+
				"of Provider %s", app.Channel, text.Cut(text.Mask(said.Err), 100), app.Name)
	}
	return trouble("Refused", "Slack refuses to post to %s (%s)", app.Channel, text.Cut(text.Mask(said.Err), 100))
}

func orSome(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return text.Cut(text.Mask(s), 200)
}
