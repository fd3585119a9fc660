package manifest

import (
	"io/fs"
	"maps"
	"path"
	"slices"
)

// Namespaces reports into which namespaces kustomizations put what the files of a root say, by file: the outermost
// kustomization that names one counts. A kustomization file stands for what it changes itself. Empty stands for the
// namespace that an object has of its own.
func Namespaces(fsys fs.FS, root string) (map[string][]string, error) {
	c, files, err := NewGraph(fsys).closure(root)
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, file := range files.Paths {
		into := c.put(file, map[string]bool{})
		if slices.Contains(Kustomizations, path.Base(file)) {
			into = c.within(file, into)
		}
		out[file] = slices.Sorted(maps.Keys(into))
	}
	return out, nil
}

// put are the namespaces that those which name a file put it into.
func (c *closure) put(file string, above map[string]bool) map[string]bool {
	out := map[string]bool{}
	if above[file] {
		return out
	}
	above[file] = true
	defer delete(above, file)
	for _, by := range c.by[file] {
		maps.Copy(out, c.within(by, c.put(by, above)))
	}
	if len(c.by[file]) == 0 {
		out[""] = true
	}
	return out
}

// within are the namespaces of what a kustomization file names: those that it is put into, and its own where none is.
func (c *closure) within(file string, outer map[string]bool) map[string]bool {
	out := maps.Clone(outer)
	if out[""] {
		delete(out, "")
		out[c.namespace(file)] = true
	}
	return out
}

// namespace is the one that a kustomization file names; empty for none.
func (c *closure) namespace(file string) string {
	p := c.files[file]
	if p == nil {
		return ""
	}
	for _, doc := range p.docs {
		if ns := text(doc.root, "namespace"); ns != "" {
			return ns
		}
	}
	return ""
}
