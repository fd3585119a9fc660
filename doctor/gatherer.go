package doctor

import (
	"context"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/registry"
)

// Gatherer reads facts with the rights of whoever asks.
type Gatherer struct {
	// Client reads, and creates SubjectAccessReviews, which are questions.
	Client   client.Client
	Flux     *flux.Flux
	Git      *gitrepo.Mirrors
	Registry *registry.Registry
	// Forges are the ways to pull requests; nil asks about none.
	Forges reconcile.Forges
	// Logins are the user's own credentials for the registry of an image.
	Logins func(ctx context.Context, image string) reconcile.Access
	Now    func() time.Time
	// Home is Backstop's namespace, and FluxHome that of Flux's controllers.
	Home, FluxHome string

	once once
	// Only is the one workload to look at; empty for all of the namespace.
	Only v1alpha1.Workload
}

// ask asks a question once, however many need the answer.
func ask[T any](o *once, key string, question func() T) T {
	o.mu.Lock()
	if o.answers == nil {
		o.answers = map[string]*answer{}
	}
	a := o.answers[key]
	if a == nil {
		a = &answer{}
		o.answers[key] = a
	}
	o.mu.Unlock()
	a.once.Do(func() { a.value = question() })
	return a.value.(T)
}

// listed is a workload as the API server lists it.
type listed struct {
	Workload
	template corev1.PodSpec
	object   *unstructured.Unstructured
}

// plain is an error of the API server for a sentence.
func plain(err error) string {
	if apierrors.IsForbidden(err) {
		return "you may not"
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

type answer struct {
	once  sync.Once
	value any
}

// once keeps answers that several workloads need.
type once struct {
	mu      sync.Mutex
	answers map[string]*answer
}

// rollbacks are the records of a namespace. Without them there is nothing to tell of.
func (g *Gatherer) rollbacks(ctx context.Context, namespace string) *v1alpha1.RollbackList {
	return ask(&g.once, "rollbacks "+namespace, func() *v1alpha1.RollbackList {
		var list v1alpha1.RollbackList
		_ = g.Client.List(ctx, &list, client.InNamespace(namespace))
		return &list
	})
}
