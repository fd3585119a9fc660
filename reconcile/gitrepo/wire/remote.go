package wire

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	fluxgit "github.com/fluxcd/pkg/git"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/backstop-dev/backstop/reconcile"
)

// defaultTimeout bounds one network operation where the source says nothing, as Flux does.
const defaultTimeout = 60 * time.Second

// MaxTimeout bounds it whatever the source says: a server that drips holds the mirror no longer.
const MaxTimeout = 10 * time.Minute

// Remote is the way to one Git server with one set of credentials. Sessions are opened on transports of its own:
// go-git's registry of clients is global and would mix the credentials of all sources.
type Remote struct {
	// Key changes with everything that the connection is made of.
	Key string
	// Source, URL and Branch as sentences name them.
	Source  string
	URL     string
	Branch  plumbing.ReferenceName
	Timeout time.Duration
	// Credentials says whether there are any.
	Credentials bool
	Words       *Redactor
	Upload      func(context.Context) (transport.UploadPackSession, error)
	receive     func(context.Context) (transport.ReceivePackSession, error)
	// Client and Login are the way to the API beside the Git server; nil over SSH.
	Client *http.Client
	Login  func(context.Context) (user, token string, err error)
	// fault is the last error that the connection itself saw; go-git loses the chain of some.
	fault func() error
	// Meter counts what the server sends in one operation.
	Meter *meter
	// Settle ends what an operation left open, and Close everything.
	Settle, Close func()
}

// Dial prepares the way; nothing is sent yet. dir is where files may be written that libraries insist on.
func Dial(src reconcile.Source, now func() time.Time, dir string) (*Remote, error) {
	r := &Remote{
		Key:     RemoteKey(src),
		Source:  "GitRepository " + src.Name.String(),
		URL:     WithoutUser(src.URL),
		Branch:  BranchRef(src.Branch),
		Timeout: src.Timeout,
		Words:   &Redactor{},
		fault:   func() error { return nil },
		Meter:   &meter{},
		Settle:  func() {},
		Close:   func() {},
	}
	if r.Timeout <= 0 {
		r.Timeout = defaultTimeout
	}
	r.Timeout = min(r.Timeout, MaxTimeout)
	if src.Branch == "" || r.Branch.Validate() != nil {
		return nil, reconcile.RefuseAs(reconcile.FaultConnection, "%s: %q is not a branch to push to", r.Source,
			OneLine(src.Branch, 100))
	}
	for _, data := range []map[string][]byte{src.Auth.Secret, src.Auth.Proxy} {
		for k, v := range data {
			switch k {
			case "username", "known_hosts", "address", "ca.crt", "caFile", "tls.crt", "githubAppID":
			default:
				r.Words.add(string(v))
			}
		}
	}
	u, err := url.Parse(src.URL)
	if err != nil {
		return nil, reconcile.RefuseAs(reconcile.FaultConnection, "%s: its URL does not parse", r.Source)
	}
	if pw, ok := u.User.Password(); ok {
		r.Words.add(pw)
	} else if u.User != nil && u.Scheme != "ssh" {
		r.Words.add(u.User.Username())
	}
	return r, r.connect(u, src, now, dir)
}

func (r *Remote) connect(u *url.URL, src reconcile.Source, now func() time.Time, dir string) error {
	if u.Host == "" || !slices.Contains([]string{"http", "https", "ssh"}, u.Scheme) {
		return reconcile.RefuseAs(reconcile.FaultConnection, "%s: %s is not an http, https or ssh URL", r.Source, r.URL)
	}
	if err := provider(src.Auth, u.Scheme); err != nil {
		return reconcile.RefuseAs(reconcile.FaultConnection, "%s: %w", r.Source, err)
	}
	opts, err := fluxgit.NewAuthOptions(*u, src.Auth.Secret)
	if err != nil {
		return reconcile.RefuseAs(reconcile.FaultConnection, "%s: its Secret does not fit its URL: %s", r.Source,
			r.Words.Clean(err.Error(), 300))
	}
	proxy, err := proxyURL(src.Auth.Proxy)
	if err != nil {
		return reconcile.RefuseAs(reconcile.FaultConnection, "%s: proxySecretRef: %w", r.Source, err)
	}
	r.Words.addLogin(opts.Username, opts.Password)
	if _, token := loginOf(opts); token == opts.Username {
		r.Words.add(token)
	}
	if proxy != nil {
		pw, _ := proxy.User.Password()
		r.Words.addLogin(proxy.User.Username(), pw)
	}
	r.Credentials = opts.Username != "" || opts.Password != "" || opts.BearerToken != "" || len(opts.Identity) > 0 ||
		src.Auth.Provider == providerGitHub
	if opts.Transport == fluxgit.SSH {
		err = r.overSSH(u, opts, proxy, dir)
	} else {
		err = r.overHTTP(u, opts, proxy, src.Auth, now)
	}
	if err != nil {
		return reconcile.RefuseAs(reconcile.FaultConnection, "%s: %w", r.Source, err)
	}
	return nil
}

// The providers of a GitRepository's credentials.
const (
	providerGeneric = "generic"
	providerGitHub  = "github"
)

// provider refuses the ways to log in that are not supported, with the way out.
func provider(auth reconcile.Auth, scheme string) error {
	_, app := auth.Secret[keyAppPrivate]
	switch auth.Provider {
	case "", providerGeneric:
		if app {
			return errors.New("its Secret holds a GitHub App but its provider is not github: set spec.provider to github")
		}
		return nil
	case providerGitHub:
		if !app {
			return fmt.Errorf("its provider is github but its Secret holds no %s", keyAppPrivate)
		}
		if scheme == "ssh" {
			return errors.New("its provider is github, which needs an https URL")
		}
		return nil
	case "azure", "aws", "gcp":
		return fmt.Errorf("the identity of %s is not supported yet: name a GitRepository with a Secret (a token or an SSH "+
			"key that may push) in the sourceRef of the RollbackPolicy", auth.Provider)
	}
	return fmt.Errorf("unknown provider %q", OneLine(auth.Provider, 50))
}

// proxyURL reads the data of a proxySecretRef.
func proxyURL(data map[string][]byte) (*url.URL, error) {
	if len(data) == 0 {
		return nil, nil
	}
	u, err := url.Parse(string(data["address"]))
	if err != nil || u.Host == "" {
		return nil, errors.New("address is not a URL")
	}
	if !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return nil, fmt.Errorf("a proxy of scheme %q is not supported", OneLine(u.Scheme, 20))
	}
	if name := string(data["username"]); name != "" {
		u.User = url.UserPassword(name, string(data["password"]))
	}
	return u, nil
}

// BranchRef is the full name of a branch, which Flux also accepts as a reference name.
func BranchRef(branch string) plumbing.ReferenceName {
	return plumbing.NewBranchReferenceName(strings.TrimPrefix(branch, "refs/heads/"))
}

// RemoteKey is a hash over everything that a connection is made of.
func RemoteKey(src reconcile.Source) string {
	h := sha256.New()
	put := func(b []byte) { fmt.Fprintf(h, "%d:", len(b)); h.Write(b) }
	put([]byte(src.URL))
	put([]byte(src.Branch))
	put([]byte(src.Timeout.String()))
	put([]byte(src.Auth.Provider))
	for _, data := range []map[string][]byte{src.Auth.Secret, src.Auth.Proxy} {
		put(nil)
		for _, k := range slices.Sorted(maps.Keys(data)) {
			put([]byte(k))
			put(data[k])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
