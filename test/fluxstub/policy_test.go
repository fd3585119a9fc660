package fluxstub

import (
	"strings"
	"testing"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

func TestSelections(t *testing.T) {
	semver := func(within string) reflectorv1.ImagePolicyChoice {
		return reflectorv1.ImagePolicyChoice{SemVer: &reflectorv1.SemVerPolicy{Range: within}}
	}
	numerical := func(order string) reflectorv1.ImagePolicyChoice {
		return reflectorv1.ImagePolicyChoice{Numerical: &reflectorv1.NumericalPolicy{Order: order}}
	}
	alphabetical := func(order string) reflectorv1.ImagePolicyChoice {
		return reflectorv1.ImagePolicyChoice{Alphabetical: &reflectorv1.AlphabeticalPolicy{Order: order}}
	}
	for _, tc := range []struct {
		name    string
		tags    string
		filter  *reflectorv1.TagFilter
		policy  reflectorv1.ImagePolicyChoice
		want    string
		problem string
	}{
		{name: "the newest of a range", tags: "1.0.0 v1.2.0 1.10.0 2.0.0 latest", policy: semver("1.x"), want: "1.10.0"},
		{name: "a version that is left out of the range", tags: "1.0.0 1.2.3", policy: semver(">=1.0.0 !=1.2.3"), want: "1.0.0"},
		{name: "nothing in the range", tags: "1.0.0 latest", policy: semver("2.x"), problem: "unable to determine latest version"},
		{name: "no range", tags: "1.0.0", policy: semver("!"), problem: "unable to parse range '!'"},
		{name: "numbers by their value", tags: "9 10 2", policy: numerical("asc"), want: "10"},
		{name: "the smallest number", tags: "9 10 2", policy: numerical("desc"), want: "2"},
		{name: "no number", tags: "9 ten", policy: numerical("asc"), problem: "invalid numeric value 'ten'"},
		{name: "letters", tags: "a c b", policy: alphabetical("asc"), want: "c"},
		{name: "letters from behind, and the default order", tags: "a c b", policy: alphabetical("desc"), want: "a"},
		{
			name: "what is extracted is compared, and the tag is selected", tags: "develop-v2.0.0-100 develop-v1.0.0-200 staging-v1.0.0-300",
			filter: &reflectorv1.TagFilter{Pattern: `^develop-v.*-(?P<ts>[0-9]+)$`, Extract: "$ts"}, policy: numerical("asc"), want: "develop-v1.0.0-200",
		},
		{name: "no tag passes the filter", tags: "a", filter: &reflectorv1.TagFilter{Pattern: "^b"}, policy: alphabetical("asc"), problem: "cannot be empty"},
		{name: "a filter that is no pattern", tags: "a", filter: &reflectorv1.TagFilter{Pattern: "("}, policy: alphabetical("asc"), problem: "invalid regular expression"},
		{name: "no tags", policy: alphabetical("asc"), problem: "cannot be empty"},
		{name: "no policy", tags: "a", problem: "ImagePolicyChoice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := latest(strings.Fields(tc.tags), reflectorv1.ImagePolicySpec{FilterTags: tc.filter, Policy: tc.policy})
			if tc.problem == "" && (err != nil || got != tc.want) || tc.problem != "" && (err == nil || !strings.Contains(err.Error(), tc.problem)) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
