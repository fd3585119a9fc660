package manifest

import (
	"slices"
	"strings"
)

// SameReference reports whether two groups of nodes make the same image, in whatever shape: a whole reference, a
// repository and a tag, an entry of images. Groups that name no repository are the same where all that they say is.
func SameReference(a, b []Node) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	if a[0].Variable != "" || b[0].Variable != "" {
		return a[0].Variable == b[0].Variable && a[0].Value == b[0].Value
	}
	one, oneFull := Reference(a, "")
	other, otherFull := Reference(b, "")
	switch {
	case oneFull && otherFull:
		return normal(one) == normal(other)
	case oneFull != otherFull:
		return false
	}
	p, q := partsOf(a), partsOf(b)
	return p.tag == q.tag && p.digest == q.digest && p.repository == q.repository && p.registry == q.registry &&
		p.pattern == q.pattern
}

// Effective is the nodes that make a reference as they count: with the variables replaced, and with what stands
// elsewhere put in. The first part is the reference, the others say what it is made of.
func Effective(parts [][]Node) []Node {
	if len(parts) == 1 {
		return parts[0]
	}
	var vars, out []Node
	for _, part := range parts[1:] {
		for _, n := range part {
			if n.Variable != "" {
				vars = append(vars, n)
			}
		}
	}
	for _, n := range parts[0] {
		n.Value = Expand(n.Value, UnderNames(vars))
		out = append(out, n)
	}
	for _, part := range parts[1:] {
		for _, n := range part {
			switch {
			case n.Variable != "":
			case n.Part == PartRegistry:
				out = append(out, n)
			default:
				out = override(out, n)
			}
		}
	}
	return out
}

// override puts what another node says into a reference.
func override(nodes []Node, by Node) []Node {
	for i, n := range nodes {
		repository, tag, digest := Split(n.Value)
		switch {
		case n.Part == by.Part:
			nodes[i].Value = by.Value
			return nodes
		case n.Part != PartImage:
			continue
		case by.Part == PartTag:
			nodes[i].Value = join(repository, by.Value, digest)
		case by.Part == PartDigest:
			nodes[i].Value = join(repository, tag, by.Value)
		case by.Part == PartName || by.Part == PartRepository:
			nodes[i].Value = join(by.Value, tag, digest)
		}
		return nodes
	}
	return append(nodes, by)
}

// Unversioned reports whether a group says no tag or digest any more where it did, and still names the same repository:
// what says it stands elsewhere, such as in an entry of images.
func Unversioned(now, before []Node) bool {
	_, one := Reference(now, "")
	_, other := Reference(before, "")
	p := partsOf(now)
	if p.image != "" {
		_, tag, digest := Split(p.image)
		one = tag+digest != ""
	}
	return !one && other && Kin(now, before)
}

// Kin reports whether two groups may be one image at two times: their repositories are the same.
func Kin(a, b []Node) bool {
	if a[0].Variable != "" || b[0].Variable != "" {
		return a[0].Variable == b[0].Variable
	}
	one, _, _ := Split(nameOf(a))
	other, _, _ := Split(nameOf(b))
	return one != "" && other != "" && normalRepository(one) == normalRepository(other)
}

// Rehomed reports whether two groups may be one image at two times whose registry changed in between: the names of
// owner and image are the same.
func Rehomed(a, b []Node) bool {
	if a[0].Variable != "" || b[0].Variable != "" {
		return false
	}
	one, other := ownName(a), ownName(b)
	return one != "" && one == other
}

// Stayed reports whether two groups stand in the same place of one object, whose namespace may have been added or taken
// away.
func Stayed(a, b []Node) bool {
	x, y := a[0], b[0]
	_, one, _ := strings.Cut(x.Pointer, "#")
	_, other, _ := strings.Cut(y.Pointer, "#")
	return x.Pointer != y.Pointer && x.Variable == "" && y.Variable == "" && x.Object.Name != "" &&
		x.Object.Name == y.Object.Name && x.Object.Kind == y.Object.Kind && one == other
}

