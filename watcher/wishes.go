package watcher

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Owners reads what policies go by of workloads, each once. What does not exist has no labels and wishes nothing.
func (p *Pods) Owners(ctx context.Context, namespace string, of []v1alpha1.Workload) (reconcile.Owners, error) {
	l := newLook(p.Client, namespace)
	out := reconcile.Owners{Labels: map[string]map[string]string{}, Wishes: p.namespaceWish(namespace)}
	if err := l.together(ctx, of); err != nil {
		return reconcile.Owners{}, err
	}
	for _, w := range of {
		if w.Kind == kindPod {
			pod, err := p.Client.CoreV1().Pods(namespace).Get(ctx, w.Name, metav1.GetOptions{})
			switch {
			case apierrors.IsNotFound(err):
			case err != nil:
				return reconcile.Owners{}, fmt.Errorf("read pod %s/%s: %w", namespace, w.Name, err)
			default:
				out.Labels[w.String()], out.Wishes[w.String()] = pod.Labels, wishOf(w, &pod.ObjectMeta, &pod.Spec)
			}
			continue
		}
		h, err := l.get(ctx, w.Kind, w.Name)
		if err != nil {
			return reconcile.Owners{}, err
		}
		out.Wishes[w.String()] = h.wish
		if !h.gone {
			out.Labels[w.String()] = h.labels
		}
	}
	return out, nil
}

// namespaceWish is what a namespace says, as the watch knows it.
func (p *Pods) namespaceWish(namespace string) map[string]reconcile.Wish {
	out := map[string]reconcile.Wish{}
	if p.Namespace != nil {
		out[reconcile.NamespaceWish] = reconcile.Wish{Annotation: p.Namespace(namespace)[reconcile.RollbackAnnotation]}
	}
	return out
}

// wishes are what the workloads that the look has read say, and their namespace.
func (s *sighting) wishes() map[string]reconcile.Wish {
	out := s.pods.namespaceWish(s.namespace)
	for name := range s.labels {
		if h := s.holders[name]; h != nil {
			out[name] = h.wish
		}
	}
	return out
}
