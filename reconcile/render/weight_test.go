package render_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// twice is a kustomization that names the one below it twice, under two prefixes, and so on.
func twice(levels int) map[string]string {
	files := map[string]string{"l0/app.yaml": deployment("app", "reg/app:v1"), "l0/kustomization.yaml": "resources: [app.yaml]\n"}
	for i := 1; i <= levels; i++ {
		for _, s := range []string{"a", "b"} {
			files[fmt.Sprintf("%s%d/kustomization.yaml", s, i)] = fmt.Sprintf("namePrefix: %s%d-\nresources: [../l%d]\n", s, i, i-1)
		}
		files[fmt.Sprintf("l%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../a%d, ../b%d]\n", i, i)
	}
	return files
}

// A tenant's repository makes a few lines stand for more than there is memory. It is refused before it is built.
func TestAFewLinesThatStandForMuchAreNotBuilt(t *testing.T) {
	config := func(data string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: |\n    " + strings.ReplaceAll(data, "\n", "\n    ") + "\n"
	}
	spec := func(value string) kustomizev1.KustomizationSpec {
		return kustomizev1.KustomizationSpec{Path: "a", PostBuild: &kustomizev1.PostBuild{Substitute: map[string]string{"V": value}}}
	}
	mega := strings.Repeat("y", 1<<20)
	var generators, plugged, many strings.Builder
	for i := range 40 {
		fmt.Fprintf(&plugged, "- k%d=big.txt\n", i)
		fmt.Fprintf(&generators, "- {name: c%d, files: [big.txt]}\n", i)
	}
	for i := range 2000 {
		fmt.Fprintf(&many, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c%d}\n", i)
	}
	for name, tt := range map[string]struct {
		files map[string]string
		spec  kustomizev1.KustomizationSpec
	}{
		"two of two of two": {twice(30), kustomizev1.KustomizationSpec{Path: "l30"}},
		"a file that forty generators load": {
			map[string]string{"a/kustomization.yaml": "configMapGenerator:\n" + generators.String(), "a/big.txt": mega}, kustomizev1.KustomizationSpec{Path: "a"}},
		"a file that one generator's configuration loads forty times": {
			map[string]string{"a/kustomization.yaml": "generators: [gen.yaml]\n", "a/big.txt": mega,
				"a/gen.yaml": "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: x}\nfiles:\n" + plugged.String()},
			kustomizev1.KustomizationSpec{Path: "a"}},
		"a transformer's patch for two thousand objects": {
			map[string]string{"a/kustomization.yaml": "resources: [many.yaml]\ntransformers: [t.yaml]\n", "a/many.yaml": many.String(),
				"a/t.yaml": "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: x}\npath: p.yaml\ntarget: {kind: ConfigMap}\n",
				"a/p.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: " + mega + "}\n"},
			kustomizev1.KustomizationSpec{Path: "a"}},
		"an annotation for two thousand objects": {
			map[string]string{"a/kustomization.yaml": "resources: [many.yaml]\ncommonAnnotations: {a: " + mega + "}\n", "a/many.yaml": many.String()},
			kustomizev1.KustomizationSpec{Path: "a"}},
		"a patch for two thousand objects": {
			map[string]string{"a/kustomization.yaml": "resources: [many.yaml]\npatches: [{path: p.yaml, target: {kind: ConfigMap}}]\n", "a/many.yaml": many.String(),
				"a/p.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: " + mega + "}\n"},
			kustomizev1.KustomizationSpec{Path: "a"}},
		"a long variable in many places":    {map[string]string{"a/app.yaml": config(strings.Repeat("x: ${V}\n", 2000))}, spec(strings.Repeat("z", 50_000))},
		"a variable whose letters are many": {map[string]string{"a/app.yaml": config("${V//z/" + strings.Repeat("q", 10_000) + "}")}, spec(strings.Repeat("z", 10_000))},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := render.Objects(t.Context(), render.NewTree(tree(tt.files)), &render.Job{Spec: tt.spec})
			if !errors.Is(err, render.ErrTooMuch) || reconcile.KindOf(err) != reconcile.FaultNotRendered {
				t.Errorf("got %v (%s), want that it is too much", err, reconcile.KindOf(err))
			}
		})
	}
}

func TestWhatPeopleWriteIsNotTooMuch(t *testing.T) {
	certificate := strings.Repeat("MIIB", 2000)
	for name, tt := range map[string]struct {
		files map[string]string
		spec  kustomizev1.KustomizationSpec
		want  int
	}{
		"five levels of two": {twice(5), kustomizev1.KustomizationSpec{Path: "l5"}, 32},
		"one file":           {map[string]string{"a/app.yaml": deployment("a", "a:1")}, kustomizev1.KustomizationSpec{Path: "a"}, 1},
		"a certificate, and addresses by default": {
			map[string]string{"a/app.yaml": deployment("a", "${REG:=ghcr.io/acme}/a:${TAG}") + strings.Repeat("# ${URL:=https://acme.io/a/b}\n", 200)},
			kustomizev1.KustomizationSpec{Path: "a", PostBuild: &kustomizev1.PostBuild{Substitute: map[string]string{"TAG": "v1", "CA": certificate}}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := render.Objects(t.Context(), render.NewTree(tree(tt.files)), &render.Job{Spec: tt.spec})
			if err != nil || len(got) != tt.want {
				t.Errorf("%d objects, %v; want %d", len(got), err, tt.want)
			}
		})
	}
}
