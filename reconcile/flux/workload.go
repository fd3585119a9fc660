package flux

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile"
)

// maxActiveJobs is how many running Jobs of a CronJob are looked at.
const maxActiveJobs = 20

// workloadKind reports which kind a workload's name stands for, of those that every cluster has.
func workloadKind(kind string) (schema.GroupVersionKind, bool) {
	k, ok := workload.Of(kind)
	return k.GroupVersionKind, ok && k.Builtin()
}

func isGone(err error) bool { return apierrors.IsNotFound(err) }

// states reads every workload that failed.
func (f *Flux) states(ctx context.Context, out *reconcile.Rollout, p place, rb *v1alpha1.Rollback) error {
	containers := map[v1alpha1.Workload][]string{}
	var order []v1alpha1.Workload
	for _, fl := range rb.Status.Failures {
		w := v1alpha1.Workload{Kind: fl.Workload.Kind, Name: fl.Workload.Name}
		if containers[w] == nil {
			order = append(order, fl.Workload)
		}
		containers[w] = append(containers[w], fl.Container)
	}
	for _, w := range order {
		b := bad{image: rb.Spec.Subject.Image(), containers: containers[v1alpha1.Workload{Kind: w.Kind, Name: w.Name}]}
		st, err := f.state(ctx, p, refTo(w.Kind, rb.Namespace, w.Name), b)
		if err != nil {
			return err
		}
		st.Workload = w
		out.Workloads = append(out.Workloads, st)
	}
	return nil
}

// bad is an image that cannot run, empty for none, and the containers that were seen failing with it.
type bad struct {
	image      string
	containers []string
}

// in reports whether a template still names the image for one of the containers.
func (b bad) in(images map[string]string) bool {
	return b.image != "" && slices.ContainsFunc(b.containers, func(c string) bool { return images[c] == b.image })
}

// state reads one workload: what its template holds, and whether the rollout of that template is complete.
func (f *Flux) state(ctx context.Context, p place, ref v1alpha1.ObjectRef, b bad) (reconcile.WorkloadState, error) {
	var st reconcile.WorkloadState
	gvk, known := workloadKind(ref.Kind)
	if !known {
		if p.kustomization == nil {
			st.Says = fmt.Sprintf("%s cannot be read: no inventory says what it is", ref)
			return st, nil
		}
		entries, _ := p.inventory()
		if gvk, known = findKind(entries, ref.Namespace, ref.Kind, ref.Name); !known {
			st.Gone = true
			return st, nil
		}
	}
	obj := &unstructured.Unstructured{}
	obj.SetGroupVersionKind(gvk)
	err := f.get(ctx, ref, obj)
	why, refused := reconcile.AsRefusal(err)
	switch {
	case refused:
		st.Says = why
		return st, nil
	case isGone(err):
		st.Gone = true
		return st, nil
	case err != nil:
		return st, err
	}
	result, err := compute(obj)
	if err != nil {
		return st, fmt.Errorf("read the status of %s: %w", ref, err)
	}
	st.Images = workload.Images(obj)
	switch old := b.in(st.Images); {
	case old:
		st.Says = fmt.Sprintf("%s still names %s", ref, b.image)
	case result.Status != status.CurrentStatus:
		st.Says = fmt.Sprintf("%s: %s", ref, tell(result.Message))
	default:
		st.Complete = true
	}
	return st, f.advise(ctx, &st, obj, ref, b)
}

// compute tells how far a workload is. A Rollout of Argo says it by its phase, and has its generation as a text, which
// kstatus does not take.
func compute(obj *unstructured.Unstructured) (*status.Result, error) {
	if obj.GetKind() != workload.Rollout {
		return status.Compute(obj)
	}
	phase, _, _ := unstructured.NestedString(obj.Object, "status", "phase")
	seen, _, err := unstructured.NestedString(obj.Object, "status", "observedGeneration")
	message, _, _ := unstructured.NestedString(obj.Object, "status", "message")
	switch {
	case phase == "" || err != nil:
		return status.Compute(obj)
	case seen != fmt.Sprint(obj.GetGeneration()):
		return &status.Result{Status: status.InProgressStatus, Message: "its newest spec has not been looked at yet"}, nil
	case phase == "Healthy":
		return &status.Result{Status: status.CurrentStatus}, nil
	}
	return &status.Result{Status: status.InProgressStatus, Message: cmp.Or(message, phase)}, nil
}

