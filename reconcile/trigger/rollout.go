package trigger

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// Judge looks at each container of the newest revision that fails, in order of the containers.
func Judge(f *Facts) []Judgement {
	if f.New == nil {
		return nil
	}
	var out []Judgement
	for _, group := range f.symptoms() {
		out = append(out, f.judge(group))
	}
	slices.SortFunc(out, func(a, b Judgement) int { return cmp.Compare(a.Container, b.Container) })
	return out
}

// symptoms groups what the newest revision's pods show, by container.
func (f *Facts) symptoms() [][]*symptom {
	by := map[string][]*symptom{}
	for i := range f.Pods {
		pod := &f.Pods[i]
		if over(pod) || !f.New.of(pod) {
			continue
		}
		for j := range pod.Status.InitContainerStatuses {
			s := &pod.Status.InitContainerStatuses[j]
			f.note(by, symptomOf(pod, s, true))
		}
		for j := range pod.Status.ContainerStatuses {
			s := &pod.Status.ContainerStatuses[j]
			found := symptomOf(pod, s, false)
			if found == nil {
				found = f.neverReady(pod, s)
			}
			f.note(by, found)
		}
	}
	var out [][]*symptom
	for _, group := range by {
		out = append(out, group)
	}
	return out
}

func (f *Facts) note(by map[string][]*symptom, s *symptom) {
	if s != nil && !f.healed(s) {
		by[s.container] = append(by[s.container], s)
	}
}

// neverReady is a container that runs, was never restarted, and does not become ready in time.
func (f *Facts) neverReady(pod *corev1.Pod, s *corev1.ContainerStatus) *symptom {
	if s.State.Running == nil || s.Ready {
		return nil
	}
	if !f.Deadline && f.Now.Sub(s.State.Running.StartedAt.Time) < Patience {
		return nil
	}
	return &symptom{
		pod: pod, container: s.Name, cause: v1alpha1.CauseNotReady, reason: "NotReady", restarts: s.RestartCount, run: -1,
		imageID: s.ImageID,
	}
}

// judge makes one judgement of what several pods show of one container.
func (f *Facts) judge(group []*symptom) Judgement {
	slices.SortFunc(group, func(a, b *symptom) int {
		return cmp.Or(decisiveFirst(a, b), cmp.Compare(b.restarts, a.restarts), cmp.Compare(a.pod.Name, b.pod.Name))
	})
	worst := group[0]
	v := &view{Facts: f, group: group, worst: worst, nodes: nodesOf(group)}
	if f.Former != nil {
		v.changed = Changes(&f.Former.Template, &f.New.Template)
	}
	v.now = containersOf(&f.New.Template.Spec)[worst.container]
	if f.Former != nil {
		v.was = containersOf(&f.Former.Template.Spec)[worst.container]
	}
	out := Judgement{Container: worst.container, Cause: worst.cause, Complete: v.complete(),
		Message: text.CutBytes(text.Mask(worst.message), 1024)}
	if v.now != nil {
		out.Image = v.now.Image
	}
	out.Fault, out.Evidence = v.weigh()
	out.Config = out.Complete && v.byConfig(out.Evidence.Doubts)
	return out
}

// Spreads reports whether all that keeps a policy from deciding is that one node alone was seen, while other pods of
// the revision do not fail yet.
func (j Judgement) Spreads() bool {
	e := &j.Evidence
	return j.Complete && j.Fault == v1alpha1.FaultImage && e.Pods.Failing < e.Pods.Wanted && len(e.Doubts) == 1 &&
		e.Doubts[0].Type == v1alpha1.DoubtOneNode
}

func decisiveFirst(a, b *symptom) int {
	switch {
	case a.decisive == b.decisive:
		return 0
	case a.decisive:
		return -1
	}
	return 1
}

