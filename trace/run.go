package trace

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/watcher/classify"
)

func (v *view) workloadHop() Hop {
	l := &v.Live
	ref := refOf(v.Workload.Kind, v.Namespace, v.Workload.Name)
	h := Hop{Name: HopWorkload, At: ref.String()}
	said := v.Git.Applied.Image
	differs := said != "" && !image.SameTag(l.Image, said)
	switch {
	case l.State.Gone:
		h.Mark, h.Why, h.Fix = Blocked, "it does not exist any more", "see whether Git still has it"
	case differs && l.LeftAlone:
		h.Mark = Blocked
		h.Why = fmt.Sprintf("it runs %s and Git says %s, and an annotation tells Flux to leave it alone", tagOf(l.Image),
			tagOf(said))
		h.Fix = "take the annotation away: kustomize.toolkit.fluxcd.io/reconcile or /ssa"
	case l.Changed != nil && (differs || said == ""):
		return v.changed(h, said)
	case differs:
		h.Mark = Blocked
		h.Why = fmt.Sprintf("it runs %s and Git says %s at what was applied: something between changes it", tagOf(l.Image),
			tagOf(said))
		h.Fix = "look for spec.images and spec.patches of the Kustomization, the chart's values, and mutating webhooks"
	case v.pausedFix() != "":
		h.Mark, h.Why, h.Fix = Blocked, "its rollout is paused", v.pausedFix()
	case l.Suspended:
		h.Mark, h.Why = Blocked, "it is suspended, and starts no Jobs"
		h.Fix = fmt.Sprintf("set spec.suspend: false in Git, or: kubectl -n %s patch cronjob %s -p "+
			"'{\"spec\":{\"suspend\":false}}'", v.Namespace, v.Workload.Name)
	case !l.State.Complete:
		return v.rolling(h)
	case v.another():
		h.Mark = Blocked
		h.Why, h.Fix = v.insteadOf()
	case v.Git.Tip.Image != "" && !image.SameTag(l.Image, v.Git.Tip.Image):
		h.Mark, h.Why = Waits, fmt.Sprintf("it runs %s, and Git says %s by now", tagOf(l.Image), tagOf(v.Git.Tip.Image))
	default:
		h.Mark, h.Says = Good, "runs "+tagOf(l.Image)+", rolled out"
		if l.Replicas != nil && *l.Replicas == 0 {
			h.Says = "names " + tagOf(l.Image) + ", scaled to 0"
		}
	}
	return h
}

// another reports that the workload runs another image than the one that was asked for, which nothing before told.
func (v *view) another() bool {
	return v.Asked != "" && tagOr(v.Asked) != v.Asked && v.stopped == "" && !v.waits &&
		!image.SameTag(v.Live.Image, v.Asked)
}

// insteadOf says what runs in the place of the image that was asked for, and where to look for why.
func (v *view) insteadOf() (why, fix string) {
	why = fmt.Sprintf("it runs %s, and not %s", tagOf(v.Live.Image), tagOf(v.Asked))
	for i := range v.Rollbacks {
		r := &v.Rollbacks[i]
		if r.Status.Change != nil && image.SameTag(r.Spec.Subject.Image(), v.Asked) && v.concerns(r) {
			return why + ", which was reverted",
				"see why: " + v.Program.Command("get rollback %s -n %s", r.Name, v.Namespace)
		}
	}
	return why, "see what it should run: " + v.Program.Command("trace %s/%s -n %s", kindArg(v.Workload.Kind),
		v.Workload.Name, v.Namespace)
}

// rolling describes what keeps a rollout from being complete.
func (v *view) rolling(h Hop) Hop {
	l := &v.Live
	h.Mark = Blocked
	bad, _ := v.failingPods()
	switch {
	case len(l.State.Stuck) > 0:
		h.Why, h.Fix = "it does not replace a pod by itself that cannot start", l.State.Fix
	case l.Refused != "":
		h.Why = "its pods are refused: " + l.Refused
		h.Fix = "correct its template in Git, or what refuses them (a ResourceQuota, an admission policy, a webhook)"
	case l.Late != "" && bad == nil:
		h.Why = fmt.Sprintf("its pods with %s have not got ready by the deadline of the rollout: %s", tagOf(l.Image), l.Late)
		h.Fix = fmt.Sprintf("see why: kubectl -n %s describe deployment %s; or %s", v.Namespace, v.Workload.Name,
			v.revertBy(l.Image))
	default:
		h.Mark, h.Why = Waits, "it names "+tagOf(l.Image)+": "+l.State.Says
	}
	return h
}

