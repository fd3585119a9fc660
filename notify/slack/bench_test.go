package slack

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/notify/slack/card"
	"github.com/backstop-dev/backstop/test/slackstub"
)

// BenchmarkAThousandOpenRollbacks posts all of their cards, at a card a second of a clock that is put on by hand, and
// looks at all of them again as after a restart: each is posted once.
func BenchmarkAThousandOpenRollbacks(b *testing.B) {
	const n = 1000
	for b.Loop() {
		w := &world{
			slack: slackstub.New(slackstub.Options{}), objects: acme("http://slack.test/api/"),
			store: &store{all: map[string]*v1alpha1.Rollback{}},
		}
		now := time.Now()
		clock := func() time.Time { return now }
		log := slog.New(slog.DiscardHandler)
		apps := &Apps{Reader: w.objects, Hosts: Hosts{"slack.test"}, Now: clock, Log: log, http: func(*Settings) *http.Client { return w.slack.Client() }}
		apps.Refresh(b.Context(), []types.NamespacedName{provider1})
		w.poster = New(Options{
			Cluster: "prod-eu-1", Apps: apps, Records: w.store, All: w.store.list, Now: clock, Log: log,
			Plan: func(_ context.Context, r *v1alpha1.Rollback) (Plan, error) {
				return Plan{Facts: card.Facts{Rollback: r, Cluster: "prod-eu-1"}, Provider: provider1}, nil
			},
		})
		for i := range n {
			w.put(fmt.Sprintf("app-%04d", i), asking)
		}
		started := now
		for range 2 {
			d := newOutbox(w.poster, provider1)
			for _, r := range w.store.list() {
				d.offer(&r)
			}
			for wait, idle := d.step(b.Context()); !idle; wait, idle = d.step(b.Context()) {
				now = now.Add(wait)
			}
		}
		posts, twice := w.posts(), 0
		for _, times := range posts {
			if times > 1 {
				twice++
			}
		}
		if len(posts) != n || twice > 0 {
			b.Fatalf("%d of %d have a card, %d of them two", len(posts), n, twice)
		}
		b.ReportMetric(now.Sub(started).Minutes(), "minutes-until-all-are-posted")
		b.ReportMetric(float64(twice), "posted-twice")
	}
}

// BenchmarkACardThatIsUpToDate is what each of a thousand open Rollbacks costs when all are looked at: rendering,
// comparing, and finding that the thread was told everything.
func BenchmarkACardThatIsUpToDate(b *testing.B) {
	r := &v1alpha1.Rollback{}
	r.Namespace, r.Name, r.UID = "production", "backend-1", "uid"
	r.CreationTimestamp = metav1.NewTime(time.Unix(1_700_000_000, 0))
	r.Spec.OpenedFor, r.Spec.Subject = v1alpha1.TriggerImagePull, v1alpha1.ImageSubject("reg.example/backend:v2")
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
