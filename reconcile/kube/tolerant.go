package kube

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"reflect"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Tolerant is a client to which an object that cannot be decoded costs that object alone: a Get of it is an
// *Unreadable, and a List leaves it out. Both add it to found. Partial also gives what a List left out.
func Tolerant(c client.Client, found *Unreadables) client.Client {
	return &tolerant{Client: c, found: found}
}

type tolerant struct {
	client.Client
	found *Unreadables
}

// Partial lists what can be decoded, and gives what cannot. For a client that is not Tolerant that is an error.
func Partial(ctx context.Context, c client.Reader, list client.ObjectList, opts ...client.ListOption,
) ([]*Unreadable, error) {
	if t, ok := c.(interface {
		list(context.Context, client.ObjectList, ...client.ListOption) ([]*Unreadable, error)
	}); ok {
		return t.list(ctx, list, opts...)
	}
	return nil, c.List(ctx, list, opts...)
}

// Get reads one object.
func (c *tolerant) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	err := c.Client.Get(ctx, key, obj, opts...)
	if err != nil && !apierrors.IsNotFound(err) && !undecodable(err) {
		return err
	}
	ref := v1alpha1.ObjectRef{Kind: c.kindOf(obj), Namespace: key.Namespace, Name: key.Name}
	if err == nil || apierrors.IsNotFound(err) {
		c.found.Readable(ref)
		return err
	}
	u := &Unreadable{Ref: ref, Err: err}
	c.found.Add(u)
	return u
}

// List lists what can be decoded.
func (c *tolerant) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	_, err := c.list(ctx, list, opts...)
	return err
}

func (c *tolerant) list(ctx context.Context, list client.ObjectList, opts ...client.ListOption) ([]*Unreadable, error) {
	err := c.Client.List(ctx, list, opts...)
	if err == nil || !undecodable(err) {
		return nil, err
	}
	// One of them is the culprit: each is decoded by itself.
	gvk, kindErr := c.GroupVersionKindFor(list)
	if kindErr != nil {
		return nil, errors.Join(err, kindErr)
	}
	raw := &unstructured.UnstructuredList{}
	raw.SetGroupVersionKind(gvk)
	if err := c.Client.List(ctx, raw, opts...); err != nil {
		return nil, err
	}
	bad, err := fill(list, raw)
	for _, u := range bad {
		c.found.Add(u)
	}
	return bad, err
}

// fill decodes the items of a list that came without types.
func fill(list client.ObjectList, raw *unstructured.UnstructuredList) ([]*Unreadable, error) {
	to, err := meta.GetItemsPtr(list)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", raw.GetKind(), err)
	}
	items := reflect.ValueOf(to).Elem()
	items.Set(reflect.MakeSlice(items.Type(), 0, len(raw.Items)))
	var bad []*Unreadable
	for i := range raw.Items {
		o := &raw.Items[i]
		text, err := o.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", raw.GetKind(), err)
		}
		item := reflect.New(items.Type().Elem())
		if err := json.Unmarshal(text, item.Interface()); err != nil {
			bad = append(bad, &Unreadable{Err: err, ResourceVersion: o.GetResourceVersion(), Ref: v1alpha1.ObjectRef{
				Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName(),
			}})
			continue
		}
		items.Set(reflect.Append(items, item.Elem()))
	}
	list.SetResourceVersion(raw.GetResourceVersion())
	list.SetContinue(raw.GetContinue())
	return bad, nil
}

func (c *tolerant) kindOf(o runtime.Object) string {
	gvk, err := c.GroupVersionKindFor(o)
	if err != nil {
		return strings.TrimPrefix(fmt.Sprintf("%T", o), "*")
	}
	return gvk.Kind
}

// undecodable reports whether an answer came that could not be decoded, rather than none or a refusal.
func undecodable(err error) bool {
	var status apierrors.APIStatus
	var sent *url.Error
	var network net.Error
	return !errors.As(err, &status) && !errors.As(err, &sent) && !errors.As(err, &network) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) &&
		!meta.IsNoMatchError(err) && !runtime.IsNotRegisteredError(err)
}

// TolerantWatch is Tolerant with watches, which leave out what cannot be decoded too.
func TolerantWatch(c client.WithWatch, found *Unreadables) client.WithWatch {
	return &tolerantWatch{tolerant: tolerant{Client: c, found: found}, inner: c}
}

type tolerantWatch struct {
	tolerant
	inner client.WithWatch
}

// Watch decodes each object by itself: a typed watch ends at the first that it cannot decode.
func (c *tolerantWatch) Watch(ctx context.Context, list client.ObjectList, opts ...client.ListOption,
) (watch.Interface, error) {
	gvk, err := c.GroupVersionKindFor(list)
	if err != nil {
		return nil, err
	}
	gvk.Kind = strings.TrimSuffix(gvk.Kind, "List")
	raw := &unstructured.UnstructuredList{}
	raw.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	w, err := c.inner.Watch(ctx, raw, opts...)
	if err != nil {
		return nil, err
	}
	return watch.Filter(w, func(ev watch.Event) (watch.Event, bool) {
		u, ok := ev.Object.(*unstructured.Unstructured)
		if !ok || ev.Type == watch.Error {
			return ev, true
		}
		o, err := c.Scheme().New(gvk)
		if err == nil {
			err = runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, o)
		}
		if err != nil {
			c.found.Add(&Unreadable{Err: err, ResourceVersion: u.GetResourceVersion(), Ref: v1alpha1.ObjectRef{
				Kind: gvk.Kind, Namespace: u.GetNamespace(), Name: u.GetName(),
			}})
			return ev, false
		}
		ev.Object = o
		return ev, true
	}), nil
}
