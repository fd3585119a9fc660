package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/backstop-dev/backstop/gate"
	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// maxRendered is how many objects are named that a revert changes.
const maxRendered = 20

// rendered renders the files before and after a plan, and says in lines what it changes. A plan after which a folder
// cannot be built any more, or that changes nothing of what is rendered, is an error: somebody has to look.
func rendered(ctx context.Context, p *gitrepo.Plan, image string) ([]string, error) {
	loud := muteStderr()
	c, err := gate.Compare(ctx, p.Tree, render.Over(p.Tree, p.After()), image)
	loud()
	if err != nil {
		return nil, fmt.Errorf("render what the revert changes: %w", err)
	}
	if len(c.Broken) > 0 {
		f := c.Broken[0]
		if f.Rule != report.RuleBuild {
			return nil, fmt.Errorf("with the revert %s:%d says %s, and nothing replaces the variable in it", f.File, f.Line,
				f.Image)
		}
		return nil, fmt.Errorf("with the revert kustomize cannot build what it could: %s:%d %s", f.File, f.Line, f.Message)
	}
	// What only comes with the revert takes the image away from nobody.
	if c.Had && !slices.ContainsFunc(c.Changes, func(o gate.Change) bool { return len(o.Before) > 0 }) {
		return nil, fmt.Errorf("the revert changes files, and nothing of what they render: something else sets %s", image)
	}
	var lines []string
	for i, change := range c.Changes {
		if i == maxRendered {
			lines = append(lines, fmt.Sprintf("… and %d more.", len(c.Changes)-i))
			break
		}
		lines = append(lines, oneLine("Rendered: "+change.String()))
	}
	for i, use := range c.Left {
		if i == maxRendered {
			break
		}
		lines = append(lines, oneLine(fmt.Sprintf("Still there: %s, %s:%d.", use.Object, use.File, use.Line)))
	}
	return lines, nil
}
