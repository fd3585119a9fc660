package kubeevents

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestEventsGoToTheRollbackAndItsWorkloads(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	client := fake.NewClientset()
	teller := New(client, scheme)
	defer teller.Stop()
	after := &v1alpha1.Rollback{ObjectMeta: metav1.ObjectMeta{Namespace: "develop", Name: "backend-1", UID: "u"}}
	after.Status.Failures = []v1alpha1.Failure{{
		Trigger: v1alpha1.TriggerImagePull, Workload: v1alpha1.Workload{Kind: "CronJob", Name: "nightly", UID: "w"}, Message: strings.Repeat("ö", 2000),
	}}
	teller.Tell(&v1alpha1.Rollback{}, after)

	got := map[string]corev1.Event{}
	for deadline := time.Now().Add(10 * time.Second); len(got) < 2 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		list, err := client.CoreV1().Events("develop").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			got[e.InvolvedObject.Kind+"/"+e.InvolvedObject.Name] = e
		}
	}
	for _, about := range []string{"Rollback/backend-1", "CronJob/nightly"} {
		e, ok := got[about]
		if !ok {
			t.Errorf("no event about %s: %v", about, got)
			continue
		}
		if e.Reason != "ImageFailing" || e.Type != corev1.EventTypeWarning {
			t.Errorf("%s: %s %s", about, e.Type, e.Reason)
		}
		if len(e.Message) > maxMessage || !utf8.ValidString(e.Message) {
			t.Errorf("%s: the message has %d bytes, valid %v", about, len(e.Message), utf8.ValidString(e.Message))
		}
	}
}

// TestManyEventsAreWrittenInTheirTurn has more of them than are written at once: they come later, and none after Stop.
func TestManyEventsAreWrittenInTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		var mu sync.Mutex
		var written []string
		client.PrependReactor("create", "events", func(a clienttesting.Action) (bool, runtime.Object, error) {
			create, ok := a.(clienttesting.CreateAction)
			if !ok {
				return false, nil, nil
			}
			e, _ := create.GetObject().(*corev1.Event)
			mu.Lock()
			defer mu.Unlock()
			written = append(written, e.InvolvedObject.Name)
			return true, e, nil
		})
		count := func() int {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return len(written)
		}
		teller := New(client, runtime.NewScheme())
		var want []string
		for i := range 3 * burst {
			want = append(want, fmt.Sprintf("nightly-%d", i))
			teller.RunFailed(v1alpha1.ObjectRef{Kind: "CronJob", Namespace: "develop", Name: want[i]}, "it failed")
		}
		if n := count(); n != burst {
			t.Errorf("%d were written at once, want %d", n, burst)
		}
		time.Sleep(time.Second)
		if n := count(); n <= burst || n > burst+perSecond {
			t.Errorf("%d were written within a second, want %d more than %d", n, perSecond, burst)
		}
		time.Sleep(time.Minute)
		count()
		teller.RunFailed(v1alpha1.ObjectRef{Kind: "CronJob", Namespace: "develop", Name: "late"}, "it failed")
		teller.Stop()
		teller.RunFailed(v1alpha1.ObjectRef{Kind: "CronJob", Namespace: "develop", Name: "later"}, "it failed")
		written = slices.DeleteFunc(written, func(name string) bool { return name == "late" })
		count()
		if diff := cmp.Diff(want, written); diff != "" {
			t.Errorf("written (-want +got):\n%s", diff)
		}
	})
}
