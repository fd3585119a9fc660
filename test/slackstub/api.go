package slackstub

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// reply is what a method answers, without ok.
type reply map[string]any

// call is one request of the Web API.
type call struct {
	w    *Workspace
	req  *http.Request
	args url.Values
	app  *App
}

// method of the Web API.
type method struct {
	// scopes of which the bot token needs one; none for no scope. "app" asks for the app-level token instead.
	scopes []string
	// do answers, or gives an error's name. It holds the workspace's lock.
	do func(*call) (reply, string)
}

const appLevel = "app"

func methods() map[string]method {
	return map[string]method{
		"auth.test":             {do: authTest},
		"apps.connections.open": {scopes: []string{appLevel}, do: connectionsOpen},
		"chat.postMessage":      {scopes: []string{"chat:write"}, do: postMessage},
		"chat.update":           {scopes: []string{"chat:write"}, do: updateMessage},
		"chat.delete":           {scopes: []string{"chat:write"}, do: deleteMessage},
		"chat.postEphemeral":    {scopes: []string{"chat:write"}, do: postEphemeral},
		"chat.getPermalink":     {do: permalink},
		"conversations.info":    {scopes: []string{"channels:read", "groups:read"}, do: conversationsInfo},
		"conversations.members": {scopes: []string{"channels:read", "groups:read"}, do: conversationsMembers},
		"conversations.replies": {scopes: []string{"channels:history", "groups:history"}, do: conversationsReplies},
		"conversations.history": {scopes: []string{"channels:history", "groups:history"}, do: conversationsHistory},
		"usergroups.users.list": {scopes: []string{"usergroups:read"}, do: userGroupMembers},
		"users.info":            {scopes: []string{"users:read"}, do: usersInfo},
		"users.lookupByEmail":   {scopes: []string{"users:read.email"}, do: userByEmail},
		"blocks.validate":       {do: validateBlocks},
	}
}

// ServeHTTP is all of Slack: the Web API, the WebSockets and the response URLs.
func (w *Workspace) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	w.mu.Lock()
	away := w.away
	w.mu.Unlock()
	if away {
		panic(http.ErrAbortHandler)
	}
	switch {
	case strings.HasPrefix(req.URL.Path, "/api/"):
		w.serveAPI(rw, req, strings.TrimPrefix(req.URL.Path, "/api/"))
	case req.URL.Path == "/link/":
		w.serveSocket(rw, req)
	case strings.HasPrefix(req.URL.Path, "/actions/"):
		w.serveResponseURL(rw, req)
	default:
		http.NotFound(rw, req)
	}
}

func (w *Workspace) serveAPI(rw http.ResponseWriter, req *http.Request, name string) {
	args, err := arguments(req)
	if err != nil {
		refuse(rw, "invalid_form_data", nil)
		return
	}
	w.mu.Lock()
	f := w.faultFor(name)
	w.mu.Unlock()
	if f != nil && f.before(rw, req) {
		w.log(name, args, "fault")
		return
	}
	out, refused := w.answer(rw, req, name, args)
	w.log(name, args, cmp.Or(refused, "ok"))
	switch {
	case f != nil && f.Cut == CutAfter:
		panic(http.ErrAbortHandler)
	case refused == "ratelimited":
		rw.Header().Set("Retry-After", "1")
		http.Error(rw, "Too Many Requests", http.StatusTooManyRequests)
	case refused != "":
		refuse(rw, refused, out)
	default:
		out["ok"] = true
		write(rw, out)
	}
}

// answer does the work, after the token and its scopes were looked at.
func (w *Workspace) answer(rw http.ResponseWriter, req *http.Request, name string, args url.Values) (reply, string) {
	m, known := methods()[name]
	if !known {
		return nil, "unknown_method"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &call{w: w, req: req, args: args}
	if name == "blocks.validate" {
		return m.do(c)
	}
	token := cmp.Or(args.Get("token"), strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "))
	if token == "" {
		return nil, "not_authed"
	}
	c.app = w.team.appOf(token)
	if c.app == nil {
		return nil, "invalid_auth"
	}
	if isApp := token == c.app.AppToken; isApp != slices.Contains(m.scopes, appLevel) {
		return nil, "not_allowed_token_type"
	}
	granted := strings.Join(c.app.Scopes, ",")
	rw.Header().Set("X-Oauth-Scopes", granted)
	if len(m.scopes) > 0 && m.scopes[0] != appLevel &&
		!slices.ContainsFunc(m.scopes, func(s string) bool { return slices.Contains(c.app.Scopes, s) }) {
		return reply{"needed": strings.Join(m.scopes, ","), "provided": granted}, "missing_scope"
	}
	return m.do(c)
}

// arguments of a request: a form, JSON, or the query.
func arguments(req *http.Request) (url.Values, error) {
	kind, _, _ := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if kind != "application/json" {
		if err := req.ParseMultipartForm(1 << 20); err != nil && kind == "multipart/form-data" {
			return nil, fmt.Errorf("read the form: %w", err)
		}
		return req.Form, nil
	}
	raw, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	args := maps.Clone(req.URL.Query())
	if args == nil {
		args = url.Values{}
	}
	var body map[string]json.RawMessage
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &body); err != nil {
			return nil, fmt.Errorf("read the JSON: %w", err)
		}
	}
	for k, v := range body {
		var s string
		if json.Unmarshal(v, &s) != nil {
			s = string(v)
		}
		args.Set(k, s)
	}
	return args, nil
}

