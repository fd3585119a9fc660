package manifest

import (
	"strings"
	"testing"
)

func TestWanted(t *testing.T) {
	deployment := func(name, image string, more ...string) string {
		return "kind: Deployment\nmetadata: {name: " + name + "}\nspec:\n  template:\n    spec:\n      containers:\n      - name: app\n        image: " +
			image + "\n" + strings.Join(more, "")
	}
	side := func(image string) string { return "      - name: side\n        image: " + image + "\n" }
	kustomization := func(entries string) string { return "kind: Kustomization\nimages:\n" + entries }
	release := "kind: HelmRelease\nmetadata: {name: app}\nspec:\n  values:\n    image:\n      repository: r/app\n      tag: v2\n"
	tests := map[string]struct {
		files      map[string]string
		candidates []string
		image, why string
	}{
		"a manifest says it": {files: map[string]string{"a.yaml": deployment("app", "r/app:v2")}, image: "r/app:v2"},
		"a manifest says it whatever the container had": {files: map[string]string{"a.yaml": deployment("app", "r/app:v3")},
			candidates: []string{"r/app:v2", "r/app:v1"}, image: "r/app:v3"},
		"another container with the live image does not count": {files: map[string]string{"a.yaml": deployment("app", "r/app:v2", side("r/app:v1"))},
			candidates: []string{"r/app:v2", "r/app:v1"}, image: "r/app:v2"},
		"another workload does not count": {files: map[string]string{"a.yaml": deployment("app", "r/app:v2"), "b.yaml": deployment("other", "r/app:v1")},
			candidates: []string{"r/app:v1"}, image: "r/app:v2"},
		"a prefix that kustomize adds": {files: map[string]string{"a.yaml": deployment("pp", "r/app:v1"), "b.yaml": deployment("app-pp", "r/app:v2")},
			image: "", why: "no file says an image"},
		"an entry of kustomize's images decides": {files: map[string]string{"a.yaml": deployment("app", "r/app:v1"),
			"kustomization.yaml": kustomization("- name: r/app\n  newTag: v2\n")}, candidates: []string{"r/app:v2", "r/app:v1"}, image: "r/app:v2"},
		"an entry decides without a history": {files: map[string]string{"a.yaml": deployment("app", "r/app:v1"),
			"kustomization.yaml": kustomization("- name: r/app\n  newName: m/app\n  newTag: v2\n")}, image: "m/app:v2"},
		"an entry for another image does not matter": {files: map[string]string{"a.yaml": deployment("app", "r/app:v1"),
			"kustomization.yaml": kustomization("- name: r/other\n  newTag: v2\n")}, image: "r/app:v1"},
		"a chart's values tell by what the container had": {files: map[string]string{"a.yaml": release},
			candidates: []string{"r/app:v2", "r/app:v1"}, image: "r/app:v2"},
		"a chart's values that the container never had": {files: map[string]string{"a.yaml": release}, candidates: []string{"r/app:v1"},
			why: "no file says an image for container app that it has or had"},
		"two templates that disagree are told apart by what the container had": {files: map[string]string{"base.yaml": deployment("app", "r/app:v1"),
			"patch.yaml": deployment("app", "r/app:v2")}, candidates: []string{"r/app:v2"}, image: "r/app:v2"},
		"two templates that disagree and no history": {files: map[string]string{"base.yaml": deployment("app", "r/app:v1"),
			"patch.yaml": deployment("app", "r/app:v2")}, why: "which of them counts cannot be told"},
		"a substitution is not the image": {files: map[string]string{"a.yaml": deployment("app", "r/app:${TAG}")},
			why: "something else changes that"},
		"nothing at all": {files: map[string]string{"a.yaml": "a: 1\n"}, candidates: []string{"r/app:v1"}, why: "no file says an image"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var all []Node
			for file, text := range tt.files {
				nodes, err := Nodes(file, []byte(text))
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, nodes...)
			}
			at := Target{Namespace: "develop", Kind: "Deployment", Name: "app", Container: "app"}
			image, why := Wanted(all, at, tt.candidates)
			if image != tt.image || (why == "") != (tt.image != "") || !strings.Contains(why, tt.why) {
				t.Errorf("got %q, %q; want %q, %q", image, why, tt.image, tt.why)
			}
		})
	}
}
