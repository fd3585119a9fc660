package gitrepo

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// inUnits matches the image against what the units render. open says that a file names variables of which nothing is
// known.
func (l *locating) inUnits() (found []composed, open bool, err error) {
	out := rendering{made: map[string][]manifest.Node{}, copied: map[string][]manifest.Node{}}
	looked := map[string]bool{}
	l.count, l.unread, l.spoken = 0, nil, false
	for i, u := range l.units {
		if err := l.readCopies(u); err != nil {
			return nil, false, err
		}
		for _, file := range slices.Concat(u.files.Paths, u.files.Values) {
			if err := l.ctx.Err(); err != nil {
				return nil, false, err
			}
			if looked[file] && len(u.vars) == 0 && !u.copies.Any() {
				continue
			}
			first := !looked[file]
			looked[file] = true
			unknown, err := l.add(&out, u, i, file, first)
			if err != nil {
				return nil, false, err
			}
			open = open || unknown
		}
	}
	l.count = len(looked)
	found, err = l.match(out)
	return found, open, err
}

// add takes the nodes of a file as a unit renders them: those that name variables once for each unit, others once.
func (l *locating) add(out *rendering, u *unit, index int, file string, first bool) (open bool, err error) {
	spoken := false
	nodes, why, err := l.mention(l.commit.Tree, file, func(data []byte) bool {
		spoken = names(data, l.query.Image)
		open := u.copies.Any() || bytes.Contains(data, []byte("${")) || bytes.Contains(data, []byte("<<"))
		return open && bytes.Contains(data, []byte("mage")) || manifest.MayHold(data, l.query.Image)
	})
	if err != nil {
		return false, err
	}
	if why != "" && first && (spoken || why == tooLarge) {
		l.unread, l.spoken = append(l.unread, file+" "+why), l.spoken || spoken
	}
	for _, group := range manifest.Groups(nodes) {
		group = underGlobal(group, nodes, l.query.Image)
		copies, err := l.copied(u, group)
		if err != nil {
			return false, err
		}
		if len(copies) > 0 {
			out.copy(copies, index)
			continue
		}
		names := variablesIn(group)
		if len(names) == 0 {
			if first {
				out.nodes = append(out.nodes, group...)
			}
			continue
		}
		var made []manifest.Node
		for _, name := range names {
			made = append(made, u.vars[name]...)
			open = open || u.vars[name] == nil
		}
		id := fmt.Sprintf("%s\x00%d", group[0].Group, index)
		out.made[id] = made
		for _, n := range group {
			if n.Group = id; l.supposing {
				n.Value = manifest.Suppose(n, made, l.query.Image)
			} else {
				n.Value = manifest.Expand(n.Value, made)
			}
			out.nodes = append(out.nodes, n)
		}
	}
	return open, nil
}

// names reports whether a file has the words of an image: the end of its repository, and its tag or digest.
func names(data []byte, image string) bool {
	repository, tag, digest := manifest.Split(image)
	return bytes.Contains(data, []byte(repository[strings.LastIndexByte(repository, '/')+1:])) &&
		(tag != "" && indexWord(data, tag) >= 0 || digest != "" && bytes.Contains(data, []byte(digest)))
}

// variablesIn lists the variables that the nodes of a group name.
func variablesIn(group []manifest.Node) []string {
	var out []string
	for _, n := range group {
		if strings.Contains(n.Value, "${") {
			add(&out, usedIn(n.Value)...)
			if len(out) == 0 {
				out = []string{""}
			}
		}
	}
	return out
}

// match picks what makes the image, and puts each reference together with what its variables come from.
func (l *locating) match(s rendering) ([]composed, error) {
	found := manifest.Match(s.nodes, l.query.Image, l.target())
	var out []composed
	for _, group := range manifest.Groups(found) {
		group = slices.Clone(group)
		made, copied := s.made[group[0].Group], s.copied[group[0].Group]
		// What is put into values from elsewhere has no place of its own.
		group = slices.DeleteFunc(group, func(n manifest.Node) bool { return n.Pointer == "" })
		for i := range group {
			group[i] = l.raw(group[i])
		}
		var c composed
		for _, n := range copied {
			c = append(c, []manifest.Node{n})
		}
		if len(group) > 0 {
			c = append(c, group)
		}
		for _, v := range made {
			c = append(c, []manifest.Node{v})
		}
		if copied == nil {
			v, err := l.versionOfApp(group)
			if err != nil {
				return nil, err
			}
			if v != nil {
				c = composed{{*v}, group}
			}
		}
		if r := l.registry(group); r != nil && copied == nil {
			c = append(c, []manifest.Node{*r})
		}
		if !slices.ContainsFunc(out, func(o composed) bool { return sameNodes(o, c) }) {
			out = append(out, c)
		}
	}
	return out, nil
}

// registry finds what a chart puts before a repository that names none: global.imageRegistry of the same values.
func (l *locating) registry(group []manifest.Node) *manifest.Node {
	own, ok := manifest.Reference(group, "")
	if !ok || group[0].Part == manifest.PartImage {
		return nil
	}
	e, err := l.EntryAt(l.commit.Tree, group[0].File)
	if err != nil || !e.Regular() {
		return nil
	}
	p, err := l.parsed(group[0].File, e.Hash)
	if err != nil {
		return nil
	}
	document, _, _ := strings.Cut(group[0].Pointer, "#")
	for _, n := range p.nodes {
		if n.Part == manifest.PartRegistry && strings.HasSuffix(n.Pointer, globalRegistry) &&
			strings.HasPrefix(n.Pointer, document+"#") && l.query.Image == strings.TrimSuffix(n.Value, "/")+"/"+own {
			return &n
		}
	}
	return nil
}

// globalRegistry ends the pointer of what a chart puts before all of its repositories.
const globalRegistry = "/global/imageRegistry"

// underGlobal leaves the registry of a group out where the registry of all images of the chart is meant to replace it:
// where the image that is looked for is not the group's own.
func underGlobal(group, nodes []manifest.Node, image string) []manifest.Node {
	isRegistry := func(n manifest.Node) bool { return n.Part == manifest.PartRegistry }
	if own, ok := manifest.Reference(group, ""); !ok || own == image || len(group) == 1 ||
		!slices.ContainsFunc(group, isRegistry) {
		return group
	}
	document, _, _ := strings.Cut(group[0].Pointer, "#")
	if !slices.ContainsFunc(nodes, func(n manifest.Node) bool {
		return n.Value != "" && strings.HasPrefix(n.Pointer, document+"#") && strings.HasSuffix(n.Pointer, globalRegistry)
	}) {
		return group
	}
	return slices.DeleteFunc(slices.Clone(group), isRegistry)
}
