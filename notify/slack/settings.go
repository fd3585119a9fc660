package slack

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1beta3"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/internal/cloud"
	"github.com/backstop-dev/backstop/internal/text"
)

// Settings are what a Flux Provider of type slack and its Secrets say.
type Settings struct {
	// Name of the Provider.
	Name types.NamespacedName
	// API is the base of the Web API, with a slash at its end.
	API string
	// Channel to post to, by ID or name.
	Channel string
	// Token of the bot. AppToken opens Socket Mode; SigningSecret proves clicks that come over HTTP.
	Token, AppToken, SigningSecret Secret
	// From names the Secret with the tokens, for sentences.
	From string
	// Timeout of one request.
	Timeout time.Duration
	// Suspended posts nothing.
	Suspended bool
	// Transport has the proxy and the certificates, which count for the WebSocket too.
	Transport *http.Transport
	// Way tells apart how Slack is reached: by which address, proxy and certificates.
	Way string
	// hosts that the address may name beside Slack's own.
	hosts Hosts
	// sum changes with anything of the above.
	sum [sha256.Size]byte
}

const group = "notification.toolkit.fluxcd.io"

// versions in which Flux serves Providers, the newer one first.
var versions = []string{"v1", "v1beta3"}

// Read reads a Provider and its Secrets. The error is a *Trouble where somebody has to change something. Only Slack's
// hosts are spoken to, and those that hosts names.
func Read(ctx context.Context, c client.Reader, name types.NamespacedName, hosts Hosts) (*Settings, error) {
	spec, err := provider(ctx, c, name)
	if err != nil {
		return nil, err
	}
	if spec.Type != notificationv1.SlackProvider {
		return nil, trouble("NotSlack", "Provider %s is of type %s: cards need one of type slack", name, spec.Type)
	}
	if spec.SecretRef == nil {
		return nil, trouble("NoToken",
			"Provider %s has no secretRef: name a Secret with the bot's token (xoxb-…) in key token "+
				"and the app-level token (xapp-…) in key appToken", name)
	}
	tokens, err := secret(ctx, c, name, spec.SecretRef.Name)
	if err != nil {
		return nil, err
	}
	s := &Settings{
		Name: name, Channel: strings.TrimSpace(spec.Channel), Timeout: 15 * time.Second, Suspended: spec.Suspend,
		Token: key(tokens, "token"), AppToken: key(tokens, "appToken"), SigningSecret: key(tokens, "signingSecret"),
		From: name.Namespace + "/" + spec.SecretRef.Name, hosts: hosts,
	}
	if spec.Timeout != nil && spec.Timeout.Duration > 0 {
		s.Timeout = min(spec.Timeout.Duration, maxTimeout)
	}
	if err := s.check(string(cmp.Or(key(tokens, "address"), Secret(spec.Address)))); err != nil {
		return nil, err
	}
	network := &network{c: c, name: name}
	if s.Transport, err = network.transport(ctx, spec, tokens); err != nil {
		return nil, err
	}
	way := sha256.Sum256([]byte(s.API + "\x00" + network.seen.String()))
	s.Way = hex.EncodeToString(way[:])
	s.sum = sha256.Sum256(fmt.Append(nil, []string{
		s.API, s.Channel, string(s.Token), string(s.AppToken), string(s.SigningSecret), s.From, s.Timeout.String(),
		fmt.Sprint(s.Suspended), network.seen.String(),
	}))
	return s, nil
}

// check compares tokens and address with the forms that Slack gives out, and tells which belongs where.
func (s *Settings) check(address string) error {
	switch {
	case s.Token == "":
		return trouble("NoToken",
			"Secret %s has no key token: put the Bot User OAuth Token (xoxb-…) of the Slack app there", s.From)
	case strings.HasPrefix(string(s.Token), "xoxe.") || strings.HasPrefix(string(s.Token), "xoxe-"):
		return trouble("TokenRotation",
			"key token of Secret %s is a token that Slack rotates (xoxe…): it ends after 12 hours, and Backstop does not "+
				"renew it; Slack does not turn rotation off again, so make an app without it "+
				"(token_rotation_enabled: false) and use its Bot User OAuth Token (xoxb-…)", s.From)
	case !strings.HasPrefix(string(s.Token), "xoxb-"):
		return trouble("WrongToken",
			"key token of Secret %s does not begin with xoxb-: it takes the Bot User OAuth Token, "+
				"from OAuth & Permissions of the Slack app", s.From)
	case s.AppToken != "" && !strings.HasPrefix(string(s.AppToken), "xapp-"):
		return trouble("WrongToken",
			"key appToken of Secret %s does not begin with xapp-: it takes the app-level token with "+
				"connections:write, from Basic Information of the Slack app", s.From)
	case s.Channel == "":
		return trouble("NoChannel", "Provider %s names no channel: set spec.channel, best to the channel's ID (C…)", s.Name)
	}
	api, err := base(address)
	if err != nil {
		return trouble(err.Reason, "Provider %s: %s", s.Name, err.Sentence)
	}
	if err := s.hosts.judge(api); err != nil {
		return trouble(err.Reason, "Provider %s: %s", s.Name, err.Sentence)
	}
	s.API = api
	return nil
}

