package gate_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/gate"
)

// chart is a Helm chart as people write them.
func chart(dir string) map[string]string {
	return map[string]string{
		dir + "/Chart.yaml":  "apiVersion: v2\nname: app\nversion: 1.0.0\nappVersion: v1.5.0\n",
		dir + "/values.yaml": "image:\n  repository: ghcr.io/acme/app\n  tag: \"\"\nsidecar: false\n",
		dir + "/templates/deployment.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  template:
    spec:
      containers:
      - name: app
        image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
{{- if .Values.sidecar }}
      - name: log
        image: ghcr.io/acme/log:v7
{{- end }}
`,
		dir + "/templates/tests/test.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: test, annotations: {helm.sh/hook: test}}\n" +
			"spec: {containers: [{name: test, image: 'ghcr.io/acme/test:v1'}]}\n",
		dir + "/templates/migrate.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate, annotations: {helm.sh/hook: 'pre-upgrade,test'}}\n" +
			"spec: {template: {spec: {containers: [{name: a, image: 'ghcr.io/acme/migrate:v2'}]}}}\n",
		dir + "/templates/NOTES.txt": "image: {{ .Values.image.repository }}:notes\n",
	}
}

func with(files map[string]string, more ...string) map[string]string {
	out := maps.Clone(files)
	for i := 0; i+1 < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

// helmRelease is one that names a chart of this repository.
func helmRelease(ns, spec string) string {
	return "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: app, namespace: " + ns + "}\nspec:\n" +
		"  chart: {spec: {chart: ./charts/app, sourceRef: {kind: GitRepository, name: flux-system}}}\n" + spec
}

func TestGateRendersTheChartsOfTheRepository(t *testing.T) {
	const production = "environments: {production: {paths: [apps/production], immutable: true}}\n"
	tests := map[string]struct {
		files    map[string]string
		images   []string
		findings []string
	}{
		"with its own values": {
			files:  chart("charts/app"),
			images: []string{"ghcr.io/acme/migrate:v2 charts/app/Chart.yaml:4", "ghcr.io/acme/app:v1.5.0 charts/app/values.yaml:3"},
		},
		"with those of a HelmRelease": {
			files: with(chart("charts/app"), "apps/production/release.yaml",
				helmRelease("production", "  values:\n    sidecar: true\n    image:\n      tag: latest\n")),
			images: []string{
				"ghcr.io/acme/log:v7 apps/production/release.yaml:1", "ghcr.io/acme/migrate:v2 apps/production/release.yaml:1",
				"ghcr.io/acme/app:latest apps/production/release.yaml:9",
			},
			findings: []string{"error tag-mutable apps/production/release.yaml:9"},
		},
		"with values from a ConfigMap, from files, and with a postRenderer": {
			files: with(chart("charts/app"), "apps/staging/release.yaml", strings.Replace(helmRelease("staging",
				"  valuesFrom: [{kind: ConfigMap, name: more}, {kind: Secret, name: hidden}]\n"+
					"  postRenderers: [{kustomize: {images: [{name: ghcr.io/acme/log, newTag: v8}]}}]\n  test: {enable: true}\n"),
				"chart: ./charts/app,", "chart: ./charts/app, valuesFiles: [charts/app/values.yaml, charts/app/values-staging.yaml],", 1),
				"charts/app/values-staging.yaml", "image: {tag: v2.0.0}\n",
				"apps/staging/more.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more, namespace: staging}\ndata: {values.yaml: 'sidecar: true'}\n"),
			images: []string{
				"ghcr.io/acme/migrate:v2 apps/staging/release.yaml:1", "ghcr.io/acme/test:v1 apps/staging/release.yaml:1",
				"ghcr.io/acme/log:v8 apps/staging/release.yaml:7", "ghcr.io/acme/app:v2.0.0 charts/app/values-staging.yaml:1",
			},
			findings: []string{"note variable-unknown apps/staging/release.yaml:6"},
		},
		"a dependency that is not vendored": {
			files:    with(chart("charts/app"), "charts/app/Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.0.0\ndependencies: [{name: redis, version: 1.x, repository: 'https://127.0.0.1:1'}]\n"),
			findings: []string{"note chart-not-rendered charts/app/Chart.yaml:1"},
		},
		"a dependency that is vendored": {
			files: with(chart("charts/app"), "charts/app/Chart.yaml",
				"apiVersion: v2\nname: app\nversion: 1.0.0\nappVersion: v1.5.0\ndependencies: [{name: redis, version: 1.x, repository: 'https://127.0.0.1:1'}, {name: packed, version: 1.x, repository: ''}]\n",
				"charts/app/charts/redis/Chart.yaml", "apiVersion: v2\nname: redis\nversion: 1.0.0\n",
				"charts/app/charts/redis/templates/pod.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: redis}\nspec: {containers: [{name: a, image: 'redis:7'}]}\n",
				"charts/app/charts/packed-1.0.0.tgz", packed(t)),
			images: []string{
				"ghcr.io/acme/migrate:v2 charts/app/Chart.yaml:4", "packed:v9 charts/app/Chart.yaml:4", "redis:7 charts/app/Chart.yaml:4",
				"ghcr.io/acme/app:v1.5.0 charts/app/values.yaml:3",
			},
		},
		"a template that does not render": {
			files:    with(chart("charts/app"), "charts/app/templates/bad.yaml", "{{ fail \"give me a host\" }}"),
			findings: []string{"note chart-not-rendered charts/app/Chart.yaml:4"},
		},
		"a template that a HelmRelease cannot render": {
			files: with(chart("charts/app"), "charts/app/templates/bad.yaml", "{{ required \"give me a host\" .Values.host }}",
				"release.yaml", helmRelease("x", "  values: {image: {repository: ghcr.io/acme/app, tag: v3}}\n")),
			images:   []string{"ghcr.io/acme/app:v3 release.yaml:6"},
			findings: []string{"unknown chart-not-rendered release.yaml:1"},
		},
		"a library chart": {
			files: with(chart("charts/app"), "charts/app/Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.0.0\ntype: library\n"),
		},
		"no chart at all": {
			files:    map[string]string{"charts/app/Chart.yaml": "a: [b"},
			findings: []string{"note chart-not-rendered charts/app/Chart.yaml:1", "note not-read charts/app/Chart.yaml:1"},
		},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			got := check(t, gate.Options{Head: tree(tt.files), Config: config(t, production)})
			wantFindings(t, got, tt.findings...)
			if diff := cmp.Diff(tt.images, images(got)); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
		})
	}
}

// packed is a chart as helm package packs it.
func packed(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	pack := tar.NewWriter(zip)
	for name, text := range map[string]string{
		"packed/Chart.yaml":         "apiVersion: v2\nname: packed\nversion: 1.0.0\n",
		"packed/templates/pod.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: packed}\nspec: {containers: [{name: a, image: 'packed:v9'}]}\n",
	} {
		if err := pack.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := pack.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := pack.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGateAChartReachesNothing(t *testing.T) {
	t.Setenv("BACKSTOP_TEST_SECRET", "s3cret")
	files := chart("charts/app")
	files["charts/app/templates/evil.yaml"] = "apiVersion: v1\nkind: Pod\nmetadata: {name: evil}\nspec: {containers: [\n" +
		"{name: a, image: 'acme/a:{{ .Files.Get \"../../secret\" | default \"none\" }}'},\n" +
		"{name: b, image: 'acme/b:{{ getHostByName \"localhost\" | default \"none\" }}'},\n" +
		"{name: c, image: 'acme/c:{{ (lookup \"v1\" \"Secret\" \"x\" \"y\").data | default \"none\" }}'}]}\n"
	files["secret"] = "s3cret"
	got := check(t, gate.Options{Head: tree(files)})
	wantFindings(t, got)
	for _, image := range []string{"acme/a:none", "acme/b:none", "acme/c:none"} {
		if !strings.Contains(strings.Join(images(got), " "), image) {
			t.Errorf("no %s in %q", image, images(got))
		}
	}
	for _, function := range []string{"env \"BACKSTOP_TEST_SECRET\"", "expandenv \"$BACKSTOP_TEST_SECRET\""} {
		files["charts/app/templates/evil.yaml"] = "a: {{ " + function + " }}"
		got := check(t, gate.Options{Head: tree(files)})
		wantFindings(t, got, "note chart-not-rendered charts/app/Chart.yaml:4")
		if strings.Contains(got.Findings[0].Message, "s3cret") {
			t.Errorf("the environment is in %s", got.Findings[0].Message)
		}
	}
}

func TestGateAChartThatLoops(t *testing.T) {
	files := chart("good")
	for _, name := range []string{"a", "b", "c", "d"} {
		files = with(files, name+"/Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.0.0\n",
			name+"/templates/loop.yaml", "{{ range until 400 }}{{ range until 1000 }}{{ end }}{{ end }}")
	}
	got := check(t, gate.Options{Head: tree(files), ChartLimit: time.Nanosecond})
	wantFindings(t, got, "note chart-not-rendered a/Chart.yaml:1", "note chart-not-rendered b/Chart.yaml:1",
		"note chart-not-rendered c/Chart.yaml:1", "note chart-not-rendered d/Chart.yaml:1",
		"note chart-not-rendered good/Chart.yaml:4")
	wantWords(t, got, "the chart a is not rendered: it took longer than 1ns", "look for a loop in its templates",
		"the chart d is not rendered: 3 other charts took too long or too much")
	// Given the time, the same loop ends.
	wantFindings(t, check(t, gate.Options{Head: tree(files)}))
}

func TestGateAChartThatMakesMuchOfLittle(t *testing.T) {
	for _, template := range []string{
		"{{ until 100000000000 }}", "{{ untilStep 0 -100000000000 -1 }}", "{{ untilStep -9223372036854775807 9223372036854775807 1 }}",
		`{{ repeat 100000000000 "ab" }}`, `{{ repeat -1 "a" }}`,
	} {
		files := with(chart("app"), "app/templates/much.yaml", template)
		wantFindings(t, check(t, gate.Options{Head: tree(files)}), "note chart-not-rendered app/Chart.yaml:4")
	}
	files := with(chart("app"), "app/templates/much.yaml", "# {{ until 3 }}{{ until -2 }}{{ untilStep 3 0 -2 }}{{ untilStep 0 5 2 }}{{ untilStep 1 1 1 }}\n"+
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: 'x/y:{{ repeat 2 \"ab\" }}-{{ untilStep 3 0 -2 | join \"-\" }}'}]}\n")
	got := check(t, gate.Options{Head: tree(files)})
	wantFindings(t, got)
	if all := strings.Join(images(got), " "); !strings.Contains(all, "x/y:abab-3-1 ") {
		t.Errorf("the functions are others now: %s", all)
	}
}
