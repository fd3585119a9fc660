package gitrepo

import (
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// succeeded reports whether a place took over from one that went: that of an object of the same name and folder, as a
// release takes over from a Deployment, of values beside it in a file of their own or in an object that a release takes
// them from, of values whose file was renamed, or an entry of a kustomization that includes the other's.
func (s *search) succeeded(c store.Change, group, there []manifest.Node) (bool, error) {
	was, is := group[0], s.group[0]
	switch {
	case there != nil || !manifest.Kin(group, s.group):
		return false, nil
	case manifest.IsEntry(was) && manifest.IsEntry(is):
		return s.oneIncludes(c.Path, s.file.Path)
	case was.Object.Name == "" && is.Object.Name == "" && c.After.Hash.IsZero() && s.file.Blob.IsZero():
		return s.alike(c)
	}
	if lent, err := s.lent(c, was, is); err != nil || lent {
		return lent, err
	}
	if manifest.IsEntry(was) || manifest.IsEntry(is) || path.Dir(c.Path) != path.Dir(s.file.Path) {
		return false, nil
	}
	return was.Object.Name == is.Object.Name || was.Object.Name == "" || is.Object.Name == "", nil
}

func isRelease(n manifest.Node) bool { return n.Object.Kind == "HelmRelease" }

// lent reports whether one of two places is in a release, and the other one in an object that the release takes values
// from.
func (s *search) lent(c store.Change, was, is manifest.Node) (bool, error) {
	switch {
	case isRelease(was) == isRelease(is):
		return false, nil
	case isRelease(was):
		return s.lends(was, c.After.Hash, is)
	}
	return s.lends(is, s.file.Blob, was)
}

// lends reports whether a version of a release takes values from the object that a node is in.
func (s *search) lends(release manifest.Node, blob plumbing.Hash, n manifest.Node) (bool, error) {
	if blob.IsZero() {
		return false, nil
	}
	from, err := s.valuesFrom(release, blob)
	return slices.Contains(from, n.Object.Kind+"/"+n.Object.Name), err
}

// valuesFrom lists the objects, as Kind/name, whose values a version of a HelmRelease is laid over.
func (h *history) valuesFrom(n manifest.Node, blob plumbing.Hash) ([]string, error) {
	p, err := h.parsed(n.File, blob)
	if err != nil || p.scalars == nil {
		return nil, err
	}
	document, _, _ := strings.Cut(n.Pointer, "#")
	var out []string
	for _, s := range p.scalars() {
		if strings.HasPrefix(s.Pointer, document+"#/spec/valuesFrom[") && strings.HasSuffix(s.Pointer, "/name") {
			out = append(out, "ConfigMap/"+s.Value, "Secret/"+s.Value)
		}
	}
	return out, nil
}

// alike reports whether half of a file that went is in the one that came: what git takes for a rename.
func (s *search) alike(c store.Change) (bool, error) {
	was, ok, err := s.Content(c.Before.Hash)
	if err != nil || !ok {
		return false, err
	}
	is, ok, err := s.Content(s.file.Newer)
	if err != nil || !ok {
		return false, err
	}
	lines := map[string]int{}
	for line := range strings.Lines(string(was)) {
		lines[line]++
	}
	same := 0
	for line := range strings.Lines(string(is)) {
		if lines[line]--; lines[line] >= 0 {
			same += len(line)
		}
	}
	return 2*same >= max(len(was), len(is)), nil
}

// apart reports whether two entries of images are of two kustomizations, both there before the commit and after it,
// that nothing renders together: one environment drops its entry, and another one adds its own.
func (s *search) apart(c store.Change, group []manifest.Node) (bool, error) {
	both := []string{c.Path, s.file.Path}
	for _, file := range both {
		if !slices.Contains(manifest.Kustomizations, path.Base(file)) {
			return false, nil
		}
	}
	if !manifest.IsEntry(group[0]) || !manifest.IsEntry(s.group[0]) || c.Path == s.file.Path ||
		s.file.Blob.IsZero() || c.After.Hash.IsZero() {
		return false, nil
	}
	files, err := s.yamlFiles(s.newer)
	if err != nil {
		return false, err
	}
	for _, f := range files {
		if !slices.Contains(manifest.Kustomizations, path.Base(f.path)) {
			continue
		}
		built, err := s.built(s.newer, reconcile.Root{Path: path.Dir(f.path)})
		if err != nil {
			return false, err
		}
		if slices.Contains(built, both[0]) && slices.Contains(built, both[1]) {
			return false, nil
		}
	}
	return true, nil
}

// oneIncludes reports whether the folder of one of two files renders the other.
func (s *search) oneIncludes(a, b string) (bool, error) {
	inner, err := s.includes(a, b)
	if err != nil || inner {
		return inner, err
	}
	return s.includes(b, a)
}

// includes reports whether what the folder of one file renders after the commit has another file in it.
func (s *search) includes(file, other string) (bool, error) {
	dir := path.Dir(file)
	if e, err := s.EntryAt(s.newer.Tree, file); err != nil || e.Hash.IsZero() {
		return false, err
	}
	files, err := s.built(s.newer, reconcile.Root{Path: dir})
	return slices.Contains(files, other), err
}
