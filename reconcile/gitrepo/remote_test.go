package gitrepo

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/test/gitserver"
)

// served is the standard repository behind another server.
func served(t *testing.T, o gitserver.Options) (*world, *gitserver.Server) {
	t.Helper()
	w, _ := standard(t)
	o.Root = w.server.Root
	s, err := gitserver.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w.src.URL = s.URL + "/org/fleet.git"
	w.src.Auth = reconcile.Auth{}
	return w, s
}

// works blames and lands.
func (w *world) works() {
	w.Helper()
	w.land(w.wish(w.blame(query(repo + ":" + tag1))))
}

// secret is the data of a Secret, given as key, value, key, value.
func secret(kv ...string) map[string][]byte {
	out := map[string][]byte{}
	for i := 0; i+1 < len(kv); i += 2 {
		out[kv[i]] = []byte(kv[i+1])
	}
	return out
}

func TestBearerToken(t *testing.T) {
	t.Parallel()
	w, _ := served(t, gitserver.Options{Bearer: "tok-123456"})
	w.refused(query(repo+":"+tag1), "has no secretRef")
	w.src.Auth.Secret = secret("bearerToken", "tok-654321")
	w.refused(query(repo+":"+tag1), "does not accept the credentials")
	w.src.Auth.Secret = secret("bearerToken", "tok-123456")
	w.works()
}

func TestCredentialsInTheURL(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	w.src.Auth = reconcile.Auth{}
	w.src.URL = strings.Replace(w.src.URL, "http://", "http://bot:"+password+"@", 1)
	w.works()
	w.src.URL = strings.Replace(w.src.URL, password, "wrong-"+password, 1)
	w.refused(query(repo+":"+tag0), "does not accept the credentials")
}

func TestPrivateAuthority(t *testing.T) {
	t.Parallel()
	pki, err := gitserver.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	w, _ := served(t, gitserver.Options{TLS: pki.Server(false)})
	w.refused(query(repo+":"+tag1), "unknown authority", "ca.crt")
	w.src.Auth.Secret = secret("ca.crt", "no certificate")
	w.refused(query(repo+":"+tag1), "holds no certificate")
	for _, key := range []string{"ca.crt", "caFile"} {
		w.src.Auth.Secret = secret(key, string(pki.CA))
		w.blame(query(repo + ":" + tag1))
	}
	w.works()
}

func TestClientCertificate(t *testing.T) {
	t.Parallel()
	pki, err := gitserver.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	w, _ := served(t, gitserver.Options{TLS: pki.Server(true)})
	w.src.Auth.Secret = secret("ca.crt", string(pki.CA))
	w.refused(query(repo+":"+tag1), "tls.crt and tls.key")
	w.src.Auth.Secret = secret("ca.crt", string(pki.CA), "tls.crt", string(pki.ClientCert), "tls.key", "none")
	w.refused(query(repo+":"+tag1), "no certificate with its key")
	w.src.Auth.Secret = secret("ca.crt", string(pki.CA), "tls.crt", string(pki.ClientCert), "tls.key", string(pki.ClientKey))
	w.works()
}

