package render

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/envsubst"
)

// Variables are what a Flux Kustomization replaces after the build: spec.postBuild.
type Variables struct {
	Values map[string]string
	// On means that anything is replaced at all; Open that some values are only in the cluster; Always that defaults are
	// taken where there is no variable either; Lax that one without a value is empty, as Flux before 2.9 has it.
	On, Open, Always, Lax bool
}

// Idle reports that Flux replaces nothing: without a single variable it leaves all that it built as it is, where
// spec.postBuild.substituteStrategy does not say Always.
func (v Variables) Idle() bool { return !v.On || len(v.Values) == 0 && !v.Open && !v.Always }

// Apply replaces the variables in a value as Flux does. One that only the cluster knows stays as it is.
func (v Variables) Apply(value string) string {
	if v.Idle() || !strings.Contains(value, "$") || v.much(value) {
		return value
	}
	out, err := envsubst.Eval(v.hide(value), func(name string) (string, bool) {
		known, ok := v.Values[name]
		return known, ok || v.Lax
	})
	if err != nil {
		return value
	}
	return unhide(out)
}

// Disabled is the label or annotation, with its value, of an object in which nothing is replaced.
const Disabled = "kustomize.toolkit.fluxcd.io/substitute: disabled"

// notSubstituted finds the mark of an object in which nothing is replaced.
var notSubstituted = regexp.MustCompile(`(?m)^ {4}kustomize\.toolkit\.fluxcd\.io/substitute: "?disabled"?$`)

// kindOf and nameOf find what an object is called, as kustomize writes it.
var (
	kindOf = regexp.MustCompile(`(?m)^kind: (\S+)$`)
	nameOf = regexp.MustCompile(`(?m)^metadata:\n(?: .*\n)*?  name: (\S+)$`)
)

// within puts the object in which it happened before an error.
func within(doc string, err error) error {
	kind, name := kindOf.FindStringSubmatch(doc), nameOf.FindStringSubmatch(doc)
	if kind == nil || name == nil {
		return err
	}
	return fmt.Errorf("%s %s: %w", kind[1], name[1], err)
}

// undecided is a variable without a default: as it is, its length, or what a function makes of its value.
var undecided = regexp.MustCompile(`\$?\$\{#?([A-Za-z_][A-Za-z0-9_]*)(?:[\^,#%/][^${}]*|:[ 0-9][^${}]*)?\}`)

// hide puts variables that only the cluster knows out of the library's sight, with their functions.
func (v Variables) hide(text string) string {
	if !v.Open {
		return text
	}
	return undecided.ReplaceAllStringFunc(text, func(found string) string {
		name := undecided.FindStringSubmatch(found)[1]
		if _, known := v.Values[name]; known || strings.HasPrefix(found, "$$") {
			return found
		}
		return "\uE000" + strings.TrimSuffix(strings.TrimPrefix(found, "${"), "}") + "\uE001"
	})
}

// unhide puts back what hide hid.
func unhide(text string) string { return hidden.ReplaceAllString(text, "$${$1}") }

// hidden is a variable that only the cluster knows: between two characters of no script.
var hidden = regexp.MustCompile("\uE000([^\uE000\uE001]+)\uE001")

// variableName is what Flux takes for the name of a variable.
var variableName = regexp.MustCompile(`^[_[:alpha:]][_[:alpha:][:digit:]]*$`)

// ErrVariableName means that a name of spec.postBuild, or a key of what it is filled from, is not one that Flux takes.
var ErrVariableName = errors.New("the name of a variable has letters, digits and _ alone")

// ErrUnset means that a variable has neither a value nor a default, which Flux refuses since 2.9 unless it is Lax.
var ErrUnset = errors.New("a variable is not set")

// unset is the library's error with the meaning of ErrUnset.
type unset struct{ error }

func (unset) Is(target error) bool { return target == ErrUnset }

// Named reports which variable has a name that Flux refuses, whether it is used or not; it wraps ErrVariableName.
func (v Variables) Named() error {
	for _, name := range slices.Sorted(maps.Keys(v.Values)) {
		if v.On && !variableName.MatchString(name) {
			return fmt.Errorf("%w: %q", ErrVariableName, name)
		}
	}
	return nil
}

// Text replaces the variables in documents, as kustomize-controller does: in everything, so that a child Kustomization
// gets its parent's. One that only the cluster knows stays as it is.
func (v Variables) Text(text string) (string, error) {
	if err := v.Named(); err != nil || v.Idle() || !strings.Contains(text, "${") {
		return text, err
	}
	docs := strings.Split(text, "\n---\n")
	for i, doc := range docs {
		if !strings.Contains(doc, "${") || notSubstituted.MatchString(doc) {
			continue
		}
		doc = v.hide(doc)
		if v.much(doc) {
			return "", ErrTooMuch
		}
		out, err := v.eval(doc)
		if err != nil {
			return "", within(doc, err)
		}
		docs[i] = unhide(out)
	}
	return strings.Join(docs, "\n---\n"), nil
}

// eval replaces the variables in a document; the error is ErrUnset where it has no other fault.
func (v Variables) eval(doc string) (string, error) {
	with := func(lax bool) (string, error) {
		return envsubst.Eval(doc, func(name string) (string, bool) {
			value, ok := v.Values[name]
			return value, ok || lax
		})
	}
	out, err := with(v.Lax)
	if err != nil && !v.Lax {
		if _, other := with(true); other == nil {
			return "", unset{err}
		}
	}
	return out, err
}

// expression is one use of a variable, with what a function of it holds; replaces is one that replaces parts.
var (
	expression = regexp.MustCompile(`\$\{[^}]*`)
	replaces   = regexp.MustCompile(`\$\{[A-Za-z0-9_]+/`)
)

// much reports whether the variables may make of a text more than is rendered: a value is put wherever it is named, and
// what is put in place of its parts as often as they are in it.
func (v Variables) much(text string) bool {
	longest := 0
	for _, value := range v.Values {
		longest = max(longest, len(value))
	}
	size := len(text)
	for _, at := range expression.FindAllStringIndex(text, -1) {
		times := 1
		if used := text[at[0]:at[1]]; replaces.MatchString(used) {
			times = len(used) + longest
		}
		if size += longest * times; size > maxBuilt {
			return true
		}
	}
	return false
}
