package wire

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// The keys of a GitHub App in a GitRepository's Secret, as Flux names them.
const (
	keyAppID       = "githubAppID"
	keyAppClientID = "githubAppClientID"
	keyAppInstall  = "githubAppInstallationID"
	keyAppOwner    = "githubAppInstallationOwner"
	keyAppPrivate  = "githubAppPrivateKey"
	keyAppBaseURL  = "githubAppBaseURL"
)

// tokenUser is the name that goes with a token of an installation.
const tokenUser = "x-access-token"

// githubApp gets tokens for the installation of a GitHub App. Flux's own module for it brings the SDKs of three clouds,
// and three requests are all there is to it:
// https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
type githubApp struct {
	issuer, install, owner string
	key                    *rsa.PrivateKey
	api                    string
	client                 *http.Client
	now                    func() time.Time

	mu      sync.Mutex
	token   string
	expires time.Time
	// granted are the permissions that the token came with.
	granted map[string]string
}

func newGitHubApp(secret map[string][]byte, client *http.Client, now func() time.Time) (*githubApp, error) {
	get := func(k string) string { return strings.TrimSpace(string(secret[k])) }
	a := &githubApp{
		issuer: get(keyAppID), install: get(keyAppInstall), owner: get(keyAppOwner), client: client, now: now,
		api: githubAPI(get(keyAppBaseURL)),
	}
	if a.issuer == "" {
		a.issuer = get(keyAppClientID)
	}
	if a.issuer == "" {
		return nil, fmt.Errorf("its Secret holds no %s", keyAppID)
	}
	if (a.install == "") == (a.owner == "") {
		return nil, fmt.Errorf("its Secret must hold one of %s and %s", keyAppInstall, keyAppOwner)
	}
	if _, err := strconv.ParseUint(a.install, 10, 64); a.install != "" && err != nil {
		return nil, fmt.Errorf("%s in its Secret is not a number", keyAppInstall)
	}
	block, _ := pem.Decode(secret[keyAppPrivate])
	if block == nil {
		return nil, fmt.Errorf("%s in its Secret is not PEM", keyAppPrivate)
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		any8, err8 := x509.ParsePKCS8PrivateKey(block.Bytes)
		k, ok := any8.(*rsa.PrivateKey)
		if err8 != nil || !ok {
			return nil, fmt.Errorf("%s in its Secret is not an RSA key", keyAppPrivate)
		}
		key = k
	}
	a.key = key
	return a, nil
}

// githubAPI is the API of github.com, or of a GitHub Enterprise server.
func githubAPI(base string) string {
	if base == "" {
		return "https://api.github.com"
	}
	base = strings.TrimSuffix(base, "/")
	u, err := url.Parse(base)
	if err != nil || strings.HasPrefix(u.Host, "api.") || strings.Contains(u.Host, ".api.") {
		return base
	}
	if strings.HasSuffix(u.Path, "/api/v3") {
		return base
	}
	return base + "/api/v3"
}

// login gives the credentials of the installation.
func (a *githubApp) login(ctx context.Context, words *Redactor) (transport.AuthMethod, error) {
	token, err := a.current(ctx, words)
	if err != nil {
		return nil, err
	}
	return &githttp.BasicAuth{Username: tokenUser, Password: token}, nil
}

// current is the token of the installation, which is used until five minutes before it ends.
func (a *githubApp) current(ctx context.Context, words *Redactor) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.token == "" || a.now().Add(5*time.Minute).After(a.expires) {
		if err := a.renew(ctx); err != nil {
			return "", fmt.Errorf("get a token of the GitHub App: %w", err)
		}
		words.addLogin(tokenUser, a.token)
	}
	return a.token, nil
}

// permissions are those of the installation, as GitHub names them. It says them with every token.
func (a *githubApp) permissions(ctx context.Context, words *Redactor) (map[string]string, error) {
	if _, err := a.current(ctx, words); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.granted), nil
}

func (a *githubApp) renew(ctx context.Context) error {
	jwt, err := a.jwt()
	if err != nil {
		return err
	}
	if a.install == "" {
		var found struct {
			ID uint64 `json:"id"`
		}
		err := a.call(ctx, http.MethodGet, "/orgs/"+url.PathEscape(a.owner)+"/installation", jwt, &found)
		if status := (*statusError)(nil); errors.As(err, &status) && status.code == http.StatusNotFound {
			err = a.call(ctx, http.MethodGet, "/users/"+url.PathEscape(a.owner)+"/installation", jwt, &found)
		}
		if err != nil {
			return err
		}
		a.install = strconv.FormatUint(found.ID, 10)
	}
	var token struct {
		Token   string            `json:"token"`
		Expires time.Time         `json:"expires_at"`
		Granted map[string]string `json:"permissions"`
	}
	if err := a.call(ctx, http.MethodPost, "/app/installations/"+a.install+"/access_tokens", jwt, &token); err != nil {
		return err
	}
	if token.Token == "" {
		return errors.New("GitHub answered without a token")
	}
	a.token, a.expires, a.granted = token.Token, token.Expires, token.Granted
	return nil
}

// jwt is good for two minutes, and dated back a little for clocks that differ.
func (a *githubApp) jwt() (string, error) {
	at := a.now().Add(-30 * time.Second).Unix()
	claims, err := json.Marshal(map[string]any{"iat": at, "exp": at + 120, "iss": a.issuer})
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	enc := base64.RawURLEncoding
	signed := enc.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + enc.EncodeToString(claims)
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", errors.New("sign with the key of the GitHub App")
	}
	return signed + "." + enc.EncodeToString(sig), nil
}

func (a *githubApp) call(ctx context.Context, method, path, jwt string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, a.api+path, nil)
	if err != nil {
		return errors.New(keyAppBaseURL + " is not a URL")
	}
	req.Header.Set("Authorization", "Bearer "+jwt)
	req.Header.Set("Accept", "application/vnd.github+json")
	res, err := a.client.Do(req)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return statusOf(res)
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(into); err != nil {
		return errors.New("GitHub's answer does not parse")
	}
	return nil
}
