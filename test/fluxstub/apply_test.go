package fluxstub

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestInventoryEntriesAreReadAsTheyAreWritten(t *testing.T) {
	object := func(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
		o.SetNamespace(namespace)
		o.SetName(name)
		return o
	}
	objects := []*unstructured.Unstructured{
		object("v1", "Namespace", "", "develop"),
		object("rbac.authorization.k8s.io/v1", "ClusterRole", "", "system:reader"),
		object("apps/v1", "Deployment", "develop", "backend"),
		object("v1", "Service", "develop", "backend"),
	}
	entries := inventoryOf(objects)
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.ID+" "+e.Version)
	}
	want := []string{
		"_develop__Namespace v1", "_system__reader_rbac.authorization.k8s.io_ClusterRole v1",
		"develop_backend__Service v1", "develop_backend_apps_Deployment v1",
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Fatal(diff)
	}
	for _, e := range entries {
		o, err := objectOf(e)
		if err != nil {
			t.Fatal(err)
		}
		if again := inventoryOf([]*unstructured.Unstructured{o})[0]; again != e {
			t.Errorf("%v became %v", e, again)
		}
	}
	if _, err := objectOf(kustomizev1.ResourceRef{ID: "nonsense"}); err == nil {
		t.Error("nonsense was read")
	}
}

// archive packs files; a name that ends in @ is a link to its content.
func archive(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}
		if link, ok := strings.CutSuffix(name, "@"); ok {
			header = &tar.Header{Name: link, Linkname: text, Typeflag: tar.TypeSymlink}
			text = ""
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBuild(t *testing.T) {
	const one, two = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\n"
	for _, tc := range []struct {
		name    string
		files   map[string]string
		path    string
		want    string
		problem string
	}{
		{name: "manifests without a kustomization file", files: map[string]string{"apps/a.yaml": one, "apps/deep/b.yml": two, "apps/notes.txt": "-"}, path: "./apps", want: "one two"},
		{name: "a folder below with a kustomization file of its own", path: "apps", want: "one",
			files: map[string]string{"apps/x/kustomization.yaml": "resources: [a.yaml]", "apps/x/a.yaml": one, "apps/x/b.yaml": two}},
		{name: "a base outside the path", path: "apps", want: "one",
			files: map[string]string{"apps/Kustomization": "resources: [../base]", "base/kustomization.yml": "resources: [a.yaml]", "base/a.yaml": one}},
		{name: "a path that goes out of the repository stays in it", files: map[string]string{"a.yaml": one}, path: "../../..", want: "one"},
		{name: "an encrypted file", files: map[string]string{"a.yaml": one + "sops: {mac: x}\n"}, want: "one"},
		{name: "a link is not followed", files: map[string]string{"a.yaml": one, "b.yaml@": "/etc/passwd"}, want: "one"},
		{name: "no such path", files: map[string]string{"a.yaml": one}, path: "apps", problem: "kustomization path not found"},
		{name: "what is no manifest", files: map[string]string{"a.yaml": "a: [1"}, problem: "kustomize build failed"},
		{name: "what is no kustomization file", files: map[string]string{"kustomization.yaml": "resources: 7"}, problem: "failed to decode kustomization file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := &kustomizev1.Kustomization{Spec: kustomizev1.KustomizationSpec{Path: tc.path}}
			objects, _, err := build(archive(t, tc.files), k)
			var names []string
			for _, o := range objects {
				names = append(names, o.GetName())
				if o.Object["sops"] != nil {
					t.Error("the sops key is applied")
				}
			}
			if tc.problem == "" && (err != nil || strings.Join(names, " ") != tc.want) {
				t.Errorf("got %v, %v", names, err)
			}
			if tc.problem != "" && (err == nil || !strings.Contains(err.Error(), tc.problem)) {
				t.Errorf("got %v", err)
			}
		})
	}
}
