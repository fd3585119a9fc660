package trigger

import (
	"cmp"
	"fmt"
	"regexp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

var (
	argoTimedOut = regexp.MustCompile(`timed out progressing`)
	argoBlind    = regexp.MustCompile(`assessed (?:Error|Inconclusive)|consecutiveErrors`)
	argoMeasured = regexp.MustCompile(`assessed Failed|failureLimit`)
	argoRefused  = regexp.MustCompile(`Rollout aborted update to revision \d+: (.+)`)
)

// ReadArgo reads a Rollout. Its phase counts only where it has seen the newest spec.
func ReadArgo(o *unstructured.Unstructured) (CanaryStatus, error) {
	f := fields{of: o.Object}
	out := CanaryStatus{
		By:    v1alpha1.ObjectRef{Kind: Argo.Kind, Namespace: o.GetNamespace(), Name: o.GetName()},
		State: CanaryBusy, Reason: v1alpha1.CanaryUnknown, Message: f.text("status", "message"),
		Spec: f.text("status", "currentPodHash"), PromotedSpec: f.text("status", "stableRS"),
		Workload: v1alpha1.Workload{Kind: Argo.Kind, Name: o.GetName(), UID: o.GetUID()},
	}
	if kind := f.text("spec", "workloadRef", "kind"); kind != "" {
		out.Workload = v1alpha1.Workload{Kind: kind, Name: f.text("spec", "workloadRef", "name")}
	}
	for _, side := range []string{"canaryMetadata", "stableMetadata"} {
		for _, of := range []string{"labels", "annotations"} {
			for key := range f.texts("spec", "strategy", "canary", side, of) {
				out.Ephemeral = append(out.Ephemeral, key)
			}
		}
	}
	seen := f.text("status", "observedGeneration") == fmt.Sprint(o.GetGeneration()) && !unobserved(&f, o)
	phase, promoted := f.text("status", "phase"), out.Spec != "" && out.Spec == out.PromotedSpec
	progressing := f.condition("Progressing")
	out.Phase = phase
	switch {
	case !seen || f.condition("InvalidSpec").reason != "":
	case phase == "Healthy" && promoted:
		out.State, out.Promoted = CanaryWell, true
	case phase == "Degraded" && !promoted &&
		(progressing.reason == "RolloutAborted" || progressing.reason == "ProgressDeadlineExceeded"):
		out.State, out.At = CanaryFailed, progressing.since
		if at := f.time("status", "abortedAt"); !at.IsZero() {
			out.At = at
		}
		out.Message = cmp.Or(progressing.message, out.Message)
		out.Reason = argoReason(progressing)
	}
	return out, f.err
}

// argoReason reads why an update was ended. An abort that names no reason is a person's.
func argoReason(c condition) v1alpha1.CanaryReason {
	said := argoRefused.FindStringSubmatch(c.message)
	switch {
	case c.reason == "ProgressDeadlineExceeded", argoTimedOut.MatchString(c.message):
		return v1alpha1.CanaryDeadline
	case said == nil:
		return v1alpha1.CanaryAborted
	case argoBlind.MatchString(said[1]):
		return v1alpha1.CanaryMetrics
	case argoMeasured.MatchString(said[1]):
		return v1alpha1.CanaryAnalysis
	}
	return v1alpha1.CanaryUnknown
}

// annotationReferenced is the generation of the workload that a Rollout takes its template from.
const annotationReferenced = "rollout.argoproj.io/workload-generation"

// unobserved reports that a Rollout has not seen the newest template of the workload that it names.
func unobserved(f *fields, o metav1.Object) bool {
	now := o.GetAnnotations()[annotationReferenced]
	return now != "" && f.text("status", "workloadObservedGeneration") != now
}

// Analyses reports whether an analysis or an experiment judges a Rollout's updates.
func Analyses(o *unstructured.Unstructured) bool {
	strategy, _, _ := unstructured.NestedMap(o.Object, "spec", "strategy")
	for _, path := range [][]string{
		{"canary", "analysis"}, {"blueGreen", "prePromotionAnalysis"}, {"blueGreen", "postPromotionAnalysis"},
	} {
		if _, found, err := unstructured.NestedFieldNoCopy(strategy, path...); found || err != nil {
			return true
		}
	}
	steps, _, err := unstructured.NestedSlice(strategy, "canary", "steps")
	for _, step := range steps {
		of, _ := step.(map[string]any)
		if of["analysis"] != nil || of["experiment"] != nil {
			return true
		}
	}
	return err != nil
}
