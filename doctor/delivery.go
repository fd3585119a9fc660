package doctor

import (
	"context"
	"fmt"
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
	login := ""
	if name := p.PullRequest.Secret; name != nil {
		login = name.String()
	}
	ctx, cancel := context.WithTimeout(ctx, deliveryWithin)
	defer cancel()
	key := fmt.Sprintln("delivery", src.Name, src.Pushes(), src.Branch, login, p.PullRequest.Provider)
	d := ask(&g.once, key, func() Delivery {
		if name := p.PullRequest.Secret; name != nil {
			data, err := g.Flux.Token(ctx, *name)
			if err != nil {
				return Delivery{Why: plain(err)}
			}
			src.API = &reconcile.Login{Name: *name, Auth: reconcile.Auth{Secret: data}}
		}
		forge, err := g.Forges.Forge(ctx, src, p.PullRequest.Provider)
		if err != nil {
			return Delivery{Why: plain(err)}
		}
		wants, err := forge.WantsPullRequest(ctx, src.Branch)
		if err != nil {
			return Delivery{Why: plain(err)}
		}
		return Delivery{Wants: wants}
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
	switch {
	case s.Aside != "" && d.Why != "":
		return []Check{bad(CheckDelivery, at, s.Aside+", and none can be opened: "+d.Why, "name a Secret with a login for "+
			"the provider's API in spec.pullRequest.secretRef of the RollbackPolicy (docs/pull-requests.md)")}
	case s.Aside != "":
		return []Check{fine(CheckDelivery, at, "a revert goes to %s by pull request: %s", s.Branch, s.Aside)}
	case wanted && d.Why != "":
		return []Check{bad(CheckDelivery, at, "the policy delivers by pull request, and none can be opened: "+d.Why,
			"name a Secret with a login for the provider's API in spec.pullRequest.secretRef of the RollbackPolicy "+
				"(docs/pull-requests.md), or set its spec.delivery: Push")}
	case d.Why != "":
		return nil
	case wanted:
		return []Check{fine(CheckDelivery, at, "a revert goes to %s by pull request, as the policy says", s.Branch)}
	case d.Wants == nil:
		return []Check{{Name: CheckDelivery, At: at, Mark: trace.None, Says: "a revert is pushed to " + s.Branch +
			", and goes by pull request where its rules take no push, which its provider does not show"}}
	case *d.Wants:
		return []Check{fine(CheckDelivery, at, "a revert goes to %s by pull request: its rules take no push of this login",
			s.Branch)}
	}
	return []Check{fine(CheckDelivery, at, "a revert is pushed to %s: its rules want no pull request", s.Branch)}
}

// routed says whether a branch that takes no push gets pull requests.
func (s *Source) routed() bool {
	return s.Delivery != nil && s.Delivery.Why == "" && s.Delivery.Wants != nil && *s.Delivery.Wants
}
