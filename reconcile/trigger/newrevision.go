package trigger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/reconcile"
)

// NewRevision sees new revisions that have their image and do not become ready. They are proved by their pods and not
// by the registry, which has the image.
func NewRevision() reconcile.Trigger {
	return reconcile.Trigger{
		Type: v1alpha1.TriggerRollout, Observe: among(v1alpha1.TriggerRollout, failedRevisions), Ended: runsWell,
		Doubts: doubtsOfRollout, Breaker: manyFail, Fault: proveByPods, Arrived: arrived,
	}
}

func failedRevisions(o *reconcile.Observation, pods *reconcile.PodsSeen) {
	o.Pods, o.Over, o.Revision = pods.Pods, pods.Steady, pods.Revision
}

// runsWell: that a container starts is no news, since it crashes afterwards.
func runsWell(w *reconcile.World) *reconcile.Ending {
	s, now := &w.Rollback.Status, w.Seen[v1alpha1.TriggerRollout]
	switch {
	case !w.Rollback.OfWorkload():
	case now.Unnamed != "":
		return &reconcile.Ending{Result: v1alpha1.ResultRecovered, Sentence: now.Unnamed + " does not exist any more"}
	case now.Over != "" && s.Suspect != nil && !failedAs(s, now.Revision):
		if w.StillInGit() {
			// Somebody went back by hand, and Flux brings it again.
			return nil
		}
		return &reconcile.Ending{Result: v1alpha1.ResultSuperseded, Sentence: fmt.Sprintf(
			"%s runs well with another revision than %.12s made", now.Over, s.Suspect.Commit)}
	}
	return recovered(w, v1alpha1.TriggerRollout, "runs well after all")
}

// failedAs reports whether a revision is one that failed.
func failedAs(s *v1alpha1.RollbackStatus, revision string) bool {
	return slices.ContainsFunc(s.Failures, func(f v1alpha1.Failure) bool {
		return f.Rollout != nil && f.Revision == revision
	})
}

// arrived describes what is missing until what Git says now runs. Where the configuration went back, images do not
// tell.
func arrived(w *reconcile.World) string {
	missing, now := reconcile.Arrival(w), w.Seen[v1alpha1.TriggerRollout]
	switch {
	case missing != "" || !w.Rollback.OfWorkload():
		return missing
	case len(now.Failures) > 0 && !failedAs(&w.Rollback.Status, now.Revision):
		return fmt.Sprintf("%s does not become ready with the revert either: container %s %s", w.Rollback.Spec.Subject,
			now.Failures[0].Container, now.Failures[0].Cause.Words())
	case failedAs(&w.Rollback.Status, now.Revision):
		return w.Rollback.Spec.Subject.String() + " has the revision that fails still"
	}
	return ""
}

// rollouts are the failures of new revisions as they are now, or else as they were recorded.
func rollouts(w *reconcile.World) []v1alpha1.Failure {
	if now := w.Seen[v1alpha1.TriggerRollout].Failures; len(now) > 0 {
		return now
	}
	var out []v1alpha1.Failure
	for _, f := range w.Rollback.Status.Failures {
		if f.Rollout != nil {
			out = append(out, f)
		}
	}
	return out
}

// doubtsOfRollout are why the policy's word is not enough where a new revision fails: what its pods leave open, and who
// else may deploy it.
func doubtsOfRollout(w *reconcile.World) []v1alpha1.Doubt {
	s := &w.Rollback.Status
	var out []v1alpha1.Doubt
	failing := rollouts(w)
	for _, f := range failing {
		for _, d := range f.Rollout.Doubts {
			if w.Rollback.OfWorkload() && (d.Type == v1alpha1.DoubtConfigChanged || d.Type == v1alpha1.DoubtSameImage) {
				// That is what it is about.
				continue
			}
			if !slices.ContainsFunc(out, func(o v1alpha1.Doubt) bool { return o.Type == d.Type }) {
				out = append(out, v1alpha1.Doubt{Type: d.Type, Message: f.Workload.String() + ": " + d.Message})
			}
		}
		if was := f.Rollout.FormerImage; was != "" && s.Target.Image != "" && !image.SameTag(was, s.Target.Image) {
			out = append(out, v1alpha1.Doubt{Type: v1alpha1.DoubtTargetNotRan, Message: fmt.Sprintf(
				"%s ran %s before, and the target is %s", f.Workload, was, s.Target.Image)})
		}
	}
	if !w.Policy.SoleCluster {
		out = append(out, v1alpha1.Doubt{Type: v1alpha1.DoubtOtherClusters,
			Message: "other clusters may deploy the same and run it well, unless the policy says soleCluster"})
	}
	return out
}

