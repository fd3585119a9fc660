package reconcile

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// saving notes what each save says.
type saving struct {
	*model
	phases []string
	git    func()
}

func (s *saving) SaveStatus(ctx context.Context, r *v1alpha1.Rollback) error {
	s.phases = append(s.phases, r.Status.PhaseNow())
	err := s.model.SaveStatus(ctx, r)
	if saved := s.records[r.Name]; err == nil {
		r.ResourceVersion = saved.ResourceVersion
	}
	return err
}

func (s *saving) Blame(ctx context.Context, src Source, q Query) (v1alpha1.Suspect, error) {
	if s.git != nil {
		s.git()
	}
	return s.model.Blame(ctx, src, q)
}

func TestWhatIsOnlyLookedUpIsSavedTogether(t *testing.T) {
	for name, tt := range map[string]struct {
		slow time.Duration
		want []string
	}{
		"a walk from the failure to the request": {want: []string{"Reverting", "Landing", "Requesting", "Verifying", "Verifying"}},
		"what was seen before a slow search is told meanwhile": {
			slow: 3 * time.Second, want: []string{"Blaming", "Reverting", "Landing", "Requesting", "Verifying", "Verifying"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newModel()
				m.selected = imgBad
				m.writeBack()
				m.rollOut()
				m.failsFor = time.Minute
				s := &saving{model: m}
				if tt.slow > 0 {
					s.git = func() { time.Sleep(tt.slow) }
				}
				e := m.engine("a", Budget{})
				e.Records, e.Git, e.SaveAfter = s, s, time.Second
				for range 4 {
					if _, err := e.Walk(t.Context(), ImageKey(m.ns, imgBad)); err != nil {
						t.Fatal(err)
					}
				}
				if !slices.Equal(s.phases, tt.want) {
					t.Errorf("saved as %v, want %v\n%s", s.phases, tt.want, m.story())
				}
			})
		})
	}
}

// failsAndSaves is a bad image that was rolled out, and an engine whose saves are counted.
func failsAndSaves() (*model, *saving, *Engine) {
	m := newModel()
	m.selected, m.failsFor = imgBad, time.Minute
	m.writeBack()
	m.rollOut()
	s := &saving{model: m}
	e := m.engine("a", Budget{})
	return m, s, e
}

func TestWhoeverWritesBetweenTwoStepsIsHeard(t *testing.T) {
	m, s, e := failsAndSaves()
	e.Records, e.Git = s, s
	key := ImageKey(m.ns, imgBad)
	if _, err := e.Walk(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	times := 0
	s.git = func() {
		if times++; times > 1 {
			return
		}
		for _, r := range m.records {
			m.version++
			r.ResourceVersion, r.Labels = fmt.Sprint(m.version), map[string]string{"by": "somebody"}
		}
	}
	if _, err := e.Walk(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	r, err := m.Latest(t.Context(), key)
	if err != nil || r.Status.Change == nil || r.Labels["by"] != "somebody" || times != 2 {
		t.Errorf("looked %d times, want 2: after a conflict all is read anew\n%s", times, m.story())
	}
}

func TestWhatIsKnownIsSavedBeforeAnythingIsDoneForIt(t *testing.T) {
	m, s, e := failsAndSaves()
	e.Records = s
	r := NewRollback(ImageKey(m.ns, imgBad), v1alpha1.TriggerImagePull, 1)
	if err := m.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	known, err := m.Latest(t.Context(), ImageKey(m.ns, imgBad))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []Step{{Do: DoChange}, {Do: DoPullRequest}, {Do: DoLandAgain}, {Do: DoForward}, {Do: DoRequest, Ask: &Stop{}}} {
		w := &World{Rollback: *known.DeepCopy(), known: known}
		w.Rollback.Status.Suspect = &v1alpha1.Suspect{Commit: "bad0", Places: []v1alpha1.Place{{}}}
		g := glance{carried: carried{form: &w.Rollback, saved: known}}
		before := len(s.phases)
		if err := e.take(t.Context(), KeyOf(known), w, step, &g); err != nil {
			t.Fatal(err)
		}
		if len(s.phases) != before+1 || g.carried.form != nil || m.pushes > 1 {
			t.Errorf("%s: %d saves, want what is known to be saved and nothing to be done", step.Do, len(s.phases)-before)
		}
		known, _ = m.Latest(t.Context(), ImageKey(m.ns, imgBad))
		known.Status.Suspect = nil
	}
}
