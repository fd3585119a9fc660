// Package kubeevents writes Kubernetes Events on the Rollback and on the workloads that it is about.
package kubeevents

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/notify"
)

// maxMessage is what the API server takes for the message of a core/v1 Event.
const maxMessage = 1024

// Teller writes Events. client-go's recorder sends them from a goroutine of its own and drops what it cannot send: an
// Event is a hint, the Rollback is the record.
//
//	Tell ──► waiting ── burst at once, then a few each second ──► recorder ──► API server
type Teller struct {
	broadcaster record.EventBroadcaster
	recorder    record.EventRecorder
	pace        flowcontrol.RateLimiter
	// stop ends the wait for a turn, and done is closed when nothing is written any more.
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	waiting []event
	// more says that there are some; it is closed by Stop.
	more    chan struct{}
	stopped bool
}

// event is one that waits to be written.
type event struct {
	about                 *corev1.ObjectReference
	kind, reason, message string
}

const (
	// perSecond and burst are how many Events are written: of hundreds of images that fail together there are thousands,
	// which must not keep the API server from what reverts them.
	perSecond, burst = 40, 120
	// mostWaiting bounds what waits; what comes then is dropped.
	mostWaiting = 20_000
)

// New starts to send Events through a client. Stop ends it.
func New(client kubernetes.Interface, scheme *runtime.Scheme) *Teller {
	b := record.NewBroadcaster()
	b.StartRecordingToSink(&typedcore.EventSinkImpl{Interface: client.CoreV1().Events("")})
	ctx, stop := context.WithCancel(context.Background())
	t := &Teller{broadcaster: b, recorder: b.NewRecorder(scheme, corev1.EventSource{Component: "backstop"}),
		pace: flowcontrol.NewTokenBucketRateLimiter(perSecond, burst), stop: stop, done: make(chan struct{}),
		more: make(chan struct{}, 1)}
	go t.write(ctx)
	return t
}

// write writes what waits, until Stop.
func (t *Teller) write(ctx context.Context) {
	defer close(t.done)
	for range t.more {
		for e, ok := t.next(ctx); ok; e, ok = t.next(ctx) {
			t.recorder.Event(e.about, e.kind, e.reason, e.message)
		}
	}
}

// next waits until another Event may be written, and gives it; false where none waits, and after Stop.
func (t *Teller) next(ctx context.Context) (event, bool) {
	t.mu.Lock()
	waiting := len(t.waiting)
	t.mu.Unlock()
	if waiting == 0 || t.pace.Wait(ctx) != nil {
		return event{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.waiting[0]
	t.waiting = t.waiting[1:]
	return e, true
}

// say has an Event written in its turn.
func (t *Teller) say(e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped || len(t.waiting) >= mostWaiting {
		return
	}
	t.waiting = append(t.waiting, e)
	select {
	case t.more <- struct{}{}:
	default:
	}
}

// Stop sends nothing more.
func (t *Teller) Stop() {
	t.mu.Lock()
	if !t.stopped {
		t.stopped = true
		t.stop()
		close(t.more)
	}
	t.mu.Unlock()
	<-t.done
	t.broadcaster.Shutdown()
}

// Tell writes what is new.
func (t *Teller) Tell(before, after *v1alpha1.Rollback) {
	for _, n := range notify.WhatsNew(before, after) {
		kind := corev1.EventTypeNormal
		if n.Warning {
			kind = corev1.EventTypeWarning
		}
		message := text.CutBytes(n.Text(), maxMessage)
		t.say(event{&corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Rollback",
			Namespace: after.Namespace, Name: after.Name, UID: after.UID, ResourceVersion: after.ResourceVersion,
		}, kind, n.Reason, message})
		for _, ref := range workloads(after) {
			t.say(event{ref, kind, n.Reason, message})
		}
	}
}

// Unreadable writes on an object of Backstop's or Flux's that it cannot be decoded.
func (t *Teller) Unreadable(ref v1alpha1.ObjectRef, why string) {
	t.say(event{&corev1.ObjectReference{
		APIVersion: fluxVersion(ref.Kind), Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name,
	}, corev1.EventTypeWarning, "Unreadable", text.CutBytes(why, maxMessage)})
}

// Full writes on a namespace that it has as many Rollbacks as are kept of one.
func (t *Teller) Full(namespace, image string, most int) {
	t.say(event{&corev1.ObjectReference{APIVersion: "v1", Kind: "Namespace", Namespace: namespace, Name: namespace},
		corev1.EventTypeWarning, "TooManyRollbacks",
		text.CutBytes(fmt.Sprintf("%d Rollbacks are kept of this namespace, "+
			"and it has them: none is opened for %s, and for what fails after it, until there is room", most, image),
			maxMessage)})
}

// NotTheImage writes on a workload why its new revision fails, where that is not the image's fault and no Rollback is
// opened.
func (t *Teller) NotTheImage(ref v1alpha1.ObjectRef, says string) {
	t.say(event{&corev1.ObjectReference{
		APIVersion: cmp.Or(workload.APIVersion(ref.Kind), fluxVersion(ref.Kind)), Kind: ref.Kind, Namespace: ref.Namespace,
		Name: ref.Name,
	}, corev1.EventTypeWarning, "RolloutFails", text.CutBytes(text.OneLine(says), maxMessage)})
}

// RunFailed writes on a CronJob that a run of it failed where one passed before.
func (t *Teller) RunFailed(ref v1alpha1.ObjectRef, says string) {
	t.say(event{&corev1.ObjectReference{
		APIVersion: workload.APIVersion(ref.Kind), Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name,
	}, corev1.EventTypeWarning, "RunFails", text.CutBytes(text.OneLine(says), maxMessage)})
}

// fluxVersion is the API of a custom kind.
func fluxVersion(kind string) string {
	switch kind {
	case "Rollback", "RollbackPolicy":
		return v1alpha1.GroupVersion.String()
	case "Kustomization":
		return "kustomize.toolkit.fluxcd.io/v1"
	case "HelmRelease":
		return "helm.toolkit.fluxcd.io/v2"
	case "Canary":
		return "flagger.app/v1beta1"
	case "GitRepository":
		return "source.toolkit.fluxcd.io/v1"
	case "ImagePolicy", "ImageRepository", "ImageUpdateAutomation":
		return "image.toolkit.fluxcd.io/v1"
	}
	return ""
}

// workloads are references to the first five workloads of the record; the Rollback lists them all.
func workloads(r *v1alpha1.Rollback) []*corev1.ObjectReference {
	var out []*corev1.ObjectReference
	seen := map[v1alpha1.Workload]bool{}
	for _, f := range r.Status.Failures {
		if seen[f.Workload] || len(out) == 5 {
			continue
		}
		seen[f.Workload] = true
		out = append(out, &corev1.ObjectReference{
			APIVersion: cmp.Or(fluxVersion(f.Workload.Kind), workload.APIVersion(f.Workload.Kind)), Kind: f.Workload.Kind,
			Namespace: r.Namespace, Name: f.Workload.Name, UID: f.Workload.UID,
		})
	}
	return out
}
