package gate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/gate"
)

func TestGateImageInAJSONFile(t *testing.T) {
	files := map[string]string{
		"base/kustomization.yaml": "resources: [pod.json]\n",
		"base/pod.json":           "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"a\"},\n\"spec\": {\"containers\": [{\"name\": \"c\",\n\"image\": \"a/b:v1\"}]}}\n",
		"over/kustomization.yaml": "resources: [../base]\n",
	}
	o := gate.Options{Head: tree(files)}
	if diff := cmp.Diff([]string{"a/b:v1 base/pod.json:3"}, images(check(t, o))); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	o.Paths = []string{"base"}
	if got := images(check(t, o)); len(got) != 1 {
		t.Errorf("of the folder that it is in: %q", got)
	}
	// Built anew where only the JSON changes.
	was := map[string]string{}
	for name, text := range files {
		was[name] = strings.Replace(text, "a/b:v1", "a/b:v0", 1)
	}
	o = gate.Options{Head: tree(files), Base: tree(was)}
	if diff := cmp.Diff([]string{"a/b:v1 base/pod.json:3"}, images(check(t, o))); diff != "" {
		t.Errorf("images of the change (-want +got):\n%s", diff)
	}
}

func TestGateKustomizationsThatIncludeOneAnother(t *testing.T) {
	got := check(t, gate.Options{Head: tree(map[string]string{
		"a/kustomization.yaml": "resources: [../b, a.yaml]\n", "a/a.yaml": deployment("a", "x/a:v1"),
		"b/kustomization.yaml": "resources: [../a, b.yaml]\n", "b/b.yaml": deployment("b", "x/b:v1"),
	})})
	wantFindings(t, got, "error kustomize-build a/kustomization.yaml:1")
	wantWords(t, got, "cycle")
	if len(got.Images) != 2 {
		t.Errorf("images are %q", images(got))
	}
}

func TestGateCommentThatIsMeantAsAMarker(t *testing.T) {
	for comment, wrong := range map[string]bool{
		`{"$imagepolicy": "production:app"}`:         false,
		`backstop:hold {"$imagepolicy": "prod:app"}`: false,
		`see $imagepolicy in Flux's manual`:          false,
		`{"$imagepolicy": "app"}`:                    true,
		`{"$imagepolicy": "production:app:tagg"}`:    true,
		`{"$imagepolicy": "production/app"}`:         true,
		`{$imagepolicy: "production:app"}`:           true,
		`{"$imagepolicy": "production:app"`:          true,
		`{"$imagepolicy": "Production:app"}`:         true,
		`{"imagepolicy": "production:app"}`:          true,
		`pinned {"$imagepolicy": "production:app"}`:  true,
		`as {"$imagepolicy": "…"} says, by hand`:     false,
	} {
		got := check(t, gate.Options{Head: tree(map[string]string{
			"app.yaml": deployment("app", "a/b:v1 # "+comment),
		})})
		if !wrong {
			wantFindings(t, got)
			continue
		}
		wantFindings(t, got, "error marker-unknown-policy app.yaml:12")
		hint := "NAMESPACE:NAME"
		if strings.Contains(comment, "Production") {
			hint = "production:app"
		}
		wantWords(t, got, comment, "image automation passes over it", `{"$imagepolicy": "`+hint+`"}`)
	}
}

func TestGateTagThatIsNoTextToYAML(t *testing.T) {
	for tag, want := range map[string]string{
		"1.10": "acme/app:1.1", "20240101": "acme/app:2.0240101e+07", "0x10": "acme/app:16", "no": "acme/app:false", "on": "acme/app:true", "true": "", `"no"`: "",
		`"1.10"`: "", "v1.10": "", "1.10.0": "", "17": "", "2024-01-01": "",
	} {
		got := check(t, gate.Options{Head: tree(map[string]string{"app.yaml": `apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: app, namespace: n}
spec:
  chart: {spec: {chart: app, sourceRef: {kind: HelmRepository, name: r}}}
  values:
    image:
      repository: acme/app
      tag: ` + tag + "\n"})})
		var rules []string
		for _, f := range got.Findings {
			rules = append(rules, string(f.Rule))
		}
		if want == "" {
			want = "acme/app:" + strings.Trim(tag, `"`)
		} else if len(rules) == 0 || rules[len(rules)-1] != "tag-not-text" {
			t.Errorf("%s: the findings are %q", tag, rules)
		} else {
			wantWords(t, got, "runs "+want, `quote it: tag: "`+tag+`"`)
		}
		if !strings.Contains(want, "+") && (len(got.Images) != 1 || got.Images[0].Image != want) {
			t.Errorf("%s: images are %q, want %s", tag, images(got), want)
		}
	}
}

