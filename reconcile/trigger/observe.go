package trigger

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/workload"
)

// Remembered is what a watch remembers of a workload's templates.
type Remembered struct {
	// Former is the hash of the template before the present one, zero where nobody saw it change.
	Former uint64
	// FormerWas is whether that one was fully available when it was replaced.
	FormerWas v1alpha1.Availability
}

// Objects are what the API server has of a workload and what is around it.
type Objects struct {
	Now         time.Time
	Deployment  *appsv1.Deployment
	StatefulSet *appsv1.StatefulSet
	DaemonSet   *appsv1.DaemonSet
	// ReplicaSets and Revisions that belong to it, Pods of its namespace, Nodes that may be read.
	ReplicaSets []appsv1.ReplicaSet
	Revisions   []appsv1.ControllerRevision
	Pods        []corev1.Pod
	Nodes       []corev1.Node
	Remembered  Remembered
	OptedIn     bool
}

// Observe turns objects into facts. What is not there is not known.
func Observe(o *Objects) Facts {
	f := Facts{Now: o.Now, OptedIn: o.OptedIn, FormerWas: v1alpha1.AvailableUnknown, Nodes: map[string]Node{}}
	var all []Revision
	var newest string
	var meta *metav1.ObjectMeta
	var selector *metav1.LabelSelector
	switch {
	case o.Deployment != nil:
		d := o.Deployment
		meta, selector, f.Wanted = &d.ObjectMeta, d.Spec.Selector, wanted(d.Spec.Replicas)
		f.Workload = v1alpha1.Workload{Kind: workload.Deployment, Name: d.Name, UID: d.UID}
		f.Paused = d.Spec.Paused
		f.Forgets = d.Spec.RevisionHistoryLimit != nil && *d.Spec.RevisionHistoryLimit == 0
		f.Deadline = slices.ContainsFunc(d.Status.Conditions, func(c appsv1.DeploymentCondition) bool {
			return c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded"
		})
		all = replicaSets(d.UID, o.ReplicaSets)
		newest = d.Annotations["deployment.kubernetes.io/revision"]
	case o.StatefulSet != nil:
		s := o.StatefulSet
		meta, selector, f.Wanted = &s.ObjectMeta, s.Spec.Selector, wanted(s.Spec.Replicas)
		f.Workload = v1alpha1.Workload{Kind: workload.StatefulSet, Name: s.Name, UID: s.UID}
		all, newest = controllerRevisions(s.UID, o.Revisions), s.Status.UpdateRevision
	case o.DaemonSet != nil:
		d := o.DaemonSet
		meta, selector, f.Wanted = &d.ObjectMeta, d.Spec.Selector, d.Status.DesiredNumberScheduled
		f.Workload = v1alpha1.Workload{Kind: workload.DaemonSet, Name: d.Name, UID: d.UID}
		all = controllerRevisions(d.UID, o.Revisions)
	default:
		return f
	}
	if by := metav1.GetControllerOf(meta); by != nil && by.Kind == Flagger.Kind {
		f.MadeBy = by.Kind + "/" + by.Name
	}
	f.pick(all, newest, o)
	mine := owned(meta.Namespace, selector, o.Pods)
	f.Pods = mine
	for i := range o.Nodes {
		f.Nodes[o.Nodes[i].Name] = nodeOf(&o.Nodes[i])
	}
	f.around(o.Pods, mine)
	return f
}

// Revisions are those of a workload, oldest first.
func Revisions(o *Objects) []Revision {
	switch {
	case o.Deployment != nil:
		return replicaSets(o.Deployment.UID, o.ReplicaSets)
	case o.StatefulSet != nil:
		return controllerRevisions(o.StatefulSet.UID, o.Revisions)
	case o.DaemonSet != nil:
		return controllerRevisions(o.DaemonSet.UID, o.Revisions)
	}
	return nil
}

// Ails names what made a pod that crashes, empty where it does not, and reports whether it did so long before a time.
func Ails(pod *corev1.Pod, now, since time.Time) (owner string, old bool) {
	f := Facts{Now: now, New: &Revision{Made: since}}
	c, ok := f.crashes(pod)
	if !ok || over(pod) {
		return "", false
	}
	return c.Workload, c.Old
}

