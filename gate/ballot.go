package gate

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

// Ballot is an ImagePolicy's rule, ready to judge tags as image-reflector-controller does.
type Ballot struct {
	spec    imagev1.ImagePolicySpec
	pattern *regexp.Regexp
	within  *semver.Constraints
}

// unfit is a field that no tag can satisfy.
type unfit struct {
	keys        []string
	value, what string
	err         error
}

func (u *unfit) Error() string {
	return fmt.Sprintf("%s %q is no %s: %v", strings.Join(u.keys, "."), u.value, u.what, u.err)
}

func (u *unfit) Unwrap() error { return u.err }

// NewBallot reads a rule. The error says what of it no tag can satisfy.
func NewBallot(spec imagev1.ImagePolicySpec) (*Ballot, error) {
	b := &Ballot{spec: spec}
	var err error
	if t := spec.FilterTags; t != nil && t.Pattern != "" {
		if b.pattern, err = regexp.Compile(t.Pattern); err != nil {
			return nil, &unfit{[]string{"spec", "filterTags", "pattern"}, t.Pattern, "regular expression", err}
		}
	}
	if r := spec.Policy.SemVer; r != nil {
		if b.within, err = semver.NewConstraint(r.Range); err != nil {
			return nil, &unfit{[]string{"spec", "policy", "semver", "range"}, r.Range, "range of versions", err}
		}
	}
	return b, nil
}

// Reading is what a rule makes of a tag.
type Reading struct {
	version *semver.Version
	number  float64
	text    string
}

// Matches says whether there is a pattern, and a tag matches it.
func (b *Ballot) Matches(tag string) bool { return b.pattern != nil && b.pattern.MatchString(tag) }

// Read gives what of a tag the rule compares; otherwise why it does not take the tag, and what to do.
func (b *Ballot) Read(tag string) (r Reading, why, fix string) {
	r.text = tag
	if b.pattern != nil {
		match := b.pattern.FindStringSubmatchIndex(tag)
		if match == nil {
			return r, fmt.Sprintf("%s does not match the pattern %s", tag, b.pattern), b.example(tag)
		}
		if e := b.spec.FilterTags.Extract; e != "" {
			r.text = string(b.pattern.ExpandString(nil, e, tag, match))
		}
	}
	from := ""
	if r.text != tag {
		from = fmt.Sprintf(" (extracted from %s)", tag)
	}
	switch {
	case b.within != nil:
		v, err := versionOf(r.text)
		if err != nil {
			return r, fmt.Sprintf("%q%s is no version (major.minor.patch)", r.text, from),
				"tag it with a version such as 1.2.3, or extract one: spec.filterTags.extract"
		}
		if r.version = v; !b.within.Check(v) {
			return r, fmt.Sprintf("%s%s is not within %s", r.text, from, b.spec.Policy.SemVer.Range),
				"push a version within the range, or widen spec.policy.semver.range"
		}
	case b.spec.Policy.Numerical != nil:
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

// example says how a tag would have to look.
func (b *Ballot) example(tag string) string {
	if like, ok := Witness("", b.pattern.String()); ok {
		return fmt.Sprintf("push the image under a tag that matches, such as %s, or change spec.filterTags.pattern", like)
	}
	return fmt.Sprintf("change spec.filterTags.pattern so that it matches %s: no tag can match it now", tag)
}

// After says whether the rule puts one reading behind another, so that it is elected instead of it.
func (b *Ballot) After(x, y Reading) bool {
	order, sign := "", 0
	switch {
	case b.within != nil:
		return x.version.GreaterThan(y.version)
	case b.spec.Policy.Numerical != nil:
		order, sign = b.spec.Policy.Numerical.Order, cmp.Compare(x.number, y.number)
	case b.spec.Policy.Alphabetical != nil:
		order, sign = b.spec.Policy.Alphabetical.Order, cmp.Compare(x.text, y.text)
	}
	if order == "desc" {
		sign = -sign
	}
	return sign > 0
}

// Elect gives the tag that the rule chooses; empty where it takes none. taken is how many it chooses from.
func (b *Ballot) Elect(tags []string) (best string, taken int) {
	var top Reading
	for _, tag := range tags {
		r, why, _ := b.Read(tag)
		if why != "" {
			continue
		}
		if taken++; best == "" || b.After(r, top) {
			best, top = tag, r
		}
	}
	return best, taken
}

// Nearest is the tag, of some that the rule does not take, that comes the furthest: the last one that matches the
// pattern, else the last.
func (b *Ballot) Nearest(tags []string) string {
	for _, tag := range slices.Backward(tags) {
		if b.pattern == nil || b.pattern.MatchString(tag) {
			return tag
		}
	}
	return tags[len(tags)-1]
}

// Rule is the policy's rule for a sentence.
func (b *Ballot) Rule() string {
	var parts []string
	if b.pattern != nil {
		parts = append(parts, "pattern "+b.pattern.String())
	}
	p := b.spec.Policy
	switch {
	case p.SemVer != nil:
		parts = append(parts, "newest version within "+p.SemVer.Range)
	case p.Numerical != nil:
		parts = append(parts, "by number, "+cmp.Or(p.Numerical.Order, "asc"))
	case p.Alphabetical != nil:
		parts = append(parts, "by alphabet, "+cmp.Or(p.Alphabetical.Order, "asc"))
	}
	return strings.Join(parts, ", ")
}
