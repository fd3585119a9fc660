package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// Images lists by container which images the files say for a workload at a commit.
func (g *Mirrors) Images(ctx context.Context, src reconcile.Source, q reconcile.Wanted,
) (images, why map[string]string, err error) {
	at := plumbing.NewHash(q.Commit)
	err = g.with(ctx, src, func(m *branch) error {
		if err := m.Bring(ctx, at); err != nil {
			return err
		}
		key := fmt.Sprint(q)
		if known, ok := m.said[key]; ok {
			images, why = known.images, known.why
			return nil
		}
		var err error
		images, why, err = m.history().images(ctx, at, q)
		if err == nil {
			m.say(key, said{images, why})
		}
		return err
	})
	return maps.Clone(images), maps.Clone(why), err
}

// images reads what the files of the query's root say.
func (h *history) images(ctx context.Context, at plumbing.Hash, q reconcile.Wanted,
) (images, why map[string]string, err error) {
	images, why = map[string]string{}, map[string]string{}
	nodes, unread, err := h.speaking(ctx, at, q)
	if reason, refused := reconcile.AsRefusal(err); refused {
		for c := range q.Containers {
			why[c] = reason
		}
		return images, why, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for c, candidates := range q.Containers {
		target := manifest.Target{Namespace: q.Namespace, Kind: q.Workload.Kind, Name: q.Workload.Name, Container: c}
		image, reason := manifest.Wanted(nodes, target, candidates)
		switch {
		case image != "":
			images[c] = image
		case len(unread) > 0:
			why[c] = strings.Join(unread[:min(3, len(unread))], "; ")
		default:
			why[c] = oneLine(reason, reasonRunes)
		}
	}
	return images, why, nil
}

// speaking reads the nodes of the files that may speak of the workload's images.
func (h *history) speaking(ctx context.Context, at plumbing.Hash, q reconcile.Wanted,
) (nodes []manifest.Node, unread []string, err error) {
	c, err := h.At(ctx, at)
	if errors.Is(err, store.ErrTooFar) {
		return nil, nil, reconcile.Refuse("commit %s, which Flux applied, is not on the branch: %s",
			text.Short(q.Commit), h.End)
	}
	if err != nil {
		return nil, nil, err
	}
	files, err := h.closure(c, q.Root)
	if err != nil {
		return nil, nil, err
	}
	speaks := func(data []byte) bool {
		return bytes.Contains(data, []byte("image")) || slices.ContainsFunc(slices.Collect(maps.Values(q.Containers)),
			func(images []string) bool {
				return slices.ContainsFunc(images, func(image string) bool { return manifest.MayHold(data, image) })
			})
	}
	for _, file := range slices.Concat(files.Paths, files.Values) {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		found, why, err := h.mention(c.Tree, file, speaks)
		if err != nil {
			return nil, nil, err
		}
		if why != "" {
			unread = append(unread, file+" "+why)
		}
		nodes = append(nodes, found...)
	}
	return nodes, unread, nil
}
