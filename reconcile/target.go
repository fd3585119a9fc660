package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/text"
)

// maxFormer is how many earlier values are tried as a target.
const maxFormer = 8

// fillTarget asks the registry about the failing image, and finds the newest earlier value that has no recorded failure
// and is proved to exist: two bad images in a row are common, and nothing is rolled back into the dark.
func (e *Engine) fillTarget(ctx context.Context, w *World, _ Step, rb *v1alpha1.Rollback) error {
	s := &rb.Status
	origin, err := e.Flux.Reopen(ctx, w.Rollback.Namespace, *s.Suspect, w.Policy.Source, w.since)
	if err != nil {
		return fmt.Errorf("read %s: %w", s.Suspect.Source, err)
	}
	origin.Source.Since = w.since
	if s.Suspect.ByFiles() {
		return e.fillUndo(ctx, w, origin, rb)
	}
	most := maxFormer
	for _, t := range w.rows() {
		most = max(most, t.Depth)
	}
	former, err := e.Git.Former(ctx, origin.Source, *s.Suspect, most)
	if err != nil {
		return fmt.Errorf("read what was there before %s: %w", text.Short(s.Suspect.Commit), err)
	}
	// What no record takes is no image.
	former = slices.DeleteFunc(former, func(f Former) bool { return overlong(&f.Values) != "" })
	if t, ok := chosenBefore(w, former); ok {
		t.At = v1alpha1.NewTime(w.Now)
		s.Target = &t
		return nil
	}
	target, preferred, err := e.preferred(ctx, w, rb, former)
	if err != nil {
		return err
	}
	if !preferred || s.Blamed() && len(target.Values) == 0 {
		if target, err = e.firstProved(ctx, w, rb, former); err != nil {
			return err
		}
	}
	if s.Blamed() {
		if err := e.proveBad(ctx, w, rb, &target, origin.Policies); err != nil {
			return err
		}
	}
	target.Proof, target.At = sentence(target.Proof), v1alpha1.NewTime(w.Now)
	if err := e.rendered(ctx, origin, s, target); err != nil {
		return err
	}
	if s.Target == nil {
		// What it waits for stays when the registry is asked again: most answers are the same.
		s.Waiting = nil
	}
	s.Target = &target
	return nil
}

// rendered asks once what a revert to the first target would leave to be rendered.
func (e *Engine) rendered(ctx context.Context, origin Origin, s *v1alpha1.RollbackStatus, t v1alpha1.Target) error {
	if e.Rendered == nil || s.Target != nil || len(t.Values) == 0 {
		return nil
	}
	return e.Rendered(ctx, origin, Revert{
		Image: s.Suspect.Image, Suspect: *s.Suspect, Target: t, Permit: func(Branch) error { return nil },
	})
}

// preferred is the target that a trigger on the record puts before the newest one that is proved.
func (e *Engine) preferred(ctx context.Context, w *World, rb *v1alpha1.Rollback, former []Former,
) (v1alpha1.Target, bool, error) {
	prove := func(image string) (Proof, error) {
		q, err := e.question(ctx, rb, image)
		if err != nil {
			return Proof{}, err
		}
		return e.Registry.Prove(ctx, q), nil
	}
	for _, t := range w.rows() {
		if t.Prefer == nil {
			continue
		}
		if target, err := t.Prefer(w, former, prove); err != nil || target != nil {
			if target == nil {
				target = &v1alpha1.Target{}
			}
			return *target, err == nil, err
		}
	}
	return v1alpha1.Target{}, false, nil
}

// prove reports whether an earlier value can run: what the triggers on the record go by, or else the registry.
func (e *Engine) prove(ctx context.Context, w *World, rb *v1alpha1.Rollback, f Former) (Proof, error) {
	for _, t := range w.rows() {
		if t.Prove != nil {
			return t.Prove(ctx, w, f)
		}
	}
	q, err := e.question(ctx, rb, f.Image)
	if err != nil {
		return Proof{}, err
	}
	return e.Registry.Prove(ctx, q), nil
}

