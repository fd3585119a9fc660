package reconcile

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestTheSummaryEndsWithHowToAnswer(t *testing.T) {
	until := v1alpha1.NewTime(time.Date(2026, 11, 21, 15, 24, 0, 0, time.UTC))
	ask := &v1alpha1.Question{ID: "3fa9c1d2e4b5", Until: until, Answers: []v1alpha1.Answer{v1alpha1.Approve, v1alpha1.Reject}}
	restore := &v1alpha1.Question{ID: "3fa9c1d2e4b6", Until: until, Answers: []v1alpha1.Answer{v1alpha1.Reject}}
	soon := until.Add(-time.Hour)
	later := &v1alpha1.Question{ID: ask.ID, Until: v1alpha1.NewTime(until.Add(72 * time.Hour)), Answers: ask.Answers}
	byHand := v1alpha1.RollbackStatus{Failures: []v1alpha1.Failure{{Trigger: v1alpha1.TriggerDrift, Drift: &v1alpha1.Drift{}}}}
	over := func(r v1alpha1.Result) v1alpha1.RollbackStatus {
		s := *byHand.DeepCopy()
		s.Outcome = &v1alpha1.Outcome{Result: r}
		return s
	}
	long := strings.Repeat("x", 63)
	tests := map[string]struct {
		namespace, name, says string
		question              *v1alpha1.Question
		want                  string
		status                v1alpha1.RollbackStatus
	}{
		"nobody is asked": {"shop", "web-1", "looking for the commit", nil, "looking for the commit", v1alpha1.RollbackStatus{}},
		"a person is asked": {"shop", "web-1", "a person decides by 15:24:00 UTC: the policy asks", ask,
			"a person decides by 15:24 UTC, to revert: backstop approve web-1 -n shop", v1alpha1.RollbackStatus{}},
		"a person has days": {"shop", "web-1", "", later, "a person decides by 24 Nov 15:24 UTC, to revert: backstop approve web-1 -n shop",
			v1alpha1.RollbackStatus{}},
		"a change by hand can be adopted": {"shop", "web-1", "", ask, "a person decides by 15:24 UTC, to adopt: backstop approve web-1 -n shop", byHand},
		"nobody answered, and it can still be answered": {"shop", "web-1", "nobody decided in 1h; it can still be approved or rejected. Asked because",
			ask, "nobody decided in 1h; it can still be approved or rejected. Asked because, to adopt: backstop approve web-1 -n shop", over(v1alpha1.ResultExpired)},
		"what Flux took back can still be adopted": {"shop", "web-1",
			"Kustomization/flux-system/apps took it back, 1m after the change by hand: Deployment/backend runs", ask,
			"Kustomization/flux-system/apps took it back, 1m after the change by hand: Dep…, to adopt: backstop approve web-1 -n shop", over(v1alpha1.ResultRestored)},
		"a change by hand can only be restored": {"shop", "web-1", "", restore,
			"a person decides by 15:24 UTC, to restore: backstop reject web-1 -n shop", byHand},
		"the names leave no room for when":      {long, "web-1f2e3d4c5b-1", "", ask, "backstop approve web-1f2e3d4c5b-1 -n " + long, v1alpha1.RollbackStatus{}},
		"the names leave no room for a command": {long, long, "", ask, "a person decides: backstop approve or reject", v1alpha1.RollbackStatus{}},
		"a long sentence is cut":                {"shop", "web-1", strings.Repeat("ö", 200), nil, strings.Repeat("ö", 119) + "…", v1alpha1.RollbackStatus{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := &v1alpha1.Rollback{Status: tt.status}
			r.Namespace, r.Name, r.Status.Question = tt.namespace, tt.name, tt.question
			got := summary(r, tt.says, soon)
			if got != tt.want || utf8.RuneCountInString(got) > maxSummary {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
