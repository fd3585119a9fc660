package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/internal/workload"
)

// forwardAfter is how long Flux is given to apply the landed revert by itself, once it could.
const forwardAfter = 3 * time.Second

// neverAhead is a reason not to fast-forward, and its sentence; empty where it does not hold.
type neverAhead func(w *World, a *Ahead, o *AheadWorkload) string

// nevers are the reasons that need no rendering, in the order in which they are said.
var nevers = []neverAhead{
	func(w *World, a *Ahead, _ *AheadWorkload) string {
		if a.Installed {
			return ""
		}
		return "the policy allows fast-forward, and Backstop has no right to it: " +
			"install deploy/kustomize/components/fast-forward"
	},
	func(w *World, a *Ahead, _ *AheadWorkload) string {
		if a.OptedIn {
			return ""
		}
		return "namespace " + w.Rollback.Namespace + " does not allow it: label it " +
			FastForwardLabel + "=" + FastForwardAllowed
	},
	neverElsewhere,
	func(_ *World, a *Ahead, _ *AheadWorkload) string {
		if len(a.Suspended) == 0 {
			return ""
		}
		return a.Suspended[0].String() + " is suspended: somebody is at work there"
	},
	func(_ *World, a *Ahead, _ *AheadWorkload) string {
		return saysIf(a.Remote, "it is applied to another cluster (spec.kubeConfig)")
	},
	neverDependents,
	neverRelease,
	func(w *World, _ *Ahead, o *AheadWorkload) string {
		switch o.Workload.Kind {
		case workload.Deployment, workload.DaemonSet:
			return ""
		case workload.StatefulSet:
			return saysIf(o.Ordered && !w.DeletesPods, "a StatefulSet keeps the pod that cannot start: "+
				"install deploy/kustomize/components/unstick too")
		}
		return "only Deployments, DaemonSets and StatefulSets are fast-forwarded"
	},
	func(_ *World, _ *Ahead, o *AheadWorkload) string {
		if o.LeftAlone == "" {
			return ""
		}
		return "Flux is told to leave it alone (" + o.LeftAlone + ")"
	},
	func(_ *World, _ *Ahead, o *AheadWorkload) string {
		return saysIf(o.Paused, "its rollout is paused: somebody is at work there")
	},
	func(_ *World, _ *Ahead, o *AheadWorkload) string {
		return saysIf(o.ByHand, "its pods are replaced by hand (OnDelete)")
	},
	func(_ *World, _ *Ahead, o *AheadWorkload) string {
		return saysIf(o.Partition, "its rollout stops at a partition")
	},
	func(_ *World, _ *Ahead, o *AheadWorkload) string {
		if o.Canary == "" {
			return ""
		}
		return o.Canary + " decides what runs there"
	},
}

// neverAsRendered are the reasons for which what Git says has to be rendered.
var neverAsRendered = []neverAhead{
	neverImages,
	func(_ *World, _ *Ahead, o *AheadWorkload) string { return o.Differs },
}

func saysIf(so bool, sentence string) string {
	if so {
		return sentence
	}
	return ""
}

// neverElsewhere: the check that runs, and all that was asked of Flux, is that of what applies the suspect's workload.
func neverElsewhere(w *World, _ *Ahead, o *AheadWorkload) string {
	if o.Elsewhere == "" {
		return ""
	}
	return o.Elsewhere + ": only what " + w.Rollback.Status.Suspect.Reconciler.String() + " applies is fast-forwarded"
}

// neverDependents: what waits for a green check must not take the bad revision's for one.
func neverDependents(_ *World, a *Ahead, _ *AheadWorkload) string {
	for _, d := range a.Dependents {
		switch {
		case d.Expr:
			return d.Object.String() + " depends on it by an expression of its own (readyExpr)"
		case d.OtherSource:
			return d.Object.String() + " depends on it, and is deployed from another source"
		}
	}
	return ""
}

// neverRelease: Helm stores the bad release as deployed, and runs what comes after an upgrade.
func neverRelease(_ *World, a *Ahead, _ *AheadWorkload) string {
	r := a.Release
	switch {
	case r == nil:
		return ""
	case !r.OptedIn:
		return r.Object.String() + " does not allow it: annotate it " + FastForwardLabel + "=" + FastForwardAllowed
	case !r.NoHooks:
		return "hooks of its chart would run for the bad release: only with spec.upgrade.disableHooks of " +
			r.Object.String() + " it is known that none do"
	case r.Tests:
		return "the tests of its chart would run for the bad release"
	case r.Drift:
		return r.Object.String() + " corrects drift, and would put the bad image back"
	}
	return ""
}

// neverImages: exactly the image that Git says, of the same repository, in place of the one that was reverted.
func neverImages(w *World, _ *Ahead, o *AheadWorkload) string {
	for _, c := range o.Containers {
		switch {
		case c.Want == "":
			return "what Git says for container " + c.Name + " cannot be told"
		case image.SameTag(c.Want, w.Rollback.Spec.Subject.Name):
			return "Git says " + c.Want + " again"
		case w.Rollback.Status.Target == nil || !image.SameTag(c.Want, w.Rollback.Status.Target.Image):
			return "Git says " + c.Want + " by now, and not what was gone back to"
		case !image.SameRepository(c.Live, c.Want):
			return fmt.Sprintf("it has %s, and Git says %s of another repository", c.Live, c.Want)
		}
	}
	return ""
}

