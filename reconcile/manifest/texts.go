package manifest

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A text pointer is the pointer of a scalar and, after "=", what is meant of its text: the image of a repository, or
// the value behind a key and an equals sign.
//
//	Deployment/operator#/spec/…/args[0]=reg.example.org~1reloader      --config-reloader=reg.example.org/reloader:v1
//	#/configMapGenerator[name=app]/literals[2]=TAG                     TAG=v1
//	Deployment/app#/spec/…/image=reg.example.org~1app:…                reg.example.org/app:v1

// Scalars lists every scalar of a file, in the file's order: image nodes as Nodes gives them, others with PartText.
func Scalars(file string, data []byte) ([]Node, error) {
	if isEnv(file, data) {
		return envNodes(file, data), nil
	}
	p, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return p.scalars(file), nil
}

// scalars lists every scalar; none where its aliases stand for too much.
func (p *parsed) scalars(file string) []Node {
	places, err := p.allPlaces(file)
	if err != nil {
		return nil
	}
	nodes := make([]Node, len(places))
	for i, at := range places {
		nodes[i] = at.Node
	}
	return nodes
}

// allPlaces finds every scalar.
func (p *parsed) allPlaces(file string) ([]place, error) {
	w := &walker{file: file, merged: map[*yaml.Node][]entry{}, all: true}
	for _, doc := range p.docs {
		if err := w.value(doc.root, nil, spot{pointer: doc.id + "#"}, claim{}); err != nil {
			return nil, err
		}
	}
	w.linkAnchors()
	w.groupMarkers()
	return w.places, nil
}

// At finds a scalar, or a part of its text, by its pointer.
func At(scalars []Node, pointer string) (Node, bool) {
	base, selector, isText := cutSelector(pointer)
	for _, n := range scalars {
		if n.Pointer == pointer && !isText {
			return n, true
		}
		if n.Pointer != base || !isText {
			continue
		}
		if _, _, ok := selectText(n.Value, selector); !ok {
			continue
		}
		return selected(n, selector), true
	}
	return Node{}, false
}

// Mentions lists where scalars name an image within their text; loose takes it with or without its digest too.
func Mentions(scalars []Node, image string, loose bool) []Node {
	repository, _, _ := Split(image)
	var out, near []Node
	for _, n := range scalars {
		if n.Part != PartText {
			continue
		}
		found, ok := mention(n, repository)
		if !ok {
			continue
		}
		for _, found := range append([]Node{found}, keyed(n, repository)...) {
			if found.Value == image {
				out = append(out, found)
				break
			}
			if loose && nearly(found.Value, image) {
				near = append(near, found)
				break
			}
		}
	}
	if len(out) == 0 {
		return near
	}
	return out
}

// keyed lists the images of a repository that a text names behind keys of their own, as KEY=IMAGE by lines or commas.
func keyed(n Node, repository string) []Node {
	var out []Node
	for _, a := range assigned(n.Value) {
		if r, tag, digest := Split(n.Value[a.from:a.to]); r == repository && tag+digest != "" {
			if from, to, _ := selectText(n.Value, a.key); from == a.from && to == a.to {
				out = append(out, selected(n, a.key))
			}
		}
	}
	return out
}

// assignment is a KEY=VALUE in a text, and where its value stands.
type assignment struct {
	key      string
	from, to int
}

// assigned lists each KEY=VALUE of a text, by lines or commas.
func assigned(text string) []assignment {
	var out []assignment
	at := 0
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == ',' }) {
		at += strings.Index(text[at:], part)
		key, value, ok := strings.Cut(part, "=")
		key = strings.TrimSpace(key)
		if ok && key != "" && !strings.ContainsAny(key, " \t:\"'") {
			from := at + len(part) - len(value)
			from += len(value) - len(strings.TrimLeft(value, " \t"))
			out = append(out, assignment{key, from, from + len(strings.TrimSpace(value))})
		}
		at += len(part)
	}
	return out
}

// nearly reports whether two references of a repository differ in no more than that one of them has no digest, or no
// tag.
func nearly(a, b string) bool {
	_, tag, digest := Split(a)
	_, otherTag, otherDigest := Split(b)
	either := func(x, y string) bool { return x == y || x == "" || y == "" }
	same := tag != "" && tag == otherTag || digest != "" && digest == otherDigest
	return same && either(tag, otherTag) && either(digest, otherDigest)
}

// MentionsOf lists where scalars name an image of a repository within their text.
func MentionsOf(scalars []Node, repository string) []Node {
	var out []Node
	for _, n := range scalars {
		if n.Part == PartText {
			if found, ok := mention(n, repository); ok {
				out = append(out, found)
			}
		}
	}
	return out
}

// expressed is an image in the CEL of a mutation.
var expressed = regexp.MustCompile(`\bimage:\s*["']([^"'\s]+)["']`)

// Expressed lists the images that admission policies put into others by the CEL of their mutations.
func Expressed(file string, data []byte) []Node {
	if !bytes.Contains(data, []byte("MutatingAdmissionPolicy")) && !bytes.Contains(data, []byte("MutatingPolicy")) {
		return nil
	}
	scalars, err := Scalars(file, data)
	if err != nil {
		return nil
	}
	var out []Node
	for _, n := range scalars {
		policy := n.Object.Kind == "MutatingAdmissionPolicy" || strings.HasSuffix(n.Object.Kind, "MutatingPolicy")
		if !policy || !strings.Contains(n.Pointer, "#/spec/mutations[") || NameAt(n.Pointer) != "expression" {
			continue
		}
		for _, m := range expressed.FindAllStringSubmatch(n.Value, -1) {
			repository, _, _ := Split(m[1])
			found, ok := mention(n, repository)
			same := func(o Node) bool { return o.Pointer == found.Pointer }
			if ok && looksLikeImage("image", found.Value) && !slices.ContainsFunc(out, same) {
				out = append(out, found)
			}
		}
	}
	return out
}

