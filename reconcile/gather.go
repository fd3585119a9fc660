package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// gather reads the world of a key, live but for what the walk has just looked at, and never judges. It gives nil where
// there is nothing to walk: no Rollback and nothing that fails. A World whose form has no name asks for a new form to
// be opened.
func (e *Engine) gather(ctx context.Context, key Key, g *glance) (*World, error) {
	g.at(e.Now())
	form, err := e.newest(ctx, key, g)
	if err != nil {
		return nil, fmt.Errorf("read the newest Rollback: %w", err)
	}
	seen, err := g.look(func() (map[v1alpha1.TriggerType]Observation, error) { return e.observe(ctx, key, form) })
	if err != nil {
		return nil, err
	}
	w := &World{Now: e.Now(), Triggers: e.Triggers, Seen: seen, Budget: e.Ceiling.Budget, Unstick: e.Unstick,
		since: g.since}
	fresh := slices.DeleteFunc(w.failures(), func(f v1alpha1.Failure) bool {
		return form != nil && covers(&form.Status, f)
	})
	// What a form without a name is to be opened for.
	w.Form.Spec.OpenedFor = triggerOf(fresh)
	switch {
	case form == nil && len(fresh) == 0:
		return nil, nil
	case form == nil:
		return w, nil
	case len(fresh) > 0 && form.Status.Ended() && len(form.Answered()) == 0:
		// An ended form covers its failures; these are others, so the next ordinal is opened.
		w.Form.Annotations = form.Annotations
		w.former = form
		return w, nil
	}
	w.Form, w.known = *form, g.carried.saved
	w.Self, w.Cluster = e.Cluster+"/"+form.Namespace+"/"+form.Name, e.ClusterUID
	if w.Policy, err = e.policy(ctx, w); err != nil {
		return nil, err
	}
	if form.Status.Suspect == nil || !looks(&form.Status) && !mayReopen(&form.Status, w.Now) {
		return w, nil
	}
	return w, e.gatherGit(ctx, w)
}

// looks reports whether the branch can still tell the form anything.
func looks(s *v1alpha1.RollbackStatus) bool {
	return !s.Ended() || stillAsks(s) || s.HoldStands() || s.PullRequest.IsOpen()
}

// gatherGit reads what the source, the branch, Flux and the registry say once a suspect is known.
func (e *Engine) gatherGit(ctx context.Context, w *World) error {
	s := &w.Form.Status
	origin, err := e.Flux.Reopen(ctx, w.Form.Namespace, *s.Suspect, w.Policy.Source, w.since)
	if unread(w, err) {
		return nil
	}
	if why, refused := AsRefusal(err); refused {
		// The verdict is told why; a form at rest goes on resting.
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
		w.Selection, err = e.selection(ctx, w, origin)
	case s.Landed != nil, s.Verdict != nil && s.Verdict.Answer == v1alpha1.Reject && len(astray(w)) > 0:
		contains := func(tip, commit string) (bool, error) { return e.Git.Contains(ctx, origin.Source, tip, commit) }
		var r Rollout
		r, err = e.Flux.Rollout(ctx, &w.Form, contains)
		w.Rollout = &r
		if err == nil {
			err = e.gatherAhead(ctx, w, contains)
		}
		if err == nil {
			w.Beside, err = e.beside(ctx, &w.Form)
		}
	case s.Verdict == nil && s.Target != nil:
		w.RanHere = e.ranHere(ctx, w, origin)
		err = e.neighbours(ctx, w)
	case s.Change == nil && waitsToPush(s):
		var open []v1alpha1.Rollback
		open, err = e.Records.Open(ctx)
		w.Crowd = crowdOf(&w.Form, open, w.Now, pushes(w), served(w))
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

// failedWithin is how long before a hold the images that were taken back under its policies count.
const failedWithin = 7 * 24 * time.Hour

// selection reads what image automation would write if the hold were lifted.
func (e *Engine) selection(ctx context.Context, w *World, origin Origin) (*Selection, error) {
	held := w.Form.Status.Change.Policies
	out := &Selection{Release: w.Policy.Release}
	for _, p := range origin.Policies {
		if !slices.Contains(held, p.Name) {
			continue
		}
		out.Automation = p.Automation != nil
		out.Image = p.Latest
	}
	if out.Image == "" || !out.Automation {
		return out, nil
	}
	for _, t := range w.Branch.Trails {
		if t.Kind == TrailHold && slices.ContainsFunc(t.Policies, func(p string) bool { return slices.Contains(held, p) }) {
			out.Failed = append(out.Failed, t.Images...)
		}
	}
	for _, h := range w.Branch.Held {
		if h.Release == v1alpha1.ReleaseManual {
			out.Release = h.Release
		}
	}
	if out.Release == v1alpha1.ReleaseManual || failedBefore(out, w.Form.Spec.Subject.Name) {
		return out, nil
	}
	q, err := e.question(ctx, &w.Form, out.Image)
	if err != nil {
		return nil, err
	}
	out.Proof = e.Registry.Prove(ctx, q)
	return out, nil
}

// neighbours reads what other open Rollbacks say: whether their registry can prove anything at all, and how many share
// the suspect.
func (e *Engine) neighbours(ctx context.Context, w *World) error {
	open, err := e.Records.Open(ctx)
	if err != nil {
		return fmt.Errorf("list open Rollbacks: %w", err)
	}
	for _, t := range w.rows() {
		if t.Breaker != nil {
			w.Breaker = orElse(w.Breaker, t.Breaker(w, open))
		}
	}
	return nil
}

// beside finds another open Rollback about one of a form's workloads whose revert has not landed: the rollout cannot be
// complete before. One that has landed waits for the same rollout, and two must not wait for each other.
func (e *Engine) beside(ctx context.Context, form *v1alpha1.Rollback) (string, error) {
	open, err := e.Records.Open(ctx)
	if err != nil {
		return "", fmt.Errorf("list open Rollbacks: %w", err)
	}
	mine := form.Status.Workloads()
	for _, o := range open {
		shares := func(wl v1alpha1.Workload) bool { return slices.Contains(mine, wl) }
		waits := !o.Status.Ended() && o.Status.Landed == nil
		if waits && o.Namespace == form.Namespace && o.Spec.Subject != form.Spec.Subject &&
			slices.ContainsFunc(o.Status.Workloads(), shares) {
			return o.Name, nil
		}
	}
	return "", nil
}
