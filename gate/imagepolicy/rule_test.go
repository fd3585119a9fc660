package imagepolicy_test

import (
	"strings"
	"testing"

	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"

	"github.com/backstop-dev/backstop/gate/imagepolicy"
)

func semverOf(r string) imagev1.ImagePolicyChoice {
	return imagev1.ImagePolicyChoice{SemVer: &imagev1.SemVerPolicy{Range: r}}
}

func TestSelect(t *testing.T) {
	number := func(order string) imagev1.ImagePolicyChoice {
		return imagev1.ImagePolicyChoice{Numerical: &imagev1.NumericalPolicy{Order: order}}
	}
	alphabet := func(order string) imagev1.ImagePolicyChoice {
		return imagev1.ImagePolicyChoice{Alphabetical: &imagev1.AlphabeticalPolicy{Order: order}}
	}
	tests := map[string]struct {
		policy           imagev1.ImagePolicyChoice
		pattern, extract string
		tags             string
		want             string
		taken            int
		// why is what is said of the tag "odd".
		why string
	}{
		"the newest version within a range":       {semverOf(">=1.0.0 <2.0.0"), "", "", "1.0.0 v1.10.0 1.9.0 2.0.0 1.2", "v1.10.0", 3, `"odd" is no version`},
		"a prerelease is not within a plain one":  {semverOf(">=1.0.0"), "", "", "1.0.0 1.1.0-rc.1", "1.0.0", 1, ""},
		"a version that is extracted":             {semverOf("*"), `^prod-(?P<v>.*)$`, "$v", "prod-1.0.0 prod-1.0.1 dev-9.0.0", "prod-1.0.1", 2, "odd does not match the pattern"},
		"the greatest number":                     {number("asc"), "", "", "9 10 x", "10", 2, `"odd" is no number`},
		"the least number":                        {number("desc"), "", "", "9 10", "9", 2, ""},
		"no order is ascending":                   {number(""), "", "", "9 10", "10", 2, ""},
		"the last of the alphabet":                {alphabet("asc"), "", "", "a c b", "c", 3, ""},
		"the first of the alphabet":               {alphabet("desc"), "", "", "b a c", "a", 3, ""},
		"no tag fits":                             {number("asc"), "^z", "", "1 2", "", 0, "does not match"},
		"a pattern that is not anchored fits all": {number("asc"), `(?P<n>[0-9]+)$`, "$n", "staging-2 production-1", "staging-2", 2, "does not match"},
		"a choice that is none takes the first":   {imagev1.ImagePolicyChoice{}, "", "", "b a", "b", 2, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			spec := imagev1.ImagePolicySpec{Policy: tt.policy}
			if tt.pattern != "" {
				spec.FilterTags = &imagev1.TagFilter{Pattern: tt.pattern, Extract: tt.extract}
			}
			b, err := imagepolicy.Parse(spec)
			if err != nil {
				t.Fatal(err)
			}
			if got, taken := b.Select(strings.Fields(tt.tags)); got != tt.want || taken != tt.taken {
				t.Errorf("selected %q of %d, want %q of %d", got, taken, tt.want, tt.taken)
			}
			if _, why, fix := b.Read("odd"); !strings.Contains(why, tt.why) || (why == "") != (fix == "") {
				t.Errorf("of odd it says %q, %q; want %q", why, fix, tt.why)
			}
		})
	}
}

// FuzzSelect takes any pattern, extraction, range and tags: an selected tag is one of them, and one that the rule
// takes.
func FuzzSelect(f *testing.F) {
	f.Add(`^production-v.*-(?P<ts>[0-9]+)$`, "$ts", "", "production-v1-1 staging-v1-2")
	f.Add("", "", ">=1.0.0", "1.0.0 v2 \x00")
	f.Fuzz(func(t *testing.T, pattern, extract, within, tags string) {
		spec := imagev1.ImagePolicySpec{FilterTags: &imagev1.TagFilter{Pattern: pattern, Extract: extract}}
		if within != "" {
			spec.Policy = semverOf(within)
		} else {
			spec.Policy.Numerical = &imagev1.NumericalPolicy{}
		}
		b, err := imagepolicy.Parse(spec)
		if err != nil {
			return
		}
		all := strings.Fields(tags)
		got, taken := b.Select(all)
		if (got == "") != (taken == 0) {
			t.Fatalf("selected %q of %d", got, taken)
		}
		if _, why, _ := b.Read(got); got != "" && why != "" {
			t.Errorf("%q was selected, but %s", got, why)
		}
	})
}
