package gitrepo

import (
	"context"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// foldedFrom goes on with what was laid over a place before a commit, where the commit wrote that value into the place
// and took away what said it:
//
//	base v0, patch v2 in prod  ──►  base v2, no patch      prod ran v2 before: what brought the patch its v2 counts
//
// Another root that has no such patch ran v0, so only the files of the query's own root count.
func (p *pursued) foldedFrom(ctx context.Context, f *walk, newer *store.Commit, there []manifest.Node) (bool, error) {
	if f.query.Image == "" || !isImage(p.group[0]) || manifest.SameReference(there, p.group) {
		return false, nil
	}
	changes, err := f.h.changesOf(f.At, newer)
	if err != nil {
		return false, err
	}
	var over [][]manifest.Node
	for _, c := range changes {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		found, err := p.laidOver(f.h, c, there)
		if err != nil {
			return false, err
		}
		over = append(over, found...)
	}
	if len(over) == 0 {
		return false, nil
	}
	files, err := f.builtAlone(ctx, there[0].File)
	if err != nil {
		return false, err
	}
	over = slices.DeleteFunc(over, func(g []manifest.Node) bool {
		o, by := g[0].Object, f.query.Root.By
		own := strings.HasPrefix(o.APIVersion, "kustomize.toolkit.fluxcd.io/") && o.Kind == by.Kind && o.Name == by.Name
		return !own && !slices.Contains(files, g[0].File)
	})
	if len(over) != 1 {
		return false, nil
	}
	p.group = over[0]
	p.file, err = f.Add(p.group[0].File)
	return true, err
}

// builtAlone lists the files that the query's root built in the version that the walk went to; for a person who asks
// about a whole repository those of the one Flux Kustomization that built a file, and none where several did.
func (f *walk) builtAlone(ctx context.Context, file string) ([]string, error) {
	if rootPath(f.query.Root) != "." {
		return f.h.built(f.At, f.query.Root)
	}
	units, err := f.h.unitsAt(ctx, f.At)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, u := range units[1:] {
		if !slices.Contains(u.files.Paths, file) {
			continue
		}
		if out != nil {
			return nil, nil
		}
		out = slices.Concat(u.files.Paths, []string{u.by})
	}
	return out, nil
}

// laidOver are the groups of a file that a commit took away, and that said the present value over the place's former
// one.
func (p *pursued) laidOver(h *history, c store.Change, there []manifest.Node) ([][]manifest.Node, error) {
	was, is, err := h.versions(c)
	if err != nil || was.err != nil {
		return nil, err
	}
	var out [][]manifest.Node
	for _, group := range was.like(p.group) {
		lies := manifest.IsEntry(group[0]) || manifest.LiesUnder(there, group, false)
		if lies && manifest.SameReference(group, p.group) && is.group(group) == nil {
			out = append(out, group)
		}
	}
	return out, nil
}
