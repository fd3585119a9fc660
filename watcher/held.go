package watcher

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/watcher/drift"
)

// holder is an object with a pod template, as it is now.
type holder struct {
	workload v1alpha1.Workload
	labels   map[string]string
	selector *metav1.LabelSelector
	// images of the template by container.
	images map[string]string
	// revision of the template: what pods made from it carry as a label, or a hash of it for a CronJob.
	revision string
	// controller is the owner of the object itself.
	controller *metav1.OwnerReference
	// pods that it has, of every revision, and how many of them are ready.
	pods, ready int32
	// completed is the ReplicaSet with which the last rollout was complete, as a Deployment says.
	completed string
	// suspects are containers whose image is not Flux's any more.
	suspects []drift.Container
	// preference is what it says about going back.
	preference reconcile.Preference
	// gone means that it does not exist, closed that Backstop may not read it or does not know its kind.
	gone, closed bool
}

func held(kind string, meta *metav1.ObjectMeta, t *corev1.PodTemplateSpec, s *metav1.LabelSelector) *holder {
	h := &holder{
		workload: v1alpha1.Workload{Kind: kind, Name: meta.Name, UID: meta.UID}, labels: meta.Labels, selector: s,
		images:     make(map[string]string, len(t.Spec.Containers)+len(t.Spec.InitContainers)),
		controller: metav1.GetControllerOf(meta), suspects: drift.Suspects(kind, meta, imagesOf(t)),
	}
	h.preference = preferenceOf(h.workload, meta, &t.Spec)
	for i := range t.Spec.InitContainers {
		h.images[t.Spec.InitContainers[i].Name] = t.Spec.InitContainers[i].Image
	}
	for i := range t.Spec.Containers {
		h.images[t.Spec.Containers[i].Name] = t.Spec.Containers[i].Image
	}
	for i := range t.Spec.Volumes {
		if v := &t.Spec.Volumes[i]; v.Image != nil {
			h.images[v1alpha1.ImageVolume(v.Name)] = v.Image.Reference
		}
	}
	return h
}

func heldDeployment(o *appsv1.Deployment) *holder {
	h := held("Deployment", &o.ObjectMeta, &o.Spec.Template, o.Spec.Selector)
	h.pods, h.ready = o.Status.Replicas, o.Status.ReadyReplicas
	h.completed = completedBy(o.Status.Conditions)
	return h
}

func heldReplicaSet(o *appsv1.ReplicaSet) *holder {
	h := held("ReplicaSet", &o.ObjectMeta, &o.Spec.Template, o.Spec.Selector)
	h.revision = o.Annotations[annotationRevision]
	h.pods, h.ready = o.Status.Replicas, o.Status.ReadyReplicas
	return h
}

func heldStatefulSet(o *appsv1.StatefulSet) *holder {
	h := held("StatefulSet", &o.ObjectMeta, &o.Spec.Template, o.Spec.Selector)
	h.revision = o.Status.UpdateRevision
	if len(o.Spec.VolumeClaimTemplates) > 0 && h.preference.Migrates == "" {
		h.preference.Migrates = h.workload.String() + " keeps data in volumes of its own"
	}
	h.pods, h.ready = o.Status.Replicas, o.Status.ReadyReplicas
	return h
}

func heldDaemonSet(o *appsv1.DaemonSet) *holder {
	h := held("DaemonSet", &o.ObjectMeta, &o.Spec.Template, o.Spec.Selector)
	h.revision = o.Annotations[appsv1.DeprecatedTemplateGeneration]
	h.pods, h.ready = o.Status.DesiredNumberScheduled, o.Status.NumberReady
	return h
}

// imagesOf lists the containers of a template with their images.
func imagesOf(t *corev1.PodTemplateSpec) []drift.Image {
	out := make([]drift.Image, 0, len(t.Spec.InitContainers)+len(t.Spec.Containers))
	for i := range t.Spec.InitContainers {
		out = append(out, drift.Image{Container: t.Spec.InitContainers[i].Name, Image: t.Spec.InitContainers[i].Image})
	}
	for i := range t.Spec.Containers {
		out = append(out, drift.Image{Container: t.Spec.Containers[i].Name, Image: t.Spec.Containers[i].Image})
	}
	return out
}

// hash tells templates apart. Each run of a CronJob has a Job of its own, so that a Job's UID would make a new
// revision of the same failure every few minutes.
func hash(t *corev1.PodTemplateSpec) string {
	sum := fnv.New32a()
	_ = json.NewEncoder(sum).Encode(t)
	return fmt.Sprintf("%08x", sum.Sum32())
}

// preferenceOf reads an object with a pod template.
func preferenceOf(w v1alpha1.Workload, meta *metav1.ObjectMeta, pod *corev1.PodSpec) reconcile.Preference {
	out := reconcile.Preference{
		Annotation: meta.Annotations[reconcile.RollbackAnnotation],
		// What Helm makes is Helm's to change: the mark is kustomize-controller's.
		LeftAlone: drift.LeftAlone(meta) && meta.Labels["helm.toolkit.fluxcd.io/name"] == "",
	}
	for i := range pod.InitContainers {
		if c := &pod.InitContainers[i]; migrates(c) {
			out.Migrates = fmt.Sprintf("%s has the init container %s, which looks like a migration of a database", w, c.Name)
			break
		}
	}
	return out
}

// migration matches the names of tools that change a database's schema, and common names of such a step.
var migration = regexp.MustCompile(`(?i)(?:^|[^a-z])(?:flyway|liquibase|alembic|sqitch|dbmate|golang-migrate|gh-ost|` +
	`(?:db|database|schema|sql)?[-_:]?migrat(?:e|es|or|ion|ions)|(?:db|schema)[-_:]?(?:upgrade|update))(?:[^a-z]|$)`)

// migrates reports whether a container looks like one that changes a database: by its name, its image, or its command.
func migrates(c *corev1.Container) bool {
	// Its registry and its tag say nothing of what an image does.
	if of, err := image.Parse(c.Image); migration.MatchString(c.Name) || err == nil && migration.MatchString(of.Path) {
		return true
	}
	for _, words := range [][]string{c.Command, c.Args} {
		for _, word := range words {
			if migration.MatchString(word) {
				return true
			}
		}
	}
	return false
}

// completedBy is the ReplicaSet that a Deployment names as the one its last rollout was complete with. Its conditions
// say so in words alone.
func completedBy(all []appsv1.DeploymentCondition) string {
	i := slices.IndexFunc(all, func(c appsv1.DeploymentCondition) bool {
		return c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionTrue &&
			c.Reason == "NewReplicaSetAvailable"
	})
	if i < 0 {
		return ""
	}
	_, rest, _ := strings.Cut(all[i].Message, `"`)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}

// annotationRevision counts the revisions of a Deployment. Its number tells a template that failed, was reverted and
// came again from the first time: the hash alone is the same.
const annotationRevision = "deployment.kubernetes.io/revision"