func TestSSH(t *testing.T) {
	t.Parallel()
	for _, passphrase := range []string{"", "open sesame"} {
		t.Run("passphrase "+passphrase, func(t *testing.T) {
			t.Parallel()
			w, bad := standard(t)
			s, err := gitserver.StartSSH(w.server.Root, passphrase)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			q := query(repo + ":" + tag1)
			w.src.URL = s.URL + "/org/fleet.git"
			good := []string{"identity", string(s.Identity), "known_hosts", string(s.KnownHosts)}
			if passphrase != "" {
				w.src.Auth.Secret = secret(good...)
				w.refused(q, "has a passphrase")
				w.src.Auth.Secret = secret(append(good, "password", "wrong")...)
				w.refused(q, "is not its passphrase")
				good = append(good, "password", passphrase)
			}
			w.src.Auth.Secret = secret(good...)
			w.sameTreeAsGitRevert(w.land(w.wish(w.blame(q)))[0].Change.Commit, bad)

			w.src.URL = s.URL + "/org/none.git"
			w.refused(q, "knows no such repository")
			w.src.URL = s.URL + "/org/fleet.git"
			w.src.Auth.Secret = secret("known_hosts", string(s.KnownHosts))
			w.refused(q, "identity")
			w.src.Auth.Secret = secret("identity", string(s.Identity))
			w.refused(q, "known_hosts")
			other, line, err := gitserver.NewKey(s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			w.src.Auth.Secret = secret(append(good, "known_hosts", string(line))...)
			w.refused(q, "host key is not the one in known_hosts")
			_, line, err = gitserver.NewKey("example.com:22")
			if err != nil {
				t.Fatal(err)
			}
			w.src.Auth.Secret = secret(append(good, "known_hosts", string(line))...)
			w.refused(q, "host key is not in known_hosts")
			w.src.Auth.Secret = secret("identity", string(other), "known_hosts", string(s.KnownHosts))
			w.refused(q, "does not accept the SSH key")
		})
	}
}

// overSSH has the world's source read and push over SSH.
func (w *world) overSSH() {
	w.Helper()
	s, err := gitserver.StartSSH(w.server.Root, "")
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = s.Close() })
	w.src.URL = s.URL + "/org/fleet.git"
	w.src.Auth.Secret = secret("identity", string(s.Identity), "known_hosts", string(s.KnownHosts))
}

func TestSSHHookAndHang(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	w.overSSH()
	wish := w.wish(w.blame(query(repo + ":" + tag1)))
	if err := gitserver.Hook(w.bare, "pre-receive", "echo freeze >&2; exit 1"); err != nil {
		t.Fatal(err)
	}
	_, err := w.mirrors.Land(t.Context(), w.src, []reconcile.Revert{wish})
	if why, refused := reconcile.AsRefusal(err); !refused || !strings.Contains(why, "freeze") {
		t.Errorf("land gives %v", err)
	}
	// A server that accepts and then says nothing: not even the handshake may hang.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	w.src.URL, w.src.Timeout = "ssh://git@"+l.Addr().String()+"/org/fleet.git", 200*time.Millisecond
	_, err = w.mirrors.Blame(t.Context(), w.src, query(repo+":"+tag1))
	if _, refused := reconcile.AsRefusal(err); err == nil || refused || !strings.Contains(err.Error(), "no answer within 200ms") {
		t.Errorf("blame gives %v", err)
	}
}

