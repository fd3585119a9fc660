package gitrepo

import (
	"context"
	"errors"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// Place is where a commit of the branch says the image of one container.
type Place struct {
	// Commit that was read.
	Commit string
	// Image that the files say; where that cannot be told it is empty, and Why explains why.
	Image, Why string
	// Nodes that say it.
	Nodes []manifest.Node
}

// Place finds where the files say a container's image: at the query's commit, or at the tip where it names none.
func (g *Mirrors) Place(ctx context.Context, src reconcile.Source, q reconcile.Wanted, container string,
) (Place, error) {
	var out Place
	err := g.with(ctx, src, func(m *branch) error {
		at, err := m.Named(ctx, q.Commit)
		if err == nil {
			out, err = m.history().place(ctx, at, q, container)
		}
		return err
	})
	return out, err
}

func (h *history) place(ctx context.Context, at plumbing.Hash, q reconcile.Wanted, container string) (Place, error) {
	out := Place{Commit: at.String()}
	images, why, err := h.images(ctx, at, q)
	if err != nil {
		return out, err
	}
	if out.Image = images[container]; out.Image == "" {
		out.Why = why[container]
		return out, nil
	}
	nodes, _, err := h.speaking(ctx, at, q)
	if err != nil {
		return out, err
	}
	out.Nodes = manifest.Match(nodes, out.Image, manifest.Target{
		Namespace: q.Namespace, Kind: q.Workload.Kind, Name: q.Workload.Name, Container: container,
	})
	return out, nil
}

// ImageChange is a commit from which on the branch said another image at some nodes.
type ImageChange struct {
	// Commit, its committer's time, the author and the first line of the message.
	Commit  string    `json:"commit"`
	When    time.Time `json:"when"`
	Author  string    `json:"author"`
	Subject string    `json:"subject"`
	// Image that the nodes said from then on; empty where they were taken away.
	Image string `json:"image"`
	// Backstop is the kind of commit, where it is one of Backstop's own.
	Backstop reconcile.TrailerKind `json:"backstop,omitempty"`
}

// changesWithin is how many commits are walked at most for turns.
const changesWithin = 5000

// ImageChanges lists the commits that changed which image the nodes of a suspect say, newest first, at most max. more
// says that there are older ones, which were not looked for.
func (g *Mirrors) ImageChanges(ctx context.Context, src reconcile.Source, s v1alpha1.Suspect, max int,
) (changes []ImageChange, more bool, err error) {
	err = g.fetched(ctx, src, func(h *history) (err error) {
		changes, more, err = h.imageChanges(ctx, s, max)
		return err
	})
	return changes, more, err
}

func (h *history) imageChanges(ctx context.Context, s v1alpha1.Suspect, max int) (out []ImageChange, more bool,
	err error) {
	w, err := h.watch(ctx, h.Tip, placesNow(s))
	if err != nil {
		return nil, false, err
	}
	since := w.At
	image := w.image(s.Image)
	for steps := 0; err == nil; steps++ {
		if len(out) == max || steps == changesWithin {
			return out, true, nil
		}
		var c *store.Commit
		var changed bool
		c, changed, err = w.back(ctx)
		if errors.Is(err, store.ErrTooFar) {
			return out, true, nil
		}
		if err != nil || c == nil {
			break
		}
		if !changed {
			since = c
			continue
		}
		was := w.image(s.Image)
		if was != image {
			out = append(out, changeAt(since, image))
		}
		since, image = c, was
	}
	if err == nil && image != "" {
		out = append(out, changeAt(since, image))
	}
	return out, false, err
}

func changeAt(c *store.Commit, image string) ImageChange {
	t := ImageChange{
		Commit: c.Hash.String(), When: c.When, Author: oneLine(c.Author, authorRunes), Subject: subjectOf(c),
		Image: oneLine(image, imageRunes),
	}
	if n, own := readTrailers(c); own {
		t.Backstop = n.Kind
	}
	return t
}

// Writable asks the server, without pushing anything, whether it takes pushes to the source's branch from these
// credentials: it logs in as for a push, reads what the server advertises, and goes. What a server only decides when it
// has the commits, such as the protection of a branch, that does not tell. The key that signs is tried as well. An
// error that is a Refusal describes what a person has to change.
func (g *Mirrors) Writable(ctx context.Context, src reconcile.Source) error {
	if _, err := writable(src); err != nil {
		return err
	}
	return g.with(ctx, src, func(m *branch) error { return m.TakesPushes(ctx) })
}
