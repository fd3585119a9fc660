package manifest

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Copies is what the kustomizations among some files copy from the field of one object into others before Flux applies
// them: replacements, and the vars that came before those.
//
//	replacements:
//	- source: {kind: ConfigMap, name: versions, fieldPath: data.app}
//	  targets:
//	  - select: {kind: Deployment}
//	    fieldPaths: [spec.template.spec.containers.[name=app].image]
//	    options: {delimiter: ":", index: 1}
type Copies struct{ list []*copying }

// copying is one value that is copied, and where to.
type copying struct {
	from copyEnd
	to   []copyEnd
	// name is how a var is named: $(NAME) stands for it anywhere.
	name string
	// source is the node that the value comes from; nil while none was found.
	source *Node
	// block and key say where Helm puts the value into the values of a HelmRelease, the only object of to.
	block, key string
}

// copyEnd is a field of some objects, or a part of it.
type copyEnd struct {
	kind, name, namespace string
	// paths of the field.
	paths []string
	// delimiter cuts the field's text into parts, of which index is meant; empty is the whole text.
	delimiter string
	index     int
	// but are objects that are left out.
	but []copyEnd
}

// Made is a group as it is once values were copied into it, and the nodes that they come from.
type Made struct{ Nodes, From []Node }

// Read adds what a file copies: a kustomization, or a file of replacements that one names.
func (c *Copies) Read(data []byte) {
	if !bytes.Contains(data, []byte("targets:")) && !bytes.Contains(data, []byte("objref")) &&
		!bytes.Contains(data, []byte("targetPath")) {
		return
	}
	p, err := parsePlain(data)
	if err != nil {
		return
	}
	for _, doc := range p.docs {
		root := resolve(doc.root)
		for _, list := range []*yaml.Node{root, field(root, "replacements")} {
			for _, item := range items(list) {
				c.replacement(item)
			}
		}
		c.replacement(root)
		for _, item := range items(field(root, "vars")) {
			c.variable(item)
		}
		if o := objectOf(root); o.Kind == helmRelease {
			for _, item := range items(field(field(root, "spec"), "valuesFrom")) {
				c.targetPath(o, item)
			}
		}
	}
}

func (c *Copies) replacement(n *yaml.Node) {
	source, targets := field(n, "source"), items(field(n, "targets"))
	if source == nil || len(targets) == 0 {
		return
	}
	one := &copying{from: endOf(source, source)}
	one.from.paths = []string{text(source, "fieldPath")}
	for _, t := range targets {
		to := endOf(field(t, "select"), t)
		to.paths = texts(field(t, "fieldPaths"))
		for _, r := range items(field(t, "reject")) {
			to.but = append(to.but, endOf(r, r))
		}
		one.to = append(one.to, to)
	}
	c.list = append(c.list, one)
}

// variable reads a var of a kustomization.
func (c *Copies) variable(n *yaml.Node) {
	ref, name := field(n, "objref"), text(n, "name")
	if ref == nil || name == "" {
		return
	}
	path := text(field(n, "fieldref"), "fieldpath")
	if path == "" {
		path = text(field(n, "fieldref"), "fieldPath")
	}
	one := &copying{name: "$(" + name + ")", from: endOf(ref, n)}
	one.from.paths = []string{path}
	c.list = append(c.list, one)
}

// endOf reads which objects are meant, and which part of a field.
func endOf(object, options *yaml.Node) copyEnd {
	o := field(options, "options")
	end := copyEnd{
		kind: text(object, "kind"), name: text(object, "name"), namespace: text(object, "namespace"),
		delimiter: text(o, "delimiter"),
	}
	end.index, _ = strconv.Atoi(text(o, "index"))
	return end
}

// Any reports whether anything is copied.
func (c *Copies) Any() bool { return len(c.list) > 0 }

