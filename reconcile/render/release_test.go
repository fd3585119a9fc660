package render_test

import (
	"regexp"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// What helm-controller 1.6.3 says of these values in status.history[].configDigest.
const (
	digestOfA = "sha256:80ffb27a3bb5987f4103a5006dbf5e7f9cd766d9f39527f0b5c4e643c3d25b5d"
	digestOfB = "sha256:4160ea451b8f428bd65c9f2c1f4afb252fb1e0ad045b84306c19a4e99106c737"
)

// named is a ConfigMap that is named by its content.
var named = regexp.MustCompile(`values-[a-z0-9]{10}$`)

func TestReleasesGoBackByFilesOrAreRefused(t *testing.T) {
	const (
		web = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: web\n  namespace: prod\nspec:\n  chart:\n    spec:\n      chart: web\n      version: 1.0.0\n" +
			"      sourceRef: {kind: HelmRepository, name: charts}\n"
		good        = web + "  values:\n    host: a.example.com\n    ratio: 1.50\n    replicas: 2\n    serial: 1700000000\n"
		taken       = web + "  valuesFrom:\n  - kind: ConfigMap\n    name: values\n"
		values      = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: values\n  namespace: prod\ndata:\n  values.yaml: |\n    host: b\n    replicas: 1\n"
		claim       = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: disk\n  namespace: prod\nspec:\n  accessModes: [ReadWriteOnce]\n"
		config      = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n  namespace: prod\ndata:\n  a: b\n"
		hashedNames = "resources: [web.yaml]\nconfigMapGenerator:\n- name: values\n  namespace: prod\n  files: [values.yaml=v.txt]\nconfigurations: [refs.yaml]\n"
		refs        = "nameReference:\n- kind: ConfigMap\n  version: v1\n  fieldSpecs:\n  - path: spec/valuesFrom/name\n    kind: HelmRelease\n"
	)
	ofTag := "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: web\n  namespace: prod\nspec:\n  chartRef: {kind: OCIRepository, name: web}\n  values:\n    host: b\n    replicas: 1\n"
	repo := "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata:\n  name: web\n  namespace: prod\nspec:\n  ref: {tag: 1.0.0}\n"
	pinned, ranges := strings.Replace(repo, "tag: 1.0.0", "tag: 1.0.0, digest: 'sha256:1'", 1), strings.Replace(repo, "tag: 1.0.0", "semver: 1.x", 1)
	bad := strings.Replace(good, "replicas: 2", "replicas: many", 1)
	object := &v1alpha1.ObjectRef{Kind: "HelmRelease", Namespace: "prod", Name: "web"}
	for name, c := range map[string]struct {
		line line
		// digest of the release that is deployed, and version of its chart: 1.0.0 where empty.
		digest, version, oci, attempted string
		applied                         []reconcile.AppliedObject
		// tip is a commit after the one that was applied last; built says otherwise what Flux built.
		files, also []string
		built       string
		refused     v1alpha1.DoubtType
		says        string
	}{
		"values that the schema refuses": {line: line{{"apps/web.yaml": good}, {"apps/web.yaml": bad}}, digest: digestOfA, files: []string{"apps/web.yaml"}},
		"values of a ConfigMap":          {line: line{{"apps/web.yaml": taken, "apps/values.yaml": values}, {"apps/values.yaml": strings.Replace(values, "host: b", "hos: b", 1), "README": "1"}}, digest: digestOfB, files: []string{"apps/values.yaml"}, also: []string{"ConfigMap/prod/values"}},
		"values of a ConfigMap that is named by its content": {line: line{{"apps/web.yaml": taken, "apps/kustomization.yaml": hashedNames, "apps/refs.yaml": refs, "apps/v.txt": "host: b\nreplicas: 1\n"}, {"apps/v.txt": "replicas: 1\n"}},
			digest: digestOfB, files: []string{"apps/v.txt"}, also: []string{"ConfigMap/prod/values-*", "ConfigMap/prod/values-*"}},
		"a chart version that is not there": {line: line{{"apps/web.yaml": good}, {"apps/web.yaml": strings.Replace(good, "1.0.0", "9.9.9", 1)}}, digest: digestOfA, files: []string{"apps/web.yaml"}},
		"another commit of other objects came between": {line: line{{"apps/web.yaml": good}, {"apps/web.yaml": bad, "apps/settings.yaml": config}, {"apps/settings.yaml": config + "  c: d\n"}}, digest: digestOfA,
			files: []string{"apps/web.yaml"}},
		"the tag of a chart": {line: line{{"apps/web.yaml": ofTag, "apps/chart.yaml": repo}, {"apps/chart.yaml": strings.Replace(repo, "1.0.0", "9.9.9", 1)}}, digest: digestOfB, version: "1.0.0+0123456789ab", files: []string{"apps/chart.yaml"},
			also: []string{"OCIRepository/prod/web"}},
		"the digest of a chart": {line: line{{"apps/web.yaml": ofTag, "apps/chart.yaml": pinned}, {"apps/chart.yaml": strings.Replace(pinned, "sha256:1", "sha256:2", 1)}}, digest: digestOfB, version: "1.0.0", oci: "sha256:1",
			files: []string{"apps/chart.yaml"}, also: []string{"OCIRepository/prod/web"}},
		"a chart whose digest is another": {line: line{{"apps/web.yaml": ofTag, "apps/chart.yaml": pinned}, {"apps/chart.yaml": strings.Replace(pinned, "sha256:1", "sha256:2", 1)}}, digest: digestOfB, oci: "sha256:3",
			files: []string{"apps/chart.yaml"}, refused: v1alpha1.DoubtNotComparable, says: "version 1.0.0"},
		"a range of charts": {line: line{{"apps/web.yaml": ofTag, "apps/chart.yaml": ranges}, {"apps/web.yaml": ofTag + "    more: 1\n"}}, digest: digestOfB, files: []string{"apps/web.yaml"}, refused: v1alpha1.DoubtNotComparable},
		"another release takes from the same values": {line: line{{"apps/web.yaml": taken, "apps/api.yaml": strings.Replace(taken, "name: web\n", "name: api\n", 1), "apps/values.yaml": values}, {"apps/values.yaml": strings.Replace(values, "host: b", "hos: b", 1)}},
			digest: digestOfB, files: []string{"apps/values.yaml"}, refused: v1alpha1.DoubtProtected, says: "HelmRelease/prod/api takes from ConfigMap/prod/values"},
		"a chart that brings its own kinds": {line: line{{"apps/web.yaml": good + "  upgrade: {crds: CreateReplace}\n"}, {"apps/web.yaml": strings.Replace(good, "1.0.0", "1.1.0", 1) + "  upgrade: {crds: CreateReplace}\n"}},
			digest: digestOfA, attempted: digestOfA, files: []string{"apps/web.yaml"}, refused: v1alpha1.DoubtProtected, says: "upgrade.crds"},
		"values of a chart that brings its own kinds": {line: line{{"apps/web.yaml": good + "  upgrade: {crds: CreateReplace}\n"}, {"apps/web.yaml": strings.Replace(good, "ratio: 1.50", "ratio: 1.5", 1) + "    label: x\n  upgrade: {crds: CreateReplace}\n"}},
			digest: digestOfA, files: []string{"apps/web.yaml"}},
		"a chart that was attempted":           {line: line{{"apps/web.yaml": good}, {"apps/web.yaml": strings.Replace(good, "1.0.0", "1.1.0", 1)}}, digest: digestOfA, attempted: digestOfA, files: []string{"apps/web.yaml"}},
		"values that Helm does not have":       {line: line{{"apps/web.yaml": good}, {"apps/web.yaml": bad}}, digest: digestOfB, files: []string{"apps/web.yaml"}, refused: v1alpha1.DoubtNotComparable, says: "not those that Helm had"},
		"a chart that is not the one deployed": {line: line{{"apps/web.yaml": good}, {"apps/web.yaml": bad}}, digest: digestOfA, version: "1.0.1", files: []string{"apps/web.yaml"}, refused: v1alpha1.DoubtNotComparable, says: "version 1.0.1"},
		"values that fail and are not those that were attempted": {line: line{{"apps/web.yaml": good}, {"apps/web.yaml": bad}}, digest: digestOfA, attempted: "sha256:x", files: []string{"apps/web.yaml"},
			refused: v1alpha1.DoubtNotComparable, says: "not those that Helm had"},
		"values that are not in Git": {line: line{{"apps/web.yaml": taken}, {"apps/web.yaml": taken + "  values: {a: b}\n"}}, digest: digestOfB, files: []string{"apps/web.yaml"}, refused: v1alpha1.DoubtNotComparable,
			says: "ConfigMap/prod/values is not in Git"},
		"a build that is not Flux's": {line: line{{"apps/web.yaml": good}, {"apps/web.yaml": bad}}, digest: digestOfA, built: "sha256:other", files: []string{"apps/web.yaml"}, refused: v1alpha1.DoubtNotComparable, says: "as Flux built it"},
		"an undo that would prune": {line: line{{"apps/web.yaml": good}, {"apps/web.yaml": bad}}, digest: digestOfA, applied: []reconcile.AppliedObject{{Kind: "Secret", Namespace: "prod", Name: "kept"}}, files: []string{"apps/web.yaml"},
			refused: v1alpha1.DoubtPrunes},
		"a claim in the same file": {line: line{{"apps/web.yaml": good + "---\n" + claim}, {"apps/web.yaml": bad + "---\n" + claim + "  volumeName: x\n"}}, digest: digestOfA, files: []string{"apps/web.yaml"}, refused: v1alpha1.DoubtProtected},
		"somebody changed it since": {line: line{{"apps/web.yaml": good}, {"apps/web.yaml": bad}, {"apps/kustomization.yaml": "resources: [web.yaml]\nlabels: [{pairs: {a: b}}]\n"}}, digest: digestOfA, files: []string{"apps/web.yaml"},
			refused: v1alpha1.DoubtChangedSince},
	} {
		t.Run(name, func(t *testing.T) {
			job := render.Job{Spec: kustomizev1.KustomizationSpec{Path: "./apps"}}
			found, err := render.Blame(t.Context(), c.line, reconcile.Source{}, &render.Search{Job: job, Good: "0", Bad: "1", Object: object,
				Also: []v1alpha1.ObjectRef{{Kind: "ConfigMap", Namespace: "prod", Name: "values"}, {Kind: "OCIRepository", Namespace: "prod", Name: "web"}}, Files: true})
			if err != nil || found.Suspect == nil || found.Suspect.Commit != "1" {
				t.Fatalf("found %+v, %v", found, err)
			}
			var files []string
			for _, n := range found.Files {
				files = append(files, n.File)
			}
			if strings.Join(files, " ") != strings.Join(c.files, " ") {
				t.Errorf("files %q, want %q", files, c.files)
			}
			u := &render.Undo{Job: job, Object: object, Applied: c.applied, Files: files, Release: &reconcile.Released{Digest: c.digest, Chart: c.version, OCI: c.oci, Attempted: c.attempted}}
			if c.version == "" {
				u.Release.Chart = "1.0.0"
			}
			u.Good, _ = c.line.Snapshot(t.Context(), reconcile.Source{}, "0")
			u.Bad, _ = c.line.Snapshot(t.Context(), reconcile.Source{}, "1")
			if u.Digests = []string{c.built}; c.built == "" {
				text, err := render.Text(t.Context(), u.Bad, &job)
				if err != nil {
					t.Fatal(err)
				}
				u.Digests = []string{digestOf(t, text)}
			}
			proof, err := u.Prove(t.Context())
			var also []string
			if err == nil {
				last := "1"
				if len(c.line) == 3 {
					last = "2"
				}
				tip, _ := c.line.Snapshot(t.Context(), reconcile.Source{}, last)
				var refs []v1alpha1.ObjectRef
				refs, err = proof(t.Context(), tip, hashed{tree(c.line.without(last, "1", files))})
				for _, r := range refs {
					also = append(also, named.ReplaceAllString(r.String(), "values-*"))
				}
			}
			switch doubt := reconcile.DoubtOf(err); {
			case c.refused == "" && err != nil:
				t.Fatal(err)
			case c.refused != "" && (doubt == nil || doubt.Type != c.refused || !strings.Contains(doubt.Message, c.says)):
				t.Errorf("got %v, %+v; want %s %q", err, doubt, c.refused, c.says)
			case strings.Join(also, " ") != strings.Join(c.also, " "):
				t.Errorf("%q change too, want %q", also, c.also)
			}
		})
	}
}
