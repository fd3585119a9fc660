package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// gather reads the world of a key, live but for what the walk has just looked at, and never judges. It gives nil where
// there is nothing to walk: no Rollback and nothing that fails. A World whose Rollback has no name asks for a new
// Rollback to be opened.
func (e *Engine) gather(ctx context.Context, key Key, g *glance) (*World, error) {
	g.at(e.Now())
	rb, err := e.newest(ctx, key, g)
	if err != nil {
		return nil, fmt.Errorf("read the newest Rollback: %w", err)
	}
	seen, err := g.look(func() (map[v1alpha1.TriggerType]Observation, error) { return e.observe(ctx, key, rb) })
	if err != nil {
		return nil, err
	}
	w := &World{Now: e.Now(), Triggers: e.Triggers, Seen: seen, Budget: e.Ceiling.Budget, DeletesPods: e.DeletesPods,
		since: g.since}
	fresh := slices.DeleteFunc(w.failures(), func(f v1alpha1.Failure) bool {
		return rb != nil && covers(&rb.Status, f)
	})
	// What a Rollback without a name is to be opened for.
	w.Rollback.Spec.OpenedFor = triggerOf(fresh)
	switch {
	case rb == nil && len(fresh) == 0:
		return nil, nil
	case rb == nil:
		return w, nil
	case len(fresh) > 0 && rb.Status.Ended() && len(rb.Answered()) == 0:
		// An ended Rollback covers its failures; these are others, so the next ordinal is opened.
		w.Rollback.Annotations = rb.Annotations
		w.former = rb
		return w, nil
	}
	w.Rollback, w.known = *rb, g.carried.saved
	w.Self, w.Cluster = e.Cluster+"/"+rb.Namespace+"/"+rb.Name, e.ClusterUID
	if w.Policy, err = e.policy(ctx, w); err != nil {
		return nil, err
	}
	if rb.Status.Suspect == nil || !looks(&rb.Status) && !mayReopen(&rb.Status, w.Now) {
		return w, nil
	}
	return w, e.gatherGit(ctx, w)
}

// looks reports whether the branch can still tell the Rollback anything.
func looks(s *v1alpha1.RollbackStatus) bool {
	return !s.Ended() || stillAsks(s) || s.HoldStands() || s.PullRequest.IsOpen()
}

// gatherGit reads what the source, the branch, Flux and the registry say once a suspect is known.
func (e *Engine) gatherGit(ctx context.Context, w *World) error {
	s := &w.Rollback.Status
	origin, err := e.Flux.Reopen(ctx, w.Rollback.Namespace, *s.Suspect, w.Policy.Source, w.since)
	if unread(w, err) {
		return nil
	}
	if why, refused := AsRefusal(err); refused {
		// The verdict is told why; a Rollback at rest goes on resting.
		w.ReadOnly = why
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", s.Suspect.Source, err)
	}
	origin.Source.Since = w.since
	w.ReadOnly, w.ReadOnlyKind = e.readOnly(w, origin.Source), origin.Source.ReadOnlyKind
	w.Suspended, w.Remediated = origin.Suspended, origin.Remediated
	since := lookback(w.Now, w.Policy.Cooldown, w.Budget.Per)
	if s.Ended() && s.Change != nil {
		// What must not be lifted for may have failed before what is held now.
		since = s.Change.At.Add(-failedWithin)
	}
	branch, err := e.Git.Look(ctx, origin.Source, *s.Suspect, s.Target, since)
	if unread(w, err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", s.Suspect.Branch, err)
	}
	w.Branch = &branch
	if err := e.gatherProposed(ctx, w, origin.Source); err != nil {
		return err
	}
	e.readLift(ctx, w, origin.Source)
	w.Seeks = e.seeks(w, origin.Source)
	switch {
	case s.Ended() && s.Change != nil:
		w.Selections, err = e.selections(ctx, w, origin)
	case s.Landed != nil, s.Verdict != nil && s.Verdict.Answer == v1alpha1.Reject && len(astray(w)) > 0:
		contains := func(tip, commit string) (bool, error) { return e.Git.Contains(ctx, origin.Source, tip, commit) }
		var r Rollout
		r, err = e.Flux.Rollout(ctx, &w.Rollback, contains)
		w.Rollout = &r
		if err == nil {
			err = e.gatherAhead(ctx, w, contains)
		}
		if err == nil {
			w.Beside, err = e.beside(ctx, &w.Rollback)
		}
	case s.Verdict == nil && s.Target != nil:
		err = e.gatherDoubts(ctx, w, origin)
	case s.Change == nil && waitsToPush(s):
		var open []v1alpha1.Rollback
		open, err = e.Records.Open(ctx)
		w.Siblings = siblingsOf(&w.Rollback, open, w.Now, pushes(w), served(w))
	}
	return err
}

