package reconcile

import "testing"

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