// ownName is the end of the repository that a group names, owner and image; empty where it names no owner.
func ownName(group []Node) string {
	repository, _, _ := Split(nameOf(group))
	if repository == "" {
		return ""
	}
	words := strings.Split(normalRepository(repository), "/")
	if len(words) < 3 {
		return ""
	}
	return strings.Join(words[len(words)-2:], "/")
}

// Lone reports whether a group names no repository, so that its value may stand for any image.
func Lone(group []Node) bool { return nameOf(group) == "" }

// nameOf is what a group says of its repository; empty for nothing.
func nameOf(group []Node) string {
	p := partsOf(group)
	if p.image != "" {
		return p.image
	}
	return p.repository
}

// Likeness counts what speaks for two groups being one place that was moved or renamed: their object, container, file
// and the way to them. Zero is nothing.
func Likeness(a, b []Node) int {
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	x, y := a[0], b[0]
	n := 0
	add := func(points int, same bool) {
		if same {
			n += points
		}
	}
	add(12, x.Object.Name != "" && x.Object.Name == y.Object.Name)
	add(4, x.Object.Kind != "" && x.Object.Kind == y.Object.Kind)
	add(2, x.Object.Namespace != "" && x.Object.Namespace == y.Object.Namespace)
	add(6, x.Container != "" && x.Container == y.Container)
	add(2, partSet(a) == partSet(b))
	add(3, x.Policy != "" && x.Policy == y.Policy)
	n += min(6, alike(steps(x.Pointer), steps(y.Pointer)))
	n += 2 * min(4, alike(strings.Split(x.File, "/"), strings.Split(y.File, "/")))
	return n
}

// steps cuts the way to a node into its keys and items, without the document.
func steps(pointer string) []string {
	_, way, _ := strings.Cut(pointer, "#")
	return strings.FieldsFunc(way, func(r rune) bool { return r == '/' || r == '[' || r == ']' })
}

// alike counts the steps that two ways share, from their ends and then from their beginnings.
func alike(a, b []string) int {
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	m := 0
	for m < len(a)-n && m < len(b)-n && a[m] == b[m] {
		m++
	}
	return n + m
}

func partSet(group []Node) string {
	var parts []string
	for _, n := range group {
		parts = append(parts, string(n.Part))
	}
	slices.Sort(parts)
	return strings.Join(slices.Compact(parts), " ")
}

// GroupOf lists the nodes that make one reference together with one of them.
func GroupOf(nodes []Node, of Node) []Node {
	var out []Node
	for _, n := range nodes {
		if n.Group == of.Group && n.File == of.File {
			out = append(out, n)
		}
	}
	return out
}

// Groups puts the nodes of files together that make one reference, in their order.
func Groups(nodes []Node) [][]Node {
	var out [][]Node
	for _, g := range grouped(nodes) {
		out = append(out, g.nodes)
	}
	return out
}

// Express says by node what a group would hold to make the image that another group makes: the other one's own node
// where it has the same part, else that part of its reference. It gives nil for a node of which the other group says
// nothing.
func Express(group, as []Node) []*Node {
	out := make([]*Node, len(as))
	used := make([]bool, len(group))
	for i, n := range as {
		for k := range group {
			if !used[k] && group[k].Part == n.Part {
				used[k], out[i] = true, &group[k]
				break
			}
		}
	}
	if image, ok := Reference(group, ""); ok && slices.Contains(out, nil) {
		expressParts(out, group[0], as, image)
	}
	return out
}