// failWithin is within how long new revisions have to fail to do so at the same time.
const failWithin = 30 * time.Minute

// manyFail opens the breaker where new revisions of several commits fail at once in one namespace, or in several: what
// they all need is the suspect. What one commit broke counts once, what never begins needs nothing, and no tenant opens
// it for the others.
func manyFail(w *reconcile.World, open []v1alpha1.Rollback) string {
	here, namespaces := map[string]bool{}, map[string]map[string]bool{}
	add := func(r *v1alpha1.Rollback) bool {
		if !slices.ContainsFunc(r.Status.Failures, func(f v1alpha1.Failure) bool {
			return f.Rollout != nil && begins(&f) && w.Now.Sub(f.Since.Time) < failWithin
		}) {
			return false
		}
		commit := r.Namespace + "/" + r.Name
		if s := r.Status.Suspect; s != nil && s.Commit != "" {
			commit = s.Commit
		}
		if namespaces[r.Namespace] == nil {
			namespaces[r.Namespace] = map[string]bool{}
		}
		namespaces[r.Namespace][commit] = true
		if r.Namespace == w.Rollback.Namespace {
			here[commit] = true
		}
		return true
	}
	if !add(&w.Rollback) {
		return ""
	}
	for i := range open {
		if open[i].UID != w.Rollback.UID {
			add(&open[i])
		}
	}
	commits := map[string]bool{}
	for _, of := range namespaces {
		maps.Copy(commits, of)
	}
	switch {
	case len(here) >= manyAt:
		return fmt.Sprintf("breaker: new revisions of %d commits fail at the same time, what they all need is the suspect",
			len(here))
	case len(namespaces) >= manyAt && len(commits) >= manyAt:
		return fmt.Sprintf("breaker: new revisions of %d commits fail at the same time in %d namespaces, what they all need "+
			"is the suspect", len(commits), len(namespaces))
	}
	return ""
}

// begins reports that a process ran before it failed, so that something it needs may have a part in that.
func begins(f *v1alpha1.Failure) bool {
	if f.Cause == v1alpha1.CauseCannotStart {
		code := f.Rollout.ExitCode
		return code != nil && (*code == exitNotExecutable || *code == exitNotFound)
	}
	return f.Cause != v1alpha1.CauseWrongArchitecture && f.Cause != v1alpha1.CauseRunsAsRoot
}

// proveByPods takes what the pods of a new revision show for a proof, where nothing speaks against it.
func proveByPods(_ context.Context, w *reconcile.World, _ *v1alpha1.Target) (reconcile.Proof, error) {
	var said []string
	out := reconcile.Proof{Finding: reconcile.FindingAbsent}
	for _, f := range rollouts(w) {
		if len(f.Rollout.Doubts) > 0 {
			out.Finding = reconcile.FindingUnproved
		}
		said = append(said, fmt.Sprintf("%s of revision %s %s%s", f.Container, f.Revision, f.Cause.Words(),
			exitOf(f.Rollout)))
	}
	slices.Sort(said)
	out.Sentence = strings.Join(slices.Compact(said), ", ")
	return out, nil
}

// exitOf describes how a container ended.
func exitOf(r *v1alpha1.Rollout) string {
	if r.ExitCode == nil {
		return ""
	}
	return fmt.Sprintf(" with exit code %d", *r.ExitCode)
}