// proveBad asks whether the subject's image cannot run: what the triggers on the record go by, or else the registry.
func (e *Engine) proveBad(ctx context.Context, w *World, rb *v1alpha1.Rollback, target *v1alpha1.Target,
	policies []ImagePolicy,
) error {
	if !asksRegistry(w) {
		if p, ok, err := w.fault(ctx, target); ok {
			target.BadProved, target.Proof = p.Finding == FindingAbsent, joinWords(p.Sentence, target.Proof)
			return err
		}
	}
	q, err := e.question(ctx, rb, rb.Spec.Subject.Name)
	if err != nil {
		return err
	}
	q.Witness, q.Rescanned = target.Image, rescanned(rb, target, policies)
	bad := e.Registry.Prove(ctx, q)
	// Two who know nothing of each other say that it is no image: the node, which could not run it, and the registry.
	noImage := bad.Artifact != "" && slices.Contains(rb.Status.Causes(), v1alpha1.CauseNotAnImage)
	target.BadProved = bad.Finding == FindingAbsent || noImage
	target.ConfirmAt = e.confirmAt(&rb.Status, bad)
	if at := target.ConfirmAt; at != nil && e.Now().Before(at.Time) {
		target.BadProved = false
	} else {
		target.ConfirmAt = nil
	}
	target.Proof = joinWords(bad.Sentence, target.Proof, q.Access.Missing)
	return nil
}

// fault asks the first trigger on the record that knows whether the subject's image cannot run.
func (w *World) fault(ctx context.Context, target *v1alpha1.Target) (Proof, bool, error) {
	for _, t := range w.rows() {
		if t.Fault != nil {
			p, err := t.Fault(ctx, w, target)
			return p, true, err
		}
	}
	return Proof{}, false, nil
}

// rescanned reports whether the policies that image automation wrote the image by have gone back to the target since: a
// policy selects the highest tag that its newest scan lists.
func rescanned(rb *v1alpha1.Rollback, target *v1alpha1.Target, policies []ImagePolicy) bool {
	markers := markersOf(rb.Status.Suspect)
	if target.Image == "" || len(markers) == 0 || rb.Status.Suspect.Automation == nil {
		return false
	}
	return !slices.ContainsFunc(markers, func(m string) bool {
		return !slices.ContainsFunc(policies, func(p ImagePolicy) bool {
			return p.Name == m && image.SameTag(p.Previous, rb.Spec.Subject.Name) && image.SameTag(p.Latest, target.Image)
		})
	})
}

// confirmAt is when an absence is one: at once, which is nil, or a while after it was first seen. Image automation
// selects what its registry lists, so that one which lacks it a moment later may be a cache whose upstream does not
// answer, or a mirror that is behind. The kubelet saw it first, as long as the registry never said anything else.
func (e *Engine) confirmAt(s *v1alpha1.RollbackStatus, bad Proof) *v1alpha1.Time {
	switch {
	case e.ConfirmAfter <= 0 || s.Suspect.Automation == nil || bad.Finding != FindingAbsent:
		return nil
	case bad.Cause != v1alpha1.CauseNotFound && bad.Cause != v1alpha1.CauseBlobMissing:
		return nil
	case s.Target != nil && s.Target.BadProved:
		return nil
	case s.Target != nil && s.Target.ConfirmAt != nil:
		return s.Target.ConfirmAt
	}
	first := e.Now()
	if s.Target == nil {
		for _, f := range s.Failures {
			if f.Cause == bad.Cause && f.Since.Time.Before(first) {
				first = f.Since.Time
			}
		}
	}
	at := v1alpha1.NewTime(first.Add(e.ConfirmAfter))
	return &at
}

// question asks a registry for an image that the Rollback's workloads run, ran or would run. Where a layer of the
// failing image is missing, others may lack it too: then all of them are asked for every layer.
func (e *Engine) question(ctx context.Context, rb *v1alpha1.Rollback, image string) (Question, error) {
	s := &rb.Status
	pod := ""
	if len(s.Failures) > 0 && s.Failures[0].Pull != nil {
		pod = s.Failures[0].Pull.Pod
	}
	access, err := e.Flux.Access(ctx, rb.Namespace, image, pod)
	if err != nil {
		return Question{}, fmt.Errorf("read how to ask the registry: %w", err)
	}
	return Question{
		Image: image, Platforms: e.platforms(s), Access: access, Deep: slices.Contains(s.Causes(), v1alpha1.CauseBlobMissing),
	}, nil
}

// chosenBefore gives what a standing revert of another Backstop or Rollback went back to.
func chosenBefore(w *World, former []Former) (v1alpha1.Target, bool) {
	trail, ok := commitOf(w)
	if !ok || stand(&w.Rollback.Status, w.Branch).bad > 0 {
		return v1alpha1.Target{}, false
	}
	t := v1alpha1.Target{Proof: "chosen by the revert " + text.Short(trail.Commit)}
	for i := range int32(len(w.Rollback.Status.Suspect.Places)) {
		if v, there := w.Branch.Values[i]; there {
			t.Values = append(t.Values, v1alpha1.PlaceValue{Index: i, Value: v})
		}
	}
	for _, f := range former {
		if slices.Equal(f.Values, t.Values) {
			t.Image = f.Image
			return t, true
		}
	}
	t.Image = madeOf(w.Rollback.Status.Suspect.Places, t.Values, w.Rollback.Spec.Subject.Image())
	return t, true
}

