package gitrepo

import (
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// history is a branch as of one tip, with what is remembered of its objects.
type history struct {
	*store.History
	*remembered
}

func newHistory(p *store.History, r *remembered) *history {
	return &history{History: p, remembered: r}
}

// tooLarge is why a large file is not read.
const tooLarge = "is too large to be read"

// mention reads the nodes of a file that speaks of what is looked for. why tells what keeps a file from being read that
// does.
func (h *history) mention(tree plumbing.Hash, file string, speaks func([]byte) bool,
) (nodes []manifest.Node, why string, err error) {
	e, err := h.EntryAt(tree, file)
	if err != nil || !e.Regular() {
		return nil, "", err
	}
	data, ok, err := h.Content(e.Hash)
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("read %s: %w", file, err)
	case !ok:
		return nil, tooLarge, nil
	case !speaks(data):
		return nil, "", nil
	}
	p, err := h.parsed(file, e.Hash)
	if err != nil {
		return nil, "", err
	}
	if why := p.err; why != nil {
		return nil, "speaks of it, but: " + oneLine(why.Error(), nameRunes), err
	}
	return p.nodes, "", nil
}

// text is the content of a file; false for none.
func (h *history) text(blob plumbing.Hash) ([]byte, bool, error) {
	if blob.IsZero() {
		return nil, false, nil
	}
	return h.Content(blob)
}

// reading gives what reads a plain file of a commit.
func (h *history) reading(c *store.Commit) func(file string) ([]byte, bool) {
	return func(file string) ([]byte, bool) {
		e, err := h.EntryAt(c.Tree, file)
		if err != nil || !e.Regular() {
			return nil, false
		}
		data, ok, err := h.Content(e.Hash)
		return data, ok && err == nil
	}
}

// maxTreeFiles bounds the files of a tree that are looked through where nothing leads to the image.
const maxTreeFiles = 200_000

// treeFile is a YAML file of a commit.
type treeFile struct {
	path  string
	entry store.Entry
}

// yamlFiles lists the YAML files of a commit that Flux could read.
func (h *history) yamlFiles(c *store.Commit) ([]treeFile, error) {
	changes, err := h.Diff(plumbing.ZeroHash, c.Tree, maxTreeFiles)
	if err != nil && !errors.Is(err, store.ErrManyChanges) {
		return nil, fmt.Errorf("list the files of %s: %w", text.Short(c.Hash.String()), err)
	}
	var out []treeFile
	for _, ch := range changes {
		if ch.After.Regular() && isYAML(ch.Path) {
			out = append(out, treeFile{ch.Path, ch.After})
		}
	}
	return out, nil
}

// parsed reads the nodes of one version of a file. What cannot be read is an error in it, never a failure, unless the
// repository itself is damaged.
func (h *history) parsed(file string, blob plumbing.Hash) (parsedFile, error) {
	version := fileVersion{file, blob}
	if p, ok := h.files[version]; ok {
		return p, nil
	}
	data, err := h.Objects.Blob(blob, manifest.MaxFileSize)
	if errors.Is(err, store.ErrCorrupt) {
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
	data, err := h.Objects.Blob(version.blob, manifest.MaxFileSize)
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
