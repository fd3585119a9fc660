package gate

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/Masterminds/semver/v3"

	"github.com/backstop-dev/backstop/gate/imagepolicy"
)

// accepts reports whether a policy selects from a tag.
func (p *policy) accepts(tag string) bool {
	if p.rule == nil {
		return false
	}
	_, why, _ := p.rule.Read(tag)
	return why == ""
}

// example is a tag of another environment that a policy accepts, although it is not one of the policy's own
// environment. none means that no such tag exists. Without either, no example was found.
func (p *policy) example(e, other *Environment) (tag string, none bool) {
	patterns := []string{p.spec.FilterTags.Pattern, other.Tags}
	if p.spec.FilterTags.Extract == "" {
		switch {
		case p.spec.Policy.SemVer != nil:
			patterns = append(patterns, `^v?[0-9]+\.[0-9]+\.[0-9]+`+candidate)
		case p.spec.Policy.Numerical != nil:
			patterns = append(patterns, `^[0-9]+$`)
		}
	}
	// A tag that both environments may run is no mistake.
	tag, found, none := imagepolicy.Search(e.Tags, patterns...)
	if none || found && p.accepts(tag) {
		return tag, none
	}
	if p.spec.Policy.SemVer == nil {
		return "", false
	}
	for _, v := range versionsNear(p.spec.Policy.SemVer.Range) {
		with := append(slices.Clone(patterns), `(^|[^0-9.])`+regexp.QuoteMeta(v)+`([-+]|$)`)
		if p.spec.FilterTags.Extract == "" {
			with = append(patterns[:2:2], `^v?`+regexp.QuoteMeta(v)+candidate)
		}
		if tag, found := imagepolicy.Witness(e.Tags, with...); found && p.accepts(tag) {
			return tag, false
		}
	}
	return "", false
}

// literal is a version as ranges have them.
var literal = regexp.MustCompile(`[0-9]+(\.[0-9]+)?(\.[0-9]+)?`)

// candidate ends a version that may be a release candidate, as tags can have it.
const candidate = `(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`

// versionsNear are versions that are probably within a range: the first that it names, and a later one.
func versionsNear(within string) []string {
	v, err := semver.NewVersion(literal.FindString(within))
	if err != nil {
		return []string{"1.0.0"}
	}
	return []string{fmt.Sprintf("%d.%d.%d", v.Major(), v.Minor(), v.Patch()), v.IncMinor().String()}
}
