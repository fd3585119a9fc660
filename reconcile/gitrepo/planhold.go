package gitrepo

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// liftWindow is how far before the suspect the lift is searched that brought it: image automation is asked to run right
// after one.
const liftWindow = 3 * time.Hour

// manualAfter is how many lifts in a row may fail before a hold is lifted only by a person.
const manualAfter = 2

// hold marks the nodes that were reverted, so that image automation does not write them again. It says true when a
// marker could not be held: then that revert is no good without.
func (p *planning) hold(ctx context.Context) (refused bool, err error) {
	maps.Copy(p.held, p.reverted)
	marked := map[[2]string]bool{}
	for i, r := range p.reverts {
		if p.out[i].Err != nil || !r.Hold {
			continue
		}
		for _, n := range r.Suspect.Places {
			if n.Marker == "" || p.held[n.File] == nil {
				continue
			}
			m := manifest.Mark{Not: version(r.Image), Since: p.now, Lift: r.Lift}
			failed, err := p.failedLifts(ctx, n.Marker, r)
			if err != nil {
				return false, err
			}
			if failed >= manualAfter {
				m.Lift = v1alpha1.LiftManual
			}
			held, err := p.mark(n, m, marked)
			if err != nil {
				p.out[i].Err = reconcile.Refuse("hold %s: %w", n.File, err)
				return true, nil
			}
			if held {
				add(&p.policies[i], n.Marker)
				p.holds[i] = append(p.holds[i], v1alpha1.Hold{Place: n.Identity()})
				p.lift[i] = cmp.Or(p.lift[i], m.Lift)
				if m.Lift == v1alpha1.LiftManual {
					p.lift[i] = m.Lift
				}
				if failed > 0 {
					p.failed[n.Marker] = failed
				}
			}
		}
	}
	return false, nil
}

// mark writes a hold on the markers of a node's policy on the image that it makes together with its neighbours. It says
// false where the node has no such marker any more.
func (p *planning) mark(n v1alpha1.Place, m manifest.Mark, marked map[[2]string]bool) (bool, error) {
	if marked[[2]string{n.File, n.Pointer}] {
		return true, nil
	}
	data := p.held[n.File]
	nodes, err := manifest.Nodes(n.File, data)
	if err != nil {
		return false, err
	}
	at := parsedFile{nodes: nodes}.node(n.Pointer)
	if at == nil || at.Policy != n.Marker {
		return false, nil
	}
	for _, o := range nodes {
		if o.Group != at.Group || o.Policy != at.Policy {
			continue
		}
		if data, err = manifest.WriteHold(data, o.Pointer, m); err != nil {
			return false, err
		}
		marked[[2]string{n.File, o.Pointer}] = true
	}
	p.held[n.File] = data
	return true, nil
}

// failedLifts counts the lifts of a policy in a row that brought an image that had to be reverted, this one included.
// It asks the newest lift before the suspect: each lift and hold repeats the count in its trailers.
func (p *planning) failedLifts(ctx context.Context, policy string, r reconcile.Revert) (int, error) {
	notes, err := p.h.notes(ctx, r.Suspect.Commit, r.Suspect.When.Time, r.Suspect.When.Add(-liftWindow))
	if err != nil {
		return 0, err
	}
	for _, n := range notes {
		if n.Kind == reconcile.TrailerRevert || !slices.Contains(n.Policies, policy) {
			continue
		}
		brought := slices.ContainsFunc(n.Images, func(i string) bool { return sameRef(i, r.Image) })
		if n.Kind == reconcile.TrailerLift && brought {
			return n.failed[policy] + 1, nil
		}
		return 0, nil
	}
	return 0, nil
}

// sameRef compares references as far as both say something: a digest on one side alone does not make them differ.
func sameRef(a, b string) bool {
	ra, ta, da := manifest.Split(a)
	rb, tb, db := manifest.Split(b)
	if da != "" && db != "" && da != db {
		return false
	}
	return ra == rb && (ta == tb || da != "" && da == db)
}