// advise adds what kstatus does not know: pods and Jobs that keep the image although the template is good again.
func (f *Flux) advise(ctx context.Context, st *reconcile.WorkloadState, obj *unstructured.Unstructured,
	ref v1alpha1.ObjectRef, b bad,
) error {
	old := b.in(st.Images)
	switch ref.Kind {
	case workload.Deployment:
		if paused, _, _ := unstructured.NestedBool(obj.Object, "spec", "paused"); paused && !old && !st.Complete {
			st.Paused, st.Fix = true, fmt.Sprintf("kubectl -n %s rollout resume deployment %s", ref.Namespace, ref.Name)
			st.Says = fmt.Sprintf("%s is paused: %s", ref, st.Fix)
		}
	case workload.StatefulSet, workload.DaemonSet:
		if !old {
			return f.stuck(ctx, st, obj, ref)
		}
	case workload.CronJob:
		hint, err := f.runningJobs(ctx, obj, ref, b)
		st.Says = cmp.Or(hint, st.Says)
		return err
	case workload.Job:
		switch {
		case old:
			st.Says = fmt.Sprintf("%s keeps its image, for a Job's template cannot be changed: "+
				"kubectl -n %s delete job %s", ref, ref.Namespace, ref.Name)
		case st.Complete && !started(obj):
			st.Complete, st.Says = false, fmt.Sprintf("%s has not started a pod yet", ref)
		}
	}
	return nil
}

// started reports whether a Job has a pod that runs or ran. kstatus takes a Job for good as soon as it has begun.
func started(job *unstructured.Unstructured) bool {
	for _, field := range []string{"ready", "succeeded"} {
		if n, _, _ := unstructured.NestedInt64(job.Object, "status", field); n > 0 {
			return true
		}
	}
	return false
}

// stuck looks for pods that the controller never replaces by itself, although the template is good again: those of an
// ordered StatefulSet, which waits for each pod before it goes on to the next, and of an update strategy OnDelete.
func (f *Flux) stuck(ctx context.Context, st *reconcile.WorkloadState, obj *unstructured.Unstructured,
	ref v1alpha1.ObjectRef,
) error {
	policy, _, _ := unstructured.NestedString(obj.Object, "spec", "podManagementPolicy")
	strategy, _, _ := unstructured.NestedString(obj.Object, "spec", "updateStrategy", "type")
	observed, _, _ := unstructured.NestedInt64(obj.Object, "status", "observedGeneration")
	ordered := ref.Kind == workload.StatefulSet && policy != string(appsv1.ParallelPodManagement)
	byHand := strategy == string(appsv1.OnDeleteStatefulSetStrategyType)
	if !ordered && !byHand || observed != obj.GetGeneration() {
		return nil
	}
	pods, err := f.podsOf(ctx, ref, obj)
	if err != nil {
		return err
	}
	current, _, _ := unstructured.NestedString(obj.Object, "status", "updateRevision")
	for i := range pods {
		if outdated(&pods[i], current, st.Images) && (waitsForImage(&pods[i]) || crashes(&pods[i])) {
			st.Stuck = append(st.Stuck, reconcile.StuckPod{Name: pods[i].Name, UID: string(pods[i].UID)})
		}
	}
	if len(st.Stuck) > 0 {
		slices.SortFunc(st.Stuck, func(a, b reconcile.StuckPod) int { return strings.Compare(a.Name, b.Name) })
		st.Complete = false
		st.Fix = fmt.Sprintf("kubectl -n %s delete pod", ref.Namespace)
		for _, pod := range st.Stuck {
			st.Fix += " " + pod.Name
		}
		st.Says = fmt.Sprintf("%s is good again but does not replace a pod by itself that cannot start: %s", ref, st.Fix)
	}
	return nil
}

