package gitrepo

import (
	"bytes"
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

const (
	// goneWithin is how many commits back an image is looked for that a person asks for and Git no longer says.
	goneWithin = 5000
	// maxGone is how many files of a commit are looked at for it.
	maxGone = 2000
)

// takenBack blames an image that the branch no longer says: as of the commit before the one that took it off. It says
// false where the branch never said it, as far as was looked.
func (h *history) takenBack(ctx context.Context, q reconcile.Query) (v1alpha1.Suspect, bool, error) {
	defer func(tip plumbing.Hash) { h.tip = tip }(h.tip)
	newer, err := h.at(ctx, h.tip)
	if err != nil {
		return v1alpha1.Suspect{}, false, err
	}
	holds := map[plumbing.Hash]bool{}
	for range goneWithin {
		older, err := h.before(ctx, newer)
		if errors.Is(err, errTooFar) || err == nil && older == nil {
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
			h.tip = older.hash
			s, err := h.blameTip(ctx, q)
			if _, refused := reconcile.AsRefusal(err); !refused {
				s.TakenBackBy = related(newer)
				return s, err == nil, err
			}
		}
		newer = older
	}
	return v1alpha1.Suspect{}, false, nil
}

// tookOff says whether a commit may have taken an image off the branch: a file of before it speaks of it, and that file
// no longer does.
func (h *history) tookOff(older, newer *commit, image string, holds map[plumbing.Hash]bool) (bool, error) {
	changes, err := h.diff(older.tree, newer.tree, maxGone)
	if err != nil && !errors.Is(err, errManyChanges) {
		return false, err
	}
	for _, c := range changes {
		if !c.before.regular() || !isYAML(c.path) {
			continue
		}
		was, err := h.speaksOf(c.before, image, holds)
		if err != nil {
			return false, err
		}
		if !was {
			continue
		}
		if is, err := h.speaksOf(c.after, image, holds); err != nil || !is {
			return !is, err
		}
	}
	return false, nil
}

// speaksOf says whether a file may name the image.
func (h *history) speaksOf(e entry, image string, holds map[plumbing.Hash]bool) (bool, error) {
	if !e.regular() {
		return false, nil
	}
	if known, ok := holds[e.hash]; ok {
		return known, nil
	}
	data, ok, err := h.content(e.hash)
	if err != nil {
		return false, err
	}
	_, tag, digest := manifest.Split(image)
	speaks := ok && (tag != "" && bytes.Contains(data, []byte(tag)) ||
		digest != "" && bytes.Contains(data, []byte(digest)))
	holds[e.hash] = speaks
	return speaks, nil
}
