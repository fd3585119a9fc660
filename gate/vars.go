package gate

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// variables collects the values of spec.postBuild as far as the tree has them.
// file is where the Kustomization is.
func (b *builder) variables(k *kustomizev1.Kustomization, file string) render.Variables {
	post := k.Spec.PostBuild
	if post == nil {
		return render.Variables{}
	}
	always := k.GetSubstituteStrategy() == kustomizev1.SubstituteStrategyAlways
	v := render.Variables{Values: map[string]string{}, On: true, Always: always}
	for _, from := range post.SubstituteFrom {
		var o *sources.Object
		if from.Kind == "ConfigMap" {
			o = b.config(from.Name, file)
		}
		if v.Open = v.Open || o == nil; o == nil {
			continue
		}
		data := sources.ValueOf(o.Root, "data")
		for j := 0; data != nil && j+1 < len(data.Content); j += 2 {
			v.Values[data.Content[j].Value] = oneLine(data.Content[j+1].Value)
		}
	}
	for key, value := range post.Substitute {
		v.Values[key] = oneLine(value)
	}
	return v
}

// unbuilt reports whether a Flux Kustomization that could not be built has the file of a unit's own among what it
// renders: it may give it more variables, as fleets do by a patch for all of theirs.
func (b *builder) unbuilt(u *unit) bool {
	if u.by != nil && u.by != u && u.by.flux != nil {
		return b.unbuilt(u.by)
	}
	for _, other := range b.units {
		if other != u && other.flux != nil && other.failed != nil && slices.Contains(other.closure.Paths, u.origin.File) {
			return true
		}
	}
	return false
}

// oneLine takes the line breaks out of a variable's value, as Flux does.
func oneLine(value string) string { return strings.ReplaceAll(value, "\n", "") }

// config finds a ConfigMap of the tree: of several clusters' by one name, the one nearest to the file that asks for it.
// It gives nil if none matches, or several are as near.
func (b *builder) config(name, file string) *sources.Object {
	var best *sources.Object
	most, several := -1, false
	for i := range b.configs {
		o := &b.configs[i]
		// Kustomize adds a hash to the names of those that it generates.
		if hash, generated := strings.CutPrefix(o.Name, name+"-"); o.Name != name && !(generated && len(hash) == 10) {
			continue
		}
		switch n := shared(o.File, file); {
		case n > most:
			best, most, several = o, n, false
		case n == most && o.File != best.File:
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

// substitute replaces the variables in what a unit renders, as kustomize-controller does: in everything, so that a
// child Kustomization gets its parent's.
func (b *builder) substitute(u *unit) {
	if u.rendered == nil || u.failed != nil {
		return
	}
	file, line := u.place()
	err := u.vars.Named()
	if err == nil && u.data == nil {
		return
	}
	text := ""
	if err == nil {
		text, err = u.vars.Text(string(u.data))
	}
	if errors.Is(err, render.ErrUnset) && b.lax() {
		u.vars.Lax = true
		text, err = u.vars.Text(string(u.data))
	}
	if errors.Is(err, render.ErrTooMuch) {
		u.rendered, u.failed = nil, notBuilt(u, render.ErrTooMuch)
		return
	}
	if err != nil {
		fix := "correct the ${…}, write a dollar that stands for itself as $$, or annotate the object: " + render.Disabled
		switch {
		case errors.Is(err, render.ErrVariableName):
			fix = "rename it in spec.postBuild.substitute, or in the ConfigMap or Secret of substituteFrom"
		case errors.Is(err, render.ErrUnset):
			fix = "give it a value in spec.postBuild or a default (${NAME:=value}), or annotate the object: " +
				render.Disabled + "; Flux before 2.9 takes it as empty"
		}
		u.rendered, u.failed = nil, &report.Finding{
			Rule: report.RuleBuild, Level: report.LevelError, File: file, Line: line,
			Message: fmt.Sprintf("the variables of %s cannot be replaced, so Flux cannot apply it: %s", u.dir,
				render.Words(err)),
			Fix: fix,
		}
		return
	}
	if u.rendered = sources.Parse("", []byte(text)); u.rendered.Err != nil {
		u.rendered, u.failed = nil, &report.Finding{
			Rule: report.RuleNotRead, Level: report.LevelUnknown, File: file, Line: line,
			Message: fmt.Sprintf("what the variables make of %s cannot be read: %v", u.dir, u.rendered.Err),
		}
	}
}

// strictFlux and laxFlux find how a Flux of the tree takes a variable without a value: by the gate, else by the version
// of kustomize-controller or of a FluxInstance, which refuses it since 2.9.
var (
	strictFlux = regexp.MustCompile(`StrictPostBuildSubstitutions=true`)
	laxFlux    = regexp.MustCompile(`StrictPostBuildSubstitutions=false`)
	earlyFlux  = regexp.MustCompile(`kustomize-controller:v(0\.|1\.[0-8]\b)|` +
		`\bkind: FluxInstance\n(?s:.*)\bversion: ["']?[v~]?2\.[0-8]\b`)
)

// lax reports whether the Flux that the tree installs takes a variable without a value as empty. Where the tree has
// several clusters, one such Flux is enough: nothing tells which of them applies a folder.
func (b *builder) lax() bool {
	if b.laxity == nil {
		strict, early, lax := false, false, false
		for name := range b.files {
			data, err := manifest.ReadFile(b.tree, name)
			if err != nil {
				continue
			}
			strict = strict || strictFlux.Match(data)
			early = early || earlyFlux.Match(data)
			lax = lax || laxFlux.Match(data)
		}
		lax = lax || early && !strict
		b.laxity = &lax
	}
	return *b.laxity
}

// objectOf finds the object that a node is in, among those that the gate looks into; nil for none.
func objectOf(s *sources.File, n manifest.Node) *sources.Object {
	for i := range s.Objects {
		o := &s.Objects[i]
		if o.Kind == n.Object.Kind && o.Name == n.Object.Name && o.Namespace == n.Object.Namespace {
			return o
		}
	}
	return nil
}

// literal explains why Flux replaces no variable in an object that a unit renders, and whether that is all: what
// patches a Kustomization that no other one renders here is not known. It gives "" where variables are replaced.
func (u *unit) literal(n manifest.Node) (why string, certain bool) {
	if u.flux == nil {
		return "", false
	}
	certain = isPod(n) || n.Object.Kind == "HelmRelease"
	if o := objectOf(u.rendered, n); o != nil && o.Literal {
		return fmt.Sprintf("%s is marked %s", o, render.Disabled), certain
	}
	if !u.vars.Idle() {
		return "", false
	}
	why = fmt.Sprintf("Kustomization %s has no variables in spec.postBuild", u.flux.Name)
	return why, certain && u.by != nil && u.by.flux != nil
}

// isPod reports whether a node is in a container of a pod or of its template.
func isPod(n manifest.Node) bool { return n.Part == manifest.PartImage && n.Container != "" }

// replaced gives the nodes of a file with their variables replaced.
func replaced(s *sources.File, v render.Variables) []manifest.Node {
	if !v.On {
		return s.Nodes
	}
	out := make([]manifest.Node, len(s.Nodes))
	for i, n := range s.Nodes {
		if o := objectOf(s, n); o == nil || !o.Literal {
			n.Value = v.Apply(n.Value)
		}
		out[i] = n
	}
	return out
}
