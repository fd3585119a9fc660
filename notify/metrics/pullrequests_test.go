package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestMetricsCountPullRequests(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	of := func(state v1alpha1.PullRequestState) v1alpha1.Rollback {
		r := v1alpha1.Rollback{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}, Status: v1alpha1.RollbackStatus{
			Failures: []v1alpha1.Failure{{Cause: v1alpha1.CauseNotFound, Since: v1alpha1.NewTime(now)}},
		}}
		if state != "" {
			r.Status.PullRequest = &v1alpha1.PullRequest{Number: 7, URL: "https://git.example/pulls/7", State: state}
		}
		return r
	}
	none, open, merged, closed := of(""), of(v1alpha1.PullRequestOpen), of(v1alpha1.PullRequestMerged), of(v1alpha1.PullRequestClosed)
	lifts := of("")
	lifts.Status.LiftPullRequest = &v1alpha1.PullRequest{Number: 8, URL: "https://git.example/pulls/8", State: v1alpha1.PullRequestOpen}
	m := New(func() []v1alpha1.Rollback { return []v1alpha1.Rollback{none, open, open, merged, lifts} },
		func() []v1alpha1.ObjectRef { return nil }, func() time.Time { return now })
	for _, change := range [][2]v1alpha1.Rollback{{none, open}, {open, open}, {open, merged}, {merged, merged}, {open, closed}, {none, lifts}} {
		m.Tell(&change[0], &change[1])
	}
	want := `
# HELP backstop_pull_requests_open Pull requests of Rollbacks that are open, by namespace.
# TYPE backstop_pull_requests_open gauge
backstop_pull_requests_open{namespace="shop"} 2
# HELP backstop_pull_requests_total Rollbacks whose pull request was opened, merged or closed without a merge, by what it is for.
# TYPE backstop_pull_requests_total counter
backstop_pull_requests_total{for="lift",state="opened"} 1
backstop_pull_requests_total{for="revert",state="closed"} 1
backstop_pull_requests_total{for="revert",state="merged"} 1
backstop_pull_requests_total{for="revert",state="opened"} 1
`
	if err := testutil.CollectAndCompare(m, strings.NewReader(want), "backstop_pull_requests_open", "backstop_pull_requests_total"); err != nil {
		t.Error(err)
	}
}
