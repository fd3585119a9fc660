// Package observe counts and times what the line asks of Git and of registries.
package observe

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Calls are the collectors.
type Calls struct {
	git      *prometheus.HistogramVec
	registry *prometheus.HistogramVec
	now      func() time.Time
}

// New makes the collectors.
func New(now func() time.Time) *Calls {
	buckets := []float64{0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60}
	return &Calls{
		git: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "backstop_git_duration_seconds", Help: "Seconds of a Git operation, by operation and result.",
			Buckets: buckets,
		}, []string{"operation", "result"}),
		registry: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "backstop_registry_duration_seconds", Help: "Seconds of a question to a registry, by finding.",
			Buckets: buckets,
		}, []string{"finding"}),
		now: now,
	}
}

// Describe implements prometheus.Collector.
func (c *Calls) Describe(ch chan<- *prometheus.Desc) {
	c.git.Describe(ch)
	c.registry.Describe(ch)
}

// Collect implements prometheus.Collector.
func (c *Calls) Collect(ch chan<- prometheus.Metric) {
	c.git.Collect(ch)
	c.registry.Collect(ch)
}

// Registry counts the questions to a registry.
func (c *Calls) Registry(of reconcile.Registry) reconcile.Registry { return &registry{of, c} }

type registry struct {
	reconcile.Registry
	calls *Calls
}

func (r *registry) Prove(ctx context.Context, q reconcile.Question) reconcile.Proof {
	start := r.calls.now()
	p := r.Registry.Prove(ctx, q)
	r.calls.registry.WithLabelValues(string(p.Finding)).Observe(r.calls.now().Sub(start).Seconds())
	return p
}

// Git counts the operations on Git.
func (c *Calls) Git(of reconcile.Git) reconcile.Git { return &git{of, c} }

type git struct {
	reconcile.Git
	calls *Calls
}

func (g *git) done(operation string, start time.Time, err error) {
	result := "ok"
	switch _, refused := reconcile.AsRefusal(err); {
	case refused:
		result = "refused"
	case errors.Is(err, context.Canceled):
		result = "canceled"
	case err != nil:
		result = "error"
	}
	g.calls.git.WithLabelValues(operation, result).Observe(g.calls.now().Sub(start).Seconds())
}

func (g *git) Blame(ctx context.Context, src reconcile.Source, q reconcile.Query) (s v1alpha1.Suspect, err error) {
	start := g.calls.now()
	s, err = g.Git.Blame(ctx, src, q)
	g.done("blame", start, err)
	return s, err
}

func (g *git) Look(
	ctx context.Context, src reconcile.Source, s v1alpha1.Suspect, t *v1alpha1.Target, since time.Time,
) (reconcile.Branch, error) {
	start := g.calls.now()
	b, err := g.Git.Look(ctx, src, s, t, since)
	g.done("look", start, err)
	return b, err
}

func (g *git) Land(ctx context.Context, src reconcile.Source, reverts []reconcile.Revert) ([]reconcile.Landing, error) {
	start := g.calls.now()
	out, err := g.Git.Land(ctx, src, reverts)
	g.done("land", start, err)
	return out, err
}

func (g *git) Propose(
	ctx context.Context, src reconcile.Source, onto reconcile.Onto, reverts []reconcile.Revert,
) (reconcile.Proposed, error) {
	start := g.calls.now()
	out, err := g.Git.Propose(ctx, src, onto, reverts)
	g.done("propose", start, err)
	return out, err
}

func (g *git) Lift(ctx context.Context, src reconcile.Source, l reconcile.Lift) (string, error) {
	start := g.calls.now()
	commit, err := g.Git.Lift(ctx, src, l)
	g.done("lift", start, err)
	return commit, err
}

func (g *git) Images(
	ctx context.Context, src reconcile.Source, q reconcile.Wanted,
) (images, why map[string]string, err error) {
	start := g.calls.now()
	images, why, err = g.Git.Images(ctx, src, q)
	g.done("images", start, err)
	return images, why, err
}
