package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// Wording reports which kubelet's words are used.
type Wording string

// The wordings.
const (
	// Wrapped is the wording since Kubernetes 1.32: a back-off repeats the error that led to it.
	Wrapped Wording = "Wrapped"
	// Old is the wording before: a back-off hides the error.
	Old Wording = "Old"
)

// Node is one to register.
type Node struct{ Name, OS, Arch string }

// Options of a stand-in.
type Options struct {
	// Config to reach the API server with, as an administrator.
	Config *rest.Config
	// Namespaces whose pods are cared for; all when empty.
	Namespaces []string
	// Nodes to register where they are missing; one for linux/amd64 called node-1 when empty. Pods are spread over
	// them; a pod that is already bound to another node is run there.
	Nodes []Node
	// Wording of a back-off; Wrapped when empty.
	Wording Wording
	// FirstBackoff is the time between the first two pulls of an image, 1 s when zero. It doubles up to MaxBackoff,
	// 10 s when zero (a real kubelet takes 10 s and 5 min).
	FirstBackoff, MaxBackoff time.Duration
	// JobTime is how long the containers of a Job run; 100 ms when zero.
	JobTime time.Duration
	// PullTimeout of one image; 10 s when zero.
	PullTimeout time.Duration
	// Trust holds an authority in PEM for each registry (host:port) that is to be spoken to over TLS and is not
	// trusted anyway. Without it a registry on loopback is taken as plain HTTP, as containerd does.
	Trust map[string][]byte
	// Log hears what happens to pods; nil for nobody.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if len(o.Namespaces) == 0 {
		o.Namespaces = []string{metav1.NamespaceAll}
	}
	if len(o.Nodes) == 0 {
		o.Nodes = []Node{{Name: "node-1", OS: "linux", Arch: "amd64"}}
	}
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&o.FirstBackoff, time.Second)
	set(&o.MaxBackoff, 10*time.Second)
	set(&o.JobTime, 100*time.Millisecond)
	set(&o.PullTimeout, 10*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// workers is how many pods are cared for at once; most of the time they wait for an answer.
const workers = 16

// standIn is a running stand-in.
type standIn struct {
	Options
	client  kubernetes.Interface
	listers map[string]corelisters.PodLister
	queue   workqueue.TypedRateLimitingInterface[types.NamespacedName]
	puller  *puller

	mu   sync.Mutex
	pods map[types.UID]*memory
	// turn counts the workloads, and turns the pods of each by its owner's UID.
	turn  int
	turns map[types.UID]int
}

// Run registers the nodes and cares for pods until the context ends.
func Run(ctx context.Context, o Options) error {
	o = o.withDefaults()
	config := rest.CopyConfig(o.Config)
	config.UserAgent = "kubelet/v1.36.3"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	s := &standIn{
		Options: o,
		client:  client,
		listers: map[string]corelisters.PodLister{},
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](10*time.Millisecond, 2*time.Second)),
		puller: newPuller(o.Trust),
		pods:   map[types.UID]*memory{},
		turns:  map[types.UID]int{},
	}
	if err := register(ctx, client, o.Nodes); err != nil {
		return err
	}
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, namespace := range o.Namespaces {
		informer, err := s.informer(namespace)
		if err != nil {
			return err
		}
		running.Go(func() { informer.RunWithContext(ctx) })
		if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			return nil
		}
	}
	for range workers {
		running.Go(func() {
			for s.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	s.queue.ShutDown()
	return nil
}

// informer watches the pods of one namespace, or of all.
func (s *standIn) informer(namespace string) (cache.SharedIndexInformer, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(s.client, 0, informers.WithNamespace(namespace),
		informers.WithTransform(strip))
	pods := factory.Core().V1().Pods()
	s.listers[namespace] = pods.Lister()
	enqueue := func(obj any) {
		if pod, ok := obj.(*corev1.Pod); ok {
			s.queue.Add(types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
		}
	}
	_, err := pods.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, now any) { enqueue(now) },
		DeleteFunc: func(obj any) {
			if tomb, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = tomb.Obj
			}
			if pod, ok := obj.(*corev1.Pod); ok {
				s.forget(pod.UID)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("watch pods: %w", err)
	}
	return pods.Informer(), nil
}

// strip forgets what nobody here reads.
func strip(obj any) (any, error) {
	if pod, ok := obj.(*corev1.Pod); ok {
		pod.ManagedFields = nil
	}
	return obj, nil
}

// next cares for one pod; false when the queue is shut down.
func (s *standIn) next(ctx context.Context) bool {
	key, down := s.queue.Get()
	if down {
		return false
	}
	defer s.queue.Done(key)
	again, err := s.sync(ctx, key)
	switch {
	case ctx.Err() != nil:
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		s.queue.AddRateLimited(key) // what the cache said was old
	case err != nil:
		s.Log.Error("pod", "pod", key, "error", err)
		s.queue.AddRateLimited(key)
	default:
		s.queue.Forget(key)
		if again > 0 {
			s.queue.AddAfter(key, again)
		}
	}
	return true
}

// get reads a pod from the cache; nil when it is gone.
func (s *standIn) get(key types.NamespacedName) *corev1.Pod {
	lister, ok := s.listers[key.Namespace]
	if !ok {
		lister = s.listers[metav1.NamespaceAll]
	}
	pod, err := lister.Pods(key.Namespace).Get(key.Name)
	if err != nil {
		return nil
	}
	return pod.DeepCopy()
}

func (s *standIn) forget(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pods, uid)
}

// sync takes a pod one step on and reports when to look again, 0 for at its next change.
func (s *standIn) sync(ctx context.Context, key types.NamespacedName) (time.Duration, error) {
	pod := s.get(key)
	switch {
	case pod == nil:
		return 0, nil
	case pod.DeletionTimestamp != nil:
		return 0, s.remove(ctx, pod)
	case pod.Spec.NodeName == "":
		return 0, s.bind(ctx, pod)
	case pod.Status.Phase == corev1.PodSucceeded, pod.Status.Phase == corev1.PodFailed:
		return 0, nil
	}
	return s.care(ctx, pod)
}

// remove ends a pod that is to go, as a kubelet does once its containers have stopped.
func (s *standIn) remove(ctx context.Context, pod *corev1.Pod) error {
	now := int64(0)
	err := s.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now,
		Preconditions:      &metav1.Preconditions{UID: &pod.UID},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// bind gives a pod the node that its affinity names, as a DaemonSet's pods do, or one in turn: a scheduler spreads the
// pods of a workload.
func (s *standIn) bind(ctx context.Context, pod *corev1.Pod) error {
	node := pinned(pod)
	if node == "" {
		node = s.Nodes[s.inTurn(pod)%len(s.Nodes)].Name
	}
	err := s.client.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		return fmt.Errorf("bind to %s: %w", node, err)
	}
	return nil
}

// inTurn counts the pods of a workload, from another number for each.
func (s *standIn) inTurn(pod *corev1.Pod) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	owner := pod.UID
	if of := metav1.GetControllerOf(pod); of != nil {
		owner = of.UID
	}
	next, known := s.turns[owner]
	if !known {
		next = s.turn
		s.turn++
	}
	s.turns[owner] = next + 1
	return next
}