// expressParts fills what is left with parts of a reference. The other group's first node is the pattern.
func expressParts(out []*Node, first Node, as []Node, image string) {
	p := partsOf(as)
	hasDigest := slices.ContainsFunc(as, func(n Node) bool { return n.Part == PartDigest })
	repository, tag, digest := Split(image)
	for i, n := range as {
		if out[i] != nil {
			continue
		}
		value := ""
		switch n.Part {
		case PartImage:
			value = image
		case PartTag:
			value = tag
			if tag != "" && digest != "" && !hasDigest {
				value = tag + "@" + digest
			}
		case PartDigest:
			value = digest
			if slices.ContainsFunc(out, func(o *Node) bool { return o != nil && strings.HasSuffix(o.Value, "@"+digest) }) {
				value = ""
			}
		case PartRegistry:
			value = p.registry
			if !strings.HasPrefix(normalRepository(repository), normalRegistry(p.registry)+"/") {
				value = ""
			}
		case PartName, PartRepository:
			value = repository
			if rest, cut := strings.CutPrefix(repository, strings.TrimSuffix(p.registry, "/")+"/"); cut && p.registry != "" {
				value = rest
			}
		case PartVariable, PartText: // They hold an image, and are no part of one.
		}
		if value != "" {
			said := first
			said.Part, said.Value, said.Policy, said.Suffix, said.Held = n.Part, value, "", "", nil
			out[i] = &said
		}
	}
}

// Instead is what a group held under the key whose place a node has taken: a tag before a digest, or the other way
// round. It is empty where that is not so.
func Instead(now []Node, n Node, was []Node) string {
	other := map[Part]Part{PartTag: PartDigest, PartDigest: PartTag}[n.Part]
	has := func(part Part) func(Node) bool { return func(n Node) bool { return n.Part == part } }
	if other == "" || slices.ContainsFunc(now, has(other)) || slices.ContainsFunc(was, has(n.Part)) ||
		slices.ContainsFunc(was, func(w Node) bool { return w.Part == other && keyInstead(w) != NameAt(n.Pointer) }) {
		return ""
	}
	if i := slices.IndexFunc(was, has(other)); i >= 0 && !strings.ContainsAny(was[i].Value, "@$") {
		return was[i].Value
	}
	return ""
}

// With gives a node of a reference another value. instead says that the value comes back under the other key: a tag
// turns into a digest, or a digest into a tag.
func (n Node) With(value string, instead bool) Node {
	n.Value = value
	if instead && n.Part == PartTag {
		n.Part = PartDigest
	} else if instead {
		n.Part = PartTag
	}
	return n
}

// SameImage reports whether a group makes an image, where a digest says more than the tag beside it.
func SameImage(group []Node, as string) bool {
	made, ok := Reference(group, "")
	if !ok || normal(made) == normal(as) {
		return ok
	}
	one, _, digest := Split(made)
	other, _, same := Split(as)
	return digest != "" && digest == same && normalRepository(one) == normalRepository(other)
}

// LiesUnder reports whether a group may be what another one is laid over: the same place of the same object, or an
// entry of images that changes it. values says that they are values of one release, in two objects.
func LiesUnder(base, over []Node, values bool) bool {
	x, y := base[0], over[0]
	same := func(a, b string) bool { return a == "" || b == "" || a == b }
	switch {
	case IsEntry(x):
		return true
	case values:
		return wayOf(x.Pointer) == wayOf(y.Pointer)
	case !same(x.Object.Kind, y.Object.Kind), !same(x.Object.Name, y.Object.Name),
		!same(x.Object.Namespace, y.Object.Namespace), x.Object == Object{}:
		return false
	case strings.Contains(y.Pointer, "[path="):
		// A JSON patch says where its value goes, by position.
		return true
	case x.Container != "" || y.Container != "":
		return x.Container == y.Container
	}
	return wayOf(x.Pointer) == wayOf(y.Pointer)
}

// wayOf is where a reference stands in the values or the object that it is in.
func wayOf(pointer string) string {
	way := strings.TrimPrefix(pointer[strings.LastIndexByte(pointer, '#')+1:], "/spec/values")
	return way[:max(0, strings.LastIndexByte(way, '/'))]
}
