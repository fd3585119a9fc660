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
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/card"
	"github.com/backstop-dev/backstop/notify/slack"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

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

	mu       sync.Mutex
	policies map[types.UID]aged[reconcile.Policy]
	sources  map[v1alpha1.ObjectRef]aged[string]
}

// aged is something read at a time.
type aged[T any] struct {
	value T
	at    time.Time
}

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
		policies: map[types.UID]aged[reconcile.Policy]{}, sources: map[v1alpha1.ObjectRef]aged[string]{},
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

// plan says what a Rollback's card shows and where it goes.
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

func (c *cards) policyOf(ctx context.Context, r *v1alpha1.Rollback) (reconcile.Policy, error) {
	now := time.Now()
	c.mu.Lock()
	known, ok := c.policies[r.UID]
	c.mu.Unlock()
	if ok && now.Sub(known.at) < policyAge {
		return known.value, nil
	}
	p, err := c.s.engine.PolicyOf(ctx, r)
	if err != nil {
		return p, fmt.Errorf("resolve the policies of Rollback %s/%s: %w", r.Namespace, r.Name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.policies[r.UID] = aged[reconcile.Policy]{p, now}
	for uid, old := range c.policies {
		if now.Sub(old.at) > policyAge {
			delete(c.policies, uid)
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
