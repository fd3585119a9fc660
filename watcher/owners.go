package watcher

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	kinds "github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// look is one live look at a namespace. Each owner and node is read at most once in it.
type look struct {
	client    kubernetes.Interface
	namespace string
	holders   map[string]*holder
	// listing is a list of the namespace that the look goes by; nil where each object is read by itself.
	listing *listing
}

func newLook(client kubernetes.Interface, namespace string) *look {
	return &look{client: client, namespace: namespace, holders: map[string]*holder{}}
}

// read gets an owner. Kinds of other groups may have the names of built-in ones, so the group counts.
func (l *look) read(ctx context.Context, ref *metav1.OwnerReference) (*holder, error) {
	if group, _, _ := strings.Cut(ref.APIVersion, "/"); group != groupOf(ref.Kind) {
		return &holder{closed: true}, nil
	}
	h, err := l.get(ctx, ref.Kind, ref.Name)
	if err != nil {
		return nil, err
	}
	// An owner of the same name that was made anew is not the one that made the pod.
	if !h.gone && !h.closed && ref.UID != "" && h.workload.UID != ref.UID {
		return &holder{gone: true}, nil
	}
	return h, nil
}

// groupOf is the API group of the kinds that hold pod templates; no group has the name "?".
func groupOf(kind string) string {
	if k, ok := kinds.Of(kind); ok && k.Builtin() {
		return k.Group
	}
	return "?"
}

// listed is what the list has of a workload; nil if it has nothing, or no list was made.
func (l *look) listed(kind, name string) *holder {
	switch {
	case l.listing == nil:
	case kind == "Deployment" && l.listing.deployments[name] != nil:
		return heldDeployment(l.listing.deployments[name])
	case kind == "ReplicaSet" && l.listing.replicaSets[name] != nil:
		return heldReplicaSet(l.listing.replicaSets[name])
	}
	return nil
}

// get reads a built-in object with a pod template by kind and name.
func (l *look) get(ctx context.Context, kind, name string) (*holder, error) {
	id := kind + "/" + name
	if h, ok := l.holders[id]; ok {
		return h, nil
	}
	if h := l.listed(kind, name); h != nil {
		l.holders[id] = h
		return h, nil
	}
	h, err := l.fetch(ctx, kind, name)
	switch {
	case apierrors.IsNotFound(err):
		h = &holder{gone: true}
	case apierrors.IsForbidden(err):
		h = &holder{closed: true}
	case err != nil:
		return nil, fmt.Errorf("read %s %s/%s: %w", kind, l.namespace, name, err)
	}
	l.holders[id] = h
	return h, nil
}

func (l *look) fetch(ctx context.Context, kind, name string) (*holder, error) {
	apps, batch, live := l.client.AppsV1(), l.client.BatchV1(), metav1.GetOptions{}
	switch kind {
	case "Deployment":
		o, err := apps.Deployments(l.namespace).Get(ctx, name, live)
		if err != nil {
			return nil, err
		}
		return heldDeployment(o), nil
	case "ReplicaSet":
		o, err := apps.ReplicaSets(l.namespace).Get(ctx, name, live)
		if err != nil {
			return nil, err
		}
		return heldReplicaSet(o), nil
	case "StatefulSet":
		o, err := apps.StatefulSets(l.namespace).Get(ctx, name, live)
		if err != nil {
			return nil, err
		}
		return heldStatefulSet(o), nil
	case "DaemonSet":
		o, err := apps.DaemonSets(l.namespace).Get(ctx, name, live)
		if err != nil {
			return nil, err
		}
		return heldDaemonSet(o), nil
	case "Job":
		o, err := batch.Jobs(l.namespace).Get(ctx, name, live)
		if err != nil {
			return nil, err
		}
		h := held(kind, &o.ObjectMeta, &o.Spec.Template, o.Spec.Selector)
		h.revision = string(o.UID)
		h.pods = o.Status.Active
		return h, nil
	case "CronJob":
		o, err := batch.CronJobs(l.namespace).Get(ctx, name, live)
		if err != nil {
			return nil, err
		}
		template := &o.Spec.JobTemplate.Spec.Template
		h := held(kind, &o.ObjectMeta, template, nil)
		h.revision = hash(template)
		return h, nil
	}
	return &holder{closed: true}, nil
}

