package gate_test

import (
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/gate"
	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
)

func itoa(i int) string { return strconv.Itoa(i) }

func TestGateImageOnlyVisibleAfterKustomizeBuild(t *testing.T) {
	o := gate.Options{Head: tree(map[string]string{
		"base/kustomization.yaml": "resources: [app.yaml]\n",
		"base/app.yaml":           deployment("app", "app"),
		"prod/kustomization.yaml": "resources: [../base]\nimages:\n- name: app\n  newName: ghcr.io/acme/app\n  newTag: v1.2.3\npatches:\n- path: sidecar.yaml\n",
		"prod/sidecar.yaml":       "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: app}\nspec:\n  template:\n    spec:\n      containers:\n      - name: log\n        image: ghcr.io/acme/log:v7\n",
	})}
	got := check(t, o)
	wantFindings(t, got)
	want := []string{"ghcr.io/acme/app:v1.2.3 prod/kustomization.yaml:5", "ghcr.io/acme/log:v7 prod/sidecar.yaml:9"}
	if diff := cmp.Diff(want, images(got)); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

func TestGateFluxKustomizationImagesPatchesAndVariables(t *testing.T) {
	o := gate.Options{Head: tree(map[string]string{
		"clusters/prod/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: flux-system}\ndata: {TAG: v9}\n",
		"clusters/prod/apps.yaml": `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: apps, namespace: flux-system}
spec:
  path: ./apps
  prune: true
  interval: 1m
  sourceRef: {kind: GitRepository, name: flux-system}
  images:
  - name: app
    newName: ghcr.io/acme/app
    newTag: v3
  patches:
  - patch: |
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: app}
      spec:
        template:
          spec:
            initContainers:
            - name: init
              image: ghcr.io/acme/init:v5
  postBuild:
    substitute: {LOG: v4}
    substituteFrom: [{kind: ConfigMap, name: settings}, {kind: Secret, name: hidden}]
`,
		"apps/app.yaml":   deployment("app", "app"),
		"apps/log.yaml":   deployment("log", "ghcr.io/acme/log:${LOG}"),
		"apps/set.yaml":   deployment("set", "ghcr.io/acme/set:${TAG}"),
		"apps/other.yaml": deployment("other", "ghcr.io/acme/other:${NOBODY:-v6}"),
		"apps/open.yaml":  deployment("open", "ghcr.io/acme/open:${SECRET}"),
	})}
	got := check(t, o)
	want := []string{
		"ghcr.io/acme/log:v4 apps/log.yaml:12", "ghcr.io/acme/other:v6 apps/other.yaml:12", "ghcr.io/acme/set:v9 apps/set.yaml:12",
		"ghcr.io/acme/app:v3 clusters/prod/apps.yaml:12", "ghcr.io/acme/init:v5 clusters/prod/apps.yaml:23",
	}
	if diff := cmp.Diff(want, images(got)); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	wantFindings(t, got, "note variable-unknown apps/open.yaml:12")
}

func TestGateHelmReleaseValues(t *testing.T) {
	o := gate.Options{Head: tree(map[string]string{
		"release.yaml": `apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: app, namespace: production}
spec:
  chart: {spec: {chart: app, sourceRef: {kind: HelmRepository, name: acme}}}
  values:
    image: {registry: ghcr.io, repository: acme/app, tag: v1, digest: "sha256:` + strings.Repeat("a", 64) + `"}
    sidecar:
      image:
        repository: ghcr.io/acme/log
        tag: v2
    whole:
      image: ghcr.io/acme/whole:v3
    worker:
      tag: v4 # {"$imagepolicy": "production:worker:tag"}
`,
		"policy.yaml": "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {name: worker, namespace: production}\nspec: {image: ghcr.io/acme/worker}\n---\n" +
			"apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {name: worker, namespace: production}\nspec: {imageRepositoryRef: {name: worker}, policy: {semver: {range: 1.x}}}\n",
	})}
	got := check(t, o)
	wantFindings(t, got)
	want := []string{
		"ghcr.io/acme/app:v1@sha256:" + strings.Repeat("a", 64) + " release.yaml:7", "ghcr.io/acme/log:v2 release.yaml:11",
		"ghcr.io/acme/whole:v3 release.yaml:13", "ghcr.io/acme/worker:v4 release.yaml:15",
	}
	if diff := cmp.Diff(want, images(got)); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

func TestGateAnyKindWithAPodTemplate(t *testing.T) {
	text := `apiVersion: %s
kind: %s
metadata: {name: app}
spec:
  template:
    spec:
      initContainers: [{name: a, image: "acme/init:v1"}]
      containers: [{name: b, image: "acme/app:v2"}]
      ephemeralContainers: [{name: c, image: "acme/debug:v3"}]
`
	for api, kind := range map[string]string{
		"argoproj.io/v1alpha1": "Rollout", "serving.knative.dev/v1": "Service", "acme.example/v1": "Anything", "batch/v1": "Job",
	} {
		got := check(t, gate.Options{Head: tree(map[string]string{"a.yaml": strings.Replace(strings.Replace(text, "%s", api, 1), "%s", kind, 1)})})
		if want := []string{"acme/init:v1 a.yaml:7", "acme/app:v2 a.yaml:8", "acme/debug:v3 a.yaml:9"}; cmp.Diff(want, images(got)) != "" {
			t.Errorf("%s: %q", kind, images(got))
		}
	}
}

func TestGateChangeThatOnlyMovesFiles(t *testing.T) {
	const guardrails = "environments:\n  production: {paths: [production], immutable: true}\n  staging: {paths: [staging]}\n"
	before := map[string]string{
		"production/a.yaml": deployment("a", "acme/a:latest"), "staging/b.yaml": deployment("b", "acme/b:latest"),
		"staging/gone.yaml": deployment("gone", "acme/gone:v1"),
	}
	moved := map[string]string{
		"production/apps/renamed.yaml": before["production/a.yaml"], "staging/b.yaml": before["staging/b.yaml"],
	}
	got := check(t, gate.Options{Head: tree(moved), Base: tree(before), Config: config(t, guardrails)})
	wantFindings(t, got)
	if len(got.Images) != 0 {
		t.Errorf("images are brought in: %q", images(got))
	}
	// Moved into another environment, an image is a change there.
	moved["production/b.yaml"] = before["staging/b.yaml"]
	got = check(t, gate.Options{Head: tree(moved), Base: tree(before), Config: config(t, guardrails)})
	wantFindings(t, got, "error tag-mutable production/b.yaml:12")
}

func TestGateReportsOnlyWhatAChangeBringsIn(t *testing.T) {
	before := map[string]string{
		"base/kustomization.yaml": "resources: [app.yaml]\n", "base/app.yaml": deployment("app", "app"),
		"one/kustomization.yaml": "resources: [../base]\nimages: [{name: app, newTag: v1}]\n",
		"two/kustomization.yaml": "resources: [../base]\nimages: [{name: app, newTag: v2}]\n",
	}
	after := map[string]string{}
	for name, text := range before {
		after[name] = text
	}
	after["two/kustomization.yaml"] = "resources: [../base]\nimages: [{name: app, newTag: v3}]\n"
	got := check(t, gate.Options{Head: tree(after), Base: tree(before)})
	if want := []string{"app:v3 two/kustomization.yaml:2"}; cmp.Diff(want, images(got)) != "" {
		t.Errorf("images are %q, want %q", images(got), want)
	}
}

func TestGateNotYAMLTemplateSOPSAnd20MB(t *testing.T) {
	o := gate.Options{Head: tree(map[string]string{
		"broken.yaml":   "a: [b\n",
		"template.yaml": "apiVersion: v1\nkind: Pod\nspec:\n{{- range .Values.x }}\n  a: {{ . }}\n{{- end }}\n",
		"sops.yaml":     "apiVersion: v1\nkind: Secret\ndata: {a: 'ENC[x]'}\nsops: {mac: 'ENC[y]', version: 3.7.0}\n",
		"large.yaml":    "a: " + strings.Repeat("x", 20<<20) + "\n",
		"app.yaml":      deployment("app", "acme/app:v1"),
		"binary.yaml":   "\x00\x01\x02",
	})}
	got := check(t, o)
	wantFindings(t, got, "note not-read binary.yaml:1", "note not-read broken.yaml:1", "unknown not-read large.yaml:1",
		"note not-read sops.yaml:1", "note not-read template.yaml:1")
	wantWords(t, got, "template with {{ }}", "SOPS", "ignore: [large.yaml]")
	if len(got.Images) != 1 {
		t.Errorf("images are %q", images(got))
	}
	o.Config = config(t, "ignore: [large.yaml, '*.yaml']\n")
	if got := check(t, o); got.Files != 0 {
		t.Errorf("%d files were read", got.Files)
	}
}

func TestGateSOPSInAKustomization(t *testing.T) {
	got := check(t, gate.Options{Head: tree(map[string]string{
		"app/kustomization.yaml": "resources: [app.yaml, sops.yaml]\n", "app/app.yaml": deployment("app", "acme/app:v1"),
		"app/sops.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {a: 'ENC[x]'}\nsops: {mac: 'ENC[y]', version: 3.7.0}\n",
	})})
	wantFindings(t, got, "note not-read app/sops.yaml:1")
	if want := []string{"acme/app:v1 app/app.yaml:12"}; cmp.Diff(want, images(got)) != "" {
		t.Errorf("images are %q", images(got))
	}
}

func TestGateAKustomizationOfARenamedRepository(t *testing.T) {
	flux := func(source, path string) string {
		return "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: " + source + ", namespace: flux-system}\n" +
			"spec:\n  path: " + path + "\n  sourceRef: {kind: GitRepository, name: " + source + "}\n  postBuild: {substitute: {TAG: " + source + "}}\n"
	}
	repository := func(name, url string) string {
		return "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: " + name + ", namespace: flux-system}\nspec: {url: '" + url + "'}\n"
	}
	o := gate.Options{Remotes: []string{"https://github.com/old/name.git"}, Head: tree(map[string]string{
		"ks.yaml": flux("home", "./apps"), "away.yaml": flux("away", "./deploy"),
		"git.yaml":      repository("home", "ssh://git@github.com/new/name"),
		"other.yaml":    repository("away", "https://github.com/else/where"),
		"apps/app.yaml": deployment("app", "acme/app:${TAG}"),
	})}
	// Nothing says that any of them is this repository: a folder that is there decides.
	got := check(t, o)
	wantFindings(t, got, "note not-built away.yaml:5")
	wantWords(t, got, `this repository has no folder "./deploy"`)
	if want := []string{"acme/app:home apps/app.yaml:12"}; cmp.Diff(want, images(got)) != "" {
		t.Errorf("images are %q", images(got))
	}
	// Where one is known to be this repository, the others are not.
	o.Remotes = []string{"https://github.com/else/where.git"}
	got = check(t, o)
	wantFindings(t, got, "note variable-unknown apps/app.yaml:12", "note not-built away.yaml:5")
}

// Two namespaces may have a source of one name, of which one alone is this repository.
func TestGateAPathThatIsMissingInOneOfTwoSourcesOfOneName(t *testing.T) {
	flux := func(name, path string) string {
		return "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: " + name + ", namespace: team-a}\n" +
			"spec:\n  path: " + path + "\n  sourceRef: {kind: GitRepository, name: fleet}\n"
	}
	repository := func(namespace, url string) string {
		return "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: fleet, namespace: " + namespace + "}\nspec: {url: '" + url + "'}\n"
	}
	files := map[string]string{
		"clusters/a.yaml":         flux("a", "./clusters/a"),
		"clusters/git.yaml":       repository("team-a", "https://git.example.org/acme/fleet"),
		"clusters/a/missing.yaml": flux("missing", "./missing"),
	}
	o := gate.Options{Remotes: []string{"https://git.example.org/acme/fleet"}, Head: tree(files)}
	wantFindings(t, check(t, o), "error kustomize-build clusters/a/missing.yaml:5")
	files["clusters/other.yaml"] = repository("team-b", "https://git.example.org/else/where")
	o = gate.Options{Remotes: []string{"https://git.example.org/acme/fleet"}, Head: tree(files)}
	wantFindings(t, check(t, o), "note not-built clusters/a/missing.yaml:5")
}

func TestGateTwoClustersWithSettingsOfOneName(t *testing.T) {
	files := map[string]string{"apps/app.yaml": deployment("app", "acme/app:${TAG}")}
	for _, cluster := range []string{"production", "staging"} {
		files["clusters/"+cluster+"/settings.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: flux-system}\n" +
			"data: {TAG: " + cluster + "-v1}\n"
		files["clusters/"+cluster+"/apps.yaml"] = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n" +
			"metadata: {name: apps, namespace: flux-system}\nspec:\n  path: ./apps\n  sourceRef: {kind: GitRepository, name: flux-system}\n" +
			"  postBuild: {substitute: {CLUSTER: " + cluster + "}, substituteFrom: [{kind: ConfigMap, name: settings}]}\n"
	}
	got := check(t, gate.Options{Head: tree(files)})
	wantFindings(t, got)
	want := []string{"acme/app:production-v1 apps/app.yaml:12", "acme/app:staging-v1 apps/app.yaml:12"}
	if diff := cmp.Diff(want, images(got)); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

func TestGateALongRemoteAddressIsFoundInItsFile(t *testing.T) {
	got := check(t, gate.Options{Head: tree(map[string]string{
		"kustomization.yaml": "resources:\n- app.yaml\n- https://raw.githubusercontent.com/acme/operator/v1.1.4/manifests/crds/" + strings.Repeat("x", 80) + ".yaml\n",
		"app.yaml":           deployment("app", "acme/app:v1"),
	})})
	wantFindings(t, got, "unknown remote-base kustomization.yaml:3")
}

func TestGateSymlinkOutOfTheRepository(t *testing.T) {
	files := fstest.MapFS{
		"app/kustomization.yaml": &fstest.MapFile{Data: []byte("resources: [secret.yaml]\n")},
		"app/secret.yaml":        &fstest.MapFile{Data: []byte("../../../etc/passwd"), Mode: fs.ModeSymlink},
		"up/kustomization.yaml":  &fstest.MapFile{Data: []byte("resources: [../../outside.yaml]\n")},
		"gen/kustomization.yaml": &fstest.MapFile{Data: []byte("configMapGenerator:\n- name: x\n  files: [../../../etc/passwd]\n")},
	}
	got := check(t, gate.Options{Head: sources.Tree{FS: files}})
	wantFindings(t, got, "error kustomize-build app/kustomization.yaml:1", "note link-not-followed app/secret.yaml:1",
		"error kustomize-build gen/kustomization.yaml:1", "error kustomize-build up/kustomization.yaml:1")
	wantWords(t, got, "symbolic link", "leads out of the repository")
	for _, f := range got.Findings {
		if strings.Contains(f.Message, "root:") {
			t.Errorf("what is outside was read: %s", f.Message)
		}
	}
}

func TestGateRemoteBase(t *testing.T) {
	for title, ref := range map[string]string{
		"https":        "https://127.0.0.1:1/acme/base//app?ref=v1",
		"a file":       "https://127.0.0.1:1/acme/base.yaml",
		"ssh":          "ssh://git@127.0.0.1:1/acme/base",
		"scp":          "git@127.0.0.1:acme/base",
		"github":       "github.com/acme/base?ref=main",
		"forced":       "git::https://127.0.0.1:1/acme/base",
		"another case": "HTTPS://127.0.0.1:1/acme/base",
	} {
		t.Run(title, func(t *testing.T) {
			got := check(t, gate.Options{Head: tree(map[string]string{
				"app/kustomization.yaml": "resources:\n- app.yaml\n- " + ref + "\n", "app/app.yaml": deployment("app", "acme/app:v1"),
			})})
			wantFindings(t, got, "unknown remote-base app/kustomization.yaml:3")
			wantWords(t, got, "is not built", "remoteBases: [")
			// What can be seen is looked at all the same.
			if len(got.Images) != 1 {
				t.Errorf("images are %q", images(got))
			}
		})
	}
	for key, text := range map[string]string{
		"openapi": "openapi: {path: 'http://127.0.0.1:1/x'}\n", "crds": "crds: ['https://127.0.0.1:1/x']\n",
		"configurations": "configurations: ['https://127.0.0.1:1/x']\n",
		"generator":      "configMapGenerator: [{name: a, files: ['x=https://127.0.0.1:1/x']}]\n",
		"patches":        "patches: [{path: 'https://127.0.0.1:1/x'}]\n",
	} {
		got := check(t, gate.Options{Head: tree(map[string]string{
			"kustomization.yaml": "resources: [app.yaml]\n" + text, "app.yaml": deployment("app", "acme/app:v1"),
		})})
		if got.Count(report.LevelUnknown) != 1 || got.Findings[0].Rule != report.RuleRemote {
			t.Errorf("%s: findings are %q", key, told(got))
		}
	}
}

func TestGateAKustomizationThatDoesNotBuild(t *testing.T) {
	got := check(t, gate.Options{Head: tree(map[string]string{
		"kustomization.yaml": "resources: [app.yaml, missing.yaml]\n", "app.yaml": deployment("app", "acme/app:v1"),
		"two/kustomization.yaml":  "resources: [app.yaml]\npatches: [{patch: '- {op: replace, path: /nowhere/at/all, value: 1}', target: {kind: Deployment}}]\n",
		"two/app.yaml":            deployment("app", "acme/app:v1"),
		"exec/kustomization.yaml": "generators: [gen.yaml]\n",
		"exec/gen.yaml":           "apiVersion: v1\nkind: Evil\nmetadata: {name: x, annotations: {config.kubernetes.io/function: \"exec: {path: /bin/sh}\"}}\n",
		"helm/kustomization.yaml": "helmCharts: [{name: x, repo: 'oci://127.0.0.1:1'}]\n",
	})})
	wantFindings(t, got, "error kustomize-build exec/kustomization.yaml:1", "error kustomize-build helm/kustomization.yaml:1",
		"error kustomize-build kustomization.yaml:1", "error kustomize-build two/kustomization.yaml:1")
}