// base makes the Web API's base of a Provider's address, which may name a method as Flux wants it.
func base(address string) (string, *Trouble) {
	if address == "" {
		return "https://slack.com/api/", nil
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil:
		return "", trouble("WrongAddress",
			"the address is not the URL of Slack's Web API: use https://slack.com/api/chat.postMessage")
	case strings.HasPrefix(u.Host, "hooks.") || strings.HasPrefix(u.Path, "/services/") ||
		strings.HasPrefix(u.Path, "/workflows/"):
		return "", trouble("Webhook",
			"the address is an incoming webhook, which can neither change a message nor have buttons: "+
				"use https://slack.com/api/chat.postMessage and a bot's token")
	}
	if dir, last := path.Split(u.Path); strings.Contains(last, ".") {
		u.Path = dir
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + "/"
	u.RawQuery, u.Fragment = "", ""
	return u.String(), nil
}

func key(data map[string][]byte, name string) Secret {
	return Secret(strings.TrimSpace(string(data[name])))
}

// provider reads the Provider in the version that the cluster serves.
func provider(ctx context.Context, c client.Reader, name types.NamespacedName) (*notificationv1.ProviderSpec, error) {
	for _, version := range versions {
		var u unstructured.Unstructured
		u.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: version, Kind: "Provider"})
		err := c.Get(ctx, name, &u)
		switch {
		case meta.IsNoMatchError(err):
			continue
		case apierrors.IsNotFound(err):
			return nil, trouble("NoProvider", "Provider %s does not exist", name)
		case apierrors.IsForbidden(err):
			return nil, trouble("Forbidden", "Backstop may not read Provider %s: grant get on providers.%s", name, group)
		case err != nil:
			return nil, fmt.Errorf("read Provider %s: %w", name, err)
		}
		var p notificationv1.Provider
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &p); err != nil {
			return nil, trouble("NotSlack", "Provider %s cannot be read: %s", name, text.Mask(err.Error()))
		}
		return &p.Spec, nil
	}
	return nil, trouble("NoProvider",
		"this cluster has no Providers in version %s of %s: install Flux's notification-controller",
		strings.Join(versions, " or "), group)
}

func secret(ctx context.Context, c client.Reader, by types.NamespacedName, name string) (map[string][]byte, error) {
	var s corev1.Secret
	err := c.Get(ctx, types.NamespacedName{Namespace: by.Namespace, Name: name}, &s)
	switch {
	case apierrors.IsNotFound(err):
		return nil, trouble("NoSecret", "Secret %s/%s, which Provider %s names, does not exist", by.Namespace, name, by)
	case apierrors.IsForbidden(err):
		return nil, trouble("Forbidden",
			"Backstop may not read Secret %s/%s, which Provider %s names: list it in the component "+
				"credentials for namespace %s (a Role with get on that Secret)", by.Namespace, name, by, by.Namespace)
	case err != nil:
		return nil, fmt.Errorf("read Secret %s/%s: %w", by.Namespace, name, err)
	}
	return s.Data, nil
}

// maxTimeout bounds what a Provider may ask for: people of others wait behind it.
const maxTimeout = time.Minute

// network makes a transport of what a Provider says of proxies and certificates.
type network struct {
	c    client.Reader
	name types.NamespacedName
	// seen is all that was read, for the sum.
	seen strings.Builder
}

func (n *network) transport(ctx context.Context, spec *notificationv1.ProviderSpec, tokens map[string][]byte,
) (*http.Transport, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	// Its proxy may be any address.
	t.DialContext = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second,
		Control: cloud.Refuse}).DialContext
	if spec.CertSecretRef != nil {
		data, err := secret(ctx, n.c, n.name, spec.CertSecretRef.Name)
		if err != nil {
			return nil, err
		}
		if t.TLSClientConfig, err = n.certificates(data, spec.CertSecretRef.Name); err != nil {
			return nil, err
		}
	}
	proxy, user, password := cmp.Or(string(key(tokens, "proxy")), spec.Proxy), "", ""
	if spec.ProxySecretRef != nil {
		data, err := secret(ctx, n.c, n.name, spec.ProxySecretRef.Name)
		if err != nil {
			return nil, err
		}
		proxy, user, password = string(key(data, "address")), string(data["username"]), string(data["password"])
		if proxy == "" {
			return nil, trouble("WrongProxy", "Secret %s/%s, the proxy of Provider %s, has no key address", n.name.Namespace,
				spec.ProxySecretRef.Name, n.name)
		}
	}
	if proxy == "" {
		return t, nil
	}
	u, err := url.Parse(proxy)
	if err != nil || u.Host == "" {
		return nil, trouble("WrongProxy", "the proxy of Provider %s is no URL such as http://proxy.example:3128", n.name)
	}
	if user != "" {
		u.User = url.UserPassword(user, password)
	}
	fmt.Fprintf(&n.seen, "%q", u)
	t.Proxy = http.ProxyURL(u)
	return t, nil
}

func (n *network) certificates(data map[string][]byte, from string) (*tls.Config, error) {
	either := func(name, legacy string) []byte {
		if v := data[name]; len(v) > 0 {
			return v
		}
		return data[legacy]
	}
	ca, cert, private := either("ca.crt", "caFile"), either("tls.crt", "certFile"), either("tls.key", "keyFile")
	fmt.Fprintf(&n.seen, "%q%q%q", ca, cert, private)
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(ca) {
			return nil, trouble("WrongCertificate",
				"key ca.crt of Secret %s/%s holds no certificate in PEM", n.name.Namespace, from)
		}
	}
	if len(cert)+len(private) > 0 {
		pair, err := tls.X509KeyPair(cert, private)
		if err != nil {
			return nil, trouble("WrongCertificate",
				"keys tls.crt and tls.key of Secret %s/%s are no pair in PEM", n.name.Namespace, from)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