// Sources looks in a file for the values that are copied. read reads another file of the tree.
func (c *Copies) Sources(file string, data []byte, read func(file string) ([]byte, bool)) {
	var scalars []Node
	for _, one := range c.list {
		if one.source != nil || !bytes.Contains(data, []byte(one.from.name)) {
			continue
		}
		key, isData := strings.CutPrefix(one.from.paths[0], "data.")
		if isData && (one.from.kind == "ConfigMap" || one.from.kind == "Secret") {
			for _, n := range Configs(file, data, read)[one.from.kind+"/"+one.from.name] {
				if n.Variable == strings.ReplaceAll(key, `\.`, ".") {
					one.source = &n
				}
			}
			continue
		}
		if scalars == nil {
			scalars, _ = Scalars(file, data)
		}
		for _, n := range scalars {
			if one.from.is(n.Object) && one.from.names(n, scalars) {
				n.Part, n.Variable = PartVariable, NameAt(n.Pointer)
				one.source = &n
				break
			}
		}
	}
}

// Into gives what a group is once values were copied into it; false where none is. The scalars are those of its file.
func (c *Copies) Into(group []Node, scalars func() []Node) (Made, bool) {
	var out Made
	for _, n := range group {
		for _, one := range c.list {
			if one.source == nil {
				continue
			}
			value, ok := one.into(n, scalars)
			if ok && value != n.Value {
				n.Value = value
			}
			if ok {
				out.From = append(out.From, *one.source)
			}
		}
		out.Nodes = append(out.Nodes, n)
	}
	for _, one := range c.list {
		if n, ok := one.beside(group); ok {
			out.Nodes, out.From = append(out.Nodes, n), append(out.From, *one.source)
		}
	}
	return out, len(out.From) > 0
}

// into gives the value of a node with what is copied into it.
func (one *copying) into(n Node, scalars func() []Node) (string, bool) {
	value := one.from.part(one.source.Value)
	if one.name != "" {
		return strings.ReplaceAll(n.Value, one.name, value), strings.Contains(n.Value, one.name)
	}
	if one.block != "" {
		// What a HelmRelease says itself counts.
		return "", false
	}
	for _, to := range one.to {
		if to.is(n.Object) && to.names(n, scalars()) {
			return to.with(n.Value, value), true
		}
	}
	return "", false
}

// is reports whether an object is meant. Kustomize reads kinds and names as patterns.
func (e *copyEnd) is(o Object) bool {
	for i := range e.but {
		if e.but[i].is(o) {
			return false
		}
	}
	fits := func(pattern, value string) bool {
		return pattern == "" || pattern == value || matchesName(pattern, value)
	}
	return fits(e.kind, o.Kind) && fits(e.name, o.Name) && (o.Namespace == "" || fits(e.namespace, o.Namespace))
}

// part is the part of a text that is meant.
func (e *copyEnd) part(value string) string {
	if e.delimiter == "" {
		return value
	}
	parts := strings.Split(value, e.delimiter)
	if e.index < 0 || e.index >= len(parts) {
		return value
	}
	return parts[e.index]
}

// with is a text in which the part that is meant is another one.
func (e *copyEnd) with(value, part string) string {
	if e.delimiter == "" {
		return part
	}
	parts := strings.Split(value, e.delimiter)
	switch {
	case e.index < 0:
		parts = append([]string{part}, parts...)
	case e.index >= len(parts):
		parts = append(parts, part)
	default:
		parts[e.index] = part
	}
	return strings.Join(parts, e.delimiter)
}

// names reports whether one of the paths leads to a node.
func (e *copyEnd) names(n Node, scalars []Node) bool {
	for _, path := range e.paths {
		if leadsTo(pathSteps(path), n, scalars) {
			return true
		}
	}
	return false
}

var stepAt = regexp.MustCompile(`\[[^\]]*\]|(?:\\.|[^.\[])+`)

// pathSteps cuts a field path of kustomize: spec.containers.[name=app].image.
func pathSteps(path string) []string {
	var out []string
	for _, step := range stepAt.FindAllString(path, -1) {
		out = append(out, strings.ReplaceAll(step, `\.`, "."))
	}
	return out
}

