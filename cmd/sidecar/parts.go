package main

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/kubeevents"
	"github.com/backstop-dev/backstop/notify/slack"
	"github.com/backstop-dev/backstop/notify/slack/clicks"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/record"
	"github.com/backstop-dev/backstop/watcher"
	"github.com/backstop-dev/backstop/watcher/alerts"
)

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
	// alerts takes Flux's events; nil where none are taken. working says that this replica takes them.
	alerts  *alerts.Receiver
	working atomic.Bool
	// leads is 1 while this replica works, and leader says that one is known, whichever replica it is.
	leads  prometheus.Gauge
	leader atomic.Bool
	// live reads the cluster, and fences reports whether the admission policies are there.
	live   client.Client
	fences *prometheus.GaugeVec
	// mirrors are the Git repositories on the disk.
	mirrors *gitrepo.Mirrors
}

// cards keeps the Slack cards of the sidecar.
type cards struct {
	s         *sidecar
	live      client.Reader
	cluster   string
	budget    string
	commitURL string
	// otherwise is the Provider of policies that name none.
	otherwise types.NamespacedName
	apps      *slack.Apps
	poster    *slack.Poster

	// resolve asks the policies about a record.
	resolve func(context.Context, *v1alpha1.Rollback) (reconcile.Policy, error)

	mu       sync.Mutex
	policies map[string]aged[reconcile.Policy]
	sources  map[v1alpha1.ObjectRef]aged[string]
}

// aged is something read at a time.
type aged[T any] struct {
	value T
	at    time.Time
}