func TestGatePolicyThatSelectsNothing(t *testing.T) {
	text := strings.Replace(automation("production", "^production-v"), "alphabetical: {order: asc}", "semver: {range: banana}", 1)
	got := check(t, gate.Options{Config: config(t, twoEnvironments), Head: tree(map[string]string{"production/image.yaml": text})})
	wantFindings(t, got, "error policy-without-pattern production/image.yaml:11")
	wantWords(t, got, `spec.policy.semver.range "banana" is no range of versions`, "correct that field")
}

func TestGateOfAFolderSaysWhatItsBasesBreak(t *testing.T) {
	o := gate.Options{Paths: []string{"apps/production"}, Config: config(t, `
environments:
  production: {paths: [apps/production], immutable: true}
  staging: {paths: [apps/staging], immutable: true}
`), Head: tree(map[string]string{
		"apps/base/kustomization.yaml": "resources: [app.yaml, wrong.yaml]\n", "apps/base/app.yaml": deployment("app", "a/b:latest"),
		"apps/base/wrong.yaml":               deployment("wrong", "x.io/A/b:v1"),
		"apps/production/kustomization.yaml": "resources: [../base]\n", "apps/staging/kustomization.yaml": "resources: [../base]\n",
	})}
	got := check(t, o)
	wantFindings(t, got, "error tag-mutable apps/base/app.yaml:12", "error image-invalid apps/base/wrong.yaml:12")
	if got.Findings[0].Environment != "production" {
		t.Errorf("the finding is of %s", got.Findings[0].Environment)
	}
	o.Head = tree(map[string]string{
		"apps/base/kustomization.yaml": "resources: [nothere.yaml]\n", "apps/production/kustomization.yaml": "resources: [../base]\n",
	})
	wantFindings(t, check(t, o), "error kustomize-build apps/base/kustomization.yaml:1")
}

func TestGatePlainImagesOfWhatSOPSEncrypted(t *testing.T) {
	secret := "sops: {mac: 'ENC[AES256_GCM,data:x]', version: 3.9.0}\n"
	got := check(t, gate.Options{Head: tree(map[string]string{
		"alone.yaml": deployment("alone", "a/alone:v1") + secret, "hidden.yaml": deployment("hidden", "'ENC[AES256_GCM,data:x]'") + secret,
		"k/kustomization.yaml": "resources: [app.yaml, plain.yaml]\n", "k/app.yaml": deployment("app", "a/app:v1") + secret,
		"k/plain.yaml": deployment("plain", "a/plain:v1"),
	})})
	if diff := cmp.Diff([]string{"a/alone:v1 alone.yaml:12", "a/app:v1 k/app.yaml:12", "a/plain:v1 k/plain.yaml:12"}, images(got)); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	wantFindings(t, got, "note not-read alone.yaml:1", "note not-read hidden.yaml:1", "note not-read hidden.yaml:12", "note not-read k/app.yaml:1")
	wantWords(t, got, "only what stands there in plain text", "the image of Deployment hidden is not looked at")
}

func TestGateImagesOfPostRenderers(t *testing.T) {
	got := check(t, gate.Options{Head: tree(map[string]string{"app.yaml": `apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: app, namespace: n}
spec:
  chart: {spec: {chart: app, sourceRef: {kind: HelmRepository, name: r}}}
  postRenderers:
  - kustomize:
      images: [{name: a/entry, newTag: v1}]
      patches:
      - target: {kind: Deployment}
        patch: |
          - {op: replace, path: /spec/template/spec/containers/0/image, value: "a/json:v1"}
      - patch: |
          kind: Deployment
          apiVersion: apps/v1
          metadata: {name: x}
          spec: {template: {spec: {containers: [{name: c, image: "a/merge:v1"}]}}}
`})})
	if diff := cmp.Diff([]string{"a/entry:v1 app.yaml:8", "a/json:v1 app.yaml:12", "a/merge:v1 app.yaml:17"}, images(got)); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	for _, use := range got.Images {
		if use.Object != "HelmRelease n/app" {
			t.Errorf("%s is of %s", use.Image, use.Object)
		}
	}
}

func TestGateNamesThatAreNoWords(t *testing.T) {
	o := gate.Options{Config: config(t, "environments: {all: {paths: ['**'], immutable: true}}\n"), Head: tree(map[string]string{
		"a\n::error::b.yaml": deployment("a", "a/b:latest"), "c:d\x1b[31m.yaml": deployment("c", "a/c:latest"),
	})}
	got := check(t, o)
	wantFindings(t, got, "error tag-mutable a\n::error::b.yaml:12", "error tag-mutable c:d\x1b[31m.yaml:12")
	for format, want := range map[string]string{
		"github": "file=a%0A%3A%3Aerror%3A%3Ab.yaml,", "sarif": `"uri": "./c:d%1B%5B31m.yaml"`, "text": "c:d [31m.yaml:12",
	} {
		var b strings.Builder
		if err := got.Write(&b, format, false); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), want) || strings.Contains(b.String(), "\n::error::b") || strings.Contains(b.String(), "\x1b") {
			t.Errorf("%s is not in %s:\n%q", want, format, b.String())
		}
	}
}
