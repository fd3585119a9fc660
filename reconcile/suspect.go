package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// fillSuspect maps the failing workloads to their source and blames the commit that brought the image in.
func (e *Engine) fillSuspect(ctx context.Context, w *World, _ Step, rb *v1alpha1.Rollback) error {
	workloads := rb.Status.Workloads()
	seen := map[Root]bool{}
	var source, pushes types.NamespacedName
	var refusal error
	for _, wl := range workloads {
		since := listedSince(rb, e.Now())
		origin, err := e.Flux.Origin(ctx, rb.Namespace, wl, w.Policy.Source, since)
		if _, refused := AsRefusal(err); refused {
			// One workload that is gone or not Flux's does not keep the others from being reverted.
			refusal = weaker(refusal, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("find the source of %s: %w", wl, err)
		}
		if rb.Status.Suspect == nil {
			source, pushes = origin.Source.Name, origin.Source.Pushes()
		}
		// Workloads of one image that another source deploys, or other credentials push, are another repository's business.
		if seen[origin.Root] || origin.Source.Name != source || origin.Source.Pushes() != pushes {
			continue
		}
		seen[origin.Root] = true
		q := Query{
			Image: rb.Spec.Subject.Name, Namespace: rb.Namespace, Root: origin.Root, Others: origin.Others,
			Policies: origin.Policies, Applied: origin.Applied,
		}
		if len(workloads) == 1 {
			q.Workload = wl
		}
		if origin.Reconciler.Kind == "HelmRelease" {
			q.Release = origin.Reconciler
		}
		origin.Source.Since = since
		suspect, err := e.Git.Blame(ctx, origin.Source, q)
		if _, refused := AsRefusal(err); refused {
			refusal = weaker(refusal, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("blame %s: %w", rb.Spec.Subject.Name, err)
		}
		suspect.SharedWith = SharedWith(suspect.SharedBy, origin.Lands, rb.Namespace)
		if err := join(rb, origin, suspect); err != nil {
			refusal = weaker(refusal, err)
		}
	}
	if rb.Status.Suspect == nil {
		return refusal
	}
	identify(rb.Status.Suspect.Places)
	return nil
}

// identify gives places their IDs.
func identify(places []v1alpha1.Place) {
	for i := range places {
		places[i].ID = places[i].Identity()
	}
}

// listedLasts is how old what stands beside a workload in Flux may be listed when its commit is looked for.
const listedLasts = time.Second

// listedSince is when Flux's objects may have been listed to find a suspect: a moment ago, and after the image was seen
// to fail, for what brought it in came before that. Hundreds of images that fail together list them once a second.
func listedSince(rb *v1alpha1.Rollback, now time.Time) time.Time {
	since := now.Add(-listedLasts)
	for _, f := range rb.Status.Failures {
		since = later(since, f.Since.Time)
	}
	return since
}

// addPlaces looks for the places of a workload that failed when the suspect was known already: one workload is blamed
// for its own places only, and a revert must undo those of all that fail. A step keeps what it holds.
func (e *Engine) addPlaces(ctx context.Context, w *World, step Step, rb *v1alpha1.Rollback) error {
	again := rb.DeepCopy()
	again.Status.Suspect = nil
	err := e.fillSuspect(ctx, w, step, again)
	if _, refused := AsRefusal(err); refused {
		return nil // what is known stays
	}
	if err != nil {
		return err
	}
	s, found := &rb.Status, again.Status.Suspect
	all := union(s.Suspect, found)
	if n := len(all); n == len(s.Suspect.Places) || n > v1alpha1.MaxPlaces {
		return nil
	}
	if more := s.Suspect.DeepCopy(); absorb(more, found) == nil {
		more.Places, s.Suspect = all, more
	}
	if s.Target == nil || len(s.Suspect.Places) < len(all) {
		return nil
	}
	return e.fillTarget(ctx, w, step, rb)
}

// noSource is how a Rollback ends whose image no Git says. Somebody may have put it in by hand, and Flux undone it
// while the commit was looked for: then nothing asks for it any more, and nobody is called.
func (e *Engine) noSource(ctx context.Context, w *World, why string) (v1alpha1.Result, string, error) {
	seen, err := e.observe(ctx, KeyOf(&w.Rollback), &w.Rollback)
	if err != nil {
		return "", "", err
	}
	if unnamed := unnamedIn(seen); unnamed != "" {
		return v1alpha1.ResultRecovered, NeverInGit(unnamed, w.Rollback.Spec.Subject), nil
	}
	return v1alpha1.ResultSourceNotFound, why, nil
}

// NeverInGit tells the end of an image that somebody put in by hand, and that nobody asks for any more.
func NeverInGit(unnamed string, s v1alpha1.Subject) string {
	return unnamed + " does not ask for " + s.String() + " any more, and Git never did: there is nothing to revert"
}

// weaker is the refusal that may heal, or else the first one: what one workload cannot say for now may still be said.
func weaker(first, second error) error {
	if first == nil || !KindOf(first).Heals() && KindOf(second).Heals() {
		return second
	}
	return first
}

// join keeps the first suspect and takes over the nodes that the same commit changed for a second workload. It refuses
// what no record holds: a part of the places would be a part of the revert.
func join(rb *v1alpha1.Rollback, origin Origin, found v1alpha1.Suspect) error {
	found.Source = v1alpha1.ObjectRef{
		Kind: "GitRepository", Namespace: origin.Source.Name.Namespace, Name: origin.Source.Name.Name,
	}
	found.Reconciler = origin.Reconciler
	found.Branch = origin.Source.Branch
	found.Subject, found.Author = cut(found.Subject, 250), cut(found.Author, 200)
	if long := overlong(&found); long != "" {
		return Refuse("%s brought %s in, and it cannot be recorded: %s", text.Short(found.Commit),
			cut(rb.Spec.Subject.Name, 200), long)
	}
	first := rb.Status.Suspect
	if first == nil {
		if err := absorb(&found, &found); err != nil {
			return err
		}
		rb.Status.Suspect = &found
		return nil
	}
	all := union(first, &found)
	if len(all) > v1alpha1.MaxPlaces {
		rb.Status.Suspect = nil
		return Refuse("%s is said in %d places: too many to revert at once", cut(rb.Spec.Subject.Name, 200), len(all))
	}
	if err := absorb(first, &found); err != nil {
		rb.Status.Suspect = nil
		return err
	}
	first.Places = all
	return nil
}

// absorb takes over what makes the places of a second workload a person's matter, or other namespaces': its files may
// be rendered elsewhere too, and image automation may have written those of the first one alone.
func absorb(first, second *v1alpha1.Suspect) error {
	if first.Commit != second.Commit {
		return nil
	}
	with := slices.Concat(first.SharedWith, second.SharedWith)
	slices.Sort(with)
	if with = slices.Compact(with); len(with) > v1alpha1.MaxSharers {
		return Refuse("%s changed files that are rendered into %d other namespaces: too many to record",
			text.Short(first.Commit), len(with))
	}
	first.SharedWith = with
	for _, by := range second.SharedBy {
		if !slices.Contains(first.SharedBy, by) && len(first.SharedBy) < v1alpha1.MaxSharers {
			first.SharedBy = append(slices.Clip(first.SharedBy), by)
		}
	}
	for _, v := range second.Stays {
		if !slices.Contains(first.Stays, v) {
			first.Stays = append(slices.Clip(first.Stays), v)
		}
	}
	if second.Automation == nil {
		first.Automation = nil
	}
	first.ByHand = orElse(first.ByHand, second.ByHand)
	first.OnlyImages = first.OnlyImages && second.OnlyImages
	return nil
}

// union is a suspect's places and those that the same commit changed besides.
func union(first, second *v1alpha1.Suspect) []v1alpha1.Place {
	nodes := first.Places
	if first.Commit != second.Commit {
		return nodes
	}
	for _, n := range second.Places {
		same := func(o v1alpha1.Place) bool { return o.File == n.File && o.Pointer == n.Pointer }
		if !slices.ContainsFunc(nodes, same) {
			nodes = append(nodes, n)
		}
	}
	return nodes
}
