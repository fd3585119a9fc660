package manifest

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A file of environment variables is what kustomize's generators take under envs: a KEY=VALUE a line. Its nodes have
// pointers of their own:
//
//	env#/APP_TAG

// envDocument begins the pointers of such files.
const envDocument = "env#/"

// isEnv reports whether a file holds environment variables: it has no name of YAML, and begins with one.
func isEnv(file string, data []byte) bool {
	switch path.Ext(file) {
	case ".yaml", ".yml", ".json":
		return false
	}
	return envStart.Match(data)
}

// envStart is a first variable behind comments and empty lines.
var envStart = regexp.MustCompile(`^\x{FEFF}?(?:[ \t]*(?:#[^\n]*)?\r?\n)*[ \t]*[A-Za-z_][A-Za-z0-9_.-]*=`)

// envNodes lists the variables of a file as kustomize reads it: without comments, and with the last of two that have
// one name.
func envNodes(file string, data []byte) []Node {
	var out []Node
	for _, l := range envLines(data) {
		n := Node{File: file, Pointer: envDocument + escape(l.key), Part: PartText, Value: l.value(data), Line: l.line}
		n.Group = file + ":" + n.Pointer
		out = slices.DeleteFunc(out, func(o Node) bool { return o.Pointer == n.Pointer })
		out = append(out, n)
	}
	return out
}

// envLine is a variable in the text of a file: what stands from one byte to another is its value.
type envLine struct {
	key            string
	line, from, to int
}

func (l envLine) value(data []byte) string { return string(data[l.from:l.to]) }

// envLines finds the variables of a file.
func envLines(data []byte) []envLine {
	var out []envLine
	at, line := 0, 0
	for row := range bytes.Lines(data) {
		line++
		start := at
		at += len(row)
		text := bytes.TrimRight(row, "\r\n")
		lead := len(text) - len(bytes.TrimLeft(text, " \t\uFEFF"))
		key, _, ok := bytes.Cut(text[lead:], []byte("="))
		if !ok || bytes.HasPrefix(key, []byte("#")) || len(bytes.TrimSpace(key)) == 0 {
			continue
		}
		out = append(out, envLine{string(key), line, start + lead + len(key) + 1, start + len(text)})
	}
	return out
}

// editEnv gives a file of environment variables with new values.
func editEnv(data []byte, edits []Change) ([]byte, error) {
	var splices []splice
	for _, c := range edits {
		key, ok := strings.CutPrefix(c.Pointer, envDocument)
		switch {
		case !ok || c.Remove:
			return nil, fmt.Errorf("edit %s: %w: the file holds environment variables", c.Pointer, ErrRefused)
		case !printable(c.Value):
			return nil, fmt.Errorf("edit %s: %w: the value %q does not fit into a line", c.Pointer, ErrRefused,
				shorten(c.Value))
		}
		found := false
		for _, l := range envLines(data) {
			if l.key == unescape(key) {
				found = true
				splices = append(splices, splice{start: l.from, end: l.to, text: c.Value})
			}
		}
		if !found {
			return nil, fmt.Errorf("edit %s: %w", c.Pointer, ErrNoNode)
		}
	}
	slices.SortFunc(splices, func(a, b splice) int { return a.start - b.start })
	for i := 1; i < len(splices); i++ {
		if splices[i].start < splices[i-1].end {
			return nil, fmt.Errorf("%w: one variable would get two values", ErrRefused)
		}
	}
	return apply(data, splices), nil
}

// isEnvEdit reports whether edits are of a file of environment variables.
func isEnvEdit(edits []Change) bool {
	return len(edits) > 0 && strings.HasPrefix(edits[0].Pointer, envDocument)
}

// envsOf lists the variables that the generators of a kustomization take from files, by kind and name of the object.
func (p *parsed) envsOf(file string, read func(file string) ([]byte, bool)) map[string][]Node {
	out := map[string][]Node{}
	for _, doc := range p.docs {
		for generator, kind := range map[string]string{"configMapGenerator": "ConfigMap", "secretGenerator": "Secret"} {
			for _, item := range items(field(resolve(doc.root), generator)) {
				for _, ref := range append(texts(field(item, "envs")), text(item, "env")) {
					name := path.Join(path.Dir(file), ref)
					data, ok := read(name)
					if ref == "" || !ok {
						continue
					}
					object := kind + "/" + text(item, "name")
					for _, n := range envNodes(name, data) {
						n.Part, n.Variable = PartVariable, unescape(strings.TrimPrefix(n.Pointer, envDocument))
						out[object] = append(out[object], n)
					}
				}
			}
		}
	}
	return out
}
