package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// The vocabulary of the scenarios: a policy, a bad image, the record that follows.

// auto gives an environment a policy that reverts by itself after a grace period of a second.
func (w *World) auto(env string, changes ...func(*v1alpha1.RollbackPolicy)) *v1alpha1.RollbackPolicy {
	w.t.Helper()
	p := &v1alpha1.RollbackPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(env), Name: "apps"},
		Spec: v1alpha1.RollbackPolicySpec{
			Triggers: []v1alpha1.PolicyTrigger{{Type: v1alpha1.TriggerImagePull, Mode: v1alpha1.ModeAuto,
				GracePeriod: &metav1.Duration{Duration: time.Second}}},
			Cooldown: metav1.Duration{Duration: 30 * time.Minute},
			Approval: v1alpha1.Approval{Timeout: metav1.Duration{Duration: time.Hour}},
			Delivery: v1alpha1.DeliveryPush, Lift: v1alpha1.LiftNewerImage,
			VerifyTimeout: metav1.Duration{Duration: 15 * time.Minute},
		},
	}
	for _, c := range changes {
		c(p)
	}
	w.must(w.Client.Create(w.t.Context(), p))
	return p
}

// mode is a change of a policy.
func mode(m v1alpha1.Mode) func(*v1alpha1.RollbackPolicy) {
	return func(p *v1alpha1.RollbackPolicy) { p.Spec.Triggers[0].Mode = m }
}

// publishBad pushes an image that no node of the world can run, and gives it as a workload names it.
func (w *World) publishBad(app, tag string) string {
	w.t.Helper()
	_, err := w.Registry.PushIndex(app, tag, "linux/arm64")
	w.must(err)
	return w.Fleet.Image(app, tag)
}

// record reads the newest Rollback of an image in an environment; nil if absent.
func (w *World) record(env, image string) *v1alpha1.Rollback {
	w.t.Helper()
	var list v1alpha1.RollbackList
	w.must(w.Client.List(w.t.Context(), &list, client.InNamespace(w.Fleet.Namespace(env))))
	var newest *v1alpha1.Rollback
	for i := range list.Items {
		if r := &list.Items[i]; r.Spec.Subject.Name == image && (newest == nil || newest.Name < r.Name) {
			newest = r
		}
	}
	return newest
}

// until waits for the newest Rollback of an image to satisfy ask, and gives it.
func (w *World) until(env, image, what string, ask func(*v1alpha1.RollbackStatus) bool) *v1alpha1.Rollback {
	w.t.Helper()
	var got *v1alpha1.Rollback
	w.Until("the Rollback of "+image+" "+what, func() error {
		got = w.record(env, image)
		if got == nil {
			return fmt.Errorf("there is none")
		}
		if !ask(&got.Status) {
			return fmt.Errorf("it is %s, waiting %+v, outcome %+v", got.Status.Phase, got.Status.Waiting, got.Status.Outcome)
		}
		return nil
	})
	return got
}

// ends waits for the newest Rollback of an image to end like this, with a sentence that says all of says.
func (w *World) ends(env, image string, result v1alpha1.Result, says ...string) *v1alpha1.Rollback {
	w.t.Helper()
	r := w.until(env, image, "ends", func(s *v1alpha1.RollbackStatus) bool { return s.Outcome != nil && s.Outcome.Result == result })
	for _, words := range says {
		if !strings.Contains(r.Status.Outcome.Message, words) {
			w.t.Errorf("the outcome does not say %q: %s", words, r.Status.Outcome.Message)
		}
	}
	return r
}

// waits waits for the newest Rollback of an image to wait for something, and for a reason that says all of says.
func (w *World) waits(env, image string, says ...string) *v1alpha1.Rollback {
	w.t.Helper()
	return w.until(env, image, "waits because "+strings.Join(says, ", "), func(s *v1alpha1.RollbackStatus) bool {
		for _, words := range says {
			if s.Waiting == nil || !strings.Contains(s.Waiting.Why, words) {
				return false
			}
		}
		return true
	})
}

func TestOneImageInTheCommit(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.auto(prod)
	w.Settle()
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	suspect := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	r := w.ends(prod, bad, v1alpha1.ResultVerified, "runs "+w.Fleet.Image("backend", fleet.Tag(prod, 0)))
	if r.Status.Suspect.Commit != suspect {
		t.Errorf("blamed %s, want %s", r.Status.Suspect.Commit, suspect)
	}
	// The revert's tree is exactly what git revert makes: the parent's.
	if got, want := w.git("rev-parse", r.Status.Change.Commit+"^{tree}"), w.git("rev-parse", suspect+"^^{tree}"); got != want {
		t.Errorf("the revert's tree is %s, git revert's would be %s", got, want)
	}
	w.runs(prod, "backend", fleet.Tag(prod, 0))
}

// Publish pushes an app's image to the registry, for linux/amd64 unless platforms are named, and gives its digest.
// It is always an index, so that a kubelet misses its platform.
func (w *World) Publish(app, tag string, platforms ...string) string {
	w.t.Helper()
	if len(platforms) == 0 {
		platforms = []string{"linux/amd64"}
	}
	digest, err := w.Registry.PushIndex(app, tag, platforms...)
	w.must(err)
	w.scan(app)
	return digest
}

// scan asks for a scan of an app's repository in every environment, as a webhook of a registry does.
func (w *World) scan(app string) {
	w.t.Helper()
	for _, env := range w.Fleet.Environments {
		repo := &reflectorv1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(env), Name: app}}
		asks := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, time.Now().Format(time.RFC3339Nano))
		err := w.Client.Patch(w.t.Context(), repo, client.RawPatch(types.MergePatchType, []byte(asks)))
		w.must(client.IgnoreNotFound(err))
	}
}
