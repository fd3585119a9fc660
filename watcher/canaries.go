package watcher

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// The kinds that judge updates: Flagger's Canaries and Argo's Rollouts. Their CRDs may come later and go again, and any
// field of theirs may be something else than expected.

// judges says whether objects of a kind judge updates.
func judges(kind string) bool { return kind == trigger.Flagger.Kind || kind == trigger.Argo.Kind }

// readCanary reads an object of one of these kinds.
func readCanary(o *unstructured.Unstructured) (trigger.CanaryStatus, error) {
	if o.GetKind() == trigger.Argo.Kind {
		return trigger.ReadArgo(o)
	}
	return trigger.ReadFlagger(o)
}

// canary is what is kept of an object that judges updates. What it writes into its status at each look is not.
type canary struct {
	metav1.PartialObjectMetadata
	status trigger.CanaryStatus
}

func (w *Watcher) canary(c Clients, gvk schema.GroupVersionKind) kind {
	return kind{
		name: gvk.Kind, optional: true, strip: slimCanary(w.opts.Unreadable, gvk), handler: w.canaryHandler(gvk.Kind),
		inform: c.custom(gvk.GroupVersion(), trigger.CanaryResources[gvk],
			&kube.Item[unstructured.Unstructured, *unstructured.Unstructured]{}),
	}
}

// slimCanary reads an object once. One that has strange fields is kept as bare metadata, and remembered.
func slimCanary(found *kube.Unreadables, gvk schema.GroupVersionKind) cache.TransformFunc {
	return func(obj any) (any, error) {
		item, ok := obj.(*kube.Item[unstructured.Unstructured, *unstructured.Unstructured])
		if !ok {
			return obj, nil
		}
		ref := v1alpha1.ObjectRef{Kind: gvk.Kind, Namespace: item.Namespace, Name: item.Name}
		err := item.Err
		out := &canary{PartialObjectMetadata: metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: item.Namespace, Name: item.Name, UID: item.UID, ResourceVersion: item.ResourceVersion,
		}}}
		if err == nil {
			item.Object.SetGroupVersionKind(gvk)
			out.status, err = readCanary(item.Object)
		}
		if err != nil {
			found.Add(&kube.Unreadable{Ref: ref, ResourceVersion: item.ResourceVersion, Err: err})
			return bare(item)
		}
		found.Readable(ref)
		out.status.Message = ""
		return out, nil
	}
}

// canaryHandler enqueues an object that refuses an update or did, and the Rollbacks that it concerns. While it refuses
// one, Flagger writes its status at each look: what says the same is no news.
func (w *Watcher) canaryHandler(kind string) cache.ResourceEventHandler {
	wake := w.wakeConcerned(kind)
	see := func(o *canary) {
		ref := v1alpha1.ObjectRef{Kind: kind, Namespace: o.Namespace, Name: o.Name}
		w.promoted.note(o.UID, &o.status)
		if o.status.State == trigger.CanaryFailed || len(w.crashes.get(ref)) > 0 || w.crashes.knows(ref) {
			w.crashes.queue.Add(ref)
		}
		wake(o)
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if o, ok := obj.(*canary); ok {
				see(o)
			}
		},
		UpdateFunc: func(before, now any) {
			a, _ := before.(*canary)
			b, ok := now.(*canary)
			if ok && (a == nil || a.UID != b.UID || !sameStatus(&a.status, &b.status)) {
				see(b)
			}
		},
		DeleteFunc: func(obj any) {
			if t, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = t.Obj
			}
			if o, ok := obj.(*canary); ok {
				o = &canary{PartialObjectMetadata: o.PartialObjectMetadata}
				see(o)
				w.promoted.forget(o.UID)
			}
		},
	}
}

// sameStatus says whether two looks at one object tell the same.
func sameStatus(a, b *trigger.CanaryStatus) bool {
	return a.State == b.State && a.At.Equal(b.At) && a.Spec == b.Spec && a.PromotedSpec == b.PromotedSpec &&
		a.Reason == b.Reason && a.Promoting == b.Promoting && a.Workload == b.Workload && maps.Equal(a.Tracked, b.Tracked)
}

// promoted remembers the hashes of the configuration with which canaries had promoted an update. A restart forgets.
type promoted struct {
	mu   sync.Mutex
	seen map[types.UID]map[string]string
}

func newPromoted() *promoted { return &promoted{seen: map[types.UID]map[string]string{}} }

func (p *promoted) note(uid types.UID, s *trigger.CanaryStatus) {
	if !s.Promoted {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[uid] = s.Tracked
}

func (p *promoted) of(uid types.UID) (map[string]string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out, known := p.seen[uid]
	return out, known
}

func (p *promoted) forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.seen, uid)
}

