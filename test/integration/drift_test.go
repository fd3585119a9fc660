package integration

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// Changes by hand, made with the real kubectl on real ReplicaSets.

// asks is a policy that has a person decide on a drift.
func (w *World) asks(env string, changes ...func(*v1alpha1.RollbackPolicy)) {
	w.t.Helper()
	drift := func(p *v1alpha1.RollbackPolicy) {
		p.Spec.Triggers = []v1alpha1.PolicyTrigger{{Type: v1alpha1.TriggerDrift, Mode: v1alpha1.ModeApprove}}
	}
	w.auto(env, append([]func(*v1alpha1.RollbackPolicy){drift}, changes...)...)
}

// kubectl runs the real kubectl in an environment's namespace.
func (w *World) kubectl(env string, args ...string) {
	w.t.Helper()
	_, err := w.Env.Kubectl(w.t.Context(), append([]string{"-n", w.Fleet.Namespace(env)}, args...)...)
	w.must(err)
}

// release publishes an app's nth image and waits until image automation has written it and it runs. It gives the image
// and the commit.
func (w *World) release(env, app string, n int) (image, commit string) {
	w.t.Helper()
	w.Publish(app, fleet.Tag(env, n))
	commit = w.wroteBack(env, app, fleet.Tag(env, n))
	w.runs(env, app, fleet.Tag(env, n))
	return w.Fleet.Image(app, fleet.Tag(env, n)), commit
}

// admin is who the world's own client is.
const admin = "admin"

// answers is the admin's decision on the newest Rollback of an image.
func (w *World) answers(env, image string, a v1alpha1.Answer) {
	w.t.Helper()
	w.Until("somebody decides: "+string(a), func() error {
		r := w.record(env, image)
		if r == nil {
			return errors.New("there is no Rollback")
		}
		if r.Status.Question == nil {
			return errors.New("nobody is asked")
		}
		r.Spec.Decisions = append(r.Spec.Decisions, v1alpha1.Decision{
			By: admin, Question: r.Status.Question.ID, Answer: a, At: v1alpha1.NewTime(time.Now().Truncate(time.Microsecond)),
		})
		return w.Client.Update(w.t.Context(), r)
	})
}

// adrift waits for the drift of a workload from an image that Git says, and gives it and its record.
func (w *World) adrift(env, image, workload string) (*v1alpha1.Rollback, v1alpha1.Failure) {
	w.t.Helper()
	var f v1alpha1.Failure
	r := w.until(env, image, "knows that "+workload+" was changed by hand, and asks", func(s *v1alpha1.RollbackStatus) bool {
		i := slices.IndexFunc(s.Failures, func(f v1alpha1.Failure) bool { return f.Drift != nil && f.Workload.String() == workload })
		if i >= 0 {
			f = s.Failures[i]
		}
		return i >= 0 && s.Question != nil
	})
	return r, f
}

// undid is the drift that an undo of the app's newest image leaves behind.
func (w *World) undid(env, app, bad, good string) (*v1alpha1.Rollback, v1alpha1.Failure) {
	w.t.Helper()
	r, f := w.adrift(env, bad, "Deployment/"+app)
	d := f.Drift
	if d.Live != good || d.By != "kubectl" || d.UndoneBy == nil || d.UndoneBy.Name != env || len(d.Unread) > 0 {
		w.t.Errorf("the record says %+v, want %s by kubectl", d, good)
	}
	said := strings.Join(d.Read, "\n")
	for _, words := range []string{"managedFields: kubectl owns the image", "ReplicaSets: revision", "Git at ", "says " + bad} {
		if !strings.Contains(said, words) {
			w.t.Errorf("what told of it does not say %q:\n%s", words, said)
		}
	}
	return r, f
}

