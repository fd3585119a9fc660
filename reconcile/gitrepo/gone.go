package gitrepo

import (
	"bytes"
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

const (
	// goneWithin is how many commits back an image is looked for that a person asks for and Git no longer says.
	goneWithin = 5000
	// maxGone is how many files of a commit are looked at for it.
	maxGone = 2000
)

// blameGone blames an image that the branch no longer says: as of the commit before the one that took it off. It says
// false where the branch never said it, as far as was looked.
func (h *history) blameGone(ctx context.Context, q reconcile.Query) (v1alpha1.Suspect, bool, error) {
	defer func(tip plumbing.Hash) { h.Tip = tip }(h.Tip)
	newer, err := h.At(ctx, h.Tip)
	if err != nil {
		return v1alpha1.Suspect{}, false, err
	}
	holds := map[plumbing.Hash]bool{}
	for range goneWithin {
		older, err := h.Before(ctx, newer)
		if errors.Is(err, store.ErrTooFar) || err == nil && older == nil {
			break
		}
		if err != nil {
			return v1alpha1.Suspect{}, false, err
		}
		took, err := h.tookOff(older, newer, q.Image, holds)
		if err != nil {
			return v1alpha1.Suspect{}, false, err
		}
		if took {
			h.Tip = older.Hash
			s, err := h.blameTip(ctx, q)
			if _, refused := reconcile.AsRefusal(err); !refused {
				s.GoneSince = related(newer)
				return s, err == nil, err
			}
		}
		newer = older
	}
	return v1alpha1.Suspect{}, false, nil
}

// tookOff reports whether a commit may have taken an image off the branch: a file of before it speaks of it, and that
// file no longer does.
func (h *history) tookOff(older, newer *store.Commit, image string, holds map[plumbing.Hash]bool) (bool, error) {
	changes, err := h.Diff(older.Tree, newer.Tree, maxGone)
	if err != nil && !errors.Is(err, store.ErrManyChanges) {
		return false, err
	}
	for _, c := range changes {
		if !c.Before.Regular() || !isYAML(c.Path) {
			continue
		}
		was, err := h.speaksOf(c.Before, image, holds)
		if err != nil {
			return false, err
		}
		if !was {
			continue
		}
		if is, err := h.speaksOf(c.After, image, holds); err != nil || !is {
			return !is, err
		}
	}
	return false, nil
}

// speaksOf reports whether a file may name the image.
func (h *history) speaksOf(e store.Entry, image string, holds map[plumbing.Hash]bool) (bool, error) {
	if !e.Regular() {
		return false, nil
	}
	if known, ok := holds[e.Hash]; ok {
		return known, nil
	}
	data, ok, err := h.Content(e.Hash)
	if err != nil {
		return false, err
	}
	_, tag, digest := manifest.Split(image)
	speaks := ok && (tag != "" && indexWord(data, tag) >= 0 ||
		digest != "" && bytes.Contains(data, []byte(digest)))
	holds[e.Hash] = speaks
	return speaks, nil
}
