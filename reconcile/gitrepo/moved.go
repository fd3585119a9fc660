package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

const (
	// maxMoved is how many changes of a commit are looked at to follow a value through it: people move whole trees.
	maxMoved = 20_000
	// maxLooked is how many files of a commit are read for a value that one of them may have held before.
	maxLooked = 1500
	// loneLikeness is how alike two places of a tag must be that names no repository.
	loneLikeness = 16
	// kinLikeness is how alike two places in two files must be for the one to have held an earlier value of the other.
	kinLikeness = 16
)

// move is a group whose place came with a commit.
type move struct {
	group []manifest.Node
	// made is what the group says with all that it is made of, where that is more than its text.
	made []manifest.Node
	// file that holds the group in the newer commit.
	file         *store.Followed
	newer, older *store.Commit
	// bare means that the place was in the older commit too, where it named the repository and no version.
	bare bool
}

// whereItWas finds the group in the older commit: in a file of the same content that the newer one removed, else where
// the newer one took the same value away, else where it took away another value of the same image. It gives nil where
// the newer commit brought the group in. What stays where it is was copied, not moved, unless it was removed since:
// people copy a folder, and drop the old one later.
func (h *history) whereItWas(ctx context.Context, m move) ([]manifest.Node, error) {
	changes, err := h.changesOf(m.older, m.newer)
	if err != nil {
		return nil, err
	}
	if group, err := h.withContent(ctx, m, changes); group != nil || err != nil {
		return group, err
	}
	s := &search{history: h, move: m, lone: manifest.Lone(m.group)}
	read := 0
	for _, c := range s.order(changes) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if read++; read > maxLooked {
			break
		}
		if err := s.look(c); err != nil {
			return nil, err
		}
	}
	if s.same.group != nil {
		return s.same.group, nil
	}
	if s.kin.group == nil {
		s.kin = s.rehomed
	}
	if s.kin.group == nil && m.group[0].Variable != "" {
		return h.underOtherName(ctx, m, changes)
	}
	if s.kin.group == nil || s.kin.tied {
		return nil, nil
	}
	taken, err := s.belongsToAnother()
	if err != nil || taken {
		return nil, err
	}
	return s.kin.group, nil
}

// withContent finds the group in a file of the same content, where its own came with the commit.
func (h *history) withContent(ctx context.Context, m move, changes []store.Change) ([]manifest.Node, error) {
	if !m.file.Blob.IsZero() {
		return nil, nil
	}
	from := sameContent(changes, m.file)
	if from == "" {
		var err error
		if from, err = h.copiedFrom(ctx, m); err != nil || from == "" {
			return nil, err
		}
	}
	v, err := h.parsed(from, m.file.Newer)
	if err != nil || v.err != nil {
		return nil, err
	}
	return v.group(m.group), nil
}

// changesOf lists the files that differ between two commits, and remembers them for the next group.
func (h *history) changesOf(older, newer *store.Commit) ([]store.Change, error) {
	key := [2]plumbing.Hash{older.Tree, newer.Tree}
	if known, ok := h.moves[key]; ok {
		return known, nil
	}
	changes, err := h.Diff(older.Tree, newer.Tree, maxMoved)
	if err != nil && !errors.Is(err, store.ErrManyChanges) {
		return nil, err
	}
	if len(h.moves) >= maxMoves {
		clear(h.moves)
	}
	h.moves[key] = changes
	return changes, nil
}

// sameContent is the path of a file that the commit removed and that was what another is now; of several the one whose
// path ends most alike.
func sameContent(changes []store.Change, file *store.Followed) string {
	best, most := "", -1
	for _, c := range changes {
		if !c.After.Hash.IsZero() || !c.Before.Regular() || c.Before.Hash != file.Newer {
			continue
		}
		if n := common(file.Path, c.Path); n > most {
			best, most = c.Path, n
		}
	}
	return best
}

// copiedFrom is the path of a file with the same content that the older commit had too, and that is gone by now; of
// several the one whose path ends most alike.
func (h *history) copiedFrom(ctx context.Context, m move) (string, error) {
	if h.Tip == m.newer.Hash {
		return "", nil
	}
	tip, err := h.At(ctx, h.Tip)
	if err != nil {
		return "", err
	}
	files, err := h.yamlFiles(m.older)
	if err != nil {
		return "", err
	}
	best, most := "", -1
	for _, f := range files {
		if f.entry.Hash != m.file.Newer {
			continue
		}
		if n := common(m.file.Path, f.path); n > most {
			now, err := h.EntryAt(tip.Tree, f.path)
			if err != nil {
				return "", err
			}
			if now.Hash.IsZero() {
				best, most = f.path, n
			}
		}
	}
	return best, nil
}

// candidate is a group that may be what is looked for, and how much speaks for it.
type candidate struct {
	group    []manifest.Node
	likeness int
	// tied means that another one of another value is as likely.
	tied bool
}

// search looks through the files that a commit changed.
type search struct {
	*history
	move
	lone bool
	// same holds the value itself, kin another one of the image, rehomed one of the image in another registry.
	same, kin, rehomed candidate
}

// order puts the changes first that a moved place most likely comes from: the file itself, what was removed, and of
// those what has the most alike path.
func (s *search) order(changes []store.Change) []store.Change {
	var list []store.Change
	for _, c := range changes {
		if c.Before.Regular() && s.reads(c.Path) {
			list = append(list, c)
		}
	}
	rank := func(c store.Change) int {
		n := common(s.file.Path, c.Path)
		if c.Path == s.file.Path {
			n += 1 << 20
		}
		if path.Base(c.Path) == path.Base(s.file.Path) {
			n += 1 << 10
		}
		if c.After.Hash.IsZero() {
			n += 1 << 8
		}
		return n
	}
	slices.SortStableFunc(list, func(a, b store.Change) int { return rank(b) - rank(a) })
	return list
}

