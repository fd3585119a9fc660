package gitrepo

import (
	"context"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// takenAway lists the variables that a commit took away, wherever they stood, with the value that each of them had.
// One that had several values, or that the commit leaves somewhere, is not among them.
//
//	image: web:${VER}, VER: v1  ──►  image: web:v2      web:${VER} would stand for nothing today: it was web:v1
func (h *history) takenAway(ctx context.Context, older, newer *store.Commit) ([]manifest.Node, error) {
	changes, err := h.changesOf(older, newer)
	if err != nil {
		return nil, err
	}
	before, after := map[string][]manifest.Node{}, map[string][]manifest.Node{}
	for _, c := range changes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := h.variablesOf(older, c.Path, c.Before, before); err != nil {
			return nil, err
		}
		if err := h.variablesOf(newer, c.Path, c.After, after); err != nil {
			return nil, err
		}
	}
	var out []manifest.Node
	for name, nodes := range before {
		if after[name] == nil && oneValue(nodes) {
			out = append(out, nodes[0])
		}
	}
	return out, nil
}

// variablesOf adds the variables that a file says in one version, by name.
func (h *history) variablesOf(c *store.Commit, file string, e store.Entry, out map[string][]manifest.Node) error {
	if !e.Regular() || !isYAML(file) {
		return nil
	}
	data, ok, err := h.Content(e.Hash)
	if err != nil || !ok {
		return err
	}
	for _, k := range manifest.Reconciles(file, data) {
		for _, n := range append(k.PostBuild.Substitute, k.Children.Substitute...) {
			out[n.Variable] = append(out[n.Variable], n)
		}
	}
	for _, nodes := range manifest.Configs(file, data, h.reading(c)) {
		for _, n := range nodes {
			out[n.Variable] = append(out[n.Variable], n)
		}
	}
	return nil
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

// spelled is what a node said before a commit, with the values of variables that the commit took away in their place
// where the node names none on the branch.
func (w *watching) spelled(n manifest.Node, bad string) manifest.Node {
	used := usedIn(n.Value)
	if len(used) == 0 || strings.Contains(bad, "${") {
		return n
	}
	for _, name := range used {
		if !slices.ContainsFunc(w.taken, func(v manifest.Node) bool { return v.Variable == name }) {
			return n
		}
	}
	n.Value = manifest.Expand(n.Value, w.taken)
	return n
}

// namesVariables reports whether a node names variables where it names none on the branch.
func (w *watching) namesVariables(s v1alpha1.Suspect) bool {
	for k, v := range w.values() {
		if v != nil && len(usedIn(v.Value)) > 0 && !strings.Contains(s.Places[w.places[k].node].Bad, "${") {
			return true
		}
	}
	return false
}
