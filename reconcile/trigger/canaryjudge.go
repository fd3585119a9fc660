package trigger

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// JudgeCanary judges each container whose image the refused update changed. Where no image changed it says so of one
// container without a name.
func JudgeCanary(f *CanaryFacts) []Judgement {
	if f.Status.State != CanaryFailed || f.Target == nil {
		return nil
	}
	v := &canaryView{CanaryFacts: f}
	v.reason, v.detected, v.checks = f.Status.explained(f.Words)
	v.analysed()
	if !f.Status.At.IsZero() && f.Target.Made.After(f.Status.At) {
		// Nobody has judged it yet.
		return nil
	}
	if f.Former != nil {
		v.changed = Changes(v.former(), v.target())
	}
	var out []Judgement
	for name, now := range containersOf(&f.Target.Template.Spec) {
		if f.Former == nil {
			break
		}
		if was := containersOf(&f.Former.Template.Spec)[name]; was != nil && was.Image != now.Image {
			out = append(out, v.judge(name, now.Image, was.Image))
		}
	}
	if len(out) == 0 {
		out = append(out, v.judge("", "", ""))
	}
	slices.SortFunc(out, func(a, b Judgement) int { return strings.Compare(a.Container, b.Container) })
	return out
}

func (v *canaryView) judge(container, image, was string) Judgement {
	cause := map[v1alpha1.CanaryReason]v1alpha1.Cause{
		v1alpha1.CanaryAnalysis: v1alpha1.CauseAnalysisFailed, v1alpha1.CanaryDeadline: v1alpha1.CauseDeadlineExceeded,
	}[v.reason]
	if cause == "" {
		cause = v1alpha1.CauseCanaryFailed
	}
	out := Judgement{Container: container, Image: image, Cause: cause, Complete: v.complete(), Fault: v1alpha1.FaultImage,
		Message: text.CutBytes(text.Mask(text.OneLine(v.Status.Message)), 1024)}
	var doubts []v1alpha1.RolloutDoubt
	for _, r := range canaryRows {
		if r.fault == "" && out.Fault != v1alpha1.FaultImage {
			continue
		}
		why := r.why(v)
		if why == "" {
			continue
		}
		doubts = append(doubts, v1alpha1.RolloutDoubt{Type: r.doubt, Message: why})
		if r.fault != "" && out.Fault == v1alpha1.FaultImage {
			out.Fault = r.fault
		}
	}
	out.Canary = v.evidence(was, doubts)
	return out
}

// wordsTake is how long the events may take that explain why an update was refused.
const wordsTake = 15 * time.Second

// complete reports whether there is enough to judge by: events come beside the status, and after it.
func (v *canaryView) complete() bool {
	return v.reason != v1alpha1.CanaryUnknown || v.Status.Promoting || v.Now.Sub(v.Status.At) >= wordsTake
}

func (v *canaryView) evidence(was string, doubts []v1alpha1.RolloutDoubt) *v1alpha1.Canary {
	s := &v.Status
	out := &v1alpha1.Canary{
		By: s.By, Reason: v.reason, Spec: text.Cut(s.Spec, 64), PromotedSpec: text.Cut(s.PromotedSpec, 64), Promoted: was,
		Changed: v.changed, Doubts: doubts,
	}
	if !s.At.IsZero() {
		at := v1alpha1.NewTime(s.At)
		out.At = &at
	}
	if v.Former != nil {
		out.PromotedBy, out.PromotedReady = v.Former.Name, v.Former.Ready
	}
	for _, c := range v.checks {
		out.Checks = append(out.Checks, text.CutBytes(text.Mask(text.OneLine(c)), 500))
	}
	return out
}

// target is the template that was refused, without what a canary adds to it.
func (v *canaryView) target() *corev1.PodTemplateSpec {
	out := v.Target.Template.DeepCopy()
	v.bare(out)
	return out
}

// former is the template that was promoted before, with the names that Flagger gives to copies as they were.
func (v *canaryView) former() *corev1.PodTemplateSpec {
	out := v.Former.Template.DeepCopy()
	v.bare(out)
	var a, b any
	if remarshal(out, &a) != nil || remarshal(v.target(), &b) != nil {
		return out
	}
	renamed := unprimary(a, b)
	named := &corev1.PodTemplateSpec{}
	if remarshal(renamed, named) != nil {
		return out
	}
	return named
}

func remarshal(from, into any) error {
	raw, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

const primarySuffix = "-primary"

// unprimary gives a former template the target's names where they differ by Flagger's suffix alone: of ConfigMaps,
// Secrets and labels. An image is never one of them.
func unprimary(former, target any) any {
	switch f := former.(type) {
	case map[string]any:
		t, _ := target.(map[string]any)
		for key := range f {
			if key != "image" {
				f[key] = unprimary(f[key], t[key])
			}
		}
	case []any:
		t, _ := target.([]any)
		for i := range f {
			if i < len(t) {
				f[i] = unprimary(f[i], t[i])
			}
		}
	case string:
		if t, ok := target.(string); ok && f == t+primarySuffix {
			return t
		}
	}
	return former
}

// bare takes off a template what Flagger or Argo Rollouts puts on one side alone.
func (v *canaryView) bare(t *corev1.PodTemplateSpec) {
	for _, marks := range []map[string]string{t.Labels, t.Annotations} {
		for key := range marks {
			if key == "flagger-id" || strings.Contains(key, "toolkit.fluxcd.io") || slices.Contains(v.Status.Ephemeral, key) {
				delete(marks, key)
			}
		}
	}
	delete(t.Spec.NodeSelector, "flagger.app/scale-to-zero")
	if len(t.Spec.NodeSelector) == 0 {
		t.Spec.NodeSelector = nil
	}
}