// judging lists the canaries that refuse an update to a key's image, as was seen last or as a Rollback recorded.
func (w *Watcher) judging(key reconcile.Key) []v1alpha1.ObjectRef {
	var out []v1alpha1.ObjectRef
	add := func(ref v1alpha1.ObjectRef) {
		if judges(ref.Kind) && !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	for _, wl := range w.crashes.of(key) {
		add(v1alpha1.ObjectRef{Kind: wl.Kind, Namespace: key.Namespace, Name: wl.Name})
	}
	for _, r := range w.indexed(byKey, key.String()) {
		for _, f := range r.Status.Failures {
			if f.Canary != nil {
				add(v1alpha1.ObjectRef{Kind: f.Canary.By.Kind, Namespace: key.Namespace, Name: f.Canary.By.Name})
			}
		}
	}
	slices.SortFunc(out, func(a, b v1alpha1.ObjectRef) int { return cmp.Compare(a.String(), b.String()) })
	return out
}

// resolveCanary enqueues the keys of one canary: those of the update that it refuses now, and of the one that it did.
func (w *Watcher) resolveCanary(ctx context.Context, l *look, ref v1alpha1.ObjectRef) (again time.Duration, err error) {
	seen, err := w.Pods().judgement(ctx, l, ref)
	if err != nil {
		return 0, err
	}
	now, says := seen.all.keys(ref.Namespace), seen.elsewhere()
	if slices.ContainsFunc(seen.all, func(j trigger.Judgement) bool { return !j.Complete }) {
		again = unsettledFor
	}
	if ref.Kind == trigger.Argo.Kind && len(seen.all) == 0 {
		// Nothing is refused: without an analysis its pods are all that tells.
		crashed, err := w.Pods().observe(ctx, l, ref.Kind, ref.Name)
		if err != nil {
			return 0, err
		}
		now, says = crashed.judged.keys(ref.Namespace), crashed.elsewhere()
		switch {
		case len(now) > 0:
			again = failingFor
		case len(crashed.judged) > 0:
			again = unsettledFor
		}
	}
	w.takeIn(ref, now, says)
	return again, nil
}

// judged is one live look at a canary.
type judged struct {
	status trigger.CanaryStatus
	gone   bool
	facts  trigger.CanaryFacts
	all    judgements
	// holder is the workload that has the template.
	holder *holder
}

// elsewhere says why an update was refused where that is not the image's fault; empty where it is, or where there is
// not enough to say so yet.
func (j *judged) elsewhere() string {
	one, why := j.all.other()
	if one == nil {
		return ""
	}
	return fmt.Sprintf("an update of %s is refused, and nothing is reverted, since it does not look like its image's "+
		"fault: it %s", j.status.Workload, why)
}

// canaries takes in the updates to the key's image that canaries refuse, and names the canaries where all of them have
// promoted what is to run.
func (s *sighting) canaries(ctx context.Context) (out []v1alpha1.Failure, promoted string, err error) {
	if s.pods.Judging == nil || s.key.Image() == "" {
		return nil, "", nil
	}
	well := true
	for _, ref := range s.pods.Judging(s.key) {
		seen, err := s.pods.judgement(ctx, s.look, ref)
		if err != nil {
			return nil, "", err
		}
		mine := false
		for i := range seen.all {
			one := &seen.all[i]
			if !blames(one) || one.Image != s.key.Image() {
				continue
			}
			mine = true
			out = append(out, refusal(seen, one, s.pods))
			name := seen.status.Workload.String()
			s.labels[name], s.holders[name] = seen.holder.labels, seen.holder
		}
		switch {
		case mine, !seen.gone && !seen.well(s.key.Image()):
			well = false
		case promoted == "":
			promoted = ref.Kind + "/" + ref.Name
		default:
			promoted += ", " + ref.Kind + "/" + ref.Name
		}
	}
	if !well {
		promoted = ""
	}
	return out, promoted, nil
}

// well says that what is to run is promoted. Until Flagger looks again its status tells of what was there before.
func (j *judged) well(image string) bool {
	if j.status.State != trigger.CanaryWell {
		return false
	}
	return j.status.Promoted || j.holder == nil || !j.holder.has(image)
}

// refusal makes the record of a refused update. The same update that is refused again after it was taken back is
// another failure.
func refusal(seen *judged, one *trigger.Judgement, p *Pods) v1alpha1.Failure {
	revision := seen.status.Spec
	if at := one.Canary.At; at != nil {
		revision += " at " + at.UTC().Format("2006-01-02T15:04:05Z")
	}
	return v1alpha1.Failure{
		Trigger: v1alpha1.TriggerCanary, Workload: seen.facts.Status.Workload, Revision: revision, Container: one.Container,
		Cause: one.Cause, Message: one.Message, Since: micro(p.Now()), Canary: one.Canary,
	}
}
