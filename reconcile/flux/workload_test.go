package flux

import (
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

const goodImage = "localhost:5000/backend:develop-v1.0.0-1700000001"

func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "backend", Image: image}}}}
}

func named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "develop", Name: name, UID: types.UID(name), Generation: 2}
}

// ordered is a StatefulSet whose template is good again, while one of its pods was made from the bad one.
func ordered() *appsv1.StatefulSet {
	two := int32(2)
	s := &appsv1.StatefulSet{ObjectMeta: named("db")}
	s.Spec.Replicas = &two
	s.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}
	s.Spec.Template = template(goodImage)
	s.Status = appsv1.StatefulSetStatus{
		ObservedGeneration: 2, Replicas: 2, ReadyReplicas: 1, CurrentReplicas: 1, CurrentRevision: "db-good",
		UpdateRevision: "db-good",
	}
	return s
}

// podOf is a pod of a workload that waits for the bad image.
func podOf(kind, owner, name, revision string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: named(name)}
	p.UID, p.Labels = types.UID(name+"-uid"), map[string]string{"app": owner, "controller-revision-hash": revision}
	p.OwnerReferences = controlledBy(kind, owner)
	p.OwnerReferences[0].UID = types.UID(owner)
	p.Spec = template(badImage).Spec
	p.Status.Phase = corev1.PodPending
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name:  "backend",
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}},
	}}
	return p
}

func job(name, image string) *batchv1.Job {
	j := &batchv1.Job{ObjectMeta: named(name)}
	j.Spec.Template = template(image)
	return j
}

func cronJob(image string, active ...string) *batchv1.CronJob {
	c := &batchv1.CronJob{ObjectMeta: named("nightly")}
	c.Spec.JobTemplate.Spec.Template = template(image)
	for _, a := range active {
		c.Status.Active = append(c.Status.Active, corev1.ObjectReference{Kind: "Job", Namespace: "develop", Name: a})
	}
	return c
}

