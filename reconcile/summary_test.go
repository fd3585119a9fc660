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
	long := strings.Repeat("x", 63)
	tests := map[string]struct {
		namespace, name, says string
		question              *v1alpha1.Question
		want                  string
	}{
		"nobody is asked": {"shop", "web-1", "looking for the commit", nil, "looking for the commit"},
		"a person is asked": {"shop", "web-1", "a person decides by 15:24:00 UTC: the policy asks", ask,
			"a person decides by 15:24 UTC: backstop approve web-1 -n shop"},
		"a change by hand can only be restored": {"shop", "web-1", "", restore,
			"a person decides by 15:24 UTC: backstop reject web-1 -n shop"},
		"the names leave no room for when":      {long, "web-1f2e3d4c5b-1", "", ask, "backstop approve web-1f2e3d4c5b-1 -n " + long},
		"the names leave no room for a command": {long, long, "", ask, "a person decides: backstop approve or reject"},
		"a long sentence is cut":                {"shop", "web-1", strings.Repeat("ö", 200), nil, strings.Repeat("ö", 119) + "…"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := &v1alpha1.Rollback{}
			r.Namespace, r.Name, r.Status.Question = tt.namespace, tt.name, tt.question
			got := summary(r, tt.says)
			if got != tt.want || utf8.RuneCountInString(got) > maxSummary {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
