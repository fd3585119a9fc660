package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/watcher"
)

func TestAChangeByHandIsTheSameAtEachLook(t *testing.T) {
	changed := v1alpha1.NewTime(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))
	recorded := v1alpha1.NewTime(changed.Add(5 * time.Second))
	w := v1alpha1.Workload{Kind: "Deployment", Name: "backend"}
	seen := func(now time.Time) watcher.Adrift {
		return watcher.Adrift{Namespace: "shop", Git: "x:2", Change: v1alpha1.Failure{
			Trigger: v1alpha1.TriggerDrift, Workload: w, Container: "c", Since: v1alpha1.NewTime(now),
			Drift: &v1alpha1.Drift{Live: "x:1", At: &changed},
		}}
	}
	record := v1alpha1.Rollback{}
	record.Namespace, record.Name = "shop", "backend-1"
	record.Status.Failures = []v1alpha1.Failure{{
		ID: "abc", Workload: w, Container: "c", Since: recorded, Drift: &v1alpha1.Drift{Live: "x:1", At: &changed, Read: []string{"managedFields"}},
	}}
	for name, tt := range map[string]struct {
		known records
		id    string
		since v1alpha1.Time
	}{
		"before there is a record": {records{}, "", changed},
		"as it is recorded":        {records{all: []v1alpha1.Rollback{record}}, "abc", recorded},
	} {
		t.Run(name, func(t *testing.T) {
			first, then := tt.known.row(seen(changed.Add(time.Minute))), tt.known.row(seen(changed.Add(time.Hour)))
			if diff := cmp.Diff(first, then); diff != "" {
				t.Errorf("the looks differ:\n%s", diff)
			}
			if first.Change.ID != tt.id || !first.Change.Since.Equal(&tt.since) {
				t.Errorf("it is %q since %s, want %q since %s", first.Change.ID, first.Change.Since, tt.id, tt.since)
			}
		})
	}
}
