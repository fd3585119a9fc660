package reconcile

import (
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestSentencesArePutTogetherOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		parts []string
		want  string
	}{
		"nothing":                       {nil, ""},
		"empty ones are left out":       {[]string{"", "a is down", ""}, "a is down"},
		"two":                           {[]string{"a is down", "b is gone"}, "a is down; b is gone"},
		"what was said is not repeated": {[]string{"a is down", "b is gone", "a is down"}, "a is down; b is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := joinWords(tt.parts...); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A proxy or a registry may say in its words what it was asked with.
// The sentences of the record hold no secret, whichever peer's error has it.
func TestASecretInASentenceIsNotRecorded(t *testing.T) {
	const secret = "glpat-abcdefghij0123456789"
	said := "read the pull request: https://bot:" + secret + "@git.example.com/api/v4: 502 Bad Gateway"
	for name, got := range map[string]string{"brief": brief(said), "sentence": sentence(said)} {
		if strings.Contains(got, secret) || !strings.HasSuffix(got, "502 Bad Gateway") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestASecretInWhatAPodWaitsForIsNotRecorded(t *testing.T) {
	const secret = "glpat-abcdefghij0123456789"
	w := aWorld()
	w.edits(func(p *PodsSeen) {
		f := byHandOf("app", imgBad, 0)
		f.Trigger, f.Drift, f.Cause = v1alpha1.TriggerImagePull, nil, v1alpha1.CauseUnauthorized
		f.Message = "failed to resolve reference: https://bot:" + secret + "@registry.example.com/v2/: 401 Unauthorized"
		p.Failures = []v1alpha1.Failure{f}
	})
	rb := &v1alpha1.Rollback{}
	if err := (&Engine{}).fillFailures(t.Context(), &w, Step{}, rb); err != nil {
		t.Fatal(err)
	}
	if len(rb.Status.Failures) != 1 {
		t.Fatalf("recorded %+v", rb.Status.Failures)
	}
	got := rb.Status.Failures[0].Message
	if strings.Contains(got, secret) || !strings.HasSuffix(got, "401 Unauthorized") {
		t.Errorf("recorded %q", got)
	}
}
