package card

import (
	"fmt"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// fails describes what an image does that it should not, within a sentence.
func fails(r *v1alpha1.Rollback) string {
	s := &r.Status
	if r.Spec.OpenedFor == v1alpha1.TriggerCanary || onlyRefused(s) {
		return "was refused by its canary"
	}
	crashes := s.SeenBy(v1alpha1.TriggerRollout) && !s.SeenBy(v1alpha1.TriggerImagePull)
	if r.Spec.OpenedFor == v1alpha1.TriggerRollout || crashes {
		return "does not become ready"
	}
	return "cannot be pulled"
}

// rollouts tells what containers of a new revision show, and what changed with it.
func rollouts(s *v1alpha1.RollbackStatus) []string {
	return seen(s, func(f *v1alpha1.Failure) bool { return f.Rollout != nil }, rolloutLine)
}

// seen lists those failures that are picked, a line each.
func seen(s *v1alpha1.RollbackStatus, picked func(*v1alpha1.Failure) bool, line func(*v1alpha1.Failure) string,
) []string {
	var out []string
	for i := range s.Failures {
		f := &s.Failures[i]
		if !picked(f) {
			continue
		}
		if len(out) == 4 {
			out = append(out, "more containers")
			break
		}
		out = append(out, line(f))
	}
	if len(out) == 0 {
		return nil
	}
	return []string{"*Seen*\n• " + strings.Join(out, "\n• ")}
}

func rolloutLine(f *v1alpha1.Failure) string {
	r := f.Rollout
	out := fmt.Sprintf("container %s of %s %s", code(f.Container, 63), code(f.Workload.String(), 120), causeWords(f.Cause))
	if r.ExitCode != nil {
		out += fmt.Sprintf(", exit code %d", *r.ExitCode)
		if r.LastRun != nil {
			out += " after " + lasted(r.LastRun.Duration)
		}
	}
	switch {
	case r.Restarts == 1:
		out += ", restarted once"
	case r.Restarts > 1:
		out += fmt.Sprintf(", restarted %d times", r.Restarts)
	}
	if len(r.Nodes) > 0 {
		var nodes []string
		for _, n := range r.Nodes {
			nodes = append(nodes, foreign(n, 80))
		}
		out += " on " + join(nodes, 3)
	}
	var changed []string
	for _, c := range r.Changed {
		what := c.String()
		changed = append(changed, "the "+foreign(strings.ToLower(what[:min(len(what), 1)])+what[min(len(what), 1):], 120))
	}
	if len(changed) > 0 {
		out += "; changed with this revision: " + join(changed, 3)
	}
	return out + ". " + before(r)
}

// before describes how the revision before was.
func before(r *v1alpha1.Rollout) string {
	switch {
	case r.Former == "":
		return "There was no revision before"
	case r.Pods.FormerReady == 1:
		return "1 pod of the revision before is ready"
	case r.Pods.FormerReady > 1:
		return fmt.Sprintf("%d pods of the revision before are ready", r.Pods.FormerReady)
	case r.FormerWas == v1alpha1.AvailableFully:
		return "The revision before was fully available, and its pods are gone"
	case r.FormerWas == v1alpha1.AvailablePartly:
		return "The revision before was not fully available"
	}
	return "No pod of the revision before is ready, and nobody saw whether they were"
}

// onlyRefused reports that a canary refused the image, and nothing else is wrong with it.
func onlyRefused(s *v1alpha1.RollbackStatus) bool {
	other := func(f v1alpha1.Failure) bool { return f.Canary == nil }
	return len(s.Failures) > 0 && !slices.ContainsFunc(s.Failures, other)
}
