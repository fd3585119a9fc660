package forgestub

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
)

// serve answers requests of the API. It says false for those of Git.
func (f *Forge) serve(w http.ResponseWriter, r *http.Request) bool {
	path, below := strings.CutPrefix(r.URL.EscapedPath(), f.options.Prefix)
	if !below {
		http.NotFound(w, r)
		return true
	}
	api, ours := strings.CutPrefix(path, map[Kind]string{
		GitHub: "/api/v3/", GitLab: "/api/v4/", Gitea: "/api/v1/"}[f.Kind])
	if f.Kind == GitHub && path == "/api/graphql" {
		api, ours = "graphql", true
	}
	if !ours {
		return f.git(w, r, path)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault != nil && f.fault(w, r) {
		f.calls = append(f.calls, r.Method+" "+api+" faulted")
		return true
	}
	if f.anonymous(w, r, api) {
		return true
	}
	f.calls = append(f.calls, r.Method+" "+api)
	if f.rules.Hidden {
		f.answer(w, r, http.StatusNotFound, map[string]any{"message": "Not Found"})
		return true
	}
	sent, _ := io.ReadAll(r.Body)
	var body map[string]any
	_ = json.Unmarshal(sent, &body)
	said := httptest.NewRecorder()
	call := call{w: said, r: r, path: api, body: body}
	switch f.Kind {
	case GitHub:
		f.github(call)
	case GitLab:
		f.gitlab(call)
	case Gitea:
		f.gitea(call)
	}
	f.hold(call, sent, said)
	maps.Copy(w.Header(), said.Header())
	w.WriteHeader(said.Code)
	_, _ = w.Write(said.Body.Bytes())
	return true
}

// git lets Git's own requests through to whoever has the token.
func (f *Forge) git(w http.ResponseWriter, r *http.Request, path string) bool {
	if !strings.HasPrefix(path, "/"+f.options.Project+".git/") {
		http.NotFound(w, r)
		return true
	}
	if _, password, _ := r.BasicAuth(); password != Token && r.Header.Get("Authorization") != "Bearer "+Token {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return true
	}
	return false
}

// anonymous answers those without the token.
func (f *Forge) anonymous(w http.ResponseWriter, r *http.Request, api string) bool {
	if api == "version" && f.Kind == Gitea {
		f.answer(w, r, http.StatusOK, map[string]any{"version": "1.26.0"})
		return true
	}
	if f.Kind == GitHub {
		w.Header().Set("X-GitHub-Request-Id", "1")
	}
	_, password, _ := r.BasicAuth()
	if password == Token || slices.Contains([]string{"Bearer " + Token, "token " + Token}, r.Header.Get("Authorization")) {
		return false
	}
	words := map[Kind]string{GitHub: "Bad credentials", GitLab: "401 Unauthorized",
		Gitea: "invalid username, password or token"}
	f.answer(w, r, http.StatusUnauthorized, map[string]any{"message": words[f.Kind]})
	return true
}

// call is a request of the API.
type call struct {
	w    http.ResponseWriter
	r    *http.Request
	path string
	body map[string]any
}

func (c call) text(key string) string { s, _ := c.body[key].(string); return s }

func (c call) is(key string) bool { b, _ := c.body[key].(bool); return b }

// answer writes JSON, with a mark by which it can be asked for again.
func (f *Forge) answer(w http.ResponseWriter, r *http.Request, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodGet && status == http.StatusOK {
		etag := fmt.Sprintf(`"%x"`, sum(raw))
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			f.calls[len(f.calls)-1] += " unchanged"
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}
