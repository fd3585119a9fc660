package slackstub

import "slices"

// What a workspace has when nothing else was asked for.
const (
	TeamID        = "T0ACME"
	AppID         = "A0BACKSTOP"
	BotToken      = "xoxb-100-200-stubbottoken"
	AppToken      = "xapp-1-A0BACKSTOP-300-stubapptoken"
	SigningSecret = "0123456789abcdef0123456789abcdef"
	BotUser       = "U0BACKSTOP"
	BotID         = "B0BACKSTOP"

	// ChannelID is #deploys, which the bot was invited to.
	ChannelID = "C0DEPLOYS"
	// Jane may decide in tests that say so, Omar is in GroupID, Mallory is nobody in particular.
	Jane    = "U0JANE"
	Omar    = "U0OMAR"
	Mallory = "U0MALLORY"
	// Guest is a single-channel guest, Stranger comes from another workspace through Slack Connect.
	Guest    = "U0GUEST"
	Stranger = "U0STRANGER"
	// GroupID is @oncall.
	GroupID = "S0ONCALL"
)

// App is one installed app.
type App struct {
	ID, BotToken, AppToken, SigningSecret string
	// BotUser and BotID are what its messages come from.
	BotUser, BotID string
	// Scopes that were granted to the bot token.
	Scopes []string
	// RequestURL gets the clicks over HTTP; empty means Socket Mode.
	RequestURL string
}

// User is a person.
type User struct {
	ID, Name, RealName, Email, TeamID      string
	Deleted, Bot, Restricted, Single, Away bool
}

// Channel of the workspace.
type Channel struct {
	ID, Name                     string
	Private, Archived, ExtShared bool
	// Members by ID, bot users among them.
	Members []string
	// NoReplies is the error that whoever answers in a thread of it gets; empty where threads are open.
	NoReplies string
}

// Team is a workspace's people, channels and apps.
type Team struct {
	ID, Name, Enterprise string
	Apps                 []*App
	Users                map[string]*User
	Channels             map[string]*Channel
	Groups               map[string][]string
}

// Acme is the workspace that Options leave out.
func Acme() *Team {
	everyone := []string{BotUser, Jane, Omar, Mallory, Guest, Stranger}
	t := &Team{
		ID: TeamID, Name: "Acme",
		Apps: []*App{{
			ID: AppID, BotToken: BotToken, AppToken: AppToken, SigningSecret: SigningSecret, BotUser: BotUser, BotID: BotID,
			Scopes: []string{"chat:write", "channels:read", "groups:read", "usergroups:read", "users:read"},
		}},
		Users: map[string]*User{},
		Channels: map[string]*Channel{
			ChannelID:   {ID: ChannelID, Name: "deploys", Members: everyone},
			"C0RANDOM":  {ID: "C0RANDOM", Name: "random", Members: []string{Jane, Mallory}},
			"G0PRIVATE": {ID: "G0PRIVATE", Name: "private", Private: true, Members: []string{Jane}},
		},
		Groups: map[string][]string{GroupID: {Omar}},
	}
	for _, u := range []User{
		{ID: BotUser, Name: "backstop", RealName: "Backstop", Bot: true},
		{ID: Jane, Name: "jane", RealName: "Jane Doe", Email: "jane@acme.example"},
		{ID: Omar, Name: "omar", RealName: "Omar Haddad", Email: "omar@acme.example"},
		{ID: Mallory, Name: "mallory", RealName: "Mallory Smith", Email: "mallory@acme.example"},
		{ID: Guest, Name: "guest", RealName: "Greta Guest", Email: "greta@agency.example", Restricted: true, Single: true},
		{ID: Stranger, Name: "stranger", RealName: "Sam Stranger", Email: "sam@other.example", TeamID: "T0OTHER"},
	} {
		if u.TeamID == "" {
			u.TeamID = TeamID
		}
		t.Users[u.ID] = &u
	}
	return t
}

// appOf finds the app whose token of either kind it is.
func (t *Team) appOf(token string) *App {
	for _, a := range t.Apps {
		if token != "" && (a.BotToken == token || a.AppToken == token) {
			return a
		}
	}
	return nil
}

func (t *Team) app(id string) *App {
	i := slices.IndexFunc(t.Apps, func(a *App) bool { return a.ID == id })
	if i < 0 {
		return nil
	}
	return t.Apps[i]
}

// channel finds one by ID or, where names are taken, by #name.
func (t *Team) channel(ref string, names bool) *Channel {
	if c := t.Channels[ref]; c != nil || !names {
		return c
	}
	for _, c := range t.Channels {
		if ref == c.Name || ref == "#"+c.Name {
			return c
		}
	}
	return nil
}

// sees reports whether an app may know of a channel at all.
func (c *Channel) sees(a *App) bool { return !c.Private || slices.Contains(c.Members, a.BotUser) }
