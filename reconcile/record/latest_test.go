package record

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

var app = reconcile.ImageKey("production", "registry.example.com/app:v2")

// rollback is the nth of a key, open or ended.
func rollback(n int, ended bool) v1alpha1.Rollback {
	r := reconcile.NewRollback(app, v1alpha1.TriggerImagePull, n)
	if ended {
		r.Status.Outcome = &v1alpha1.Outcome{Result: v1alpha1.ResultVerified}
	}
	return *r
}

// server serves Rollbacks, and writes down how it was asked.
type server struct {
	client.Client
	all   []v1alpha1.Rollback
	asked []string
	// lists are the options of each list, as the client of controller-runtime writes them.
	lists []*metav1.ListOptions
}

func (s *server) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	s.asked = append(s.asked, "get "+key.Name[strings.LastIndex(key.Name, "-")+1:])
	i := slices.IndexFunc(s.all, func(r v1alpha1.Rollback) bool { return r.Name == key.Name })
	out, ok := into.(*v1alpha1.Rollback)
	if i < 0 || !ok {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "rollbacks"}, key.Name)
	}
	s.all[i].DeepCopyInto(out)
	return nil
}

func (s *server) List(_ context.Context, into client.ObjectList, opts ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(opts)
	s.lists = append(s.lists, o.AsListOptions())
	s.asked = append(s.asked, strings.TrimSpace("list "+o.Raw.ResourceVersion))
	out, ok := into.(*v1alpha1.RollbackList)
	if !ok {
		return fmt.Errorf("asked for %T", into)
	}
	out.Items = slices.Clone(s.all)
	return nil
}

// watched is what a cache knows.
type watched struct {
	Cache
	all []v1alpha1.Rollback
}

func (w watched) OfKey(reconcile.Key) []v1alpha1.Rollback { return w.all }

func TestLatest(t *testing.T) {
	other := rollback(1, false)
	other.Spec.Subject.Name = "registry.example.com/other:v2"
	tampered := rollback(1, false)
	tampered.Annotations = nil
	is := func(r ...v1alpha1.Rollback) []v1alpha1.Rollback { return r }
	for _, c := range []struct {
		name        string
		known, live []v1alpha1.Rollback
		want        int
		asked       []string
	}{
		{"an unknown key is listed as it is watched", nil, nil, 0, []string{"get 1", "list 0"}},
		{"one that the cache does not know yet", nil, is(rollback(1, false)), 1, []string{"get 1"}},
		{"one that ended before the cache knows it", nil, is(rollback(1, true)), 1, []string{"get 1", "get 2"}},
		{"one whose former ones were forgotten", nil, is(rollback(3, false)), 3, []string{"get 1", "list 0"}},
		{"an open one is the newest", is(rollback(1, false)), is(rollback(1, false)), 1, []string{"get 1"}},
		{"an ended one may have a successor", is(rollback(1, true)), is(rollback(1, true)), 1, []string{"get 1", "get 2"}},
		{"a successor that the cache does not know", is(rollback(1, false)), is(rollback(1, true), rollback(2, true), rollback(3, false)),
			3, []string{"get 1", "get 2", "get 3"}},
		{"the newest of several is asked for", is(rollback(1, true), rollback(2, false)), is(rollback(1, true), rollback(2, false)),
			2, []string{"get 2"}},
		{"a deleted one", is(rollback(2, true)), is(rollback(1, true)), 1, []string{"get 2", "list"}},
		{"another image with the same hash", is(rollback(1, false)), is(other), 0, []string{"get 1", "list"}},
		{"an annotation that was tampered with", is(tampered), is(tampered), 1, []string{"list"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &server{all: c.live}
			got, err := (&Records{Client: s, Cache: watched{all: c.known}}).Latest(t.Context(), app)
			if err != nil {
				t.Fatal(err)
			}
			name := ""
			if got != nil {
				name = got.Name
			}
			want := ""
			if c.want > 0 {
				want = reconcile.RollbackName(app, c.want)
			}
			if name != want {
				t.Errorf("got %q, want %q", name, want)
			}
			if diff := cmp.Diff(c.asked, s.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

// Two walks list at once: the selector of one must not become that of the other, which would know nothing of its Rollback.
func TestEachListHasOptionsOfItsOwn(t *testing.T) {
	s := &server{}
	r := &Records{Client: s, Cache: watched{}}
	keys := []reconcile.Key{app, reconcile.ImageKey("production", "registry.example.com/other:v1")}
	for _, key := range keys {
		if _, err := r.Latest(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	for i, key := range keys {
		if want := reconcile.KeyLabel + "=" + key.Hash(); s.lists[i].LabelSelector != want {
			t.Errorf("the list of %s selects %q, want %q", key.Subject.Name, s.lists[i].LabelSelector, want)
		}
	}
}