func refuse(rw http.ResponseWriter, name string, more reply) {
	out := reply{}
	for k, v := range more {
		if v != "" {
			out[k] = v
		}
	}
	out["ok"], out["error"] = false, name
	write(rw, out)
}

func write(rw http.ResponseWriter, out reply) {
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(rw).Encode(out)
}

// Request is one call of the Web API, without its token.
type Request struct {
	Method string
	Args   url.Values
	// Result is ok, the error's name, or fault.
	Result string
	At     time.Time
}

// log keeps a request.
func (w *Workspace) log(name string, args url.Values, result string) {
	args = maps.Clone(args)
	args.Del("token")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append(w.requests, Request{Method: name, Args: args, Result: result, At: time.Now()})
	w.touch()
}

// Requests are the calls of a method, oldest first; all calls when it is empty.
func (w *Workspace) Requests(method string) []Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Request
	for _, r := range w.requests {
		if method == "" || r.Method == method {
			out = append(out, r)
		}
	}
	return out
}

func authTest(c *call) (reply, string) {
	u := c.w.team.Users[c.app.BotUser]
	return reply{
		"url": "https://acme.slack.com/", "team": c.w.team.Name, "user": u.Name, "team_id": c.w.team.ID, "user_id": u.ID,
		"bot_id": c.app.BotID, "enterprise_id": c.w.team.Enterprise, "is_enterprise_install": false,
	}, ""
}

func conversationsInfo(c *call) (reply, string) {
	ch := c.w.team.channel(c.args.Get("channel"), false)
	if ch == nil || !ch.sees(c.app) {
		return nil, "channel_not_found"
	}
	return reply{"channel": reply{
		"id": ch.ID, "name": ch.Name, "is_channel": !ch.Private, "is_private": ch.Private, "is_archived": ch.Archived,
		"is_member": slices.Contains(ch.Members, c.app.BotUser), "is_ext_shared": ch.ExtShared, "is_shared": ch.ExtShared,
		"num_members": len(ch.Members),
	}}, ""
}

func conversationsMembers(c *call) (reply, string) {
	ch := c.w.team.channel(c.args.Get("channel"), false)
	if ch == nil || !ch.sees(c.app) {
		return nil, "channel_not_found"
	}
	// Pages of two, so that nobody forgets the cursor.
	from := 0
	if cursor := c.args.Get("cursor"); cursor != "" {
		if _, err := fmt.Sscanf(cursor, "from:%d", &from); err != nil || from < 0 || from > len(ch.Members) {
			return nil, "invalid_cursor"
		}
	}
	to := min(from+2, len(ch.Members))
	next := ""
	if to < len(ch.Members) {
		next = fmt.Sprintf("from:%d", to)
	}
	return reply{"members": ch.Members[from:to], "response_metadata": reply{"next_cursor": next}}, ""
}

func userGroupMembers(c *call) (reply, string) {
	users, ok := c.w.team.Groups[c.args.Get("usergroup")]
	if !ok {
		return nil, "no_such_subteam"
	}
	return reply{"users": append([]string{}, users...)}, ""
}

func usersInfo(c *call) (reply, string) {
	u := c.w.team.Users[c.args.Get("user")]
	if u == nil {
		return nil, "user_not_found"
	}
	return reply{"user": person(c, u)}, ""
}

func userByEmail(c *call) (reply, string) {
	for _, u := range c.w.team.Users {
		if u.Email != "" && u.Email == c.args.Get("email") {
			return reply{"user": person(c, u)}, ""
		}
	}
	return nil, "users_not_found"
}

func person(c *call, u *User) reply {
	profile := reply{"real_name": u.RealName, "display_name": u.Name}
	if slices.Contains(c.app.Scopes, "users:read.email") {
		profile["email"] = u.Email
	}
	return reply{
		"id": u.ID, "team_id": u.TeamID, "name": u.Name, "real_name": u.RealName, "deleted": u.Deleted, "is_bot": u.Bot,
		"is_restricted": u.Restricted, "is_ultra_restricted": u.Single, "is_stranger": u.TeamID != c.w.team.ID,
		"profile": profile,
	}
}
