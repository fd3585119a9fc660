package reconcile

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// asked remembers the questions that a registry was asked.
type asked struct {
	Registry
	questions []Question
}

func (a *asked) Prove(ctx context.Context, q Question) Proof {
	a.questions = append(a.questions, q)
	return a.Registry.Prove(ctx, q)
}

// missingLayer is a kubelet that misses a layer.
type missingLayer struct{ Pods }

func (p missingLayer) Failing(ctx context.Context, key Key, known []v1alpha1.Workload) (Sighting, error) {
	s, err := p.Pods.Failing(ctx, key, known)
	for i := range s.Failures {
		s.Failures[i].Cause = v1alpha1.CauseBlobMissing
	}
	return s, err
}

func TestWhereALayerIsMissingEveryImageIsAskedForItsLayers(t *testing.T) {
	for name, deep := range map[string]bool{"a layer is missing": true, "the image is missing": false} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			registry := &asked{Registry: m}
			e := m.engine("a", Budget{})
			e.Registry = registry
			if deep {
				e.Pods = missingLayer{e.Pods}
			}
			m.elected = imgBad
			m.writeBack()
			m.rollOut()
			m.walk(t, e)
			m.now = m.now.Add(10 * time.Second)
			m.walk(t, e)
			about := map[string]int{}
			for _, q := range registry.questions {
				about[q.Image]++
				if q.Deep != deep {
					t.Errorf("%s: asked with deep=%v, want %v", q.Image, q.Deep, deep)
				}
			}
			if about[imgBad] == 0 || about[imgGood] == 0 {
				t.Errorf("asked about %v, want the failing image and the one before", about)
			}
		})
	}
}

func TestImagesThatArePassedOverAreAskedAbout(t *testing.T) {
	m := newModel()
	e := m.engine("a", Budget{})
	for _, v := range []string{"reg/app:v1", "reg/app:v2", "reg/app:v3"} {
		m.push(commit{value: v})
	}
	m.elected = imgBad
	m.writeBack()
	m.rollOut()
	for range 12 {
		m.walk(t, e)
		m.now = m.now.Add(10 * time.Second)
	}
	for _, r := range m.records {
		s := r.Status
		if s.Target == nil || len(s.Target.PassedOver) == 0 {
			t.Fatalf("nothing is passed over: %+v", s.Target)
		}
		if s.Verdict != nil || s.Waiting == nil || !strings.Contains(s.Waiting.Why, "goes back over") {
			t.Errorf("verdict %+v, waiting %+v", s.Verdict, s.Waiting)
		}
	}
}
