package registrystub

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// admits reports whether a request may be served.
func (r *Registry) admits(req *http.Request) bool {
	if l := r.options.Basic; l != nil {
		user, password, ok := req.BasicAuth()
		return ok && user == l.Username && password == l.Password
	}
	if r.options.Token == nil {
		return true
	}
	token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	scope, known := r.tokens[token]
	return known && (scopeOf(req) == "" || strings.Contains(" "+scope+" ", " "+scopeOf(req)+" "))
}

// scopeOf is what a token must allow for a request: nothing to greet the registry.
func scopeOf(req *http.Request) string {
	rest, ok := strings.CutPrefix(req.URL.Path, "/v2/")
	if !ok || rest == "" {
		return ""
	}
	for _, part := range []string{"/manifests/", "/blobs/", "/tags/"} {
		if i := strings.Index(rest, part); i > 0 {
			return "repository:" + rest[:i] + ":pull"
		}
	}
	return ""
}

// challenge refuses a request and describes how to come back.
func (r *Registry) challenge(w http.ResponseWriter, req *http.Request) {
	if r.options.Basic != nil {
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
	} else {
		value := fmt.Sprintf(`Bearer realm="%s/token",service="registrystub"`, r.URL())
		if scope := scopeOf(req); scope != "" {
			value += fmt.Sprintf(`,scope="%s"`, scope)
		}
		w.Header().Set("WWW-Authenticate", value)
	}
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
}

// giveToken is the token endpoint: it gives a token for what was asked, to the one who may.
func (r *Registry) giveToken(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet {
		refuse(w, http.StatusNotFound, "UNSUPPORTED", "only GET")
		return
	}
	user, password, _ := req.BasicAuth()
	if l := r.options.Token; l.Username != "" && (user != l.Username || password != l.Password) {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
		return
	}
	token := rand.Text()
	r.mu.Lock()
	r.tokens[token] = strings.Join(req.URL.Query()["scope"], " ")
	r.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": 300})
}

// Expire makes every token invalid that was given so far, and gives them to the caller.
func (r *Registry) Expire() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for token := range r.tokens {
		all = append(all, token)
	}
	clear(r.tokens)
	return all
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}