func TestWorkloadState(t *testing.T) {
	const deletePod = "StatefulSet/develop/db is good again but does not replace a pod by itself that cannot start: " +
		"kubectl -n develop delete pod db-1"
	deployed := func(change func(d *appsv1.Deployment)) func(s *scene) {
		return func(s *scene) {
			s.deployment.Spec.Template.Spec.Containers[0].Image = goodImage
			change(s.deployment)
		}
	}
	db, nightly := v1alpha1.Workload{Kind: "StatefulSet", Name: "db"}, v1alpha1.Workload{Kind: "CronJob",
		Name: "nightly"}
	migrate, agent := v1alpha1.Workload{Kind: "Job", Name: "migrate"}, v1alpha1.Workload{Kind: "DaemonSet",
		Name: "agent"}
	good, bad := map[string]string{"backend": goodImage}, map[string]string{"backend": badImage}
	with := func(objects ...client.Object) func(s *scene) {
		return func(s *scene) { s.more = append(s.more, objects...) }
	}
	sts := func(change func(s *appsv1.StatefulSet), pods ...*corev1.Pod) func(s *scene) {
		set := ordered()
		change(set)
		objects := []client.Object{set}
		for _, p := range pods {
			objects = append(objects, p)
		}
		return with(objects...)
	}
	stuck := podOf("StatefulSet", "db", "db-1", "db-bad")
	for _, c := range []struct {
		name     string
		workload v1alpha1.Workload
		scene    func(s *scene)
		want     reconcile.WorkloadState
	}{
		{"a Deployment that is complete", backend, deployed(func(*appsv1.Deployment) {}),
			reconcile.WorkloadState{Images: good, Complete: true}},
		{"a Deployment that is complete on the bad image", backend, deployed(func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.Containers[0].Image = badImage
		}), reconcile.WorkloadState{Images: bad, Says: "Deployment/develop/backend still names " + badImage}},
		{"a Deployment whose template was not observed yet", backend,
			deployed(func(d *appsv1.Deployment) { d.Generation = 3 }),
			reconcile.WorkloadState{Images: good,
				Says: "Deployment/develop/backend: Deployment generation is 3, but latest observed generation is 2"}},
		{"a Deployment with an old pod left", backend, deployed(func(d *appsv1.Deployment) { d.Status.Replicas = 3 }),
			reconcile.WorkloadState{Images: good, Says: "Deployment/develop/backend: Pending termination: 1"}},
		{"a Deployment that is paused", backend, deployed(func(d *appsv1.Deployment) {
			d.Spec.Paused, d.Status.UpdatedReplicas = true, 0
		}), reconcile.WorkloadState{Images: good,
			Says:   "Deployment/develop/backend is paused: kubectl -n develop rollout resume deployment backend",
			Paused: true, Fix: "kubectl -n develop rollout resume deployment backend"}},
		{"a Deployment with an init container", backend, deployed(func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.InitContainers = []corev1.Container{{Name: "setup", Image: "busybox"}}
		}), reconcile.WorkloadState{Images: map[string]string{"backend": goodImage, "setup": "busybox"},
			Complete: true}},
		{"a Deployment that is gone", backend, func(s *scene) { s.deployment = nil },
			reconcile.WorkloadState{Gone: true}},
		{"a Deployment that may not be read", backend, func(s *scene) { s.forbidden["Deployment"] = true },
			reconcile.WorkloadState{Says: "Backstop may not read Deployment/develop/backend: give its ServiceAccount " +
				"get on it in " +
				"namespace develop"}},
		{"an ordered StatefulSet with a stuck pod", db, sts(func(*appsv1.StatefulSet) {}, stuck),
			reconcile.WorkloadState{Images: good, Says: deletePod, Fix: "kubectl -n develop delete pod db-1", Stuck: []reconcile.StuckPod{{Name: "db-1", UID: "db-1-uid"}}}},
		{"a StatefulSet with a stuck pod, whose template was not observed yet", db,
			sts(func(s *appsv1.StatefulSet) { s.Generation = 3 }, stuck), reconcile.WorkloadState{Images: good,
				Says: "StatefulSet/develop/db: StatefulSet generation is 3, but latest observed generation is 2"}},
		{"a StatefulSet whose template is still bad", db,
			sts(func(s *appsv1.StatefulSet) { s.Spec.Template = template(badImage) }, stuck),
			reconcile.WorkloadState{Images: bad, Says: "StatefulSet/develop/db still names " + badImage}},
		{"a parallel StatefulSet moves on by itself", db,
			sts(func(s *appsv1.StatefulSet) { s.Spec.PodManagementPolicy = "Parallel" }, stuck),
			reconcile.WorkloadState{Images: good, Says: "StatefulSet/develop/db: Ready: 1/2"}},
		{"a StatefulSet whose pods are replaced by hand", db, sts(func(s *appsv1.StatefulSet) {
			s.Spec.PodManagementPolicy, s.Spec.UpdateStrategy.Type = "Parallel", "OnDelete"
		}, stuck), reconcile.WorkloadState{Images: good, Says: deletePod, Fix: "kubectl -n develop delete pod db-1", Stuck: []reconcile.StuckPod{{Name: "db-1", UID: "db-1-uid"}}}},
		{"a pod of the good template is not stuck", db,
			sts(func(*appsv1.StatefulSet) {}, podOf("StatefulSet", "db", "db-1", "db-good")),
			reconcile.WorkloadState{Images: good, Says: "StatefulSet/develop/db: Ready: 1/2"}},
		{"a pod that waits for something else is not stuck", db, sts(func(*appsv1.StatefulSet) {}, func() *corev1.Pod {
			p := podOf("StatefulSet", "db", "db-1", "db-bad")
			p.Status.ContainerStatuses[0].State.Waiting.Reason = "ContainerCreating"
			return p
		}()), reconcile.WorkloadState{Images: good, Says: "StatefulSet/develop/db: Ready: 1/2"}},
		{"a pod that runs is not stuck", db, sts(func(*appsv1.StatefulSet) {}, func() *corev1.Pod {
			p := podOf("StatefulSet", "db", "db-1", "db-bad")
			p.Status.Phase = corev1.PodRunning
			return p
		}()), reconcile.WorkloadState{Images: good, Says: "StatefulSet/develop/db: Ready: 1/2"}},
		{"somebody else's pod with the same labels is not stuck", db, sts(func(*appsv1.StatefulSet) {},
			func() *corev1.Pod {
				p := podOf("StatefulSet", "db", "db-1", "db-bad")
				p.OwnerReferences[0].UID = "other"
				return p
			}()), reconcile.WorkloadState{Images: good, Says: "StatefulSet/develop/db: Ready: 1/2"}},
		{"a pod that is being deleted is not stuck", db, sts(func(*appsv1.StatefulSet) {}, func() *corev1.Pod {
			p := podOf("StatefulSet", "db", "db-1", "db-bad")
			now := metav1.Now()
			p.DeletionTimestamp, p.Finalizers = &now, []string{"example.com/wait"}
			return p
		}()), reconcile.WorkloadState{Images: good, Says: "StatefulSet/develop/db: Ready: 1/2"}},
		{"a DaemonSet whose pods are replaced by hand", agent, with(func() *appsv1.DaemonSet {
			d := &appsv1.DaemonSet{ObjectMeta: named("agent")}
			d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "agent"}}
			d.Spec.Template, d.Spec.UpdateStrategy.Type = template(goodImage), "OnDelete"
			d.Status = appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 1,
				CurrentNumberScheduled: 1}
			return d
		}(), podOf("DaemonSet", "agent", "agent-x", "bad")), reconcile.WorkloadState{Images: good,
			Stuck: []reconcile.StuckPod{{Name: "agent-x", UID: "agent-x-uid"}},
			Fix:   "kubectl -n develop delete pod agent-x",
			Says: "DaemonSet/develop/agent is good again but does not replace a pod by itself that cannot start: " +
				"kubectl -n develop delete pod agent-x"}},
		{"a CronJob whose template is good", nightly, with(cronJob(goodImage)), reconcile.WorkloadState{Images: good,
			Complete: true}},
		{"a CronJob whose template is bad", nightly, with(cronJob(badImage)), reconcile.WorkloadState{Images: bad,
			Says: "CronJob/develop/nightly still names " + badImage}},
		{"a CronJob with a Job that keeps the image", nightly,
			with(cronJob(goodImage, "nightly-1", "nightly-2", "gone"), job("nightly-1", badImage), job("nightly-2",
				goodImage)),
			reconcile.WorkloadState{Images: good, Complete: true,
				Says: "CronJob/develop/nightly still runs with the image that cannot be pulled: kubectl -n develop " +
					"delete job nightly-1"}},
		{"a Job keeps its image", migrate, with(job("migrate", badImage)), reconcile.WorkloadState{Images: bad,
			Says: "Job/develop/migrate keeps its image, for a Job's template cannot be changed: kubectl -n develop " +
				"delete job migrate"}},
		{"a Job that was made anew and has not started", migrate, with(func() client.Object {
			j := job("migrate", goodImage)
			now := metav1.Now()
			j.Status.StartTime = &now
			return j
		}()), reconcile.WorkloadState{Images: good, Says: "Job/develop/migrate has not started a pod yet"}},
		{"a Job that was made anew and runs", migrate, with(func() client.Object {
			j := job("migrate", goodImage)
			now, one := metav1.Now(), int32(1)
			j.Status.StartTime, j.Status.Ready = &now, &one
			return j
		}()), reconcile.WorkloadState{Images: good, Complete: true}},
		{"a kind that no inventory knows any more is gone", v1alpha1.Workload{Kind: "Rollout", Name: "web"},
			func(*scene) {},
			reconcile.WorkloadState{Gone: true}},
		{"a kind that the inventory knows", v1alpha1.Workload{Kind: "Rollout", Name: "web"}, func(s *scene) {
			s.k.Status.Inventory.Entries = append(s.k.Status.Inventory.Entries,
				kustomizev1.ResourceRef{ID: "develop_web_argoproj.io_Rollout", Version: "v1alpha1"})
			s.more = append(s.more, &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
				"metadata": map[string]any{"namespace": "develop", "name": "web"},
				"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{
					map[string]any{"name": "backend", "image": goodImage}, "rubbish", map[string]any{"name": int64(1)},
				}}}},
			}})
		}, reconcile.WorkloadState{Images: good, Complete: true}},
		{"a Rollout that is healthy with its newest spec", v1alpha1.Workload{Kind: "Rollout", Name: "web"},
			argo("Healthy", "3", ""), reconcile.WorkloadState{Images: good, Complete: true}},
		{"a Rollout that has not looked at its newest spec", v1alpha1.Workload{Kind: "Rollout", Name: "web"},
			argo("Healthy", "2", ""), reconcile.WorkloadState{Images: good,
				Says: "Rollout/develop/web: its newest spec has not been looked at yet"}},
		{"a Rollout that is on its way", v1alpha1.Workload{Kind: "Rollout", Name: "web"},
			argo("Progressing", "3", "more replicas need to be updated"), reconcile.WorkloadState{Images: good,
				Says: "Rollout/develop/web: more replicas need to be updated"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := captured(t)
			c.scene(s)
			got, err := s.flux(t).Rollout(t.Context(), landed(sha, c.workload), descends())
			if err != nil {
				t.Fatal(err)
			}
			c.want.Workload = c.workload
			if diff := cmp.Diff([]reconcile.WorkloadState{c.want}, got.Workloads); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEveryWorkloadIsReadOnce(t *testing.T) {
	s := captured(t)
	rb := landed(sha, backend, backend, v1alpha1.Workload{Kind: "StatefulSet", Name: "db"})
	rb.Status.Failures[1].Container = "sidecar"
	rb.Status.Failures[1].Workload.UID = "recreated"
	got, err := s.flux(t).Rollout(t.Context(), rb, descends())
	if err != nil || len(got.Workloads) != 2 {
		t.Fatalf("got %+v, %v", got.Workloads, err)
	}
	if !got.Workloads[1].Gone || strings.Contains(got.Workloads[0].Says, "db") {
		t.Errorf("got %+v", got.Workloads)
	}
}

// argo is a Rollout of Argo Rollouts, whose generation is 3.
func argo(phase, observed, message string) func(*scene) {
	return func(s *scene) {
		s.k.Status.Inventory.Entries = append(s.k.Status.Inventory.Entries,
			kustomizev1.ResourceRef{ID: "develop_web_argoproj.io_Rollout", Version: "v1alpha1"})
		s.more = append(s.more, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
			"metadata": map[string]any{"namespace": "develop", "name": "web", "generation": int64(3)},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{
				map[string]any{"name": "backend", "image": goodImage},
			}}}},
			"status": map[string]any{"phase": phase, "observedGeneration": observed, "message": message},
		}})
	}
}
