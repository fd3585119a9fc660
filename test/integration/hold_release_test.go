package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

func manual(p *v1alpha1.RollbackPolicy) { p.Spec.Lift = v1alpha1.LiftManual }

func TestManualRelease(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	r := heldBackend(t, w, manual)
	newer := fleet.Tag(prod, 2)
	w.Publish("backend", newer)
	w.selected(prod, "backend", newer)
	w.waits(prod, r.Spec.Subject.Name, "the hold waits for backstop lift")
	w.automationRan(prod, 3)
	if tip := w.Tip(); tip != r.Status.Change.Hold {
		t.Fatalf("the tip is %s, want the hold %s", tip, r.Status.Change.Hold)
	}
	if got := w.backstop("get", "holds"); !strings.Contains(got, "backstop lift") || !strings.Contains(got, r.Name) {
		t.Errorf("get holds says\n%s", got)
	}
	if got := w.backstop("lift", r.Name, "--reason=tested by hand"); !strings.Contains(got, w.Fleet.Namespace(prod)+":backend") {
		t.Errorf("lift says %q", got)
	}
	w.wroteBack(prod, "backend", newer)
	w.runs(prod, "backend", newer)
	now := w.record(prod, r.Spec.Subject.Name)
	w.lifted(w.released(r.Spec.Subject.Name, now.Spec.Lift.By), w.Fleet.Image("backend", newer))
	if said := w.git("show", "-s", "--format=%B", w.record(prod, r.Spec.Subject.Name).Status.Lifted.Commit); !strings.Contains(said, "Lifted-by: "+now.Spec.Lift.By+"\nLifted-because: tested by hand") {
		t.Errorf("the lift does not name who asked for it:\n%s", said)
	}
}

func TestPrefixRemovedByHand(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	r := heldBackend(t, w, manual)
	newer := fleet.Tag(prod, 2)
	w.Publish("backend", newer)
	w.selected(prod, "backend", newer)
	w.waits(prod, r.Spec.Subject.Name, "the hold waits for backstop lift")
	edited, err := w.Alice.Change(t.Context(), w.Fleet.File(prod, "backend"), "Let it go", func(text string) string {
		before, rest, _ := strings.Cut(text, "backstop:hold ")
		_, marker, _ := strings.Cut(rest, "{")
		return before + "{" + marker
	})
	w.must(err)
	now := w.released(r.Spec.Subject.Name, "a commit that took the prefix away")
	if now.Status.Lifted.Commit != "" {
		t.Errorf("the lift is taken for Backstop's own: %+v", now.Status.Lifted)
	}
	w.wroteBack(prod, "backend", newer)
	w.runs(prod, "backend", newer)
	if log := w.git("log", "--format=%B", edited+".."+fleet.Branch); strings.Contains(log, "Backstop-Kind") {
		t.Errorf("Backstop wrote after Alice:\n%s", log)
	}
}

func TestHoldWithoutARollbackIsAdopted(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	first := startSidecar(t, w)
	r := heldBackend(t, w)
	first.Stop(10 * time.Second)
	w.must(w.Client.Delete(t.Context(), r))
	w.Until("the Rollback is gone", func() error {
		err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(r), r.DeepCopy())
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("reading it gives %w", err)
		}
		return nil
	})
	startSidecar(t, w)
	adopted := w.ends(prod, r.Spec.Subject.Name, v1alpha1.ResultVerified, "adopted from the hold on "+w.Fleet.Namespace(prod)+":backend",
		fleet.Tag(prod, 1)+" is not written until the hold is lifted")
	if adopted.UID == r.UID || adopted.Status.Change.Hold != r.Status.Change.Hold || adopted.Status.Change.By == "" {
		t.Errorf("adopted is %+v", adopted.Status.Change)
	}
	if tip := w.Tip(); tip != r.Status.Change.Hold {
		t.Errorf("adopting changed Git: %s", tip)
	}
	if got := w.backstop("get", "holds"); !strings.Contains(got, adopted.Name) {
		t.Errorf("get holds says\n%s", got)
	}
	w.Publish("backend", fleet.Tag(prod, 2))
	w.released(r.Spec.Subject.Name, fleet.Tag(prod, 2))
	w.runs(prod, "backend", fleet.Tag(prod, 2))
}