func TestUndoToThePreviousRevisionAndAdopt(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.asks(prod)
	w.Settle()
	good := w.Fleet.Image("backend", fleet.Tag(prod, 0))
	bad, suspect := w.release(prod, "backend", 1)
	w.kubectl(prod, "rollout", "undo", "deployment/backend")

	r, f := w.undid(prod, "backend", bad, good)
	if r.Spec.OpenedFor != v1alpha1.TriggerDrift || f.Drift.From != "2" || f.Drift.To != "1" {
		t.Errorf("opened for %s, from revision %q to %q; want Drift, 2, 1", r.Spec.OpenedFor, f.Drift.From, f.Drift.To)
	}
	if r.Status.Suspect.Commit != suspect || r.Status.Target.Image != good || !r.Status.Target.Proved {
		t.Errorf("suspect %s, target %+v; want %s, %s", r.Status.Suspect.Commit, r.Status.Target, suspect, good)
	}
	if tip := w.Tip(); tip != suspect {
		t.Errorf("Git was written before anybody decided: %s", tip)
	}
	jane := w.user("jane", prod, "admin")
	out, err := jane.backstop("get", "drift")
	for _, words := range []string{"FLUX UNDOES IT", "Deployment/backend", fleet.Tag(prod, 0), fleet.Tag(prod, 1), "kubectl", r.Name} {
		if err != nil || !strings.Contains(out, words) {
			t.Errorf("backstop get drift does not say %q: %v\n%s", words, err, out)
		}
	}
	w.answers(prod, bad, v1alpha1.Approve)
	r = w.ends(prod, bad, v1alpha1.ResultVerified, "runs "+good)
	if !strings.Contains(w.File(w.Fleet.File(prod, "backend")), "image: "+good+" # backstop:hold not="+fleet.Tag(prod, 1)) {
		t.Errorf("Git says:\n%s", w.File(w.Fleet.File(prod, "backend")))
	}
	if got, want := w.git("rev-parse", r.Status.Change.Commit+"^{tree}"), w.git("rev-parse", suspect+"^^{tree}"); got != want {
		t.Errorf("the revert's tree is %s, git revert's would be %s", got, want)
	}
	if said := w.git("show", "-s", "--format=%B", r.Status.Change.Commit); !strings.Contains(said, "Approved-by: "+admin) {
		t.Errorf("the revert does not say who asked for it:\n%s", said)
	}
	// Image automation still selects the image, and runs on and on.
	w.automationRan(prod, 3)
	if tip := w.Tip(); tip != r.Status.Change.Hold {
		t.Errorf("the tip is %s, want the hold %s", tip, r.Status.Change.Hold)
	}
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	if n := w.count(prod); n != 1 {
		t.Errorf("%d Rollbacks, want the one", n)
	}
}

// count is how many Rollbacks an environment has.
func (w *World) count(env string) int {
	w.t.Helper()
	var list v1alpha1.RollbackList
	w.must(w.Client.List(w.t.Context(), &list, client.InNamespace(w.Fleet.Namespace(env))))
	return len(list.Items)
}

func TestUndoAndRestore(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.asks(prod)
	w.Settle()
	bad, tip := w.release(prod, "backend", 1)
	w.kubectl(prod, "rollout", "undo", "deployment/backend")
	w.undid(prod, "backend", bad, w.Fleet.Image("backend", fleet.Tag(prod, 0)))
	w.answers(prod, bad, v1alpha1.Reject)
	r := w.ends(prod, bad, v1alpha1.ResultRestored, admin+" had it restored from Git", "Deployment/backend runs "+bad+" again, as Git says")
	w.runs(prod, "backend", fleet.Tag(prod, 1))
	if got := w.Tip(); got != tip || r.Status.Change != nil {
		t.Errorf("Git was written: %s, want %s", got, tip)
	}
	// The same undo again is another one.
	w.kubectl(prod, "rollout", "undo", "deployment/backend")
	w.Until("a second Rollback is opened", func() error {
		if n := w.count(prod); n != 2 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
}

func TestUndoUnansweredUntilFluxRestores(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) { s.Fleet.ApplyInterval = 20 * time.Second })
	startSidecar(t, w)
	w.asks(prod)
	w.Settle()
	bad, tip := w.release(prod, "backend", 1)
	w.kubectl(prod, "rollout", "undo", "deployment/backend")
	_, f := w.adrift(prod, bad, "Deployment/backend")
	r := w.ends(prod, bad, v1alpha1.ResultRestored, "Kustomization/"+w.Fleet.FluxNamespace()+"/"+prod+" undid it, ", " after the change by hand")
	if f.Drift.UndoneAt == nil {
		t.Fatalf("the record does not say when Flux undoes it: %+v", f.Drift)
	}
	// Flux's stand-in has no jitter, but its times and those of managedFields are whole seconds.
	var back time.Time
	for _, e := range w.deployment(prod, "backend").ManagedFields {
		if e.Manager == "kustomize-controller" && e.Time != nil {
			back = e.Time.Time
		}
	}
	// Flux may be late on a busy machine, and never early.
	at, opened := f.Drift.UndoneAt.Time, r.CreationTimestamp.Time
	if back.Before(at.Add(-3*time.Second)) || at.After(opened.Add(w.Fleet.ApplyInterval+3*time.Second)) {
		t.Errorf("Flux undid it at %s, the record of %s said at %s", back, opened, at)
	}
	if got := w.Tip(); got != tip || r.Status.Verdict != nil {
		t.Errorf("Git was written (%s) or somebody decided: %+v", got, r.Status.Verdict)
	}
}