func wanted(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// replicaSets are the revisions of a Deployment, oldest first.
func replicaSets(uid types.UID, all []appsv1.ReplicaSet) []Revision {
	var out []Revision
	for i := range all {
		rs := &all[i]
		if c := metav1.GetControllerOf(rs); c == nil || c.UID != uid {
			continue
		}
		r := Revision{Name: rs.Name, ID: rs.Labels[appsv1.DefaultDeploymentUniqueLabelKey], Made: rs.CreationTimestamp.Time,
			Template: rs.Spec.Template, Reused: rs.Annotations["deployment.kubernetes.io/revision-history"] != ""}
		_, _ = fmt.Sscan(rs.Annotations["deployment.kubernetes.io/revision"], &r.Number)
		out = append(out, r)
	}
	return sorted(out)
}

// controllerRevisions are the revisions of a StatefulSet or DaemonSet, oldest first.
func controllerRevisions(uid types.UID, all []appsv1.ControllerRevision) []Revision {
	var out []Revision
	for i := range all {
		cr := &all[i]
		if c := metav1.GetControllerOf(cr); c == nil || c.UID != uid {
			continue
		}
		var data struct {
			Spec struct{ Template corev1.PodTemplateSpec }
		}
		if json.Unmarshal(cr.Data.Raw, &data) != nil {
			continue
		}
		// Pods of a StatefulSet carry the revision's name, those of a DaemonSet its hash.
		id := cr.Name
		if metav1.GetControllerOf(cr).Kind == workload.DaemonSet {
			id = cr.Labels[appsv1.ControllerRevisionHashLabelKey]
		}
		out = append(out, Revision{Name: cr.Name, ID: id, Number: cr.Revision, Made: cr.CreationTimestamp.Time,
			Template: data.Spec.Template})
	}
	return sorted(out)
}

func sorted(all []Revision) []Revision {
	slices.SortStableFunc(all, func(a, b Revision) int {
		switch {
		case a.Number != b.Number:
			return int(a.Number - b.Number)
		case a.Made.Before(b.Made):
			return -1
		}
		return 1
	})
	return all
}

// pick finds the newest revision and the one that ran before it: the one that was remembered to run, else one that has
// ready pods, else the one that was remembered, else the one before. Of two updates in flight the first never ran.
func (f *Facts) pick(all []Revision, newest string, o *Objects) {
	at := len(all) - 1
	for i := range all {
		if newest != "" && (all[i].Name == newest || fmt.Sprint(all[i].Number) == newest) {
			at = i
		}
	}
	if at < 0 {
		return
	}
	f.New = &all[at]
	older := slices.Concat(all[:at], all[at+1:])
	if len(older) == 0 {
		return
	}
	var before *Revision
	for i := range older {
		if o.Remembered.Former != 0 && TemplateHash(&older[i].Template) == o.Remembered.Former {
			before = &older[i]
		}
	}
	if before != nil && o.Remembered.FormerWas == v1alpha1.AvailableFully {
		f.Former, f.FormerWas = before, o.Remembered.FormerWas
		return
	}
	for i := len(older) - 1; i >= 0; i-- {
		r := &older[i]
		if slices.ContainsFunc(o.Pods, func(p corev1.Pod) bool { return r.of(&p) && !over(&p) && ready(&p) }) {
			f.Former = r
			if before == r {
				f.FormerWas = o.Remembered.FormerWas
			}
			return
		}
	}
	if f.Former = before; before != nil {
		f.FormerWas = o.Remembered.FormerWas
		return
	}
	f.Former = &older[len(older)-1]
}

// TemplateHash tells templates of one workload apart, whatever a controller adds to them.
func TemplateHash(t *corev1.PodTemplateSpec) uint64 {
	bare := *t
	bare.Labels = maps.Clone(t.Labels)
	delete(bare.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	bare.CreationTimestamp = metav1.Time{}
	sum := fnv.New64a()
	_ = json.NewEncoder(sum).Encode(bare)
	return sum.Sum64()
}

// owned are the pods of a workload, as copies.
func owned(namespace string, selector *metav1.LabelSelector, all []corev1.Pod) []corev1.Pod {
	sel, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil
	}
	var out []corev1.Pod
	for i := range all {
		if all[i].Namespace == namespace && sel.Matches(labels.Set(all[i].Labels)) {
			out = append(out, all[i])
		}
	}
	return out
}

func nodeOf(n *corev1.Node) Node {
	out := Node{Made: n.CreationTimestamp.Time}
	if i := n.Status.NodeInfo; i.OperatingSystem != "" && i.Architecture != "" {
		out.Platform = i.OperatingSystem + "/" + i.Architecture
	}
	for _, c := range n.Status.Conditions {
		switch c.Type {
		case corev1.NodeReady:
			out.Ready = c.Status == corev1.ConditionTrue
		case corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure, corev1.NodeNetworkUnavailable:
			if c.Status == corev1.ConditionTrue {
				return Node{Platform: out.Platform, Made: out.Made}
			}
		}
	}
	return out
}

// around looks at the other pods of the namespace: what crashes too, and what runs the new image well.
func (f *Facts) around(all, mine []corev1.Pod) {
	if f.New == nil {
		return
	}
	own := map[string]bool{}
	for i := range mine {
		own[mine[i].Name] = true
	}
	images := map[string]bool{}
	for _, c := range containersOf(&f.New.Template.Spec) {
		images[c.Image] = true
	}
	seen := map[string]bool{}
	v := view{Facts: f}
	for i := range all {
		pod := &all[i]
		if own[pod.Name] || over(pod) {
			continue
		}
		name := ownerOf(pod)
		if c, ok := f.crashes(pod); ok {
			at := slices.IndexFunc(f.Others, func(o Crash) bool { return o.Workload == name })
			switch {
			case at < 0:
				f.Others = append(f.Others, c)
			case f.Others[at].Well && !c.Well:
				f.Others[at] = c
			}
		}
		runs := slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool { return images[c.Image] })
		if runs && v.steady(pod) && v.newImage(pod) && !seen["runs "+name] {
			seen["runs "+name] = true
			f.Siblings = append(f.Siblings, name)
		}
	}
}

