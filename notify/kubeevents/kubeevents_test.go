package kubeevents

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

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
