package watcher

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// observation is a look for one key.
type observation struct {
	*look
	pods             *Pods
	key              reconcile.Key
	found            map[failureID]v1alpha1.Failure
	labels           map[string]map[string]string
	started, ranHere string
	// made is when the oldest failing pod of each workload was made.
	made map[string]time.Time
	// waiting counts the pods that wait for the image.
	waiting int32
}

// failureID tells failures apart. The platform is part of it: an image may lack only one.
type failureID struct {
	kind, name, revision, container, platform string
}

// failures are what was found, in an order that does not change from look to look. Of one container the platform
// whose error is the image's own fault comes first.
func (s *observation) failures() []v1alpha1.Failure {
	out := make([]v1alpha1.Failure, 0, len(s.found))
	for _, f := range s.found {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b v1alpha1.Failure) int {
		return cmp.Or(
			cmp.Compare(a.Workload.String(), b.Workload.String()), cmp.Compare(a.Container, b.Container),
			cmp.Compare(a.Revision, b.Revision), cmp.Compare(fault(a), fault(b)), cmp.Compare(a.Pull.Platform, b.Pull.Platform),
		)
	})
	return out
}

func fault(f v1alpha1.Failure) int {
	if f.Cause.ImageFault() {
		return 0
	}
	return 1
}

// mostGets is how many pods are read one by one; more are listed.
const mostGets = 16

// pending reads the pods that may wait for the image, and reports whether those were not simply all.
func (s *observation) pending(ctx context.Context) (narrow bool, err error) {
	if s.pods.Asking == nil {
		return false, s.all(ctx)
	}
	names := s.pods.Asking(s.key)
	if len(names) > mostGets {
		return false, s.all(ctx)
	}
	s.listing = s.pods.listings.having(ctx, s.look, s.pods.Now(), names...)
	return true, s.byName(ctx, names)
}

// byName reads the pods of these names.
func (s *observation) byName(ctx context.Context, names []string) error {
	for _, name := range names {
		if s.listing != nil && s.listing.pods[name] != nil {
			// The list has it failing.
			if err := s.failing(ctx, s.listing.pods[name]); err != nil {
				return err
			}
			continue
		}
		pod, err := s.client.CoreV1().Pods(s.namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return fmt.Errorf("read pod %s/%s: %w", s.namespace, name, err)
		}
		if err := s.failing(ctx, pod); err != nil {
			return err
		}
	}
	return nil
}

// all reads every pod of the namespace that is Pending or updated in place; simply every pod where no watch looks.
func (s *observation) all(ctx context.Context) error {
	if s.pods.Asking == nil {
		return s.each(ctx, metav1.ListOptions{}, s.failing)
	}
	seen := map[string]bool{}
	err := s.each(ctx, metav1.ListOptions{FieldSelector: pendingSelector},
		func(ctx context.Context, pod *corev1.Pod) error {
			seen[pod.Name] = true
			return s.failing(ctx, pod)
		})
	if err != nil {
		return err
	}
	return s.byName(ctx, slices.DeleteFunc(s.pods.Asking(s.key), func(name string) bool { return seen[name] }))
}

// failing takes in the containers of a pod that wait for the key's image.
func (s *observation) failing(ctx context.Context, pod *corev1.Pod) error {
	if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return nil
	}
	all := waitingFor(pod)
	if len(all) == 0 {
		return nil
	}
	o, err := s.owner(ctx, pod)
	if err != nil {
		return err
	}
	counted := false
	for _, c := range all {
		asked := o.asked(c.name, c.image)
		if asked != s.key.Image() || !o.current(c.name, asked) {
			continue
		}
		if !counted {
			counted = true
			s.waiting++
		}
		f := s.pods.First.recall(pod.UID, c, s.pods.Now())
		platform, err := s.platform(ctx, pod.Spec.NodeName)
		if err != nil {
			return err
		}
		f.Workload, f.Revision, f.Pull = o.workload, o.revision, &v1alpha1.Pull{Pod: pod.Name, Platform: platform}
		s.take(f)
		s.labels[o.workload.String()] = o.labels
		s.wasMade(o.workload, pod)
	}
	return nil
}

// take keeps one failure of several pods of one revision: an error that is the image's own fault before one that is
// not, then the first one seen. It stands for all of them since the first.
func (s *observation) take(f v1alpha1.Failure) {
	id := failureID{f.Workload.Kind, f.Workload.Name, f.Revision, f.Container, f.Pull.Platform}
	before, ok := s.found[id]
	if !ok {
		s.found[id] = f
		return
	}
	kept, other := before, f
	if cmp.Or(cmp.Compare(fault(f), fault(before)), unknown(f)-unknown(before), f.Since.Compare(before.Since.Time)) < 0 {
		kept, other = f, before
	}
	if other.Since.Before(&kept.Since) {
		kept.Since = other.Since
	}
	s.found[id] = kept
}

func unknown(f v1alpha1.Failure) int {
	if f.Cause == v1alpha1.CauseUnknown {
		return 1
	}
	return 0
}

// page bounds what one answer of the API server takes in memory.
const page = 250

// each visits the pods of a selection, live.
func (l *look) each(ctx context.Context, sel metav1.ListOptions, visit func(context.Context, *corev1.Pod) error) error {
	sel.Limit = page
	for {
		list, err := l.client.CoreV1().Pods(l.namespace).List(ctx, sel)
		if err != nil {
			return fmt.Errorf("list pods in %s: %w", l.namespace, err)
		}
		for i := range list.Items {
			if err := visit(ctx, &list.Items[i]); err != nil {
				return err
			}
		}
		if sel.Continue = list.Continue; sel.Continue == "" {
			return nil
		}
		// The next page is of the same version.
		sel.ResourceVersion, sel.ResourceVersionMatch = "", ""
	}
}

// platform is os/arch of a node; empty where Backstop may not read nodes, or the pod has none.
func (s *observation) platform(ctx context.Context, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	now := s.pods.Now()
	if p, ok := s.pods.nodes.get(name, now); ok {
		return p, nil
	}
	var platform string
	n, err := s.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
	case err != nil:
		return "", fmt.Errorf("read node %s: %w", name, err)
	case n.Status.NodeInfo.OperatingSystem != "" && n.Status.NodeInfo.Architecture != "":
		platform = n.Status.NodeInfo.OperatingSystem + "/" + n.Status.NodeInfo.Architecture
	}
	s.pods.nodes.set(name, platform, now)
	return platform, nil
}

// wasMade notes the oldest pod of a workload that fails.
func (s *observation) wasMade(w v1alpha1.Workload, pod *corev1.Pod) {
	at := pod.CreationTimestamp.Time
	if before, ok := s.made[w.String()]; !ok || at.Before(before) {
		s.made[w.String()] = at
	}
}
