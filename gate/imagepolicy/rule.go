package imagepolicy

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Rule is an ImagePolicy's rule, ready to judge tags as image-reflector-controller does.
type Rule struct {
	spec    imagev1.ImagePolicySpec
	pattern *regexp.Regexp
	within  *semver.Constraints
}

// Unfit is a field that no tag can satisfy.
type Unfit struct {
	Keys        []string
	value, what string
	err         error
}

func (u *Unfit) Error() string {
	return fmt.Sprintf("%s %q is no %s: %v", strings.Join(u.Keys, "."), u.value, u.what, u.err)
}

func (u *Unfit) Unwrap() error { return u.err }

// Parse reads a rule. The error describes what of it no tag can satisfy.
func Parse(spec imagev1.ImagePolicySpec) (*Rule, error) {
	p := &Rule{spec: spec}
	var err error
	if t := spec.FilterTags; t != nil && t.Pattern != "" {
		if p.pattern, err = regexp.Compile(t.Pattern); err != nil {
			return nil, &Unfit{[]string{"spec", "filterTags", "pattern"}, t.Pattern, "regular expression", err}
		}
	}
	if r := spec.Policy.SemVer; r != nil {
		if p.within, err = semver.NewConstraint(r.Range); err != nil {
			return nil, &Unfit{[]string{"spec", "policy", "semver", "range"}, r.Range, "range of versions", err}
		}
	}
	return p, nil
}

// Reading is what a rule makes of a tag.
type Reading struct {
	version *semver.Version
	number  float64
	text    string
}

// Matches reports whether there is a pattern, and a tag matches it.
func (p *Rule) Matches(tag string) bool { return p.pattern != nil && p.pattern.MatchString(tag) }

// Read gives what of a tag the rule compares; otherwise why it does not take the tag, and what to do.
func (p *Rule) Read(tag string) (r Reading, why, fix string) {
	r.text = tag
	if p.pattern != nil {
		match := p.pattern.FindStringSubmatchIndex(tag)
		if match == nil {
			return r, fmt.Sprintf("%s does not match the pattern %s", tag, p.pattern), p.example(tag)
		}
		if e := p.spec.FilterTags.Extract; e != "" {
			r.text = string(p.pattern.ExpandString(nil, e, tag, match))
		}
	}
	from := ""
	if r.text != tag {
		from = fmt.Sprintf(" (extracted from %s)", tag)
	}
	switch {
	case p.within != nil:
		v, err := versionOf(r.text)
		if err != nil {
			return r, fmt.Sprintf("%q%s is no version (major.minor.patch)", r.text, from),
				"tag it with a version such as 1.2.3, or extract one: spec.filterTags.extract"
		}
		if r.version = v; !p.within.Check(v) {
			return r, fmt.Sprintf("%s%s is not within %s", r.text, from, p.spec.Policy.SemVer.Range),
				"push a version within the range, or widen spec.policy.semver.range"
		}
	case p.spec.Policy.Numerical != nil:
		n, err := strconv.ParseFloat(r.text, 64)
		if err != nil {
			return r, fmt.Sprintf("%q%s is no number", r.text, from),
				"end the tag in a number, or extract one: spec.filterTags.extract"
		}
		r.number = n
	}
	return r, "", ""
}

// versionOf reads one as Flux does: three numbers, with or without a v.
func versionOf(s string) (*semver.Version, error) {
	if _, err := semver.StrictNewVersion(strings.TrimPrefix(s, "v")); err != nil {
		return nil, err
	}
	return semver.NewVersion(s)
}

// example describes how a tag would have to look.
func (p *Rule) example(tag string) string {
	if like, ok := Witness("", p.pattern.String()); ok {
		return fmt.Sprintf("push the image under a tag that matches, such as %s, or change spec.filterTags.pattern", like)
	}
	return fmt.Sprintf("change spec.filterTags.pattern so that it matches %s: no tag can match it now", tag)
}

// After reports whether the rule puts one reading behind another, so that it is selected instead of it.
func (p *Rule) After(x, y Reading) bool {
	order, sign := "", 0
	switch {
	case p.within != nil:
		return x.version.GreaterThan(y.version)
	case p.spec.Policy.Numerical != nil:
		order, sign = p.spec.Policy.Numerical.Order, cmp.Compare(x.number, y.number)
	case p.spec.Policy.Alphabetical != nil:
		order, sign = p.spec.Policy.Alphabetical.Order, cmp.Compare(x.text, y.text)
	}
	if order == "desc" {
		sign = -sign
	}
	return sign > 0
}

// Select gives the tag that the rule chooses; empty where it takes none. taken is how many it chooses from.
func (p *Rule) Select(tags []string) (best string, taken int) {
	var top Reading
	for _, tag := range tags {
		r, why, _ := p.Read(tag)
		if why != "" {
			continue
		}
		if taken++; best == "" || p.After(r, top) {
			best, top = tag, r
		}
	}
	return best, taken
}

// Nearest is the tag, of some that the rule does not take, that comes the furthest: the last one that matches the
// pattern, else the last.
func (p *Rule) Nearest(tags []string) string {
	for _, tag := range slices.Backward(tags) {
		if p.pattern == nil || p.pattern.MatchString(tag) {
			return tag
		}
	}
	return tags[len(tags)-1]
}

// String is the policy's rule for a sentence.
func (p *Rule) String() string {
	var parts []string
	if p.pattern != nil {
		parts = append(parts, "pattern "+p.pattern.String())
	}
	choice := p.spec.Policy
	switch {
	case choice.SemVer != nil:
		parts = append(parts, "newest version within "+choice.SemVer.Range)
	case choice.Numerical != nil:
		parts = append(parts, "by number, "+cmp.Or(choice.Numerical.Order, "asc"))
	case choice.Alphabetical != nil:
		parts = append(parts, "by alphabet, "+cmp.Or(choice.Alphabetical.Order, "asc"))
	}
	return strings.Join(parts, ", ")
}
