package gitrepo

import (
	"bytes"
	"context"
	"slices"

	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// underOtherName finds a variable that came with a commit where what uses it had something else in its place before:
//
//	image: app:${APP_TAG}    image: app:${TAG}    the variable had another name, under which it is followed
//	image: app:${TAG}        image: app:v1        the text said itself what the variable says now
//
// It gives nil where neither is so.
func (h *history) underOtherName(ctx context.Context, m move, changes []store.Change) ([]manifest.Node, error) {
	name := manifest.NameAt(m.group[0].Pointer)
	for _, c := range changes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		using, err := h.using(c, name)
		if err != nil {
			return nil, err
		}
		for _, n := range using {
			was, err := h.beforeOf(ctx, m, c, n)
			if err != nil {
				return nil, err
			}
			if was == nil || was.Value == n.Value {
				continue
			}
			found, err := h.inPlaceOf(ctx, m, changes, n, *was)
			if found != nil || err != nil {
				return found, err
			}
		}
	}
	return nil, nil
}

// using lists the nodes of images that name a variable in what a commit made of a file.
func (h *history) using(c store.Change, name string) ([]manifest.Node, error) {
	if !c.After.Regular() || !isYAML(c.Path) {
		return nil, nil
	}
	data, ok, err := h.Content(c.After.Hash)
	if err != nil || !ok || !bytes.Contains(data, []byte("${"+name)) {
		return nil, err
	}
	is, err := h.parsed(c.Path, c.After.Hash)
	if err != nil || is.err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(is.nodes), func(n manifest.Node) bool {
		return !slices.Contains(usedIn(n.Value), name)
	}), nil
}

// beforeOf is what a node was before the commit: at its place, or where that was moved from.
func (h *history) beforeOf(ctx context.Context, m move, c store.Change, n manifest.Node) (*manifest.Node, error) {
	if c.Before.Regular() {
		was, err := h.parsed(c.Path, c.Before.Hash)
		if err != nil {
			return nil, err
		}
		if at := was.node(n.Pointer); was.err == nil && at != nil {
			return at, nil
		}
	}
	is, err := h.parsed(c.Path, c.After.Hash)
	if err != nil {
		return nil, err
	}
	group := manifest.GroupOf(is.nodes, n)
	from := move{group: group, made: madeWith(group, m.group[0]), newer: m.newer, older: m.older,
		file: &store.Followed{Path: c.Path, Newer: c.After.Hash, Blob: c.Before.Hash}}
	was, err := h.whereItWas(ctx, from)
	if err != nil || was == nil {
		return nil, err
	}
	said := manifest.Express(was, []manifest.Node{n})[0]
	if said == nil || manifest.IsText(said.Pointer) {
		return said, nil
	}
	// What says it may be part of a longer text.
	i := slices.IndexFunc(was, func(w manifest.Node) bool { return w.Pointer == said.Pointer })
	if in, ok := manifest.SaidIn(was[i], said.Value); ok {
		return &in, nil
	}
	return said, nil
}

// madeWith is what a group says with the value of a variable.
func madeWith(group []manifest.Node, variable manifest.Node) []manifest.Node {
	variable.Variable = manifest.NameAt(variable.Pointer)
	var out []manifest.Node
	for _, n := range group {
		n.Value = manifest.Expand(n.Value, []manifest.Node{variable})
		out = append(out, n)
	}
	return out
}

// inPlaceOf is what says in the older commit what a variable says now, of which the text n is made and the text was was
// not.
func (h *history) inPlaceOf(ctx context.Context, m move, changes []store.Change, n, was manifest.Node,
) ([]manifest.Node, error) {
	variable := m.group[0]
	if said, ok := manifest.SaidItself(n, was, manifest.NameAt(variable.Pointer)); ok {
		said.Part, said.Variable = variable.Part, variable.Variable
		return []manifest.Node{said}, nil
	}
	other, ok := manifest.OtherName(n.Value, was.Value, manifest.NameAt(variable.Pointer))
	if !ok {
		return nil, nil
	}
	var best candidate
	look := func(c store.Change) error {
		data, ok, err := h.Content(c.Before.Hash)
		if err != nil || !ok || !bytes.Contains(data, []byte(other)) {
			return err
		}
		p, err := h.parsed(c.Path, c.Before.Hash)
		if err != nil || p.err != nil || p.scalars == nil {
			return err
		}
		for _, s := range p.named(manifest.Node{Part: variable.Part, Variable: other}) {
			s.Variable = variable.Variable
			likeness := manifest.Likeness([]manifest.Node{s}, m.group)
			if s.Value == variable.Value {
				likeness += kinLikeness
			}
			best.take([]manifest.Node{s}, likeness)
		}
		return nil
	}
	if !m.file.Blob.IsZero() {
		if err := look(store.Change{Path: m.file.Path, Before: store.Entry{Hash: m.file.Blob}}); err != nil {
			return nil, err
		}
	}
	for _, c := range changes {
		if c.Path == m.file.Path || !c.Before.Regular() {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := look(c); err != nil {
			return nil, err
		}
	}
	if best.tied {
		return nil, nil
	}
	return best.group, nil
}
