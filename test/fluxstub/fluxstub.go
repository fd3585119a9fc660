package fluxstub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Options of the stand-ins.
type Options struct {
	// Config to reach the API server with, as an administrator.
	Config *rest.Config
	// Namespaces whose objects are cared for; all when empty.
	Namespaces []string
	// Dir for clones; a temporary one when empty.
	Dir string
	// HealthPoll is the time between two looks at what was applied; 100 ms when zero (5 s for real).
	HealthPoll time.Duration
	// DependencyWait is the time between two looks at a dependsOn; 500 ms when zero (30 s for real).
	DependencyWait time.Duration
	// RetryFirst and RetryMax are the back-off after an error; 250 ms and 5 s when zero (750 ms and 15 min for real).
	RetryFirst, RetryMax time.Duration
	// CancelHealthChecks is the gate CancelHealthCheckOnNewRevision of both controllers that check health; off by
	// default, as theirs.
	CancelHealthChecks bool
	// Log hears what is done; nil for nobody.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&o.HealthPoll, 100*time.Millisecond)
	set(&o.DependencyWait, 500*time.Millisecond)
	set(&o.RetryFirst, 250*time.Millisecond)
	set(&o.RetryMax, 5*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// stand is what all stand-ins share.
type stand struct {
	Options
	// client reads live.
	client client.Client
	// seen is what the watches brought.
	seen client.Reader
	// saved has, of each object that a stand-in cares for, the version that it left behind.
	saved sync.Map
	// deployed has, of each HelmRelease, what was deployed well last.
	deployed sync.Map
	// mirrors has the lock of each mirror, and archives its last archive.
	mirrors  sync.Map
	archives sync.Map
	tags     *tagStore
}

// concurrent is how many objects of one kind are cared for at once: one that waits for health takes its place.
const concurrent = 32

// Scheme of the kinds that the stand-ins know: Kubernetes' and Flux's.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, sourcev1.AddToScheme, kustomizev1.AddToScheme,
		helmv2.AddToScheme, reflectorv1.AddToScheme, automationv1.AddToScheme,
	} {
		if err := add(s); err != nil {
			return nil, fmt.Errorf("make the scheme: %w", err)
		}
	}
	return s, nil
}

// Run cares for Flux's objects until the context ends.
func Run(ctx context.Context, o Options) error {
	o = o.withDefaults()
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "backstop-flux-")
		if err != nil {
			return fmt.Errorf("make a folder for clones: %w", err)
		}
		defer os.RemoveAll(dir)
		o.Dir = dir
	}
	scheme, err := Scheme()
	if err != nil {
		return err
	}
	namespaces := map[string]cache.Config{}
	for _, n := range o.Namespaces {
		namespaces[n] = cache.Config{}
	}
	yes := true
	mgr, err := ctrl.NewManager(o.Config, ctrl.Options{
		Scheme:     scheme,
		Cache:      cache.Options{DefaultNamespaces: namespaces},
		Metrics:    server.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &yes},
		Logger:     logr.Discard(),
	})
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	live, err := client.New(o.Config, client.Options{Scheme: scheme, Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	s := &stand{Options: o, client: live, seen: mgr.GetCache(), tags: &tagStore{tags: map[string][]string{}}}
	for _, set := range []func(ctrl.Manager) error{
		s.setUpSource, s.setUpKustomization, s.setUpHelm, s.setUpImageRepository, s.setUpImagePolicy, s.setUpAutomation,
	} {
		if err := set(mgr); err != nil {
			return fmt.Errorf("set up a stand-in: %w", err)
		}
	}
	err = mgr.Start(ctx)
	if stopping(ctx) && errors.Is(err, context.DeadlineExceeded) {
		// The priority queue of controller-runtime v0.24 can keep its lock for good where it is shut down while it hands
		// out an item: a worker that is done then waits for that lock, and the manager for the worker. A plain queue would
		// not, and would apply twice where the priority queue takes two requests for one.
		s.Log.Warn("stopped without waiting for every worker", "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("run the stand-ins: %w", err)
	}
	return nil
}

// build begins a controller of one kind, which is woken when its spec changes or a reconcile is asked for.
func (s *stand) build(mgr ctrl.Manager, kind client.Object) *builder.Builder {
	return ctrl.NewControllerManagedBy(mgr).
		For(kind, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, requested{}))).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: concurrent,
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](s.RetryFirst,
				s.RetryMax),
		})
}

// requested passes updates that ask for a reconcile.
type requested struct{ predicate.Funcs }

// Update compares the annotation that asks. Taking it away asks for nothing.
func (requested) Update(e event.UpdateEvent) bool { return asks(e.ObjectOld, e.ObjectNew) }

func asks(was, now client.Object) bool { return handled(now) != "" && handled(now) != handled(was) }

// changed passes updates in which something of the object changed.
func changed[T client.Object](of func(T) string) predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok := e.ObjectOld.(T)
		now, also := e.ObjectNew.(T)
		return ok && also && of(was) != of(now)
	}}
}

// load reads the object that a stand-in cares for. Most looks find it as the last one left it: the watch has it then,
// and the API server is not asked.
func (s *stand) load(ctx context.Context, key client.ObjectKey, o client.Object) error {
	if err := s.seen.Get(ctx, key, o); err == nil {
		if left, ok := s.saved.Load(o.GetUID()); ok && left == o.GetResourceVersion() {
			return nil
		}
	}
	return s.client.Get(ctx, key, o)
}

// save patches the status, as a field manager of the controller that it stands in for, if it is another one.
func (s *stand) save(ctx context.Context, was, now client.Object, as string) error {
	if !equality.Semantic.DeepEqual(was, now) {
		err := s.client.Status().Patch(ctx, now, client.MergeFrom(was), client.FieldOwner(as))
		if err != nil {
			return client.IgnoreNotFound(err)
		}
	}
	s.saved.Store(now.GetUID(), now.GetResourceVersion())
	return nil
}

// moment is the time of a run as a status has it. Where nothing else changed it is written every ten seconds only: each
// write wakes everybody who watches.
func moment(last time.Time, changed bool) metav1.Time {
	if now := metav1.Now(); changed || now.Sub(last) >= 10*time.Second {
		return now
	}
	return metav1.NewTime(last)
}

// condition sets one condition of an object, seen at this generation.
func condition(conditions *[]metav1.Condition, o client.Object, c metav1.Condition) {
	c.ObservedGeneration = o.GetGeneration()
	apimeta.SetStatusCondition(conditions, c)
}

func yes(kind, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: message}
}

func no(kind, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: message}
}

func unknown(kind, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: metav1.ConditionUnknown, Reason: reason, Message: message}
}

// handled is the request that an object carries.
func handled(o client.Object) string { return o.GetAnnotations()[meta.ReconcileRequestAnnotation] }

// stopping reports that the stand-in is being stopped, so that a failure is its own and not the object's.
func stopping(ctx context.Context) bool { return ctx.Err() != nil }
