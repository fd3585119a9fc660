package manifest

import (
	"bytes"
	"regexp"
	"strings"
	"unicode"

	"github.com/fluxcd/pkg/envsubst"
	"go.yaml.in/yaml/v3"
)

// fluxGroup is the API group of Flux's Kustomizations.
const fluxGroup = "kustomize.toolkit.fluxcd.io"

// Reconciled is a Flux Kustomization of a file, as far as it leads to other files.
type Reconciled struct {
	// File that says it.
	File   string
	Object Object
	// Path is spec.path, and Source the kind and name of spec.sourceRef.
	Path   string
	Source Object
	// PostBuild describes what it replaces in what it renders.
	PostBuild PostBuild
	// Children is what its patches add to the PostBuild of the Kustomizations that it renders.
	Children PostBuild
}

// PostBuild is what Flux replaces after a build: variables with a value of their own, and objects that hold more.
type PostBuild struct {
	// Substitute are the values as nodes, each with its Variable.
	Substitute []Node
	// From are ConfigMaps and Secrets, the last one counts.
	From []Object
}

// Reconciles lists the Flux Kustomizations of a file. A file that does not read has none.
func Reconciles(file string, data []byte) []Reconciled {
	if !bytes.Contains(data, []byte(fluxGroup)) {
		return nil
	}
	p, err := parsePlain(data)
	if err != nil {
		return nil
	}
	var out []Reconciled
	for _, doc := range p.docs {
		root := resolve(doc.root)
		o := objectOf(root)
		if o.Kind != "Kustomization" || !strings.HasPrefix(o.APIVersion, fluxGroup+"/") {
			continue
		}
		spec := field(root, "spec")
		r := Reconciled{File: file, Object: o, Path: text(spec, "path")}
		r.Source.Kind, r.Source.Name = text(field(spec, "sourceRef"), "kind"), text(field(spec, "sourceRef"), "name")
		scalars := p.scalars(file)
		at := doc.id + "#/spec"
		r.PostBuild = postBuild(field(spec, "postBuild"), at+"/postBuild", scalars)
		for _, n := range scalars {
			way, inPatch := strings.CutPrefix(n.Pointer, at+"/patches")
			key, variable := cutLast(n.Pointer, "/postBuild/substitute/")
			if inPatch && variable && strings.Contains(way, "!") {
				n.Part, n.Variable = PartVariable, key
				r.Children.Substitute = append(r.Children.Substitute, n)
			}
		}
		for _, patch := range items(field(spec, "patches")) {
			r.Children.From = append(r.Children.From, patchedFrom(text(patch, "patch"))...)
		}
		out = append(out, r)
	}
	return out
}

// postBuild reads spec.postBuild, which stands at a pointer.
func postBuild(n *yaml.Node, pointer string, scalars []Node) PostBuild {
	var out PostBuild
	for _, s := range scalars {
		if key, ok := strings.CutPrefix(s.Pointer, pointer+"/substitute/"); ok {
			s.Part, s.Variable = PartVariable, key
			out.Substitute = append(out.Substitute, s)
		}
	}
	out.From = froms(n)
	return out
}

// froms lists substituteFrom.
func froms(postBuild *yaml.Node) []Object {
	var out []Object
	for _, from := range items(field(postBuild, "substituteFrom")) {
		out = append(out, Object{Kind: text(from, "kind"), Name: text(from, "name")})
	}
	return out
}

// patchedFrom lists the substituteFrom that a patch of a Kustomization adds.
func patchedFrom(patch string) []Object {
	if !strings.Contains(patch, "substituteFrom") {
		return nil
	}
	p, err := parse([]byte(patch))
	if err != nil {
		return nil
	}
	var out []Object
	for _, doc := range p.docs {
		out = append(out, froms(field(field(resolve(doc.root), "spec"), "postBuild"))...)
	}
	return out
}

// cutLast cuts a text behind the last place of a separator.
func cutLast(s, sep string) (string, bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", false
	}
	return s[i+len(sep):], true
}

