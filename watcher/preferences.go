package watcher

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Owners reads what policies go by of workloads, each once. What does not exist has no labels and preferences nothing.
func (p *Pods) Owners(ctx context.Context, namespace string, of []v1alpha1.Workload) (reconcile.Owners, error) {
	l := newLook(p.Client, namespace)
	out := reconcile.Owners{Labels: map[string]map[string]string{}, Preferences: p.namespacePreference(namespace)}
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
				out.Labels[w.String()], out.Preferences[w.String()] = pod.Labels, preferenceOf(w, &pod.ObjectMeta, &pod.Spec)
			}
			continue
		}
		h, err := l.get(ctx, w.Kind, w.Name)
		if err != nil {
			return reconcile.Owners{}, err
		}
		out.Preferences[w.String()] = h.preference
		if !h.gone {
			out.Labels[w.String()] = h.labels
		}
	}
	return out, nil
}

// namespacePreference is what a namespace says, as the watch knows it.
func (p *Pods) namespacePreference(namespace string) map[string]reconcile.Preference {
	out := map[string]reconcile.Preference{}
	if p.Namespace != nil {
		said := p.Namespace(namespace)[reconcile.RollbackAnnotation]
		out[reconcile.NamespacePreference] = reconcile.Preference{Annotation: said}
	}
	return out
}

// preferences are what the workloads that the look has read say, and their namespace.
func (s *observation) preferences() map[string]reconcile.Preference {
	out := s.pods.namespacePreference(s.namespace)
	for name := range s.labels {
		if h := s.holders[name]; h != nil {
			out[name] = h.preference
		}
	}
	return out
}
