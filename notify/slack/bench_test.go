package slack

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/card"
)

// BenchmarkACardThatIsUpToDate is what each of a thousand open Rollbacks costs when all are looked at: rendering,
// comparing, and finding that the thread was told everything.
func BenchmarkACardThatIsUpToDate(b *testing.B) {
	r := &v1alpha1.Rollback{}
	r.Namespace, r.Name, r.UID = "production", "backend-1", "uid"
	r.CreationTimestamp = metav1.NewTime(time.Unix(1_700_000_000, 0))
	r.Spec.Trigger, r.Spec.Image = v1alpha1.TriggerImagePull, "reg.example/backend:v2"
	asking(r)
	words := told(r, false)
	want := hashOf(card.Of(card.Facts{Rollback: r, Cluster: "prod-eu-1"}))
	for b.Loop() {
		if hashOf(card.Of(card.Facts{Rollback: r, Cluster: "prod-eu-1"})) != want {
			b.Fatal("the same facts give another card")
		}
		if _, _, news := card.Note(before(r, words), r); news {
			b.Fatal("the thread is told again")
		}
	}
}
