package trigger

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func (v *view) promoted() string {
	if v.MadeBy == "" {
		return ""
	}
	return fmt.Sprintf("%s made the workload, and its image passed the analysis before", v.MadeBy)
}

func (v *view) injected() string {
	if v.now != nil {
		return ""
	}
	return fmt.Sprintf("container %s is not in the template: a webhook injected it", v.worst.container)
}

func (v *view) node() string {
	for _, name := range v.nodes {
		n, known := v.Nodes[name]
		if known && !n.Ready {
			return fmt.Sprintf("node %s is not ready", name)
		}
	}
	for i := range v.Facts.Pods {
		if pod := &v.Facts.Pods[i]; v.worst.decisive && !v.New.of(pod) && !over(pod) && v.neverStarts(pod) {
			return fmt.Sprintf("pod %s of an older revision cannot be started either", pod.Name)
		}
	}
	if len(v.nodes) != 1 {
		return ""
	}
	for i := range v.Facts.Pods {
		pod := &v.Facts.Pods[i]
		if v.New.of(pod) && pod.Spec.NodeName != v.nodes[0] && v.steady(pod) {
			return fmt.Sprintf("it fails on node %s alone, and pod %s of the same revision runs well on %s", v.nodes[0],
				pod.Name, pod.Spec.NodeName)
		}
	}
	return ""
}

func (v *view) mixed() string {
	for i := range v.Facts.Pods {
		if pod := &v.Facts.Pods[i]; v.New.of(pod) && v.steady(pod) {
			return fmt.Sprintf("pod %s of the same revision runs well", pod.Name)
		}
	}
	return ""
}

// dependency is what fails beside the new revision: a decisive failure of the start waits for nobody.
func (v *view) dependency() string {
	if v.worst.neverBegan(v.now) {
		return ""
	}
	for i := range v.Facts.Pods {
		pod := &v.Facts.Pods[i]
		if v.Former.of(pod) && !over(pod) && v.ailing(pod) && !v.back(pod) {
			return fmt.Sprintf("pod %s of an older revision fails too", pod.Name)
		}
	}
	var since []string
	for _, o := range v.Others {
		// What runs the same image is no other witness, what runs well again none that a thing is missing now, and what
		// began to fail when this was away may need this.
		if !o.Old && !o.Well && !v.follows(o) && (v.now == nil || o.Image != v.now.Image) {
			since = append(since, o.Workload)
		}
	}
	if len(since) > 0 {
		return "other workloads fail since then too: " + strings.Join(since[:min(len(since), 3)], ", ")
	}
	return ""
}

// follows reports whether another workload began to fail after this one, of which nothing serves any more.
func (v *view) follows(o Crash) bool {
	serves := slices.ContainsFunc(v.Facts.Pods, func(pod corev1.Pod) bool { return v.steady(&pod) || v.back(&pod) })
	began := v.Now.Add(-backedOff(v.worst.restarts))
	return !serves && o.Since.Sub(began) >= time.Minute
}

func (v *view) configChanged() string { return moreThanImages(v.changed) }

// moreThanImages names what changed beside images, in a template or elsewhere; empty where nothing did.
func moreThanImages(changed []v1alpha1.TemplateChange, elsewhere ...string) string {
	var other []string
	for _, c := range changed {
		if c.Part != v1alpha1.PartImage {
			other = append(other, c.String())
		}
	}
	if other = append(other, elsewhere...); len(other) == 0 {
		return ""
	}
	more := ""
	if len(other) > 3 {
		more = fmt.Sprintf(" and %d more", len(other)-3)
	}
	return "more than images changed: " + strings.Join(other[:min(len(other), 3)], ", ") + more
}

func (v *view) noFormer() string {
	if v.Former != nil {
		return ""
	}
	if v.Forgets {
		return "the Deployment keeps no former revision (revisionHistoryLimit: 0), and nothing tells what changed"
	}
	return "there is no former revision to go back to"
}

func (v *view) sameImage() string {
	switch {
	case v.now == nil || v.was == nil:
		return ""
	case v.now.Image == v.was.Image:
		return fmt.Sprintf("the image of container %s did not change", v.worst.container)
	}
	if v.worst.imageID == "" {
		return ""
	}
	for i := range v.Facts.Pods {
		pod := &v.Facts.Pods[i]
		if !v.Former.of(pod) {
			continue
		}
		for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			if c.Name == v.worst.container && c.ImageID == v.worst.imageID {
				return fmt.Sprintf("%s is the same content as %s under another name", v.now.Image, v.was.Image)
			}
		}
	}
	return ""
}

func (v *view) formerFailed() string {
	if v.Former == nil || v.FormerWas != v1alpha1.AvailablePartly || v.served() {
		return ""
	}
	return fmt.Sprintf("revision %s was not fully available before", v.Former.Name)
}

