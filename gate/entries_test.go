package gate_test

import (
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/backstop-dev/backstop/gate"
	"github.com/backstop-dev/backstop/gate/sources"
)

func TestGateEntriesAndMarkersAsPeopleWriteThem(t *testing.T) {
	const digest = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	entry := func(text string) string { return "resources: [app.yaml]\nimages:\n" + text }
	for title, c := range map[string]struct {
		files  map[string]string
		config string
		want   []string
		images []string
		says   []string
	}{
		"an entry whose name has a tag": {
			files: map[string]string{
				"kustomization.yaml": entry("- name: reg.example.org/api:v1\n  digest: " + digest + "\n"),
				"app.yaml":           deployment("api", "reg.example.org/api:v1"),
			},
			images: []string{"reg.example.org/api@" + digest + " kustomization.yaml:1"},
		},
		"an entry that changes what another one made": {
			files: map[string]string{
				"kustomization.yaml": entry("- {name: front, newName: reg.example.org/front, newTag: v1}\n- {name: reg.example.org/front, newTag: v2}\n"),
				"app.yaml":           deployment("front", "front"),
			},
			images: []string{"reg.example.org/front:v2 kustomization.yaml:4"},
		},
		"an entry that reaches no container": {
			files: map[string]string{
				"kustomization.yaml": entry("- {name: reg.example.org/runner, newTag: v3}\n"),
				"app.yaml":           "apiVersion: actions.example.dev/v1\nkind: RunnerDeployment\nmetadata: {name: r}\nspec: {template: {spec: {image: \"reg.example.org/runner:v1\"}}}\n",
			},
			images: []string{"reg.example.org/runner:v1 app.yaml:4"},
			want:   []string{"note entry-matches-nothing kustomization.yaml:3"},
			says:   []string{"RunnerDeployment r names that image where kustomize changes none"},
		},
		"an entry that changes two tags of one name": {
			files: map[string]string{
				"kustomization.yaml": entry("- {name: reg.example.org/agent, newTag: agent-2}\n"),
				"app.yaml":           "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: a, image: \"reg.example.org/agent:agent-1\"}\n  - {name: c, image: \"reg.example.org/agent:client-1\"}\n",
			},
			images: []string{"reg.example.org/agent:agent-2 kustomization.yaml:3"},
		},
		"a registry with a port, by another name": {
			files: map[string]string{
				"kustomization.yaml": entry("- {name: 'localhost:5001/shop', newName: 'reg.example.org:443/acme/shop', newTag: v2}\n"),
				"app.yaml":           deployment("shop", "localhost:5001/shop"),
			},
			config: "environments: {prod: {paths: ['**'], registries: ['reg.example.org:443/acme']}}\n",
			images: []string{"reg.example.org:443/acme/shop:v2 kustomization.yaml:3"},
		},
		"a number as the tag of an entry": {
			files: map[string]string{
				"kustomization.yaml": entry("- {name: app, newTag: 553640e6}\n"), "app.yaml": deployment("app", "app:1"),
			},
			want: []string{"error kustomize-build kustomization.yaml:3"}, says: []string{`quote it: "553640e6"`},
		},
		"a map where kustomize wants the image of a container": {
			files: map[string]string{
				"kustomization.yaml": entry("- {name: busybox, newTag: '2'}\n"),
				"app.yaml":           "apiVersion: mariadb.mmontes.io/v1alpha1\nkind: MariaDB\nmetadata: {name: db}\nspec:\n  initContainers:\n  - image: {repository: reg.example.org/init, tag: '1'}\n",
			},
			want: []string{"error kustomize-build kustomization.yaml:1"},
		},
		"a literal over which image automation wrote the tag alone": {
			files: map[string]string{
				"p.yaml":                 scanned,
				"app/kustomization.yaml": "configMapGenerator:\n- name: web\n  literals:\n  - 1.9.1 # {\"$imagepolicy\": \"flux-system:app:tag\"}\n",
			},
			want: []string{"error kustomize-build app/kustomization.yaml:1"},
		},
		"the names of Docker Hub": {
			files: map[string]string{"a.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - {name: a, image: \"nginx:1\"}\n" +
				"  - {name: b, image: \"docker.io/nginx:1\"}\n  - {name: c, image: \"index.docker.io/library/nginx:1\"}\n  - {name: d, image: \"acme/tool:1\"}\n"},
			config: "environments: {prod: {paths: ['**'], registries: [docker.io/library]}}\n",
			want:   []string{"error registry-not-allowed a.yaml:9"},
		},
		"a variable in a marker": {
			files: map[string]string{"p.yaml": scanned, "hr.yaml": "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: app, namespace: apps}\nspec:\n  values:\n" +
				"    image:\n      repository: reg.example.org/app\n      tag: v1 # {\"$imagepolicy\": \"${NAMESPACE}:app:tag\"}\n"},
			want: []string{"error marker-unknown-policy hr.yaml:8"},
		},
		"markers of another image's policy, and where no automation writes": {
			files: map[string]string{
				"p.yaml": scanned, "apps/auto.yaml": automationAt("./apps"),
				"apps/moved.yaml": deployment("a", "old.example.org/x/app:v1 # {\"$imagepolicy\": \"flux-system:app\"}"),
				"apps/other.yaml": deployment("b", "reg.example.org/api:v1 # {\"$imagepolicy\": \"flux-system:app\"}"),
				"apps/k/kustomization.yaml": "images:\n- name: x\n  newName: reg.example.org/worker # {\"$imagepolicy\": \"flux-system:app:name\"}\n" +
					"  newTag: v1 # {\"$imagepolicy\": \"flux-system:app:tag\"}\n",
				"infra/app.yaml": deployment("c", "reg.example.org/app:v1 # {\"$imagepolicy\": \"flux-system:app\"}"),
			},
			want: []string{"note entry-matches-nothing apps/k/kustomization.yaml:2", "note marker-other-image apps/k/kustomization.yaml:3", "note marker-other-image apps/other.yaml:12",
				"note marker-not-written infra/app.yaml:12"},
			says: []string{"selects tags of reg.example.org/app", "writes that over reg.example.org/api:v1", "writes here, but below apps"},
		},
		"automations of which it cannot be told where they write": {
			files: map[string]string{
				"p.yaml": scanned, "apps/auto.yaml": automationAt("./apps"), "infra/auto.yaml": automationAt("${WHERE}"),
				"infra/app.yaml": deployment("c", "reg.example.org/app:v1 # {\"$imagepolicy\": \"flux-system:app\"}"),
			},
		},
		"what a policy of Kyverno adds to pods": {
			files: map[string]string{"p.yaml": "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {name: tz}\nspec:\n  rules:\n" +
				"  - name: tz\n    mutate:\n      patchStrategicMerge:\n        spec:\n          initContainers:\n          - {name: tz, image: 'reg.example.org/tz:1'}\n" +
				"          containers:\n          - {(name): '*', image: 'reg.example.org/{{ element.image }}'}\n          - {(image): '*:latest', imagePullPolicy: Always}\n" +
				"  - name: no\n    validate: {pattern: {spec: {containers: [{image: 'reg.example.org/*'}]}}}\n" +
				"  - name: made\n    generate:\n      apiVersion: apps/v1\n      kind: Deployment\n      name: d\n      data:\n        metadata: {labels: {a: b}}\n" +
				"        spec: {template: {spec: {containers: [{name: c, image: 'reg.example.org/job:2'}, {name: d, image: '{{d}}'}]}}}\n"},
			images: []string{"reg.example.org/tz:1 p.yaml:11", "reg.example.org/job:2 p.yaml:24"},
		},
		"what a MutatingAdmissionPolicy adds to pods in CEL": {
			files: map[string]string{"p.yaml": "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingAdmissionPolicy\nmetadata: {name: mesh}\nspec:\n" +
				"  matchConditions: [{name: c, expression: \"object.spec.containers.exists(c, c.image == 'reg.example.org/old:1')\"}]\n  mutations:\n" +
				"  - patchType: ApplyConfiguration\n    applyConfiguration:\n      expression: |\n        Object{spec: Object.spec{initContainers: [\n" +
				"          Object.spec.initContainers{name: \"mesh\", image: \"reg.example.org/mesh:1\"}]}}\n" +
				"  - patchType: JSONPatch\n    jsonPatch:\n      expression: \"[JSONPatch{value: Object.spec.containers{image: 'reg.example.org/dns:2'}}, JSONPatch{value: {'image': object.spec.containers[0].image}}]\"\n"},
			images: []string{"reg.example.org/mesh:1 p.yaml:11", "reg.example.org/dns:2 p.yaml:14"},
		},
		"a component that nothing includes": {
			files:  map[string]string{"c/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages: [{name: app, newTag: v1}]\n"},
			images: []string{},
		},
		"a List in a JSON file": {
			files: map[string]string{
				"kustomization.yaml": "resources: [all.json]\n",
				"all.json":           "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"a\"},\n\"spec\": {\"containers\": [{\"name\": \"c\", \"image\": \"reg.example.org/a:v2\"}]}}]}\n",
			},
			images: []string{"reg.example.org/a:v2 all.json:2"},
		},
		"a pointer of Git LFS in the place of a file": {
			files: map[string]string{
				"kustomization.yaml": "resources: [app.yaml]\n",
				"app.yaml":           "version https://git-lfs.github.com/spec/v1\noid sha256:4665a5ea423c2713d436b5ee50593a9640e0018c1550b5a0002f74190d6caea8\nsize 12\n",
			},
			want: []string{"error kustomize-build kustomization.yaml:1"},
		},
	} {
		t.Run(title, func(t *testing.T) {
			o := gate.Options{Head: tree(c.files)}
			if c.config != "" {
				o.Config = config(t, c.config)
			}
			got := check(t, o)
			wantFindings(t, got, c.want...)
			wantWords(t, got, c.says...)
			if c.images != nil && !slices.Equal(images(got), c.images) {
				t.Errorf("images are %q, want %q", images(got), c.images)
			}
		})
	}
}

func TestGateALinkToAMarkedFileIsNamed(t *testing.T) {
	files := fstest.MapFS{
		"shared/values.yaml": {Data: []byte("image: reg.example.org/app:v2 # {\"$imagepolicy\": \"flux-system:app\"}\n"), Mode: 0o644},
		"p.yaml":             {Data: []byte(scanned), Mode: 0o644},
		"app/values.yaml":    {Data: []byte("../shared/values.yaml"), Mode: 0o777 | fs.ModeSymlink},
	}
	got := check(t, gate.Options{Head: sources.Tree{FS: files}})
	wantFindings(t, got, "note link-not-followed app/values.yaml:1")
}

// automationAt is an ImageUpdateAutomation that writes below a folder.
func automationAt(path string) string {
	return "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageUpdateAutomation\nmetadata: {name: auto, namespace: flux-system}\n" +
		"spec:\n  interval: 5m\n  sourceRef: {kind: GitRepository, name: flux-system}\n  update: {path: '" + path + "'}\n"
}