// readOnly explains why nothing may be written: also to a branch that gets its changes by pull request, where none is
// opened.
func (e *Engine) readOnly(w *World, src Source) string {
	if src.ReadOnly == "" && (e.Forges == nil || w.Policy.Delivery == v1alpha1.DeliveryPush) {
		return src.Aside
	}
	return src.ReadOnly
}

// failedWithin is how long before a hold the images that were reverted under its policies count.
const failedWithin = 7 * 24 * time.Hour

// selections reads what image automation would write if the holds were lifted, by the policy of each.
func (e *Engine) selections(ctx context.Context, w *World, origin Origin) (map[string]Selection, error) {
	out := map[string]Selection{}
	for _, p := range origin.Policies {
		// Two places of one policy may be lifted by different ones.
		var held, asked bool
		now, _ := holdsNow(w)
		for _, i := range now {
			h := w.Branch.Held[i]
			mine := h.Policy == p.Name
			held, asked = held || mine, asked || mine && liftOf(w, h) != v1alpha1.LiftManual
		}
		if !held {
			continue
		}
		s := Selection{Automation: p.Automation != nil, Image: p.Latest}
		for _, t := range w.Branch.Commits {
			if t.Kind == TrailerHold && slices.Contains(t.Policies, p.Name) {
				s.Failed = append(s.Failed, t.Images...)
			}
		}
		if asked && s.Automation && s.Image != "" && !failedBefore(s, w.Rollback.Spec.Subject.Name) {
			q, err := e.question(ctx, &w.Rollback, s.Image)
			if err != nil {
				return nil, err
			}
			s.Proof = e.Registry.Prove(ctx, q)
		}
		out[p.Name] = s
	}
	return out, nil
}

// neighbours reads what other open Rollbacks say: whether their registry can prove anything at all, and how many share
// the suspect.
func (e *Engine) neighbours(ctx context.Context, w *World) error {
	open, err := e.Records.Open(ctx)
	if err != nil {
		return fmt.Errorf("list open Rollbacks: %w", err)
	}
	w.Tenant = e.Tenant
	for _, t := range w.rows() {
		if t.Breaker != nil {
			w.Breaker = orElse(w.Breaker, t.Breaker(w, open))
		}
	}
	return nil
}

// beside finds another open Rollback about one of a Rollback's workloads whose revert has not landed: the rollout
// cannot be complete before. One that has landed waits for the same rollout, and two must not wait for each other.
func (e *Engine) beside(ctx context.Context, rb *v1alpha1.Rollback) (string, error) {
	open, err := e.Records.Open(ctx)
	if err != nil {
		return "", fmt.Errorf("list open Rollbacks: %w", err)
	}
	mine := rb.Status.Workloads()
	for _, o := range open {
		shares := func(wl v1alpha1.Workload) bool { return slices.Contains(mine, wl) }
		waits := !o.Status.Ended() && o.Status.Landed == nil
		if waits && o.Namespace == rb.Namespace && o.Spec.Subject != rb.Spec.Subject &&
			slices.ContainsFunc(o.Status.Workloads(), shares) {
			return o.Name, nil
		}
	}
	return "", nil
}
