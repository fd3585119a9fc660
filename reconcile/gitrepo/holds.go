package gitrepo

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

const (
	// holdWord is in every file that holds a hold.
	holdWord = "backstop:hold"
	// failedWithin is how far before the oldest hold its earlier failures are read.
	failedWithin = 7 * 24 * time.Hour
	// maxHeld bounds the files of a tree that hold.
	maxHeld = 100_000
	// failedCommits is how many commits back they are read at most.
	failedCommits = 3000
)

// holdOf is a node's hold without what the history says of it.
func holdOf(n manifest.Node) reconcile.Hold {
	return reconcile.Hold{
		File: n.File, Pointer: n.Pointer, Policy: n.Policy, Value: n.Value,
		Not: n.Held.Not, Since: n.Held.Since, Lift: n.Held.Lift,
	}
}

// holds lists the holds in the files below or rendered by the roots.
func (h *history) holds(ctx context.Context, roots []reconcile.Root) ([]reconcile.Hold, error) {
	tip, err := h.At(ctx, h.Tip)
	if err != nil {
		return nil, err
	}
	files, err := h.holding(store.Entry{Hash: tip.Tree}, 0)
	if err != nil {
		return nil, err
	}
	var out []reconcile.Hold
	for _, file := range files {
		mine, err := h.belongs(tip.Tree, roots, file)
		if err != nil {
			return nil, err
		}
		if !mine {
			continue
		}
		e, err := h.EntryAt(tip.Tree, file)
		if err != nil {
			return nil, err
		}
		p, err := h.parsed(file, e.Hash)
		if err != nil {
			return nil, err
		}
		for _, n := range p.nodes {
			if n.Held == nil {
				continue
			}
			n.File = file
			hold := holdOf(n)
			hold.Image = imageOf(p.nodes, n)
			out = append(out, hold)
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, h.explain(ctx, out)
}

// imageOf is the image that a node makes with its neighbours, or what it says itself.
func imageOf(nodes []manifest.Node, n manifest.Node) string {
	var beside []manifest.Node
	for _, o := range nodes {
		if o.Group == n.Group {
			beside = append(beside, o)
		}
	}
	if image, ok := manifest.Reference(beside, ""); ok {
		return image
	}
	return n.Value
}

// holding lists the files of a tree that speak of holds. Trees that were searched before are not searched again:
// between two calls little changes.
func (h *history) holding(dir store.Entry, depth int) ([]string, error) {
	if known, ok := h.held[dir.Hash]; ok {
		return known, nil
	}
	if depth > 64 {
		return nil, nil
	}
	l, err := h.Objects.Entries(dir.Hash)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range l.Names {
		e := l.ByName[name]
		if e.Mode == filemode.Dir {
			below, err := h.holding(e, depth+1)
			if err != nil {
				return nil, err
			}
			for _, f := range below {
				out = append(out, name+"/"+f)
			}
		} else if says, err := h.speaks(name, e); err != nil {
			return nil, err
		} else if says {
			out = append(out, name)
		}
		if len(out) > maxHeld {
			return nil, fmt.Errorf("list holds: %w", store.ErrManyChanges)
		}
	}
	if len(h.held) > 50_000 {
		clear(h.held)
	}
	h.held[dir.Hash] = out
	return out, nil
}

// speaks reports whether a file is YAML that has the word in it.
func (h *history) speaks(name string, e store.Entry) (bool, error) {
	if !e.Regular() || !isYAML(name) {
		return false, nil
	}
	// What is too large to be read was not written by Backstop.
	data, ok, err := h.Content(e.Hash)
	return ok && bytes.Contains(data, []byte(holdWord)), err
}

// belongs reports whether a file is below one of the roots, or rendered by one.
func (h *history) belongs(tree plumbing.Hash, roots []reconcile.Root, file string) (bool, error) {
	for _, r := range roots {
		if dir := path.Clean(r.Path); dir == "." || strings.HasPrefix(file, dir+"/") {
			return true, nil
		}
	}
	for _, r := range roots {
		if renders, err := h.renders(tree, r, []string{file}); renders || err != nil {
			return renders, err
		}
	}
	return false, nil
}

// explain adds to holds which commit wrote them, for which Rollback, and what failed under the policy before.
func (h *history) explain(ctx context.Context, holds []reconcile.Hold) error {
	var oldest time.Time
	for _, hold := range holds {
		if !hold.Since.IsZero() && (oldest.IsZero() || hold.Since.Before(oldest)) {
			oldest = hold.Since
		}
	}
	if oldest.IsZero() {
		return nil
	}
	notes, err := h.notesWithin(ctx, oldest.Add(-failedWithin), failedCommits)
	if err != nil {
		return err
	}
	for i := range holds {
		hold := &holds[i]
		for _, n := range notes {
			if n.Kind != reconcile.TrailerHold || !slices.Contains(n.Policies, hold.Policy) {
				continue
			}
			if hold.Commit == "" && held(n, hold) {
				hold.Commit, hold.Rollback = n.Commit, servedBy(n, hold)
			}
			add(&hold.Failed, sameRepository(n.Images, hold.Image)...)
		}
	}
	return nil
}

// sameRepository picks the images of one repository: a push may hold several policies. Where the node does not say its
// repository, all are given.
func sameRepository(images []string, of string) []string {
	want, _, _ := manifest.Split(of)
	same := slices.DeleteFunc(slices.Clone(images), func(i string) bool {
		repository, _, _ := manifest.Split(i)
		return repository != want
	})
	if len(same) == 0 {
		return images
	}
	return same
}

// held reports whether a commit wrote a hold: one policy may hold the places of several environments, each by commits
// of its own. Those of before name no places.
func held(n note, hold *reconcile.Hold) bool {
	return len(n.Places) == 0 || slices.Contains(n.Places, reconcile.PlaceID(hold.File, hold.Pointer))
}

// servedBy is the Rollback for which a commit wrote a hold: of several, that of the image whose version the hold names.
// Several of different namespaces may be about one image: then nothing tells which of them it was.
func servedBy(n note, hold *reconcile.Hold) string {
	var among []string
	for i, image := range n.Images {
		if len(n.Images) == len(n.Rollbacks) && version(image) == hold.Not {
			among = append(among, n.Rollbacks[i])
		}
	}
	if len(among) == 0 {
		among = n.Rollbacks
	}
	if len(among) == 0 || slices.ContainsFunc(among, func(r string) bool { return path.Dir(r) != path.Dir(among[0]) }) {
		return ""
	}
	return among[0]
}

// Holds lists the holds below the roots at the tip.
func (g *Mirrors) Holds(ctx context.Context, src reconcile.Source, roots []reconcile.Root) ([]reconcile.Hold, error) {
	var out []reconcile.Hold
	err := g.fetched(ctx, src, func(h *history) (err error) {
		out, err = h.holds(ctx, roots)
		return err
	})
	return out, err
}
