package wire

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	fluxgit "github.com/fluxcd/pkg/git"

	"github.com/backstop-dev/backstop/internal/cloud"
	"github.com/backstop-dev/backstop/reconcile"
)

// MaxKey bounds a private key, in bytes. To use one takes the time of its length to the third, and a Secret has room
// for one that takes hours.
const MaxKey = 32 << 10

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
			OneLine(src.Branch, nameRunes))
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
	for _, k := range []string{"identity", "tls.key", "keyFile", keyAppPrivate} {
		if len(src.Auth.Secret[k]) > MaxKey {
			return nil, reconcile.RefuseAs(reconcile.FaultConnection, "%s: %s in its Secret is larger than any key", r.Source, k)
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
	// A proxy would dial it from where it stands: what is dialled here is judged when its name was looked up.
	if cloud.Bars(u.Hostname()) {
		kind, why := r.refusedPeer(cloud.ErrMetadata, "")
		return reconcile.RefuseAs(kind, "%s: %s", r.Source, why)
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
	return fmt.Errorf("unknown provider %q", OneLine(auth.Provider, nameRunes))
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
		return nil, fmt.Errorf("a proxy of scheme %q is not supported", OneLine(u.Scheme, nameRunes))
	}
	if name := string(data["username"]); name != "" {
		u.User = url.UserPassword(name, string(data["password"]))
	}
	return u, nil
}
