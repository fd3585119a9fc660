package watcher

import (
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/backstop-dev/backstop/reconcile/kube"
)

// The kinds, as a v1alpha1.ObjectRef names them.
const (
	kindPod            = "Pod"
	kindInPlacePod     = "InPlacePod"
	kindCronJob        = "CronJob"
	kindNamespace      = "Namespace"
	kindRollback       = "Rollback"
	kindRollbackPolicy = "RollbackPolicy"
	kindImagePolicy    = "ImagePolicy"
	kindGitRepository  = "GitRepository"
)

// kind is one kind of object that is watched.
type kind struct {
	name string
	// optional kinds are never waited for: Flux may be installed later, or in part.
	optional bool
	indexers cache.Indexers
	strip    cache.TransformFunc
	handler  cache.ResourceEventHandler
	// inform makes an informer for one namespace, or for all.
	inform func(namespace string, indexers cache.Indexers) (cache.SharedIndexInformer, error)
}

// The signatures of client-go's informers: without a resync, of one namespace.
type (
	newInformer  = func(kubernetes.Interface, string, time.Duration, cache.Indexers) cache.SharedIndexInformer
	makeInformer = func(string, cache.Indexers) (cache.SharedIndexInformer, error)
)

func item[T any, P kube.Object[T]]() *kube.Item[T, P] { return &kube.Item[T, P]{} }

func builtin(c kubernetes.Interface, f newInformer) makeInformer {
	return func(namespace string, ix cache.Indexers) (cache.SharedIndexInformer, error) {
		return f(c, namespace, 0, ix), nil
	}
}
