package trace

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/watcher/drift"
)

const (
	// maxTags of a repository that are listed.
	maxTags = 1000
	// maxJobs of a CronJob whose pods are looked at, newest first.
	maxJobs = 3
	// maxNodes whose platforms are asked for.
	maxNodes = 8
)

// imagesOf lists the containers of a workload's template, those of the application first.
func imagesOf(obj *unstructured.Unstructured) []drift.Image {
	path := []string{"spec", "template", "spec"}
	if obj.GetKind() == "CronJob" {
		path = []string{"spec", "jobTemplate", "spec", "template", "spec"}
	}
	var out []drift.Image
	for _, list := range []string{"containers", "initContainers"} {
		items, _, _ := unstructured.NestedSlice(obj.Object, append(slices.Clone(path), list)...)
		for _, item := range items {
			c, _ := item.(map[string]any)
			name, _ := c["name"].(string)
			image, _ := c["image"].(string)
			if name != "" && image != "" {
				out = append(out, drift.Image{Container: name, Image: image})
			}
		}
	}
	return out
}

// registry asks for the image that is followed.
func (s *shared) registry(ctx context.Context, f *Facts) (Registry, error) {
	image := Subject(*f)
	out := Registry{Image: image, Nodes: s.pods.platforms, NodesUnread: s.pods.nodesUnread}
	access, err := s.g.Flux.Access(ctx, s.q.Namespace, image, s.pods.first())
	why, refused := reconcile.AsRefusal(err)
	if err != nil && !refused {
		return out, fmt.Errorf("find credentials for %s: %w", image, err)
	}
	if out.Missing = access.Missing; refused {
		out.Missing = why
	}
	own := s.g.Logins(ctx, image)
	out.Missing = cmp.Or(out.Missing, own.Missing)
	access = access.Then(own)
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		out.Proof = s.g.Registry.Prove(gctx, reconcile.Question{
			Image: image, Platforms: out.Nodes, Witness: f.Live.Image, Access: access,
		})
		return nil
	})
	group.Go(func() error {
		// What cannot be described or listed, the proof says.
		out.Description, _ = s.g.Registry.Describe(gctx, image, access)
		return nil
	})
	group.Go(func() error {
		repository, _, _ := strings.Cut(image, "@")
		if tag := tagOf(repository); tag != "" {
			repository = strings.TrimSuffix(repository, ":"+tag)
		}
		tags, err := s.g.Registry.Tags(gctx, repository, access, maxTags)
		out.Tags, out.All = tags, err == nil && len(tags) < maxTags
		return nil
	})
	if err := group.Wait(); err != nil {
		return out, err
	}
	if name, _, _ := strings.Cut(image, "@"); out.Digest != "" {
		out.Same, _, _ = s.g.Registry.Aliases(ctx, name+"@"+out.Digest, out.Tags, access)
	}
	return out, ctx.Err()
}

// first is a pod whose pull secrets tell how the image is asked for; empty if absent.
func (p *pods) first() string {
	if len(p.all) == 0 {
		return ""
	}
	return p.all[0].Name
}

// readPods lists the pods that a workload selects, in its namespace alone.
func (g *Gatherer) readPods(ctx context.Context, obj *unstructured.Unstructured) (*pods, error) {
	out := &pods{}
	selector, err := g.selector(ctx, obj)
	if err == nil && selector != nil {
		var list corev1.PodList
		err = g.Client.List(ctx, &list, client.InNamespace(obj.GetNamespace()),
			client.MatchingLabelsSelector{Selector: selector})
		for i := range list.Items {
			if p := &list.Items[i]; p.DeletionTimestamp.IsZero() && belongs(p, obj) {
				out.all = append(out.all, *p)
			}
		}
	}
	if apierrors.IsForbidden(err) {
		out.unread = fmt.Sprintf("you may not list pods in namespace %s", obj.GetNamespace())
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the pods of %s/%s: %w", obj.GetKind(), obj.GetName(), err)
	}
	out.platforms, out.nodesUnread, err = g.nodes(ctx, out.all)
	return out, err
}

