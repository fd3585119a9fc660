package gitrepo

import (
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// remembered is what was made of objects and holds as long as they are what they are: for ever. Hundreds of images that
// fail at once ask the same of the same files. It is bounded, and forgets everything rather than some.
type remembered struct {
	// files are parsed files, and nodes counts what they hold.
	files map[fileVersion]parsedFile
	nodes int
	// described is what commits did.
	described map[plumbing.Hash]description
	// escaping are folders whose kustomizations refer to files outside of them, by tree.
	escaping map[plumbing.Hash]bool
	// held are the files of a tree that speak of holds.
	held map[plumbing.Hash][]string
	// scalars are all scalars of files.
	scalars map[fileVersion][]manifest.Node
	// led are the units that a person's root led to last.
	led led
	// notes are what messages of Backstop's commits say.
	notes map[plumbing.Hash]note
	// walks are walks for Backstop's own commits, by the tip that they began at.
	walks map[string][]note
	// rooted are the files that roots render, by tree and path.
	rooted map[string]manifest.Files
	// moves are the files that differ between two trees, where something was moved.
	moves map[[2]plumbing.Hash][]store.Change
}

func newRemembered() *remembered {
	return &remembered{
		files: map[fileVersion]parsedFile{}, described: map[plumbing.Hash]description{},
		escaping: map[plumbing.Hash]bool{}, held: map[plumbing.Hash][]string{},
		moves: map[[2]plumbing.Hash][]store.Change{}, scalars: map[fileVersion][]manifest.Node{},
		notes: map[plumbing.Hash]note{}, walks: map[string][]note{}, rooted: map[string]manifest.Files{},
	}
}

// recalled is what is remembered of one mirror.
type recalled struct {
	*remembered
	// said remembers what the files of a commit say of a workload.
	said map[string]said
	// used is when it was asked for last.
	used time.Time
}

func newRecalled() *recalled { return &recalled{remembered: newRemembered(), said: map[string]said{}} }

// said is what the files of one commit say of one workload, which never changes.
type said struct{ images, why map[string]string }

// maxSaid bounds what is remembered of a mirror.
const maxSaid = 1000

func (m *recalled) say(key string, s said) {
	if len(m.said) >= maxSaid {
		clear(m.said)
	}
	m.said[key] = s
}

// led is what a root at a tree leads to.
type led struct {
	key   string
	units []*unit
}

const (
	// maxParsed bounds the files and the nodes that are remembered: at half a kilobyte each some megabytes.
	maxParsed = 4096
	// maxDescribed bounds the commits whose description is remembered, and maxImages the images of one.
	maxDescribed, maxImages = 16, 2048
	// maxNotes bounds the commits of Backstop's that are remembered.
	maxNotes = 32
	// maxWalks bounds the walks for them that are remembered, and maxRooted the roots.
	maxWalks, maxRooted = 8, 8
	// maxMoves bounds the pairs of trees whose difference is remembered.
	maxMoves = 8
	// maxScalars bounds the files whose scalars are remembered.
	maxScalars = 32
)

// fileVersion is one version of a file. The name is part of it, since manifest names nodes by it.
type fileVersion struct {
	path string
	blob plumbing.Hash
}

// parsedFile is what manifest says of one version of a file.
type parsedFile struct {
	nodes []manifest.Node
	err   error
	// scalars gives all of its scalars, for what is no image by its place; nil for no file.
	scalars func() []manifest.Node
}

// description is what a commit did: whether it changed nothing but images, and the nodes of images that it wrote.
type description struct {
	onlyImages bool
	wrote      []wrote
}

// wrote is a node that a commit wrote, and the image that it makes.
type wrote struct{ file, pointer, image string }

// trailerCommit reads a commit as one of Backstop's, whose message may name hundreds of Rollbacks.
func (m *remembered) trailerCommit(c *store.Commit) (note, bool) {
	if known, ok := m.notes[c.Hash]; ok {
		return known, true
	}
	t, own := readTrailers(c)
	if !own {
		return t, false
	}
	if len(m.notes) >= maxNotes {
		clear(m.notes)
	}
	m.notes[c.Hash] = t
	return t, true
}

// remember keeps the description of a commit.
func (m *remembered) remember(commit plumbing.Hash, d description) {
	if len(d.wrote) > maxImages {
		return
	}
	if len(m.described) >= maxDescribed {
		clear(m.described)
	}
	m.described[commit] = d
}
