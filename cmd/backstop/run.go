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
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify"
	"github.com/backstop-dev/backstop/notify/clicks"
	"github.com/backstop-dev/backstop/notify/kubeevents"
	"github.com/backstop-dev/backstop/notify/metrics"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/observe"
	"github.com/backstop-dev/backstop/reconcile/record"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/watcher"
)

// runOptions are the sidecar's flags.
type runOptions struct {
	cluster
	name        string
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
	history     time.Duration
	logLevel    string
	workers     int
	unstick     bool
	slack       slackOptions
	news        newsOptions
}

func runCommand(std streams) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "run the sidecar",
		Long: `Watches the cluster, and reverts in Git what a RollbackPolicy lets it revert. Nothing is reverted where no
policy says so. The flags --max-mode, --max-authors and --budget are the ceiling, whatever a policy says.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), std) },
	}
	o.bindAll(cmd.Flags())
	return cmd
}

func (o *runOptions) bindAll(f *pflag.FlagSet) {
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "path to the kubeconfig (default: the pod's service account)")
	f.StringVar(&o.name, "cluster", "default",
		"name of this cluster in commits and messages; unique among the clusters on one repository")
	f.StringVar(&o.maxMode, "max-mode", "Auto", "what a policy may allow at most: Notify, Approve or Auto")
	f.StringVar(&o.maxAuthors, "max-authors", "Anyone",
		"whose changes a policy may let revert at most: Automation or Anyone")
	f.StringVar(&o.budget, "budget", "3/1h",
		"how many suspect commits may be reverted by policy on one branch, as COUNT/DURATION")
	f.StringSliceVar(&o.namespaces, "namespaces", nil, "watch these namespaces only (default: all)")
	f.StringSliceVar(&o.platforms, "platforms", []string{"linux/amd64"},
		"platforms to prove images for, where nodes cannot be read")
	f.StringVar(&o.storage, "storage", "/data", "folder for the mirrors of the Git repositories")
	f.StringVar(&o.metricsAddr, "metrics-addr", ":8080", "where to serve /metrics")
	f.StringVar(&o.healthAddr, "health-addr", ":9440", "where to serve /healthz and /readyz")
	f.BoolVar(&o.leaderElect, "leader-elect", true, "work only while holding the Lease, so that replicas take turns")
	f.BoolVar(&o.noCrossRefs, "no-cross-namespace-refs", false,
		"refuse references to objects of other namespaces, as Flux does under this flag")
	f.DurationVar(&o.history, "history", 30*24*time.Hour, "how long ended Rollbacks are kept")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&o.unstick, "unstick", false,
		"delete pods that keep an ordered rollout from moving on (component unstick grants it)")
	o.slack.bind(f)
	o.news.bind(f)
	f.IntVar(&o.workers, "workers", 8, "how many images are worked on at once")
}

// home is Backstop's own namespace.
func home() string {
	if ns := os.Getenv("POD_NAMESPACE"); ns != "" {
		return ns
	}
	return "backstop-system"
}

// ceiling reads the flags that bound every policy.
func (o *runOptions) ceiling() (reconcile.Ceiling, error) {
	budget, err := reconcile.ParseBudget(o.budget)
	if err != nil {
		return reconcile.Ceiling{}, badUsage("--budget: %w", err)
	}
	c := reconcile.Ceiling{Mode: v1alpha1.Mode(o.maxMode), Authors: v1alpha1.Authors(o.maxAuthors), Budget: budget,
		NoCrossNamespaceRefs: o.noCrossRefs}
	switch c.Mode {
	case v1alpha1.ModeNotify, v1alpha1.ModeApprove, v1alpha1.ModeAuto:
	default:
		return c, badUsage("--max-mode %q: want Notify, Approve or Auto", o.maxMode)
	}
	switch c.Authors {
	case v1alpha1.AuthorsAutomation, v1alpha1.AuthorsAnyone:
	default:
		return c, badUsage("--max-authors %q: want Automation or Anyone", o.maxAuthors)
	}
	return c, nil
}

func (o *runOptions) run(ctx context.Context, std streams) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return badUsage("--log-level %q: want debug, info, warn or error", o.logLevel)
	}
	top, err := o.ceiling()
	if err != nil {
		return err
	}
	if err := errors.Join(o.slack.check(), o.news.check()); err != nil {
		return err
	}
	cfg, _, err := o.config()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(std.err, &slog.HandlerOptions{Level: level}))
	s, err := o.assemble(cfg, top, log)
	if err != nil {
		return err
	}
	stopTelling, err := s.tellMore(ctx, o, std)
	if err != nil {
		return err
	}
	defer stopTelling()
	stopServing, err := s.serve(ctx, o.metricsAddr, o.healthAddr)
	if err != nil {
		return err
	}
	defer stopServing()
	stopClicks, err := s.serveClicks(ctx, o.slack.httpAddr)
	if err != nil {
		return err
	}
	defer stopClicks()
	log.Info("backstop", "version", version(), "cluster", o.name, "max-mode", o.maxMode, "budget", top.Budget.String())
	return s.lead(ctx, o)
}

// sidecar is everything that runs, wired.
type sidecar struct {
	log     *slog.Logger
	clients watcher.Clients
	watch   *watcher.Watcher
	engine  *reconcile.Engine
	records *record.Records
	events  *kubeevents.Teller
	cards   *cards
	hub     *clicks.Hub
	metrics *prometheus.Registry
}

func (o *runOptions) assemble(cfg *rest.Config, top reconcile.Ceiling, log *slog.Logger) (*sidecar, error) {
	clients, err := watcher.Connect(cfg)
	if err != nil {
		return nil, err
	}
	live, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	mirrors, err := gitrepo.New(o.storage, gitrepo.Options{Now: time.Now, Log: log})
	if err != nil {
		return nil, err
	}
	calls := observe.New(time.Now)
	git := calls.Git(mirrors)
	fluxes := flux.New(live, flux.Options{NoCrossNamespaceRefs: o.noCrossRefs, Namespaces: o.namespaces})
	queues := watcher.NewMetrics()
	watch, err := watcher.New(clients, watcher.Options{
		Namespaces: o.namespaces, Home: home(), Workers: o.workers, Log: log, Metrics: queues,
		Wants: func() watcher.Wanter { return reconcile.NewWants(fluxes, git) },
	})
	if err != nil {
		return nil, err
	}
	counts := metrics.New(watch.Rollbacks, watch.Adrift, time.Now)
	events := kubeevents.New(clients.Core, scheme)
	records := &record.Records{Cache: watch, Client: live}
	if len(o.namespaces) == 1 {
		records.Namespace = o.namespaces[0]
	}
	s := &sidecar{log: log, clients: clients, watch: watch, records: records, events: events,
		metrics: prometheus.NewRegistry()}
	s.metrics.MustRegister(queues, calls, counts, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.cards, s.hub = o.newCards(s, live), s.newHub()
	s.engine = &reconcile.Engine{
		Cluster: o.name, Home: home(), Unstick: o.unstick, Platforms: o.platforms, Ceiling: top, Now: time.Now,
		Records: records, Pods: watch.Pods(), Flux: fluxes, Git: git,
		Registry: calls.Registry(registry.New(registry.Options{Now: time.Now, UserAgent: cfg.UserAgent, Logger: log})),
		Tell:     notify.All{events, counts, s.cards.poster}.Tell, Log: log,
	}
	return s, nil
}

// sweepEvery is how often holds are looked for in Git and old records are forgotten.
const sweepEvery = 10 * time.Minute

// lead works while this replica holds the Lease.
func (s *sidecar) lead(ctx context.Context, o *runOptions) error {
	defer s.events.Stop()
	work := func(ctx context.Context) error {
		s.engine.Stopping = func() bool { return ctx.Err() != nil }
		var beside sync.WaitGroup
		beside.Go(func() { s.sweep(ctx, o.history) })
		beside.Go(func() { s.describe(ctx) })
		beside.Go(func() { s.cards.run(ctx) })
		beside.Go(func() { s.hear(ctx) })
		err := s.watch.Run(ctx, s.engine)
		beside.Wait()
		return err
	}
	if !o.leaderElect {
		return work(ctx)
	}
	id, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("read the host's name, which tells replicas apart: %w", err)
	}
	return watcher.Lead(ctx, watcher.Election{
		Leases: s.clients.Core.CoordinationV1(), Namespace: home(), Name: "backstop",
		Identity: fmt.Sprintf("%s_%d", id, os.Getpid()), Log: s.log,
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
		err = s.records.DescribePolicies(ctx, subjects, home(), time.Now())
		if err != nil && !errors.Is(err, context.Canceled) {
			s.log.Warn("describe policies", "error", err)
		}
	}
}

// serve answers probes and scrapes until the function that it gives is called.
func (s *sidecar) serve(ctx context.Context, metricsAddr, healthAddr string) (func(), error) {
	health := http.NewServeMux()
	health.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	// A follower is ready too: it waits for the lease and watches nothing yet.
	health.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
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
