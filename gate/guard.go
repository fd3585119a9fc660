package gate

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// guardUse holds an image against the guardrails of an environment.
func (m *model) guardUse(use *report.Use, e *Environment) {
	_, tag, digest := manifest.Split(use.Image)
	fail := func(rule report.Rule, fix, format string, args ...any) {
		m.findings = append(m.findings, report.Finding{
			Rule: rule, Level: report.LevelError, File: use.File, Line: use.Line, Image: use.Image, Environment: e.name,
			Message: fmt.Sprintf(format, args...), Fix: fix, Subject: use.Object,
		}.By(use.Paths))
	}
	named := tag
	if named == "" && digest == "" {
		named = "latest"
	}
	if named != "" && !e.tags.MatchString(named) {
		fail(report.RuleTag, "use a tag of "+e.name,
			"%s: tag %q does not match %s, which %s requires", use.Image, named, e.Tags, e.name)
	}
	if e.Immutable && digest == "" && isMutable(named) {
		fail(report.RuleMutable, "name a version, or pin the digest: "+use.Image+"@sha256:…",
			"%s: tag %q can move, which %s does not allow", use.Image, named, e.name)
	}
	if e.Digests && digest == "" {
		fail(report.RuleDigest, "pin it: "+use.Image+"@sha256:… (`crane digest "+use.Image+"` says which), "+
			"or let the ImagePolicy do it: digestReflectionPolicy: IfNotPresent",
			"%s has no digest, which %s requires", use.Image, e.name)
	}
	if full := fullName(use.Image); len(e.Registries) > 0 && !from(full, e.Registries) {
		fail(report.RuleRegistry, "use one of "+strings.Join(e.Registries, ", "),
			"%s comes from %s, which %s does not allow", use.Image, full, e.name)
	}
}

// version is what a tag needs so that it is not meant to move.
var version = regexp.MustCompile(`[0-9]|^[a-f]{7,}$`)

// isMutable reports whether a tag is one that is meant to move.
func isMutable(tag string) bool {
	for _, word := range strings.FieldsFunc(tag, func(r rune) bool { return r == '-' || r == '_' || r == '.' }) {
		switch word {
		case "latest", "nightly", "edge", "snapshot", "SNAPSHOT":
			return true
		}
	}
	return !version.MatchString(tag)
}

// fullName is the repository with its registry.
func fullName(image string) string {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return image
	}
	return named.Name()
}

// from reports whether a repository is of one of the registries.
func from(repository string, registries []string) bool {
	repository = atRegistry(repository)
	return slices.ContainsFunc(registries, func(allowed string) bool {
		allowed = atRegistry(strings.TrimSuffix(allowed, "/"))
		return repository == allowed || strings.HasPrefix(repository, allowed+"/")
	})
}

// atRegistry is a repository, or the beginning of one, under the one name of its registry: hosts know no case, 443 is
// the port of HTTPS, and Docker Hub has several names.
func atRegistry(name string) string {
	host, rest, more := strings.Cut(name, "/")
	if host = image.Registry(strings.ToLower(host)); more {
		return host + "/" + rest
	}
	return host
}

// checkScanned holds what image automation watches against the registries that its environment allows.
func (m *model) checkScanned() {
	for _, image := range sortedKeys(m.scanned) {
		p := m.scanned[image]
		for _, name := range m.config.of(p.paths...) {
			e := m.config.Environments[name]
			full := fullName(image)
			if len(e.Registries) == 0 || from(full, e.Registries) {
				continue
			}
			m.findings = append(m.findings, report.Finding{
				Rule: report.RuleRegistry, Level: report.LevelError, File: p.File, Line: p.LineOf("spec", "image"), Image: image,
				Environment: e.name, Subject: p.String(), Fix: "use one of " + strings.Join(e.Registries, ", "),
				Message: fmt.Sprintf("%s watches %s, which %s does not allow", &p.Object, full, e.name),
			}.By(p.paths))
		}
	}
}
