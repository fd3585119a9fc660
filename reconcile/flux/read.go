package flux

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// errNotInstalled means that the API server does not know a kind (yet): wait, or do without.
var errNotInstalled = errors.New("the kind is not installed in this cluster")

// pageSize bounds what one answer of the API server holds in memory: a Kustomization may list thousands of objects.
const pageSize = 100

// get reads one object live. What is not there is a NotFound error, for the caller to judge.
func (f *Flux) get(ctx context.Context, ref v1alpha1.ObjectRef, into client.Object) error {
	err := f.client.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, into)
	switch {
	case err == nil:
		return nil
	case notInstalled(err):
		return fmt.Errorf("read %s: %w", ref, errNotInstalled)
	case apierrors.IsForbidden(err):
		return f.mayNot("read "+ref.String(), "get on it in namespace "+ref.Namespace)
	}
	return fmt.Errorf("read %s: %w", ref, err)
}

// each lists a kind in pages and gives each page to visit. A kind that is not installed has no objects. No namespaces
// are all of them. What cannot be decoded is passed over: it is one object, and the others are asked about too.
func each[T any, L interface {
	*T
	client.ObjectList
}](ctx context.Context, f *Flux, kind string, namespaces []string, visit func(L)) error {
	_, err := eachReadable(ctx, f, kind, namespaces, visit)
	return err
}

// eachReadable is each for who says that something is nowhere: it also gives what could not be decoded.
func eachReadable[T any, L interface {
	*T
	client.ObjectList
}](ctx context.Context, f *Flux, kind string, namespaces []string, visit func(L)) ([]*kube.Unreadable, error) {
	var bad []*kube.Unreadable
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, ns := range namespaces {
		for next, more := "", true; more; more = next != "" {
			list := L(new(T))
			missed, err := kube.Partial(ctx, f.client, list, client.InNamespace(ns), client.Limit(pageSize),
				client.Continue(next))
			switch {
			case err == nil:
			case notInstalled(err):
				return bad, nil
			case apierrors.IsForbidden(err):
				return bad, f.mayNot(fmt.Sprintf("list %s objects %s", kind, within(ns)), "list on them, "+
					"or restrict it with --namespaces")
			default:
				return bad, fmt.Errorf("list %s objects %s: %w", kind, within(ns), err)
			}
			bad = append(bad, missed...)
			visit(list)
			next = list.GetContinue()
		}
	}
	return bad, nil
}

// mayNot refuses what RBAC refuses, and says who needs what.
func (f *Flux) mayNot(do, needs string) error {
	if f.options.Person {
		needs, _, _ = strings.Cut(needs, ", or restrict it")
		return reconcile.RefuseAs(reconcile.FaultNoRights, "you may not %s: ask for %s", do, needs)
	}
	return reconcile.RefuseAs(reconcile.FaultNoRights, "Backstop may not %s: give its ServiceAccount %s", do, needs)
}

func within(namespace string) string {
	if namespace == metav1.NamespaceAll {
		return "in the cluster"
	}
	return "in namespace " + namespace
}

// notInstalled tells a kind that the API server does not serve from an object that is not there: for both it may say
// 404.
func notInstalled(err error) bool {
	return meta.IsNoMatchError(err) ||
		apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// secret reads the data of a Secret by name. A Refusal names the Role that is missing; no error ever holds a value.
func (f *Flux) secret(ctx context.Context, namespace, name string, by v1alpha1.ObjectRef) (map[string][]byte, error) {
	var s corev1.Secret
	err := f.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &s)
	if apierrors.IsForbidden(err) && f.options.Person {
		return nil, f.mayNot(fmt.Sprintf("read Secret %s/%s, which %s names", namespace, name, by), fmt.Sprintf(
			"a Role with get on secrets, resourceNames %s, in namespace %s", name, namespace))
	}
	if apierrors.IsForbidden(err) {
		return nil, reconcile.RefuseAs(reconcile.FaultNoRights, "Backstop may not read Secret %s/%s, which %s names: "+
			"use the component credentials in namespace %s (a Role with get on secrets, resourceNames %s)", namespace,
			name, by, namespace, name)
	}
	if apierrors.IsNotFound(err) {
		return nil, &reconcile.Refusal{Kind: reconcile.FaultNotFound, Err: err, Sentence: fmt.Sprintf(
			"Secret %s/%s, which %s names, does not exist", namespace, name, by)}
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s/%s: %w", namespace, name, err)
	}
	if s.Data == nil {
		return map[string][]byte{}, nil
	}
	return s.Data, nil
}
