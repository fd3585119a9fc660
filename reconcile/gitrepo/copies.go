package gitrepo

import (
	"fmt"
	"slices"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// readCopies reads what the kustomizations of a unit copy from one object into another.
func (l *locating) readCopies(u *unit) error {
	if u.copies != nil {
		return nil
	}
	u.copies = &manifest.Copies{}
	each := func(do func(file string, data []byte)) error {
		for _, file := range slices.Concat(u.files.Paths, u.files.Values) {
			e, err := l.EntryAt(l.commit.Tree, file)
			if err != nil {
				return err
			}
			if !e.Regular() {
				continue
			}
			data, ok, err := l.Content(e.Hash)
			if err != nil {
				return err
			}
			if ok {
				do(file, data)
			}
		}
		return nil
	}
	if err := each(func(_ string, data []byte) { u.copies.Read(data) }); err != nil || !u.copies.Any() {
		return err
	}
	return each(func(file string, data []byte) { u.copies.Sources(file, data, l.reading(l.commit)) })
}

// copied gives what a group is once values were copied into it: by replacements of the unit's kustomizations, or by
// each of the inputs of a ResourceSet. None is a group into which nothing is copied.
func (l *locating) copied(u *unit, group []manifest.Node) ([]manifest.Made, error) {
	inputs := slices.ContainsFunc(group, func(n manifest.Node) bool { return manifest.IsTemplate(n.Value) })
	if !inputs && !u.copies.Any() {
		return nil, nil
	}
	e, err := l.EntryAt(l.commit.Tree, group[0].File)
	if err != nil {
		return nil, err
	}
	p, err := l.parsed(group[0].File, e.Hash)
	if err != nil || p.scalars == nil {
		return nil, err
	}
	if inputs {
		return manifest.Inputs(group, p.scalars()), nil
	}
	if m, ok := u.copies.Into(group, p.scalars); ok {
		return []manifest.Made{m}, nil
	}
	return nil, nil
}

// copy adds groups into which something was copied, each as a group of its own.
func (r *rendering) copy(made []manifest.Made, unit int) {
	for i, m := range made {
		id := fmt.Sprintf("%s\x00%d\x00%d", m.Nodes[0].Group, unit, i)
		r.copied[id] = m.From
		for _, n := range m.Nodes {
			n.Group = id
			r.nodes = append(r.nodes, n)
		}
	}
}