// Configs lists the values of the ConfigMaps and Secrets of a file that stand there in plain text, as variables, by
// kind and name of the object; those that a kustomization generates from literals, and from files of environment
// variables, too. read reads a file of the tree.
func Configs(file string, data []byte, read func(file string) ([]byte, bool)) map[string][]Node {
	if !bytes.Contains(data, []byte("ConfigMap")) && !bytes.Contains(data, []byte("Secret")) &&
		!bytes.Contains(data, []byte("Generator")) {
		return nil
	}
	p, err := parsePlain(data)
	if err != nil {
		return nil
	}
	out := p.envsOf(file, read)
	add := func(kind, name, key string, n Node) {
		n.Part, n.Variable = PartVariable, key
		out[kind+"/"+name] = append(out[kind+"/"+name], n)
	}
	for _, n := range p.scalars(file) {
		_, way, _ := strings.Cut(n.Pointer, "#")
		if kind := n.Object.Kind; kind == "ConfigMap" || kind == "Secret" {
			key, isData := strings.CutPrefix(way, "/data/")
			if kind == "Secret" {
				key, isData = strings.CutPrefix(way, "/stringData/")
			}
			if isData && !strings.ContainsAny(key, "/[!") {
				add(kind, n.Object.Name, unescape(key), n)
			}
			continue
		}
		for generator, kind := range map[string]string{
			"/configMapGenerator[name=": "ConfigMap", "/secretGenerator[name=": "Secret",
		} {
			rest, ok := strings.CutPrefix(way, generator)
			name, rest, _ := strings.Cut(rest, "]")
			key, _, assigned := strings.Cut(n.Value, "=")
			if !ok || !strings.HasPrefix(rest, "/literals[") || !assigned {
				continue
			}
			if value, ok := Assignment(n, key); ok {
				add(kind, unescape(name), key, value)
			}
		}
	}
	return out
}

// Expand replaces the variables in a text by what nodes say of them, as Flux does after a build. A text that it could
// not replace in stays as it is.
func Expand(text string, vars []Node) string {
	if !strings.Contains(text, "${") {
		return text
	}
	return expand(text, vars, maxVariables)
}

// plainVariable is a variable without a default or a function.
var plainVariable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// Suppose expands the value of a node, and takes a variable of which nothing is known, as one of a Secret, for what the
// image has in its place; empty where the image has something else there, or the value says nothing but variables.
func Suppose(n Node, vars []Node, image string) string {
	known := map[string]bool{}
	for _, v := range vars {
		known[v.Variable] = true
	}
	open := false
	marked := plainVariable.ReplaceAllStringFunc(n.Value, func(found string) string {
		if known[strings.Trim(found, "${}")] {
			return found
		}
		open = true
		return unknownMark
	})
	value := Expand(marked, vars)
	if !open {
		return value
	}
	repository, tag, digest := Split(image)
	meant := map[Part]string{
		PartImage: image, PartName: repository, PartRepository: repository, PartTag: tag, PartDigest: digest,
	}[n.Part]
	literal := strings.ReplaceAll(value, unknownMark, "")
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(value), unknownMark, `[^:@]+`) + "$"
	re, err := regexp.Compile(pattern)
	if err != nil || meant == "" || !strings.ContainsFunc(literal, unicode.IsLetter) || !re.MatchString(meant) {
		return strings.ReplaceAll(value, unknownMark, "")
	}
	return meant
}

// unknownMark stands for a variable of which nothing is known: a character of no script.
const unknownMark = "\uE000"

func expand(text string, vars []Node, depth int) string {
	if depth == 0 || !strings.Contains(text, "$") {
		return text
	}
	out, err := envsubst.Eval(text, func(name string) (string, bool) {
		for i, v := range vars {
			if v.Variable == name {
				// What a value is made of stands behind it: a parent may have a variable of the same name.
				return expand(v.Value, vars[i+1:], depth-1), true
			}
		}
		return "", false
	})
	if err != nil {
		return text
	}
	return out
}

// maxVariables bounds how deep the value of a variable is made of others.
const maxVariables = 4

// HasDefault reports whether a text says everywhere what counts where a variable is not set.
func HasDefault(text, variable string) bool {
	for _, rest := range strings.Split(text, "${"+variable)[1:] {
		rest = strings.TrimPrefix(rest, ":")
		if !strings.HasPrefix(rest, "-") && !strings.HasPrefix(rest, "=") {
			return false
		}
	}
	return true
}
