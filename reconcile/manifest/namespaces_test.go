package manifest

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestNamespaces(t *testing.T) {
	fsys := fstest.MapFS{}
	for name, text := range map[string]string{
		"apps/kustomization.yaml":          "resources: [dev, prod, own, plain.yaml]\n",
		"apps/plain.yaml":                  "kind: Deployment\n",
		"apps/dev/kustomization.yaml":      "namespace: dev\nresources: [../base, more]\n",
		"apps/dev/more/kustomization.yaml": "namespace: inner\nresources: [x.yaml]\n",
		"apps/dev/more/x.yaml":             "kind: Deployment\n",
		"apps/prod/kustomization.yaml":     "namespace: prod\nresources: [../base]\npatches: [{path: patch.yaml}]\n",
		"apps/prod/patch.yaml":             "kind: Deployment\n",
		"apps/own/kustomization.yaml":      "resources: [../base]\n",
		"apps/base/kustomization.yaml":     "resources: [app.yaml, ../dev/more]\n",
		"apps/base/app.yaml":               "kind: Deployment\n",
	} {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	got, err := Namespaces(fsys, "apps")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"apps/kustomization.yaml": {""}, "apps/plain.yaml": {""},
		"apps/dev/kustomization.yaml": {"dev"}, "apps/dev/more/kustomization.yaml": {"dev", "inner", "prod"}, "apps/dev/more/x.yaml": {"dev", "inner", "prod"},
		"apps/prod/kustomization.yaml": {"prod"}, "apps/prod/patch.yaml": {"prod"}, "apps/own/kustomization.yaml": {""},
		"apps/base/kustomization.yaml": {"", "dev", "prod"}, "apps/base/app.yaml": {"", "dev", "prod"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
