package integration

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// applyRecord is the n-th Rollback of production's Kustomization; nil if absent.
func (w *World) applyRecord(n int) *v1alpha1.Rollback {
	w.t.Helper()
	var list v1alpha1.RollbackList
	w.must(w.Client.List(w.t.Context(), &list, client.InNamespace(w.Fleet.FluxNamespace())))
	for i := range list.Items {
		if r := &list.Items[i]; r.Spec.Subject.Kind == "Kustomization" && strings.HasSuffix(r.Name, fmt.Sprintf("-%d", n)) {
			return r
		}
	}
	return nil
}

// toldOf waits until the n-th Rollback of production's Kustomization ends like this.
func (w *World) toldOf(n int, result v1alpha1.Result) *v1alpha1.Rollback {
	w.t.Helper()
	var got *v1alpha1.Rollback
	w.Until(fmt.Sprintf("what Flux cannot apply (%d) ends as %s", n, result), func() error {
		if got = w.applyRecord(n); got == nil {
			return errors.New("there is none")
		}
		if o := got.Status.Outcome; o == nil || o.Result != result {
			return fmt.Errorf("it is %s, waiting %+v, outcome %+v", got.Status.Phase, got.Status.Waiting, o)
		}
		return nil
	})
	return got
}

func TestWhatFluxCannotApplyIsToldAndReverted(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	policy := w.auto(prod, func(p *v1alpha1.RollbackPolicy) {
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

	// A field that Kubernetes does not know would not do: kustomize-controller leaves it out.
	refused := write("Scale it", func(text string) string { return strings.Replace(text, "replicas: 1", "replicas: many", 1) })
	_, err := w.Alice.Change(t.Context(), "README.md", "Say more", func(text string) string { return text + "More.\n" })
	w.must(err)
	r := w.toldOf(1, v1alpha1.ResultReportedOnly)
	f := r.Status.Failures[0]
	if f.Cause != v1alpha1.CauseObjectRefused || f.Apply.Object == nil || f.Apply.Object.Name != "backend" || f.Apply.LastApplied == "" {
		t.Errorf("the failure is %s of %+v: %s", f.Cause, f.Apply, f.Message)
	}
	if s := r.Status.Suspect; s == nil || s.Commit != refused || s.Subject != "Scale it" {
		t.Errorf("blamed %+v, want %s: %s", s, refused, r.Status.Outcome.Message)
	}
	write("Mend it", func(string) string { return good })
	w.toldOf(1, v1alpha1.ResultSuperseded)

	// The same policy may ask, and what cannot be built goes back once somebody says so.
	change(w, policy, func(p *v1alpha1.RollbackPolicy) {
		p.Spec.Triggers[0].Mode, p.Spec.Triggers[0].Authors = v1alpha1.ModeAuto, v1alpha1.AuthorsAnyone
	})
	broken := write("Break it", func(text string) string { return text + "\n  - [not YAML\n" })
	_, err = w.Alice.Change(t.Context(), "README.md", "Say even more", func(text string) string { return text + "Even more.\n" })
	w.must(err)
	w.Until("somebody is asked, and says yes", func() error {
		r := w.applyRecord(2)
		if r == nil || r.Status.Question == nil {
			return fmt.Errorf("nobody is asked: %+v", r)
		}
		r.Spec.Decisions = []v1alpha1.Decision{{By: admin, Question: r.Status.Question.ID, Answer: v1alpha1.Approve,
			At: v1alpha1.NewTime(time.Now().Truncate(time.Microsecond))}}
		return w.Client.Update(t.Context(), r)
	})
	r = w.toldOf(2, v1alpha1.ResultVerified)
	if s := r.Status; s.Failures[0].Cause != v1alpha1.CauseNotBuilt || s.Suspect.Commit != broken || s.Change.Hold != "" || s.Target.Refused != nil {
		t.Errorf("reverted %+v by %+v", s.Suspect, s.Change)
	}
	if got := w.changed(r.Status.Change.Commit); !slices.Equal(got, []string{file}) || w.blob(w.Tip(), file) != good {
		t.Errorf("the revert changes %q, and leaves\n%s", got, w.blob(w.Tip(), file))
	}
}