// selector is how a workload's pods are found: a CronJob's by the Jobs that it made last.
func (g *Gatherer) selector(ctx context.Context, obj *unstructured.Unstructured) (labels.Selector, error) {
	if obj.GetKind() != "CronJob" {
		var s metav1.LabelSelector
		raw, _, _ := unstructured.NestedMap(obj.Object, "spec", "selector")
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &s); err != nil {
			return nil, fmt.Errorf("read the selector: %w", err)
		}
		return metav1.LabelSelectorAsSelector(&s)
	}
	var jobs batchv1.JobList
	if err := g.Client.List(ctx, &jobs, client.InNamespace(obj.GetNamespace())); err != nil {
		return nil, err
	}
	slices.SortFunc(jobs.Items, func(a, b batchv1.Job) int {
		return b.CreationTimestamp.Compare(a.CreationTimestamp.Time)
	})
	var names []string
	for i := range jobs.Items {
		owner := metav1.GetControllerOf(&jobs.Items[i])
		if owner != nil && owner.UID == obj.GetUID() && len(names) < maxJobs {
			names = append(names, jobs.Items[i].Name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	return labels.Parse(batchv1.JobNameLabel + " in (" + strings.Join(names, ",") + ")")
}

// belongs reports whether a pod is the workload's: selectors may overlap.
func belongs(p *corev1.Pod, obj *unstructured.Unstructured) bool {
	owner := metav1.GetControllerOf(p)
	switch {
	case owner == nil:
		return false
	case obj.GetKind() == "Deployment":
		return owner.Kind == "ReplicaSet" && strings.HasPrefix(owner.Name, obj.GetName()+"-")
	case obj.GetKind() == "CronJob":
		return owner.Kind == "Job"
	}
	return owner.UID == obj.GetUID()
}

// nodes are the platforms of the nodes that pods are on; of some nodes of the cluster where they are on none.
// Where the user may not read nodes it gives none, and says so.
func (g *Gatherer) nodes(ctx context.Context, all []corev1.Pod) (platforms []string, unread bool, err error) {
	var names []string
	for i := range all {
		if n := all[i].Spec.NodeName; n != "" && !slices.Contains(names, n) && len(names) < maxNodes {
			names = append(names, n)
		}
	}
	var out []string
	note := func(n *corev1.Node) {
		p := n.Status.NodeInfo.OperatingSystem + "/" + n.Status.NodeInfo.Architecture
		if len(p) > 1 && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	for _, name := range names {
		var n corev1.Node
		switch err := g.Client.Get(ctx, types.NamespacedName{Name: name}, &n); {
		case apierrors.IsForbidden(err):
			return nil, true, nil
		case err != nil && !apierrors.IsNotFound(err):
			return nil, false, fmt.Errorf("read node %s: %w", name, err)
		case err == nil:
			note(&n)
		}
	}
	if len(names) == 0 {
		var list corev1.NodeList
		err := g.Client.List(ctx, &list, client.Limit(maxNodes))
		if apierrors.IsForbidden(err) {
			return nil, true, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("list nodes: %w", err)
		}
		for i := range list.Items {
			note(&list.Items[i])
		}
	}
	slices.Sort(out)
	return out, false, nil
}

// of is what the pods say of one container.
func (p *pods) of(container string) Pods {
	out := Pods{Unread: p.unread}
	for i := range p.all {
		out.All = append(out.All, podOf(&p.all[i], container))
	}
	return out
}

func podOf(p *corev1.Pod, container string) Pod {
	out := Pod{
		Name: p.Name, Job: p.Labels[batchv1.JobNameLabel], Ready: p.Status.Phase == corev1.PodSucceeded,
		Made: p.CreationTimestamp.Time,
	}
	if p.Status.Phase == corev1.PodFailed {
		out.Ended = cmp.Or(p.Status.Reason, "Failed")
	}
	for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
		if c.Name == container {
			out.Image = c.Image
		}
	}
	for _, c := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses) {
		if w := c.State.Waiting; w != nil && c.Name == container {
			out.Reason, out.Message = w.Reason, oneLine(w.Message)
		}
		if e := c.State.Terminated; e != nil && c.Name == container && out.Ended != "" {
			out.Ended = fmt.Sprintf("%s, exit code %d", cmp.Or(e.Reason, out.Ended), e.ExitCode)
		}
	}
	for _, c := range p.Status.Conditions {
		switch {
		case c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue:
			out.Ready = true
		case c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse:
			out.Unscheduled = cut(c.Message)
		}
	}
	return out
}

// fits is how many characters of what a controller said fit a line.
const fits = 300

// cut keeps what a controller said to a length that fits a line.
func cut(s string) string { return text.Cut(text.OneLine(s), fits) }

// ending is cut for an error of a kubelet: its cause is at its end, after the image's name several times.
func ending(s string) string {
	s = text.OneLine(s)
	all := []rune(s)
	if len(all) <= fits {
		return s
	}
	s = string(all[len(all)-fits+2:])
	if _, words, more := strings.Cut(s, " "); more {
		s = words
	}
	return "… " + s
}