func (v *view) formerUnknown() string {
	if v.Former == nil || v.FormerWas == v1alpha1.AvailableFully {
		return ""
	}
	if v.FormerWas == v1alpha1.AvailablePartly {
		return fmt.Sprintf("revision %s was not fully available before, and pods of it are ready now", v.Former.Name)
	}
	if all, _ := v.formerReady(); all > 0 {
		return ""
	}
	return fmt.Sprintf("nobody looked whether revision %s was available, and no pod of it is ready now", v.Former.Name)
}

// among finds what one of the pods shows of the container: nil where none shows such a thing.
func (v *view) among(such func(*symptom) bool) *symptom {
	if i := slices.IndexFunc(v.group, such); i >= 0 {
		return v.group[i]
	}
	return nil
}

func (v *view) memory() string {
	if v.among(func(s *symptom) bool { return s.cause == v1alpha1.CauseOutOfMemory }) == nil {
		return ""
	}
	return "it was killed for its memory, which load can do too"
}

func (v *view) probe() string {
	killed := v.among(func(s *symptom) bool { return s.cause == v1alpha1.CauseKilled })
	switch {
	case killed != nil && hasLiveness(killed.pod, killed.container):
		return "it was killed, most likely since a probe failed"
	case killed != nil:
		return "it was killed, and nothing tells by whom"
	case v.among(func(s *symptom) bool { return s.cause == v1alpha1.CauseNotReady }) != nil:
		return "it runs and does not become ready"
	}
	return ""
}

// longRuns: a script that looks for a program which is not there ends at once. One that ran for a while has done
// something before.
func (v *view) longRuns() string {
	long := v.among(func(s *symptom) bool {
		return s.run >= shortRun || s.begun && s.cause == v1alpha1.CauseCannotStart && s.run > atOnce
	})
	if long == nil {
		return ""
	}
	return fmt.Sprintf("its last run lasted %s", long.run.Round(time.Second))
}

// waiting is what init containers that wait for something are called, and what they run.
var waiting = regexp.MustCompile(`(?i)wait|until|depend|check|ready|\bnc\b|pg_isready|nslookup|dig\b|ping|dockerize`)

// waitsFor reports whether an init container looks like one that waits for something else.
func waitsFor(c *container) bool {
	if c == nil {
		return false
	}
	return slices.ContainsFunc(slices.Concat([]string{c.Name, c.Image}, c.Command, c.Args), waiting.MatchString)
}

// mayWait reports whether it is an init container that ran, and so may have waited for something.
func (v *view) mayWait() bool {
	return v.worst.init && !sidecar(v.worst.pod, v.worst.container) &&
		(!v.worst.decisive || v.worst.cause == v1alpha1.CauseCrashed)
}

func (v *view) waits() string {
	if !v.mayWait() || !waitsFor(v.now) {
		return ""
	}
	return fmt.Sprintf("init container %s looks like one that waits for something", v.worst.container)
}

func (v *view) initContainer() string {
	if !v.mayWait() {
		return ""
	}
	return fmt.Sprintf("init container %s may wait for something that is not there", v.worst.container)
}

func (v *view) sibling() string {
	if len(v.Siblings) == 0 {
		return ""
	}
	return fmt.Sprintf("%s runs the image well", v.Siblings[0])
}

// notOptedIn keeps Auto to the narrow row: a start that fails, or an old pod that is ready now and an owner who said
// so.
func (v *view) notOptedIn() string {
	if v.worst.decisive && v.worst.cause != v1alpha1.CauseCrashed {
		return ""
	}
	if !v.OptedIn {
		return "the process starts and then fails, and the workload has no annotation backstop.dev/rollback: auto"
	}
	if _, since := v.formerReady(); since == 0 {
		return "the process starts and then fails, and no pod of the former revision that started since then is ready now"
	}
	return v.shares()
}

// shares is what the pods have in common with those of the former revision, so that both may not run at once.
func (v *view) shares() string {
	switch spec := &v.worst.pod.Spec; {
	case spec.HostNetwork, slices.ContainsFunc(spec.Containers, hasHostPort):
		return "the process starts and then fails, and it shares its node's ports with the former pods"
	case spec.HostPID, spec.HostIPC:
		return "the process starts and then fails, and it shares what its node runs with the former pods"
	}
	all := volumesOf(&v.worst.pod.Spec)
	for _, m := range mountsOf(v.worst.pod, v.worst.container) {
		if of := all[m.Name]; of != nil && (of.PersistentVolumeClaim != nil || of.HostPath != nil) {
			return fmt.Sprintf("the process starts and then fails, and the former pods may hold what is on volume %s", m.Name)
		}
	}
	return ""
}

func hasHostPort(c corev1.Container) bool {
	return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.HostPort != 0 })
}

// served reports that pods of the former revision are ready now.
func (v *view) served() bool {
	all, _ := v.formerReady()
	return all > 0
}
