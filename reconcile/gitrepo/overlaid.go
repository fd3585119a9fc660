package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// overlaying is a commit that laid values over others, which count again without it:
//
//	an entry of images        is taken out, the image below counts
//	a variable                is taken out, where all that uses it has a default
//	a patch, values           say what they were laid over
type overlaying struct {
	*history
	ctx context.Context
	s   v1alpha1.Suspect
	// at is the commit, and before its parent.
	at, before *store.Commit
	former     reconcile.Former
	images     []string
}

// withoutAdded is the state before a commit that added all of the suspect's nodes; nothing where that cannot be told.
func (h *history) withoutAdded(ctx context.Context, s v1alpha1.Suspect) ([]reconcile.Former, error) {
	c, err := h.At(ctx, plumbing.NewHash(s.Commit))
	if err != nil || c.Parent().IsZero() {
		return nil, err
	}
	o := &overlaying{history: h, ctx: ctx, s: s, at: c, former: reconcile.Former{Commit: c.Parent().String()}}
	if o.before, err = h.At(ctx, c.Parent()); err != nil {
		return nil, err
	}
	w, err := h.watch(ctx, c.Hash, placesOf(s, s.Commit))
	if err != nil {
		return nil, err
	}
	for i := range w.groups {
		if ok, err := o.take(w, i); err != nil || !ok {
			return nil, err
		}
	}
	if len(o.former.Values) == 0 || len(o.former.Values) != len(w.places) {
		return nil, nil
	}
	slices.SortFunc(o.former.Values, func(a, b v1alpha1.PlaceValue) int { return int(a.Index - b.Index) })
	for i, image := range o.images {
		if i > 0 && image != o.images[0] {
			return []reconcile.Former{o.former}, nil
		}
		o.former.Image = image
	}
	if _, tag, digest := manifest.Split(o.former.Image); o.former.Image != "" && tag+digest == "" {
		// Without a tag any version may run: that is nothing to go back to.
		return nil, nil
	}
	return []reconcile.Former{o.former}, nil
}

// take sets a group of nodes back. It says false where what counted before them cannot be told.
func (o *overlaying) take(w *watching, group int) (bool, error) {
	g := w.groups[group]
	var nodes []int
	var as []manifest.Node
	for k, in := range w.in {
		if in[0] != group {
			continue
		}
		if i := w.places[k].node; !o.s.Places[i].Added || g.tip[in[1]].Value != o.s.Places[i].Bad {
			return false, nil
		}
		nodes, as = append(nodes, w.places[k].node), append(as, g.tip[in[1]])
	}
	first := g.tip[0]
	if isImage(first) && !manifest.IsEntry(first) {
		return o.write(g.tip, nodes, as)
	}
	stood, err := o.stood(first.File)
	if err != nil || !stood {
		return false, err
	}
	image, ok := "", false
	switch {
	case manifest.IsEntry(first):
		image, err = o.below(path.Dir(first.File))
		ok = true
	case first.Variable != "":
		image, ok, err = o.defaults(first.Variable)
	}
	if err != nil || !ok {
		return false, err
	}
	for _, i := range nodes {
		o.former.Values = append(o.former.Values, v1alpha1.PlaceValue{Index: int32(i), Remove: true})
	}
	o.images = append(o.images, image)
	return true, nil
}

// write makes nodes of a patch or of values say what they were laid over.
func (o *overlaying) write(over []manifest.Node, nodes []int, as []manifest.Node) (bool, error) {
	base, err := o.beneath(over)
	if err != nil || base == nil {
		return false, err
	}
	for n, v := range manifest.Express(base, as) {
		value := v1alpha1.PlaceValue{Index: int32(nodes[n])}
		switch part := as[n].Part; {
		case v != nil:
			value.Value = v.Value
		case part == manifest.PartDigest || part == manifest.PartRegistry:
			value.Remove = true
		default:
			return false, nil
		}
		o.former.Values = append(o.former.Values, value)
	}
	image, _ := manifest.Reference(base, "")
	o.images = append(o.images, image)
	return true, nil
}

// stood reports whether a file was there before the commit: an entry or a variable that came together with what it
// changes has nothing before it.
func (o *overlaying) stood(file string) (bool, error) {
	e, err := o.EntryAt(o.before.Tree, file)
	return e.Regular(), err
}

// groups gives the groups of nodes below a folder before the commit.
func (o *overlaying) groups(dir string, each func(group []manifest.Node)) error {
	files, err := o.built(o.before, reconcile.Root{Path: dir})
	if err != nil {
		return err
	}
	for _, file := range files {
		nodes, _, err := o.mention(o.before.Tree, file, func(data []byte) bool {
			return manifest.MayHold(data, o.s.Image)
		})
		if err != nil || o.ctx.Err() != nil {
			return errors.Join(err, o.ctx.Err())
		}
		for _, group := range manifest.Groups(nodes) {
			each(group)
		}
	}
	return nil
}

// below is the image that the files next to an entry said before it; empty where that is not one.
func (o *overlaying) below(dir string) (string, error) {
	repository, _, _ := manifest.Split(o.s.Image)
	images := map[string]bool{}
	err := o.groups(dir, func(group []manifest.Node) {
		if r, _, _ := manifest.Split(group[0].Value); group[0].Part == manifest.PartImage && r == repository {
			images[group[0].Value] = true
		}
	})
	if len(images) != 1 {
		return "", err
	}
	for image := range images {
		return image, err
	}
	return "", err
}

