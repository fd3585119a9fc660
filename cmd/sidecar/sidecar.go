package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/build"
	"github.com/backstop-dev/backstop/notify"
	"github.com/backstop-dev/backstop/notify/kubeevents"
	"github.com/backstop-dev/backstop/notify/metrics"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/deliver"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/kube"
	"github.com/backstop-dev/backstop/reconcile/observe"
	"github.com/backstop-dev/backstop/reconcile/record"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/reconcile/trigger"
	"github.com/backstop-dev/backstop/watcher"
)

// registry asks registries, never through the cluster's inner addresses.
func (o *options) registry(agent string, log *slog.Logger) *registry.Registry {
	return registry.New(registry.Options{
		Now: time.Now, UserAgent: agent, Logger: log, Caches: o.caches, Hosts: o.hosts,
		Service: os.Getenv("KUBERNETES_SERVICE_HOST"),
	})
}

// connect makes the clients of the API server: for watching, and for reading live.
func connect(cfg *rest.Config, unreadable *kube.Unreadables) (watcher.Clients, client.Client, error) {
	clients, err := watcher.Connect(cfg)
	if err != nil {
		return watcher.Clients{}, nil, err
	}
	live, err := kube.Client(cfg, unreadable)
	return clients, live, err
}

func (o *options) assemble(cfg *rest.Config, log *slog.Logger) (*sidecar, error) {
	unreadable := &kube.Unreadables{Log: log}
	clients, live, err := connect(cfg, unreadable)
	if err != nil {
		return nil, err
	}
	scheme, err := kube.Scheme()
	if err != nil {
		return nil, err
	}
	var watch *watcher.Watcher
	whose := func(namespace string) string { return watch.Tenant(namespace) }
	mirrors, err := gitrepo.New(o.storage, gitrepo.Options{Now: time.Now, Log: log, Tenant: whose})
	if err != nil {
		return nil, err
	}
	calls := observe.New(time.Now)
	git := calls.Git(mirrors)
	fluxes := flux.New(live, flux.Options{
		Now:                  time.Now,
		NoCrossNamespaceRefs: o.noCrossRefs, Namespaces: o.namespaces, Platform: o.platform, Render: renderer(mirrors),
		Blame: blamer(mirrors), Undo: undoer(mirrors),
	})
	queues, events := watcher.NewMetrics(), kubeevents.New(clients.Core, scheme)
	watch, err = watcher.New(clients, watcher.Options{
		Namespaces: o.namespaces, Home: kube.Home(), Workers: o.workers, Log: log, Metrics: queues,
		TenantLabel: o.tenantLabel, Unreadable: unreadable,
		TellRollout: events.NotTheImage, TellRun: events.RunFailed,
		Wants: func() watcher.Wanter { return reconcile.NewWants(fluxes, git) },
	})
	if err != nil {
		return nil, err
	}
	counts := metrics.New(watch.Rollbacks, watch.Adrift, time.Now)
	unreadable.Tell = func(u *kube.Unreadable) { events.Unreadable(u.Ref, u.Error()) }
	records := o.records(watch, live)
	s := &sidecar{log: log, clients: clients, watch: watch, records: records, events: events,
		metrics: prometheus.NewRegistry()}
	info, leads := metrics.Process(build.Version())
	s.leads, s.live, s.fences, s.mirrors = leads, live, metrics.Fences(), mirrors
	full := metrics.NewFull(time.Now, s.noRoom)
	s.metrics.MustRegister(info, leads, queues, unreadable, calls, counts, full, s.killSwitch(), s.fences,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.cards, s.hub, s.alerts = o.newCards(s, live), s.newHub(), s.newAlerts(&o.alerts)
	s.engine = &reconcile.Engine{
		Cluster: o.cluster, Home: kube.Home(), DeletesPods: o.deleteStuckPods, FastForward: o.fastForward, Forward: fluxes,
		Platforms: o.platforms, Ceiling: o.top, Now: time.Now,
		ConfirmAfter: o.confirm, SaveAfter: time.Second, Triggers: trigger.All(),
		Records: records, Pods: watch.Pods(), Flux: fluxes, Git: git,
		Registry: calls.Registry(o.registry(cfg.UserAgent, log)),
		Forges: deliver.NewForges(func(src reconcile.Source) (*reconcile.GitServer, error) {
			return gitrepo.API(src, time.Now)
		}, mirrors),
		Login: fluxes.WithLogin, Rendered: newRenderings(mirrors, live, log).check, Applies: fluxes,
		Try:  tryer(mirrors),
		Tell: notify.All{events, counts, s.cards.poster}.Tell, Log: log,
		MaxRecords: o.maxRollbacks, Count: watch.Count, TellFull: full.Tell, Woken: watch.Woken, Tenant: whose,
	}
	return s, nil
}

func (o *options) records(watch *watcher.Watcher, live client.Client) *record.Records {
	r := &record.Records{Cache: watch, Client: live, Home: kube.Home(), Namespaces: o.namespaces}
	if len(o.namespaces) == 1 {
		r.Namespace = o.namespaces[0]
	}
	return r
}

// killSwitch serves which policies stop every write.
func (s *sidecar) killSwitch() *metrics.Switch {
	return &metrics.Switch{Home: kube.Home(), List: func() []v1alpha1.RollbackPolicy {
		// A replica that waits for the Lease watches nothing, and says so by backstop_leader.
		all, _, err := s.watch.Policies(context.Background(), kube.Home())
		if err != nil {
			return nil
		}
		return all
	}}
}

// noRoom tells that a namespace has as many Rollbacks as are kept of one.
func (s *sidecar) noRoom(namespace, image string, most int) {
	s.log.Warn("no Rollback is opened: the namespace has as many as are kept (--max-rollbacks)", "namespace", namespace,
		"image", image, "most", most)
	s.events.Full(namespace, image, most)
}

// sweepEvery is how often holds are looked for in Git and old records are forgotten.
const sweepEvery = 10 * time.Minute

// mirrorsKept is how long a mirror stays that nobody asks for.
const mirrorsKept = 6 * time.Hour

// lead works while this replica holds the Lease.
func (s *sidecar) lead(ctx context.Context, o *options) error {
	defer s.events.Stop()
	work := func(ctx context.Context) error {
		s.leads.Set(1)
		defer s.leads.Set(0)
		s.engine.Stopping = func() bool { return ctx.Err() != nil }
		uid, err := kube.ClusterUID(ctx, s.clients.Core.CoreV1(), s.log)
		if err != nil {
			return err
		}
		s.engine.ClusterUID = uid
		var beside sync.WaitGroup
		beside.Go(func() { s.sweep(ctx, o.history) })
		beside.Go(func() { s.describe(ctx) })
		beside.Go(func() { s.guard(ctx) })
		beside.Go(func() { s.cards.run(ctx) })
		beside.Go(func() { s.hear(ctx) })
		beside.Go(func() { s.takeAlerts(ctx) })
		err = s.watch.Run(ctx, s.engine)
		beside.Wait()
		return err
	}
	if !o.leaderElect {
		s.leader.Store(true)
		return work(ctx)
	}
	id, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("read the host's name, which tells replicas apart: %w", err)
	}
	return watcher.Lead(ctx, watcher.Election{
		Leases: s.clients.Core.CoordinationV1(), Namespace: kube.Home(), Name: "backstop",
		Identity: fmt.Sprintf("%s_%d", id, os.Getpid()), Log: s.log,
		Known: func() { s.leader.Store(true) },
	}, work)
}

