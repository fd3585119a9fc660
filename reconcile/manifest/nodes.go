package manifest

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxShared bounds how often values are visited through aliases and merge keys: a few lines of aliases of aliases would
// otherwise stand for more values than there is memory.
const maxShared = 1 << 17

// Nodes lists every image node of one YAML file, in the file's order. An error explains why the file cannot be read; it
// wraps ErrNotYAML, ErrSOPS, ErrTooLarge or ErrUnsupported.
func Nodes(file string, data []byte) ([]Node, error) {
	return nodesOf(file, data, parse)
}

// PlainNodes is Nodes that reads files encrypted by SOPS, too. Of those it gives values in plain text as they are, and
// encrypted ones as ENC[…]. Such a file can be read, and not changed.
func PlainNodes(file string, data []byte) ([]Node, error) { return nodesOf(file, data, parsePlain) }

func nodesOf(file string, data []byte, parse func([]byte) (*parsed, error)) ([]Node, error) {
	if isEnv(file, data) {
		return nil, nil
	}
	defer heavy(data)()
	p, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	places, err := p.places(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	// The nodes keep nothing of the parsed file, which may go before they need room.
	for i := range places {
		places[i] = place{Node: places[i].Node}
	}
	if p = nil; weight(data) >= heavyWeight {
		runtime.GC()
	}
	nodes := make([]Node, len(places))
	for i := range places {
		nodes[i] = places[i].Node
	}
	return nodes, nil
}

// walker collects the places of one file.
type walker struct {
	file   string
	places []place
	shared int
	merged map[*yaml.Node][]entry
	// inner and outer are set while walking YAML inside a scalar.
	inner *parsed
	outer *yaml.Node
	// counts means that the places are only counted.
	counts bool
	count  int
	// every means that these are wanted too: the comments that are markers, those of them behind KEY=VALUE, and those that
	// are meant as markers.
	every                  bool
	read, written, misread []Misread
	// all means that scalars that are no image are wanted too.
	all bool
}

// places finds all nodes of the file.
func (p *parsed) places(file string) ([]place, error) {
	w := &walker{file: file, merged: map[*yaml.Node][]entry{}}
	if weight(p.data) >= heavyWeight {
		// Places that move as they become more would take twice their room.
		count := &walker{file: file, merged: w.merged, counts: true}
		if err := count.documents(p.docs); err != nil {
			return nil, err
		}
		w.places = make([]place, 0, count.count)
	}
	if err := w.documents(p.docs); err != nil {
		return nil, err
	}
	w.linkAnchors()
	w.groupMarkers()
	return w.places, nil
}

func (w *walker) documents(docs []document) error {
	for _, doc := range docs {
		if err := w.value(doc.root, nil, spot{pointer: doc.id + "#"}, claim{}); err != nil {
			return err
		}
	}
	return nil
}

// value walks one value. key is the key before it, c what the mapping above knows of it.
func (w *walker) value(used, key *yaml.Node, s spot, c claim) error {
	n := resolve(used)
	if s.shared = s.shared || n != used; s.shared {
		if w.shared++; w.shared > maxShared {
			return fmt.Errorf("%w: its aliases stand for more than %d values", ErrTooLarge, maxShared)
		}
	}
	switch n.Kind {
	case yaml.ScalarNode:
		return w.scalar(place{used: used, scalar: n, key: key}, s, c)
	case yaml.SequenceNode:
		return w.sequence(n, s)
	case yaml.MappingNode:
		return w.mapping(n, s)
	}
	return nil
}

func (w *walker) sequence(n *yaml.Node, s spot) error {
	base := s.pointer
	s.item = true
	for i, key := range itemKeys(n) {
		s.pointer = base + key
		if err := w.value(n.Content[i], nil, s, claim{}); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) mapping(n *yaml.Node, s spot) error {
	fields := w.entries(n)
	if o := objectOf(n); o.Kind != "" && (s.key == "" || field(n, "metadata") != nil) {
		s.object, s.mute = o, isMute(o)
	}
	claims := claimsOf(fields, s)
	patch := patchedAt(fields)
	for i, f := range fields {
		below, c := s.down(f.key), claim{}
		below.shared = s.shared || f.merged
		if claims != nil {
			c = claims[i]
		}
		if f.key == "value" && patch != nil {
			below, c = patch.apply(below)
		}
		if f.key == "patch" && s.item {
			below.object = targetOf(n, s.object)
		}
		if err := w.value(f.value, f.keyNode, below, c); err != nil {
			return err
		}
	}
	return nil
}

// scalar makes a node of a scalar that a marker or its place says is one.
func (w *walker) scalar(at place, s spot, c claim) error {
	m, marked, wrong := w.marks(at, s, c)
	if c.part == "" && !marked {
		found := len(w.places)
		if err := w.embedded(at.scalar, s); err != nil || !w.all || len(w.places) > found {
			return err
		}
		c.part = PartText
	}
	if s.mute && !marked && !w.all || at.scalar.Tag == "!!binary" {
		return nil
	}
	if w.counts {
		w.count++
		return nil
	}
	at.Node = Node{
		File: w.file, Pointer: s.pointer, Part: c.part, Value: scalarText(at.scalar),
		Policy: m.policy, Suffix: m.suffix, Held: m.held,
		Group: c.group, Object: s.object, Container: c.container, Line: at.scalar.Line,
		Typed: typed(at.scalar),
	}
	switch {
	case marked && wrong == MisreadPart:
		at.Part = PartImage
	case marked && wrong != MisreadWhole:
		at.Part = suffixParts[m.suffix]
	}
	if at.Group == "" {
		at.Group = s.pointer
	}
	at.Group = w.file + ":" + at.Group
	at.inner, at.outer = w.inner, w.outer
	if w.outer != nil {
		at.Line += w.outer.Line
	}
	w.places = append(w.places, at)
	return nil
}

// marks reads the marker of a scalar, and why image automation would write something wrong by it.
func (w *walker) marks(at place, s spot, c claim) (m marker, marked bool, wrong MisreadReason) {
	// Image automation does not look at aliases, nor into the text of scalars.
	if at.used != at.scalar || w.outer != nil {
		return m, false, ""
	}
	m, marked = readMarker(at.scalar.LineComment, at.scalar.HeadComment)
	wrong = m.misfit(c, scalarText(at.scalar))
	if s.item && s.key == "literals" && keyAndValue.MatchString(at.scalar.Value) {
		wrong = MisreadKey
	}
	if w.every {
		w.comments(at.scalar, marked, wrong)
	}
	return m, marked, wrong
}

// typed reports whether YAML takes a scalar for something else than text: Kubernetes and Helm take no and on for
// booleans, as YAML 1.1 does.
func typed(n *yaml.Node) bool {
	if n.Style != 0 {
		return false
	}
	switch strings.ToLower(n.Value) {
	case "y", "yes", "on", "n", "no", "off":
		return true
	}
	return n.Tag != "!!str" && n.Tag != "!!null"
}

// suffixParts are what a marker writes, by its suffix.
var suffixParts = map[string]Part{"": PartImage, "tag": PartTag, "name": PartName, "digest": PartDigest}

// entries lists the keys of a mapping that count: its own, then those of its merge keys that it does not override.
func (w *walker) entries(n *yaml.Node) []entry {
	if known, ok := w.merged[n]; ok {
		return known
	}
	list := make([]entry, 0, len(n.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			merges = append(merges, mergeSources(value)...)
			continue
		}
		list = append(list, entry{key: key.Value, keyNode: key, value: value})
	}
	if merges == nil {
		return list
	}
	own := make(map[string]bool, len(list))
	for _, e := range list {
		own[e.key] = true
	}
	for _, source := range merges {
		for _, e := range w.entries(source) {
			if !own[e.key] {
				own[e.key] = true
				e.merged = true
				list = append(list, e)
			}
		}
	}
	w.merged[n] = list
	return list
}

// mergeSources are the mappings that a merge key names, the first wins.
func mergeSources(value *yaml.Node) []*yaml.Node {
	value = resolve(value)
	switch value.Kind {
	case yaml.MappingNode:
		return []*yaml.Node{value}
	case yaml.SequenceNode:
		var list []*yaml.Node
		for _, item := range value.Content {
			if item = resolve(item); item.Kind == yaml.MappingNode {
				list = append(list, item)
			}
		}
		return list
	}
	return nil
}

// linkAnchors marks the nodes that can only change together.
func (w *walker) linkAnchors() {
	if w.shared == 0 {
		return
	}
	uses := make(map[*yaml.Node]int, len(w.places))
	for _, at := range w.places {
		uses[at.scalar]++
	}
	for i := range w.places {
		at := &w.places[i]
		if uses[at.scalar] > 1 || at.used != at.scalar {
			at.Anchor = strconv.Itoa(at.scalar.Line) + ":" + strconv.Itoa(at.scalar.Column)
		}
	}
}

// groupMarkers puts marked siblings of one policy that no structure holds together into one group: a name and a tag in
// one ConfigMap make one reference.
func (w *walker) groupMarkers() {
	type key struct{ parent, policy string }
	groups := map[key]map[Part]bool{}
	for i := range w.places {
		at := &w.places[i]
		alone := at.Group == w.file+":"+at.Pointer
		if at.Policy == "" || !alone || at.Part == PartImage || at.key == nil {
			continue
		}
		parent := at.Pointer[:strings.LastIndexByte(at.Pointer, '/')]
		k := key{parent, at.Policy}
		if groups[k] == nil {
			groups[k] = map[Part]bool{}
		}
		if groups[k][at.Part] {
			continue
		}
		groups[k][at.Part] = true
		at.Group = w.file + ":" + parent + "=" + at.Policy
	}
}

// embedded walks YAML that is the text of a scalar: an inline patch, or a file of Helm values in a ConfigMap. What does
// not parse is text.
func (w *walker) embedded(n *yaml.Node, s spot) error {
	// Through aliases one text could be read again and again.
	if w.outer != nil || s.mute || s.shared || !holdsYAML(s) || !strings.ContainsAny(n.Value, "\n{") {
		return nil
	}
	inner, err := parse([]byte(n.Value))
	if err != nil {
		return nil
	}
	w.inner, w.outer = inner, n
	defer func() { w.inner, w.outer = nil, nil }()
	for _, doc := range inner.docs {
		below := spot{pointer: s.pointer + "!" + doc.id + "#", object: s.object}
		if err := w.value(doc.root, nil, below, claim{}); err != nil {
			return err
		}
	}
	return nil
}

// comments takes note of a scalar's comments that are markers, or are meant as some.
func (w *walker) comments(n *yaml.Node, marked bool, wrong MisreadReason) {
	comment := n.LineComment
	if comment == "" {
		comment = n.HeadComment
	}
	m := Misread{Line: n.Line, Comment: comment, Why: MisreadName}
	switch {
	case marked:
		w.read = append(w.read, m)
		if m.Why = wrong; wrong != "" {
			w.written = append(w.written, m)
		}
	case isMisread(n.LineComment):
		w.misread = append(w.misread, m)
	}
}