// reads reports whether a file may say what is looked for: kustomize takes JSON as it takes YAML, and variables come
// from files of any name.
func (s *search) reads(file string) bool {
	return isYAML(file) || path.Ext(file) == ".json" || !isImage(s.group[0])
}

// look takes what a file held before the commit, and no longer holds.
func (s *search) look(c store.Change) error {
	data, ok, err := s.Content(c.Before.Hash)
	if err != nil || !ok || !s.mayTell(data) {
		return err
	}
	was, is, err := s.versions(c)
	if err != nil || was.err != nil {
		return err
	}
	for _, group := range was.like(s.group) {
		if apart, err := s.apart(c, group); err != nil {
			return err
		} else if apart {
			continue
		}
		if err := s.weigh(c, group, is.group(group)); err != nil {
			return err
		}
	}
	return nil
}

// weigh takes a group of before the commit as a candidate. there is what stands in its place now; nil for nothing.
func (s *search) weigh(c store.Change, group, there []manifest.Node) error {
	likeness := manifest.Likeness(group, s.group)
	far := c.Path != s.file.Path && likeness < kinLikeness && !s.versioned(c, group, there)
	switch {
	case s.lone && likeness < loneLikeness && !s.carried(c, group, there):
	case there != nil && stays(group, there):
	case manifest.SameReference(group, s.group), manifest.SameReference(group, s.made),
		s.parted(group, likeness) && says(group, s.group):
		s.same.take(group, likeness)
	case far:
		succeeded, err := s.succeeded(c, group, there)
		if err != nil || !succeeded {
			return err
		}
		s.kin.take(group, likeness)
	case s.lone && manifest.Lone(group), s.parted(group, likeness), manifest.Kin(group, s.group):
		s.kin.take(group, likeness)
	case likeness >= kinLikeness && (manifest.Rehomed(group, s.group) ||
		c.Path == s.file.Path && !positional(group) && manifest.Stayed(group, s.group)):
		s.rehomed.take(group, likeness)
	}
	return nil
}

// parted reports whether a group named the repository too, where what is looked for has the version alone: the commit
// laid that over what it left of the group.
func (s *search) parted(group []manifest.Node, likeness int) bool {
	return s.lone && s.group[0].Variable == "" && !manifest.Lone(group) && likeness >= loneLikeness &&
		!slices.Contains(manifest.Express(group, s.group), nil)
}

// says reports whether a group says what another one does, whatever else it says.
func says(group, other []manifest.Node) bool {
	for i, n := range manifest.Express(group, other) {
		if n == nil || n.Value != other[i].Value {
			return false
		}
	}
	return true
}

// stays reports whether a group of before the commit went nowhere: its place says the same now, or another version.
func stays(group, there []manifest.Node) bool {
	return manifest.SameReference(there, group) || !positional(group) && !manifest.Unversioned(there, group)
}

// carried reports whether a variable stood elsewhere, and no longer does: with the very same value, or with another one
// in the folder of a file that came with the commit, as a literal of a generator that is a line of its file by now.
func (s *search) carried(c store.Change, group, there []manifest.Node) bool {
	return there == nil && group[0].Variable != "" && (manifest.SameReference(group, s.group) ||
		s.file.Blob.IsZero() && path.Dir(c.Path) == path.Dir(s.file.Path))
}

// versioned reports whether an entry of images said the version of what stands alone now, or a variable its value, and
// no longer does.
func (s *search) versioned(c store.Change, group, there []manifest.Node) bool {
	return s.carried(c, group, there) || s.bare && there == nil && manifest.IsEntry(group[0])
}

// mayTell says quickly whether a file may hold the value, or the image under another tag.
func (s *search) mayTell(data []byte) bool {
	return mayHold(s.group, data) || s.lone || bytes.Contains(data, []byte(lastWord(s.group))) ||
		bytes.ContainsAny(data, `\`)
}

func (c *candidate) take(group []manifest.Node, likeness int) {
	switch {
	case c.group == nil || likeness > c.likeness:
		*c = candidate{group: group, likeness: likeness}
	case likeness == c.likeness && !manifest.SameReference(group, c.group):
		c.tied = true
	}
}

// belongsToAnother reports whether another group that the commit brought into the same file is more like the former
// one.
func (s *search) belongsToAnother() (bool, error) {
	is, err := s.parsed(s.file.Path, s.file.Newer)
	if err != nil || is.err != nil {
		return false, err
	}
	var was parsedFile
	if !s.file.Blob.IsZero() {
		if was, err = s.parsed(s.file.Path, s.file.Blob); err != nil {
			return false, err
		}
	}
	for _, other := range is.like(s.group) {
		kin := manifest.Kin(other, s.kin.group) || manifest.Rehomed(other, s.kin.group)
		if other[0].Group == s.group[0].Group || !kin || was.group(other) != nil {
			continue
		}
		if manifest.Likeness(s.kin.group, other) > s.kin.likeness {
			return true, nil
		}
	}
	return false, nil
}

// lastWord is the last word of the repository that a group names, which a file must hold to name it too.
func lastWord(group []manifest.Node) string {
	image, ok := manifest.Reference(group, "")
	if !ok {
		return ""
	}
	repository, _, _ := manifest.Split(image)
	return repository[strings.LastIndexByte(repository, '/')+1:]
}

func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}
