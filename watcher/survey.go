package watcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/watcher/drift"
)

// Adrift is a container that somebody changed by hand.
type Adrift struct {
	Namespace string
	// Git is the image that should run; empty where nothing tells.
	Git string
	// Change is the record of it.
	Change v1alpha1.Failure
}

// Drifts looks live for everything in a namespace, or in all, that somebody changed by hand. What Flux is applying at
// this moment is left out.
func Drifts(ctx context.Context, client kubernetes.Interface, namespace string, wants Wanter, now time.Time,
) ([]Adrift, error) {
	var all []listed
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet", kindCronJob} {
		found, err := suspected(ctx, client, kind, namespace)
		if err != nil {
			return nil, fmt.Errorf("list %ss: %w", kind, err)
		}
		all = append(all, found...)
	}
	var out []Adrift
	looks := map[string]*look{}
	for _, w := range all {
		if looks[w.namespace] == nil {
			looks[w.namespace] = newLook(client, w.namespace)
		}
		l := looks[w.namespace]
		h, err := l.get(ctx, w.kind, w.name)
		if err != nil {
			return nil, err
		}
		found, err := l.drifts(ctx, h, wants)
		if errors.Is(err, errApplying) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for i := range found {
			out = append(out, Adrift{Namespace: w.namespace, Git: found[i].Git, Change: found[i].failure(h, now)})
		}
	}
	return out, nil
}

// listed names a workload with suspects.
type listed struct{ kind, namespace, name string }

// suspected lists the workloads of a kind whose image somebody else than Flux owns, page by page.
func suspected(ctx context.Context, client kubernetes.Interface, kind, namespace string) ([]listed, error) {
	var out []listed
	sel := metav1.ListOptions{Limit: page}
	for {
		var next string
		take := func(o metav1.Object, images []drift.Image) {
			if len(drift.Suspects(kind, o, images)) > 0 {
				out = append(out, listed{kind, o.GetNamespace(), o.GetName()})
			}
		}
		var err error
		switch kind {
		case "Deployment":
			list, e := client.AppsV1().Deployments(namespace).List(ctx, sel)
			for i := range list.Items {
				take(&list.Items[i], imagesOf(&list.Items[i].Spec.Template))
			}
			next, err = list.Continue, e
		case "StatefulSet":
			list, e := client.AppsV1().StatefulSets(namespace).List(ctx, sel)
			for i := range list.Items {
				take(&list.Items[i], imagesOf(&list.Items[i].Spec.Template))
			}
			next, err = list.Continue, e
		case "DaemonSet":
			list, e := client.AppsV1().DaemonSets(namespace).List(ctx, sel)
			for i := range list.Items {
				take(&list.Items[i], imagesOf(&list.Items[i].Spec.Template))
			}
			next, err = list.Continue, e
		case kindCronJob:
			list, e := client.BatchV1().CronJobs(namespace).List(ctx, sel)
			for i := range list.Items {
				take(&list.Items[i], imagesOf(&list.Items[i].Spec.JobTemplate.Spec.Template))
			}
			next, err = list.Continue, e
		}
		if err != nil {
			return nil, err
		}
		if sel.Continue = next; next == "" {
			return slices.Clip(out), nil
		}
	}
}
