package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// A change by hand that meets something else.

func TestUndoDuringARunningHealthCheck(t *testing.T) {
	t.Parallel()
	w := world(t, quick, func(s *setup) { s.Fleet.Wait, s.Fleet.HealthTimeout = true, time.Minute })
	startSidecar(t, w)
	w.asks(prod)
	w.Settle()
	// The pods of the new image never get ready: the health check goes on, and the image can be had.
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	tip := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	w.fails(prod, bad)
	w.kubectl(prod, "rollout", "undo", "deployment/backend")
	r, f := w.adrift(prod, bad, "Deployment/backend")
	if f.Drift.UndoneAt == nil || !strings.Contains(strings.Join(f.Drift.Read, "\n"), "Git at "+tip[:12]+" says "+bad) {
		t.Errorf("the revision whose health is checked counts as applied: %+v", f.Drift)
	}
	if r.Status.Target == nil || r.Status.Target.Image != w.Fleet.Image("backend", fleet.Tag(prod, 0)) {
		t.Errorf("target %+v", r.Status.Target)
	}
	w.answers(prod, bad, v1alpha1.Approve)
	w.ends(prod, bad, v1alpha1.ResultVerified)
	w.runs(prod, "backend", fleet.Tag(prod, 0))
}

func TestUndoWhileAPullFailureIsOpen(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove))
	w.Settle()
	w.release(prod, "backend", 1)
	image, r := w.asked("backend", fleet.Tag(prod, 2))
	if got, want := r.Status.Target.Image, w.Fleet.Image("backend", fleet.Tag(prod, 1)); got != want {
		t.Fatalf("the target is %s, want %s", got, want)
	}
	w.kubectl(prod, "rollout", "undo", "deployment/backend", "--to-revision=1")
	live := w.Fleet.Image("backend", fleet.Tag(prod, 0))
	r = w.until(prod, image, "takes over what runs now", func(s *v1alpha1.RollbackStatus) bool {
		return s.Target != nil && s.Target.Image == live && s.Target.Proved &&
			s.Waiting != nil && strings.Contains(s.Waiting.Why, "Deployment/backend was changed by hand with kubectl")
	})
	if r.Spec.OpenedFor != v1alpha1.TriggerImagePull {
		t.Errorf("the trigger is %s", r.Spec.OpenedFor)
	}
	if n := w.count(prod); n != 1 {
		t.Errorf("%d Rollbacks, want one card for both", n)
	}
	w.answers(prod, image, v1alpha1.Approve)
	w.ends(prod, image, v1alpha1.ResultVerified, "runs "+live)
}

func TestTenWorkloadsUndoneAtOnce(t *testing.T) {
	t.Parallel()
	const ten = 10
	w := world(t, quick, vary(func(w *World) {
		file := w.Fleet.File(prod, "backend")
		one := w.Fleet.Files[file]
		for i := 1; i < ten; i++ {
			w.Fleet.Files[file] += "---\n" + strings.NewReplacer("name: backend", fmt.Sprintf("name: backend%d", i),
				"app: backend", fmt.Sprintf("app: backend%d", i)).Replace(one)
		}
	}))
	startSidecar(t, w)
	w.asks(prod)
	w.Settle()
	bad, _ := w.release(prod, "backend", 1)
	for i := 1; i < ten; i++ {
		w.runsImage(prod, fmt.Sprintf("backend%d", i), bad)
	}
	args := []string{"rollout", "undo", "deployment/backend"}
	for i := 1; i < ten; i++ {
		args = append(args, fmt.Sprintf("deployment/backend%d", i))
	}
	w.kubectl(prod, args...)
	w.until(prod, bad, "knows all ten", func(s *v1alpha1.RollbackStatus) bool { return len(s.Failures) == ten && s.Waiting != nil })
	if n := w.count(prod); n != 1 {
		t.Errorf("%d Rollbacks, want one", n)
	}
	w.answers(prod, bad, v1alpha1.Approve)
	r := w.ends(prod, bad, v1alpha1.ResultVerified)
	if len(r.Status.Suspect.Places) != ten || strings.Contains(w.File(w.Fleet.File(prod, "backend")), "image: "+bad) {
		t.Errorf("%d nodes, Git says:\n%s", len(r.Status.Suspect.Places), w.File(w.Fleet.File(prod, "backend")))
	}
}

