package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// maxAdoptTries is how often an adoption starts over after somebody else wrote the Rollback.
const maxAdoptTries = 5

// maxAdopted is how many holds of one source are adopted in one sweep: whoever writes to a repository writes as many as
// it likes.
const maxAdopted = 20

// Sweep looks after what no event wakes: it lifts the holds of earlier Rollbacks of a subject, adopts holds that stand
// in Git without a Rollback (a fresh install, another cluster's revert, a record that somebody deleted), and deletes
// Rollbacks that ended longer than keep ago. What fails for one source or record does not keep the others from being
// swept.
func (e *Engine) Sweep(ctx context.Context, keep time.Duration) error {
	all, err := e.Records.All(ctx)
	if err != nil {
		return err
	}
	origins, err := e.Flux.Automated(ctx)
	if err != nil {
		return fmt.Errorf("list the sources that image automation writes to: %w", err)
	}
	var errs []error
	for _, o := range origins {
		if err := e.adoptHolds(ctx, o, all); err != nil {
			errs = append(errs, fmt.Errorf("look for holds in %s: %w", o.Source.Name, err))
		}
	}
	crowded := e.crowded(all)
	for i := range all {
		if err := e.liftEarlier(ctx, all, &all[i]); err != nil {
			errs = append(errs, fmt.Errorf("look after the hold of %s/%s: %w", all[i].Namespace, all[i].Name, err))
		}
		keep := keep
		if crowded[all[i].UID] {
			keep = min(keep, crowdedKeep)
		}
		if err := e.forget(ctx, &all[i], keep); err != nil && !errors.Is(err, ErrConflict) {
			errs = append(errs, fmt.Errorf("delete %s/%s: %w", all[i].Namespace, all[i].Name, err))
		}
	}
	return errors.Join(errs...)
}

// liftEarlier takes one step with a hold of a Rollback that a later one of its subject came after: the walk looks at
// the newest of a subject alone.
func (e *Engine) liftEarlier(ctx context.Context, all []v1alpha1.Rollback, r *v1alpha1.Rollback) error {
	key := KeyOf(r)
	later := func(o v1alpha1.Rollback) bool { return KeyOf(&o) == key && Ordinal(&o) > Ordinal(r) }
	if !r.Status.Ended() || !r.Status.HoldStands() || !slices.ContainsFunc(all, later) {
		return nil
	}
	g := glance{since: e.Now(), carried: carried{form: r.DeepCopy()}}
	w, err := e.gather(ctx, key, &g)
	if err != nil || w == nil || w.Rollback.Name == "" {
		return err
	}
	step := decide(*w)
	if step.Do != DoWait && step.Do != DoLift && step.Do != DoLifted {
		return nil
	}
	err = e.take(ctx, key, w, step, &g)
	if err == nil || errors.Is(err, ErrConflict) {
		return nil
	}
	_, err = e.stumble(ctx, w, step, err)
	return err
}

// forget deletes a Rollback whose time is over, but not while pods fail or a hold stands.
func (e *Engine) forget(ctx context.Context, r *v1alpha1.Rollback, keep time.Duration) error {
	s := &r.Status
	if !s.Ended() || e.Now().Sub(s.Outcome.At.Time) < keep || s.HoldStands() {
		return nil
	}
	seen, err := e.observe(ctx, KeyOf(r), r)
	if err != nil || len(failuresOf(seen)) > 0 {
		return err
	}
	e.Log.Info("forgotten", "rollback", r.Namespace+"/"+r.Name, "ended", s.Outcome.At.UTC().Format(time.RFC3339))
	return e.Records.Delete(ctx, r)
}

