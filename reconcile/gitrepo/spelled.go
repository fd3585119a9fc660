package gitrepo

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// variables are what those were that a version before a commit named.
//
//	image: web:${VER}, VER: v1  ──►  image: web:v2      web:${VER} would stand for nothing today: it was web:v1
type variables struct {
	// then are those that had one value. One that had several, as in several clusters, is not among them.
	then []manifest.Node
	// gone are those of them that have that value no longer.
	gone []string
}

// variablesThen looks up what variables were in a commit.
func (h *history) variablesThen(ctx context.Context, c *store.Commit, names []string) (out variables, err error) {
	tip, err := h.At(ctx, h.Tip)
	if err != nil {
		return out, err
	}
	before, err := h.variablesOf(ctx, c, names)
	if err != nil {
		return out, err
	}
	now, err := h.variablesOf(ctx, tip, names)
	if err != nil {
		return out, err
	}
	for _, name := range names {
		was := before[name]
		if len(was) == 0 || !oneValue(was) {
			continue
		}
		out.then = append(out.then, was[0])
		if !slices.ContainsFunc(now[name], func(n manifest.Node) bool { return n.Value == was[0].Value }) {
			out.gone = append(out.gone, name)
		}
	}
	return out, nil
}

// variablesOf lists what the files of a commit say of variables, by name.
func (h *history) variablesOf(ctx context.Context, c *store.Commit, names []string,
) (map[string][]manifest.Node, error) {
	files, err := h.yamlFiles(c)
	if err != nil {
		return nil, err
	}
	out := map[string][]manifest.Node{}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		data, ok, err := h.Content(f.entry.Hash)
		if err != nil {
			return nil, err
		}
		if !ok || !slices.ContainsFunc(names, func(name string) bool { return bytes.Contains(data, []byte(name)) }) {
			continue
		}
		var found []manifest.Node
		for _, k := range manifest.Reconciles(f.path, data) {
			found = append(found, slices.Concat(k.PostBuild.Substitute, k.Children.Substitute)...)
		}
		for _, nodes := range manifest.Configs(f.path, data, h.reading(c)) {
			found = append(found, nodes...)
		}
		for _, n := range found {
			out[n.Variable] = append(out[n.Variable], n)
		}
	}
	return out, nil
}

// oneValue reports whether all nodes say the same.
func oneValue(nodes []manifest.Node) bool {
	for _, n := range nodes {
		if n.Value != nodes[0].Value || strings.Contains(n.Value, "$") {
			return false
		}
	}
	return true
}

// spelled is what a node said before a commit, with the values of variables in their place where one of them has another
// one by now, and the node names none on the branch.
func (w *watching) spelled(n manifest.Node, bad string) manifest.Node {
	used := usedIn(n.Value)
	gone := func(name string) bool { return slices.Contains(w.vars.gone, name) }
	if strings.Contains(bad, "${") || !slices.ContainsFunc(used, gone) {
		return n
	}
	for _, name := range used {
		if !slices.ContainsFunc(w.vars.then, func(v manifest.Node) bool { return v.Variable == name }) {
			return n
		}
	}
	n.Value = manifest.Expand(n.Value, w.vars.then)
	return n
}

// names lists the variables of nodes that name none on the branch.
func (w *watching) names(s v1alpha1.Suspect) []string {
	var out []string
	for k, v := range w.values() {
		if v != nil && !strings.Contains(s.Places[w.places[k].node].Bad, "${") {
			add(&out, usedIn(v.Value)...)
		}
	}
	return out
}