func TestDriftFromBeforeTheStart(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	w.asks(prod)
	w.Settle()
	bad, _ := w.release(prod, "backend", 1)
	w.kubectl(prod, "rollout", "undo", "deployment/backend")
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	startSidecar(t, w)
	w.undid(prod, "backend", bad, w.Fleet.Image("backend", fleet.Tag(prod, 0)))
}

func TestGitChangesWhileADriftIsOpen(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.asks(prod)
	w.Settle()
	good := w.Fleet.Image("backend", fleet.Tag(prod, 0))
	bad, _ := w.release(prod, "backend", 1)
	w.kubectl(prod, "rollout", "undo", "deployment/backend")
	w.undid(prod, "backend", bad, good)
	// Alice makes it true herself, and takes the marker away, or image automation would write the image again.
	commit, err := w.Alice.Change(t.Context(), w.Fleet.File(prod, "backend"), "Back to v1.0", func(text string) string {
		return strings.ReplaceAll(text, bad+" "+w.Fleet.Marker(prod, "backend", ""), good)
	})
	w.must(err)
	r := w.ends(prod, bad, v1alpha1.ResultSuperseded, "no longer says "+bad)
	if r.Status.Change != nil || w.Tip() != commit {
		t.Errorf("Git was written: %s, want %s", w.Tip(), commit)
	}
	w.runs(prod, "backend", fleet.Tag(prod, 0))
}

func TestTwoPeopleAnswerADriftDifferently(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	s := startSidecar(t, w)
	w.asks(prod)
	alice, bob := w.user("alice", prod, "backstop-approver"), w.user("bob", prod, "backstop-approver")
	w.Settle()
	bad, tip := w.release(prod, "backend", 1)
	w.kubectl(prod, "rollout", "undo", "deployment/backend")
	r, _ := w.undid(prod, "backend", bad, w.Fleet.Image("backend", fleet.Tag(prod, 0)))
	s.Stop(10 * time.Second)
	w.must(bob.patch(r, bob.name, v1alpha1.Reject))
	_, err := alice.backstop("approve", r.Name)
	w.must(err)
	startSidecar(t, w)
	r = w.ends(prod, bad, v1alpha1.ResultRestored, bob.name+" had it restored from Git")
	if len(r.Spec.Decisions) != 2 || r.Status.Verdict.By != bob.name {
		t.Errorf("the verdict is %+v of %+v", r.Status.Verdict, r.Spec.Decisions)
	}
	w.unmoved(prod, tip)
}

func TestKustomizationThatIsSuspendedNeverUndoesADrift(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.asks(prod)
	w.Settle()
	bad, _ := w.release(prod, "backend", 1)
	k := fleet.Get[*kustomizev1.Kustomization](w.Fleet, w.Fleet.FluxNamespace(), prod)
	w.kubectl(prod, "rollout", "undo", "deployment/backend")
	w.undid(prod, "backend", bad, w.Fleet.Image("backend", fleet.Tag(prod, 0)))
	change(w, k, func(k *kustomizev1.Kustomization) { k.Spec.Suspend = true })
	r := w.until(prod, bad, "says never", func(s *v1alpha1.RollbackStatus) bool {
		return strings.HasPrefix(s.Failures[0].Drift.Undone, "never: ") && s.Failures[0].Drift.UndoneAt == nil
	})
	if !strings.Contains(r.Status.Failures[0].Message, "Flux undoes it never") {
		t.Errorf("the message is %q", r.Status.Failures[0].Message)
	}
	change(w, k, func(k *kustomizev1.Kustomization) { k.Spec.Suspend = false })
	w.ends(prod, bad, v1alpha1.ResultRestored)
}
