package gitrepo

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// locating looks for an image at one commit: among what the root renders, with the variables that Flux replaces in it;
// for a person then in the text of scalars, and in files that nothing was seen to render.
type locating struct {
	*history
	ctx    context.Context
	commit *commit
	query  reconcile.Query
	files  manifest.Files
	// units are what was reached; the first is the root itself.
	units []*unit
	// count of the files that were looked at, and those that could not be read; spoken says that one of these names the
	// image.
	count  int
	unread []string
	spoken bool
	// supposing says that a variable of which nothing is known is taken for what the image has in its place.
	supposing bool
}

// rendering is nodes as a unit renders them: variables are replaced, and the group tells units apart.
type rendering struct {
	nodes []manifest.Node
	// made says by group what of it is a variable's, and copied what was copied into it.
	made, copied map[string][]manifest.Node
}

// find looks in one place after the other.
func (l *locating) find() ([]composed, error) {
	l.units = []*unit{{files: l.files}}
	if l.query.ByPerson {
		key := l.commit.tree.String() + " " + l.query.Root.Path
		if l.led.key != key {
			r, err := l.reached(l.ctx, l.commit, l.query.Root, l.files)
			if err != nil {
				return nil, err
			}
			l.led = led{key, r.units}
		}
		l.units = slices.Clone(l.led.units)
	}
	found, open, err := l.inUnits()
	if err != nil || len(found) > 0 {
		return found, err
	}
	if open && !l.query.ByPerson {
		// What replaces the variables stands elsewhere in the repository.
		if err := l.own(); err != nil {
			return nil, err
		}
		if found, _, err = l.inUnits(); err != nil || len(found) > 0 {
			return found, err
		}
	}
	if l.supposing = open; open {
		if found, _, err = l.inUnits(); err != nil || len(found) > 0 {
			return found, err
		}
	}
	if found, err = l.inTexts(); err != nil || len(found) > 0 || !l.query.ByPerson || l.query.Root.Path != "" {
		return found, err
	}
	return l.anywhere()
}

// target is the workload that is asked for.
func (l *locating) target() manifest.Target {
	q := l.query
	return manifest.Target{Namespace: q.Namespace, Kind: q.Workload.Kind, Name: q.Workload.Name, Container: q.Container,
		Loose: q.ByPerson}
}

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
	nodes, why, err := l.mention(l.commit.tree, file, func(data []byte) bool {
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

// names says whether a file has the words of an image: the end of its repository, and its tag or digest.
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
			v, err := l.appVersion(group)
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
	e, err := l.entryAt(l.commit.tree, group[0].File)
	if err != nil || !e.regular() {
		return nil
	}
	p, err := l.parsed(group[0].File, e.hash)
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

// sameNodes says whether two references are made of the same nodes, as where two units render one file alike.
func sameNodes(a, b composed) bool {
	x, y := slices.Concat(a...), slices.Concat(b...)
	return slices.EqualFunc(x, y, func(m, n manifest.Node) bool { return m.File == n.File && m.Pointer == n.Pointer })
}

// raw is a node as its file has it.
func (l *locating) raw(n manifest.Node) manifest.Node {
	if e, err := l.entryAt(l.commit.tree, n.File); err == nil && e.regular() {
		if p, err := l.parsed(n.File, e.hash); err == nil {
			if at := p.node(n.Pointer); at != nil {
				return *at
			}
		}
	}
	return n
}

// own reads the variables of the root's own Kustomization, whose file stands elsewhere in the repository.
func (l *locating) own() error {
	r, err := l.reached(l.ctx, l.commit, l.query.Root, manifest.Files{})
	if err != nil {
		return err
	}
	files, err := l.yamlFiles(l.commit)
	if err != nil {
		return err
	}
	var all manifest.Files
	for _, f := range files {
		all.Paths = append(all.Paths, f.path)
	}
	by := l.query.Root.By
	for _, f := range all.Paths {
		found, err := r.reconciled(f)
		if err != nil {
			return err
		}
		for _, k := range found {
			if k.Object.Name != by.Name || k.Object.Namespace != "" && k.Object.Namespace != by.Namespace {
				continue
			}
			u := &unit{files: l.files, children: k.Children}
			if u.vars, err = r.variables(&unit{}, k); err != nil {
				return err
			}
			l.units = append(l.units, u)
		}
	}
	return nil
}

// inTexts looks for the image in what is no image by its place: arguments, variables of containers, text in values.
func (l *locating) inTexts() ([]composed, error) {
	var out []composed
	looked := map[string]bool{}
	for _, u := range l.units {
		for _, file := range slices.Concat(u.files.Paths, u.files.Values) {
			if looked[file] {
				continue
			}
			looked[file] = true
			found, err := l.mentionsIn(file)
			if err != nil {
				return nil, err
			}
			out = append(out, found...)
		}
	}
	return out, nil
}

// mentionsIn lists where the text of a file's scalars names the image.
func (l *locating) mentionsIn(file string) ([]composed, error) {
	e, err := l.entryAt(l.commit.tree, file)
	if err != nil || !e.regular() {
		return nil, err
	}
	data, ok, err := l.content(e.hash)
	sight := l.query.Image
	if l.query.ByPerson {
		sight, _, _ = manifest.Split(sight)
	}
	if err != nil || !ok || !bytes.Contains(data, []byte(sight)) {
		return nil, err
	}
	p, err := l.parsed(file, e.hash)
	if err != nil || p.err != nil || p.scalars == nil {
		return nil, err
	}
	var out []composed
	for _, n := range manifest.Mentions(p.scalars(), l.query.Image, l.query.ByPerson) {
		out = append(out, composed{{n}})
	}
	return out, nil
}

// anywhere looks through all YAML files of the tree: people deploy in more ways than can be followed.
func (l *locating) anywhere() ([]composed, error) {
	files, err := l.yamlFiles(l.commit)
	if err != nil {
		return nil, err
	}
	all := &unit{}
	for _, f := range files {
		all.files.Paths = append(all.files.Paths, f.path)
	}
	l.units = []*unit{all}
	found, _, err := l.inUnits()
	if err != nil || len(found) > 0 {
		return found, err
	}
	return l.inTexts()
}
