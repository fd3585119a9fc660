package trace

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// CanaryOf finds the Canary of Flagger or the Rollout of Argo that judges the updates of a workload; nil where nothing
// does.
func CanaryOf(ctx context.Context, r client.Reader, obj *unstructured.Unstructured) (*Canary, error) {
	if obj.GetKind() == trigger.Argo.Kind {
		return canaryFrom(trigger.ReadArgo(obj)), nil
	}
	for _, kind := range []struct {
		schema.GroupVersionKind
		ref  string
		read func(*unstructured.Unstructured) (trigger.CanaryStatus, error)
	}{{trigger.Flagger, "targetRef", trigger.ReadFlagger}, {trigger.Argo, "workloadRef", trigger.ReadArgo}} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		err := r.List(ctx, list, client.InNamespace(obj.GetNamespace()))
		var failed *discovery.ErrGroupDiscoveryFailed
		switch {
		case apimeta.IsNoMatchError(err), apierrors.IsNotFound(err), apierrors.IsForbidden(err), errors.As(err, &failed):
			// Few clusters have the kind, and who may not list it sees no hop.
			continue
		case err != nil:
			return nil, fmt.Errorf("list %s objects in %s: %w", list.GetKind(), obj.GetNamespace(), err)
		}
		for i := range list.Items {
			of, _, _ := unstructured.NestedStringMap(list.Items[i].Object, "spec", kind.ref)
			if of["kind"] == obj.GetKind() && of["name"] == obj.GetName() {
				return canaryFrom(kind.read(&list.Items[i])), nil
			}
		}
	}
	return nil, nil
}

func canaryFrom(s trigger.CanaryStatus, err error) *Canary {
	if err != nil {
		return &Canary{CanaryStatus: s, Unread: fmt.Sprintf("%s has fields of another shape: %v", s.By, err)}
	}
	return &Canary{CanaryStatus: s}
}

// canaryHop describes what judges the update, and how.
func (v *view) canaryHop() Hop {
	c := v.Canary
	h := Hop{Name: HopCanary, At: c.By.String()}
	if c.Unread != "" {
		h.Mark, h.Why = Unknown, c.Unread
		return h
	}
	switch c.State {
	case trigger.CanaryWell:
		h.Mark, h.Says = Good, "what is to run is promoted"
	case trigger.CanaryFailed:
		h.Mark, h.Why = Blocked, "it refused the update"
		if !c.At.IsZero() {
			h.Why += " " + v.ago(c.At)
		}
		if c.Message != "" {
			h.Why += ": " + cut(c.Message)
		}
		h.Fix = v.revertBy(v.Live.Image)
		if c.Promoting {
			h.Why = "it promoted the update, and what serves did not get ready"
			h.Fix = fmt.Sprintf("see why: kubectl -n %s describe %s %s-primary", v.Namespace, kindArg(v.Workload.Kind),
				v.Workload.Name)
		}
	case trigger.CanaryBusy:
		h.Mark, h.Why = Waits, "it has promoted nothing yet"
		if c.Phase != "" {
			h.Why = "it is " + c.Phase
		}
	}
	return h
}
