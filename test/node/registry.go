package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/distribution/reference"
)

// login is a user of a registry; the zero value is nobody.
type login struct{ username, password string }

// registry is one host, asked for one repository with one login.
type registry struct {
	client *http.Client
	base   string
	host   string
	path   string
	login  login
	token  string
}

func (p *puller) registry(named reference.Named, as login) *registry {
	r := &registry{login: as, client: p.plain, host: reference.Domain(named), path: reference.Path(named)}
	at, scheme := r.host, "https"
	if trusted, ok := p.trust[r.host]; ok {
		r.client = trusted
	} else if onLoopback(r.host) {
		scheme = "http"
	}
	if at == "docker.io" {
		at = "registry-1.docker.io"
	}
	r.base = scheme + "://" + at + "/v2/" + r.path + "/"
	return r
}

// do asks once, and once more with what a 401 asks for.
func (r *registry) do(ctx context.Context, method, path string) (*http.Response, error) {
	res, err := r.once(ctx, method, path)
	if err != nil || res.StatusCode != http.StatusUnauthorized {
		return res, err
	}
	challenge := res.Header.Get("WWW-Authenticate")
	scheme, params, _ := strings.Cut(challenge, " ")
	switch strings.ToLower(scheme) {
	case "bearer":
		token, err := r.fetchToken(ctx, params)
		if err != nil {
			res.Body.Close()
			return nil, fmt.Errorf("failed to authorize: %w", err)
		}
		r.token = "Bearer " + token
	case "basic":
		if r.login == (login{}) || r.token != "" {
			return res, nil
		}
		r.token = "Basic"
	default:
		return res, nil
	}
	res.Body.Close()
	return r.once(ctx, method, path)
}

func (r *registry) once(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accepts)
	req.Header.Set("User-Agent", "containerd/1.6.20")
	switch {
	case r.token == "Basic":
		req.SetBasicAuth(r.login.username, r.login.password)
	case r.token != "":
		req.Header.Set("Authorization", r.token)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("failed to do request: %w", err)
	}
	return res, nil
}

var challengeParam = regexp.MustCompile(`(\w+)="([^"]*)"`)

// fetchToken asks a token server, with the login where there is one.
func (r *registry) fetchToken(ctx context.Context, params string) (string, error) {
	found := map[string]string{}
	for _, m := range challengeParam.FindAllStringSubmatch(params, -1) {
		found[m[1]] = m[2]
	}
	query := url.Values{"scope": {"repository:" + r.path + ":pull"}}
	if found["service"] != "" {
		query.Set("service", found["service"])
	}
	what := "failed to fetch anonymous token"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, found["realm"]+"?"+query.Encode(), nil)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	if r.login != (login{}) {
		what = "failed to fetch oauth token"
		req.SetBasicAuth(r.login.username, r.login.password)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: unexpected status: %s", what, res.Status)
	}
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&answer); err != nil {
		return "", fmt.Errorf("%s: unable to decode token response: %w", what, err)
	}
	if answer.Token == "" {
		answer.Token = answer.AccessToken
	}
	return answer.Token, nil
}

// dockerConfig is the content of a pull secret.
type dockerConfig struct {
	Auths map[string]struct {
		Username string `json:"username"`
		Password string `json:"password"`
		Auth     []byte `json:"auth"`
	} `json:"auths"`
}

// loginFor is the login in a pull secret whose server and path fit an image best.
func loginFor(secret []byte, named reference.Named) (as login, ok bool, err error) {
	var config dockerConfig
	if err := json.Unmarshal(secret, &config); err != nil {
		return login{}, false, err
	}
	best, longest := login{}, -1
	for server, auth := range config.Auths {
		place := strings.TrimPrefix(strings.TrimPrefix(server, "https://"), "http://")
		place = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(place, "/"), "/v1"), "/v2")
		if place == "index.docker.io" {
			place = "docker.io"
		}
		if named.Name() != place && !strings.HasPrefix(named.Name(), place+"/") || len(place) <= longest {
			continue
		}
		best, longest = login{auth.Username, auth.Password}, len(place)
		if best == (login{}) {
			best.username, best.password, _ = strings.Cut(string(auth.Auth), ":")
		}
	}
	return best, longest >= 0, nil
}
