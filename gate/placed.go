package gate

import (
	"path"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
)

// checkSources reads the sources of Flux as their CRDs type them.
func (m *model) checkSources() {
	for _, p := range m.placedObjects() {
		if p.group() != path.Dir(sourcev1.GroupVersion.String()) {
			continue
		}
		switch p.kind {
		case sourcev1.OCIRepositoryKind:
			m.decode(&p.object, &sourcev1.OCIRepository{})
		case sourcev1.GitRepositoryKind:
			m.decode(&p.object, &sourcev1.GitRepository{})
		case sourcev1.HelmRepositoryKind:
			m.decode(&p.object, &sourcev1.HelmRepository{})
		case sourcev1.HelmChartKind:
			m.decode(&p.object, &sourcev1.HelmChart{})
		case sourcev1.BucketKind:
			m.decode(&p.object, &sourcev1.Bucket{})
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
		for _, o := range u.rendered.objects {
			p := placed{object: o, unit: u, paths: []string{u.dir + "/.", o.file}}
			p.paths = append(p.paths, u.origins()...)
			out = append(out, p)
		}
	}
	for _, name := range m.listing.yaml {
		if within[name] {
			continue
		}
		for _, o := range m.files[name].objects {
			out = append(out, placed{object: o, paths: []string{name}})
		}
	}
	return out
}

// decode reads an object, or notes why it cannot be read.
func (m *model) decode(o *object, into any) bool {
	err := o.decode(into)
	if err != nil {
		m.findings = append(m.findings, undecodable(o, err))
	}
	return err == nil
}