// pausedFix is the command that resumes a paused rollout; empty where it is not paused.
func (v *view) pausedFix() string {
	if v.Live.State.Paused {
		return v.Live.State.Fix
	}
	return ""
}

// changed reports that the cluster runs what Git does not say.
func (v *view) changed(h Hop, said string) Hop {
	c := v.Live.Changed
	h.Mark = Blocked
	by := cmp.Or(c.By, "somebody")
	if !c.At.IsZero() {
		by += " " + v.ago(c.At)
	}
	h.Why = fmt.Sprintf("it runs %s, set by %s", tagOf(v.Live.Image), by)
	if said != "" {
		h.Why += "; Git says " + tagOf(said)
	} else {
		h.Why += "; what Git says could not be read"
	}
	if v.Chain != nil && v.Chain.Says != "" {
		h.Why += "; Flux undoes that " + v.Chain.Says
	}
	if h.Fix = v.answers(); h.Fix != "" {
		return h
	}
	h.Fix = "restore what Git says: " + v.restore()
	if v.node != nil {
		h.Fix += fmt.Sprintf("; or write it to %s:%d", v.node.File, v.node.Line)
	}
	return h
}

// restore is the command by which Flux applies again.
func (v *view) restore() string {
	if v.Chain == nil {
		return "apply it again"
	}
	if r := v.Chain.Release; r != nil {
		return flux.Reconcile(v.Chain.Reconciler) + " --force"
	}
	return flux.Reconcile(v.Chain.Reconciler)
}

// answers are the commands that answer the question about the change by hand; empty where none is asked.
func (v *view) answers() string {
	for i := range v.Rollbacks {
		r := &v.Rollbacks[i]
		if r.Spec.OpenedFor != v1alpha1.TriggerDrift || r.Status.Ended() || !v.concerns(r) {
			continue
		}
		var out []string
		if r.Status.Question.Allows(v1alpha1.Approve) {
			out = append(out, "adopt it into Git: "+v.Program.Command("approve %s -n %s", r.Name, v.Namespace))
		}
		if r.Status.Question.Allows(v1alpha1.Reject) {
			out = append(out, "restore what Git says: "+v.Program.Command("reject %s -n %s", r.Name, v.Namespace))
		}
		if len(out) > 0 {
			return strings.Join(out, "; or ")
		}
	}
	return ""
}

func (v *view) podsHop() Hop {
	h := Hop{Name: HopPods}
	if v.Pods.Unread != "" {
		h.Mark, h.Why = Unknown, v.Pods.Unread
		return h
	}
	ready, old := 0, []string{}
	for i := range v.Pods.All {
		p := &v.Pods.All[i]
		switch current := image.SameTag(p.Image, v.Live.Image); {
		case !current:
			old = append(old, tagOf(p.Image))
		case p.Ready:
			ready++
		}
	}
	bad, left := v.failingPods()
	count := fmt.Sprintf("%d of %d run %s", ready, len(v.Pods.All), tagOf(v.Live.Image))
	switch {
	case bad != nil:
		return v.badPod(h, bad, count)
	case left != nil:
		return v.leftPod(h, left, count)
	case v.lastRun().Ended != "":
		return v.failedRun(h, v.lastRun(), count)
	case len(v.Pods.All) == 0:
		h.Mark, h.Says = None, "there are none"
	case len(old) > 0 && v.Workload.Kind != "CronJob":
		h.Mark, h.Why = Waits, fmt.Sprintf("%s, others run %s", count, few(compact(old), 3))
	case ready < len(v.Pods.All) && v.Workload.Kind != "CronJob":
		h.Mark, h.Why = Waits, count+", the others are not ready yet"
	default:
		h.Mark, h.Says = Good, count
	}
	return h
}

// failingPods are the first pod of the template that cannot run, and the first such pod of an older template if its
// controller does not replace it.
func (v *view) failingPods() (bad, left *Pod) {
	for i := range v.Pods.All {
		p := &v.Pods.All[i]
		switch {
		case p.Unscheduled == "" && !failing(p.Reason):
		case image.SameTag(p.Image, v.Live.Image):
			bad = cmp.Or(bad, p)
		case p.Job != "" || slices.ContainsFunc(v.Live.State.Stuck, func(s reconcile.StuckPod) bool {
			return s.Name == p.Name
		}):
			left = cmp.Or(left, p)
		}
	}
	return bad, left
}

