package reconcile

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestWhatFailsInAFullNamespaceIsToldAndLeavesNoRecord(t *testing.T) {
	m := newModel()
	e := m.engine("prod", Budget{})
	var told []string
	kept := 7
	e.MaxRecords, e.Count = 7, func(string) int { return kept }
	e.TellFull = func(ns, image string, most int) { told = append(told, fmt.Sprint(ns, "/", image, " ", most)) }
	m.selected = imgBad
	m.writeBack()
	m.rollOut()
	key := ImageKey(m.ns, imgBad)
	again, err := e.Walk(t.Context(), key)
	if err != nil || again != fullAgain || len(m.records) != 0 || !slices.Equal(told, []string{key.String() + " 7"}) {
		t.Fatalf("again in %s, %v, told %v, %d records", again, err, told, len(m.records))
	}
	kept--
	if _, err := e.Walk(t.Context(), key); err != nil || len(m.records) != 1 {
		t.Errorf("not opened once there is room: %v, %d records", err, len(m.records))
	}
}

func TestANearlyFullNamespaceForgetsItsOldestFirst(t *testing.T) {
	at := func(ns, name string, ended time.Duration, hold string) v1alpha1.Rollback {
		r := v1alpha1.Rollback{}
		r.Namespace, r.Name, r.UID = ns, name, types.UID(ns+"/"+name)
		r.Status.Outcome = &v1alpha1.Outcome{Result: v1alpha1.ResultVerified, At: micro(t0.Add(-ended))}
		if hold != "" {
			r.Status.Change = &v1alpha1.Change{Hold: hold, Policies: []string{"develop:app"}}
		}
		return r
	}
	open := v1alpha1.Rollback{}
	open.Namespace, open.UID = "develop", "open"
	all := []v1alpha1.Rollback{at("develop", "held", 9*time.Hour, "h"), at("develop", "young", time.Hour, ""),
		at("develop", "old", 3*time.Hour, ""), open, at("staging", "other", 5*time.Hour, "")}
	got := (&Engine{MaxRecords: 4}).crowded(all)
	if len(got) != 1 || !got["develop/old"] {
		t.Errorf("makes room by %v, want develop/old", got)
	}
	if got := (&Engine{}).crowded(all); len(got) > 0 {
		t.Errorf("without a limit %v", got)
	}
}

func TestTheBreakerIsANamespacesUnlessSeveralAgree(t *testing.T) {
	rb := func(ns, image string) v1alpha1.Rollback {
		r := v1alpha1.Rollback{}
		r.Namespace, r.UID, r.Spec.Subject = ns, types.UID(ns+"/"+image), v1alpha1.ImageSubject(image)
		r.Status.Failures = []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull, Cause: v1alpha1.CauseUnauthorized}}
		r.Status.Target = &v1alpha1.Target{At: micro(t0)}
		return r
	}
	own := rb("production", "ghcr.io/acme/app:v2")
	own.Status.Target.Proved, own.Status.Target.BadProved = true, true
	for name, tt := range map[string]struct {
		open []v1alpha1.Rollback
		want bool
	}{
		"three of one tenant": {[]v1alpha1.Rollback{rb("team-a", "ghcr.io/a:1"), rb("team-a", "ghcr.io/b:1"), rb("team-a", "ghcr.io/c:1")}, false},
		"four of two tenants": {[]v1alpha1.Rollback{rb("team-a", "ghcr.io/a:1"), rb("team-a", "ghcr.io/b:1"), rb("team-a", "ghcr.io/c:1"), rb("team-b", "ghcr.io/a:1")}, false},
		"three tenants agree": {[]v1alpha1.Rollback{rb("team-a", "ghcr.io/a:1"), rb("team-b", "ghcr.io/a:1"), rb("team-c", "ghcr.io/a:1")}, true},
		"of another registry": {[]v1alpha1.Rollback{rb("team-a", "quay.io/a:1"), rb("team-b", "quay.io/a:1"), rb("team-c", "quay.io/a:1")}, false},
		"three of its own":    {[]v1alpha1.Rollback{rb("production", "ghcr.io/a:1"), rb("production", "ghcr.io/b:1"), rb("production", "ghcr.io/c:1")}, true},
		"two of its own":      {[]v1alpha1.Rollback{rb("production", "ghcr.io/a:1"), rb("production", "ghcr.io/b:1")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := rowOf(v1alpha1.TriggerImagePull).Breaker(&World{Rollback: own}, tt.open); (got != "") != tt.want {
				t.Errorf("got %q, want open: %t", got, tt.want)
			}
		})
	}
}
