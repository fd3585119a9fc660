package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// maxWeight bounds the lines and list items of a file: what a parsed file costs in memory follows them, not its bytes.
const maxWeight = 1 << 19

// heavyWeight is from where on a file is read while no other heavy one is: what several take at once would add up.
const heavyWeight = 1 << 17

var oneHeavy sync.Mutex

// heavy waits for a file's turn where it is a heavy one, and gives what ends it. Garbage of reading it is not left to
// pile up: the collector runs more often meanwhile.
func heavy(data []byte) func() {
	if weight(data) < heavyWeight {
		return func() {}
	}
	oneHeavy.Lock()
	runtime.GC()
	before := debug.SetGCPercent(25)
	return func() {
		debug.SetGCPercent(before)
		oneHeavy.Unlock()
	}
}

// document is one YAML document of a file.
type document struct {
	// root may be an alias where the document is an item of a List.
	root *yaml.Node
	// id names the document in pointers: its object, and an ordinal where several have the same.
	id string
}

// parsed is a file that passed every check below. Aliases in it never lead back to themselves.
type parsed struct {
	data []byte
	// roots are the documents as they stand, docs what pointers start from.
	roots []*yaml.Node
	docs  []document
	// lines are the byte offsets of line starts; filled by offset.
	lines []int
}

// parse reads a file of several documents and refuses what could not be handled safely later.
func parse(data []byte) (*parsed, error) {
	p, err := parsePlain(data)
	if err != nil {
		return nil, err
	}
	for _, root := range p.roots {
		if isSOPS(root) {
			return nil, fmt.Errorf("%w: the document at line %d; undo it by hand with sops", ErrSOPS, root.Line)
		}
	}
	return p, nil
}

// parsePlain is parse, and takes what SOPS encrypted too: to be read, never to be changed.
func parsePlain(data []byte) (*parsed, error) {
	if len(data) > MaxFileSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, len(data), MaxFileSize)
	}
	if bytes.HasPrefix(data, []byte{0xFE, 0xFF}) || bytes.HasPrefix(data, []byte{0xFF, 0xFE}) {
		return nil, fmt.Errorf("%w: the file is UTF-16, only UTF-8 is read", ErrUnsupported)
	}
	if n := weight(data); n > maxWeight {
		return nil, fmt.Errorf("%w: %d lines and list items, at most %d are read", ErrTooLarge, n, maxWeight)
	}
	roots, err := decode(data)
	if err != nil {
		return nil, err
	}
	p := &parsed{data: data, roots: roots}
	for _, root := range roots {
		if err := inspect(root); err != nil {
			return nil, err
		}
	}
	p.docs = identify(roots)
	return p, nil
}

// identify names the documents. The items of a List are documents of their own: image automation writes them so.
func identify(roots []*yaml.Node) []document {
	var docs []document
	seen := map[string]int{}
	add := func(root *yaml.Node) {
		id := objectID(objectOf(resolve(root)))
		seen[id]++
		if n := seen[id]; n > 1 {
			id = fmt.Sprintf("%s;%d", id, n)
		}
		docs = append(docs, document{root: root, id: id})
	}
	for _, root := range roots {
		list := field(root, "items")
		if !strings.HasSuffix(text(root, "kind"), "List") || list == nil || list.Kind != yaml.SequenceNode {
			add(root)
			continue
		}
		for _, item := range list.Content {
			add(item)
		}
	}
	return docs
}

// weight estimates from above how many nodes a file has.
func weight(data []byte) int {
	n := 0
	for _, token := range []string{"\n", "\r", ",", "[", "{", "- ", "? "} {
		n += bytes.Count(data, []byte(token))
	}
	return n
}

