package doctor

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// rollbacksAlone is an API server that has Rollbacks.
type rollbacksAlone struct {
	client.Client
	items []v1alpha1.Rollback
}

func (r rollbacksAlone) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	if list, ok := into.(*v1alpha1.RollbackList); ok {
		list.Items = r.items
	}
	return nil
}

// TestTheLastRecoveriesAreThoseOfTheWorkload has two workloads of one name and two kinds.
func TestTheLastRecoveriesAreThoseOfTheWorkload(t *testing.T) {
	began := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	web, db := v1alpha1.Workload{Kind: "Deployment", Name: "web"}, v1alpha1.Workload{Kind: "StatefulSet", Name: "web"}
	rollback := func(name string, result v1alpha1.Result, hour, took int, of ...v1alpha1.Workload) v1alpha1.Rollback {
		r := v1alpha1.Rollback{}
		r.Name = name
		landed := began.Add(time.Duration(hour) * time.Hour)
		r.Status.Landed = &v1alpha1.Landed{At: v1alpha1.NewTime(landed)}
		r.Status.Outcome = &v1alpha1.Outcome{Result: result, At: v1alpha1.NewTime(landed.Add(time.Duration(took) * time.Second))}
		for _, w := range of {
			r.Status.Failures = append(r.Status.Failures, v1alpha1.Failure{Workload: w})
		}
		return r
	}
	all := []v1alpha1.Rollback{
		rollback("web-1", v1alpha1.ResultVerified, 1, 8, web),
		rollback("db-1", v1alpha1.ResultVerified, 2, 300, db),
		rollback("both-1", v1alpha1.ResultVerified, 3, 20, web, db),
		rollback("web-2", v1alpha1.ResultFailed, 4, 900, web),
		{Status: v1alpha1.RollbackStatus{Failures: []v1alpha1.Failure{{Workload: web}}}},
		rollback("other-1", v1alpha1.ResultVerified, 5, 1, v1alpha1.Workload{Kind: "Deployment", Name: "other"}),
	}
	for i := range manyRecoveries {
		all = append(all, rollback("db-old", v1alpha1.ResultVerified, -i, 60, db))
	}
	g := &Gatherer{Client: rollbacksAlone{items: all}}
	measured := func(name string, hour, took int) Measured {
		at := began.Add(time.Duration(hour)*time.Hour + time.Duration(took)*time.Second)
		return Measured{Rollback: name, At: at, Seconds: float64(took)}
	}
	for _, c := range []struct {
		of   v1alpha1.Workload
		want []Measured
	}{
		{web, []Measured{measured("both-1", 3, 20), measured("web-1", 1, 8)}},
		{db, []Measured{measured("both-1", 3, 20), measured("db-1", 2, 300), measured("db-old", 0, 60), measured("db-old", -1, 60),
			measured("db-old", -2, 60)}},
	} {
		got := g.recovered(t.Context(), "production", &Workload{Workload: c.of})
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.of, diff)
		}
	}
}
