package gitrepo

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// appVersion is the key of a Chart.yaml that charts take for the tag of their image where their values have none.
const appVersion = "appVersion"

// versionOfApp finds the version of the app in the Chart.yaml of the chart whose values leave the tag to it; nil for
// none.
//
//	c/Chart.yaml: appVersion: v2      c/values.yaml: image: {repository: acme/web, tag: ""}
func (l *locating) versionOfApp(group []manifest.Node) (*manifest.Node, error) {
	_, tag, _ := manifest.Split(l.query.Image)
	if tag == "" || versioned(group) {
		return nil, nil
	}
	charts, err := l.chartsOf(group[0])
	if err != nil {
		return nil, err
	}
	for _, dir := range charts {
		file := path.Join(dir, "Chart.yaml")
		n, err := l.scalarAt(file, "#/"+appVersion)
		if err != nil {
			return nil, err
		}
		if n != nil && strings.TrimPrefix(n.Value, "v") == strings.TrimPrefix(tag, "v") {
			n.Part, n.Variable = manifest.PartVariable, appVersion
			return n, nil
		}
	}
	return nil, nil
}

// versioned reports whether a group says which version of an image it is.
func versioned(group []manifest.Node) bool {
	return slices.ContainsFunc(group, func(n manifest.Node) bool {
		_, tag, digest := manifest.Split(n.Value)
		return n.Part == manifest.PartTag && n.Value != "" || n.Part == manifest.PartDigest && n.Value != "" ||
			n.Part == manifest.PartImage && tag+digest != ""
	})
}

// chartsOf lists the folders of charts that a value may be for, the likeliest first: a chart below the one that the
// file of values is beside, that one, or the one that the HelmRelease names.
func (l *locating) chartsOf(n manifest.Node) ([]string, error) {
	document, way, _ := strings.Cut(n.Pointer, "#")
	if n.Object.Kind == "HelmRelease" {
		kind, err := l.scalarAt(n.File, document+"#/spec/chart/spec/sourceRef/kind")
		if err != nil || kind == nil || kind.Value != "GitRepository" || !strings.HasPrefix(way, "/spec/values/") {
			return nil, err
		}
		chart, err := l.scalarAt(n.File, document+"#/spec/chart/spec/chart")
		if err != nil || chart == nil {
			return nil, err
		}
		return l.withDependency(manifest.Folder(chart.Value), strings.TrimPrefix(way, "/spec/values"))
	}
	if n.Object.Kind != "" {
		return nil, nil
	}
	return l.withDependency(path.Dir(n.File), way)
}

// withDependency adds to the folder of a chart, before it, that of the chart below it whose values have the key at
// which a way begins.
func (l *locating) withDependency(dir, way string) ([]string, error) {
	key, _, deeper := strings.Cut(strings.TrimPrefix(way, "/"), "/")
	if !deeper || strings.ContainsAny(key, ".~[") {
		return []string{dir}, nil
	}
	from, err := l.scalarAt(path.Join(dir, "Chart.yaml"), "#/dependencies[name="+key+"]/repository")
	if err != nil {
		return nil, err
	}
	if from != nil {
		if local, ok := strings.CutPrefix(from.Value, "file://"); ok {
			return []string{manifest.Folder(path.Join(dir, local)), dir}, nil
		}
	}
	return []string{path.Join(dir, "charts", key), dir}, nil
}

// scalarAt reads one scalar of a file of the commit; nil where it is not there.
func (l *locating) scalarAt(file, pointer string) (*manifest.Node, error) {
	e, err := l.EntryAt(l.commit.Tree, file)
	if err != nil || !e.Regular() {
		return nil, err
	}
	p, err := l.parsed(file, e.Hash)
	if err != nil || p.scalars == nil {
		return nil, err
	}
	n, ok := manifest.At(p.scalars(), pointer)
	if !ok {
		return nil, nil
	}
	return &n, nil
}

// ofApp reports whether the version of a chart's app is part of a reference.
func ofApp(c composed) bool { return c[0][0].Variable == appVersion }

// withCharts adds to references that the version of a chart's app is part of those of other charts, whose values have
// keys of their own for the repository.
func (l *locating) withCharts(found []composed) ([]composed, error) {
	more, err := l.inCharts()
	if err != nil {
		return nil, err
	}
	for _, m := range more {
		same := func(c composed) bool { return ofApp(c) && c[0][0].File == m[0][0].File }
		if !slices.ContainsFunc(found, same) {
			found = append(found, m)
		}
	}
	return found, nil
}

// inCharts looks for values that name the image's repository under a key of any name, where the version of the chart's
// app is its tag.
func (l *locating) inCharts() ([]composed, error) {
	var out []composed
	looked := map[string]bool{}
	for _, u := range l.units {
		for _, file := range slices.Concat(u.files.Paths, u.files.Values) {
			if looked[file] || path.Base(file) == "Chart.yaml" {
				continue
			}
			looked[file] = true
			found, err := l.chartValues(file)
			if err != nil {
				return nil, err
			}
			out = append(out, found...)
		}
	}
	return out, nil
}

// chartValues lists what of a file names the image's repository alone, each with the version of the chart's app.
func (l *locating) chartValues(file string) ([]composed, error) {
	repository, _, _ := manifest.Split(l.query.Image)
	e, err := l.EntryAt(l.commit.Tree, file)
	if err != nil || !e.Regular() {
		return nil, err
	}
	data, ok, err := l.Content(e.Hash)
	if err != nil || !ok || !bytes.Contains(data, []byte(repository)) {
		return nil, err
	}
	p, err := l.parsed(file, e.Hash)
	if err != nil || p.err != nil || p.scalars == nil {
		return nil, err
	}
	var out []composed
	for _, n := range p.scalars() {
		if n.Value != repository {
			continue
		}
		group := []manifest.Node{n}
		if at := p.node(n.Pointer); at != nil {
			group = manifest.GroupOf(p.nodes, *at)
		}
		version, err := l.versionOfApp(group)
		if err != nil {
			return nil, err
		}
		if version != nil {
			n.Part, n.Variable = manifest.PartVariable, manifest.NameAt(n.Pointer)
			out = append(out, composed{{*version}, {n}})
		}
	}
	return out, nil
}
