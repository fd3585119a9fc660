package trigger

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// Revision is one template that a workload had, or has.
type Revision struct {
	// Name of the ReplicaSet or ControllerRevision.
	Name string
	// ID is what its pods carry as a label.
	ID string
	// Number counts the revisions of the workload.
	Number int64
	// Made is when it was made.
	Made time.Time
	// Template of its pods.
	Template corev1.PodTemplateSpec
	// Reused says that it was gone back to.
	Reused bool
}

// Node is a node, as far as it may be read.
type Node struct {
	// Ready says that it is, and under no pressure.
	Ready bool
	// Platform as os/arch; empty where it is not known.
	Platform string
	// Made is when it joined; zero where that is not known.
	Made time.Time
}

// Crash is a container of another workload of the namespace that crashes too.
type Crash struct {
	// Workload as Kind/name, and the image that its template names.
	Workload, Image string
	// Old says that it did so before the new revision appeared.
	Old bool
}

// Facts are what the API shows of a workload whose newest revision may not become ready.
type Facts struct {
	// Now is the time.
	Now time.Time
	// Workload and how many pods it is to have.
	Workload v1alpha1.Workload
	Wanted   int32
	// New is the newest revision, Former the one before that ran last; nil where there is none.
	New, Former *Revision
	// FormerWas is what was remembered of the former revision.
	FormerWas v1alpha1.Availability
	// MadeBy is the Canary of Flagger that made the workload; empty where none did.
	MadeBy string
	// Deadline says that the workload's own progress deadline has passed, and Paused that somebody stopped its rollout.
	Deadline, Paused bool
	// Pods of the workload, of all revisions.
	Pods []corev1.Pod
	// Nodes of these pods by name, as far as they may be read.
	Nodes map[string]Node
	// Others crash in the namespace at the same time.
	Others []Crash
	// Siblings name workloads that run the new image well.
	Siblings []string
	// OptedIn says that the workload lets a crash be reverted without a person.
	OptedIn bool
}

// Judgement is what one container of the newest revision shows, and whose fault it looks.
type Judgement struct {
	// Container that fails, and the image that the newest template names for it.
	Container, Image string
	Cause            v1alpha1.Cause
	Fault            v1alpha1.Fault
	// Complete says that there is enough to judge by: a crash needs at least two starts.
	Complete bool
	// Message is the container's own last words, or the kubelet's: data.
	Message  string
	Evidence v1alpha1.Rollout
	// Canary is there instead of Evidence where a canary judged.
	Canary *v1alpha1.Canary
}

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

// of says whether a pod is of a revision.
func (r *Revision) of(pod *corev1.Pod) bool {
	return r != nil && slices.Contains([]string{
		pod.Labels["pod-template-hash"], pod.Labels["controller-revision-hash"], pod.Labels["rollouts-pod-template-hash"],
	}, r.ID)
}

// over says whether a pod fails no more: it ends, or ended.
func over(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
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

const (
	// steadyFor is how long a container must have run to count as well.
	steadyFor = time.Minute
	// shortRun is the longest run of a container that crashes at its start.
	shortRun = time.Minute
	// healsAfter is how many times its last run a container must have run to count as well again.
	healsAfter = 3
	// patience is how long a pod may take to become ready where nothing else says so, as a Deployment's own deadline is.
	patience = 10 * time.Minute
	// starts are how many runs must have ended before a crash is one.
	starts = 2
)

// healed says whether a container that ended before runs well now.
func (f *Facts) healed(s *symptom) bool {
	for _, c := range slices.Concat(s.pod.Status.InitContainerStatuses, s.pod.Status.ContainerStatuses) {
		if c.Name != s.container || c.State.Running == nil || s.restarts == 0 {
			continue
		}
		ran := f.Now.Sub(c.State.Running.StartedAt.Time)
		return c.Ready && ran > max(steadyFor, healsAfter*s.run)
	}
	return false
}

// neverReady is a container that runs, was never restarted, and does not become ready in time.
func (f *Facts) neverReady(pod *corev1.Pod, s *corev1.ContainerStatus) *symptom {
	if s.State.Running == nil || s.Ready {
		return nil
	}
	if !f.Deadline && f.Now.Sub(s.State.Running.StartedAt.Time) < patience {
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
	return out
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

// nodesOf lists where a group fails.
func nodesOf(group []*symptom) []string {
	var out []string
	for _, s := range group {
		if s.pod.Spec.NodeName != "" {
			out = append(out, s.pod.Spec.NodeName)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// view is a group of symptoms beside all facts, as the rows look at it.
type view struct {
	*Facts
	group []*symptom
	worst *symptom
	nodes []string
	// changed is what differs between the templates.
	changed []v1alpha1.TemplateChange
	// now and was are the container in the newest and the former template; nil where it is not in it.
	now, was *container
}

// complete says whether there is enough to judge by.
func (v *view) complete() bool {
	s := v.worst
	switch {
	case s.cause == v1alpha1.CauseNotReady, s.exit == nil:
		return true
	case s.decisive:
		return s.restarts >= 1 || len(v.group) >= starts
	}
	return s.restarts >= starts
}

// weigh asks every row. One that knows another fault takes the blame off the image.
func (v *view) weigh() (v1alpha1.Fault, v1alpha1.Rollout) {
	fault := v.worst.cause.Fault()
	var doubts []v1alpha1.RolloutDoubt
	for _, r := range rows {
		if r.fault == "" && fault != v1alpha1.FaultImage {
			// Nobody is asked about what is not the image's.
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

func ready(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// Steady names a pod of the newest revision that runs well with an image; empty where there is none.
func Steady(f *Facts, image string) string {
	if f.New == nil {
		return ""
	}
	named := false
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
