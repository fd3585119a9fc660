package trigger_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// Three commits that broke three workloads at once are rarer than something that all three need.
func TestNewRevisionsOfManyCommitsThatFailAtOnceAreAskedAbout(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	of := func(name, commit string, ago time.Duration) v1alpha1.Rollback {
		var r v1alpha1.Rollback
		r.Namespace, r.Name, r.UID = name, name, types.UID(name)
		r.Status.Failures = []v1alpha1.Failure{{Rollout: &v1alpha1.Rollout{}, Since: v1alpha1.NewTime(now.Add(-ago))}}
		if commit != "" {
			r.Status.Suspect = &v1alpha1.Suspect{Commit: commit}
		}
		return r
	}
	beside := func(name, commit string) v1alpha1.Rollback {
		r := of(name, commit, 0)
		r.Namespace = "web"
		return r
	}
	start := of("start", "c8", 0)
	start.Status.Failures[0].Cause = v1alpha1.CauseCannotStart
	pull := of("pull", "c9", time.Minute)
	pull.Status.Failures[0].Rollout = nil
	for name, c := range map[string]struct {
		open []v1alpha1.Rollback
		says string
	}{
		"three commits":                {[]v1alpha1.Rollback{of("web", "c1", 0), of("api", "c2", time.Minute), of("job", "c3", time.Minute)}, "3 commits"},
		"three commits of a namespace": {[]v1alpha1.Rollback{of("web", "c1", 0), beside("api", "c2"), beside("job", "c3")}, "3 commits"},
		"another tenant's three":       {[]v1alpha1.Rollback{of("own", "c4", 0), of("web", "c1", 0), beside("api", "c2"), beside("job", "c3")}, ""},
		"two commits":                  {[]v1alpha1.Rollback{of("web", "c1", 0), of("api", "c2", time.Minute)}, ""},
		"one commit of three":          {[]v1alpha1.Rollback{of("web", "c1", 0), of("api", "c1", 0), of("job", "c1", 0)}, ""},
		"one that failed an hour ago":  {[]v1alpha1.Rollback{of("web", "c1", 0), of("api", "c2", 0), of("job", "c3", time.Hour)}, ""},
		"one that cannot be pulled":    {[]v1alpha1.Rollback{of("web", "c1", 0), of("api", "c2", 0), pull}, ""},
		"one whose start fails":        {[]v1alpha1.Rollback{of("web", "c1", 0), of("api", "c2", 0), start}, ""},
		"its own start fails":          {[]v1alpha1.Rollback{start, of("web", "c1", 0), of("api", "c2", 0), of("job", "c3", 0)}, ""},
		"not blamed yet":               {[]v1alpha1.Rollback{of("web", "c1", 0), of("api", "", 0), of("job", "", 0)}, "3 commits"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &reconcile.World{Now: now, Rollback: c.open[0]}
			got := trigger.NewRevision().Breaker(w, c.open)
			if got != "" && c.says == "" || !strings.Contains(got, c.says) {
				t.Errorf("says %q, want %q", got, c.says)
			}
		})
	}
}
