package manifest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// brief writes a node on one line.
func brief(n Node) string {
	s := fmt.Sprintf("%s %s=%q", n.Pointer, n.Part, n.Value)
	if n.Container != "" {
		s += " container=" + n.Container
	}
	if n.Policy != "" {
		s += " policy=" + n.Policy
	}
	if n.Held != nil {
		s += " held=" + n.Held.Not
	}
	if n.Anchor != "" {
		s += " anchored"
	}
	return s
}

// shapes are the places in which images stand, and the nodes and references that they make.
var shapes = []struct {
	name, yaml string
	nodes      []string
	references []string
}{
	{
		name: "containers of every sort in a Deployment",
		yaml: `apiVersion: apps/v1
kind: Deployment
metadata: {name: backend, namespace: develop}
spec:
  template:
    spec:
      initContainers:
      - {name: migrate, image: ghcr.io/acme/migrate:v1}
      containers:
      - name: backend
        image: ghcr.io/acme/backend:v1 # {"$imagepolicy": "develop:backend"}
      - name: empty
        image:
      ephemeralContainers:
      - {image: busybox, name: debug}
      volumes:
      - name: model
        image: {reference: ghcr.io/acme/model:v3, pullPolicy: Always}
`,
		nodes: []string{
			`Deployment/develop/backend#/spec/template/spec/initContainers[name=migrate]/image Image="ghcr.io/acme/migrate:v1" container=migrate`,
			`Deployment/develop/backend#/spec/template/spec/containers[name=backend]/image Image="ghcr.io/acme/backend:v1" container=backend policy=develop:backend`,
			`Deployment/develop/backend#/spec/template/spec/containers[name=empty]/image Image="" container=empty`,
			`Deployment/develop/backend#/spec/template/spec/ephemeralContainers[name=debug]/image Image="busybox" container=debug`,
			`Deployment/develop/backend#/spec/template/spec/volumes[name=model]/image/reference Image="ghcr.io/acme/model:v3"`,
		},
		references: []string{"ghcr.io/acme/migrate:v1", "ghcr.io/acme/backend:v1", "busybox", "ghcr.io/acme/model:v3"},
	},
	{
		name: "pod templates of other kinds, in a List",
		yaml: `apiVersion: v1
kind: List
items:
- apiVersion: batch/v1
  kind: CronJob
  metadata: {name: nightly}
  spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: job, image: "acme/job:v1"}]}}}}}
- apiVersion: argoproj.io/v1alpha1
  kind: Rollout
  metadata: {name: web}
  spec: {template: {spec: {containers: [{name: web, image: "acme/web:v1"}]}}}
- apiVersion: serving.knative.dev/v1
  kind: Service
  metadata: {name: fn}
  spec: {template: {spec: {containers: [{image: "acme/fn:v1"}]}}}
`,
		nodes: []string{
			`CronJob/nightly#/spec/jobTemplate/spec/template/spec/containers[name=job]/image Image="acme/job:v1" container=job`,
			`Rollout/web#/spec/template/spec/containers[name=web]/image Image="acme/web:v1" container=web`,
			`Service/fn#/spec/template/spec/containers[0]/image Image="acme/fn:v1"`,
		},
		references: []string{"acme/job:v1", "acme/web:v1", "acme/fn:v1"},
	},
	{
		name: "kustomize images entries",
		yaml: `resources: [../base]
images:
- name: backend
  newName: ghcr.io/acme/backend # {"$imagepolicy": "develop:backend:name"}
  newTag: v1 # {"$imagepolicy": "develop:backend:tag"}
- {name: frontend, newTag: "v2"}
- {name: pinned, digest: sha256:abc}
- {name: both, newTag: v3, digest: sha256:def}
- {name: renamed, newName: acme/renamed}
- {name: untouched}
---
apiVersion: builtin
kind: ImageTagTransformer
metadata: {name: t}
imageTag: {name: old, newTag: v4}
`,
		nodes: []string{
			`#/images[name=backend]/newName Name="ghcr.io/acme/backend" container=backend policy=develop:backend`,
			`#/images[name=backend]/newTag Tag="v1" container=backend policy=develop:backend`,
			`#/images[name=frontend]/newTag Tag="v2" container=frontend`,
			`#/images[name=pinned]/digest Digest="sha256:abc" container=pinned`,
			`#/images[name=both]/newTag Tag="v3" container=both`,
			`#/images[name=both]/digest Digest="sha256:def" container=both`,
			`#/images[name=renamed]/newName Name="acme/renamed" container=renamed`,
			`ImageTagTransformer/t#/imageTag/newTag Tag="v4" container=old`,
		},
		references: []string{"ghcr.io/acme/backend:v1", "frontend:v2", "pinned@sha256:abc", "both:v3@sha256:def", "?acme/renamed", "old:v4"},
	},
	{
		name: "images and patches of a Flux Kustomization",
		yaml: `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: apps, namespace: flux-system}
spec:
  images: [{name: backend, newTag: v1}]
  postBuild:
    substitute:
      TAG: v4 # {"$imagepolicy": "develop:backend:tag"}
      PLAIN: v4
  patches:
  - target: {kind: Deployment, name: backend}
    patch: |
      - op: replace
        path: /spec/template/spec/containers/0/image
        value: acme/backend:v2
  - patch: |-
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: web}
      spec:
        template:
          spec:
            containers:
            - name: web
              image: acme/web:v3
`,
		nodes: []string{
			`Kustomization/flux-system/apps#/spec/images[name=backend]/newTag Tag="v1" container=backend`,
			`Kustomization/flux-system/apps#/spec/postBuild/substitute/TAG Tag="v4" policy=develop:backend`,
			`Kustomization/flux-system/apps#/spec/patches[target=Deployment/backend]/patch!#[path=~1spec~1template~1spec~1containers~10~1image]/value Image="acme/backend:v2"`,
			`Kustomization/flux-system/apps#/spec/patches[1]/patch!Deployment/web#/spec/template/spec/containers[name=web]/image Image="acme/web:v3" container=web`,
		},
		references: []string{"backend:v1", "?:v4", "acme/backend:v2", "acme/web:v3"},
	},
	{
		name: "values of a HelmRelease",
		yaml: `apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: backend}
spec:
  chart: {spec: {chart: app, version: 1.0.0}}
  values:
    image: {repository: ghcr.io/acme/backend, tag: v1}
    split: {image: {registry: ghcr.io, repository: acme/split, tag: v2, digest: ""}}
    pinned: {image: {repository: acme/pinned, tag: v3, digest: sha256:abc}}
    lone: {image: {tag: v4}}
    named: {image: {name: acme/named, tag: v5}}
    flat: {image: acme/flat, imageTag: v6}
    beside: {image: acme/beside, tag: v7}
    whole: {image: acme/whole:v8, other: image}
    proxyRepository: acme/proxy
    proxyTag: v9
    jobsRepository: acme/jobs
    jobsTag: v12
    config: {repository: not-an-image, picture: {image: /static/a.png, heroImage: a.png}}
    extraContainers: [{name: side, image: {repository: acme/side, tag: v10}}]
  postRenderers:
  - kustomize:
      images: [{name: acme/x, newTag: v11}]
`,
		nodes: []string{
			`HelmRelease/backend#/spec/values/image/repository Repository="ghcr.io/acme/backend"`,
			`HelmRelease/backend#/spec/values/image/tag Tag="v1"`,
			`HelmRelease/backend#/spec/values/split/image/registry Registry="ghcr.io"`,
			`HelmRelease/backend#/spec/values/split/image/repository Repository="acme/split"`,
			`HelmRelease/backend#/spec/values/split/image/tag Tag="v2"`,
			`HelmRelease/backend#/spec/values/split/image/digest Digest=""`,
			`HelmRelease/backend#/spec/values/pinned/image/repository Repository="acme/pinned"`,
			`HelmRelease/backend#/spec/values/pinned/image/tag Tag="v3"`,
			`HelmRelease/backend#/spec/values/pinned/image/digest Digest="sha256:abc"`,
			`HelmRelease/backend#/spec/values/lone/image/tag Tag="v4"`,
			`HelmRelease/backend#/spec/values/named/image/name Name="acme/named"`,
			`HelmRelease/backend#/spec/values/named/image/tag Tag="v5"`,
			`HelmRelease/backend#/spec/values/flat/image Repository="acme/flat"`,
			`HelmRelease/backend#/spec/values/flat/imageTag Tag="v6"`,
			`HelmRelease/backend#/spec/values/beside/image Repository="acme/beside"`,
			`HelmRelease/backend#/spec/values/beside/tag Tag="v7"`,
			`HelmRelease/backend#/spec/values/whole/image Image="acme/whole:v8"`,
			`HelmRelease/backend#/spec/values/proxyRepository Repository="acme/proxy"`,
			`HelmRelease/backend#/spec/values/proxyTag Tag="v9"`,
			`HelmRelease/backend#/spec/values/jobsRepository Repository="acme/jobs"`,
			`HelmRelease/backend#/spec/values/jobsTag Tag="v12"`,
			`HelmRelease/backend#/spec/values/extraContainers[name=side]/image/repository Repository="acme/side"`,
			`HelmRelease/backend#/spec/values/extraContainers[name=side]/image/tag Tag="v10"`,
			`HelmRelease/backend#/spec/postRenderers[0]/kustomize/images[name=acme~1x]/newTag Tag="v11" container=acme/x`,
		},
		references: []string{
			"ghcr.io/acme/backend:v1", "ghcr.io/acme/split:v2", "acme/pinned:v3@sha256:abc", "?:v4", "acme/named:v5", "acme/flat:v6",
			"acme/beside:v7", "acme/whole:v8", "acme/proxy:v9", "acme/jobs:v12", "acme/side:v10", "acme/x:v11",
		},
	},
	{
		name: "values in a file and in a ConfigMap",
		yaml: `backend:
  image:
    repository: acme/backend
    tag: 16
---
apiVersion: v1
kind: ConfigMap
metadata: {name: values}
data:
  values.yaml: |
    image:
      repository: acme/web
      tag: "1.10"
  name: acme/api # {"$imagepolicy": "develop:api:name"}
  tag: v1 # {"$imagepolicy": "develop:api:tag"}
  text: "image: acme/no:v1"
`,
		nodes: []string{
			`#/backend/image/repository Repository="acme/backend"`,
			`#/backend/image/tag Tag="16"`,
			`ConfigMap/values#/data/values.yaml!#/image/repository Repository="acme/web"`,
			`ConfigMap/values#/data/values.yaml!#/image/tag Tag="1.10"`,
			`ConfigMap/values#/data/name Name="acme/api" policy=develop:api`,
			`ConfigMap/values#/data/tag Tag="v1" policy=develop:api`,
		},
		references: []string{"acme/backend:16", "acme/web:1.10", "acme/api:v1"},
	},
	{
		name: "patches in files",
		yaml: `- op: add
  path: /spec/template/spec/containers/-
  value: {name: side, image: acme/side}
- {op: replace, path: /spec/values/image/tag, value: v1}
- {op: test, path: /spec/template/spec/containers/0/image, value: acme/no}
- {op: add, path: /spec/template/spec/initContainers, value: [{name: init, image: acme/init}]}
`,
		nodes: []string{
			`#[path=~1spec~1template~1spec~1containers~1-]/value/image Image="acme/side" container=side`,
			`#[path=~1spec~1values~1image~1tag]/value Tag="v1"`,
			`#[path=~1spec~1template~1spec~1initContainers]/value[name=init]/image Image="acme/init" container=init`,
		},
		references: []string{"acme/side", "?:v1", "acme/init"},
	},
	{
		name: "what names images that nothing runs",
		yaml: `apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: backend}
spec: {image: ghcr.io/acme/backend}
---
apiVersion: backstop.dev/v1alpha1
kind: Rollback
metadata: {name: x}
spec: {image: "ghcr.io/acme/backend:v1"}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: x}
spec: {properties: {image: {type: string, default: x}, containers: {items: {properties: {image: {type: string}}}}}}
`,
	},
	{
		name: "custom resources with images of their own",
		yaml: `apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: db}
spec: {imageName: "ghcr.io/cnpg/postgresql:16.1", image: untagged}
---
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: p}
spec: {image: "quay.io/prometheus/prometheus:v2", thanosImage: "quay.io/thanos/thanos:v1"}
`,
		nodes: []string{
			`Cluster/db#/spec/imageName Image="ghcr.io/cnpg/postgresql:16.1"`,
			`Prometheus/p#/spec/image Image="quay.io/prometheus/prometheus:v2"`,
			`Prometheus/p#/spec/thanosImage Image="quay.io/thanos/thanos:v1"`,
		},
		references: []string{"ghcr.io/cnpg/postgresql:16.1", "quay.io/prometheus/prometheus:v2", "quay.io/thanos/thanos:v1"},
	},
	{
		name: "anchors, aliases and merge keys",
		yaml: `x-image: &image {repository: acme/backend, tag: v1}
x-tag: &tag v2
web:
  image: *image
worker:
  image: {<<: *image, tag: *tag}
`,
		nodes: []string{
			`#/x-image/repository Repository="acme/backend" anchored`,
			`#/x-image/tag Tag="v1" anchored`,
			`#/web/image/repository Repository="acme/backend" anchored`,
			`#/web/image/tag Tag="v1" anchored`,
			`#/worker/image/tag Tag="v2" anchored`,
			`#/worker/image/repository Repository="acme/backend" anchored`,
		},
		references: []string{"acme/backend:v1", "acme/backend:v1", "acme/backend:v2"},
	},
	{
		name: "documents, items and keys that are hard to tell apart",
		yaml: `apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {containers: [{name: x, image: "i:1"}, {name: x, image: "i:2"}, {image: "i:3"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {"a/b#c[d]=e;f!g~h": {image: "i:4"}}
`,
		nodes: []string{
			`Pod/a#/spec/containers[name=x]/image Image="i:1" container=x`,
			`Pod/a#/spec/containers[name=x;2]/image Image="i:2" container=x`,
			`Pod/a#/spec/containers[2]/image Image="i:3"`,
			`Pod/a;2#/spec/a~1b~2c~3d~4~5e~6f~7g~0h/image Image="i:4"`,
		},
		references: []string{"i:1", "i:2", "i:3", "i:4"},
	},
}

func TestEveryShapeOfImageIsFound(t *testing.T) {
	for _, tc := range shapes {
		t.Run(tc.name, func(t *testing.T) {
			nodes, err := Nodes("f.yaml", []byte(tc.yaml))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range nodes {
				got = append(got, brief(n))
			}
			if diff := cmp.Diff(tc.nodes, got); diff != "" {
				t.Errorf("nodes (-want +got):\n%s", diff)
			}
			var references []string
			for _, g := range grouped(nodes) {
				reference, ok := Reference(g.nodes, "")
				if !ok {
					reference = "?" + reference
				}
				if reference != "?" {
					references = append(references, reference)
				}
			}
			if diff := cmp.Diff(tc.references, references); diff != "" {
				t.Errorf("references (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLinesCountFromTheTopOfTheFile(t *testing.T) {
	for _, tc := range shapes {
		nodes, err := Nodes("f.yaml", []byte(tc.yaml))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(tc.yaml, "\n")
		for _, n := range nodes {
			if line := lines[n.Line-1]; !strings.Contains(line, n.Value) {
				t.Errorf("%s: line %d is %q, without %q", n.Pointer, n.Line, line, n.Value)
			}
		}
	}
}
