package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// Whole files go back where what Flux cannot apply is no image. A file is a place like a node: its value is its hash in
// Git, and it is bad as long as what the suspect did to it stands, however others changed it since:
//
//	tip ── is what the suspect left ──────────────────────────► bad
//	    ── is what was there before ──────────────────────────► former
//	    ── taking the suspect's lines out changes nothing ────► former
//	    ── … changes something ───────────────────────────────► bad
//	    ── … is not possible, since the lines changed again ──► something else

// maxChangedFiles is how many files of a commit are looked at.
const maxChangedFiles = 200

// Changed lists the files that a commit changed, as places that may go back.
func (g *Mirrors) Changed(ctx context.Context, src reconcile.Source, commit string) ([]v1alpha1.Node, error) {
	var out []v1alpha1.Node
	err := g.with(ctx, src, func(m *mirror) error {
		h, c, parent, err := m.pair(ctx, commit)
		if err != nil {
			return err
		}
		changes, err := h.diff(parent.tree, c.tree, maxChangedFiles)
		if errors.Is(err, errManyChanges) {
			return reconcile.Refuse("%s changes more than %d files", short(commit), maxChangedFiles)
		}
		for _, d := range changes {
			links := !d.before.hash.IsZero() && !d.before.regular() || !d.after.hash.IsZero() && !d.after.regular()
			if links || d.before.hash == d.after.hash {
				// No link is followed, and a mode changes nothing of what is read.
				continue
			}
			out = append(out, v1alpha1.Node{File: d.path, Part: v1alpha1.PartFile, Bad: hashOf(d.after),
				Former: hashOf(d.before), Added: d.before.hash.IsZero()})
		}
		return err
	})
	return out, err
}

// Without gives the files of a commit, some of which are as they were before it.
func (g *Mirrors) Without(ctx context.Context, src reconcile.Source, commit string, files []string) (fs.FS, error) {
	var out fs.FS
	err := g.with(ctx, src, func(m *mirror) error {
		h, c, parent, err := m.pair(ctx, commit)
		if err != nil {
			return err
		}
		contents := map[string][]byte{}
		for _, file := range files {
			e, err := h.entryAt(parent.tree, file)
			if err != nil {
				return err
			}
			if contents[file], err = h.asBefore(file, e); err != nil {
				return err
			}
		}
		b := newBuilder(h.objects)
		tree, err := b.replace(c.tree, contents)
		out = treeFS{objects: h.objects.with(b), root: tree}
		return err
	})
	return out, err
}

// asBefore is the content of a file that goes back; nil for none.
func (h *history) asBefore(file string, e entry) ([]byte, error) {
	if e.hash.IsZero() {
		return nil, nil
	}
	if !e.regular() {
		return nil, reconcile.Refuse("%s was %s before", file, e.what())
	}
	return h.objects.blob(e.hash, manifest.MaxFileSize)
}

// pair reads a commit and its first parent.
func (m *mirror) pair(ctx context.Context, of string) (*history, *commit, *commit, error) {
	at := plumbing.NewHash(of)
	if m.objects == nil || !m.objects.has(at) {
		if err := m.fetch(ctx); err != nil {
			return nil, nil, nil, err
		}
	}
	return m.history().pair(ctx, at)
}

func (h *history) pair(ctx context.Context, at plumbing.Hash) (*history, *commit, *commit, error) {
	c, err := h.at(ctx, at)
	if err != nil {
		return nil, nil, nil, err
	}
	parent, err := h.before(ctx, c)
	if err == nil && parent == nil {
		err = reconcile.Refuse("%s is the first commit: there is nothing before it", short(at.String()))
	}
	return h, c, parent, err
}

// hashOf is how a place names a file.
func hashOf(e entry) string {
	if e.hash.IsZero() {
		return v1alpha1.NoFile
	}
	return e.hash.String()
}

// fileNow is a file of the suspect as a commit has it.
type fileNow struct {
	// value is what a place says of it.
	value string
	// undone is its content without what the suspect did, nil for none, and there says that it has one now.
	undone []byte
	there  bool
}

// fileAt looks at a file of a suspect in a tree.
func (h *history) fileAt(tree plumbing.Hash, n v1alpha1.Node) (fileNow, error) {
	e, err := h.entryAt(tree, n.File)
	if err != nil {
		return fileNow{}, err
	}
	if !e.hash.IsZero() && !e.regular() {
		return fileNow{value: hashOf(e)}, nil
	}
	var data []byte
	if !e.hash.IsZero() {
		if data, err = h.objects.blob(e.hash, manifest.MaxFileSize); err != nil {
			return fileNow{}, fmt.Errorf("read %s: %w", n.File, err)
		}
	}
	return h.fileSays(n, hashOf(e), data)
}

// fileSays says what a file with a content is to a suspect.
func (h *history) fileSays(n v1alpha1.Node, value string, data []byte) (fileNow, error) {
	out := fileNow{value: value, there: value != v1alpha1.NoFile}
	if value == n.Former {
		return out, nil
	}
	former, err := h.stored(n.File, n.Former)
	if err != nil {
		return out, err
	}
	if value == n.Bad {
		out.undone = former
		return out, nil
	}
	if value == v1alpha1.NoFile || n.Former == v1alpha1.NoFile || n.Bad == v1alpha1.NoFile {
		// Whoever made or deleted it since has had the last word.
		return out, nil
	}
	bad, err := h.stored(n.File, n.Bad)
	if err != nil {
		return out, err
	}
	merged, ok := merge(bad, data, former)
	switch {
	case !ok:
	case string(merged) == string(data):
		out.value = n.Former
	default:
		out.value, out.undone = n.Bad, merged
	}
	return out, nil
}

