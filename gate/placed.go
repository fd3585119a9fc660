package gate

import (
	"path"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/backstop-dev/backstop/gate/sources"
)

// checkSources reads the sources of Flux as their CRDs type them.
func (m *model) checkSources() {
	for _, p := range m.placedObjects() {
		if p.Group() != path.Dir(sourcev1.GroupVersion.String()) {
			continue
		}
		switch p.Kind {
		case sourcev1.OCIRepositoryKind:
			m.decode(&p.Object, &sourcev1.OCIRepository{})
		case sourcev1.GitRepositoryKind:
			m.decode(&p.Object, &sourcev1.GitRepository{})
		case sourcev1.HelmRepositoryKind:
			m.decode(&p.Object, &sourcev1.HelmRepository{})
		case sourcev1.HelmChartKind:
			m.decode(&p.Object, &sourcev1.HelmChart{})
		case sourcev1.BucketKind:
			m.decode(&p.Object, &sourcev1.Bucket{})
		}
	}
}

// placedObjects are the objects of the tree, as rendered where they are.
func (m *model) placedObjects() []placed {
	var out []placed
	within := map[string]bool{}
	for _, id := range sortedKeys(m.builder.units) {
		u := m.builder.units[id]
		if u.rendered == nil {
			continue
		}
		for _, name := range u.closure.Paths {
			within[name] = true
		}
		for _, o := range u.rendered.Objects {
			p := placed{Object: o, unit: u, paths: []string{u.dir + "/.", o.File}}
			p.paths = append(p.paths, u.origins()...)
			out = append(out, p)
		}
	}
	for _, name := range m.listing.YAML {
		if within[name] {
			continue
		}
		for _, o := range m.files[name].Objects {
			out = append(out, placed{Object: o, paths: []string{name}})
		}
	}
	return out
}

// decode reads an object, or notes why it cannot be read.
func (m *model) decode(o *sources.Object, into any) bool {
	err := o.Decode(into)
	if err != nil {
		m.findings = append(m.findings, undecodable(o, err))
	}
	return err == nil
}
