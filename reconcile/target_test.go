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

func (p missingLayer) Failing(ctx context.Context, key Key, known []v1alpha1.Workload) (PodsSeen, error) {
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
			m.selected = imgBad
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

func TestALaterScanIsOneThatWentBackToTheTarget(t *testing.T) {
	policy := func(latest, previous string) ImagePolicy {
		return ImagePolicy{Name: "develop:app", Latest: latest, Previous: previous}
	}
	for name, tt := range map[string]struct {
		policies []ImagePolicy
		want     bool
	}{
		"it selects the target again":      {[]ImagePolicy{policy(imgGood, imgBad)}, true},
		"it still selects what failed":     {[]ImagePolicy{policy(imgBad, imgGood)}, false},
		"it has gone on to a newer one":    {[]ImagePolicy{policy(imgBad2, imgBad)}, false},
		"it never selected what failed":    {[]ImagePolicy{policy(imgGood, "")}, false},
		"another policy does":              {[]ImagePolicy{{Name: "develop:other", Latest: imgGood, Previous: imgBad}}, false},
		"nobody knows the policy any more": {nil, false},
		"with the digest that it reflects": {[]ImagePolicy{policy(imgGood+"@sha256:"+strings.Repeat("a", 64), imgBad)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			rb := &v1alpha1.Rollback{Spec: v1alpha1.RollbackSpec{Subject: v1alpha1.ImageSubject(imgBad)}}
			rb.Status.Suspect = &v1alpha1.Suspect{Automation: &v1alpha1.ObjectRef{Name: "a"}, Places: []v1alpha1.Place{{Marker: "develop:app"}}}
			if got := rescanned(rb, &v1alpha1.Target{Image: imgGood}, tt.policies); got != tt.want {
				t.Errorf("it is %v", got)
			}
			if rb.Status.Suspect.Automation = nil; rescanned(rb, &v1alpha1.Target{Image: imgGood}, tt.policies) {
				t.Error("a person's value was scanned")
			}
		})
	}
}

func TestImagesThatArePassedOverAreAskedAbout(t *testing.T) {
	earlier := []string{"reg/app:v1", "reg/app:v2", "reg/app:v3"}
	tests := map[string]struct {
		causes []v1alpha1.Cause // of an ended Rollback of each of them; nil where there is none
		asks   bool
	}{
		"nobody knows that they failed":              {nil, true},
		"they failed here, and something newer came": {[]v1alpha1.Cause{v1alpha1.CausePlatformMismatch}, false},
		"they failed here for want of a credential":  {[]v1alpha1.Cause{v1alpha1.CauseUnauthorized}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			e := m.engine("a", Budget{})
			for _, image := range earlier {
				m.push(commit{value: image})
				if tt.causes == nil {
					continue
				}
				r := &v1alpha1.Rollback{Spec: v1alpha1.RollbackSpec{OpenedFor: v1alpha1.TriggerImagePull, Subject: v1alpha1.ImageSubject(image)}}
				r.Namespace, r.Name = m.ns, RollbackName(ImageKey(m.ns, image), 1)
				for _, c := range tt.causes {
					r.Status.Failures = append(r.Status.Failures, v1alpha1.Failure{Trigger: v1alpha1.TriggerImagePull, Cause: c})
				}
				r.Status.Outcome = &v1alpha1.Outcome{Result: v1alpha1.ResultSuperseded}
				m.records[r.Name] = r
			}
			m.selected = imgBad
			m.writeBack()
			m.rollOut()
			for range 12 {
				m.walk(t, e)
				m.now = m.now.Add(10 * time.Second)
			}
			s := m.records[RollbackName(ImageKey(m.ns, imgBad), 1)].Status
			asked := s.Verdict == nil && s.Waiting != nil && strings.Contains(s.Waiting.Why, "goes back over")
			if s.Target == nil || asked != tt.asks || (len(s.Target.PassedOver) > 0) != tt.asks {
				t.Errorf("target %+v, verdict %+v, waiting %+v", s.Target, s.Verdict, s.Waiting)
			}
		})
	}
}