// outdated reports whether a pod was made from another template than the current one. A StatefulSet names the revision
// of its template in its status; a DaemonSet does not, so that there the images have to tell.
func outdated(pod *corev1.Pod, revision string, images map[string]string) bool {
	if revision != "" {
		return pod.Labels[appsv1.ControllerRevisionHashLabelKey] != revision
	}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if want, ok := images[c.Name]; ok && want != c.Image {
			return true
		}
	}
	return false
}

// podsOf lists the pods that an object controls.
func (f *Flux) podsOf(ctx context.Context, ref v1alpha1.ObjectRef, obj *unstructured.Unstructured,
) ([]corev1.Pod, error) {
	var out []corev1.Pod
	var selector metav1.LabelSelector
	raw, _, _ := unstructured.NestedMap(obj.Object, "spec", "selector")
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &selector)
	if err != nil {
		return nil, fmt.Errorf("read the selector of %s: %w", ref, err)
	}
	sel, err := metav1.LabelSelectorAsSelector(&selector)
	if err != nil {
		return nil, fmt.Errorf("read the selector of %s: %w", ref, err)
	}
	var list corev1.PodList
	if err := f.client.List(ctx, &list, client.InNamespace(ref.Namespace),
		client.MatchingLabelsSelector{Selector: sel}); err != nil {
		return nil, fmt.Errorf("list the pods of %s: %w", ref, err)
	}
	for _, pod := range list.Items {
		owner := metav1.GetControllerOf(&pod)
		if owner != nil && owner.UID == obj.GetUID() && pod.DeletionTimestamp.IsZero() {
			out = append(out, pod)
		}
	}
	return out, nil
}

// waitsForImage reports whether a pod is Pending because a container cannot have its image.
func waitsForImage(pod *corev1.Pod) bool {
	if pod.Status.Phase != corev1.PodPending {
		return false
	}
	return slices.ContainsFunc(slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses),
		func(c corev1.ContainerStatus) bool {
			if c.State.Waiting == nil {
				return false
			}
			switch c.State.Waiting.Reason {
			case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
				"RegistryUnavailable",
				"SignatureValidationFailed":
				return true
			}
			return false
		})
}

// crashes reports whether a container of a pod ends again and again, or cannot be started.
func crashes(pod *corev1.Pod) bool {
	return slices.ContainsFunc(slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses),
		func(c corev1.ContainerStatus) bool {
			if c.State.Waiting == nil {
				return false
			}
			switch c.State.Waiting.Reason {
			case "CrashLoopBackOff", "RunContainerError", "CreateContainerError", "CreateContainerConfigError":
				return true
			}
			return false
		})
}

// runningJobs reports which running Jobs of a CronJob keep the bad image, and how to end them. They do not keep the
// CronJob from being good again; a new Job gets the new template.
func (f *Flux) runningJobs(ctx context.Context, obj *unstructured.Unstructured, ref v1alpha1.ObjectRef, b bad,
) (string, error) {
	active, _, _ := unstructured.NestedSlice(obj.Object, "status", "active")
	var names []string
	for i, item := range active {
		if i == maxActiveJobs {
			break
		}
		r, _ := item.(map[string]any)
		name, _ := r["name"].(string)
		if name == "" {
			continue
		}
		job := &unstructured.Unstructured{}
		job.SetGroupVersionKind(batchv1.SchemeGroupVersion.WithKind(workload.Job))
		err := f.get(ctx, refTo(workload.Job, ref.Namespace, name), job)
		if _, refused := reconcile.AsRefusal(err); refused || isGone(err) {
			continue
		}
		if err != nil {
			return "", err
		}
		if b.in(workload.Images(job)) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "", nil
	}
	return fmt.Sprintf("%s still runs with the image that cannot be pulled: kubectl -n %s delete job %s", ref,
		ref.Namespace, strings.Join(names, " ")), nil
}
