package gate

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// checkMarkers looks for markers that name no policy, or one of another environment.
func (m *model) checkMarkers() {
	for _, name := range m.listing.YAML {
		for _, wrong := range m.files[name].Misread {
			m.findings = append(m.findings, misread(name, wrong))
		}
	}
	byID := map[string]*policy{}
	for _, p := range m.policies {
		byID[p.id()] = p
	}
	// Where the tree has no policy at all they live elsewhere.
	if len(m.policies) == 0 {
		return
	}
	writers := m.writers()
	for _, name := range m.listing.YAML {
		for _, n := range m.files[name].Nodes {
			if n.Policy == "" {
				continue
			}
			m.checkMarker(n, byID)
			if f, missed := writers.missed(n); missed {
				m.findings = append(m.findings, f)
			}
		}
	}
}

// misread is the finding about a marker that image automation passes over.
func misread(file string, wrong manifest.Misread) report.Finding {
	f := report.Finding{
		Rule: report.RuleMarkerUnknown, Level: report.LevelError, File: file, Line: wrong.Line, Subject: wrong.Comment,
		Fix: "move it behind the value that it is to write, on the same line",
	}
	why := ""
	switch wrong.Why {
	case manifest.MisreadPlace:
		why = "does not stand behind a value, on its line"
	case manifest.MisreadText:
		why = "is part of a text"
		f.Level = report.LevelNote
		f.Fix = "write the value outside of the text, or ignore this if it is an example"
	case manifest.MisreadList:
		why = "is in a file that is a list at its top"
		f.Fix = "put the list under a key"
	case manifest.MisreadKey:
		f.Message = fmt.Sprintf("the marker %s stands behind KEY=VALUE: image automation writes over the key too",
			wrong.Comment)
		f.Fix = "write the value into a file of the generator, or into a ConfigMap"
		return f
	case manifest.MisreadPart:
		f.Message = fmt.Sprintf("the marker %s stands behind a whole image: image automation writes a part of one over it",
			wrong.Comment)
		f.Fix = "leave out what stands after the policy's name"
		return f
	case manifest.MisreadWhole:
		f.Message = fmt.Sprintf("the marker %s stands behind a part of an image: image automation writes a whole one over it",
			wrong.Comment)
		f.Fix = "add :tag or :digest to the policy's name"
		return f
	default:
		if lower, ok := lowered(wrong.Comment); ok {
			f.Message = fmt.Sprintf("the marker %s has upper-case letters, and no name of an ImagePolicy has any: image "+
				"automation passes over it", wrong.Comment)
			f.Fix = fmt.Sprintf(`write # {"$imagepolicy": %q}, if that is what the ImagePolicy is called`, lower)
			return f
		}
		why = "names no ImagePolicy"
		f.Fix = `write # {"$imagepolicy": "NAMESPACE:NAME"}, with :tag, :name or :digest after NAME for a part`
	}
	f.Message = fmt.Sprintf("the marker %s %s: image automation passes over it", wrong.Comment, why)
	return f
}

// markedName finds what a marker names.
var markedName = regexp.MustCompile(`"\$imagepolicy"\s*:\s*"([^"]*)"\s*\}\s*$`)

// lowered gives what a marker names in lower-case letters, where that is all that is wrong with it.
func lowered(comment string) (string, bool) {
	found := markedName.FindStringSubmatch(comment)
	if found == nil {
		return "", false
	}
	lower := strings.ToLower(found[1])
	return lower, lower != found[1] && manifest.IsPolicyName(lower)
}

func (m *model) checkMarker(n manifest.Node, byID map[string]*policy) {
	p := byID[n.Policy]
	envs := m.config.of(n.File)
	f := report.Finding{
		Level: report.LevelError, File: n.File, Line: n.Line, Subject: n.Policy + " " + strings.Join(envs, ","),
	}
	if len(envs) > 0 {
		f.Environment = envs[0]
	}
	switch {
	case p == nil:
		_, name, _ := strings.Cut(n.Policy, ":")
		// A policy without a namespace in the tree gets one elsewhere.
		if byID[":"+name] != nil {
			return
		}
		f.Rule = report.RuleMarkerUnknown
		f.Message = fmt.Sprintf("the marker names ImagePolicy %s, which is nowhere in the repository", n.Policy)
		f.Fix = "correct the name, or add the ImagePolicy; the repository has " + some(sortedKeys(byID), 5)
	case len(envs) > 0 && len(p.envs) > 0 && !overlap(envs, p.envs):
		f.Rule = report.RuleMarkerOther
		f.Message = fmt.Sprintf("the marker names ImagePolicy %s of %s, but the file is of %s",
			n.Policy, strings.Join(p.envs, ", "), strings.Join(envs, ", "))
		f.Fix = "name an ImagePolicy of " + strings.Join(envs, ", ")
	case namesImage(n) && isAnother(n.Value, p.image):
		f.Rule, f.Level = report.RuleMarkerImage, report.LevelNote
		f.Message = fmt.Sprintf("the marker names ImagePolicy %s, which selects tags of %s: image automation writes that "+
			"over %s", n.Policy, p.image, n.Value)
		f.Fix = "name the ImagePolicy of this image, unless the other one is to take its place"
	default:
		return
	}
	m.findings = append(m.findings, f)
}

// namesImage reports whether image automation writes the name of an image where a marker is.
func namesImage(n manifest.Node) bool {
	return n.Suffix == "name" || n.Part == manifest.PartImage && n.Suffix == ""
}

// isAnother reports whether what a policy scans is another image than the one at its marker, by the last word of their
// repositories: the rest changes where an image moves to another registry.
func isAnother(value, scanned string) bool {
	if scanned == "" || strings.Contains(value+scanned, "$") {
		return false
	}
	return path.Base(image.Repository(value)) != path.Base(image.Repository(scanned))
}

// writers are the folders to which the automations of a namespace write in this repository.
type writers map[string][]string

// writers lists, by namespace, where the automations of the tree write. Those of a namespace of which one cannot be
// told are left out.
func (m *model) writers() writers {
	out, unknown := writers{}, false
	for _, a := range m.automations {
		dir := "."
		if a.spec.Update != nil {
			dir = a.spec.Update.Path
		}
		if strings.Contains(a.Namespace+dir, "$") || a.Namespace == "" {
			unknown = true
		}
		if ref := a.spec.SourceRef; ref.Kind != "GitRepository" || !m.builder.oursByName(ref.Name) {
			continue
		}
		out[a.Namespace] = append(out[a.Namespace], manifest.Folder(dir))
	}
	if unknown {
		return nil
	}
	return out
}

// missed is the finding about a marker which no automation of its policy's namespace reaches.
func (w writers) missed(n manifest.Node) (report.Finding, bool) {
	ns, _, _ := strings.Cut(n.Policy, ":")
	dirs := w[ns]
	if len(dirs) == 0 || slices.ContainsFunc(dirs, func(dir string) bool {
		return dir == "." || strings.HasPrefix(n.File, dir+"/")
	}) {
		return report.Finding{}, false
	}
	return report.Finding{
		Rule: report.RuleMarkerMissed, Level: report.LevelNote, File: n.File, Line: n.Line, Subject: n.Policy,
		Message: fmt.Sprintf("no ImageUpdateAutomation of namespace %s in this repository writes here, but below %s", ns,
			some(union(dirs, nil), 3)),
		Fix: "set spec.update.path to a folder that has this file, unless an automation from elsewhere writes it",
	}, true
}
