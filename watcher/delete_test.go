package watcher

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/backstop-dev/backstop/reconcile"
)

// A StatefulSet makes its pod again under the same name: what was seen to be stuck may be gone, and another one good.
func TestOnlyThePodThatWasSeenIsDeleted(t *testing.T) {
	for name, c := range map[string]struct {
		seen string
		left bool
	}{"the very pod": {"one", false}, "another of its name": {"before", true}} {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "db-0", UID: "one"}})
			// As the API server does.
			client.PrependReactor("delete", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
				d, ok := action.(clienttesting.DeleteActionImpl)
				if !ok {
					return true, nil, errors.New("no delete")
				}
				if p := d.DeleteOptions.Preconditions; p != nil && p.UID != nil && *p.UID != types.UID("one") {
					return true, nil, apierrors.NewConflict(corev1.Resource("pods"), "db-0", errors.New("the UID in the precondition differs"))
				}
				return false, nil, nil
			})
			p := &Pods{Client: client}
			if err := p.Delete(t.Context(), "a", reconcile.StuckPod{Name: "db-0", UID: c.seen}); err != nil {
				t.Fatal(err)
			}
			_, err := client.CoreV1().Pods("a").Get(t.Context(), "db-0", metav1.GetOptions{})
			if left := err == nil; left != c.left {
				t.Errorf("the pod is there: %v (%v)", left, err)
			}
		})
	}
}