// nextForward says which workload is to be set ahead of Flux, if one is. Otherwise it says how long it is until one
// may be; zero for never, as it looks now.
func nextForward(w *World) (*Forward, time.Duration) {
	a := w.Ahead
	if a == nil || !a.Held || !w.Policy.FastForward || w.Rollback.Status.Change == nil {
		return nil, 0
	}
	var open *Forward
	for i := range a.Workloads {
		o := &a.Workloads[i]
		if o.Gone || len(o.Containers) == 0 || settledAhead(&w.Rollback.Status, o, a.Checked) {
			continue
		}
		f := &Forward{Workload: *o, Checked: a.Checked, Refused: whyNot(nevers, w, a, o)}
		if a.Release != nil {
			f.Release = &a.Release.Object
		}
		if f.Refused != "" && saidAhead(&w.Rollback.Status, o, f.Refused) {
			continue
		}
		open = f
		break
	}
	if open == nil || len(w.Rollback.Status.FastForward)+max(1, len(open.Workload.Containers)) > v1alpha1.MaxFastForwards {
		return nil, 0
	}
	if rest := a.Since.Add(forwardAfter).Sub(w.Now); rest > 0 {
		return nil, rest
	}
	return open, 0
}

// whyNot is the first reason that holds.
func whyNot(of []neverAhead, w *World, a *Ahead, o *AheadWorkload) string {
	for _, n := range of {
		if why := n(w, a, o); why != "" {
			return why
		}
	}
	return ""
}

// settledAhead reports that a workload was set once: what somebody made of it since is theirs. One that was refused for
// what Git says, or by the server, is not tried again while the same revision is checked.
func settledAhead(s *v1alpha1.RollbackStatus, o *AheadWorkload, checked string) bool {
	for i := range s.FastForward {
		f := &s.FastForward[i]
		refused := f.Revision != "" && f.Revision == cut(checked, forwardText)
		if f.Workload == o.Workload && (f.Result == v1alpha1.FastForwardApplied || refused) {
			return true
		}
	}
	return false
}

// saidAhead reports that it is written down already why a workload is not set.
func saidAhead(s *v1alpha1.RollbackStatus, o *AheadWorkload, why string) bool {
	for i := range s.FastForward {
		f := &s.FastForward[i]
		if f.Result == v1alpha1.FastForwardRefused && f.Workload == o.Workload && f.Message == cut(why, forwardText) {
			return true
		}
	}
	return false
}

// aheadOf reports whether a workload was set ahead of Flux, so that its stuck pods may go before Flux applies anything.
func aheadOf(s *v1alpha1.RollbackStatus, of v1alpha1.Workload) bool {
	for i := range s.FastForward {
		f := &s.FastForward[i]
		if f.Result == v1alpha1.FastForwardApplied && f.Workload.Kind == of.Kind && f.Workload.Name == of.Name {
			return true
		}
	}
	return false
}

// disown is an entry whose mark on a workload is to be taken away again, now that all is verified: Helm leaves it.
func disown(s *v1alpha1.RollbackStatus) *v1alpha1.FastForward {
	for i := range s.FastForward {
		if f := &s.FastForward[i]; f.Result == v1alpha1.FastForwardApplied && f.Release != nil && !f.Disowned {
			return f
		}
	}
	return nil
}

// aheadIs describes what runs by a fast-forward, and what Flux will say of it; empty for none.
func aheadIs(s *v1alpha1.RollbackStatus) string {
	names, revision := setAhead(s)
	if names == "" {
		return ""
	}
	return fmt.Sprintf("%s has %s again, set ahead of Flux; Flux will report %s green, which is not so, and then apply "+
		"the revert", names, s.Target.Image, revision)
}

// aheadWas says afterwards what Flux reported green and was not; empty for nothing.
func aheadWas(s *v1alpha1.RollbackStatus) string {
	names, revision := setAhead(s)
	if names == "" {
		return ""
	}
	return fmt.Sprintf("%s was set ahead of Flux, which reported %s green although it never was", names, revision)
}

// setAhead names the workloads that were set, and the revision whose check passed by it.
func setAhead(s *v1alpha1.RollbackStatus) (names, revision string) {
	var all []string
	for i := range s.FastForward {
		f := &s.FastForward[i]
		if name := f.Workload.String(); f.Result == v1alpha1.FastForwardApplied && !slices.Contains(all, name) {
			all, revision = append(all, name), f.Revision
		}
	}
	if len(all) > 3 {
		all = append(all[:3], fmt.Sprintf("%d more", len(all)-3))
	}
	if branch, hash, ok := strings.Cut(revision, "@sha1:"); ok {
		revision = branch + "@" + text.Short(hash)
	}
	return strings.Join(all, ", "), revision
}
