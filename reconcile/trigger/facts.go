package trigger

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
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
	// Reused means that it was gone back to.
	Reused bool
}

// Node is a node, as far as it may be read.
type Node struct {
	// Ready means that it is, and under no pressure.
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
	// Old means that it did so before the new revision appeared, Well that it runs well again.
	Old, Well bool
	// Since is when it began at the latest.
	Since time.Time
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
	// Deadline means that the workload's own progress deadline has passed, and Paused that somebody stopped its rollout.
	Deadline, Paused bool
	// Forgets means that the workload keeps no former revision that has no pods.
	Forgets bool
	// Pods of the workload, of all revisions.
	Pods []corev1.Pod
	// Nodes of these pods by name, as far as they may be read.
	Nodes map[string]Node
	// Others crash in the namespace at the same time.
	Others []Crash
	// Siblings name workloads that run the new image well.
	Siblings []string
	// OptedIn means that the workload lets a crash be reverted without a person.
	OptedIn bool
}

// Judgement is what one container of the newest revision shows, and whose fault it looks.
type Judgement struct {
	// Container that fails, and the image that the newest template names for it.
	Container, Image string
	Cause            v1alpha1.Cause
	Fault            v1alpha1.Fault
	// Complete means that there is enough to judge by: a crash needs at least two starts.
	Complete bool
	// Config means that what changed in the template beside images looks at fault.
	Config bool
	// Message is the container's own last words, or the kubelet's: data.
	Message  string
	Evidence v1alpha1.Rollout
	// Canary is there instead of Evidence where a canary judged.
	Canary *v1alpha1.Canary
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

// complete reports whether there is enough to judge by.
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

// of reports whether a pod is of a revision.
func (r *Revision) of(pod *corev1.Pod) bool {
	return r != nil && slices.Contains([]string{
		pod.Labels["pod-template-hash"], pod.Labels["controller-revision-hash"], pod.Labels["rollouts-pod-template-hash"],
	}, r.ID)
}

// over reports whether a pod fails no more: it ends, or ended.
func over(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func ready(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// Patience is how long a pod may take to become ready where nothing else says so, as a Deployment's own deadline is.
const Patience = 10 * time.Minute

const (
	// steadyFor is how long a container must have run to count as well.
	steadyFor = time.Minute
	// shortRun is the longest run of a container that crashes at its start.
	shortRun = time.Minute
	// healsAfter is how many times its last run a container must have run to count as well again.
	healsAfter = 3
	// atOnce is how long a script takes at most that does nothing before it starts its program.
	atOnce = 5 * time.Second
	// starts are how many runs must have ended before a crash is one.
	starts = 2
)

// healed reports whether a container that ended before runs well now.
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

// around is how long before a new revision something else may have begun to fail for the same reason.
const around = 15 * time.Minute
