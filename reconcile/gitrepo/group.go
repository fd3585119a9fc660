package gitrepo

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// positional reports whether a group is found by its position in a list, so that something else may stand there now.
func positional(group []manifest.Node) bool {
	return slices.ContainsFunc(group, func(n manifest.Node) bool {
		return strings.Contains(n.Pointer, ";") || indexed.MatchString(n.Pointer)
	})
}

var indexed = regexp.MustCompile(`\[[0-9]+\]`)

// sameList reports whether two pointers differ in positions alone.
func sameList(a, b string) bool {
	return indexed.ReplaceAllString(a, "[]") == indexed.ReplaceAllString(b, "[]")
}

// mayHold says quickly whether a version can hold all the values.
func mayHold(group []manifest.Node, data []byte) bool {
	for _, n := range group {
		if !bytes.Contains(data, []byte(n.Value)) && !bytes.ContainsAny(data, `\`) {
			return false
		}
	}
	return true
}

// group finds a group of another version in this one, by the places of its nodes; nil where none of them is there.
func (p parsedFile) group(of []manifest.Node) []manifest.Node {
	for _, n := range of {
		if isImage(n) {
			if at := p.node(n.Pointer); at != nil {
				return manifest.GroupOf(p.nodes, *at)
			}
			continue
		}
		if p.scalars == nil {
			continue
		}
		if at, ok := manifest.At(p.scalars(), n.Pointer); ok {
			at.Part, at.Variable = n.Part, n.Variable
			return []manifest.Node{at}
		}
	}
	return nil
}

// versions reads a file as it was before a change, and as it is after; one that is not there has nothing.
func (h *history) versions(c store.Change) (was, is parsedFile, err error) {
	if c.Before.Regular() {
		if was, err = h.parsed(c.Path, c.Before.Hash); err != nil {
			return was, is, err
		}
	}
	if c.After.Regular() {
		is, err = h.parsed(c.Path, c.After.Hash)
	}
	return was, is, err
}

// isImage reports whether a node is one by its place, and no variable or part of a text.
func isImage(n manifest.Node) bool {
	return n.Variable == "" && n.Part != manifest.PartVariable && n.Part != manifest.PartText &&
		!manifest.IsText(n.Pointer)
}

// like lists the groups of a version among which one may be found again: what is no image by its place only where it
// has the same name.
func (p parsedFile) like(group []manifest.Node) [][]manifest.Node {
	n := group[0]
	if isImage(n) {
		return manifest.Groups(p.nodes)
	}
	if p.scalars == nil {
		return nil
	}
	var found []manifest.Node
	if n.Part == manifest.PartVariable || n.Variable != "" {
		found = p.named(n)
	} else {
		repository, _, _ := manifest.Split(n.Value)
		found = manifest.MentionsOf(p.scalars(), repository)
	}
	var out [][]manifest.Node
	for _, f := range found {
		out = append(out, []manifest.Node{f})
	}
	return out
}

// named lists the scalars of a version that may be a variable, by the name that it has where it stands.
func (p parsedFile) named(n manifest.Node) []manifest.Node {
	name := n.Variable
	if n.Pointer != "" {
		name = manifest.NameAt(n.Pointer)
	}
	var out []manifest.Node
	for _, s := range p.scalars() {
		if !manifest.IsNamed(s, name) {
			a, ok := manifest.Assignment(s, name)
			if !ok {
				continue
			}
			s = a
		}
		s.Part, s.Variable = n.Part, n.Variable
		out = append(out, s)
	}
	return out
}

// node finds a node by its pointer.
func (p parsedFile) node(pointer string) *manifest.Node {
	for i := range p.nodes {
		if p.nodes[i].Pointer == pointer {
			return &p.nodes[i]
		}
	}
	return nil
}
