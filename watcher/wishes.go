package watcher

import (
	"context"
	"fmt"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
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

// wishOf reads an object with a pod template.
func wishOf(w v1alpha1.Workload, meta *metav1.ObjectMeta, pod *corev1.PodSpec) reconcile.Wish {
	out := reconcile.Wish{Annotation: meta.Annotations[reconcile.RollbackAnnotation]}
	for i := range pod.InitContainers {
		if c := &pod.InitContainers[i]; migrates(c) {
			out.Migrates = fmt.Sprintf("%s has the init container %s, which looks like a migration of a database", w, c.Name)
			break
		}
	}
	return out
}

// migration is what the tools that change a database's schema are called, and what people call the step.
var migration = regexp.MustCompile(`(?i)(?:^|[^a-z])(?:flyway|liquibase|alembic|sqitch|dbmate|golang-migrate|gh-ost|` +
	`(?:db|database|schema|sql)?[-_:]?migrat(?:e|es|or|ion|ions)|(?:db|schema)[-_:]?(?:upgrade|update))(?:[^a-z]|$)`)

// migrates says whether a container looks like one that changes a database: by its name, its image, or its command.
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