// decode gives the roots of the documents that hold anything.
func decode(data []byte) (roots []*yaml.Node, err error) {
	defer func() {
		// The parser is not ours: a fault in it must not take the sidecar down.
		if r := recover(); r != nil {
			roots, err = nil, fmt.Errorf("%w: the parser failed: %v", ErrNotYAML, r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return roots, nil
		}
		if err != nil {
			return nil, notYAML(data, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || isNull(doc.Content[0]) {
			continue
		}
		roots = append(roots, doc.Content[0])
	}
}

func notYAML(data []byte, reason string) error {
	if bytes.Contains(data, []byte("{{")) {
		reason += "; it looks like a template with {{ }}"
	}
	return fmt.Errorf("%w: %s", ErrNotYAML, reason)
}

// inspect refuses what Kubernetes tools do not take either, and what would make a walk endless.
func inspect(root *yaml.Node) error {
	open := map[*yaml.Node]bool{}
	var walk func(n *yaml.Node, depth int) error
	walk = func(n *yaml.Node, depth int) error {
		if depth > MaxDepth {
			return fmt.Errorf("%w: line %d is nested more than %d deep", ErrUnsupported, n.Line, MaxDepth)
		}
		if n.Kind == yaml.AliasNode {
			if open[n.Alias] {
				return fmt.Errorf("%w: the alias *%s at line %d contains itself", ErrUnsupported, n.Value, n.Line)
			}
			return nil
		}
		if !knownTag(n.Tag) {
			return fmt.Errorf("%w: unknown tag %s at line %d", ErrUnsupported, n.Tag, n.Line)
		}
		if n.Kind == yaml.MappingNode {
			if err := inspectKeys(n); err != nil {
				return err
			}
		}
		if n.Anchor != "" {
			open[n] = true
			defer delete(open, n)
		}
		for _, child := range n.Content {
			if err := walk(child, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(root, 0)
}

// inspectKeys refuses keys that are no scalars (as {{ .Values.image }} parses to) and duplicates.
func inspectKeys(m *yaml.Node) error {
	var seen map[string]bool
	if len(m.Content) > 32 {
		seen = make(map[string]bool, len(m.Content)/2)
	}
	for i := 0; i < len(m.Content); i += 2 {
		key := aliased(m, i)
		if key.Kind != yaml.ScalarNode {
			return fmt.Errorf("%w: the key at line %d is no text; it looks like a template with {{ }}", ErrNotYAML, key.Line)
		}
		dup := seen[key.Value]
		if seen != nil {
			seen[key.Value] = true
		} else {
			for j := 0; j < i; j += 2 {
				dup = dup || m.Content[j].Value == key.Value
			}
		}
		if dup {
			return fmt.Errorf("%w: the key %q at line %d is there twice", ErrUnsupported, shorten(key.Value), key.Line)
		}
	}
	return nil
}

// aliased gives the key at an index. One that is an alias of text, as *app, becomes that text: everybody else looks at
// keys by what they say.
func aliased(m *yaml.Node, i int) *yaml.Node {
	key := m.Content[i]
	to := resolve(key)
	if key.Kind != yaml.AliasNode || to.Kind != yaml.ScalarNode {
		return key
	}
	m.Content[i] = &yaml.Node{
		Kind: yaml.ScalarNode, Tag: to.Tag, Value: to.Value, Line: key.Line, Column: key.Column,
		HeadComment: key.HeadComment, LineComment: key.LineComment, FootComment: key.FootComment,
	}
	return m.Content[i]
}

func knownTag(tag string) bool {
	switch tag {
	case "", "!", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq", "!!merge", "!!timestamp", "!!binary":
		return true
	}
	return false
}

// isSOPS reports whether a document is one that SOPS encrypted: it carries SOPS's metadata at the top.
func isSOPS(root *yaml.Node) bool {
	meta := field(root, "sops")
	return meta != nil && meta.Kind == yaml.MappingNode &&
		(field(meta, "mac") != nil || field(meta, "lastmodified") != nil || field(meta, "version") != nil)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

// field gives the resolved value of a mapping's own key; nil if absent.
func field(m *yaml.Node, key string) *yaml.Node {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return resolve(m.Content[i+1])
		}
	}
	return nil
}

// text is the scalar at a key; empty if absent.
func text(m *yaml.Node, key string) string {
	if n := field(m, key); n != nil && n.Kind == yaml.ScalarNode {
		return scalarText(n)
	}
	return ""
}

func scalarText(n *yaml.Node) string {
	if isNull(n) {
		return ""
	}
	return n.Value
}

// shorten keeps foreign text in errors short.
func shorten(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}
