package watcher

import (
	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsinformers "k8s.io/client-go/informers/apps/v1"
	batchinformers "k8s.io/client-go/informers/batch/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	workloads "github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// kinds lists everything that is watched, and what each change enqueues.
func (w *Watcher) kinds(c Clients) []kind {
	all := []kind{
		{name: kindPod, strip: slimPod, handler: w.podHandler(), inform: pendingPods(c.Core)},
		{name: kindInPlacePod, strip: slimPod, handler: w.podHandler(), inform: inPlacePods(c.Core)},
		{
			name: kindEvent, optional: true, strip: slimEvent, handler: w.eventHandler(kindPod),
			inform: eventsOf(c.Core, backOffSelector),
		},
		{
			name: kindJobEvent, optional: true, strip: slimEvent, handler: w.eventHandler(workloads.Job),
			inform: eventsOf(c.Core, failedJobSelector),
		},
		w.drifting("Deployment", builtin(c.Core, appsinformers.NewDeploymentInformer)),
		w.drifting("StatefulSet", builtin(c.Core, appsinformers.NewStatefulSetInformer)),
		w.drifting("DaemonSet", builtin(c.Core, appsinformers.NewDaemonSetInformer)),
		w.drifting(kindCronJob, builtin(c.Core, batchinformers.NewCronJobInformer)),
		{
			name: kindRollback, strip: readable[v1alpha1.Rollback](w.opts.Unreadable, kindRollback),
			indexers: rollbackIndexers(),
			handler:  wakeHandler(asked, w.wakeRollback),
			inform:   c.custom(v1alpha1.GroupVersion, "rollbacks", item[v1alpha1.Rollback]()),
		},
		{
			name: kindRollbackPolicy, strip: readable[v1alpha1.RollbackPolicy](w.opts.Unreadable, kindRollbackPolicy),
			handler: w.policyHandler(),
			inform:  c.custom(v1alpha1.GroupVersion, "rollbackpolicies", item[v1alpha1.RollbackPolicy]()),
		},
		w.flux(c, kindImagePolicy, imagev1.GroupVersion, "imagepolicies"),
		w.flux(c, "ImageUpdateAutomation", automationv1.GroupVersion, "imageupdateautomations"),
		w.flux(c, kindGitRepository, sourcev1.GroupVersion, "gitrepositories"),
		w.applying(c, "Kustomization", kustomizev1.GroupVersion, "kustomizations"),
		w.applying(c, "HelmRelease", helmv2.GroupVersion, "helmreleases"),
		w.canary(c, trigger.Flagger), w.canary(c, trigger.Argo),
	}
	// Namespaces are read for a fleet default's selector, which a tenant's Backstop does not have.
	if w.everywhere() {
		all = append(all, kind{
			name: kindNamespace, strip: labelled, handler: wakeHandler(relabelled, w.wakeNamespace),
			inform: func(string, cache.Indexers) (cache.SharedIndexInformer, error) {
				return coreinformers.NewNamespaceInformer(c.Core, 0, cache.Indexers{}), nil
			},
		})
	}
	for i := range all {
		k := &all[i]
		if k.strip == nil {
			k.strip = bare
		}
		if k.handler == nil {
			k.handler = wakeHandler(nil, w.wakeConcerned(k.name))
		}
	}
	return all
}

// drifting is a kind of workload that may be changed by hand. CronJobs are not waited for: until drift was looked for,
// Backstop did not need to watch them.
func (w *Watcher) drifting(name string, inform makeInformer) kind {
	return kind{
		name: name, optional: name == kindCronJob, strip: slimWorkload(name), handler: w.workloadHandler(name),
		inform: inform,
	}
}

// pendingPods asks the API server for Pending pods only: a pod that cannot pull an image stays Pending, and one that
// leaves the phase arrives as deleted.
func pendingPods(c kubernetes.Interface) makeInformer {
	return func(namespace string, ix cache.Indexers) (cache.SharedIndexInformer, error) {
		return coreinformers.NewFilteredPodInformer(c, namespace, 0, ix, func(o *metav1.ListOptions) {
			o.FieldSelector = pendingSelector
		}), nil
	}
}
