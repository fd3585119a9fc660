package gate

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/envsubst"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// variables are what a Flux Kustomization replaces after the build.
type variables struct {
	values map[string]string
	// on says that anything is replaced at all; open that some values are only in the cluster.
	on, open bool
}

// variables collects the values of spec.postBuild as far as the tree has them.
// file is where the Kustomization is.
func (b *builder) variables(k *kustomizev1.Kustomization, file string) variables {
	post := k.Spec.PostBuild
	if post == nil {
		return variables{}
	}
	v := variables{values: map[string]string{}, on: true}
	for _, from := range post.SubstituteFrom {
		var o *object
		if from.Kind == "ConfigMap" {
			o = b.config(from.Name, file)
		}
		if v.open = v.open || o == nil; o == nil {
			continue
		}
		data := valueOf(o.root, "data")
		for j := 0; data != nil && j+1 < len(data.Content); j += 2 {
			v.values[data.Content[j].Value] = data.Content[j+1].Value
		}
	}
	for key, value := range post.Substitute {
		v.values[key] = value
	}
	return v
}

// config finds a ConfigMap of the tree: of several clusters' by one name, the one nearest to the file that asks for it.
// It gives nil where there is none, or several are as near.
func (b *builder) config(name, file string) *object {
	var best *object
	most, several := -1, false
	for i := range b.configs {
		o := &b.configs[i]
		// Kustomize adds a hash to the names of those that it generates.
		if hash, generated := strings.CutPrefix(o.name, name+"-"); o.name != name && !(generated && len(hash) == 10) {
			continue
		}
		switch n := shared(o.file, file); {
		case n > most:
			best, most, several = o, n, false
		case n == most && o.file != best.file:
			several = true
		}
	}
	if several {
		return nil
	}
	return best
}

// shared counts the folders that two paths begin with.
func shared(a, b string) int {
	x, y := strings.Split(path.Dir(a), "/"), strings.Split(path.Dir(b), "/")
	n := 0
	for n < len(x) && n < len(y) && x[n] == y[n] {
		n++
	}
	return n
}

// apply replaces the variables in a value as Flux does. One that only the cluster knows stays as it is.
func (v variables) apply(value string) string {
	if !v.on || !strings.Contains(value, "$") {
		return value
	}
	out, err := envsubst.Eval(value, func(name string) (string, bool) {
		known, ok := v.values[name]
		if !ok && v.open && !strings.Contains(value, "${"+name+":") {
			return "${" + name + "}", true
		}
		return known, ok
	})
	if err != nil {
		return value
	}
	return out
}

// substitute replaces the variables in what a unit renders, as kustomize-controller does: in everything, so that a
// child Kustomization gets its parent's.
func (b *builder) substitute(u *unit) {
	if u.data == nil || u.failed != nil {
		return
	}
	file, line := u.place()
	text, err := u.vars.text(string(u.data))
	if err != nil {
		u.rendered, u.failed = nil, &Finding{
			Rule: RuleBuild, Level: LevelError, File: file, Line: line,
			Message: fmt.Sprintf("the variables of %s cannot be replaced, so Flux cannot apply it: %s", u.dir, tidy(err)),
			Fix: "correct the ${…}, write a dollar that stands for itself as $$, or annotate the object: " +
				"kustomize.toolkit.fluxcd.io/substitute: disabled",
		}
		return
	}
	if u.rendered = parse("", []byte(text)); u.rendered.err != nil {
		u.rendered, u.failed = nil, &Finding{
			Rule: RuleNotRead, Level: LevelUnknown, File: file, Line: line,
			Message: fmt.Sprintf("what the variables make of %s cannot be read: %v", u.dir, u.rendered.err),
		}
	}
}

// notSubstituted finds the mark of an object in which nothing is replaced.
var notSubstituted = regexp.MustCompile(`(?m)^ {4}kustomize\.toolkit\.fluxcd\.io/substitute: "?disabled"?$`)

// plainVariable is a variable without a default or a function.
var plainVariable = regexp.MustCompile(`\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// text replaces the variables in documents. One that only the cluster knows stays as it is.
func (v variables) text(text string) (string, error) {
	docs := strings.Split(text, "\n---\n")
	for i, doc := range docs {
		if !strings.Contains(doc, "${") || notSubstituted.MatchString(doc) {
			continue
		}
		if v.open {
			doc = plainVariable.ReplaceAllStringFunc(doc, func(found string) string {
				name := strings.Trim(found, "${}")
				if _, known := v.values[name]; known || strings.HasPrefix(found, "$$") {
					return found
				}
				return "\uE000" + name + "\uE001"
			})
		}
		out, err := envsubst.Eval(doc, func(name string) (string, bool) {
			value, ok := v.values[name]
			return value, ok
		})
		if err != nil {
			return "", err
		}
		docs[i] = unknownVariable.ReplaceAllString(out, "$${$1}")
	}
	return strings.Join(docs, "\n---\n"), nil
}

// unknownVariable is how text keeps a variable that only the cluster knows: between two characters of no script.
var unknownVariable = regexp.MustCompile("\uE000([A-Za-z0-9_]+)\uE001")

// replace applies the variables to the nodes of a file.
func (v variables) replace(nodes []manifest.Node) []manifest.Node {
	if !v.on {
		return nodes
	}
	out := make([]manifest.Node, len(nodes))
	for i, n := range nodes {
		n.Value = v.apply(n.Value)
		out[i] = n
	}
	return out
}
