package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/notify/fluxevent"
	"github.com/backstop-dev/backstop/notify/slack"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/watcher/alerts"
)

// options are the sidecar's flags.
type options struct {
	kubeconfig  string
	cluster     string
	maxMode     string
	maxAuthors  string
	budget      string
	namespaces  []string
	platforms   []string
	storage     string
	metricsAddr string
	healthAddr  string
	leaderElect bool
	noCrossRefs bool
	platform    []string
	tenantLabel string
	// caches and hosts of registries.
	caches, hosts   []string
	confirm         time.Duration
	history         time.Duration
	maxRollbacks    int
	logLevel        string
	workers         int
	deleteStuckPods bool
	fastForward     bool
	slack           slackOptions
	news            newsOptions
	alerts          alertOptions
	version         bool
	// top and level are maxMode, maxAuthors, budget and logLevel, parsed.
	top   reconcile.Ceiling
	level slog.Level
}

// newsOptions are the flags about who else hears the news.
type newsOptions struct {
	eventsAddr string
	console    bool
}

func (o *newsOptions) bind(f *pflag.FlagSet) {
	f.StringVar(&o.eventsAddr, "events-addr", "",
		"URL of Flux's notification-controller, so that its Alerts tell the news (from its own namespace: "+
			"http://notification-controller.flux-system.svc.cluster.local./)")
	f.BoolVar(&o.console, "console", false, "print the news on standard output, a line each")
}

// check reads the flags.
func (o *newsOptions) check() error {
	if o.eventsAddr == "" {
		return nil
	}
	if _, err := fluxevent.New(fluxevent.Options{Addr: o.eventsAddr}); err != nil {
		return fmt.Errorf("--events-addr: %w", err)
	}
	return nil
}

// slackOptions are the flags about Slack.
type slackOptions struct {
	provider  string
	broadcast string
	commitURL string
	httpAddr  string
	hosts     []string
	// name is the provider, parsed.
	name types.NamespacedName
}

func (o *slackOptions) bind(f *pflag.FlagSet) {
	f.StringVar(&o.provider, "slack-provider", "",
		"Flux Provider of type slack for policies that name none, as NAMESPACE/NAME (default: they have no cards)")
	f.StringVar(&o.broadcast, "slack-broadcast", string(slack.BroadcastFailures),
		"which news of a thread the Slack channel shows too: never, failures or all")
	f.StringVar(&o.httpAddr, "slack-http-addr", "",
		"where to take clicks over HTTP, at "+interactivityPath+" (default: nowhere; Socket Mode needs no way in)")
	f.StringSliceVar(&o.hosts, "slack-hosts", nil,
		"hosts beside slack.com and slack-gov.com that a Provider's address may name, as HOST or HOST:PORT: who answers "+
			"there says who clicked (default: none)")
	f.StringVar(&o.commitURL, "commit-url", "",
		"URL of a commit's page, with {repository} and {commit} in it (default: known for GitHub, GitLab and others)")
}

// check reads the flags.
func (o *slackOptions) check() error {
	choices := []slack.Broadcast{slack.BroadcastNever, slack.BroadcastFailures, slack.BroadcastAll}
	if !slices.Contains(choices, slack.Broadcast(o.broadcast)) {
		return fmt.Errorf("--slack-broadcast %q: want never, failures or all", o.broadcast)
	}
	if o.commitURL != "" && !strings.Contains(o.commitURL, "{commit}") {
		return fmt.Errorf("--commit-url %q: want a URL with {commit} in it", o.commitURL)
	}
	for _, host := range o.hosts {
		if host == "" || strings.ContainsAny(host, "/ *@") {
			return fmt.Errorf("--slack-hosts %q: want HOST or HOST:PORT", host)
		}
	}
	if o.provider == "" {
		return nil
	}
	ns, name, ok := strings.Cut(o.provider, "/")
	if !ok || ns == "" || name == "" || strings.Contains(name, "/") {
		return fmt.Errorf("--slack-provider %q: want NAMESPACE/NAME", o.provider)
	}
	o.name = types.NamespacedName{Namespace: ns, Name: name}
	return nil
}

// alertOptions are the flags about Flux's alerts.
type alertOptions struct {
	addr, keyFile string
}

func (o *alertOptions) bind(f *pflag.FlagSet) {
	f.StringVar(&o.addr, "alerts-addr", "",
		"where to take the events of a Flux Provider of type generic-hmac, at "+alerts.Path+" (default: nowhere)")
	f.StringVar(&o.keyFile, "alerts-key-file", "",
		"file that holds the token of that Provider's Secret; it is read anew for each event")
}

// check reads the flags.
func (o *alertOptions) check() error {
	if o.addr != "" && o.keyFile == "" {
		return errors.New("--alerts-addr needs --alerts-key-file: an event that is not signed is not taken")
	}
	return nil
}

// interactivityPath is where Slack posts clicks to, in HTTP mode.
const interactivityPath = "/slack/interactivity"
