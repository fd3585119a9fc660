package gitrepo

import (
	"bytes"
	"slices"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// find looks in one place after the other.
func (l *locating) find() ([]composed, error) {
	found, open, err := l.rendered()
	if err == nil && len(found) > 0 {
		found, err = l.seen(found)
	}
	if err == nil && slices.ContainsFunc(found, ofApp) {
		found, err = l.withCharts(found)
	}
	if err != nil || len(found) > 0 {
		return found, err
	}
	if l.supposing = open; open {
		if found, _, err = l.inUnits(); err != nil || len(found) > 0 {
			return found, err
		}
	}
	if found, err = l.elsewhere(); err != nil || len(found) > 0 || !l.query.ByPerson || l.query.Root.Path != "" {
		return found, err
	}
	return l.anywhere()
}

// rendered looks among what the root renders, and for a person what that leads to. open says that a file names
// variables of which nothing is known.
func (l *locating) rendered() (found []composed, open bool, err error) {
	l.units = []*unit{{files: l.files}}
	if l.query.ByPerson {
		key := l.commit.Tree.String() + " " + l.query.Root.Path
		if l.led.key != key {
			r, err := l.reached(l.ctx, l.commit, l.query.Root, l.files)
			if err != nil {
				return nil, false, err
			}
			if len(r.units) == 1 && l.ofAnyRoot() {
				if err := l.unreached(r); err != nil {
					return nil, false, err
				}
			}
			l.led = led{key, r.units}
		}
		l.units = slices.Clone(l.led.units)
	}
	found, open, err = l.inUnits()
	if err != nil || len(found) > 0 || !open || l.query.ByPerson {
		return found, open, err
	}
	// What replaces the variables stands elsewhere in the repository.
	if err := l.own(); err != nil {
		return nil, false, err
	}
	found, _, err = l.inUnits()
	return found, open, err
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
	var roots []manifest.Reconciled
	for _, f := range all.Paths {
		found, err := r.reconciled(f)
		if err != nil {
			return err
		}
		for _, k := range found {
			if k.Object.Name == by.Name && (k.Object.Namespace == "" || k.Object.Namespace == by.Namespace) {
				roots = append(roots, k)
			}
		}
	}
	if roots, err = l.ofThisCluster(roots); err != nil {
		return err
	}
	for _, k := range roots {
		u := &unit{files: l.files, children: k.Children}
		if u.vars, err = r.variables(&unit{}, k); err != nil {
			return err
		}
		l.units = append(l.units, u)
	}
	return nil
}

// ofThisCluster leaves out Kustomizations of one name that other clusters have: of several files that say it, those
// count that this cluster's own Kustomizations render. Where none is known to, nobody can tell which one it is.
func (l *locating) ofThisCluster(all []manifest.Reconciled) ([]manifest.Reconciled, error) {
	if !slices.ContainsFunc(all, func(k manifest.Reconciled) bool { return k.File != all[0].File }) {
		return all, nil
	}
	var out []manifest.Reconciled
	for _, k := range all {
		for _, root := range slices.Concat([]reconcile.Root{l.query.Root}, l.query.Others) {
			renders, err := l.renders(l.commit.Tree, root, []string{k.File})
			if err != nil {
				return nil, err
			}
			if renders {
				out = append(out, k)
				break
			}
		}
	}
	return out, nil
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
	e, err := l.EntryAt(l.commit.Tree, file)
	if err != nil || !e.Regular() {
		return nil, err
	}
	data, ok, err := l.Content(e.Hash)
	sight := l.query.Image
	if l.query.ByPerson {
		sight, _, _ = manifest.Split(sight)
	}
	if err != nil || !ok || !bytes.Contains(data, []byte(sight)) {
		return nil, err
	}
	p, err := l.parsed(file, e.Hash)
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
	for _, u := range l.units {
		for _, file := range u.files.Paths {
			if !isYAML(file) { // kustomize takes JSON, too
				all.files.Paths = append(all.files.Paths, file)
			}
		}
	}
	l.units = []*unit{all}
	found, _, err := l.inUnits()
	if err != nil || len(found) > 0 {
		return found, err
	}
	return l.elsewhere()
}

// elsewhere looks for the image in what no manifest has as one: in text, and in a chart's values with the version of
// its app.
func (l *locating) elsewhere() ([]composed, error) {
	found, err := l.inTexts()
	if err != nil || len(found) > 0 {
		return found, err
	}
	return l.inCharts()
}
