package trigger

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// Side is one of the two templates that a canary compares.
type Side struct {
	// Name as Kind/name.
	Name     string
	Template corev1.PodTemplateSpec
	// Made is when it became what it is; zero where nothing tells.
	Made time.Time
	// Ready pods, of those Wanted.
	Ready, Wanted int32
	// Ails names a pod of it that fails now; empty where none does.
	Ails string
}

// CanaryFacts are what the API shows of an update that a canary refused.
type CanaryFacts struct {
	Now    time.Time
	Status CanaryStatus
	// Target is what was to be promoted, Former what was promoted before; nil where it is not there.
	Target, Former *Side
	// Words are the canary's own events, newest first.
	Words []Word
	// NoRoom says that the cluster had no room, no volume or no quota for a pod of the update; empty where nothing says so.
	NoRoom string
	// Remembered says that the hashes of the configuration were seen as the canary promoted them, Promoted what they were.
	Remembered bool
	Promoted   map[string]string
	// Others of the namespace crash.
	Others []string
}

// JudgeCanary judges each container whose image the refused update changed. Where no image changed it says so of one
// container without a name.
func JudgeCanary(f *CanaryFacts) []Judgement {
	if f.Status.State != CanaryFailed || f.Target == nil {
		return nil
	}
	v := &canaryView{CanaryFacts: f}
	v.reason, v.detected, v.checks = f.Status.explained(f.Words)
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

// canaryView is what the rows look at.
type canaryView struct {
	*CanaryFacts
	reason   v1alpha1.CanaryReason
	detected time.Time
	checks   []string
	changed  []v1alpha1.TemplateChange
}

func (v *canaryView) judge(container, image, was string) Judgement {
	cause := map[v1alpha1.CanaryReason]v1alpha1.Cause{
		v1alpha1.CanaryAnalysis: v1alpha1.CauseAnalysisFailed, v1alpha1.CanaryDeadline: v1alpha1.CauseDeadlineExceeded,
	}[v.reason]
	if cause == "" {
		cause = v1alpha1.CauseCanaryFailed
	}
	out := Judgement{Container: container, Image: image, Cause: cause, Complete: true, Fault: v1alpha1.FaultImage,
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

// canaryRow is one reason why an update that was refused need not be its image's fault, or why a person decides.
type canaryRow struct {
	doubt v1alpha1.DoubtType
	fault v1alpha1.Fault
	says  string
	why   func(*canaryView) string
}

// canaryRows in the order in which they are asked.
var canaryRows = []canaryRow{
	{v1alpha1.DoubtPromotion, v1alpha1.FaultUnknown,
		"it was promoted already: a revert would put the old image under live traffic", (*canaryView).promotion},
	{v1alpha1.DoubtNoFormer, v1alpha1.FaultUnknown, "nothing was promoted before", (*canaryView).noFormer},
	{v1alpha1.DoubtConfigChanged, v1alpha1.FaultConfig,
		"more than images changed, in the template or in what it reads", (*canaryView).configChanged},
	{v1alpha1.DoubtSameImage, v1alpha1.FaultUnknown,
		"no image changed, or the update is promoted already", (*canaryView).sameImage},
	{v1alpha1.DoubtFormerFailed, v1alpha1.FaultDependency,
		"what was promoted before does not run well either", (*canaryView).formerFailed},
	{v1alpha1.DoubtCapacity, v1alpha1.FaultNode,
		"the cluster had no room, no volume or no quota for its pods", (*canaryView).capacity},
	// From here on the image may be at fault, and a person decides.
	{v1alpha1.DoubtMetrics, "", "nothing was measured, or what measures failed", (*canaryView).metrics},
	{v1alpha1.DoubtAborted, "", "a person or their gate ended it", (*canaryView).aborted},
	{v1alpha1.DoubtDeadline, "", "it was not ready by its deadline, which slow nodes do too", (*canaryView).deadline},
	{v1alpha1.DoubtReasonUnknown, "", "it failed a while ago, and nothing tells any more why", (*canaryView).unknown},
	{v1alpha1.DoubtNotAnalysed, "", "nothing tells that what is there now is what was analysed", (*canaryView).notAnalysed},
	{v1alpha1.DoubtConfigUnread, "",
		"the pods read ConfigMaps or Secrets, and nobody saw how they were promoted", (*canaryView).configUnread},
	{v1alpha1.DoubtOthersCrash, "", "other workloads of the namespace crash", (*canaryView).othersCrash},
}

func (v *canaryView) promotion() string {
	if !v.Status.Promoting {
		return ""
	}
	return fmt.Sprintf("%s had promoted it before it failed, and the traffic is on it: a revert would put the old image "+
		"under live traffic", named(v.Status.By))
}

// named is Kind/name: everything here is of one namespace.
func named(ref v1alpha1.ObjectRef) string { return ref.Kind + "/" + ref.Name }

func (v *canaryView) noFormer() string {
	if v.Former != nil {
		return ""
	}
	return fmt.Sprintf("%s has promoted nothing before", named(v.Status.By))
}

func (v *canaryView) configChanged() string {
	var other []string
	for _, c := range v.changed {
		if c.Part != v1alpha1.PartImage {
			other = append(other, c.String())
		}
	}
	if v.Remembered {
		for _, name := range union(v.Promoted, v.Status.Tracked) {
			if v.Promoted[name] != v.Status.Tracked[name] {
				other = append(other, "the content of "+name)
			}
		}
	}
	if len(other) == 0 {
		return ""
	}
	more := ""
	if len(other) > 3 {
		more = fmt.Sprintf(" and %d more", len(other)-3)
	}
	return "more than images changed: " + strings.Join(other[:min(len(other), 3)], ", ") + more
}

func (v *canaryView) sameImage() string {
	if v.Former == nil || slices.ContainsFunc(v.changed, func(c v1alpha1.TemplateChange) bool {
		return c.Part == v1alpha1.PartImage
	}) {
		return ""
	}
	return fmt.Sprintf("%s runs the same images: what it reads changed, or it was promoted already", v.Former.Name)
}

func (v *canaryView) formerFailed() string {
	switch {
	case v.Former == nil:
		return ""
	case v.reason == v1alpha1.CanaryPromoted:
		return fmt.Sprintf("%s was not ready while the update was analysed", v.Former.Name)
	case v.Former.Ails != "":
		return fmt.Sprintf("pod %s of %s fails too", v.Former.Ails, v.Former.Name)
	case v.Former.Ready < v.Former.Wanted || v.Former.Ready == 0:
		return fmt.Sprintf("%d of %d pods of %s are ready", v.Former.Ready, v.Former.Wanted, v.Former.Name)
	}
	return ""
}

func (v *canaryView) capacity() string {
	if v.reason != v1alpha1.CanaryDeadline && v.reason != v1alpha1.CanaryUnknown {
		return ""
	}
	return v.NoRoom
}

func (v *canaryView) metrics() string {
	if v.reason != v1alpha1.CanaryMetrics {
		return ""
	}
	return "nothing was measured, or what measures failed"
}

func (v *canaryView) aborted() string {
	if v.reason != v1alpha1.CanaryAborted {
		return ""
	}
	return "a person or their gate ended it, and does not say why"
}

func (v *canaryView) deadline() string {
	if v.reason != v1alpha1.CanaryDeadline {
		return ""
	}
	return "it was not ready by its deadline, which need not be the image's fault"
}

// wordsLast is how long events are kept at least: where there are none of an update that was refused later, nothing is
// written, and its status is all there is.
const wordsLast = 30 * time.Minute

func (v *canaryView) unknown() string {
	if v.reason != v1alpha1.CanaryUnknown || v.Status.At.IsZero() || v.Now.Sub(v.Status.At) < wordsLast {
		return ""
	}
	return fmt.Sprintf("%s refused it a while ago, and nothing tells any more why", named(v.Status.By))
}

func (v *canaryView) notAnalysed() string {
	made := v.Target.Made
	switch {
	case v.Status.At.IsZero():
		return fmt.Sprintf("%s does not say since when it has failed", named(v.Status.By))
	case made.IsZero():
		return fmt.Sprintf("nothing tells since when %s is what it is", v.Target.Name)
	case !v.detected.IsZero() && made.After(v.detected):
		return fmt.Sprintf("%s changed after its analysis began", v.Target.Name)
	}
	return ""
}

func (v *canaryView) configUnread() string {
	var unread []string
	for _, name := range configured(&v.Target.Template.Spec) {
		_, tracked := v.Status.Tracked[strings.ToLower(name[:strings.Index(name, "/")])+name[strings.Index(name, "/"):]]
		if !v.Remembered || !tracked {
			unread = append(unread, name)
		}
	}
	if len(unread) == 0 {
		return ""
	}
	return fmt.Sprintf("it reads %s, which may have changed: Backstop may not read them",
		strings.Join(unread[:min(len(unread), 3)], ", "))
}

func (v *canaryView) othersCrash() string {
	if len(v.Others) == 0 {
		return ""
	}
	return "other workloads of the namespace crash: " + strings.Join(v.Others[:min(len(v.Others), 3)], ", ")
}
