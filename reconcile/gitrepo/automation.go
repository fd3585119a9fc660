package gitrepo

import (
	"fmt"
	"slices"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// automationOf tells whose automation wrote all of the nodes, else why that is not proved. A node is image automation's
// if it was marked before the commit, not held, and the new value is what that policy selects now or selected right
// before. Selections that are longer ago left no trace that could be trusted.
func automationOf(origins []origin, policies []reconcile.ImagePolicy) (who *v1alpha1.ObjectRef, byHand string) {
	for _, o := range origins {
		for i, n := range o.nodes {
			was := o.was[i]
			if was != nil && (was.Value == n.Value || follows(origins, *was, n)) {
				continue
			}
			by, why := writerOf(was, n, policies)
			if by == nil {
				return nil, oneLine(n.File, nameRunes) + ": " + why
			}
			if who == nil {
				who = by
			}
		}
	}
	return who, ""
}

// writerOf is the automation that wrote a node's value, else why that is not proved.
func writerOf(was *manifest.Node, n manifest.Node, policies []reconcile.ImagePolicy) (*v1alpha1.ObjectRef, string) {
	k := slices.IndexFunc(policies, func(p reconcile.ImagePolicy) bool { return p.Name == n.Policy })
	name := oneLine(n.Policy, nameRunes)
	switch {
	case n.Policy != "" && k < 0:
		return nil, fmt.Sprintf("the marker names %s, which is no ImagePolicy that is written to this repository", name)
	case was == nil:
		return nil, "the commit added the value"
	case was.Policy == "" || n.Policy == "":
		return nil, "the value had no marker"
	case was.Policy != n.Policy:
		return nil, fmt.Sprintf("the commit changed the marker from %s to %s", oneLine(was.Policy, nameRunes), name)
	case was.Held != nil:
		return nil, "the marker was held"
	case policies[k].Automation == nil:
		return nil, fmt.Sprintf("no ImageUpdateAutomation here writes what ImagePolicy %s selects", name)
	case !writes(policies[k].Latest, was.Suffix, n.Value) && !writes(policies[k].Previous, was.Suffix, n.Value):
		return nil, fmt.Sprintf("the value is neither what ImagePolicy %s selects nor what it selected before", name)
	}
	ref := *policies[k].Automation
	return &ref, ""
}

// follows reports whether an alias changed only because the scalar that it stands for did, which is marked: whose
// change that is, is asked there.
func follows(origins []origin, was, n manifest.Node) bool {
	if n.Anchor == "" || was.Anchor != n.Anchor || was.Policy+n.Policy != "" {
		return false
	}
	return slices.ContainsFunc(origins, func(o origin) bool {
		return slices.ContainsFunc(o.nodes, func(m manifest.Node) bool {
			return m.File == n.File && m.Anchor == n.Anchor && m.Policy != ""
		})
	})
}

// writes reports whether image automation writes a value for an selection, at a marker with a suffix.
func writes(selected, suffix, value string) bool {
	if selected == "" {
		return false
	}
	repository, tag, digest := manifest.Split(selected)
	switch suffix {
	case "":
		return value == selected
	case "tag":
		return value == tag
	case "name":
		return value == repository
	case "digest":
		return value == digest
	}
	return false
}