var pointerStep = regexp.MustCompile(`\[[^\]]*\]|[^/\[]+`)

// leadsTo reports whether the steps of a path lead to a node.
func leadsTo(path []string, n Node, scalars []Node) bool {
	at := strings.IndexByte(n.Pointer, '#')
	if at < 0 || strings.ContainsRune(n.Pointer[at:], '!') {
		return false
	}
	found := pointerStep.FindAllStringIndex(n.Pointer[at+1:], -1)
	if len(found) != len(path) {
		return false
	}
	for i, span := range found {
		before, step := n.Pointer[:at+1+span[0]], n.Pointer[at+1+span[0]:at+1+span[1]]
		if !strings.HasPrefix(step, "[") {
			if path[i] != "*" && path[i] != unescape(step) {
				return false
			}
			continue
		}
		if !isItem(path[i], before, step, scalars) {
			return false
		}
	}
	return true
}

// isItem reports whether a step of a path means the item of a list, which stands before it.
func isItem(want, before, item string, scalars []Node) bool {
	if want == "*" || want == unescape(item) {
		return true
	}
	if key, value, ok := strings.Cut(strings.Trim(want, "[]"), "="); ok {
		for _, s := range scalars {
			if s.Pointer == before+item+"/"+escape(key) {
				return s.Value == value
			}
		}
		return false
	}
	index, err := strconv.Atoi(want)
	if err != nil {
		return false
	}
	var seen []string
	for _, s := range scalars {
		rest, ok := strings.CutPrefix(s.Pointer, before+"[")
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(rest, "]")
		if len(seen) == 0 || seen[len(seen)-1] != name {
			seen = append(seen, name)
		}
	}
	return index >= 0 && index < len(seen) && "["+seen[index]+"]" == item
}

// inputAt finds what a ResourceSet puts into its templates, with the functions that leave a text as it is.
var inputAt = regexp.MustCompile(
	`<<-?\s*inputs\.([A-Za-z0-9_]+)\s*(?:\|\s*(?:quote|squote|toString|trim|default \\?"[^"]*")\s*)*-?>>`)

// Inputs gives what a group in the templates of a ResourceSet is for each of its inputs. The scalars are those of its
// file.
func Inputs(group []Node, scalars []Node) []Made {
	document, way, _ := strings.Cut(group[0].Pointer, "#")
	if !strings.HasPrefix(document, "ResourceSet/") || !strings.HasPrefix(way, "/spec/resources") {
		return nil
	}
	var order []string
	inputs := map[string]map[string]Node{}
	for _, s := range scalars {
		rest, ok := strings.CutPrefix(s.Pointer, document+"#/spec/inputs[")
		item, key, more := strings.Cut(rest, "]/")
		if !ok || !more || strings.ContainsAny(key, "/[") {
			continue
		}
		if inputs[item] == nil {
			inputs[item] = map[string]Node{}
			order = append(order, item)
		}
		s.Part, s.Variable = PartVariable, unescape(key)
		inputs[item][s.Variable] = s
	}
	var out []Made
	for _, item := range order {
		if m, ok := filled(group, inputs[item]); ok {
			out = append(out, m)
		}
	}
	return out
}

// filled puts one set of inputs into a group; false where it lacks one, or nothing is put in.
func filled(group []Node, inputs map[string]Node) (Made, bool) {
	var out Made
	whole := true
	for _, n := range group {
		n.Value = inputAt.ReplaceAllStringFunc(n.Value, func(found string) string {
			in, ok := inputs[inputAt.FindStringSubmatch(found)[1]]
			whole = whole && ok
			out.From = append(out.From, in)
			return in.Value
		})
		out.Nodes = append(out.Nodes, n)
	}
	return out, whole && len(out.From) > 0
}

// IsTemplate reports whether a value holds what a ResourceSet puts its inputs into.
func IsTemplate(value string) bool { return strings.Contains(value, "<<") }