// chart is a registry that has a chart under the name of the bad image.
type chart struct{ *model }

func (c chart) Prove(ctx context.Context, q Question) Proof {
	p := c.model.Prove(ctx, q)
	if q.Image == imgBad {
		return Proof{Finding: FindingUnproved, Cause: v1alpha1.CauseUnknown, Artifact: "a Helm chart", At: c.now,
			Sentence: "reg.local has app:v2, but it is no container image: it is a Helm chart"}
	}
	return p
}

// says is a kubelet that names a cause.
type says struct {
	Pods
	cause v1alpha1.Cause
}

func (p says) Failing(ctx context.Context, key Key, known []v1alpha1.Workload) (PodsSeen, error) {
	s, err := p.Pods.Failing(ctx, key, known)
	for i := range s.Failures {
		s.Failures[i].Cause = p.cause
	}
	return s, err
}

func TestWhatIsNoImageIsProvedByTheNodeAndTheRegistryTogether(t *testing.T) {
	for name, tt := range map[string]struct {
		cause    v1alpha1.Cause
		registry func(m *model) Registry
		want     bool
	}{
		"both say so":                        {v1alpha1.CauseNotAnImage, func(m *model) Registry { return chart{m} }, true},
		"the registry has an image":          {v1alpha1.CauseNotAnImage, func(m *model) Registry { m.present[imgBad] = true; return m }, false},
		"the node could not ask":             {v1alpha1.CauseRegistryUnavailable, func(m *model) Registry { return chart{m} }, false},
		"the node failed for another reason": {v1alpha1.CauseUnknown, func(m *model) Registry { return chart{m} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			e := m.engine("a", Budget{})
			m.selected = imgBad
			m.writeBack()
			m.rollOut()
			m.podsBad[imgBad] = true
			e.Registry, e.Pods = tt.registry(m), says{e.Pods, tt.cause}
			for range 3 {
				m.walk(t, e)
				m.now = m.now.Add(10 * time.Second)
			}
			if reverted := m.tip().value != imgBad; reverted != tt.want {
				t.Errorf("reverted by itself: %v, want %v\n%s", reverted, tt.want, m.story())
			}
		})
	}
}

// A revert that the branch carries chose its target by itself: what Git says is named, and nothing that it does not say.
func TestTheTargetOfARevertThatStandsIsWhatGitSays(t *testing.T) {
	v1, v0 := Former{Image: "reg/backend:v1", Values: []v1alpha1.PlaceValue{{Value: "reg/backend:v1"}}},
		Former{Image: "reg/backend:v0", Values: []v1alpha1.PlaceValue{{Value: "reg/backend:v0"}}}
	for name, tt := range map[string]struct {
		part, says, want string
		former           []Former
	}{
		"an earlier value":                 {"Image", "reg/backend:v0", "reg/backend:v0", []Former{v1, v0}},
		"a value that nobody had before":   {"Image", "reg/backend:v0-hotfix", "reg/backend:v0-hotfix", []Former{v1, v0}},
		"a tag that nobody had before":     {"Tag", "v0-hotfix", "reg/backend:v0-hotfix", []Former{v1}},
		"a digest beside its tag":          {"Digest", "sha256:ab", "reg/backend:v2@sha256:ab", []Former{v1}},
		"another repository, the same tag": {"Repository", "mirror/backend", "mirror/backend:v2", []Former{v1}},
		"a part of what makes it":          {"Text", "x", "", []Former{v1}},
	} {
		t.Run(name, func(t *testing.T) {
			w := aWorld(tipSays(tt.says), trail(TrailerRevert, time.Minute, func(c *TrailerCommit) { c.Rollbacks = []string{"prod/develop/backend-1"} }))
			w.Rollback.Status.Target = nil
			w.Rollback.Status.Suspect.Places[0].Part = tt.part
			if got, ok := chosenBefore(&w, tt.former); !ok || got.Image != tt.want || got.Values[0].Value != tt.says {
				t.Errorf("%t %+v, want %q", ok, got, tt.want)
			}
		})
	}
}
