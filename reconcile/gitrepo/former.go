package gitrepo

import (
	"context"
	"errors"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// formerWithin is how many commits before the suspect are searched for further values once there is one.
const formerWithin = 500

// former lists what the suspect's nodes held before it, newest first, at most max.
func (h *history) former(ctx context.Context, s v1alpha1.Suspect, max int) ([]reconcile.Former, error) {
	w, err := h.watch(ctx, plumbing.NewHash(s.Commit), s)
	if err != nil {
		return nil, err
	}
	var out []reconcile.Former
	for steps := 0; len(out) < max && (len(out) == 0 || steps < formerWithin); steps++ {
		c, changed, err := w.back(ctx)
		if errors.Is(err, errTooFar) || err == nil && c == nil {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(changed) == 0 && steps > 0 {
			continue
		}
		f, err := w.former(s.Image)
		if err != nil {
			return nil, err
		}
		known := slices.ContainsFunc(out, func(o reconcile.Former) bool { return slices.Equal(o.Values, f.Values) })
		if len(f.Values) > 0 && !known {
			out = append(out, f)
		}
	}
	return out, nil
}

// former is what the nodes hold in the version that the walk is at; without values where that is nothing, or what is
// bad.
func (w *watching) former(base string) (reconcile.Former, error) {
	f := reconcile.Former{Commit: w.at.hash.String()}
	values, err := w.values()
	if err != nil {
		return f, err
	}
	bad := true
	for i, n := range w.nodes {
		if v := values[i]; v != nil {
			f.Values = append(f.Values, v1alpha1.NodeValue{Index: int32(i), Value: v.Value})
			bad = bad && v.Value == n.Bad
		}
	}
	if bad {
		f.Values = nil
		return f, nil
	}
	f.Image, err = w.image(values, base)
	return f, err
}

// watching follows the nodes of a suspect through the versions of their files.
type watching struct {
	*follower
	nodes []v1alpha1.Node
	// file is the index of each node's file.
	file []int
}

// watch starts to follow a suspect's nodes at a commit.
func (h *history) watch(ctx context.Context, from plumbing.Hash, s v1alpha1.Suspect) (*watching, error) {
	w := &watching{nodes: s.Nodes}
	var paths []string
	for _, n := range s.Nodes {
		i := slices.Index(paths, n.File)
		if i < 0 {
			i = len(paths)
			paths = append(paths, n.File)
		}
		w.file = append(w.file, i)
	}
	var err error
	w.follower, err = h.follow(ctx, from, paths)
	return w, err
}

// values are the nodes in the version that the walk is at; nil for one that is not there or cannot be read.
func (w *watching) values() ([]*manifest.Node, error) {
	out := make([]*manifest.Node, len(w.nodes))
	for i, n := range w.nodes {
		p, err := w.version(i)
		if err != nil {
			return nil, err
		}
		out[i] = p.node(n.Pointer)
	}
	return out, nil
}

// version is the parsed file of a node.
func (w *watching) version(node int) (parsedFile, error) {
	file := w.files[w.file[node]]
	if file.blob.IsZero() {
		return parsedFile{}, nil
	}
	return w.h.parsed(file.path, file.blob)
}

// image names what the nodes make together with their neighbours: what those do not say comes from base. It is empty
// when they make different images, or none.
func (w *watching) image(values []*manifest.Node, base string) (string, error) {
	image := ""
	for i, v := range values {
		if v == nil {
			continue
		}
		p, err := w.version(i)
		if err != nil {
			return "", err
		}
		var beside []manifest.Node
		for _, o := range p.nodes {
			if o.Group == v.Group {
				beside = append(beside, o)
			}
		}
		made, ok := manifest.Reference(beside, base)
		if !ok || image != "" && image != made {
			return "", nil
		}
		image = made
	}
	return image, nil
}
