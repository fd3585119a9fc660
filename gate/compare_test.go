package gate_test

import (
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/gate"
)

func TestCompareSaysWhatARevertRenders(t *testing.T) {
	entry := func(tag string) string {
		return "resources: [web.yaml, worker.yaml]\nimages: [{name: web, newName: reg/web, newTag: " + tag + "}]\n"
	}
	files := map[string]string{
		"apps/kustomization.yaml": entry("v2"), "apps/web.yaml": deployment("web", "web"), "apps/worker.yaml": deployment("worker", "worker:1"),
		"other/web.yaml": deployment("other", "reg/web:v2"), "vars.yaml": kustomization("vars", "./vars", "prune: true"),
		"vars/d.yaml":            deployment("vars", "reg/vars:v2"),
		"gen/kustomization.yaml": "configMapGenerator: [{name: values, files: [values.yaml]}]\n",
		"gen/values.yaml":        "image: {repository: reg/api, tag: v2}\n",
	}
	tests := map[string]struct {
		file, content string
		changes       []string
		broken, left  string
		had           bool
	}{
		"the image goes back in one place and stays in another": {
			file: "apps/kustomization.yaml", content: entry("v1"), changes: []string{"Deployment web in apps: reg/web:v2 → reg/web:v1"},
			left: "other/web.yaml", had: true,
		},
		"values in a ConfigMap whose name has their hash": {
			file: "gen/values.yaml", content: "image: {repository: reg/api, tag: v1}\n", had: true,
			changes: []string{"ConfigMap values in gen: reg/api:v2 → reg/api:v1"}, left: "apps/kustomization.yaml other/web.yaml",
		},
		"a value that nothing renders": {
			file: "apps/web.yaml", content: deployment("web", "web:v1"), left: "apps/kustomization.yaml other/web.yaml", had: true,
		},
		"an object that is named after the image": {
			file: "other/web.yaml", content: deployment("web-of-v1", "reg/web:v1"), had: true, left: "apps/kustomization.yaml",
			changes: []string{"Deployment other is gone, which ran reg/web:v2", "Deployment web-of-v1 is new, and runs reg/web:v1"},
		},
		"a variable that nothing replaces": {
			file: "vars/d.yaml", content: deployment("vars", "reg/vars:${TAG}"), broken: "nothing here replaces", had: true,
			changes: []string{"Deployment vars in vars: reg/vars:v2 → reg/vars:${TAG}"}, left: "apps/kustomization.yaml other/web.yaml",
		},
		"a folder that is not built any more": {
			file: "apps/kustomization.yaml", content: "resources: [web.yaml, none.yaml]\n", broken: "none.yaml", had: true,
			left: "other/web.yaml",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			after := with(files, tt.file, tt.content)
			c, err := gate.Compare(t.Context(), tree(files).FS, tree(after).FS, "reg/web:v2")
			if err != nil {
				t.Fatal(err)
			}
			var changes, left, broken []string
			for _, change := range c.Changes {
				changes = append(changes, change.String())
			}
			for _, u := range c.Left {
				left = append(left, u.File)
			}
			for _, f := range c.Broken {
				broken = append(broken, f.Message)
			}
			if got, want := strings.Join(changes, "\n"), strings.Join(tt.changes, "\n"); got != want && tt.broken == "" {
				t.Errorf("it changes\n%s\nwant\n%s", got, want)
			}
			if got := strings.Join(left, " "); got != tt.left && tt.broken == "" {
				t.Errorf("the image is left in %q, want %q", got, tt.left)
			}
			if got := strings.Join(broken, " "); !strings.Contains(got, tt.broken) || (got == "") != (tt.broken == "") {
				t.Errorf("broken is %q, want %q", got, tt.broken)
			}
			if c.Had != tt.had {
				t.Errorf("had is %t", c.Had)
			}
		})
	}
}

func TestCompareCallsNothingBrokenThatWasBroken(t *testing.T) {
	patched := func(tag string) string {
		return "resources: [web.yaml]\npatches: [{target: {kind: Deployment}, patch: \"[{op: replace, value: 'web:" + tag + "'}]\"}]\n"
	}
	files := map[string]string{"kustomization.yaml": patched("v2"), "web.yaml": deployment("web", "web")}
	after := with(files, "kustomization.yaml", patched("v1"))
	c, err := gate.Compare(t.Context(), tree(files).FS, tree(after).FS, "web:v2")
	if err != nil || len(c.Broken) > 0 {
		t.Errorf("broken is %v, %v", c.Broken, err)
	}
}

func TestCompareNamesAPlaceOnceThatTwoFoldersRender(t *testing.T) {
	files := map[string]string{
		"base/kustomization.yaml": "resources: [web.yaml]\n", "base/web.yaml": deployment("web", "reg/web:v2"),
		"red/kustomization.yaml": "resources: [../base]\n", "blue/kustomization.yaml": "resources: [../base]\n",
		"other.yaml": deployment("other", "reg/web:v2"),
	}
	c, err := gate.Compare(t.Context(), tree(files).FS, tree(with(files, "other.yaml", deployment("other", "reg/web:v1"))).FS, "reg/web:v2")
	if err != nil || len(c.Left) != 1 {
		t.Errorf("left is %v, %v", c.Left, err)
	}
}
