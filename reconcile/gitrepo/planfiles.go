package gitrepo

import (
	"maps"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
)

// permitFiles notes the files of a revert: all that stand, or none.
func (p *planning) permitFiles(i int, b reconcile.Branch) error {
	r := p.reverts[i]
	for _, v := range r.Target.Values {
		if v.Index < 0 || int(v.Index) >= len(r.Suspect.Places) {
			continue
		}
		n := r.Suspect.Places[v.Index]
		switch now := b.Values[v.Index]; {
		case now == n.Bad && v.Value == n.Former:
			p.files[i] = append(p.files[i], n)
		case now != v.Value:
			return reconcile.NotUndone(v1alpha1.DoubtChangedSince, "%s was changed at the same place since %s", n.File,
				text.Short(r.Suspect.Commit))
		}
	}
	if len(p.files[i]) == 0 {
		return reconcile.Refuse("%s at %s no longer says what %s changed: %w", oneLine(r.Suspect.Branch, branchRunes),
			text.Short(p.tip.Hash.String()), text.Short(r.Suspect.Commit), reconcile.ErrSuperseded)
	}
	return nil
}

// revertFiles sets the files of a revert back beside what the reverts before it did, all of them or none.
func (p *planning) revertFiles(i int) error {
	mine := map[string][]byte{}
	for _, n := range p.files[i] {
		data, there, err := p.wholeFile(n.File)
		if err != nil {
			return err
		}
		value := v1alpha1.NoFile
		if there {
			value = plumbing.ComputeHash(plumbing.BlobObject, data).String()
		}
		now, err := p.h.fileSays(n, value, data)
		switch {
		case err != nil:
			return err
		case now.value == n.Former:
			// Another revert of the push did it already.
			mine[n.File] = data
		case now.value != n.Bad:
			return reconcile.NotUndone(v1alpha1.DoubtChangedSince, "%s was changed at the same place since %s", n.File,
				text.Short(p.reverts[i].Suspect.Commit))
		default:
			mine[n.File] = now.undone
		}
	}
	maps.Copy(p.reverted, mine)
	return nil
}
