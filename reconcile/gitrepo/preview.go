package gitrepo

import (
	"cmp"
	"context"
	"fmt"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// Preview plans reverts on the tip of a source and pushes nothing. The Plan shows what Land would push now; it cannot
// be committed or pushed itself.
func (g *Mirrors) Preview(ctx context.Context, src reconcile.Source, reverts []reconcile.Revert) (*Plan, error) {
	var out *Plan
	err := g.fetched(ctx, src, func(h *history) (err error) {
		out, err = plan(ctx, h, &g.options, reverts, src)
		return err
	})
	return out, err
}

// plan makes the commits of reverts on a tip, without writing them anywhere.
func plan(ctx context.Context, h *history, o *Options, reverts []reconcile.Revert, src reconcile.Source,
) (*Plan, error) {
	sign, err := signer(src)
	if err != nil {
		return nil, err
	}
	now := o.Now()
	p, err := h.planReverts(ctx, reverts, now)
	if err != nil {
		return nil, err
	}
	out := &Plan{Tip: p.tip.Hash.String(), build: store.NewBuilder(h.Objects), Tree: h.Snapshot(p.tip.Tree)}
	revert, hold, err := p.commits(out.build, func(message string) store.Draft {
		out.Messages = append(out.Messages, message)
		return o.draft(src, message, now, sign)
	})
	if err != nil {
		return nil, err
	}
	out.Landings = p.landings(revert, hold)
	out.Reverted, out.Held = fileChanges(p.original, p.reverted), fileChanges(p.reverted, p.held)
	if head := cmp.Or(hold, revert); !head.IsZero() {
		out.Head = head.String()
	}
	return out, nil
}

// Images lists the images that a workload's manifests below a root name at the tip, in the order of the files.
func (l *Local) Images(ctx context.Context, root reconcile.Root, w v1alpha1.Workload) ([]string, error) {
	tip, err := l.history.At(ctx, l.history.Tip)
	if err != nil {
		return nil, err
	}
	tree := l.history.Snapshot(tip.Tree)
	files, err := manifest.Closure(tree, rootPath(root))
	if err != nil {
		return nil, fmt.Errorf("list the manifests below %q: %w", rootPath(root), err)
	}
	var out []string
	seen := map[string]bool{}
	for _, path := range files.Paths {
		data, err := tree.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		// A file that is no YAML, or is encrypted, names no image that could be reverted.
		nodes, err := manifest.Nodes(path, data)
		if err != nil {
			continue
		}
		for _, n := range nodes {
			if n.Part == manifest.PartImage && n.Object.Kind == w.Kind && n.Object.Name == w.Name && !seen[n.Value] {
				seen[n.Value] = true
				out = append(out, n.Value)
			}
		}
	}
	return out, nil
}

// Plan plans reverts on the tip. Nothing is written.
func (l *Local) Plan(ctx context.Context, reverts []reconcile.Revert, src reconcile.Source) (*Plan, error) {
	p, err := plan(ctx, l.history, &l.options, reverts, src)
	if err != nil {
		return nil, l.Lacks(err)
	}
	p.local = l
	return p, nil
}
