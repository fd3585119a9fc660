package trace

import (
	"cmp"
	"fmt"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/reconcile/flux"
)

func (v *view) applyHop() Hop {
	k := v.Chain.Kustomization
	ref := refOf("Kustomization", k.Namespace, k.Name)
	h := Hop{Name: HopApply, At: ref.String()}
	reason, message, failing := flux.Not(k.Status.Conditions)
	applied := "applied " + cmp.Or(fmt.Sprintf("%.12s", v.Chain.Attempted), flux.Short(k.Status.LastAppliedRevision))
	switch {
	case k.Spec.Suspend:
		h.Mark, h.Why, h.Fix = Blocked, "it is suspended, and applies nothing", flux.Resume(ref)
	case !k.DeletionTimestamp.IsZero():
		h.Mark, h.Why, h.Fix = Blocked, "it is being deleted", "see which finalizer keeps it: kubectl -n "+k.Namespace+
			" get kustomization "+k.Name+" -o yaml"
	case failing && reason != meta.ArtifactFailedReason:
		h.Mark, h.Why = Blocked, fmt.Sprintf("it fails (%s): %s%s", reason, message, v.since(ref))
		h.Fix = v.applyFix(reason)
	case v.Git.Suspect != nil && !v.Git.Attempted:
		h.Mark = Waits
		h.Why = fmt.Sprintf("it has %s, which does not hold %.12s yet", applied, v.Git.Suspect.Commit)
		if v.Chain.Waits != "" {
			h.Why += ": " + v.Chain.Waits
		} else if got, ok := v.fetched(); ok && v.overdue(got, 0) {
			// It applies what its source fetched at once, whatever its interval is.
			h.Mark = Blocked
			h.Why += ", though its source fetched that " + v.ago(got)
			h.Fix = flux.Reconcile(ref) + logs("kustomize-controller")
		}
	case v.Chain.Attempted == "" && k.Status.LastAppliedRevision == "":
		h.Mark, h.Why = Waits, cmp.Or(v.Chain.Waits, "it has applied nothing yet")
	default:
		h.Mark, h.Says = Good, applied
		if v.Chain.Waits != "" {
			h.Says += "; " + v.Chain.Waits
		} else if h.Says += ", every " + every(k.Spec.Interval.Duration); v.Chain.Release == nil && !v.Chain.Next.IsZero() {
			h.Says += ", next at about " + v.Chain.Next.UTC().Format("15:04:05 MST")
		}
	}
	return h
}

// fetched is when the source got the commit that is followed; ok is false where it has not, or nobody knows.
func (v *view) fetched() (time.Time, bool) {
	s := v.Chain.Source.Git
	if !v.Git.Fetched || s == nil || s.Status.Artifact == nil {
		return time.Time{}, false
	}
	return s.Status.Artifact.LastUpdateTime.Time, true
}

// applyFix describes what to do about a Kustomization that fails, by its reason.
func (v *view) applyFix(reason string) string {
	k := v.Chain.Kustomization
	ref := refOf("Kustomization", k.Namespace, k.Name)
	again := flux.Reconcile(ref)
	switch reason {
	case meta.DependencyNotReadyReason:
		var on []string
		for _, d := range k.Spec.DependsOn {
			on = append(on, fmt.Sprintf("flux -n %s get kustomization %s", cmp.Or(d.Namespace, k.Namespace), d.Name))
		}
		return "make ready what it depends on: " + few(on, 3)
	case meta.BuildFailedReason:
		return "correct the files below spec.path and push; see: flux build kustomization " + k.Name + " --path " +
			k.Spec.Path
	case meta.HealthCheckFailedReason:
		return "mend what it names (the hops below, where it is this workload), then: " + again
	case meta.ReconciliationFailedReason:
		return "correct the object that it names and push, then: " + again
	case meta.PruneFailedReason:
		return "let the object that it names be deleted (an admission policy, a webhook or RBAC refuses it), then: " + again
	}
	return "mend what it says, then: " + again
}

func (v *view) releaseHop() Hop {
	r := v.Chain.Release
	ref := refOf("HelmRelease", r.Namespace, r.Name)
	h := Hop{Name: HopRelease, At: ref.String()}
	reason, message, failing := flux.Not(r.Status.Conditions)
	switch {
	case r.Spec.Suspend:
		h.Mark, h.Why, h.Fix = Blocked, "it is suspended, and upgrades nothing", flux.Resume(ref)
	case failing:
		h.Mark, h.Why = Blocked, fmt.Sprintf("it fails (%s): %s%s", reason, message, v.since(ref))
		h.Fix = v.releaseFix(reason)
	case r.Status.LastAttemptedGeneration != r.Generation:
		h.Mark, h.Why = Waits, cmp.Or(v.Chain.Waits, "it has not attempted its newest values yet")
		if changed := changedAt(r); !changed.IsZero() && v.overdue(changed, 0) && !flux.Working(r.Status.Conditions) {
			h.Mark = Blocked
			h.Why += ", though they changed " + v.ago(changed)
			h.Fix = flux.Reconcile(ref) + logs("helm-controller")
		}
	default:
		h.Mark, h.Says = Good, "attempted its newest values; again "+v.Chain.Says
	}
	return h
}

// releaseFix describes what to do about a HelmRelease that fails, by its reason.
func (v *view) releaseFix(reason string) string {
	r := v.Chain.Release
	again := flux.Reconcile(refOf("HelmRelease", r.Namespace, r.Name))
	switch reason {
	case helmv2.DependencyNotReadyReason:
		var on []string
		for _, d := range r.Spec.DependsOn {
			on = append(on, fmt.Sprintf("flux -n %s get helmrelease %s", cmp.Or(d.Namespace, r.Namespace), d.Name))
		}
		return "make ready what it depends on: " + few(on, 3)
	case "SourceNotReady", helmv2.ArtifactFailedReason:
		return fmt.Sprintf("see why its chart cannot be had: kubectl -n %s get helmcharts; then: %s", r.Namespace, again)
	}
	return "correct the values or the chart and push; to try the same again: " + again + " --reset"
}

// changedAt is when somebody changed an object last, beside its status; zero where nobody knows.
func changedAt(o metav1.Object) time.Time {
	var last time.Time
	for _, f := range o.GetManagedFields() {
		if f.Subresource == "" && f.Time != nil && f.Time.After(last) {
			last = f.Time.Time
		}
	}
	return last
}
