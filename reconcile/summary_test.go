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
	flux := func(after time.Duration) v1alpha1.RollbackStatus {
		at := v1alpha1.NewTime(soon.Add(after))
		return v1alpha1.RollbackStatus{Failures: []v1alpha1.Failure{{Trigger: v1alpha1.TriggerDrift, Drift: &v1alpha1.Drift{UndoneAt: &at}}}}
	}
	long := strings.Repeat("x", 63)
	tests := map[string]struct {
		namespace, name, says string
		question              *v1alpha1.Question
		want                  string
		status                v1alpha1.RollbackStatus
	}{
		"nobody is asked": {"shop", "web-1", "looking for the commit", nil, "web:v2: looking for the commit", v1alpha1.RollbackStatus{}},
		"it says which image it is about": {"shop", "web-1", "ghcr.io/acme/web:v2 came in with bad0 (main): the policy only tells", nil,
			"web:v2 came in with bad0 (main): the policy only tells", v1alpha1.RollbackStatus{}},
		"what it goes back to has no registry either": {"shop", "web-1", "Deployment/web runs ghcr.io/acme/web:v1 again", nil,
			"web:v2: Deployment/web runs web:v1 again", v1alpha1.RollbackStatus{Target: &v1alpha1.Target{Image: "ghcr.io/acme/web:v1"}}},
		"a person is asked": {"shop", "web-1", "a person decides by 15:24:00 UTC: the policy asks", ask,
			"web:v2: a person decides by 15:24 UTC, to revert: backstop approve web-1 -n shop", v1alpha1.RollbackStatus{}},
		"a person has days": {"shop", "web-1", "", later, "web:v2: a person decides by 24 Nov 15:24 UTC, to revert: backstop approve web-1 -n shop",
			v1alpha1.RollbackStatus{}},
		"a change by hand can be adopted": {"shop", "web-1", "", ask, "web:v2: a person decides by 15:24 UTC, to adopt: backstop approve web-1 -n shop", byHand},
		"a change by hand that Flux undoes first": {"shop", "web-1", "", ask,
			"web:v2: Flux undoes it at about 14:44 UTC, to adopt: backstop approve web-1 -n shop", flux(20 * time.Minute)},
		"a change by hand that Flux undoes later": {"shop", "web-1", "", ask,
			"web:v2: a person decides by 15:24 UTC, to adopt: backstop approve web-1 -n shop", flux(2 * time.Hour)},
		"a change by hand that Flux should have undone": {"shop", "web-1", "", ask,
			"web:v2: a person decides by 15:24 UTC, to adopt: backstop approve web-1 -n shop", flux(-time.Minute)},
		"nobody answered, and it can still be answered": {"shop", "web-1", "nobody decided in 1h; it can still be approved or rejected. Asked because",
			ask, "nobody decided in 1h; it can still be approved…, to adopt: backstop approve web-1 -n shop", over(v1alpha1.ResultExpired)},
		"what Flux undid can still be adopted": {"shop", "web-1",
			"Kustomization/flux-system/apps undid it, 1m after the change by hand: Deployment/backend runs", ask,
			"Kustomization/flux-system/apps undid it, 1m aft…, to adopt: backstop approve web-1 -n shop", over(v1alpha1.ResultRestored)},
		"a change by hand can only be restored": {"shop", "web-1", "", restore,
			"web:v2: a person decides by 15:24 UTC, to restore: backstop reject web-1 -n shop", byHand},
		"names of the usual length":                   {"develop", "backend-1f2e3d4c5b-1", "", ask, "to revert by 15:24 UTC: backstop approve backend-1f2e3d4c5b-1 -n develop", v1alpha1.RollbackStatus{}},
		"names of the usual length, and it has ended": {"develop", "backend-1f2e3d4c5b-1", "", ask, "still open, to adopt: backstop approve backend-1f2e3d4c5b-1 -n develop", over(v1alpha1.ResultExpired)},
		"the names leave no room for when":            {"production", "payments-worker-1f2e3d4c5b-12", "", ask, "backstop approve payments-worker-1f2e3d4c5b-12 -n production", v1alpha1.RollbackStatus{}},
		"the names leave no room for a command":       {long, long, "", ask, "backstop approve or reject by 15:24 UTC", v1alpha1.RollbackStatus{}},
		"neither do they after the end":               {long, long, "", ask, "backstop approve or reject it still", over(v1alpha1.ResultExpired)},
		"a long sentence is cut":                      {"shop", "web-1", strings.Repeat("ö", 200), nil, strings.Repeat("ö", 89) + "…", v1alpha1.RollbackStatus{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := &v1alpha1.Rollback{Status: tt.status}
			r.Spec.Subject = v1alpha1.Subject{Kind: v1alpha1.KindImage, Name: "ghcr.io/acme/web:v2"}
			r.Namespace, r.Name, r.Status.Question = tt.namespace, tt.name, tt.question
			got := summary(r, tt.says, soon)
			if got != tt.want || utf8.RuneCountInString(got) > maxSummary {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
