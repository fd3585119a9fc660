package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// toldOf waits until the n-th Rollback of production's Kustomization ends like this.
func (w *World) toldOf(n int, result v1alpha1.Result) *v1alpha1.Rollback {
	w.t.Helper()
	var got *v1alpha1.Rollback
	w.Until(fmt.Sprintf("what Flux cannot apply (%d) ends as %s", n, result), func() error {
		var list v1alpha1.RollbackList
		w.must(w.Client.List(w.t.Context(), &list, client.InNamespace(w.Fleet.FluxNamespace())))
		for i := range list.Items {
			if r := &list.Items[i]; r.Spec.Subject.Kind == "Kustomization" && strings.HasSuffix(r.Name, fmt.Sprintf("-%d", n)) {
				got = r
			}
		}
		if got == nil {
			return fmt.Errorf("there is none among %d", len(list.Items))
		}
		if o := got.Status.Outcome; o == nil || o.Result != result {
			return fmt.Errorf("it is %s, waiting %+v, outcome %+v", got.Status.Phase, got.Status.Waiting, o)
		}
		return nil
	})
	return got
}

func TestWhatFluxCannotApplyIsToldWithItsCommit(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.auto(prod, func(p *v1alpha1.RollbackPolicy) {
		p.Namespace = w.Fleet.FluxNamespace()
		p.Spec.Triggers = []v1alpha1.PolicyTrigger{{Type: v1alpha1.TriggerApply, Mode: v1alpha1.ModeNotify,
			GracePeriod: &metav1.Duration{Duration: time.Second}}}
	})
	w.Settle()
	file := w.Fleet.File(prod, "backend")
	good := w.blob(w.Tip(), file)
	write := func(message string, edit func(string) string) string {
		t.Helper()
		commit, err := w.Alice.Change(t.Context(), file, message, edit)
		w.must(err)
		return commit
	}

	refused := write("Add a field", func(text string) string { return strings.Replace(text, "replicas: 1", "replicas: 1\n  replica: 2", 1) })
	_, err := w.Alice.Change(t.Context(), "README.md", "Say more", func(text string) string { return text + "More.\n" })
	w.must(err)
	r := w.toldOf(1, v1alpha1.ResultReportedOnly)
	f := r.Status.Failures[0]
	if f.Cause != v1alpha1.CauseObjectRefused || f.Apply.Object == nil || f.Apply.Object.Name != "backend" || f.Apply.LastApplied == "" {
		t.Errorf("the failure is %s of %+v: %s", f.Cause, f.Apply, f.Message)
	}
	if s := r.Status.Suspect; s == nil || s.Commit != refused || s.Subject != "Add a field" {
		t.Errorf("blamed %+v, want %s: %s", s, refused, r.Status.Outcome.Sentence)
	}
	write("Mend it", func(string) string { return good })
	w.toldOf(1, v1alpha1.ResultSuperseded)

	broken := write("Break it", func(text string) string { return text + "\n  - [not YAML\n" })
	r = w.toldOf(2, v1alpha1.ResultReportedOnly)
	if s := r.Status.Suspect; r.Status.Failures[0].Cause != v1alpha1.CauseNotBuilt || s == nil || s.Commit != broken {
		t.Errorf("blamed %+v, want %s: %s", s, broken, r.Status.Outcome.Sentence)
	}
	write("Mend it again", func(string) string { return good })
	w.toldOf(2, v1alpha1.ResultSuperseded)
}
