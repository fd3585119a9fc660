package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

const (
	// policyAge and sourceAge are how old what a card says of its policies and repository may be.
	policyAge = time.Minute
	sourceAge = 10 * time.Minute
	// readProviders is how often Providers and their Secrets are read again, and newPolicies how soon a policy that
	// names another one is noticed.
	readProviders = 15 * time.Second
	newPolicies   = 2 * time.Second
)

func (o *options) newCards(s *sidecar, live client.Reader) *cards {
	c := &cards{
		s: s, live: live, cluster: o.cluster, budget: o.budget, commitURL: o.slack.commitURL, otherwise: o.slack.name,
		apps:     &slack.Apps{Reader: live, Hosts: o.slack.hosts, Now: time.Now, Log: s.log},
		policies: map[string]aged[reconcile.Policy]{}, sources: map[v1alpha1.ObjectRef]aged[string]{},
	}
	c.resolve = func(ctx context.Context, r *v1alpha1.Rollback) (reconcile.Policy, error) {
		return s.engine.PolicyOf(ctx, r)
	}
	counts := slack.NewMetrics()
	s.metrics.MustRegister(counts)
	c.poster = slack.New(slack.Options{
		Cluster: o.cluster, Apps: c.apps, Records: s.records, All: s.watch.Rollbacks, Plan: c.plan,
		Broadcast: slack.Broadcast(o.slack.broadcast), Now: time.Now, Log: s.log, Metrics: counts,
	})
	s.records.Slack = c.condition
	return c
}

// plan describes what a Rollback's card shows and where it goes.
func (c *cards) plan(ctx context.Context, r *v1alpha1.Rollback) (slack.Plan, error) {
	p, err := c.policyOf(ctx, r)
	if err != nil {
		return slack.Plan{}, err
	}
	facts := card.Facts{
		Rollback: r, Cluster: c.cluster, Cooldown: p.Cooldown, Mode: p.Mode, Budget: c.budget,
		Links: card.Links{Template: c.commitURL},
	}
	for _, a := range p.Approvers {
		facts.Policies = append(facts.Policies, card.Policy{Name: a.Policy, Approvers: a.SlackApproval})
	}
	if r.Status.Suspect != nil {
		facts.Links.Repository = c.repository(ctx, r.Status.Suspect.Source)
	}
	out := slack.Plan{Facts: facts, Provider: c.otherwise}
	if p.Provider != nil {
		out.Provider = *p.Provider
	}
	return out, nil
}

// policyOf is what the policies say of a record, a minute old at most. One that was just opened names no workload yet:
// what is said of that one does not count for the next.
func (c *cards) policyOf(ctx context.Context, r *v1alpha1.Rollback) (reconcile.Policy, error) {
	now := time.Now()
	of := fmt.Sprint(r.UID, r.Status.Workloads(), r.Status.Suspect != nil)
	c.mu.Lock()
	known, ok := c.policies[of]
	c.mu.Unlock()
	if ok && now.Sub(known.at) < policyAge {
		return known.value, nil
	}
	p, err := c.resolve(ctx, r)
	if err != nil {
		return p, fmt.Errorf("resolve the policies of Rollback %s/%s: %w", r.Namespace, r.Name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.policies[of] = aged[reconcile.Policy]{p, now}
	for key, old := range c.policies {
		if now.Sub(old.at) > policyAge {
			delete(c.policies, key)
		}
	}
	return p, nil
}

// repository is the URL of a source, for links; empty where it cannot be read.
func (c *cards) repository(ctx context.Context, ref v1alpha1.ObjectRef) string {
	now := time.Now()
	c.mu.Lock()
	known, ok := c.sources[ref]
	c.mu.Unlock()
	if ok && now.Sub(known.at) < sourceAge {
		return known.value
	}
	var source sourcev1.GitRepository
	// Without it the card has no link, which is no reason to wait.
	_ = c.live.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, &source)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sources[ref] = aged[string]{cmp.Or(source.Spec.URL, known.value), now}
	return c.sources[ref].value
}

// condition says of a policy whether its cards reach Slack; nil where it has none.
func (c *cards) condition(p *v1alpha1.RollbackPolicy) *metav1.Condition {
	name := slack.ProviderOf(p, c.otherwise)
	if name.Name == "" {
		return nil
	}
	return c.apps.Condition(name, c.s.hub.Troubles())
}

// wanted are the Providers that policies name, and the default.
func (c *cards) wanted(ctx context.Context) ([]types.NamespacedName, error) {
	policies, _, err := c.s.records.Policies(ctx, kube.Home())
	if err != nil {
		return nil, err
	}
	var out []types.NamespacedName
	if c.otherwise.Name != "" {
		out = append(out, c.otherwise)
	}
	for i := range policies {
		if name := slack.ProviderOf(&policies[i], c.otherwise); name.Name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.SortFunc(out, func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	return out, nil
}

// run keeps Providers and cards up to date while this replica leads.
func (c *cards) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	tick := time.NewTicker(newPolicies)
	defer tick.Stop()
	var before []types.NamespacedName
	var read time.Time
	posting := false
	for {
		names, err := c.wanted(ctx)
		if err == nil && (time.Since(read) >= readProviders || !slices.Equal(names, before)) {
			c.apps.Refresh(ctx, names)
			before, read = names, time.Now()
		}
		// Not before the records are there, and the apps that may post.
		if err == nil && !posting {
			posting = true
			running.Go(func() { c.poster.Run(ctx) })
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