// sweep runs after start and from then on every ten minutes.
func (s *sidecar) sweep(ctx context.Context, history time.Duration) {
	next := time.NewTimer(5 * time.Second)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		if s.watch.Synced() != nil {
			next.Reset(5 * time.Second)
			continue
		}
		if err := s.engine.Sweep(ctx, history); err != nil && !errors.Is(err, context.Canceled) {
			s.log.Error("sweep", "error", err)
		}
		s.mirrors.Tidy(mirrorsKept)
		next.Reset(sweepEvery)
	}
}

// describeEvery is how often the statuses of policies are brought up to date. They come from caches and are written
// only when they change.
const describeEvery = 5 * time.Second

// describe keeps the statuses of policies.
func (s *sidecar) describe(ctx context.Context) {
	tick := time.NewTicker(describeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		subjects, err := s.watch.Subjects()
		if err != nil {
			continue
		}
		err = s.records.DescribePolicies(ctx, subjects, kube.Home(), time.Now())
		if err != nil && !errors.Is(err, context.Canceled) {
			s.log.Warn("describe policies", "error", err)
		}
	}
}

// errNoLeader means that the API server has not answered yet, or that nobody may write the Lease.
var errNoLeader = errors.New("no leader is known yet: the Lease was neither read nor taken; see the log")

// ready explains why this replica is of no use. A follower is ready too: it waits for the Lease and watches nothing
// yet.
func (s *sidecar) ready() error {
	if !s.leader.Load() {
		return errNoLeader
	}
	return errors.Join(s.watch.Broken(), s.watch.Unreadable())
}

// serve answers probes and scrapes until the function that it gives is called.
func (s *sidecar) serve(ctx context.Context, metricsAddr, healthAddr string) (func(), error) {
	health := http.NewServeMux()
	health.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	health.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	scrape := http.NewServeMux()
	scrape.Handle("/metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{}))
	var stops []func()
	stop := func() {
		for _, f := range stops {
			f()
		}
	}
	for _, at := range []struct {
		addr string
		http.Handler
	}{{metricsAddr, scrape}, {healthAddr, health}} {
		end, err := listen(ctx, at.addr, at.Handler, s.log)
		if err != nil {
			stop()
			return nil, err
		}
		stops = append(stops, end)
	}
	return stop, nil
}
