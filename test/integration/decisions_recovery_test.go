package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// What makes a decision needless, and what does not.

// grace is a change of a policy.
func grace(d time.Duration) func(*v1alpha1.RollbackPolicy) {
	return func(p *v1alpha1.RollbackPolicy) { p.Spec.Triggers[0].GracePeriod = &metav1.Duration{Duration: d} }
}

func TestRecoveredInTheGracePeriod(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.auto(prod, grace(10*time.Minute))
	w.Settle()
	image := w.publishBad("backend", fleet.Tag(prod, 1))
	tip := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	w.waits(prod, image, "grace period of 10m")
	// The same tag is pushed again, now for the node's platform.
	w.Publish("backend", fleet.Tag(prod, 1))
	r := w.ends(prod, image, v1alpha1.ResultRecovered, "container backend of pod backend-", "runs the image after all")
	if r.Status.Suspect != nil || r.Status.Verdict != nil {
		t.Errorf("blamed within the grace period: %+v, %+v", r.Status.Suspect, r.Status.Verdict)
	}
	w.runs(prod, "backend", fleet.Tag(prod, 1))
	w.unmoved(prod, tip)
}

func TestPendingPodDeletedIsNoRecovery(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	policy := w.auto(prod, grace(10*time.Minute))
	w.Settle()
	bad := w.publishBad("backend", fleet.Tag(prod, 1))
	tip := w.wroteBack(prod, "backend", fleet.Tag(prod, 1))
	r := w.waits(prod, bad, "grace period of 10m")
	failing := r.Status.Failures[0].Pull.Pod

	// The failing pod is deleted: its controller makes another one, which fails too.
	w.must(w.Client.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: failing}}))
	w.Until("another pod fails", func() error {
		for name, status := range w.pods(prod, "backend") {
			if name != failing && len(status.ContainerStatuses) > 0 && status.ContainerStatuses[0].State.Waiting != nil &&
				strings.Contains(status.ContainerStatuses[0].State.Waiting.Message, "no match for platform") {
				return nil
			}
		}
		return fmt.Errorf("pods %v", w.pods(prod, "backend"))
	})
	// All pods go: none fails any more, and none has started either.
	d := w.deployment(prod, "backend")
	was, none := d.DeepCopy(), int32(0)
	d.Spec.Replicas = &none
	w.must(w.Client.Patch(t.Context(), d, client.MergeFrom(was), client.FieldOwner("somebody")))
	w.Until("no pod is left", func() error {
		if left := w.pods(prod, "backend"); len(left) > 0 {
			return fmt.Errorf("pods %v", left)
		}
		return nil
	})
	w.unmoved(prod, tip)
	if r = Object(w, r); r.Status.Outcome != nil {
		t.Fatalf("ended because a Pending pod vanished: %+v", r.Status.Outcome)
	}
	// The grace period ends: Git is put right although nothing fails at the moment.
	w.amend(policy, grace(time.Second))
	w.ends(prod, bad, v1alpha1.ResultVerified)
	w.runs(prod, "backend", fleet.Tag(prod, 0))
	if n := w.reverts(); n != 1 {
		t.Errorf("%d reverts, want 1", n)
	}
}

func TestSupersededByAPersonsFix(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove))
	alice := w.user("alice", prod, "backstop-approver")
	w.Settle()
	bad, r := w.asked("backend", fleet.Tag(prod, 1))
	// A person is faster: another image, out of automation's reach.
	w.Publish("backend", "hotfix")
	fix, err := w.Alice.Change(t.Context(), w.Fleet.File(prod, "backend"), "Fix", func(text string) string {
		return strings.ReplaceAll(text, bad+" "+w.Fleet.Marker(prod, "backend", ""), w.Fleet.Image("backend", "hotfix"))
	})
	w.must(err)
	w.ends(prod, bad, v1alpha1.ResultSuperseded, fmt.Sprintf("main at %.12s no longer says %s: nothing to revert", fix, bad))
	w.runs(prod, "backend", "hotfix")
	if _, err := alice.backstop("approve", r.Name); err == nil || !strings.Contains(err.Error(), "has ended: Superseded") {
		t.Errorf("approving what is over: %v", err)
	}
	w.unmoved(prod, fix)
}

func TestEndedFormDoesNotReopenForTheSameRevision(t *testing.T) {
	t.Parallel()
	w := world(t, quick)
	s := startSidecar(t, w)
	w.auto(prod, mode(v1alpha1.ModeApprove))
	alice := w.user("alice", prod, "backstop-approver")
	w.Settle()
	bad, r := w.asked("backend", fleet.Tag(prod, 1))
	tip := w.Tip()
	_, err := alice.backstop("reject", r.Name, "--reason=we know")
	w.must(err)
	w.ends(prod, bad, v1alpha1.ResultRejected, "we know")

	// The same revision fails on in another pod, and before another sidecar.
	w.must(w.Client.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.Fleet.Namespace(prod), Name: r.Status.Failures[0].Pull.Pod}}))
	s.Stop(10 * time.Second)
	startSidecar(t, w)
	w.Until("another pod fails", func() error {
		if _, there := w.pods(prod, "backend")[r.Status.Failures[0].Pull.Pod]; there {
			return fmt.Errorf("the first one is still there")
		}
		for _, line := range w.Waiting(prod) {
			if strings.Contains(line, "Back-off pulling image") {
				return nil
			}
		}
		return fmt.Errorf("pods say %q", w.Waiting(prod))
	})
	w.unmoved(prod, tip)
	if n := len(w.rollbacksOf(prod, bad)); n != 1 {
		t.Errorf("%d Rollbacks of one revision, want 1", n)
	}

	// Another revision of the workload with the same image is another failure.
	_, err = w.Alice.Change(t.Context(), w.Fleet.File(prod, "backend"), "Label", func(text string) string {
		return strings.ReplaceAll(text, "        app: backend\n    spec:", "        app: backend\n        changed: \"yes\"\n    spec:")
	})
	w.must(err)
	w.Until("a second Rollback asks", func() error {
		for _, again := range w.rollbacksOf(prod, bad) {
			if again.Name != r.Name && again.Status.Waiting != nil && strings.Contains(again.Status.Waiting.Why, "a person decides by") {
				return nil
			}
		}
		return fmt.Errorf("there are %d", len(w.rollbacksOf(prod, bad)))
	})
}
