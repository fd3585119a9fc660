package gate

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	autov1 "github.com/fluxcd/image-automation-controller/api/v1"
	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"

	"github.com/backstop-dev/backstop/gate/imagepolicy"
	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// readPolicies collects what image automation is made of.
func (m *model) readPolicies() {
	images := map[string]string{}
	for _, p := range m.placedObjects() {
		if p.Group() != "image.toolkit.fluxcd.io" {
			continue
		}
		switch p.Kind {
		case "ImageRepository":
			var o imagev1.ImageRepository
			if !m.decode(&p.Object, &o) {
				continue
			}
			image := o.Spec.Image
			images[p.Namespace+"/"+p.Name] = image
			if m.scanned == nil {
				m.scanned = map[string]placed{}
			}
			if _, known := m.scanned[image]; !known && image != "" {
				m.scanned[image] = p
			}
		case "ImagePolicy":
			var o imagev1.ImagePolicy
			if m.decode(&p.Object, &o) {
				rule, broken := imagepolicy.Parse(o.Spec)
				m.policies = append(m.policies, &policy{
					placed: p, spec: o.Spec, rule: rule, broken: broken, envs: m.config.of(p.paths...),
				})
			}
		case "ImageUpdateAutomation":
			var o autov1.ImageUpdateAutomation
			if m.decode(&p.Object, &o) {
				m.automations = append(m.automations, automation{placed: p, spec: o.Spec, envs: m.config.of(p.paths...)})
			}
		}
	}
	for _, p := range m.policies {
		ref := p.spec.ImageRepositoryRef
		p.image = images[cmp.Or(ref.Namespace, p.Namespace)+"/"+ref.Name]
		m.repos[p.id()] = p.image
	}
}

// checkPolicies holds every ImagePolicy of an environment against the other environments.
func (m *model) checkPolicies() {
	charts := m.ofCharts()
	for _, p := range m.policies {
		if charts[p.id()] {
			continue
		}
		for _, env := range p.envs {
			m.checkPolicy(p, m.config.Environments[env])
		}
	}
}

// ofCharts are the policies whose markers write versions of charts alone: tags of images are no measure for them.
func (m *model) ofCharts() map[string]bool {
	out := map[string]bool{}
	for _, name := range m.listing.YAML {
		for _, n := range m.files[name].Nodes {
			if n.Policy == "" {
				continue
			}
			chart, known := out[n.Policy]
			out[n.Policy] = ofChart(n) && (chart || !known)
		}
	}
	return out
}

func (m *model) checkPolicy(p *policy, e *Environment) {
	f := report.Finding{
		Level: report.LevelError, File: p.File, Line: p.LineOf("spec", "filterTags", "pattern"),
		Environment: e.name, Subject: p.Kind + " " + p.id(),
	}.By(p.paths)
	if p.broken != nil {
		f.Rule = report.RulePolicyPattern
		var field *imagepolicy.Unfit
		if errors.As(p.broken, &field) {
			f.Line = p.LineOf(field.Keys...)
		}
		f.Message = fmt.Sprintf("ImagePolicy %s selects nothing: %v", p.id(), p.broken)
		f.Fix = "correct that field"
		m.findings = append(m.findings, f)
		return
	}
	if p.spec.FilterTags == nil || p.spec.FilterTags.Pattern == "" {
		if e.Tags == "" {
			return
		}
		f.Rule = report.RulePolicyPattern
		f.Message = fmt.Sprintf("ImagePolicy %s selects from all tags, but %s takes only tags that match %s",
			p.id(), e.name, e.Tags)
		f.Fix = fmt.Sprintf("set spec.filterTags.pattern: '%s'", anchored(e.Tags))
		m.findings = append(m.findings, f)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(m.config.Environments)) {
		other := m.config.Environments[name]
		if name == e.name || other.Tags == "" || other.Tags == e.Tags {
			continue
		}
		example, none := p.example(e, other)
		if none {
			continue
		}
		f := f
		f.Rule, f.Subject = report.RulePolicyOther, f.Subject+" "+name
		f.Message = fmt.Sprintf("ImagePolicy %s of %s accepts tags of %s: %s matches its pattern %s",
			p.id(), e.name, name, example, p.spec.FilterTags.Pattern)
		f.Fix = "anchor the pattern, so that it starts with what only this environment's tags start with"
		if e.Tags != "" {
			f.Fix = fmt.Sprintf("use a pattern such as '%s'", anchored(e.Tags))
		}
		if example == "" {
			m.undecided = append(m.undecided, undecided{policy: p, own: e, other: other, finding: f})
			continue
		}
		m.findings = append(m.findings, f)
	}
}

// anchored begins a pattern at the start.
func anchored(pattern string) string {
	if strings.HasPrefix(pattern, "^") {
		return pattern
	}
	return "^" + pattern
}

// checkAutomations looks for automations that write where another environment lives.
func (m *model) checkAutomations() {
	for _, a := range m.automations {
		dir := "."
		if a.spec.Update != nil {
			// No path leads out of the repository: image automation, too, takes .. at its root for the root.
			dir = manifest.Folder(a.spec.Update.Path)
		}
		if len(a.envs) == 0 {
			continue
		}
		for _, name := range m.listing.YAML {
			if dir != "." && !strings.HasPrefix(name, dir+"/") || !m.marked(name) {
				continue
			}
			envs := m.config.of(name)
			if len(envs) == 0 || overlap(envs, a.envs) {
				continue
			}
			m.findings = append(m.findings, report.Finding{
				Rule: report.RuleAutomation, Level: report.LevelError, File: a.File, Line: a.LineOf("spec", "update", "path"),
				Environment: a.envs[0], Subject: a.String() + " " + strings.Join(envs, ","),
				Message: fmt.Sprintf("%s of %s writes below %s, where %s has markers: %s",
					&a.Object, strings.Join(a.envs, ", "), orRoot(dir), strings.Join(envs, ", "), name),
				Fix: "set spec.update.path to a folder of " + strings.Join(a.envs, ", ") + " alone",
			}.By(a.paths))
			break
		}
	}
}

func orRoot(dir string) string {
	if dir == "." {
		return "the root of the repository"
	}
	return dir
}

// marked reports whether a file holds a marker.
func (m *model) marked(name string) bool {
	s := m.files[name]
	return s != nil && slices.ContainsFunc(s.Nodes, func(n manifest.Node) bool { return n.Policy != "" })
}

// some lists the first few of a list.
func some(list []string, most int) string {
	if len(list) > most {
		return strings.Join(list[:most], ", ") + fmt.Sprintf(" and %d more", len(list)-most)
	}
	return strings.Join(list, ", ")
}
