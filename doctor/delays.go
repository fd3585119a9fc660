package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
)

// tolerable is how long a wait is that nobody has to do anything about.
const tolerable = time.Minute

// delays describes what would slow a rollback down.
func (f *Facts) delays(w *Workload) []Check {
	out := []Check{f.health(w)}
	if r := w.Chain.Release; r != nil && !r.GetUpgrade().DisableWait && r.GetTimeout().Duration > 5*time.Minute &&
		!isOn(f.HelmCancels) {
		out = append(out, bad(CheckHealth, w.Chain.Reconciler.String(), fmt.Sprintf(
			"an upgrade waits up to %s before it gives up", reconcile.ShortDuration(r.GetTimeout().Duration)),
			"set spec.timeout: 5m, or less, or run helm-controller with --feature-gates="+gate+"=true (deploy/flux)"))
	}
	for _, d := range w.DependsOn {
		waits := "the " + d.Ref.Kind + " waits for it"
		switch {
		case d.Unread != "":
			out = append(out, unread(CheckDepends, d.Ref.String(), d.Unread))
		case d.Suspended:
			out = append(out, bad(CheckDepends, d.Ref.String(), waits+", and it is suspended", flux.Resume(d.Ref)))
		case d.Why != "":
			out = append(out, bad(CheckDepends, d.Ref.String(), waits+", and it is not ready: "+d.Why,
				"mend it: flux -n "+d.Ref.Namespace+" get "+strings.ToLower(d.Ref.Kind)+" "+d.Ref.Name))
		case d.Wait > tolerable && (f.Cancels == nil || !*f.Cancels):
			out = append(out, bad(CheckDepends, d.Ref.String(), fmt.Sprintf(
				"%s, and its health checks take up to %s", waits, reconcile.ShortDuration(d.Wait)), cancelFix))
		default:
			out = append(out, fine(CheckDepends, d.Ref.String(), "is ready"))
		}
	}
	switch {
	case !w.Ordered && !w.OnDelete:
	case w.MayDelete != nil && *w.MayDelete && f.Sidecar.flagOf("unstick") == "true":
		out = append(out, fine(CheckOrdered, "", "its pods are not replaced by themselves; Backstop deletes those that wait"))
	case w.Ordered:
		out = append(out, bad(CheckOrdered, "", "a pod of an ordered StatefulSet that waits for a bad image is not replaced "+
			"when the template is good again", "use deploy/kustomize/components/unstick (--unstick), or create it with "+
			"spec.podManagementPolicy: Parallel"))
	default:
		out = append(out, bad(CheckOrdered, "", "its update strategy OnDelete replaces no pod by itself",
			"use deploy/kustomize/components/unstick (--unstick), or set spec.updateStrategy.type: RollingUpdate"))
	}
	return out
}

const cancelFix = "run kustomize-controller with --feature-gates=CancelHealthCheckOnNewRevision=true (deploy/flux), " +
	"or set spec.timeout: 1m"

// health reports how long a health check of the bad revision would hold the revert up.
func (f *Facts) health(w *Workload) Check {
	k := w.Chain.Kustomization
	at := "Kustomization/" + k.Namespace + "/" + k.Name
	wait, by := flux.HealthWait(k)
	switch {
	case wait == 0:
		return fine(CheckHealth, at, "no health checks: a revert waits for nothing")
	case f.Cancels != nil && *f.Cancels:
		return fine(CheckHealth, at, "%s of up to %s, which a new revision cancels", by, reconcile.ShortDuration(wait))
	case wait <= tolerable:
		return fine(CheckHealth, at, "%s: a revert waits %s at the longest", by, reconcile.ShortDuration(wait))
	case f.Cancels == nil:
		return unread(CheckHealth, at, fmt.Sprintf("%s makes a revert wait up to %s, unless kustomize-controller runs with "+
			"CancelHealthCheckOnNewRevision, which could not be read", by, reconcile.ShortDuration(wait)))
	}
	return bad(CheckHealth, at, fmt.Sprintf("%s makes a revert wait up to %s: nothing is applied before the check of "+
		"the bad revision ends", by, reconcile.ShortDuration(wait)), cancelFix)
}
