package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Kustomizations are the names by which kustomize knows a kustomization file, in the order in which it looks for them.
var Kustomizations = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

// kustomization takes what the kustomization file of a folder names. It says false where the folder has none.
func (c *closure) kustomization(dir string) bool {
	var found []string
	for _, name := range Kustomizations {
		file := path.Join(dir, name)
		switch mode, err := c.mode(file); {
		case err == nil && mode.IsRegular():
			found = append(found, file)
		case err != nil && !notThere(err):
			c.unfollowed(file, "", err)
		}
	}
	if len(found) == 0 {
		return false
	}
	if c.visited[dir] {
		return true
	}
	c.visited[dir] = true
	if len(found) > 1 {
		c.problem(dir, "has %s: kustomize takes only one", strings.Join(found, " and "))
	}
	for _, file := range found {
		c.paths[file] = true
		c.unread = append(c.unread, file)
	}
	return true
}

func notThere(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// read follows the references in a kustomization file.
func (c *closure) read(file string) {
	p, known := c.files[file]
	if !known {
		var why string
		if p, why = c.open(file); why != "" {
			c.problem(file, "%s", why)
			return
		}
		c.files[file] = p
	}
	for _, doc := range p.docs {
		c.follow(file, doc.root)
	}
}

// open reads a kustomization file; why describes what keeps it from being read.
func (g *Graph) open(file string) (p *parsed, why string) {
	info, err := fs.Stat(g.fsys, file)
	if err != nil {
		return nil, fmt.Sprintf("cannot be read: %v", err)
	}
	if info.Size() > MaxFileSize {
		return nil, fmt.Sprintf("is larger than %d bytes", MaxFileSize)
	}
	data, err := fs.ReadFile(g.fsys, file)
	if err == nil {
		p, err = parse(data)
	}
	if err != nil {
		return nil, fmt.Sprintf("cannot be read: %v", err)
	}
	return p, ""
}

// follow takes every reference of a kustomization. Files that kustomize reads for other ends (CRDs, configurations,
// OpenAPI schemas) hold no manifests; charts are not inflated by Flux.
func (c *closure) follow(file string, k *yaml.Node) {
	for _, key := range []string{"resources", "bases", "components"} {
		for _, ref := range texts(field(k, key)) {
			c.resource(file, ref)
		}
	}
	for _, key := range []string{"generators", "transformers", "validators"} {
		for _, ref := range texts(field(k, key)) {
			if !isInline(ref) {
				c.resource(file, ref)
			}
		}
	}
	for _, ref := range texts(field(k, "patchesStrategicMerge")) {
		if !isInline(ref) {
			c.manifest(file, ref)
		}
	}
	for _, key := range []string{"patches", "patchesJson6902", "replacements"} {
		for _, item := range items(field(k, key)) {
			if ref := text(item, "path"); ref != "" {
				c.manifest(file, ref)
			}
		}
	}
	for _, key := range []string{"configMapGenerator", "secretGenerator"} {
		for _, item := range items(field(k, key)) {
			for _, ref := range texts(field(item, "files")) {
				c.value(file, ref)
			}
			for _, ref := range append(texts(field(item, "envs")), text(item, "env")) {
				c.loaded(file, ref)
			}
		}
	}
}

// value takes a YAML file that a generator loads, as path or key=path.
func (c *closure) value(from, ref string) {
	if _, file, ok := strings.Cut(ref, "="); ok {
		ref = file
	}
	if ext := path.Ext(ref); ext == ".yaml" || ext == ".yml" {
		c.loaded(from, ref)
	}
}

// loaded takes a file that a generator loads: of environment variables, or YAML.
func (c *closure) loaded(from, ref string) {
	if ref == "" {
		return
	}
	name, ok := c.inTree(from, ref)
	if !ok {
		return
	}
	switch mode, err := c.mode(name); {
	case err != nil:
		c.missing(from, ref, err)
	case mode.IsRegular():
		c.values[name] = true
	}
}

// isInline reports whether text in place of a path is the YAML itself.
func isInline(ref string) bool { return strings.Contains(ref, "\n") || strings.Contains(ref, ": ") }

// items are the resolved items of a list; none for anything else.
func items(list *yaml.Node) []*yaml.Node {
	if list == nil || list.Kind != yaml.SequenceNode {
		return nil
	}
	all := make([]*yaml.Node, len(list.Content))
	for i, item := range list.Content {
		all[i] = resolve(item)
	}
	return all
}

// texts are the scalars among a list's items.
func texts(list *yaml.Node) []string {
	var all []string
	for _, item := range items(list) {
		if item.Kind == yaml.ScalarNode && scalarText(item) != "" {
			all = append(all, item.Value)
		}
	}
	return all
}
