package kube

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
)

// Object is the pointer to a type of the API.
type Object[T any] interface {
	*T
	runtime.Object
}

// Item is one object of a list or a watch, decoded by itself: a stream of typed objects ends at the first that cannot
// be decoded, and with it the watch of the whole kind. Registered in a scheme in the place of T, it lets the others
// through.
type Item[T any, P Object[T]] struct {
	metav1.TypeMeta
	metav1.ObjectMeta
	// Object is nil where Err explains why it cannot be decoded.
	Object P
	Err    error
}

// UnmarshalJSON fails only where the metadata cannot be read, which every API server checks.
func (i *Item[T, P]) UnmarshalJSON(b []byte) error {
	var meta metav1.PartialObjectMetadata
	if err := json.Unmarshal(b, &meta); err != nil {
		return err
	}
	i.TypeMeta, i.ObjectMeta = meta.TypeMeta, meta.ObjectMeta
	i.Object, i.Err = P(new(T)), nil
	if err := json.Unmarshal(b, i.Object); err != nil {
		i.Object, i.Err = nil, err
	}
	return nil
}

// DeepCopyObject is runtime.Object's. An error is never changed.
func (i *Item[T, P]) DeepCopyObject() runtime.Object {
	out := &Item[T, P]{TypeMeta: i.TypeMeta, Err: i.Err}
	i.DeepCopyInto(&out.ObjectMeta)
	if i.Object != nil {
		out.Object, _ = i.Object.DeepCopyObject().(P)
	}
	return out
}

// Items is a list of Items.
type Items[T any, P Object[T]] struct {
	metav1.TypeMeta
	metav1.ListMeta `json:"metadata"`
	Items           []Item[T, P] `json:"items"`
}

// DeepCopyObject is runtime.Object's.
func (l *Items[T, P]) DeepCopyObject() runtime.Object {
	out := &Items[T, P]{TypeMeta: l.TypeMeta, Items: make([]Item[T, P], len(l.Items))}
	l.ListMeta.DeepCopyInto(&out.ListMeta)
	for i := range l.Items {
		if c, ok := l.Items[i].DeepCopyObject().(*Item[T, P]); ok {
			out.Items[i] = *c
		}
	}
	return out
}
