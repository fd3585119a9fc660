package reconcile

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// heldModel has a hold in Git that no Rollback knows, and says when a Rollback was created, as a watch does.
type heldModel struct {
	*model
	created func()
}

func (m heldModel) Holds(context.Context, Source, []Root) ([]Hold, error) {
	return []Hold{{
		File: "app.yaml", Pointer: "/image", Policy: m.ns + ":app", Not: "v2", Since: m.now.Add(-time.Hour), Value: imgGood,
		Image: imgGood, Commit: "c0", Rollback: "prod/" + m.ns + "/app-1", Failed: []string{imgBad},
	}}, nil
}

func (m heldModel) Create(ctx context.Context, r *v1alpha1.Rollback) error {
	if err := m.model.Create(ctx, r); err != nil {
		return err
	}
	m.records[r.Name].CreationTimestamp = metav1.NewTime(m.now)
	if m.created != nil {
		m.created()
	}
	return nil
}

func TestAHoldIsAdoptedAlthoughTheWorkerWakesInBetween(t *testing.T) {
	m := newModel()
	m.branch[0].held = true
	key := Key{Namespace: m.ns, Image: imgBad}
	e := m.engine("prod", Budget{})
	h := heldModel{model: m}
	h.created = func() {
		if _, err := e.Walk(t.Context(), key); err != nil {
			t.Errorf("walk: %v", err)
		}
	}
	e.Git, e.Records = h, h
	if err := e.Sweep(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	checkAdopted(t, m, key)
}

func TestAnAdoptionThatWasCutShortIsFinished(t *testing.T) {
	m := newModel()
	m.branch[0].held = true
	key := Key{Namespace: m.ns, Image: imgBad}
	e := m.engine("prod", Budget{})
	h := heldModel{model: m}
	e.Git, e.Records = h, h
	m.crashAt = 2 // the second write is the status
	if err := e.Sweep(t.Context(), time.Hour); !errors.Is(err, errCrash) {
		t.Fatalf("sweep: %v, want the crash", err)
	}
	m.crashAt = -1
	if err := e.Sweep(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	checkAdopted(t, m, key)
}

// checkAdopted wants one Rollback of a key, which knows its hold.
func checkAdopted(t *testing.T, m *model, key Key) {
	t.Helper()
	r, err := m.Latest(t.Context(), key)
	if err != nil || r == nil {
		t.Fatalf("no Rollback: %v", err)
	}
	if !r.Status.HoldStands() || r.Status.PhaseNow() != string(v1alpha1.ResultVerified) || len(m.records) != 1 {
		t.Errorf("the hold is not adopted once:\n%s", m.story())
	}
}