// weigh asks every row. One that knows another fault takes the blame off the image.
func (v *view) weigh() (v1alpha1.Fault, v1alpha1.Rollout) {
	fault := v.worst.cause.Fault()
	var doubts []v1alpha1.RolloutDoubt
	for _, r := range rows {
		if r.fault == "" && fault != v1alpha1.FaultImage &&
			!(slices.Contains(ofConfig, r.doubt) && v.byConfig(doubts)) {
			// Nobody is asked about what neither the image nor its configuration did.
			continue
		}
		why := r.why(v)
		if why == "" {
			continue
		}
		doubts = append(doubts, v1alpha1.RolloutDoubt{Type: r.doubt, Message: why})
		// The first row that knows another fault names it.
		if r.fault != "" && fault == v1alpha1.FaultImage {
			fault = r.fault
		}
	}
	return fault, v.evidence(doubts)
}

// ofConfig are the rows that count too where the configuration looks at fault.
var ofConfig = []v1alpha1.DoubtType{
	v1alpha1.DoubtFormerUnknown, v1alpha1.DoubtInitContainer, v1alpha1.DoubtOneNode, v1alpha1.DoubtSuspended,
	v1alpha1.DoubtOthersCrash,
}

// byConfig reports whether what changed in the template beside images looks at fault: what fails is neither the node's
// nor a dependency's, it was well before, and it never was with what changed.
func (v *view) byConfig(doubts []v1alpha1.RolloutDoubt) bool {
	switch v.worst.cause.Fault() {
	case v1alpha1.FaultImage, v1alpha1.FaultConfig, v1alpha1.FaultUnknown:
	default:
		return false
	}
	// The rows that know another fault come before, in their order.
	if len(doubts) == 0 || doubts[0].Type != v1alpha1.DoubtConfigChanged {
		return false
	}
	return v.hadPods() == "" && !slices.ContainsFunc(doubts, func(d v1alpha1.RolloutDoubt) bool {
		return slices.Contains([]v1alpha1.DoubtType{
			v1alpha1.DoubtFormerFailed, v1alpha1.DoubtMixed, v1alpha1.DoubtRanHere,
		}, d.Type)
	})
}

func (v *view) evidence(doubts []v1alpha1.RolloutDoubt) v1alpha1.Rollout {
	out := v1alpha1.Rollout{
		FormerWas: cmp.Or(v.FormerWas, v1alpha1.AvailableUnknown), Changed: v.changed,
		Reason: text.Cut(v.worst.reason, 64), ExitCode: v.worst.exit, Restarts: v.worst.restarts, Pod: v.worst.pod.Name,
		Platform: v.Nodes[v.worst.pod.Spec.NodeName].Platform,
		Nodes:    v.nodes, Doubts: doubts,
		Pods: v1alpha1.RolloutPods{Failing: int32(len(v.group)), Wanted: v.Wanted},
	}
	if v.worst.run >= 0 {
		out.LastRun = &metav1.Duration{Duration: v.worst.run}
	}
	if v.Former != nil {
		out.Former = v.Former.Name
	}
	if v.was != nil {
		out.FormerImage = v.was.Image
	}
	for i := range v.Facts.Pods {
		pod := &v.Facts.Pods[i]
		switch {
		case over(pod):
		case v.New.of(pod):
			out.Pods.New++
		case v.Former.of(pod) && ready(pod):
			out.Pods.FormerReady++
		}
	}
	return out
}

// Steady names a pod of the newest revision that runs well with an image, or with any where that is empty; empty if
// absent.
func Steady(f *Facts, image string) string {
	if f.New == nil {
		return ""
	}
	named := image == ""
	for _, c := range containersOf(&f.New.Template.Spec) {
		named = named || c.Image == image
	}
	for i := range f.Pods {
		pod := &f.Pods[i]
		if !named || over(pod) || !f.New.of(pod) || !ready(pod) {
			continue
		}
		well := len(pod.Status.ContainerStatuses) > 0
		for _, c := range pod.Status.ContainerStatuses {
			well = well && c.State.Running != nil && f.Now.Sub(c.State.Running.StartedAt.Time) >= steadyFor
		}
		if well {
			return pod.Name
		}
	}
	return ""
}