// adoptHolds opens a Rollback for every hold of a policy of this cluster that no Rollback knows.
func (e *Engine) adoptHolds(ctx context.Context, o Origin, all []v1alpha1.Rollback) error {
	found, err := e.Git.Holds(ctx, o.Source, append([]Root{o.Root}, o.Others...))
	if err != nil {
		return err
	}
	orphans := map[string][]Hold{}
	for _, h := range found {
		mine := slices.ContainsFunc(o.Policies, func(p ImagePolicy) bool { return p.Name == h.Policy && p.Automation != nil })
		if mine && !knownHold(all, h) {
			// Who may decide in one namespace decides on no other's hold.
			record := strings.Join([]string{h.Policy, h.Not, e.recordsIn(o, h)}, " ")
			orphans[record] = append(orphans[record], h)
		}
	}
	if len(orphans) > maxAdopted {
		e.Log.Warn("more holds in Git than are adopted in one sweep; the others wait for the next", "source", o.Source.Name,
			"holds", len(orphans), "adopted", maxAdopted)
	}
	var errs []error
	for i, name := range slices.Sorted(maps.Keys(orphans)) {
		if i == maxAdopted {
			break
		}
		// The next sweep adopts what one record has no room for.
		hs := orphans[name][:min(len(orphans[name]), v1alpha1.MaxPlaces)]
		err := e.adopt(ctx, o, hs)
		// The worker that the new Rollback woke may have written why it waits.
		for try := 0; errors.Is(err, ErrConflict) && try < maxAdoptTries; try++ {
			err = e.adopt(ctx, o, hs)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func knownHold(all []v1alpha1.Rollback, h Hold) bool {
	return slices.ContainsFunc(all, func(r v1alpha1.Rollback) bool {
		s := &r.Status
		if !s.Ended() {
			// What is under way may be about to write, or to save, this very hold.
			return s.Suspect != nil && slices.Contains(markersOf(s.Suspect), h.Policy)
		}
		return s.HoldStands() && slices.Contains(s.Change.Policies, h.Policy) &&
			slices.ContainsFunc(s.Suspect.Places, func(n v1alpha1.Place) bool {
				return n.File == h.File && n.Pointer == h.Pointer
			})
	})
}

// adopt makes the record that a hold describes. Its nodes, values and time come from the hold itself and its trailers.
func (e *Engine) adopt(ctx context.Context, o Origin, hs []Hold) error {
	h := hs[0]
	ns := e.recordsIn(o, h)
	if e.full(ns) {
		e.Log.Warn("a hold in Git is not adopted: the namespace has as many Rollbacks as are kept", "namespace", ns,
			"policy", h.Policy)
		return nil
	}
	rb, err := e.adoptive(ctx, ImageKey(ns, heldImage(h)), h.Policy)
	if err != nil {
		return fmt.Errorf("adopt the hold of %s: %w", h.Policy, err)
	}
	if rb == nil {
		return nil
	}
	before := rb.DeepCopy()
	now := v1alpha1.NewTime(e.Now())
	since := v1alpha1.NewTime(writtenAt(h, e.Now()))
	s := &rb.Status
	s.Suspect = &v1alpha1.Suspect{
		Source: v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: o.Source.Name.Namespace, Name: o.Source.Name.Name},
		Branch: o.Source.Branch, Reconciler: o.Reconciler, Commit: h.Commit, When: since,
	}
	s.Target = &v1alpha1.Target{Image: h.Image, At: since, Proof: "read from the hold in Git"}
	for i, h := range hs {
		s.Suspect.Places = append(s.Suspect.Places, v1alpha1.Place{
			File: h.File, Pointer: h.Pointer, Part: "Image", Bad: h.Not, Former: h.Value, Marker: h.Policy,
		})
		s.Target.Values = append(s.Target.Values, v1alpha1.PlaceValue{Index: int32(i), Value: h.Value})
		s.Holds = append(s.Holds, v1alpha1.Hold{Place: s.Suspect.Places[i].Identity()})
	}
	identify(s.Suspect.Places)
	s.Verdict = &v1alpha1.Verdict{Answer: v1alpha1.Approve, Source: v1alpha1.VerdictByBranch, By: "the hold in Git",
		At: since, Lift: h.Lift}
	s.Change = &v1alpha1.Change{
		Commit: h.Commit, Hold: h.Commit, Branch: o.Source.Branch, Policies: []string{h.Policy}, By: h.Rollback, At: since,
		Lift: h.Lift,
	}
	s.Waiting = nil
	s.Outcome = &v1alpha1.Outcome{
		Result: v1alpha1.ResultVerified, At: now,
		Message: sentence(fmt.Sprintf("adopted from the hold on %s in %s: %s is not written until the hold is lifted",
			h.Policy, h.File, h.Not)),
	}
	e.Log.Info("adopted a hold", "rollback", rb.Namespace+"/"+rb.Name, "policy", h.Policy, "not", h.Not)
	return e.save(ctx, before, rb)
}

// beforeGit is a time that no hold is from.
var beforeGit = time.Date(2005, 4, 7, 0, 0, 0, 0, time.UTC)

// writtenAt is when a hold was written, as it says itself, or now where that cannot be: people write holds too, and the
// record takes no time that is missing.
func writtenAt(h Hold, now time.Time) time.Time {
	if h.Since.Before(beforeGit) || h.Since.After(now) {
		return now
	}
	return h.Since
}

// recordsIn is the namespace in which a hold is recorded: the namespace of the Rollback that its trailer names, if the
// source deploys into that namespace; otherwise the namespace of the ImagePolicy that it holds. Anyone who can push
// writes trailers, so a trailer alone proves nothing. A namespace that runs image automation on the repository has let
// it in.
func (e *Engine) recordsIn(o Origin, h Hold) string {
	policys, _, _ := strings.Cut(h.Policy, ":")
	parts := strings.Split(h.Rollback, "/")
	if len(parts) == 3 && parts[0] == e.Cluster && slices.Contains(o.Namespaces, parts[1]) {
		return parts[1]
	}
	return policys
}

// adoptive is the empty Rollback for a hold: a new one, or that of an adoption that did not come to its end. It is nil
// while another Rollback of the image is under way: it may be about to save this very hold. The list may not have it
// yet.
func (e *Engine) adoptive(ctx context.Context, key Key, policy string) (*v1alpha1.Rollback, error) {
	latest, err := e.Records.Latest(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read the newest Rollback of %s: %w", key, err)
	}
	next := 1
	if latest != nil {
		if adopting(latest) {
			return latest, nil
		}
		if !latest.Status.Ended() {
			return nil, nil
		}
		next = Ordinal(latest) + 1
	}
	rb := NewRollback(key, v1alpha1.TriggerImagePull, next)
	// Creating it wakes the worker, which would find nothing that fails and end it.
	rb.Annotations[AdoptsAnnotation] = policy
	return rb, e.Records.Create(ctx, rb)
}

// heldImage is the failed image that a hold is about, whole where a trailer names it.
func heldImage(h Hold) string {
	for _, f := range h.Failed {
		if isVersion(f, h.Not) {
			return f
		}
	}
	return orElse(h.Not, "unknown")
}