// owner is the workload behind a pod.
type owner struct {
	workload v1alpha1.Workload
	labels   map[string]string
	revision string
	// made are the images by container of the template that made the pod; nil where it cannot be read.
	made map[string]string
	// now are the images of the workload's template now; nil where it cannot be read.
	now map[string]string
	// gone means that the workload does not exist any more, so that the pod is about to go too.
	gone bool
}

// labelGeneration is what a DaemonSet writes on its pods, equal to its own annotation while they are current.
const labelGeneration = "pod-template-generation"

// owner finds the workload of a pod: ReplicaSet → Deployment, Job → CronJob, StatefulSet, DaemonSet. A controller
// that Backstop does not know or may not read is named as the pod names it.
func (l *look) owner(ctx context.Context, pod *corev1.Pod) (owner, error) {
	ref := metav1.GetControllerOf(pod)
	if ref == nil {
		return owner{workload: v1alpha1.Workload{Kind: kindPod, Name: pod.Name, UID: pod.UID}, labels: pod.Labels}, nil
	}
	h, err := l.read(ctx, ref)
	if err != nil {
		return owner{}, err
	}
	o := owner{workload: h.workload, labels: h.labels, made: h.images, now: h.images, gone: h.gone}
	o.revision = pod.Labels[appsv1.ControllerRevisionHashLabelKey]
	if h.gone || h.closed {
		o.workload = v1alpha1.Workload{Kind: ref.Kind, Name: ref.Name, UID: ref.UID}
		return o, nil
	}
	switch ref.Kind {
	case "StatefulSet":
		if pod.Labels[appsv1.ControllerRevisionHashLabelKey] != h.revision {
			o.made = nil
		}
	case "DaemonSet":
		if pod.Labels[labelGeneration] != h.revision {
			o.made = nil
		}
	case "ReplicaSet":
		o.revision = strings.TrimPrefix(h.revision+"/"+pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey], "/")
		return l.above(ctx, o, h)
	case "Job":
		o.revision = h.revision
		return l.above(ctx, o, h)
	}
	return o, nil
}

// above goes from a ReplicaSet or Job to what made it.
func (l *look) above(ctx context.Context, o owner, h *holder) (owner, error) {
	if h.controller == nil {
		return o, nil
	}
	up, err := l.read(ctx, h.controller)
	if err != nil {
		return owner{}, err
	}
	o.workload, o.labels, o.now, o.gone = up.workload, up.labels, up.images, up.gone
	if up.gone || up.closed {
		o.workload = v1alpha1.Workload{Kind: h.controller.Kind, Name: h.controller.Name, UID: h.controller.UID}
	}
	if up.workload.Kind == "CronJob" {
		o.revision = up.revision
	}
	return o, nil
}

// asked is the image that the workload asked for when it made the pod. A webhook may have rewritten what the pod
// says; where the template does not know the container, or cannot be read, the pod is all there is.
func (o *owner) asked(container, image string) string {
	if asked, ok := o.made[container]; ok {
		return asked
	}
	return image
}

// unsure reports that the pod is of a revision that its owner does not have, any more or yet.
func (o *owner) unsure() bool { return o.made == nil && o.now != nil }

// current reports that the workload still asks for an image that a container of its pod was made with: pods of a
// superseded revision fail on for a while, and that is no news.
func (o *owner) current(container, asked string) bool {
	if o.gone {
		return false
	}
	if o.now == nil {
		return true
	}
	if _, known := o.made[container]; o.made != nil && !known {
		// Injected by a webhook: no template of the workload names it, now or then.
		return true
	}
	for _, image := range o.now {
		if image == asked {
			return true
		}
	}
	return false
}

// having is a list that has pods failing in it; nil if few pods wait, or no such list can be made.
func (c *listings) having(ctx context.Context, l *look, now time.Time, names ...string) *listing {
	if c == nil || len(names) == 0 || c.waiting(l.namespace) < listAt {
		return nil
	}
	for _, since := range []time.Time{now.Add(-kube.Kept), now} {
		list, err := c.lists.Do(ctx, l.namespace, since, func(ctx context.Context) (*listing, error) {
			return list(ctx, l.client, l.namespace)
		})
		if err != nil {
			return nil
		}
		if list.has(names) {
			return list
		}
	}
	return nil
}
