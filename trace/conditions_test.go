package trace

import (
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// inTheCluster are conditions of the hops from the Kustomization on.
func inTheCluster() map[string]condition {
	applyFails := func(reason string) func(*Facts) {
		return func(f *Facts) { f.Chain.Kustomization.Status.Conditions = not(reason, "its words") }
	}
	releaseFails := func(reason string) func(*Facts) {
		return func(f *Facts) { helm(f).Status.Conditions = not(reason, "its words") }
	}
	waiting := func(reason, message string) func(*Facts) {
		return func(f *Facts) { f.Pods.All[0] = Pod{Name: "backend-1", Image: good, Reason: reason, Message: message} }
	}
	fetched := func(ago time.Duration) func(*Facts) {
		return func(f *Facts) {
			f.Git.Attempted = false
			f.Chain.Source.Git.Status.Artifact = &meta.Artifact{LastUpdateTime: before(ago)}
		}
	}
	changed := func(f *Facts, ago time.Duration) {
		r := helm(f)
		r.Generation, r.ManagedFields = 2, []metav1.ManagedFieldsEntry{{Time: new(before(ago))},
			{Time: new(before(0)), Subresource: "status"}}
	}
	rolling := func(change func(*Live)) func(*Facts) {
		return func(f *Facts) {
			f.Live.State.Complete, f.Live.State.Says = false, "1 of 3 updated"
			change(&f.Live)
		}
	}
	old := func(f *Facts, job string, stuck ...reconcile.StuckPod) {
		f.Live.State.Stuck = stuck
		f.Pods.All[0] = Pod{Name: "backend-0", Image: newer, Reason: "ErrImagePull", Job: job}
	}
	return map[string]condition{
		"the Kustomization is suspended":     {func(f *Facts) { f.Chain.Kustomization.Spec.Suspend = true }, HopApply, Blocked, "suspended", "flux -n flux-system resume kustomization production"},
		"the Kustomization is being deleted": {func(f *Facts) { f.Chain.Kustomization.DeletionTimestamp = new(before(0)) }, HopApply, Blocked, "being deleted", "kubectl -n flux-system get kustomization production"},
		"the Kustomization does not build":   {applyFails("BuildFailed"), HopApply, Blocked, "its words", "flux build kustomization production"},
		"the Kustomization does not build, and Backstop knows since when": {func(f *Facts) {
			applyFails("BuildFailed")(f)
			f.Told = []v1alpha1.Rollback{{Spec: v1alpha1.RollbackSpec{OpenedFor: v1alpha1.TriggerApply, Subject: v1alpha1.Subject{Kind: "Kustomization", Name: "production"}},
				Status: v1alpha1.RollbackStatus{Suspect: &v1alpha1.Suspect{Commit: "4be1c2d9a7f34be1", Branch: "main"},
					Outcome: &v1alpha1.Outcome{Result: v1alpha1.ResultReportedOnly}}}}
			f.Told[0].Namespace, f.Told[0].Name = "flux-system", "kustomization-production-1"
		}, HopApply, Blocked, "its words; Backstop blames 4be1c2d9a7f3 on main (rollback/kustomization-production-1)", "flux build kustomization production"},
		"the Kustomization depends on something": {func(f *Facts) {
			applyFails("DependencyNotReady")(f)
			f.Chain.Kustomization.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "infra"}}
		}, HopApply, Blocked, "DependencyNotReady", "flux -n flux-system get kustomization infra"},
		"the Kustomization is not healthy":      {applyFails("HealthCheckFailed"), HopApply, Blocked, "its words", "the hops below"},
		"the API server refuses an object":      {applyFails("ReconciliationFailed"), HopApply, Blocked, "its words", "correct the object"},
		"the Kustomization fails otherwise":     {applyFails("Unheard"), HopApply, Blocked, "its words", "mend what it says"},
		"the Kustomization has not applied it":  {func(f *Facts) { f.Git.Attempted, f.Chain.Waits = false, "it is busy" }, HopApply, Waits, "it is busy", ""},
		"the Kustomization has applied nothing": {func(f *Facts) { f.Chain.Attempted, f.Git.Suspect = "", nil }, HopApply, Waits, "nothing yet", ""},
		"the HelmRelease is suspended":          {func(f *Facts) { helm(f).Spec.Suspend = true }, HopRelease, Blocked, "suspended", "flux -n production resume helmrelease backend"},
		"the HelmRelease fails":                 {func(f *Facts) { helm(f).Status.Conditions = not("UpgradeFailed", "timed out") }, HopRelease, Blocked, "timed out", "flux -n production reconcile helmrelease backend --reset"},
		"the HelmRelease has not tried":         {func(f *Facts) { helm(f).Generation = 2 }, HopRelease, Waits, "newest values", ""},
		"the workload is not Flux's":            {func(f *Facts) { f.Chain, f.NotFlux = nil, "nobody applies it" }, HopApply, Blocked, "nobody applies it", "Kustomization"},
		"Flux's objects may not be read": {func(f *Facts) {
			f.Chain, f.Unread = nil, "you may not read Kustomization/flux-system/apps: ask for get on it"
		}, HopApply, Unknown, "you may not read Kustomization/flux-system/apps", ""},
		"the workload is gone":             {func(f *Facts) { f.Live.State.Gone = true }, HopWorkload, Blocked, "not exist", "Git"},
		"the workload was changed by hand": {changedByHand, HopWorkload, Blocked, "set by kubectl-set 5m ago; Git says production-v1.0.0-1700000000; Flux undoes that at about", "flux -n flux-system reconcile kustomization production; or write it to apps/production/backend.yaml:20"},
		"a change by hand has a Rollback":  {func(f *Facts) { changedByHand(f); drifting(f) }, HopWorkload, Blocked, "set by kubectl-set", "backstop approve backend-1f2e-1 -n production"},
		"a change by hand whose Rollback asks nothing yet": {func(f *Facts) {
			changedByHand(f)
			drifting(f)
			takes(f)
		}, HopWorkload, Blocked, "set by kubectl-set", "restore what Git says: flux -n flux-system reconcile "},
		"a change by hand that can only be restored": {func(f *Facts) {
			changedByHand(f)
			drifting(f)
			takes(f, v1alpha1.Reject)
		}, HopWorkload, Blocked, "set by kubectl-set", "restore what Git says: backstop reject backend-1f2e-1 -n production"},
		"a change by hand of a HelmRelease":      {func(f *Facts) { changedByHand(f); helm(f) }, HopWorkload, Blocked, "set by", "flux -n production reconcile helmrelease backend --force"},
		"it was changed, and Git cannot be read": {func(f *Facts) { changedByHand(f); f.Git = Git{Unread: "x"} }, HopWorkload, Blocked, "what Git says could not be read", "reconcile kustomization"},
		"Flux is told to leave the workload":     {func(f *Facts) { changedByHand(f); f.Live.Changed, f.Live.LeftAlone = nil, true }, HopWorkload, Blocked, "leave it alone", "annotation"},
		"something else changes the image":       {func(f *Facts) { f.Live.Image = newer }, HopWorkload, Blocked, "something between changes it", "webhooks"},
		"the rollout is paused": {func(f *Facts) {
			f.Live.State = reconcile.WorkloadState{Says: "D is paused: kubectl resume", Paused: true, Fix: "kubectl resume", Images: f.Live.State.Images}
		}, HopWorkload, Blocked, "paused", "kubectl resume"},
		"the CronJob is suspended": {func(f *Facts) { f.Workload.Kind, f.Live.Suspended = "CronJob", true }, HopWorkload, Blocked, "suspended", "kubectl -n production patch cronjob backend"},
		"an ordered pod is stuck": {func(f *Facts) {
			f.Live.State = reconcile.WorkloadState{Stuck: []reconcile.StuckPod{{Name: "a-0"}}, Fix: "kubectl -n production delete pod a-0", Says: "S is good again but does not replace a pod by itself that cannot start: kubectl -n production delete pod a-0"}
		}, HopWorkload, Blocked, "does not replace", "kubectl -n production delete pod a-0"},
		"the rollout is under way":                                     {func(f *Facts) { f.Live.State.Complete, f.Live.State.Says = false, "1 of 3 updated" }, HopWorkload, Waits, "1 of 3 updated", ""},
		"Git says another image by now":                                {func(f *Facts) { f.Git.Tip.Image = newer }, HopWorkload, Waits, "Git says production-v1.1.0-1700000100 by now", ""},
		"a pod cannot pull, and the kubelet says so at length":         {waiting("ImagePullBackOff", strings.Repeat("long ", 100)+"manifest unknown"), HopPods, Blocked, ": … long long", "push " + good},
		"a pod cannot pull, and the kubelet says why at the end of it": {waiting("ImagePullBackOff", strings.Repeat("long ", 100)+"manifest unknown"), HopPods, Blocked, "long manifest unknown", "push " + good},
		"a pod cannot pull":                                            {waiting("ErrImagePull", "manifest unknown"), HopPods, Blocked, "2 of 3 run", "backstop revert deploy/backend -n production --push"},
		"a pod cannot pull, and Backstop asks":                         {func(f *Facts) { waiting("ErrImagePull", "manifest unknown")(f); asking(f) }, HopPods, Blocked, "2 of 3 run", "backstop approve backend-1f2e-1 -n production"},
		"a pod may not pull":                                           {waiting("ErrImagePull", "401 Unauthorized"), HopPods, Blocked, "401", "imagePullSecrets"},
		"a pod crashes":                                                {waiting("CrashLoopBackOff", "back-off"), HopPods, Blocked, "CrashLoopBackOff", "logs backend-1 -c backend --previous"},
		"a pod lacks its configuration":                                {waiting("CreateContainerConfigError", "no ConfigMap"), HopPods, Blocked, "no ConfigMap", "kubectl -n production describe pod backend-1"},
		"a node is at fault":                                           {waiting("ImageInspectError", "disk"), HopPods, Blocked, "disk", "see what the node says"},
		"no node takes a pod":                                          {func(f *Facts) { f.Pods.All[0] = Pod{Name: "backend-1", Image: good, Unscheduled: "0/3 nodes"} }, HopPods, Blocked, "0/3 nodes", "describe pod backend-1"},
		"pods may not be listed":                                       {func(f *Facts) { f.Pods = Pods{Unread: "you may not"} }, HopPods, Unknown, "you may not", ""},
		"there are no pods":                                            {func(f *Facts) { f.Pods = Pods{} }, HopPods, None, "", ""},
		"an old pod is still there":                                    {func(f *Facts) { f.Pods.All[0].Image = newer }, HopPods, Waits, "others run production-v1.1.0-1700000100", ""},
		"a pod is not ready":                                           {func(f *Facts) { f.Pods.All[0].Ready = false }, HopPods, Waits, "not ready yet", ""},
		"the Kustomization should have applied it":                     {fetched(time.Hour), HopApply, Blocked, "though its source fetched that 60m ago", "flux -n flux-system reconcile kustomization production; if nothing happens: kubectl -n flux-system logs deploy/kustomize-controller"},
		"the source has fetched it just now":                           {fetched(time.Minute), HopApply, Waits, "does not hold 9a4f35c0aa5e yet", ""},
		"an object cannot be pruned":                                   {applyFails("PruneFailed"), HopApply, Blocked, "its words", "let the object that it names be deleted"},
		"the HelmRelease should have tried":                            {func(f *Facts) { changed(f, time.Hour) }, HopRelease, Blocked, "though they changed 60m ago", "flux -n production reconcile helmrelease backend; if nothing happens: kubectl -n flux-system logs deploy/helm-controller"},
		"the HelmRelease was changed just now":                         {func(f *Facts) { changed(f, time.Minute) }, HopRelease, Waits, "newest values", ""},
		"the HelmRelease is at work": {func(f *Facts) {
			changed(f, time.Hour)
			f.Chain.Release.Status.Conditions = []metav1.Condition{{Type: "Reconciling", Status: metav1.ConditionTrue, Reason: "Progressing"}}
		}, HopRelease, Waits, "newest values", ""},
		"the HelmRelease depends on something": {func(f *Facts) {
			releaseFails("DependencyNotReady")(f)
			f.Chain.Release.Spec.DependsOn = []meta.DependencyReference{{Name: "db"}}
		}, HopRelease, Blocked, "DependencyNotReady", "flux -n production get helmrelease db"},
		"the HelmRelease has no chart":     {releaseFails("SourceNotReady"), HopRelease, Blocked, "its words", "kubectl -n production get helmcharts"},
		"the API server refuses pods":      {rolling(func(l *Live) { l.Refused = "exceeded quota" }), HopWorkload, Blocked, "exceeded quota", "ResourceQuota"},
		"the rollout is past its deadline": {rolling(func(l *Live) { l.Late = "has timed out progressing" }), HopWorkload, Blocked, "has timed out progressing", "kubectl -n production describe deployment backend; or revert it"},
		"the deadline is a failing pod's": {func(f *Facts) {
			waiting("ErrImagePull", "manifest unknown")(f)
			rolling(func(l *Live) { l.Late = "has timed out progressing" })(f)
		}, HopWorkload, Waits, "1 of 3 updated", ""},
		"an older pod is stuck":                {func(f *Facts) { old(f, "", reconcile.StuckPod{Name: "backend-0"}) }, HopPods, Blocked, "still waits with production-v1.1.0-1700000100 (ErrImagePull)", "kubectl -n production delete pod backend-0"},
		"an older Job's pod is stuck":          {func(f *Facts) { old(f, "backend-29") }, HopPods, Blocked, "nobody replaces it", "kubectl -n production delete job backend-29"},
		"the last Job has failed":              {runs("Error, exit code 1", ""), HopPods, Blocked, "pod backend-2, the last of them, has failed (Error, exit code 1)", "kubectl -n production logs backend-2 -c backend; or revert it"},
		"a Job has failed before the last":     {runs("", "Error, exit code 1"), HopPods, Good, "", ""},
		"an older pod is about to be replaced": {func(f *Facts) { old(f, "") }, HopPods, Waits, "others run production-v1.1.0-1700000100", ""},
	}
}

// runs are the last run of a CronJob and the one before it, and how they failed.
func runs(last, before string) func(*Facts) {
	return func(f *Facts) {
		f.Workload.Kind = "CronJob"
		f.Pods.All = []Pod{
			{Name: "backend-2", Job: "backend-2", Image: good, Ready: last == "", Ended: last, Made: f.Now.Add(-time.Minute)},
			{Name: "backend-1", Job: "backend-1", Image: good, Ready: before == "", Ended: before, Made: f.Now.Add(-time.Hour)},
		}
	}
}
