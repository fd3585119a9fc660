package gitrepo

import (
	"context"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// locating looks for an image at one commit: among what the root renders, with the variables that Flux replaces in it;
// for a person then in the text of scalars, and in files that nothing was seen to render.
type locating struct {
	*history
	ctx    context.Context
	commit *store.Commit
	query  reconcile.Query
	files  manifest.Files
	// units are what was reached; the first is the root itself.
	units []*unit
	// count of the files that were looked at, and those that could not be read; spoken says that one of these names the
	// image.
	count  int
	unread []string
	spoken bool
	// supposing means that a variable of which nothing is known is taken for what the image has in its place.
	supposing bool
}

// rendering is nodes as a unit renders them: variables are replaced, and the group tells units apart.
type rendering struct {
	nodes []manifest.Node
	// made says by group what of it is a variable's, and copied what was copied into it.
	made, copied map[string][]manifest.Node
}

// target is the workload that is asked for.
func (l *locating) target() manifest.Target {
	q := l.query
	return manifest.Target{Namespace: q.Namespace, Kind: q.Workload.Kind, Name: q.Workload.Name, Container: q.Container,
		Loose:   q.ByPerson,
		Release: manifest.Object{Kind: q.Release.Kind, Namespace: q.Release.Namespace, Name: q.Release.Name}}
}

// raw is a node as its file has it.
func (l *locating) raw(n manifest.Node) manifest.Node {
	if e, err := l.EntryAt(l.commit.Tree, n.File); err == nil && e.Regular() {
		if p, err := l.parsed(n.File, e.Hash); err == nil {
			if at := p.node(n.Pointer); at != nil {
				return *at
			}
		}
	}
	return n
}
