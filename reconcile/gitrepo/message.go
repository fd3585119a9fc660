package gitrepo

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// revertMessage is the message of the revert of all that is in the plan.
func (p *planning) revertMessage() string {
	t := note{TrailerCommit: reconcile.TrailerCommit{Kind: reconcile.TrailerRevert, Format: reconcile.TrailerFormat}}
	var more []string
	for i, r := range p.reverts {
		if p.out[i].Err != nil {
			continue
		}
		p.about(&t, i)
		add(&t.Reverts, p.undone(i)...)
		add(&t.Rollbacks, r.Rollback)
		add(&t.Images, r.Image)
		add(&t.Workloads, r.Workloads...)
		add(&more, r.Trailers...)
	}
	return message("Revert "+p.subject(), t, more)
}

// undone lists the commits whose changes a revert undoes, the suspect first.
func (p *planning) undone(i int) []string {
	s := p.reverts[i].Suspect
	out := []string{s.Commit}
	for _, v := range p.reverts[i].Target.Values {
		if int(v.Index) >= len(s.Places) || v.Index < 0 {
			continue
		}
		n := s.Places[v.Index]
		if slices.ContainsFunc(p.edits[i][n.File], func(c manifest.Change) bool { return c.Pointer == n.Pointer }) {
			add(&out, broughtBy(s, n))
		}
	}
	return out
}

// holdMessage is the message of the hold.
func (p *planning) holdMessage() string {
	t := note{TrailerCommit: reconcile.TrailerCommit{Kind: reconcile.TrailerHold, Format: reconcile.TrailerFormat},
		failed: p.failed}
	for i, r := range p.reverts {
		if p.out[i].Err != nil || len(p.policies[i]) == 0 {
			continue
		}
		p.about(&t, i)
		add(&t.Rollbacks, r.Rollback)
		add(&t.Images, r.Image)
		add(&t.Policies, p.policies[i]...)
	}
	return message("Hold "+some(t.Policies), t, nil)
}

// about notes what a revert is about, and where it writes.
func (p *planning) about(t *note, i int) {
	r := p.reverts[i]
	t.Cluster = cmp.Or(t.Cluster, r.Cluster)
	add(&t.Subjects, cmp.Or(r.Subject, "Image "+r.Image))
	for _, file := range slices.Sorted(maps.Keys(p.edits[i])) {
		for _, c := range p.edits[i][file] {
			add(&t.Places, reconcile.PlaceID(file, c.Pointer))
		}
	}
	for _, file := range p.filesOf(i) {
		add(&t.Places, reconcile.PlaceID(file, ""))
	}
}

// subject is what is reverted, such as "v1.1.0 of backend in apps/develop", or a count of images.
func (p *planning) subject() string {
	var what, dirs []string
	for _, r := range p.in() {
		unit := "what " + text.Short(r.Suspect.Commit) + " changed"
		if !r.Suspect.ByFiles() {
			repository, _, _ := manifest.Split(r.Image)
			unit = version(r.Image) + " of " + path.Base(repository)
		}
		add(&what, unit)
		for _, n := range r.Suspect.Places {
			add(&dirs, path.Dir(n.File))
		}
	}
	out := fmt.Sprintf("%d images", len(what))
	if slices.ContainsFunc(p.in(), func(r reconcile.Revert) bool { return r.Suspect.ByFiles() }) {
		out = fmt.Sprintf("%d changes", len(what))
	}
	if len(what) == 1 {
		out = what[0]
	}
	if len(dirs) == 1 && dirs[0] != "." {
		out += " in " + dirs[0]
	}
	return out
}
