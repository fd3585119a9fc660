package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestMetricsCountEndsStepsAndHolds(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) v1alpha1.Time { return v1alpha1.NewTime(now.Add(-d)) }
	failure := []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull, Cause: v1alpha1.CauseNotFound, Since: ago(10 * time.Second)}}
	held := v1alpha1.Rollback{ObjectMeta: metav1.ObjectMeta{Namespace: "develop"}, Status: v1alpha1.RollbackStatus{
		Failures: failure, Outcome: &v1alpha1.Outcome{Result: v1alpha1.ResultVerified},
		Verdict: &v1alpha1.Verdict{Answer: v1alpha1.Approve}, Change: &v1alpha1.Change{Hold: "h", At: ago(time.Hour)},
	}}
	younger, lifted := *held.DeepCopy(), *held.DeepCopy()
	younger.Status.Change.At = ago(time.Minute)
	lifted.Status.Lifted = &v1alpha1.Lifted{By: "jane"}
	open := v1alpha1.Rollback{ObjectMeta: metav1.ObjectMeta{Namespace: "develop"}, Status: v1alpha1.RollbackStatus{
		Failures: failure, Question: &v1alpha1.Question{},
	}}
	adrift := func() []v1alpha1.ObjectRef {
		return []v1alpha1.ObjectRef{{Kind: "Deployment", Namespace: "develop", Name: "a"}, {Kind: "CronJob", Namespace: "develop", Name: "a"}}
	}
	m := New(func() []v1alpha1.Rollback { return []v1alpha1.Rollback{held, younger, lifted, open} }, adrift, func() time.Time { return now })

	before := held.DeepCopy()
	before.Status.Outcome = nil
	m.Tell(before, &held)
	m.Tell(&held, &held)
	want := `
# HELP backstop_drift Workloads whose image differs from Git's right now, by namespace.
# TYPE backstop_drift gauge
backstop_drift{namespace="develop"} 2
# HELP backstop_hold_age_seconds Age of the oldest hold, by namespace.
# TYPE backstop_hold_age_seconds gauge
backstop_hold_age_seconds{namespace="develop"} 3600
# HELP backstop_holds Holds on image automation that stand in Git, by namespace.
# TYPE backstop_holds gauge
backstop_holds{namespace="develop"} 2
# HELP backstop_rollbacks_open Rollbacks that have not ended, by phase.
# TYPE backstop_rollbacks_open gauge
backstop_rollbacks_open{phase="Blaming"} 1
# HELP backstop_rollbacks_waiting_for_person Rollbacks that wait for somebody to decide, by namespace.
# TYPE backstop_rollbacks_waiting_for_person gauge
backstop_rollbacks_waiting_for_person{namespace="develop"} 1
`
	if err := testutil.CollectAndCompare(m, strings.NewReader(want), "backstop_drift", "backstop_hold_age_seconds", "backstop_holds",
		"backstop_rollbacks_open", "backstop_rollbacks_waiting_for_person"); err != nil {
		t.Error(err)
	}
	if n := testutil.ToFloat64(m.ended.WithLabelValues("verified", "NotFound")); n != 1 {
		t.Errorf("%v ended as verified, want 1", n)
	}
	if n, causes := testutil.CollectAndCount(m, "backstop_rollbacks_total"), len(v1alpha1.Causes()); n != 3*causes+1 {
		t.Errorf("%d series, want one at zero for each of %d causes of what alerts look at", n, causes)
	}
	if n := testutil.CollectAndCount(m, "backstop_step_duration_seconds"); n != 1 {
		t.Errorf("%d steps observed, want the outcome alone", n)
	}
}