func TestSourcesThatAreRefused(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	proxied := func(host string) func(*reconcile.Source) {
		return func(s *reconcile.Source) {
			s.URL, s.Auth.Proxy = "http://"+host+"/latest/fleet.git", secret("address", w.server.URL)
		}
	}
	for _, test := range []struct {
		name   string
		change func(*reconcile.Source)
		want   string
	}{
		{"a file URL", func(s *reconcile.Source) { s.URL = "file://" + w.bare }, "not an http, https or ssh URL"},
		{"a path", func(s *reconcile.Source) { s.URL = w.bare }, "not an http, https or ssh URL"},
		{"an scp-like address", func(s *reconcile.Source) { s.URL = "git@github.com:org/fleet.git" }, "does not parse"},
		{"the git protocol", func(s *reconcile.Source) { s.URL = "git://example.com/fleet.git" }, "not an http, https or ssh URL"},
		{"a cloud's metadata, through a proxy", proxied("169.254.169.254"), "one of a cloud's metadata"},
		{"the same, as one number", proxied("2852039166"), "one of a cloud's metadata"},
		{"the same, by its name", proxied("metadata.goog"), "one of a cloud's metadata"},
		{"the same, as a GitHub App's API", func(s *reconcile.Source) {
			s.Auth = reconcile.Auth{Provider: "github", Proxy: secret("address", w.server.URL), Secret: secret("githubAppID", "1",
				"githubAppInstallationID", "2", "githubAppBaseURL", "http://169.254.169.254/latest/x?", "githubAppPrivateKey", appKey(t, 2048))}
		}, "one of a cloud's metadata"},
		{"a GitHub App whose key takes hours to use", func(s *reconcile.Source) {
			s.Auth = reconcile.Auth{Provider: "github", Secret: secret("githubAppID", "1", "githubAppInstallationID", "2", "githubAppPrivateKey",
				string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: make([]byte, 100_000)})))}
		}, "is larger than any key"},
		{"an identity of azure", func(s *reconcile.Source) { s.Auth.Provider = "azure" }, "azure is not supported yet"},
		{"an identity of aws", func(s *reconcile.Source) { s.Auth.Provider = "aws" }, "sourceRef of the RollbackPolicy"},
		{"a provider that nobody knows", func(s *reconcile.Source) { s.Auth.Provider = "x\ny" }, `unknown provider "x y"`},
		{"github without an app", func(s *reconcile.Source) { s.Auth.Provider = "github" }, "githubAppPrivateKey"},
		{"an app without github", func(s *reconcile.Source) { s.Auth.Secret = secret("githubAppPrivateKey", "x") }, "set spec.provider to github"},
		{"a password without a name", func(s *reconcile.Source) { s.Auth.Secret = secret("password", "hunter2222") }, "requires 'username'"},
		{"a proxy that is no URL", func(s *reconcile.Source) { s.Auth.Proxy = secret("address", "://") }, "proxySecretRef"},
		{"a proxy of another kind", func(s *reconcile.Source) { s.Auth.Proxy = secret("address", "ftp://x") }, `scheme "ftp"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			src := w.src
			test.change(&src)
			_, err := w.mirrors.Blame(t.Context(), src, query(repo+":"+tag1))
			if why, refused := reconcile.AsRefusal(err); !refused || !strings.Contains(why, test.want) || strings.Contains(why, "hunter2222") {
				t.Errorf("blame gives %v, want a refusal that says %q", err, test.want)
			}
		})
	}
}

// appKey is the key of a GitHub App.
func appKey(t *testing.T, bits int) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

func TestGitHubApp(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var tokens atomic.Int64
	var w *world
	api := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		jwt := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
		if len(jwt) != 3 {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		sum := sha256.Sum256([]byte(jwt[0] + "." + jwt[1]))
		sig, _ := base64.RawURLEncoding.DecodeString(jwt[2])
		raw, _ := base64.RawURLEncoding.DecodeString(jwt[1])
		var claims struct {
			Iat, Exp int64
			Iss      string
		}
		if rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], sig) != nil || json.Unmarshal(raw, &claims) != nil ||
			claims.Iss != "4711" || claims.Exp-claims.Iat > 600 {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch r.Method + " " + r.URL.Path {
		case "GET /api/v3/orgs/acme/installation":
			rw.WriteHeader(http.StatusNotFound)
		case "GET /api/v3/users/acme/installation":
			_, _ = io.WriteString(rw, `{"id": 99}`)
		case "POST /api/v3/app/installations/99/access_tokens":
			tokens.Add(1)
			rw.WriteHeader(http.StatusCreated)
			fmt.Fprintf(rw, `{"token": "ghs_abcdef", "permissions": {"contents": "write"}, "expires_at": %q}`, w.now.Add(time.Hour).Format(time.RFC3339))
		default:
			rw.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(api.Close)
	w, _ = served(t, gitserver.Options{Username: "x-access-token", Password: "ghs_abcdef"})
	private := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	w.src.Auth = reconcile.Auth{Provider: "github", Secret: secret("githubAppID", "4711", "githubAppInstallationOwner", "acme",
		"githubAppPrivateKey", private, "githubAppBaseURL", api.URL)}
	w.works()
	if n := tokens.Load(); n != 1 {
		t.Errorf("%d tokens were asked for, want one that is kept", n)
	}
	way, err := API(w.src, func() time.Time { return w.now })
	if err != nil {
		t.Fatal(err)
	}
	if granted, err := way.Permissions(t.Context()); err != nil || granted["contents"] != "write" || tokens.Load() != 2 {
		t.Errorf("it may %v, %v, after %d tokens", granted, err, tokens.Load())
	}
	w.now = w.now.Add(58 * time.Minute)
	w.blame(query(repo + ":" + tag0))
	if n := tokens.Load(); n != 3 {
		t.Errorf("%d tokens after most of an hour, want a new one", n)
	}
	for _, test := range []struct{ key, value, want string }{
		{"githubAppID", "1", "does not accept the credentials"},
		{"githubAppID", "", "holds no githubAppID"},
		{"githubAppInstallationID", "x", "one of githubAppInstallationID"},
		{"githubAppPrivateKey", "x", "is not PEM"},
		{"githubAppInstallationOwner", "other", "knows no such repository"},
	} {
		w.src.Auth.Secret = secret("githubAppID", "4711", "githubAppInstallationOwner", "acme", "githubAppPrivateKey", private,
			"githubAppBaseURL", api.URL, test.key, test.value)
		w.refused(query(repo+":"+tag0), test.want)
	}
}

// echo answers everything with what it was given: a server that cannot keep a secret.
func echo(rw http.ResponseWriter, r *http.Request) bool {
	_, pass, _ := r.BasicAuth()
	rw.WriteHeader(http.StatusTeapot)
	fmt.Fprintf(rw, "you are %s with %s at %s", r.Header.Get("Authorization"), pass, r.URL)
	return true
}

func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	secrets := []string{password, "tok-123456", "proxy-pass", "url-p%2Fss", "url-p/ss", base64.StdEncoding.EncodeToString([]byte("bot:" + password))}
	var said strings.Builder
	for _, fault := range []gitserver.Fault{nil, echo, gitserver.Drop()} {
		w.server.SetFault(fault)
		for _, auth := range []reconcile.Auth{
			w.src.Auth,
			{Secret: secret("bearerToken", "tok-123456")},
			{Secret: w.src.Auth.Secret, Proxy: secret("address", "http://127.0.0.1:1", "username", "me", "password", "proxy-pass")},
			{Secret: w.src.Auth.Secret, Proxy: secret("address", "http://me:proxy-pass@127.0.0.1:1")},
			{},
		} {
			for _, url := range []string{
				w.src.URL, strings.Replace(w.src.URL, "http://", "http://bot:url-p%2Fss@", 1),
				strings.Replace(w.src.URL, "http://", "http://tok-123456@", 1), "http://bot:" + password + "@127.0.0.1:1/x",
				"ssh://git:" + password + "@127.0.0.1:1/x", "http://bot:" + password + "@%zz/", "foo://" + password + "@x",
			} {
				src := w.src
				src.URL, src.Auth = url, auth
				src.Timeout = 2 * time.Second
				_, err := w.mirrors.Blame(t.Context(), src, query(repo+":"+tag1))
				fmt.Fprintln(&said, err)
				_, err = w.mirrors.Land(t.Context(), src, nil)
				fmt.Fprintln(&said, err)
			}
			fmt.Fprintf(&said, "%v %+v %#v %s\n", auth, auth, auth, auth)
		}
	}
	w.server.SetFault(nil)
	_ = filepath.WalkDir(w.dir, func(p string, _ os.DirEntry, _ error) error {
		if raw, err := os.ReadFile(p); err == nil {
			said.Write(raw)
		}
		return nil
	})
	text := said.String() + w.log.String()
	if !strings.Contains(text, "Teapot") && !strings.Contains(text, "418") {
		t.Error("the faults were not met")
	}
	for _, s := range secrets {
		if i := strings.Index(text, s); i >= 0 {
			t.Errorf("%q is in %q", s, text[max(0, i-150):min(len(text), i+len(s)+20)])
		}
	}
}

func TestConnectionsOfOneSourceAreItsOwn(t *testing.T) {
	t.Parallel()
	pki, err := gitserver.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	w, _ := served(t, gitserver.Options{TLS: pki.Server(false)})
	w.src.Auth.Secret = secret("ca.crt", string(pki.CA))
	w.blame(query(repo + ":" + tag1))
	other := w.src
	other.Name.Name, other.Auth = "other", reconcile.Auth{}
	if _, err := w.mirrors.Blame(t.Context(), other, query(repo+":"+tag1)); err == nil {
		t.Error("another source trusts the first one's authority")
	}
	if c, ok := http.DefaultTransport.(*http.Transport); ok && c.TLSClientConfig != nil && c.TLSClientConfig.RootCAs != nil {
		t.Error("the default transport was changed")
	}
}
