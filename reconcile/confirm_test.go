package reconcile

import (
	"context"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// byAPerson is a Git whose suspects are people's.
type byAPerson struct{ *model }

func (g byAPerson) Blame(ctx context.Context, src Source, q Query) (v1alpha1.Suspect, error) {
	s, err := g.model.Blame(ctx, src, q)
	s.Automation = nil
	return s, err
}

func TestAnImageThatImageAutomationFoundIsAbsentOnlyTwice(t *testing.T) {
	// Each step of the clock is ten seconds.
	for name, tt := range map[string]struct {
		world func(m *model, e *Engine)
		// at changes the world at a step.
		at func(step int, m *model)
		// reverted is the step by which it is reverted, and not before; -1 for never.
		reverted int
		asked    bool
	}{
		"a registry that goes on to lack it": {reverted: 6},
		"a cache whose upstream answers again within the minute": {
			at: func(step int, m *model) { m.present[imgBad] = step >= 4 }, reverted: -1, asked: true},
		"a registry that is dark in between counts from when it lacks it again": {
			at: func(step int, m *model) { m.dark = step >= 5 && step < 8 }, reverted: 18, asked: true},
		"pods that have failed for longer than that": {
			world: func(m *model, _ *Engine) { m.failsFor = time.Hour }, reverted: 0},
		"an image that a person wrote": {world: func(m *model, e *Engine) {
			e.Git, m.authors = byAPerson{m}, v1alpha1.AuthorsAnyone
		}, reverted: 0},
		"a registry that has it, without the platform": {
			world: func(m *model, _ *Engine) { m.absence = v1alpha1.CausePlatformMismatch }, reverted: 0},
		"a policy that asks anyway asks at once": {
			world: func(m *model, _ *Engine) { m.mode = v1alpha1.ModeApprove }, reverted: -1, asked: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			e := m.engine("prod", Budget{})
			e.ConfirmAfter = time.Minute
			if tt.world != nil {
				tt.world(m, e)
			}
			m.selected = imgBad
			m.writeBack()
			m.rollOut()
			reverted, asked := -1, false
			for step := range 30 {
				if tt.at != nil {
					tt.at(step, m)
				}
				m.walk(t, e)
				for _, r := range m.records {
					asked = asked || r.Status.Question != nil
				}
				if reverted < 0 && m.tip().value != imgBad {
					reverted = step
				}
				m.now = m.now.Add(10 * time.Second)
			}
			if asked != tt.asked || (reverted < 0) != (tt.reverted < 0) || reverted < tt.reverted || reverted > tt.reverted+2 {
				t.Errorf("reverted at step %d and asked: %v, want %d and %v\n%s", reverted, asked, tt.reverted, tt.asked, m.story())
			}
		})
	}
}
