package release

import (
	"bytes"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	chartutil "helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

const digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

// charted makes the chart of this checkout.
func charted(t *testing.T) (*release, *chart.Chart) {
	t.Helper()
	r := &release{root: root, out: t.TempDir(), version: "v1.2.3", bare: "1.2.3", imageDigest: digest}
	var err error
	if r.tree, err = pinned(filepath.Join(root, "deploy", "kustomize"), r.version, digest); err != nil {
		t.Fatal(err)
	}
	if err := r.chart(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := loader.LoadArchive(bytes.NewReader(read(t, r.out, "backstop-1.2.3.tgz")))
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

// rendered is what helm install makes of the chart, CRDs included, by kind, namespace and name.
func rendered(t *testing.T, c *chart.Chart, namespace, values string) map[string]object {
	t.Helper()
	var given map[string]any
	if err := yaml.Unmarshal([]byte(values), &given); err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(c, given, common.ReleaseOptions{Name: "backstop", Namespace: namespace, IsInstall: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	texts, err := engine.Engine{Strict: true}.Render(c, all)
	if err != nil {
		t.Fatal(err)
	}
	var documents []string
	for name, text := range texts {
		if strings.HasSuffix(name, ".yaml") {
			documents = append(documents, strings.Split("\n"+text, "\n---\n")...)
		}
	}
	for _, crd := range c.CRDObjects() {
		documents = append(documents, string(crd.File.Data))
	}
	out := map[string]object{}
	for _, text := range documents {
		var o object
		if err := yaml.Unmarshal([]byte(text), &o); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if o != nil {
			out[keyOf(o)] = o
		}
	}
	return out
}

func keyOf(o object) string {
	meta := o["metadata"].(object)
	ns, _ := meta["namespace"].(string)
	return path.Join(o["kind"].(string), ns, meta["name"].(string))
}

// built is what kustomize makes, without the namespace: Helm's user has one.
func built(t *testing.T, r *release, folders ...string) map[string]object {
	t.Helper()
	found, err := objects(r.tree, folders...)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]object{}
	for _, o := range found {
		text, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		var again object
		if err := yaml.Unmarshal(text, &again); err != nil {
			t.Fatal(err)
		}
		if again["kind"] != "Namespace" {
			out[keyOf(again)] = again
		}
	}
	return out
}

func TestChartAndKustomizeRenderTheSame(t *testing.T) {
	r, c := charted(t)
	if diff := cmp.Diff(built(t, r), rendered(t, c, "backstop-system", "")); diff != "" {
		t.Errorf("default (-kustomize +chart):\n%s", diff)
	}
	var folders []string
	on := ""
	for _, one := range components {
		values := "components: {" + one.value + ": true}"
		if diff := cmp.Diff(built(t, r, one.folder), rendered(t, c, "backstop-system", values)); diff != "" {
			t.Errorf("%s (-kustomize +chart):\n%s", one.folder, diff)
		}
		folders, on = append(folders, one.folder), on+one.value+": true, "
	}
	if diff := cmp.Diff(built(t, r, folders...), rendered(t, c, "backstop-system", "components: {"+on+"}")); diff != "" {
		t.Errorf("all components (-kustomize +chart):\n%s", diff)
	}
}

func TestChartsValuesReachTheDeployment(t *testing.T) {
	_, c := charted(t)
	got := rendered(t, c, "ops", `
image: {repository: registry.example.com/backstop, tag: v9, digest: ""}
imagePullSecrets: [{name: mirror}]
replicas: 1
extraArgs: [--cluster=production, "--budget=1/1h"]
resources: {limits: {memory: 1Gi}}
tolerations: [{key: infra, operator: Exists}]
credentials:
- {namespace: flux-system, secrets: [flux-system, registry]}
- {namespace: team-a, secrets: [git]}
`)
	pod := got["Deployment/ops/backstop"]["spec"].(object)["template"].(object)["spec"].(object)
	container := pod["containers"].([]any)[0].(object)
	args := container["args"].([]any)
	if got := got["Deployment/ops/backstop"]["spec"].(object)["replicas"]; got != float64(1) {
		t.Errorf("%v replicas", got)
	}
	for what, differs := range map[string]string{
		"image":       cmp.Diff("registry.example.com/backstop:v9", container["image"]),
		"args":        cmp.Diff([]any{"--cluster=production", "--budget=1/1h"}, args[len(args)-2:]),
		"resources":   cmp.Diff("1Gi", container["resources"].(object)["limits"].(object)["memory"]),
		"secrets":     cmp.Diff([]any{object{"name": "mirror"}}, pod["imagePullSecrets"]),
		"tolerations": cmp.Diff([]any{object{"key": "infra", "operator": "Exists"}}, pod["tolerations"]),
	} {
		if differs != "" {
			t.Errorf("%s (-want +got):\n%s", what, differs)
		}
	}
	for ns, secrets := range map[string][]any{"flux-system": {"flux-system", "registry"}, "team-a": {"git"}} {
		rule := got["Role/"+ns+"/backstop-credentials"]["rules"].([]any)[0].(object)
		if !slices.Equal(rule["resourceNames"].([]any), secrets) {
			t.Errorf("in %s it may read %v", ns, rule["resourceNames"])
		}
		subject := got["RoleBinding/"+ns+"/backstop-credentials"]["subjects"].([]any)[0].(object)
		if subject["namespace"] != "ops" {
			t.Errorf("in %s the subject is in %v", ns, subject["namespace"])
		}
	}
	for key, o := range got {
		if text, err := yaml.Marshal(o); err != nil || strings.Contains(string(text), "backstop-system") {
			t.Errorf("%s names the namespace backstop-system, and the release is in ops: %v", key, err)
		}
	}
}