// pinned is the one node that a pod may run on, by affinity or by the hostname label.
func pinned(pod *corev1.Pod) string {
	if name := pod.Spec.NodeSelector[corev1.LabelHostname]; name != "" {
		return name
	}
	affinity := pod.Spec.Affinity
	if affinity == nil || affinity.NodeAffinity == nil ||
		affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, term := range affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, field := range term.MatchFields {
			if field.Key == metav1.ObjectNameField && len(field.Values) == 1 {
				return field.Values[0]
			}
		}
	}
	return ""
}

// Register creates nodes that are missing, so that they are there before Run is.
func Register(ctx context.Context, config *rest.Config, nodes ...Node) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	return register(ctx, client, nodes)
}

func register(ctx context.Context, client kubernetes.Interface, nodes []Node) error {
	for _, n := range nodes {
		node := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: map[string]string{
				corev1.LabelHostname: n.Name, corev1.LabelOSStable: n.OS, corev1.LabelArchStable: n.Arch,
			}},
			Status: corev1.NodeStatus{
				Capacity:    capacity,
				Allocatable: capacity,
				Addresses: []corev1.NodeAddress{
					{Type: corev1.NodeInternalIP, Address: nodeIP},
					{Type: corev1.NodeHostName, Address: n.Name},
				},
				Conditions: []corev1.NodeCondition{{
					Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady",
					Message: "kubelet is posting ready status", LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
				}},
				NodeInfo: corev1.NodeSystemInfo{
					OperatingSystem: n.OS, Architecture: n.Arch,
					KubeletVersion: "v1.36.3", ContainerRuntimeVersion: "containerd://1.6.20",
				},
			},
		}
		_, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			continue
		}
		if err == nil {
			// A new node is tainted as not ready until the node controller, which nobody runs here, finds it ready.
			untaint := []byte(`{"spec":{"taints":null}}`)
			_, err = client.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, untaint, metav1.PatchOptions{})
		}
		if err != nil {
			return fmt.Errorf("register %s: %w", n.Name, err)
		}
	}
	return nil
}

// platform of a node, as registered.
func (s *standIn) platform(ctx context.Context, name string) (Node, error) {
	for _, n := range s.Nodes {
		if n.Name == name {
			return n, nil
		}
	}
	node, err := s.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return Node{}, fmt.Errorf("read node %s: %w", name, err)
	}
	info := node.Status.NodeInfo
	if info.OperatingSystem == "" || info.Architecture == "" {
		return Node{}, errors.New("node " + strings.TrimSpace(name) + " does not say its platform")
	}
	return Node{Name: name, OS: info.OperatingSystem, Arch: info.Architecture}, nil
}