// newImage reports whether a pod runs an image that the new revision brought.
func (v *view) newImage(pod *corev1.Pod) bool {
	if v.Former == nil {
		return true
	}
	was := map[string]bool{}
	for _, c := range containersOf(&v.Former.Template.Spec) {
		was[c.Image] = true
	}
	now := containersOf(&v.New.Template.Spec)
	for _, c := range pod.Spec.Containers {
		for _, n := range now {
			if n.Image == c.Image && !was[c.Image] {
				return true
			}
		}
	}
	return false
}

// crashes reports whether a container of a pod crashes, and since when.
func (f *Facts) crashes(pod *corev1.Pod) (Crash, bool) {
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		last := c.LastTerminationState.Terminated
		if c.State.Terminated != nil {
			last = c.State.Terminated
		}
		loops := c.State.Waiting != nil && c.State.Waiting.Reason == reasonCrashLoop
		recent := c.RestartCount > 0 && last != nil && last.ExitCode != 0 && f.Now.Sub(last.FinishedAt.Time) < around
		if loops || recent {
			out := Crash{Workload: ownerOf(pod), Since: f.Now.Add(-backedOff(c.RestartCount)), Well: f.back(pod)}
			if template := containersOf(&pod.Spec)[c.Name]; template != nil {
				out.Image = template.Image
			}
			out.Old = out.Since.Before(f.New.Made.Add(-around))
			return out, true
		}
	}
	return Crash{}, false
}

// back reports whether a pod runs well, whatever it did before: what it needs is there.
func (f *Facts) back(pod *corev1.Pod) bool {
	return ready(pod) && !slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		return c.State.Running == nil || f.Now.Sub(c.State.Running.StartedAt.Time) < steadyFor
	})
}

// backedOff is how long a kubelet takes at least for so many restarts.
func backedOff(restarts int32) time.Duration {
	var out time.Duration
	wait := 10 * time.Second
	for range min(restarts, 10000) {
		out += wait
		wait = min(2*wait, 5*time.Minute)
	}
	return out
}
