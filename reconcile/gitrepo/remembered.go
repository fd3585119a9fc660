package gitrepo

import (
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

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
	// moves are the files that differ between two trees, where something was moved.
	moves map[[2]plumbing.Hash][]change
}

func newRemembered() *remembered {
	return &remembered{
		files: map[fileVersion]parsedFile{}, described: map[plumbing.Hash]description{},
		escaping: map[plumbing.Hash]bool{}, held: map[plumbing.Hash][]string{},
		moves: map[[2]plumbing.Hash][]change{}, scalars: map[fileVersion][]manifest.Node{},
	}
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

// parsed reads the nodes of one version of a file. What cannot be read is an error in it, never a failure, unless the
// repository itself is damaged.
func (h *history) parsed(file string, blob plumbing.Hash) (parsedFile, error) {
	version := fileVersion{file, blob}
	if p, ok := h.files[version]; ok {
		return p, nil
	}
	data, err := h.objects.blob(blob, manifest.MaxFileSize)
	if errors.Is(err, errCorrupt) {
		return parsedFile{}, fmt.Errorf("read %s: %w", file, err)
	}
	p := parsedFile{err: err}
	if err == nil {
		p.nodes, p.err = manifest.Nodes(file, data)
		p.scalars = func() []manifest.Node { return h.scalarsOf(version) }
	}
	if len(h.files) >= maxParsed || h.nodes+len(p.nodes) > maxParsed {
		clear(h.files)
		h.nodes = 0
	}
	h.files[version] = p
	h.nodes += len(p.nodes)
	return p, nil
}

// scalarsOf reads all scalars of a version of a file. Few are asked for, again and again.
func (h *history) scalarsOf(version fileVersion) []manifest.Node {
	if known, ok := h.scalars[version]; ok {
		return known
	}
	data, err := h.objects.blob(version.blob, manifest.MaxFileSize)
	if err != nil {
		return nil
	}
	all, err := manifest.Scalars(version.path, data)
	if err != nil {
		return nil
	}
	if len(h.scalars) >= maxScalars {
		clear(h.scalars)
	}
	h.scalars[version] = all
	return all
}

// node finds a node by its pointer.
func (p parsedFile) node(pointer string) *manifest.Node {
	for i := range p.nodes {
		if p.nodes[i].Pointer == pointer {
			return &p.nodes[i]
		}
	}
	return nil
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
