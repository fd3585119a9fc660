package render_test

import (
	"strings"
	"testing"
	"testing/fstest"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/render"
)

func deployment(name, image string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " + name + "}\nspec:\n  template:\n    spec:\n" +
		"      containers:\n      - {name: app, image: \"" + image + "\"}\n"
}

func tree(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, data := range files {
		out[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return out
}

// imageOf is the image of the first container of a rendered Deployment.
func imageOf(t *testing.T, objects []*unstructured.Unstructured, ref v1alpha1.ObjectRef) string {
	t.Helper()
	o := find(objects, "apps", ref)
	if o == nil {
		t.Fatalf("no %s among the %d objects", ref, len(objects))
	}
	list, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	if err != nil || len(list) == 0 {
		t.Fatalf("%s has no containers: %v", ref, err)
	}
	image, _, _ := unstructured.NestedString(list[0].(map[string]any), "image")
	return image
}

func TestObjectsRendersWhatFluxApplies(t *testing.T) {
	app := deployment("app", "reg/app:v1")
	images := []kustomize.Image{{Name: "reg/app", NewTag: "v9"}}
	tests := map[string]struct {
		files map[string]string
		job   render.Job
		name  string
		ns    string
		want  string
	}{
		"a folder without a kustomization": {
			files: map[string]string{"apps/a/app.yaml": app}, job: render.Job{Spec: kustomizev1.KustomizationSpec{Path: "./apps"}},
			want: "reg/app:v1",
		},
		"images of the Kustomization count after those of the folder": {
			files: map[string]string{
				"apps/app.yaml":           app,
				"apps/kustomization.yaml": "resources: [app.yaml]\nimages: [{name: reg/app, newTag: v5}]\n",
			},
			job:  render.Job{Spec: kustomizev1.KustomizationSpec{Path: "/apps/", Images: images}},
			want: "reg/app:v9",
		},
		"a patch, a prefix and a namespace": {
			files: map[string]string{"apps/app.yaml": app},
			job: render.Job{Spec: kustomizev1.KustomizationSpec{
				Path: "apps", TargetNamespace: "prod", NamePrefix: "eu-",
				Patches: []kustomize.Patch{{Patch: "- {op: replace, path: /spec/template/spec/containers/0/image, value: reg/app:v7}",
					Target: &kustomize.Selector{Kind: "Deployment"}}},
			}},
			name: "eu-app", ns: "prod", want: "reg/app:v7",
		},
		"a component that sets the image, and one that is not there": {
			files: map[string]string{
				"apps/app.yaml": app,
				"parts/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n" +
					"images: [{name: reg/app, newTag: v3}]\n",
			},
			job: render.Job{Spec: kustomizev1.KustomizationSpec{
				Path: "apps", Components: []string{"../parts", "../none"}, IgnoreMissingComponents: true,
			}},
			want: "reg/app:v3",
		},
		"variables of the Kustomization before those of the cluster, and defaults": {
			files: map[string]string{"apps/app.yaml": deployment("app", "${REG:=reg}/app:${TAG}${SUFFIX}")},
			job: render.Job{
				Spec: kustomizev1.KustomizationSpec{Path: "apps", PostBuild: &kustomizev1.PostBuild{Substitute: map[string]string{"TAG": "v2"}}},
				From: map[string]string{"TAG": "v1", "SUFFIX": "-eu"},
			},
			want: "reg/app:v2-eu",
		},
		"a variable that is not known stays": {
			files: map[string]string{"apps/app.yaml": deployment("app", "reg/app:${TAG}")},
			job: render.Job{Open: true,
				Spec: kustomizev1.KustomizationSpec{Path: "apps", PostBuild: &kustomizev1.PostBuild{}}},
			want: "reg/app:${TAG}",
		},
		"replacements": {
			files: map[string]string{
				"apps/app.yaml":      app,
				"apps/versions.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: versions}\ndata: {app: v4}\n",
				"apps/kustomization.yaml": "resources: [app.yaml, versions.yaml]\nreplacements:\n- source: {kind: ConfigMap, name: versions, " +
					"fieldPath: data.app}\n  targets:\n  - select: {kind: Deployment}\n    fieldPaths: [spec.template.spec.containers.0.image]\n" +
					"    options: {delimiter: ':', index: 1}\n",
			},
			job: render.Job{Spec: kustomizev1.KustomizationSpec{Path: "apps"}}, want: "reg/app:v4",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			objects, err := render.Objects(t.Context(), render.NewTree(tree(tt.files)), &tt.job)
			if err != nil {
				t.Fatal(err)
			}
			if tt.name == "" {
				tt.name = "app"
			}
			ref := v1alpha1.ObjectRef{Kind: "Deployment", Namespace: tt.ns, Name: tt.name}
			if got := imageOf(t, objects, ref); got != tt.want {
				t.Errorf("the image is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestObjectsGivesCommonMetadataToAll(t *testing.T) {
	job := render.Job{Spec: kustomizev1.KustomizationSpec{
		Path: "apps", CommonMetadata: &kustomizev1.CommonMetadata{Labels: map[string]string{"team": "shop"}},
	}}
	objects, err := render.Objects(t.Context(), render.NewTree(tree(map[string]string{"apps/a.yaml": deployment("a", "a:1")})), &job)
	if err != nil || len(objects) != 1 || objects[0].GetLabels()["team"] != "shop" {
		t.Errorf("got %v, %v; want one object with the label", objects, err)
	}
}

func TestObjectsRefusesWhatLeadsElsewhere(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for i := range 8 {
		bomb += string(rune('b'+i)) + ": &" + string(rune('b'+i)) + " [" +
			strings.TrimSuffix(strings.Repeat("*"+string(rune('a'+i))+",", 9), ",") + "]\n"
	}
	tests := map[string]struct {
		files map[string]string
		path  string
		want  string
	}{
		"a path out of the tree, taken from its root": {path: "../other", want: "does not exist"},
		"a folder that is not there":                  {path: "none", want: "does not exist"},
		"a base that is another's":                    {files: map[string]string{"apps/kustomization.yaml": "resources: [\"github.com/acme/base?ref=v1\"]\n"}, want: "remote"},
		"a file by its address":                       {files: map[string]string{"apps/kustomization.yaml": "openapi: {path: https://example.org/x.json}\n"}, want: "fetched"},
		"a generator that fetches":                    {files: map[string]string{"apps/kustomization.yaml": "generators: [g.yaml]\n", "apps/g.yaml": "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: x}\nfiles: [https://example.org/x]\n"}, want: "fetched"},
		"a reference out of the tree":                 {files: map[string]string{"apps/kustomization.yaml": "resources: [../../../etc]\n"}, want: "out of the repository"},
		"charts, which Flux inflates not":             {files: map[string]string{"apps/kustomization.yaml": "helmCharts: [{name: x, repo: https://example.org}]\n"}, want: "enable-helm"},
		"aliases of aliases":                          {files: map[string]string{"apps/bomb.yaml": "kind: X\napiVersion: v1\nmetadata: {name: x}\n" + bomb}, want: "aliases"},
		"what kustomize cannot build":                 {files: map[string]string{"apps/kustomization.yaml": "patches: [{patch: nonsense}]\n"}, want: "cannot"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.path == "" {
				tt.path = "apps"
			}
			job := render.Job{Spec: kustomizev1.KustomizationSpec{Path: tt.path}}
			objects, err := render.Objects(t.Context(), render.NewTree(tree(tt.files)), &job)
			said, refused := reconcile.AsRefusal(err)
			if !refused || !strings.Contains(said, tt.want) {
				t.Errorf("got %d objects and %v; want a refusal with %q", len(objects), err, tt.want)
			}
		})
	}
}

// find gives the object of a reference among rendered ones; nil if absent. A reference without a namespace
// means an object that has none, and one whose Kustomization leaves the namespace to the cluster.
func find(objects []*unstructured.Unstructured, group string, ref v1alpha1.ObjectRef) *unstructured.Unstructured {
	for _, o := range objects {
		if o.GetKind() != ref.Kind || o.GetName() != ref.Name || o.GroupVersionKind().Group != group {
			continue
		}
		if ns := o.GetNamespace(); ns == ref.Namespace || ns == "" {
			return o
		}
	}
	return nil
}