// madeOf is the reference that values make in the place of another one; empty where one of them is no part of it.
func madeOf(places []v1alpha1.Place, values []v1alpha1.PlaceValue, bad string) string {
	if len(values) == 0 {
		return ""
	}
	repository, tag, _ := image.Split(bad)
	digest := ""
	for _, v := range values {
		switch places[v.Index].Part {
		case "Image":
			repository, tag, digest = image.Split(v.Value)
		case "Repository":
			repository = v.Value
		case "Tag":
			tag = v.Value
		case "Digest":
			digest = v.Value
		default:
			return ""
		}
	}
	return image.Join(repository, tag, digest)
}

// firstProved walks the earlier values, newest first. An image that the registry does not hold any more is passed over;
// where the registry does not answer, the newest value is the target, unproved.
func (e *Engine) firstProved(
	ctx context.Context, w *World, rb *v1alpha1.Rollback, former []Former,
) (v1alpha1.Target, error) {
	var unproved *v1alpha1.Target
	var passed []string
	said := "no earlier value was found in Git"
	for _, f := range former[:min(len(former), maxFormer)] {
		if ctx.Err() != nil {
			break
		}
		if failedOn(w, f.Image) {
			said = fmt.Sprintf("%s was reverted here before", f.Image)
			continue
		}
		crashed, err := e.crashedHere(ctx, rb, f.Image)
		if err != nil {
			return v1alpha1.Target{}, err
		}
		if crashed {
			said = fmt.Sprintf("%s did not become ready here before", f.Image)
			continue
		}
		p, err := e.prove(ctx, w, rb, f)
		if err != nil {
			return v1alpha1.Target{}, err
		}
		t := v1alpha1.Target{
			Image: f.Image, Values: f.Values, PassedOver: slices.Clone(passed), Digest: p.Digest, Proof: p.Sentence,
		}
		switch p.Finding {
		case FindingPresent:
			t.Proved = true
			return t, nil
		case FindingAbsent:
			said = p.Sentence
			known, err := e.failedHere(ctx, rb, f.Image)
			if err != nil {
				return v1alpha1.Target{}, err
			}
			if !known {
				passed = append(passed, f.Image)
			}
		case FindingUnproved:
			if unproved == nil {
				unproved = &t
			}
		}
	}
	if unproved != nil {
		return *unproved, nil
	}
	return v1alpha1.Target{Proof: said}, nil
}

// failedHere reports whether a Rollback of the namespace recorded that an image could not run, whatever became of it.
func (e *Engine) failedHere(ctx context.Context, rb *v1alpha1.Rollback, former string) (bool, error) {
	r, err := e.Records.Known(ctx, ImageKey(rb.Namespace, former))
	if err != nil {
		return false, fmt.Errorf("look for the Rollback of %s: %w", former, err)
	}
	return r != nil && slices.ContainsFunc(r.Status.Causes(), v1alpha1.Cause.ImageFault), nil
}

// failedOn reports whether Backstop reverted an image on this branch before.
func failedOn(w *World, former string) bool {
	if w.Branch == nil || former == "" {
		return false
	}
	for _, t := range w.Branch.Commits {
		if t.Kind == TrailerRevert && slices.ContainsFunc(t.Images, func(i string) bool { return image.SameTag(i, former) }) {
			return true
		}
	}
	return false
}

// crashedHere reports whether a Rollback of the namespace recorded that a new revision with an image did not become
// ready, whatever became of it: the registry still has it, and it is no target.
func (e *Engine) crashedHere(ctx context.Context, rb *v1alpha1.Rollback, former string) (bool, error) {
	r, err := e.Records.Known(ctx, ImageKey(rb.Namespace, former))
	if err != nil {
		return false, fmt.Errorf("look for the Rollback of %s: %w", former, err)
	}
	return r != nil && r.Status.SeenBy(v1alpha1.TriggerRollout) &&
		(r.Status.Outcome == nil || r.Status.Outcome.Result != v1alpha1.ResultRecovered), nil
}

func (e *Engine) platforms(s *v1alpha1.RollbackStatus) []string {
	var out []string
	for _, f := range s.Failures {
		if f.Pull != nil && f.Pull.Platform != "" && !slices.Contains(out, f.Pull.Platform) {
			out = append(out, f.Pull.Platform)
		}
	}
	if len(out) == 0 {
		return e.Platforms
	}
	return out
}