// leftPod reports which pod of an older template stays.
func (v *view) leftPod(h Hop, p *Pod, count string) Hop {
	h.Mark = Blocked
	h.Why = fmt.Sprintf("%s; pod %s still waits with %s (%s), and nobody replaces it", count, p.Name, tagOf(p.Image),
		p.Reason)
	h.Fix = fmt.Sprintf("kubectl -n %s delete pod %s", v.Namespace, p.Name)
	if p.Job != "" {
		h.Fix = fmt.Sprintf("kubectl -n %s delete job %s", v.Namespace, p.Job)
	}
	return h
}

// lastRun is the newest pod that Jobs made with the image: those before it are over. It is empty if absent.
func (v *view) lastRun() Pod {
	var last Pod
	for _, p := range v.Pods.All {
		if p.Job != "" && image.SameTag(p.Image, v.Live.Image) && !p.Made.Before(last.Made) {
			last = p
		}
	}
	return last
}

// failedRun describes how the last run of a CronJob failed.
func (v *view) failedRun(h Hop, p Pod, count string) Hop {
	h.Mark = Blocked
	h.Why = fmt.Sprintf("%s; pod %s, the last of them, has failed (%s)", count, p.Name, p.Ended)
	h.Fix = fmt.Sprintf("see why it ends: kubectl -n %s logs %s -c %s; or %s", v.Namespace, p.Name, v.Container,
		v.revertBy(p.Image))
	return h
}

func compact(all []string) []string {
	var out []string
	for _, s := range all {
		if !strings.Contains("\x00"+strings.Join(out, "\x00")+"\x00", "\x00"+s+"\x00") {
			out = append(out, s)
		}
	}
	return out
}

// failing reports whether a container waits for something that does not come by itself.
func failing(reason string) bool {
	switch reason {
	case "", "ContainerCreating", "PodInitializing":
		return false
	}
	return true
}

// badPod describes what keeps a pod from running, and what helps.
func (v *view) badPod(h Hop, p *Pod, count string) Hop {
	h.Mark = Blocked
	get := fmt.Sprintf("kubectl -n %s describe pod %s", v.Namespace, p.Name)
	if p.Unscheduled != "" {
		h.Why, h.Fix = fmt.Sprintf("%s; no node takes pod %s: %s", count, p.Name, p.Unscheduled), get
		return h
	}
	h.Why = fmt.Sprintf("%s; pod %s waits with %s (%s): %s", count, p.Name, tagOf(p.Image), p.Reason,
		ending(p.Message))
	revert := v.revertBy(p.Image)
	cause, pull := classify.Of(p.Reason, p.Message, p.Image)
	switch {
	case !pull && p.Reason == "CrashLoopBackOff":
		h.Fix = fmt.Sprintf("see why it ends: kubectl -n %s logs %s -c %s --previous; or %s", v.Namespace, p.Name,
			v.Container, revert)
	case !pull:
		h.Fix = get
	case cause == v1alpha1.CauseUnauthorized:
		h.Fix = fmt.Sprintf("name a Secret that may pull from %s in imagePullSecrets of the pod or of its ServiceAccount: %s",
			host(p.Image), createLogin(v.Namespace, "NAME", p.Image))
	case cause.ImageFault():
		h.Fix = tagFix(cause, p.Image, v.Registry.Nodes) + "; or " + revert
	default:
		h.Fix = "see what the node says: " + get + "; or " + revert
	}
	return h
}

// revertBy is the command by which an image is reverted: the approval of a Rollback that asks for it, where there is
// one.
func (v *view) revertBy(image string) string {
	for i := range v.Rollbacks {
		r := &v.Rollbacks[i]
		if r.Status.Question.Allows(v1alpha1.Approve) && !r.Status.Ended() && r.Spec.Subject.Name == image && v.concerns(r) {
			return "approve the revert: " + v.Program.Command("approve %s -n %s", r.Name, v.Namespace)
		}
	}
	return "revert it: " + v.Program.Command("revert %s/%s -n %s --push", kindArg(v.Workload.Kind), v.Workload.Name,
		v.Namespace)
}

// kindArg is a kind as the commands take it.
func kindArg(kind string) string {
	if k, ok := workload.Of(kind); ok {
		return k.Short()
	}
	return strings.ToLower(kind)
}
