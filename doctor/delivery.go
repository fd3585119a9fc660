package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/trace"
)

// deliveryWithin is how long a provider may take to tell.
const deliveryWithin = 10 * time.Second

// delivery asks the provider of pull requests about the branch, where the policy may open one.
func (g *Gatherer) delivery(ctx context.Context, f *Facts, w *Workload, src reconcile.Source) {
	p := f.policyOf(w, v1alpha1.TriggerImagePull)
	if g.Forges == nil || len(p.By) == 0 || p.Delivery == v1alpha1.DeliveryPush {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, deliveryWithin)
	defer cancel()
	key := fmt.Sprintln("delivery", src.Name, src.Pushes(), src.Branch, p.PullRequest.Secrets, p.PullRequest.Provider)
	d := ask(&g.once, key, func() Delivery {
		src, err := g.Flux.WithLogin(ctx, p.PullRequest.Secrets, src)
		if err != nil {
			return Delivery{Why: plain(err)}
		}
		forge, err := g.Forges.Forge(ctx, src, p.PullRequest.Provider)
		if err != nil {
			return Delivery{Why: plain(err)}
		}
		wants, err := forge.WantsPullRequest(ctx, src.Branch)
		if err != nil {
			return Delivery{Why: plain(err)}
		}
		rights, err := forge.Rights(ctx)
		if err != nil {
			return Delivery{Why: plain(err)}
		}
		return Delivery{Wants: wants, Rights: rights, Signs: forge.Verifies(ctx)}
	})
	w.Source.Delivery = &d
}

// delivery says which way a revert goes. Where the policy pushes and nobody knows of a rule, there is nothing to say.
func (f *Facts) delivery(w *Workload) []Check {
	s := w.Source
	d, at := s.Delivery, s.Ref.String()
	if d == nil {
		return nil
	}
	wanted := f.policyOf(w, v1alpha1.TriggerImagePull).Delivery == v1alpha1.DeliveryPullRequest
	if no := d.lacks(wanted || s.Aside != ""); no != nil {
		return []Check{bad(CheckDelivery, at, no[0], no[1])}
	}
	switch {
	case s.Aside != "" && d.Why != "":
		return []Check{bad(CheckDelivery, at, s.Aside+", and none can be opened: "+d.Why, "name a Secret with a login for "+
			"the provider's API in spec.pullRequest.secretRef of the RollbackPolicy (docs/pull-requests.md)")}
	case s.Aside != "":
		return []Check{fine(CheckDelivery, at, "a revert goes to %s by pull request: %s%s", s.Branch, s.Aside, d.shown())}
	case wanted && d.Why != "":
		return []Check{bad(CheckDelivery, at, "the policy delivers by pull request, and none can be opened: "+d.Why,
			"name a Secret with a login for the provider's API in spec.pullRequest.secretRef of the RollbackPolicy "+
				"(docs/pull-requests.md), or set its spec.delivery: Push")}
	case d.Why != "":
		return nil
	case wanted:
		return []Check{fine(CheckDelivery, at, "a revert goes to %s by pull request, as the policy says%s", s.Branch,
			d.shown())}
	case d.Wants == nil:
		return []Check{{Name: CheckDelivery, At: at, Mark: trace.None, Says: "a revert is pushed to " + s.Branch +
			", and goes by pull request where its rules take no push, which its provider does not show"}}
	case *d.Wants:
		return []Check{fine(CheckDelivery, at, "a revert goes to %s by pull request: its rules take no push of this login%s",
			s.Branch, d.shown())}
	}
	return []Check{fine(CheckDelivery, at, "a revert is pushed to %s: its rules want no pull request", s.Branch)}
}

// lacks says what keeps the login from opening a pull request, and the way out; nil where nothing is known to, and
// where a revert is pushed.
func (d *Delivery) lacks(routed bool) []string {
	r := d.Rights
	switch {
	case r.Shut != "" && (routed || d.Wants != nil && *d.Wants):
		return []string{"no pull request can be opened: " + r.Shut, "open the repository again, or have Flux deploy " +
			"another one: spec.url of the GitRepository"}
	case len(r.Lacks) > 0 && (routed || d.Wants != nil && *d.Wants):
		return []string{"a revert goes by pull request, and its login lacks " + strings.Join(r.Lacks, " and "), r.Needs +
			" (docs/pull-requests.md)"}
	}
	return nil
}

// shown says what is not known of the login, and when it ends.
func (d *Delivery) shown() string {
	out := ""
	if u := d.Rights.Unshown; len(u) > 0 {
		out = "; its provider does not show whether the login has " + strings.Join(u, " and ")
	}
	if m := d.Rights.Misses; len(m) > 0 {
		out += "; the login goes without " + strings.Join(m, " and ")
	}
	if !d.Rights.Ends.IsZero() {
		out += "; the login ends on " + d.Rights.Ends.UTC().Format(time.DateOnly)
	}
	return out
}

// routed reports whether a branch that takes no push gets pull requests.
func (s *Source) routed() bool {
	return s.Delivery != nil && s.Delivery.Why == "" && s.Delivery.Wants != nil && *s.Delivery.Wants
}
