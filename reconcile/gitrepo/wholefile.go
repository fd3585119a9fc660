package gitrepo

import (
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
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

// hashOf is how a place names a file.
func hashOf(e store.Entry) string {
	if e.Hash.IsZero() {
		return v1alpha1.NoFile
	}
	return e.Hash.String()
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
func (h *history) fileAt(tree plumbing.Hash, n v1alpha1.Place) (fileNow, error) {
	e, err := h.EntryAt(tree, n.File)
	if err != nil {
		return fileNow{}, err
	}
	if !e.Hash.IsZero() && !e.Regular() {
		return fileNow{value: hashOf(e)}, nil
	}
	var data []byte
	if !e.Hash.IsZero() {
		if data, err = h.Objects.Blob(e.Hash, manifest.MaxFileSize); err != nil {
			return fileNow{}, fmt.Errorf("read %s: %w", n.File, err)
		}
	}
	return h.fileSays(n, hashOf(e), data)
}

// fileSays describes what a file with a content is to a suspect.
func (h *history) fileSays(n v1alpha1.Place, value string, data []byte) (fileNow, error) {
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
	data, err := h.Objects.Blob(plumbing.NewHash(value), manifest.MaxFileSize)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return data, nil
}

func (h *history) filesAt(c *store.Commit, s v1alpha1.Suspect) (map[int32]string, error) {
	out := map[int32]string{}
	for i, n := range s.Places {
		now, err := h.fileAt(c.Tree, n)
		if err != nil {
			return nil, err
		}
		out[int32(i)] = now.value
	}
	return out, nil
}
