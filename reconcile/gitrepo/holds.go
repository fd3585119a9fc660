package gitrepo

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

const (
	// holdWord is in every file that holds a hold.
	holdWord = "backstop:hold"
	// failedWithin is how far before the oldest hold its earlier failures are read.
	failedWithin = 7 * 24 * time.Hour
	// failedCommits is how many commits back they are read at most.
	failedCommits = 3000
)

// holdOf is a node's hold without what the history says of it.
func holdOf(n manifest.Node) reconcile.Hold {
	return reconcile.Hold{
		File: n.File, Pointer: n.Pointer, Policy: n.Policy, Value: n.Value,
		Not: n.Held.Not, Since: n.Held.Since, Release: n.Held.Release,
	}
}

// holds lists the holds in the files below or rendered by the roots.
func (h *history) holds(ctx context.Context, roots []reconcile.Root) ([]reconcile.Hold, error) {
	tip, err := h.at(ctx, h.tip)
	if err != nil {
		return nil, err
	}
	files, err := h.holding(entry{hash: tip.tree}, 0)
	if err != nil {
		return nil, err
	}
	var out []reconcile.Hold
	for _, file := range files {
		mine, err := h.belongs(tip.tree, roots, file)
		if err != nil {
			return nil, err
		}
		if !mine {
			continue
		}
		e, err := h.entryAt(tip.tree, file)
		if err != nil {
			return nil, err
		}
		p, err := h.parsed(file, e.hash)
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
func (h *history) holding(dir entry, depth int) ([]string, error) {
	if known, ok := h.held[dir.hash]; ok {
		return known, nil
	}
	if depth > 64 {
		return nil, nil
	}
	l, err := h.objects.entries(dir.hash)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range l.names {
		e := l.byName[name]
		if e.mode == filemode.Dir {
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
		if len(out) > maxVisits {
			return nil, fmt.Errorf("list holds: %w", errManyChanges)
		}
	}
	if len(h.held) > 50_000 {
		clear(h.held)
	}
	h.held[dir.hash] = out
	return out, nil
}

// speaks says whether a file is YAML that has the word in it.
func (h *history) speaks(name string, e entry) (bool, error) {
	if !e.regular() || !isYAML(name) {
		return false, nil
	}
	// What is too large to be read was not written by Backstop.
	data, ok, err := h.content(e.hash)
	return ok && bytes.Contains(data, []byte(holdWord)), err
}

// belongs says whether a file is below one of the roots, or rendered by one.
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
			if n.Kind != reconcile.TrailHold || !slices.Contains(n.Policies, hold.Policy) {
				continue
			}
			if hold.Commit == "" {
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

// servedBy is the Rollback for which a commit wrote a hold: of several, that of the image whose version the hold names.
func servedBy(n note, hold *reconcile.Hold) string {
	for i, image := range n.Images {
		if len(n.Images) == len(n.Rollbacks) && version(image) == hold.Not {
			return n.Rollbacks[i]
		}
	}
	if len(n.Rollbacks) == 0 {
		return ""
	}
	return n.Rollbacks[0]
}

// lift takes holds away, and gives the contents of the files and what was lifted.
func (h *history) lift(ctx context.Context, l reconcile.Lift) (map[string][]byte, note, error) {
	t := note{Trail: reconcile.Trail{Kind: reconcile.TrailLift, Format: reconcile.TrailFormat, Cluster: l.Cluster}}
	holds, err := h.holds(ctx, l.Roots)
	if err != nil {
		return nil, t, err
	}
	tip, err := h.at(ctx, h.tip)
	if err != nil {
		return nil, t, err
	}
	contents := map[string][]byte{}
	for _, hold := range holds {
		if hold.Policy != l.Policy && !slices.Contains(l.And, hold.Policy) || l.Not != "" && hold.Not != l.Not {
			continue
		}
		if hold.Release == v1alpha1.ReleaseManual && !l.Person {
			continue
		}
		mine, err := h.concerns(tip.tree, l.Places, hold)
		if err != nil {
			return nil, t, err
		}
		if !mine {
			continue
		}
		add(&t.Places, reconcile.PlaceID(hold.File, hold.Pointer))
		data, ok := contents[hold.File]
		if !ok {
			if data, err = (treeFS{objects: h.objects, root: tip.tree}).ReadFile(hold.File); err != nil {
				return nil, t, fmt.Errorf("read %s: %w", hold.File, err)
			}
		}
		if contents[hold.File], err = manifest.ClearHold(data, hold.Pointer); err != nil {
			return nil, t, reconcile.Refuse("lift the hold in %s: %w", hold.File, err)
		}
		if n := h.failedBefore(ctx, hold); n > 0 {
			if t.failed == nil {
				t.failed = map[string]int{}
			}
			t.failed[hold.Policy] = max(n, t.failed[hold.Policy])
		}
	}
	add(&t.Policies, l.Policy)
	for _, policy := range l.And {
		add(&t.Policies, policy)
	}
	add(&t.Images, l.Image)
	add(&t.Rollbacks, l.Rollback)
	return contents, t, nil
}

// concerns says whether a hold is on one of the places, or on a node that makes one image with one of them.
func (h *history) concerns(tree plumbing.Hash, places []v1alpha1.Node, hold reconcile.Hold) (bool, error) {
	if len(places) == 0 {
		return true, nil
	}
	e, err := h.entryAt(tree, hold.File)
	if err != nil {
		return false, err
	}
	file, err := h.parsed(hold.File, e.hash)
	if err != nil {
		return false, err
	}
	held := file.node(hold.Pointer)
	return held != nil && slices.ContainsFunc(places, func(n v1alpha1.Node) bool {
		at := file.node(n.Pointer)
		return n.File == hold.File && at != nil && at.Group == held.Group
	}), nil
}

// failedBefore is how many lifts in a row had failed when a hold was written, as its commit says.
func (h *history) failedBefore(ctx context.Context, hold reconcile.Hold) int {
	if hold.Commit == "" {
		return 0
	}
	c, err := h.at(ctx, plumbing.NewHash(hold.Commit))
	if err != nil {
		return 0
	}
	t, _ := trail(c)
	return t.failed[hold.Policy]
}

// liftMessage is the message of a lift.
func liftMessage(l reconcile.Lift, t note, contents map[string][]byte) string {
	subject := "Lift the hold of " + l.Policy
	if files := slices.Sorted(maps.Keys(contents)); len(files) > 0 && path.Dir(files[0]) != "." {
		subject += " in " + path.Dir(files[0])
	}
	var more []string
	if by := oneLine(l.By, 200); by != "" {
		more = append(more, "Lifted-by: "+by)
	}
	return message(subject, t, more)
}