// beneath is what nodes of a patch or of values were laid over; nil where that is not one image.
func (o *overlaying) beneath(over []manifest.Node) ([]manifest.Node, error) {
	dir, ok, err := o.folder(over[0])
	if err != nil || !ok {
		return nil, err
	}
	from, err := o.releaseFrom(over[0])
	if err != nil {
		return nil, err
	}
	repository, _, _ := manifest.Split(o.s.Image)
	var found []manifest.Node
	several := false
	err = o.groups(dir, func(group []manifest.Node) {
		image, whole := manifest.Reference(group, "")
		r, _, _ := manifest.Split(image)
		object := group[0].Object
		values := object.Kind != "HelmRelease" && slices.Contains(from, object.Kind+"/"+object.Name)
		if !whole || r != repository || !manifest.LiesUnder(group, over, values) {
			return
		}
		several = several || found != nil && !manifest.SameReference(found, group)
		found = group
	})
	if several || err != nil {
		return nil, err
	}
	if image, _ := manifest.Reference(found, ""); strings.Contains(image, "$") || manifest.IsTemplate(image) {
		return nil, nil
	}
	return found, nil
}

// folder is where the file of a node is built, which was built before the commit too.
func (o *overlaying) folder(n manifest.Node) (string, bool, error) {
	if rest, ok := strings.CutPrefix(n.Pointer, "Kustomization/"); ok {
		if id, _, patch := strings.Cut(rest, "#/spec/patches["); patch {
			return o.path(n.File, "Kustomization/"+id+"#/spec/path")
		}
	}
	for dir := path.Dir(n.File); ; dir = path.Dir(dir) {
		builds, err := o.kustomized(o.at, dir)
		if err != nil {
			return "", false, err
		}
		if builds {
			files, err := o.built(o.at, reconcile.Root{Path: dir})
			if err != nil {
				return "", false, err
			}
			if slices.Contains(files, n.File) {
				built, err := o.kustomized(o.before, dir)
				return dir, built, err
			}
		}
		if dir == "." || dir == "/" {
			break
		}
	}
	// Nothing includes it: only values may be laid over others there.
	stood, err := o.stood(n.File)
	return path.Dir(n.File), stood && n.Object.Kind == "HelmRelease", err
}

// kustomized reports whether a folder has a kustomization of its own.
func (o *overlaying) kustomized(c *store.Commit, dir string) (bool, error) {
	for _, name := range manifest.Kustomizations {
		e, err := o.EntryAt(c.Tree, path.Join(dir, name))
		if err != nil || e.Regular() {
			return err == nil, err
		}
	}
	return false, nil
}

// path reads the folder that a Flux Kustomization built before the commit.
func (o *overlaying) path(file, pointer string) (string, bool, error) {
	e, err := o.EntryAt(o.before.Tree, file)
	if err != nil || !e.Regular() {
		return "", false, err
	}
	p, err := o.parsed(file, e.Hash)
	if err != nil || p.scalars == nil {
		return "", false, err
	}
	at, ok := manifest.At(p.scalars(), pointer)
	return manifest.Folder(at.Value), ok && !strings.Contains(at.Value, "$"), nil
}

// releaseFrom lists the objects, as Kind/name, whose values a HelmRelease is laid over at the commit.
func (o *overlaying) releaseFrom(n manifest.Node) ([]string, error) {
	if !isRelease(n) {
		return nil, nil
	}
	e, err := o.EntryAt(o.at.Tree, n.File)
	if err != nil || !e.Regular() {
		return nil, err
	}
	return o.valuesFrom(n, e.Hash)
}

// defaults is the image that counts where a variable is not set. It says false unless all images that use the variable
// have a default for it, before the commit and on the branch.
func (o *overlaying) defaults(variable string) (string, bool, error) {
	tip, err := o.history.At(o.ctx, o.Tip)
	if err != nil {
		return "", false, err
	}
	var images []string
	for _, c := range []*store.Commit{o.before, tip} {
		found, ok, err := o.unset(c, variable)
		if err != nil || !ok || len(found) == 0 {
			return "", false, err
		}
		images = append(images, found...)
	}
	repository, _, _ := manifest.Split(o.s.Image)
	image := ""
	for _, i := range images {
		if r, _, _ := manifest.Split(i); r != repository || image != "" && image != i {
			// It is used in more than this image, or another value may count.
			return "", true, nil
		}
		image = i
	}
	return image, true, nil
}

// unset lists the images that use a variable, as they are where it is not set. It says false where one of them has no
// default.
func (o *overlaying) unset(c *store.Commit, variable string) ([]string, bool, error) {
	files, err := o.yamlFiles(c)
	if err != nil {
		return nil, false, err
	}
	var out []string
	for _, f := range files {
		if o.ctx.Err() != nil {
			return nil, false, o.ctx.Err()
		}
		nodes, _, err := o.mention(c.Tree, f.path, func(data []byte) bool {
			return bytes.Contains(data, []byte("${"+variable))
		})
		if err != nil {
			return nil, false, err
		}
		for _, group := range manifest.Groups(nodes) {
			group = slices.Clone(group)
			uses := false
			for i, n := range group {
				if slices.Contains(usedIn(n.Value), variable) {
					if uses = true; !manifest.HasDefault(n.Value, variable) {
						return nil, false, nil
					}
					group[i].Value = manifest.Expand(n.Value, nil)
				}
			}
			if image, ok := manifest.Reference(group, o.s.Image); uses {
				if !ok || strings.Contains(image, "$") {
					image = ""
				}
				out = append(out, image)
			}
		}
	}
	return out, true, nil
}
