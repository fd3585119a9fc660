package gate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/gate"
)

const scanned = "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {name: app, namespace: flux-system}\nspec: {image: reg.example.org/app}\n---\n" +
	"apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {name: app, namespace: flux-system}\nspec: {imageRepositoryRef: {name: app}, policy: {semver: {range: '>=0.0.0'}}}\n"

// unset is an app with a variable that is nowhere, beside the file in which a repository installs Flux.
func unset(flux string) map[string]string {
	return map[string]string{
		"flux.yaml":  flux,
		"ks.yaml":    kustomization("app", "./app", "postBuild: {substitute: {TAG: v2}}"),
		"app/a.yaml": deployment("a", "app:${TAG}") + "        args: ['--active=${ACTIVE}', 'such as ${var:position} and ${var/a/b}']\n",
	}
}

// kustomization is a Kustomization of this repository by a name.
func kustomization(name, path, more string) string {
	return strings.Replace(flux(path, more), "name: apps", "name: "+name, 1)
}

// gitRepository is a source of Flux.
func gitRepository(name, more string) string {
	return "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: " + name + ", namespace: flux-system}\n" +
		"spec:\n  url: https://git.example.org/acme/fleet\n  " + more + "\n"
}

func TestGateRepositoriesAsTheyAre(t *testing.T) {
	for title, c := range map[string]struct {
		files  map[string]string
		config string
		// want are the findings, images what runs, says words of the findings; nil is not looked at.
		want, images, says []string
	}{
		"a parent's variables are in the path of a child": {
			files: map[string]string{
				"clusters/demo/flux.yaml":          kustomization("flux-system", "./clusters/demo", "postBuild: {substitute: {ENVIRONMENT: demo, CLUSTER: '00'}}"),
				"clusters/demo/kustomization.yaml": "resources: [flux.yaml, ../../apps/ks.yaml]\n",
				"apps/ks.yaml":                     kustomization("shop", "./apps/${ENVIRONMENT}/${CLUSTER}", "prune: true"),
				"apps/demo/00/app.yaml":            deployment("shop", "reg.example.org/shop:latest"),
			},
			config: "environments: {demo: {paths: [clusters/demo], immutable: true}}\n",
			want:   []string{"error tag-mutable apps/demo/00/app.yaml:12"}, images: []string{"reg.example.org/shop:latest apps/demo/00/app.yaml:12"},
		},
		"a parent's variables are in the images of a child, for each of two": {
			files: map[string]string{
				"a/flux.yaml": kustomization("a", "./a", "postBuild: {substitute: {TAG: v1}}"), "a/ks.yaml": kustomization("a-app", "./app", "images: [{name: app, newTag: '${TAG}'}]"),
				"b/flux.yaml": kustomization("b", "./b", "postBuild: {substitute: {TAG: v2}}"), "b/ks.yaml": kustomization("b-app", "./app", "images: [{name: app, newTag: '${TAG}'}]"),
				"app/app.yaml": deployment("app", "app"),
			},
			want: nil, images: []string{"app:v1 a/ks.yaml:7", "app:v2 b/ks.yaml:7"},
		},
		"a path that leads out of the repository, which Flux takes from its root": {
			files: map[string]string{
				"clusters/a/ks.yaml": kustomization("app", "../apps/app", "prune: true"), "apps/app/a.yaml": deployment("a", "app:v1"),
			},
			images: []string{"app:v1 apps/app/a.yaml:12"},
		},
		"a variable in the path that only the cluster knows, and a folder by the words of what renders it": {
			files: map[string]string{
				"clusters/prod/01/flux.yaml":  kustomization("flux-system", "./clusters/prod/01", "prune: true"),
				"clusters/stage/01/flux.yaml": kustomization("flux-system", "./clusters/stage/01", "prune: true"),
				"clusters/prod/01/ks.yaml":    kustomization("shop", "./shop/${ENVIRONMENT}/${ID}", "postBuild: {substitute: {TAG: v1}}"),
				"clusters/stage/01/ks.yaml":   kustomization("shop", "./shop/${ENVIRONMENT}/${ID}", "postBuild: {substitute: {TAG: v2}}"),
				"shop/prod/01/app.yaml":       deployment("shop", "shop:${TAG}"),
				"shop/stage/01/app.yaml":      deployment("shop", "shop:${TAG}"),
			},
			config: "environments: {prod: {paths: [clusters/prod], tags: ^v2$}}\n",
			want:   []string{"error tag-not-allowed shop/prod/01/app.yaml:12"},
			images: []string{"shop:v1 shop/prod/01/app.yaml:12", "shop:v2 shop/stage/01/app.yaml:12"},
		},
		"a path that is missing in the source of what renders it": {
			files: map[string]string{
				"clusters/a/flux.yaml":          kustomization("flux-system", "./clusters/a", "prune: true") + "---\n" + gitRepository("flux-system", ""),
				"clusters/a/kustomization.yaml": "resources: [flux.yaml, ../../apps/ks.yaml, ../../apps/shop.yaml]\n",
				"apps/ks.yaml":                  "# Lines before it.\n#\n" + kustomization("away", "./apps/away", "prune: true"),
				"apps/shop.yaml":                kustomization("shop", "./shop/${WHERE}", "prune: true"),
			},
			want: []string{"error kustomize-build apps/ks.yaml:8", "note not-built apps/shop.yaml:6"},
			says: []string{`this repository has no folder "./apps/away"`, `a variable in its path "./shop/${WHERE}" is known to the cluster only`},
		},
		"a path that is missing where the source includes another repository": {
			files: map[string]string{
				"clusters/a/flux.yaml": kustomization("flux-system", "./clusters/a", "prune: true") + "---\n" +
					gitRepository("flux-system", "include: [{repository: {name: other}}]"),
				"clusters/a/ks.yaml": kustomization("away", "./apps/away", "prune: true"),
			},
			want: []string{"note not-built clusters/a/ks.yaml:6"},
		},
		"a digest in values before which the chart writes its algorithm": {
			files: map[string]string{
				"r.yaml": "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: app, namespace: shop}\nspec:\n  values:\n" +
					"    image:\n      repository: acme/app\n      digest: " + strings.Repeat("a", 64) + "\n",
			},
			images: []string{"acme/app@sha256:" + strings.Repeat("a", 64) + " r.yaml:8"},
		},
		"a child of a variable that nobody knows": {
			files: map[string]string{"ks.yaml": kustomization("shop", "./apps/${WHERE}", "prune: true")},
			want:  []string{"note not-built ks.yaml:6"},
		},
		"a variable in an object that says that nothing is replaced in it": {
			files: map[string]string{
				"ks.yaml":    kustomization("app", "./app", "postBuild: {substitute: {TAG: v2}}"),
				"app/a.yaml": strings.Replace(deployment("a", "app:${TAG}"), "name: a", "name: a\n  annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled}", 1),
				"app/b.yaml": deployment("b", "app:${TAG}"),
			},
			want: []string{"error image-invalid app/a.yaml:13"}, images: []string{"app:v2 app/b.yaml:12"},
			says: []string{"Flux replaces nothing in it: Deployment a is marked"},
		},
		"a variable where Flux replaces none, as the parent renders it": {
			files: map[string]string{
				"clusters/a/flux.yaml": kustomization("a", "./clusters/a", "prune: true"), "clusters/a/ks.yaml": kustomization("app", "./app", "prune: true"),
				"app/a.yaml": deployment("a", "app:${TAG}"), "app/task.yaml": "apiVersion: tekton.dev/v1\nkind: Task\nmetadata: {name: t}\nspec: {steps: [{name: s, image: $(params.image)}]}\n",
			},
			want: []string{"error image-invalid app/a.yaml:12"}, says: []string{"Kustomization app has no variables in spec.postBuild"},
		},
		"a variable where Flux replaces none, and who patches the Kustomization is not known": {
			files: map[string]string{"ks.yaml": kustomization("app", "./app", "prune: true"), "app/a.yaml": deployment("a", "app:${TAG}")},
			want:  []string{"note variable-unknown app/a.yaml:12"}, says: []string{"nothing here replaces the variable"},
		},
		"variables that cannot be replaced": {
			files: map[string]string{
				"ks.yaml":    kustomization("app", "./app", "postBuild: {substitute: {A: b}}"),
				"app/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '${A'}\n",
			},
			want: []string{"error kustomize-build ks.yaml:1"}, says: []string{"ConfigMap a: "},
		},
		"what a .sourceignore leaves out, which Flux never sees": {
			files: map[string]string{
				".sourceignore": "/apps/drafts/\n*.values.yaml\n", "ks.yaml": kustomization("app", "./apps", "prune: true"),
				"apps/a.yaml": deployment("a", "app:v1"), "apps/drafts/b.yaml": "image: [\n", "apps/a.values.yaml": "tag: v1\n",
				"apps/sub/.sourceignore": "c.yaml\n", "apps/sub/c.yaml": deployment("c", "X:y"), "c.yaml": deployment("c", "app:v2"),
			},
			images: []string{"app:v1 apps/a.yaml:12", "app:v2 c.yaml:12"},
		},
		"what a .sourceignore takes back in below a folder that it leaves out": {
			files: map[string]string{
				".sourceignore": "/*\n!/deploy/live\n", "deploy/live/a.yaml": deployment("a", "app:v1"), "deploy/old/b.yaml": "image: [\n", "c.yaml": "image: [\n",
			},
			images: []string{"app:v1 deploy/live/a.yaml:12"},
		},
		"a variable by a name that Flux refuses": {
			files: map[string]string{
				"ks.yaml":    kustomization("app", "./app", "postBuild: {substitute: {APP-TAG: v2}}"),
				"app/a.yaml": deployment("a", "app:v1"),
			},
			want: []string{"error kustomize-build ks.yaml:1"},
		},
		"the registry of all images of a chart": {
			files: map[string]string{"a.yaml": `apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: a, namespace: x}
spec:
  chart: {spec: {chart: a, sourceRef: {kind: HelmRepository, name: r}}}
  values:
    global: {imageRegistry: reg.example.org}
    image: {repository: acme/app, tag: v1}
    own: {image: {registry: docker.io, repository: acme/own, tag: v2}}
    whole: {image: {repository: ghcr.io/acme/whole, tag: v3}}
    text: |
      - name: side
        image: ghcr.io/acme/side:v4
    other: {image: {url: ghcr.io/acme/other, tag: v5}}
    more: {imageName: ghcr.io/acme/more, imageTag: v6}
    path: {image: {registry: ghcr.io, path: acme/path, digest: ""}, tag: v7}
`},
			images: []string{
				"reg.example.org/acme/app:v1 a.yaml:8", "reg.example.org/acme/own:v2 a.yaml:9", "ghcr.io/acme/whole:v3 a.yaml:10",
				"ghcr.io/acme/side:v4 a.yaml:13", "ghcr.io/acme/other:v5 a.yaml:14", "ghcr.io/acme/more:v6 a.yaml:15",
			},
		},
		"a hub and a tag of all images of a chart": {
			files: map[string]string{"a.yaml": `apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: istiod, namespace: x}
spec:
  chart: {spec: {chart: istiod, sourceRef: {kind: HelmRepository, name: r}}}
  values:
    global:
      hub: docker.io/istio
      tag: 1.24.0
      variant: distroless
      proxy: {image: ""}
    pilot: {hub: "", tag: 1.24.1}
    cni:
      hub: ghcr.io/acme
      tag: 1.24.2
      image: install-cni
    other: {image: "ghcr.io/acme/other"}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: cni, namespace: x}
spec:
  values:
    hub: ghcr.io/acme
    tag: 1.24.3
    image: install-cni
`},
			images: []string{
				"docker.io/istio/proxyv2:1.24.0-distroless a.yaml:9", "docker.io/istio/pilot:1.24.1-distroless a.yaml:12",
				"ghcr.io/acme/install-cni:1.24.2-distroless a.yaml:15", "ghcr.io/acme/other a.yaml:17", "ghcr.io/acme/install-cni:1.24.3 a.yaml:25",
			},
		},
		"a tag that valuesFrom puts to its place": {
			files: map[string]string{
				"ks.yaml": kustomization("a", "./app", "prune: true"),
				"app/a.yaml": "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: a}\nspec:\n" +
					"  chart: {spec: {chart: a, sourceRef: {kind: HelmRepository, name: r}}}\n" +
					"  valuesFrom:\n  - {kind: ConfigMap, name: versions, valuesKey: tag, targetPath: image.tag}\n" +
					"  - {kind: ConfigMap, name: versions, valuesKey: none, targetPath: side.image.tag}\n" +
					"  - {kind: Secret, name: versions, valuesKey: tag, targetPath: side.image.tag}\n" +
					"  values:\n    image: {repository: reg.example.org/a}\n    side: {image: {repository: reg.example.org/side}}\n",
				"app/versions.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: versions}\ndata: {tag: v1}\n",
			},
			images: []string{"reg.example.org/a:v1 app/a.yaml:11"}, want: []string{"note key-missing app/a.yaml:8"},
		},
		"a whole image by other words": {
			files: map[string]string{"a.yaml": "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: a}\nspec:\n" +
				"  values:\n    image: {fullName: 'reg.example.org/a:v1'}\n    side: {image: {ref: 'reg.example.org/b:v2'}}\n    git: {image: {ref: main}}\n"},
			images: []string{"reg.example.org/a:v1 a.yaml:6", "reg.example.org/b:v2 a.yaml:7"},
		},
		"defaults that are taken without any variable": {
			files: map[string]string{
				"ks.yaml":    kustomization("app", "./app", "postBuild: {substituteStrategy: Always}"),
				"app/a.yaml": deployment("a", "app:${TAG:=v2}"),
			},
			images: []string{"app:v2 app/a.yaml:12"},
		},
		"variables that are none, so that nothing is replaced": {
			files: map[string]string{
				"ks.yaml":    kustomization("app", "./app", "postBuild: {substitute: {}}"),
				"app/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '${DASHBOARD} ${A'}\n",
			},
		},
		"the line break at the end of a variable's value": {
			files: map[string]string{
				"ks.yaml":    kustomization("app", "./app", "postBuild: {substitute: {TAG: \"v2\\n\"}}"),
				"app/a.yaml": deployment("a", "app:${TAG}"),
			},
			images: []string{"app:v2 app/a.yaml:12"},
		},
		"a variable without a value, before Flux 2.9": {
			files: unset(deployment("kustomize-controller", "ghcr.io/fluxcd/kustomize-controller:v1.8.5")), want: []string{},
			images: []string{"app:v2 app/a.yaml:12", "ghcr.io/fluxcd/kustomize-controller:v1.8.5 flux.yaml:12"},
		},
		"a variable without a value, by the operator of an earlier Flux": {
			files:  unset("apiVersion: fluxcd.controlplane.io/v1\nkind: FluxInstance\nmetadata: {name: flux}\nspec:\n  distribution:\n    version: \"2.8.x\"\n"),
			images: []string{"app:v2 app/a.yaml:12"}, want: []string{},
		},
		"a variable without a value, since Flux 2.9": {
			files: unset(deployment("kustomize-controller", "ghcr.io/fluxcd/kustomize-controller:v1.10.0")),
			want:  []string{"error kustomize-build ks.yaml:1"}, says: []string{"Flux before 2.9 takes it as empty"},
		},
		"a variable without a value, where nothing tells the Flux": {
			files: unset("a: b\n"), want: []string{"error kustomize-build ks.yaml:1"}, images: []string{"app:v2 app/a.yaml:12"},
		},
		"functions of variables that only the cluster knows": {
			files: map[string]string{
				"ks.yaml":    kustomization("app", "./app", "postBuild: {substitute: {TAG: v2}, substituteFrom: [{kind: Secret, name: s}]}"),
				"app/a.yaml": deployment("a", "app:${TAG}") + "        args: ['${A/./-}', '${B^^}', '${C:1:2}', '${#D}', '${E:=${F%%x}}', '$${G/x/y}', '${TAG/v/}']\n",
				"app/b.yaml": deployment("b", "app:${B/v/}"),
			},
			images: []string{"app:v2 app/a.yaml:12"}, want: []string{"note variable-unknown app/b.yaml:12"},
		},
		"a child of a Kustomization that is not built, which may give it variables": {
			files: map[string]string{
				"ks.yaml":                   kustomization("apps", "./apps", "patches: [{patch: '{}', target: {kind: Kustomization}}]"),
				"apps/x/kustomization.yaml": "resources: ['https://example.org/x.yaml']\n",
				"apps/a/kustomization.yaml": "resources: [ks.yaml]\n",
				"apps/a/ks.yaml":            kustomization("a", "./a", "postBuild: {substitute: {TAG: v2}}"),
				"a/a.yaml":                  deployment("a", "app:${TAG}") + "        args: ['${DOMAIN}']\n", "a/b.yaml": deployment("b", "${DOMAIN}/b:v1"),
			},
			images: []string{"app:v2 a/a.yaml:12"}, want: []string{"unknown remote-base apps/x/kustomization.yaml:1", "note variable-unknown a/b.yaml:12"},
		},
		"an image of a variable without a value": {
			files: map[string]string{
				"ks.yaml":    kustomization("app", "./app", "postBuild: {substitute: {A: b}}"),
				"app/a.yaml": deployment("a", "app:${TAG}"),
			},
			want: []string{"error kustomize-build ks.yaml:1"},
		},
		"a variable without a value, where a gate lets it": {
			files: unset(deployment("kustomize-controller", "ghcr.io/fluxcd/kustomize-controller:v1.9.4") +
				"        args: [--feature-gates=StrictPostBuildSubstitutions=false]\n"),
			images: []string{"app:v2 app/a.yaml:12", "ghcr.io/fluxcd/kustomize-controller:v1.9.4 flux.yaml:12"}, want: []string{},
		},
		"a variable without a value, where a gate refuses it": {
			files: unset(deployment("kustomize-controller", "ghcr.io/fluxcd/kustomize-controller:v1.8.5") +
				"        args: [--feature-gates=StrictPostBuildSubstitutions=true]\n"),
			want: []string{"error kustomize-build ks.yaml:1"},
		},
		"an object in which nothing is replaced": {
			files: map[string]string{
				"ks.yaml":    kustomization("app", "./app", "postBuild: {substitute: {TAG: v2}}"),
				"app/a.yaml": strings.Replace(deployment("a", "app:v1"), "  name: a\n", "  name: a\n  annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled}\n", 1) + "        args: ['${TAG']\n",
			},
			images: []string{"app:v1 app/a.yaml:13"},
		},
		"the template of a ResourceSet": {
			files: map[string]string{"rset.yaml": "apiVersion: fluxcd.controlplane.io/v1\nkind: ResourceSet\nmetadata: {name: jobs, namespace: apps}\nspec:\n" +
				"  inputs: [{image: reg.example.org/jobs, tag: v1}]\n  resources:\n  - apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: x}\n    spec: {template: {spec: {containers: [{name: x, image: '<< inputs.image >>:<< inputs.tag >>'}]}}}\n"},
			want: []string{"note chart-not-rendered rset.yaml:10"}, says: []string{"the template in ResourceSet apps/jobs"},
		},
		"a patch of a Flux Kustomization in a file that nothing includes": {
			files: map[string]string{
				"local/p.yaml":        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: app}\nspec:\n  patches: [{patch: '[{op: replace, path: /a, value: b}]'}]\n",
				"docker-compose.yaml": "services: {a: {image: 'a:1'}}\n",
			},
		},
		"an image that is a pattern of a policy": {
			files: map[string]string{"p.yaml": "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {name: p}\nspec:\n  rules:\n  - validate: {pattern: {spec: {containers: [{image: '!*:latest'}]}}}\n" +
				"---\napiVersion: constraints.gatekeeper.sh/v1beta1\nkind: K8sRepos\nmetadata: {name: r}\nspec: {parameters: {containers: [{image: 'a:1'}]}}\n"},
		},
		"a marker behind a key and its value": {
			files: map[string]string{"kustomization.yaml": "configMapGenerator:\n- name: v\n  literals:\n  - TAG=1.2 # {\"$imagepolicy\": \"flux-system:a:tag\"}\n  - a=b\n"},
			want:  []string{"error marker-unknown-policy kustomization.yaml:4"}, says: []string{"image automation writes over the key too"},
		},
		"numbers where a CRD wants text": {
			files: map[string]string{
				"ks.yaml": kustomization("app", "./app", "images: [{name: app, newTag: 9075807}]"), "app/a.yaml": deployment("a", "app"),
				"oci.yaml": "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: c}\nspec:\n  interval: 1m\n  url: oci://reg.example.org/c\n  ref:\n    tag: 1.10\n",
				"hr.yaml":  "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: c}\nspec:\n  interval: 1m\n  suspend: 'true'\n",
				"ir.yaml":  "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {name: c, namespace: x}\nspec:\n  interval: 1m\n  image: 5\n",
			},
			want: []string{"error object-invalid hr.yaml:6", "error object-invalid ir.yaml:6", "error object-invalid ks.yaml:7", "error object-invalid oci.yaml:8"},
			says: []string{`spec.images.newTag is 9075807, a number, and has to be text → quote it: "9075807"`, "spec.ref.tag is 1.10", "has to be true or false"},
		},
		"a number that a variable makes": {
			files: map[string]string{"ks.yaml": kustomization("app", "./app", "suspend: ${SUSPEND}"), "app/a.yaml": deployment("a", "app:v1")},
			want:  []string{"note not-read ks.yaml:1"},
		},
		"numbers in values are said once": {
			files: map[string]string{"hr.yaml": "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: c}\nspec:\n  values:\n    image: {repository: reg.example.org/a, tag: 45980468}\n    side: {image: {repository: reg.example.org/b, tag: 1_0}}\n"},
			want:  []string{"error tag-not-text hr.yaml:6", "error tag-not-text hr.yaml:7"}, says: []string{"4.5980468e+07", "runs reg.example.org/b:10"},
		},
		"a chart in a kustomization, which Flux does not inflate": {
			files: map[string]string{"kustomization.yaml": "helmCharts: [{name: cilium, repo: 'https://helm.example.org'}]\n"},
			want:  []string{"error kustomize-build kustomization.yaml:1"}, says: []string{"--enable-helm"},
		},
		"a chart in a kustomization that Flux is not told to build, beside others": {
			files: map[string]string{
				"talos/kustomization.yaml": "helmCharts: [{name: cilium, repo: 'https://helm.example.org'}]\n",
				"ks.yaml":                  kustomization("app", "./app", "prune: true"), "app/a.yaml": deployment("a", "app:v1"),
			},
			want: []string{"note not-built talos/kustomization.yaml:1"}, says: []string{"no Flux Kustomization names it"},
		},
		"one remote base of many folders is said once": {
			files: map[string]string{
				"base/kustomization.yaml": "resources: ['https://example.org/crds.yaml']\n",
				"a/kustomization.yaml":    "resources: [../base]\n", "b/kustomization.yaml": "resources: [../base]\n",
				"c/kustomization.yaml": "resources: [../base]\n",
			},
			want: []string{"unknown remote-base base/kustomization.yaml:1"}, says: []string{"a and 2 more are not built"},
		},
		"one missing file of many folders is said once": {
			files: map[string]string{
				"base/kustomization.yaml": "resources: [none.yaml]\n",
				"a/kustomization.yaml":    "resources: [../base]\n", "b/kustomization.yaml": "resources: [../base]\n",
			},
			want: []string{"error kustomize-build base/kustomization.yaml:1"}, says: []string{"ignore: [base]"},
		},
		"a generator of charts, which Flux does not inflate": {
			files: map[string]string{"kustomization.yaml": "generators: [gen.yaml]\n", "gen.yaml": "apiVersion: builtin\nkind: HelmChartInflationGenerator\nmetadata: {name: x}\nrepo: https://helm.example.org\n"},
			want:  []string{"error kustomize-build kustomization.yaml:1"}, says: []string{"--enable-helm"},
		},
		"versions of charts behind markers": {
			files: map[string]string{
				"prod/oci.yaml": "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: c}\nspec:\n  interval: 1m\n  url: oci://reg.example.org/c\n  ref:\n    tag: 6.5.0 # {\"$imagepolicy\": \"flux-system:app:tag\"}\n",
				"prod/hr.yaml":  "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: c}\nspec:\n  interval: 1m\n  chart:\n    spec:\n      chart: c\n      version: 6.5.0 # {\"$imagepolicy\": \"flux-system:app:tag\"}\n      sourceRef: {kind: HelmRepository, name: c}\n",
				"prod/p.yaml":   scanned,
			},
			config: "environments: {prod: {paths: [prod], tags: ^production-}}\n", images: nil,
		},
		"markers where image automation never looks": {
			files: map[string]string{"p.yaml": scanned, "app.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata:\n" +
				"  # {\"$imagepolicy\": \"flux-system:app\"}\n  above: reg.example.org/app:v1\n" +
				"  behind: # {\"$imagepolicy\": \"flux-system:app\"}\n    reg.example.org/app:v1\n" +
				"  good: reg.example.org/app:v1 # {\"$imagepolicy\": \"flux-system:app\"}\n" +
				"  # gone: reg.example.org/app:v1 # {\"$imagepolicy\": \"flux-system:app\"}\n" +
				"  list: [reg.example.org/app:v1] # {\"$imagepolicy\": \"flux-system:app\"}\n" +
				"  letters: reg.example.org/app:v1 # {\"$imagePolicy\": \"flux-system:app\"}\n" +
				"  braces: reg.example.org/app:v1 # $imagepolicy: flux-system:app\n" +
				"  prose: reg.example.org/app:v1 # a $imagepolicy marker would be good\n",
				"text.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: text}\ndata:\n  x: |\n    image: reg.example.org/app:v1 # {\"$imagepolicy\": \"flux-system:app\"}\n",
				"list.yaml": "- name: app\n  image: reg.example.org/app:v1 # {\"$imagepolicy\": \"flux-system:app\"}\n"},
			want: []string{"error marker-unknown-policy app.yaml:5", "error marker-unknown-policy app.yaml:7", "error marker-unknown-policy app.yaml:11",
				"error marker-unknown-policy app.yaml:12", "error marker-unknown-policy app.yaml:13",
				"error marker-unknown-policy list.yaml:2", "note marker-unknown-policy text.yaml:6"},
			says: []string{"does not stand behind a value", "is a list at its top", "is part of a text"},
		},
		"markers that write something else than what stands there": {
			files: map[string]string{"auto.yaml": scanned,
				"app.yaml": deployment("app", "reg.example.org/app:v1 # {\"$imagepolicy\": \"flux-system:app:tag\"}"),
				"k/kustomization.yaml": "resources: [d.yaml]\nimages:\n- name: app\n  newTag: v1 # {\"$imagepolicy\": \"flux-system:app\"}\n" +
					"- name: other\n  newName: reg.example.org/app # {\"$imagepolicy\": \"flux-system:app:name\"}\n" +
					"  newTag: v1 # {\"$imagepolicy\": \"flux-system:app:tag\"}\n",
				"k/d.yaml": deployment("app", "app"),
				"cm.yaml":  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  A: reg.example.org/app:v1 # {\"$imagepolicy\": \"flux-system:app:name\"}\n",
			},
			want: []string{"error marker-unknown-policy app.yaml:12", "error marker-unknown-policy k/kustomization.yaml:4",
				"error marker-unknown-policy cm.yaml:5", "note entry-matches-nothing k/kustomization.yaml:5"},
			images: []string{"reg.example.org/app:v1 app.yaml:12", "reg.example.org/app:v1 cm.yaml:5", "app:v1 k/kustomization.yaml:4"},
			says:   []string{"writes a part of one over it", "writes a whole one over it"},
		},
		"an image volume that an operator mounts": {
			files:  map[string]string{"db.yaml": "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata: {name: db}\nspec:\n  postgresql:\n    extensions:\n    - name: v\n      image:\n        reference: reg.example.org/v:pg18\n"},
			images: []string{"reg.example.org/v:pg18 db.yaml:9"},
		},
		"folders with a slash at the end": {
			files:  map[string]string{"apps/prod/a.yaml": deployment("a", "reg.example.org/a:latest"), "docs/b.yaml": deployment("b", "REG.example.org/Bad:v1")},
			config: "ignore: [docs/]\nenvironments: {prod: {paths: [./apps/prod/], immutable: true}}\n",
			want:   []string{"error tag-mutable apps/prod/a.yaml:12"},
		},
		"paths that match nothing": {
			files:  map[string]string{"apps/a.yaml": deployment("a", "reg.example.org/a:v1")},
			config: "ignore:\n- docs/\n- apps/*.md\nenvironments:\n  prod:\n    immutable: true\n    paths:\n    - app/\n    - apps\n",
			want:   []string{"error path-matches-nothing .backstop.yaml:2", "error path-matches-nothing .backstop.yaml:3", "error path-matches-nothing .backstop.yaml:8"},
			says:   []string{"environments.prod.paths: app/ matches nothing"},
		},
		"a missing file is no remote one, whatever its name is made of": {
			files: map[string]string{"apps/kustomization.yaml": "resources: ['a\" is remote: b.yaml', './x/\"symbolic link\".yaml']\n"},
			want:  []string{"error kustomize-build apps/kustomization.yaml:1"},
			says:  []string{"is not in the repository"},
		},
	} {
		t.Run(title, func(t *testing.T) {
			o := gate.Options{}
			if c.config != "" {
				c.files[".backstop.yaml"] = c.config
				o.Config = config(t, c.config)
			}
			o.Head = tree(c.files)
			got := check(t, o)
			found := told(got)
			byPlace := func(list []string) map[string]bool {
				out := map[string]bool{}
				for _, s := range list {
					out[s] = true
				}
				return out
			}
			if diff := cmp.Diff(byPlace(c.want), byPlace(found)); diff != "" {
				for _, f := range got.Findings {
					t.Logf("%s → %s", f.Message, f.Fix)
				}
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if len(found) != len(byPlace(found)) {
				t.Errorf("it says a thing twice: %q", found)
			}
			wantWords(t, got, c.says...)
			if c.images != nil {
				if diff := cmp.Diff(c.images, images(got)); diff != "" {
					t.Errorf("images (-want +got):\n%s", diff)
				}
			}
		})
	}
}
