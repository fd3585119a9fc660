// Package record keeps Rollbacks in the API server.
//
// Reads that decide are live; a save carries the resourceVersion that was read, so that of two writers one is told to
// start over. Server-side apply is not used: from a stale object it erases a step silently.
//
//	engine ── Latest ──► API server (live)
//	       ── SaveStatus ► 409: start over
//	       ── Open, Policies ► informer caches, a moment old
package record

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// Cache answers what may be a moment old, from informers.
type Cache interface {
	// Open lists Rollbacks that have not ended.
	Open(ctx context.Context) ([]v1alpha1.Rollback, error)
	// Policies lists all RollbackPolicies and the labels of a namespace.
	Policies(ctx context.Context, namespace string) ([]v1alpha1.RollbackPolicy, map[string]string, error)
	// OfKey lists the Rollbacks of a key.
	OfKey(key reconcile.Key) []v1alpha1.Rollback
}

// Records implements reconcile.Records: live where it decides, from the cache where it may be a moment old.
type Records struct {
	Cache
	// Client reads and writes live.
	Client client.Client
	// Namespace is the only one that may be listed; empty for all.
	Namespace string
	// Home is Backstop's own namespace, whose policies speak of all, and Namespaces the only ones that are watched; empty
	// for all.
	Home       string
	Namespaces []string
	// Slack gives the condition of a policy on its cards; nil, or a nil condition, for a policy without any.
	Slack func(p *v1alpha1.RollbackPolicy) *metav1.Condition
}

// Latest reads the newest Rollback of a key, live. Names are numbered and the next one is opened when the last has
// ended, so that the one that the cache knows leads to it, and where it knows none the first one that there may be: to
// list hundreds of Rollbacks for each step of hundreds would be slow.
func (r *Records) Latest(ctx context.Context, key reconcile.Key) (*v1alpha1.Rollback, error) {
	var known *v1alpha1.Rollback
	if r.Cache == nil {
		return r.list(ctx, key)
	}
	first := 1
	if known = newest(r.OfKey(key), key); known != nil {
		first = reconcile.Ordinal(known)
	}
	if known != nil && known.Name != reconcile.RollbackName(key, first) {
		return r.list(ctx, key)
	}
	for n := first; ; n++ {
		next, err := r.Get(ctx, key.Namespace, reconcile.RollbackName(key, n))
		switch {
		case err != nil:
			return nil, err
		case next == nil && known == nil:
			// Those before were forgotten, and the watch knows nothing of later ones.
			return r.list(ctx, key, asWatched())
		case next == nil && n == first:
			// Somebody deleted it a moment ago.
			return r.list(ctx, key)
		case next == nil:
			return known, nil
		case next.Spec.Subject != key.Subject || reconcile.Ordinal(next) != n:
			return r.list(ctx, key)
		case !next.Status.Ended():
			return next, nil
		}
		known = next
	}
}

// Known is the newest Rollback of a key, as the watch has it.
func (r *Records) Known(ctx context.Context, key reconcile.Key) (*v1alpha1.Rollback, error) {
	if r.Cache == nil {
		return r.list(ctx, key)
	}
	return newest(r.OfKey(key), key), nil
}

// asWatched lists what the API server has of its own watch, as new as ours. What is newest it first asks etcd for, and
// waits until its watch has come as far: a tenth of a second each time. It is new for each list: the client writes the
// selectors of a list into it.
func asWatched() client.ListOption {
	return &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: "0"}}
}

func (r *Records) list(ctx context.Context, key reconcile.Key, how ...client.ListOption) (*v1alpha1.Rollback, error) {
	var list v1alpha1.RollbackList
	bad, err := kube.Partial(ctx, r.Client, &list, append(how, client.InNamespace(key.Namespace),
		client.MatchingLabels{reconcile.KeyLabel: key.Hash()})...)
	if err != nil {
		return nil, fmt.Errorf("list Rollbacks in %s: %w", key.Namespace, err)
	}
	// One that cannot be read may be the newest: nothing is decided beside it.
	if len(bad) > 0 {
		return nil, bad[0]
	}
	return newest(list.Items, key), nil
}

// newest is the last opened of a key's. The hash is short; the subject decides.
func newest(all []v1alpha1.Rollback, key reconcile.Key) *v1alpha1.Rollback {
	var out *v1alpha1.Rollback
	for i := range all {
		rb := &all[i]
		if rb.Spec.Subject == key.Subject && (out == nil || reconcile.Ordinal(rb) > reconcile.Ordinal(out)) {
			out = rb
		}
	}
	return out
}

// Create opens a Rollback; its name is the lock.
func (r *Records) Create(ctx context.Context, rb *v1alpha1.Rollback) error {
	err := r.Client.Create(ctx, rb)
	if apierrors.IsAlreadyExists(err) {
		return reconcile.ErrConflict
	}
	return err
}

// SaveStatus writes the status.
func (r *Records) SaveStatus(ctx context.Context, rb *v1alpha1.Rollback) error {
	err := r.Client.Status().Update(ctx, rb)
	// A Rollback that somebody deleted is read again too, and is then absent.
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return reconcile.ErrConflict
	}
	return err
}

// All lists every Rollback, live.
func (r *Records) All(ctx context.Context) ([]v1alpha1.Rollback, error) {
	var list v1alpha1.RollbackList
	var opts []client.ListOption
	if r.Namespace != "" {
		opts = append(opts, client.InNamespace(r.Namespace))
	}
	if err := r.Client.List(ctx, &list, opts...); err != nil {
		return nil, fmt.Errorf("list Rollbacks: %w", err)
	}
	return list.Items, nil
}

// Delete removes a Rollback as it was read.
func (r *Records) Delete(ctx context.Context, rb *v1alpha1.Rollback) error {
	err := r.Client.Delete(ctx, rb, client.Preconditions{UID: &rb.UID, ResourceVersion: &rb.ResourceVersion})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return reconcile.ErrConflict
	}
	return err
}
