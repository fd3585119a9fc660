package reconcile

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// wentBack is a Flux in which Helm went back by itself, so that no pod fails any more while Git describes what failed.
type wentBack struct {
	*model
	did *v1alpha1.Remediation
}

func (h *wentBack) Reopen(ctx context.Context, ns string, s v1alpha1.Suspect, with *types.NamespacedName, since time.Time,
) (Origin, error) {
	o, err := h.model.Reopen(ctx, ns, s, with, since)
	o.Remediated = h.did
	return o, err
}

// goneBack are the pods of it.
type goneBack struct {
	modelPods
	helm *wentBack
}

func (p goneBack) Failing(ctx context.Context, key Key, known []v1alpha1.Workload) (PodsSeen, error) {
	s, err := p.modelPods.Failing(ctx, key, known)
	if p.helm.did != nil {
		s.Failures, s.Pods = nil, nil
	}
	return s, err
}

func TestHelmsOwnRollbackIsNoRecovery(t *testing.T) {
	for name, mode := range map[string]v1alpha1.Mode{
		"a person may decide hours later":      v1alpha1.ModeApprove,
		"the policy reverts what Git says yet": v1alpha1.ModeAuto,
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			m.selected, m.mode = imgBad, mode
			m.writeBack()
			m.rollOut()
			h := &wentBack{model: m}
			e := m.engine("prod", Budget{})
			e.Flux = h
			e.Pods = goneBack{modelPods{m}, h}
			var at time.Time
			for i := range 60 {
				if i == 1 {
					// The record knows its source by now.
					at = m.now
					h.did = &v1alpha1.Remediation{Release: v1alpha1.ObjectRef{Kind: "HelmRelease", Namespace: m.ns, Name: "app"},
						Action: v1alpha1.RemediationRollback, At: v1alpha1.NewTime(at)}
				}
				m.walk(t, e)
				m.now = m.now.Add(30 * time.Second)
			}
			if len(m.records) != 1 {
				t.Fatalf("%d records, want one: it is one failure\n%s", len(m.records), m.story())
			}
			for _, r := range m.records {
				s := &r.Status
				if s.Remediated == nil || !s.Remediated.At.Time.Equal(at) {
					t.Errorf("the record says of Helm: %+v\n%s", s.Remediated, m.story())
				}
				if mode == v1alpha1.ModeApprove {
					if s.Question == nil || s.Outcome == nil || s.Outcome.Result != v1alpha1.ResultExpired {
						t.Errorf("asked %+v, ended %+v; want the question to outlast its time\n%s", s.Question, s.Outcome, m.story())
					}
				} else if m.tip().value == imgBad {
					t.Errorf("Git still says what failed\n%s", m.story())
				}
			}
		})
	}
}
