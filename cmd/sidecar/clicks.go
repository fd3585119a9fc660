package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack"
	"github.com/backstop-dev/backstop/notify/slack/clicks"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
	"github.com/backstop-dev/backstop/reconcile/record"
)

// followEvery is how soon new tokens of a Provider are heard with.
const followEvery = time.Second

// newHub makes what hears the clicks of all apps.
func (s *sidecar) newHub() *clicks.Hub {
	counts := clicks.NewMetrics()
	s.metrics.MustRegister(counts)
	return clicks.NewHub(clicks.NewHandler(clicks.Options{
		Records: clickRecords{s.records}, Rules: s.rules, Places: places, Platform: s.platformsProvider, Log: s.log,
		Metrics: counts,
	}), clicks.HubOptions{})
}

// hear takes the clicks of the apps that there are, until this replica leads no more.
func (s *sidecar) hear(ctx context.Context) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	defer s.hub.Close()
	for {
		s.hub.Set(ctx, clickApps(s.cards.apps.All(), s.cards.apps.Hosts))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// clickApps are the apps as clicks know them.
func clickApps(all []*slack.App, hosts slack.Hosts) []clicks.App {
	var out []clicks.App
	for _, a := range all {
		out = append(out, clicks.App{
			Provider: a.Name.String(), API: a.Client, Team: a.Team, Enterprise: a.Enterprise,
			AppToken: string(a.AppToken), SigningSecret: string(a.SigningSecret),
			Transport: a.Transport, Way: a.Way, Allows: hosts.Allow,
		})
	}
	return out
}

// serveClicks answers Slack's requests in HTTP mode until the function that it gives is called. Only the leader has
// apps; who does not lead says that it is not served.
func (s *sidecar) serveClicks(ctx context.Context, addr string) (func(), error) {
	if addr == "" {
		return func() {}, nil
	}
	mux := http.NewServeMux()
	mux.Handle(interactivityPath, clicks.NewInteractivity(s.hub))
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	srv := clicks.Serve(l, mux, func(err error) {
		if !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("serve", "address", addr, "error", err)
		}
	})
	s.log.Debug("listening", "address", l.Addr().String())
	return func() { _ = srv.Close() }, nil
}

// rules are who may decide on a Rollback: every policy that speaks of its workloads has its say.
func (s *sidecar) rules(ctx context.Context, r *v1alpha1.Rollback) ([]clicks.Rule, error) {
	policy, err := s.engine.PolicyOf(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("resolve the policies of rollback/%s: %w", r.Name, err)
	}
	var out []clicks.Rule
	for _, a := range policy.Approvers {
		out = append(out, clicks.Rule{Policy: a.Policy, SlackApproval: a.SlackApproval})
	}
	return out, nil
}

// places are where the card of a Rollback stands.
func places(r *v1alpha1.Rollback) []clicks.Place {
	if c := r.Status.Card; c != nil {
		return []clicks.Place{{Provider: c.Provider, Channel: c.Channel, Message: c.TS}}
	}
	return nil
}

// platformsProvider reports whether a Provider is the platform's: the default one, or one beside Backstop itself.
func (s *sidecar) platformsProvider(provider string) bool {
	ns, _, _ := strings.Cut(provider, "/")
	return ns == kube.Home() || s.cards.otherwise.Name != "" && provider == s.cards.otherwise.String()
}

// clickRecords are the records, as clicks know them.
type clickRecords struct{ *record.Records }

// SaveDecisions says a conflict in the words of clicks.
func (r clickRecords) SaveDecisions(ctx context.Context, rb *v1alpha1.Rollback) error {
	err := r.Records.SaveDecisions(ctx, rb)
	if errors.Is(err, reconcile.ErrConflict) {
		return clicks.ErrConflict
	}
	return err
}