// stored reads a version of a file that a place names.
func (h *history) stored(file, value string) ([]byte, error) {
	if value == v1alpha1.NoFile {
		return nil, nil
	}
	data, err := h.objects.blob(plumbing.NewHash(value), manifest.MaxFileSize)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return data, nil
}

// lookFiles describes the tip as seen from a suspect whose files go back.
func (h *history) lookFiles(ctx context.Context, s v1alpha1.Suspect, t *v1alpha1.Target, since time.Time,
) (reconcile.Branch, error) {
	b := reconcile.Branch{Tip: h.tip.String(), Held: map[int32]reconcile.Hold{}}
	tip, err := h.at(ctx, h.tip)
	if err != nil {
		return b, err
	}
	if b.Values, err = h.filesAt(tip, s); err != nil {
		return b, err
	}
	if b.Trails, err = h.trails(ctx, s, since); err != nil {
		return b, err
	}
	if t != nil && holds(s, *t, b.Values) {
		b.HoldsTarget, err = h.filesSince(ctx, tip, s, *t)
	}
	return b, err
}

func (h *history) filesAt(c *commit, s v1alpha1.Suspect) (map[int32]string, error) {
	out := map[int32]string{}
	for i, n := range s.Nodes {
		now, err := h.fileAt(c.tree, n)
		if err != nil {
			return nil, err
		}
		out[int32(i)] = now.value
	}
	return out, nil
}

// filesSince is the oldest commit after the suspect from which on the branch holds the target without a break.
func (h *history) filesSince(ctx context.Context, tip *commit, s v1alpha1.Suspect, t v1alpha1.Target) (string, error) {
	since := tip
	for range maxAncestors {
		c, err := h.before(ctx, since)
		if errors.Is(err, errTooFar) || err == nil && (c == nil || c.hash.String() == s.Commit) {
			break
		}
		if err != nil {
			return "", err
		}
		values, err := h.filesAt(c, s)
		if err != nil {
			return "", err
		}
		if !holds(s, t, values) {
			break
		}
		since = c
	}
	return since.hash.String(), nil
}

// permitFiles notes the files that a revert takes back: all that stand, or none.
func (p *planning) permitFiles(i int, b reconcile.Branch) error {
	r := p.reverts[i]
	for _, v := range r.Target.Values {
		if v.Index < 0 || int(v.Index) >= len(r.Suspect.Nodes) {
			continue
		}
		n := r.Suspect.Nodes[v.Index]
		switch now := b.Values[v.Index]; {
		case now == n.Bad && v.Value == n.Former:
			p.files[i] = append(p.files[i], n)
		case now != v.Value:
			return reconcile.NotUndone(v1alpha1.DoubtChangedSince, "%s was changed at the same place since %s", n.File,
				short(r.Suspect.Commit))
		}
	}
	if len(p.files[i]) == 0 {
		return reconcile.Refuse("%s at %s no longer says what %s changed: %w", oneLine(r.Suspect.Branch, 100),
			short(p.tip.hash.String()), short(r.Suspect.Commit), reconcile.ErrSuperseded)
	}
	return nil
}

// takeBack takes the files of a revert back beside what the reverts before it did, all of them or none.
func (p *planning) takeBack(i int) error {
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
				short(p.reverts[i].Suspect.Commit))
		default:
			mine[n.File] = now.undone
		}
	}
	maps.Copy(p.reverted, mine)
	return nil
}

// wholeFile is a file as the plan leaves it so far; there says whether it has one.
func (p *planning) wholeFile(file string) (data []byte, there bool, err error) {
	if data, known := p.reverted[file]; known {
		return data, data != nil, nil
	}
	e, err := p.h.entryAt(p.tip.tree, file)
	if err != nil || e.hash.IsZero() {
		return nil, false, err
	}
	data, err = p.content(file)
	return data, true, err
}

// prove asks each revert that wants it whether what the plan leaves may be pushed. It says true when one was taken out.
func (p *planning) prove(ctx context.Context) (refused bool, err error) {
	for i, r := range p.reverts {
		if p.out[i].Err != nil || r.Proof == nil {
			continue
		}
		b := newBuilder(p.h.objects)
		tree, err := b.replace(p.tip.tree, p.held)
		if err != nil {
			return false, err
		}
		err = r.Proof(ctx, treeFS{p.h.objects, p.tip.tree}, treeFS{p.h.objects.with(b), tree})
		if _, no := reconcile.AsRefusal(err); no {
			p.out[i].Err = err
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// filesOf are the files that a revert takes back, in their order.
func (p *planning) filesOf(i int) []string {
	var out []string
	for _, n := range p.files[i] {
		out = append(out, n.File)
	}
	return slices.Sorted(slices.Values(out))
}

// with reads what a builder has made too.
func (o *objects) with(b *builder) *objects {
	return &objects{db: b.new, below: o, trees: map[plumbing.Hash][]byte{}}
}