// Assignment gives the value of KEY=VALUE as a node of its own.
func Assignment(n Node, key string) (Node, bool) {
	if _, _, ok := selectText(n.Value, key); !ok {
		return Node{}, false
	}
	return selected(n, key), true
}

func mention(n Node, repository string) (Node, bool) {
	if _, _, ok := selectText(n.Value, repository); !ok {
		return Node{}, false
	}
	return selected(n, repository), true
}

// selected is the part of a scalar's text that a selector means.
func selected(n Node, selector string) Node {
	from, to, _ := selectText(n.Value, selector)
	n.Line += strings.Count(n.Value[:from], "\n")
	if strings.Contains(n.Value, "\n") {
		n.Line++
	}
	n.Value = n.Value[from:to]
	n.Pointer += "=" + escape(selector)
	n.Group += "=" + escape(selector)
	// Image automation writes whole scalars.
	n.Part, n.Policy, n.Suffix, n.Held, n.Typed = PartImage, "", "", nil, false
	return n
}

// SaidIn gives the part of a text that says a value, as a node: the tag of an image, or what stands there once. It says
// false where neither is so.
//
//	reg.example.org/app:v1    v1
func SaidIn(n Node, value string) (Node, bool) {
	if value == "" || strings.Contains(n.Value, textGap) {
		return Node{}, false
	}
	repository, tag, _ := Split(n.Value)
	at := strings.Index(n.Value, value)
	switch {
	case n.Value == value:
		return n, true
	case tag == value:
		at = len(repository) + 1
	case strings.Count(n.Value, value) != 1:
		return Node{}, false
	}
	return selected(n, n.Value[:at]+textGap+n.Value[at+len(value):]), true
}

// cutSelector cuts a text pointer into that of the scalar and what is meant of it.
func cutSelector(pointer string) (base, selector string, ok bool) {
	i := strings.LastIndexByte(pointer, '=')
	if i < 0 || strings.ContainsRune(pointer[i:], ']') {
		return pointer, "", false
	}
	return pointer[:i], unescape(pointer[i+1:]), true
}

// IsText reports whether a pointer means a part of a scalar's text.
func IsText(pointer string) bool {
	_, _, ok := cutSelector(pointer)
	return ok
}

// selectText finds what a selector means of a text: what follows KEY=, or the first image of a repository, or what
// follows KEY= in one of several lines.
func selectText(text, selector string) (from, to int, ok bool) {
	if before, after, gap := strings.Cut(selector, textGap); gap {
		fits := len(text) > len(before)+len(after) && strings.HasPrefix(text, before) && strings.HasSuffix(text, after)
		return len(before), len(text) - len(after), fits
	}
	if strings.HasPrefix(text, selector+"=") && !strings.Contains(text, "\n") {
		return len(selector) + 1, len(text), true
	}
	if from, to, ok := imageIn(text, selector); ok {
		return from, to, true
	}
	for _, a := range assigned(text) {
		if a.key == selector {
			return a.from, a.to, true
		}
	}
	return 0, 0, false
}

// imageIn finds the first image of a repository in a text.
func imageIn(text, repository string) (from, to int, ok bool) {
	for at := 0; at < len(text); {
		i := strings.Index(text[at:], repository)
		if i < 0 {
			break
		}
		from = at + i
		to = from + len(repository)
		at = to
		if from > 0 && isReference(text[from-1]) || to >= len(text) || text[to] != ':' && text[to] != '@' {
			continue
		}
		for to < len(text) && (isReference(text[to]) || text[to] == ':' || text[to] == '@') {
			to++
		}
		for to > from && strings.IndexByte(".:@-_/", text[to-1]) >= 0 {
			to--
		}
		if _, tag, digest := Split(text[from:to]); tag != "" || digest != "" {
			return from, to, true
		}
	}
	return 0, 0, false
}

// isReference reports whether a character can be part of a name or tag.
func isReference(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._/-", c) >= 0
}

// IsNamed reports whether a scalar is the value of a key.
func IsNamed(n Node, key string) bool {
	return strings.HasSuffix(n.Pointer, "/"+escape(key))
}

// NameAt is the key at the end of a pointer.
func NameAt(pointer string) string {
	if _, key, ok := cutSelector(pointer); ok {
		return key
	}
	return unescape(pointer[strings.LastIndexByte(pointer, '/')+1:])
}

// Replaced is an image in which a variable has another value. It says false where it cannot be told what of the image
// the variable is.
func Replaced(image, value, other string) (string, bool) {
	repository, tag, digest := Split(image)
	switch {
	case value == "":
		return "", false
	case tag == value:
		return join(repository, other, digest), true
	case strings.Count(image, value) == 1:
		return strings.Replace(image, value, other, 1), true
	}
	return "", false
}

// Carried is an image as an earlier group says it, where variables stand in its repository: these are taken from the
// image, which another group with the same repository makes. It says false where they stand elsewhere.
func Carried(image string, tip, was []Node) (string, bool) {
	now, _ := Reference(tip, image)
	before, _ := Reference(was, image)
	one, _, _ := Split(now)
	other, tag, digest := Split(before)
	repository, _, _ := Split(image)
	if one != other || strings.ContainsAny(tag+digest, "${}") || tag+digest == "" {
		return "", false
	}
	return join(repository, tag, digest), true
}
