package gitrepo

import (
	"slices"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// What runs in a namespace is not reverted in the files of another one, whose namespace kustomizations alone name.
func TestANamespaceThatAKustomizationNamesCounts(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	overlay := func(ns, tag string) string {
		return "namespace: " + ns + "\nresources: [../base]\nimages: [{name: " + web + ", newTag: " + tag + "}]\n"
	}
	own := func(ns string) string { return "namespace: " + ns + "\nresources: [web.yaml]\n" }
	bare := func(tag string) string { return deployment("", "web", web+":"+tag, "") }
	for name, c := range map[string]struct {
		files, later []string
		in           string
		want         []string
	}{
		"the namespace's own overlay": {
			[]string{"apps/kustomization.yaml", kustomization("dev", "prod"), "apps/base/kustomization.yaml", kustomization("web.yaml"), "apps/base/web.yaml", bare("v0"),
				"apps/dev/kustomization.yaml", overlay("dev", "v1"), "apps/prod/kustomization.yaml", overlay("prod", "v1")},
			[]string{"apps/prod/kustomization.yaml", overlay("prod", "v2")}, "prod", []string{"apps/prod/kustomization.yaml"},
		},
		"an overlay of another": {
			[]string{"apps/kustomization.yaml", kustomization("dev", "prod"), "apps/base/kustomization.yaml", kustomization("web.yaml"), "apps/base/web.yaml", bare("v0"),
				"apps/dev/kustomization.yaml", overlay("dev", "v1"), "apps/prod/kustomization.yaml", overlay("prod", "v1")},
			[]string{"apps/prod/kustomization.yaml", overlay("prod", "v2")}, "dev", nil,
		},
		"a manifest of another": {
			[]string{"apps/kustomization.yaml", kustomization("dev", "prod"), "apps/dev/kustomization.yaml", own("dev"), "apps/dev/web.yaml", bare("v1"),
				"apps/prod/kustomization.yaml", own("prod"), "apps/prod/web.yaml", bare("v1")},
			[]string{"apps/prod/web.yaml", bare("v2")}, "dev", nil,
		},
		"a manifest of its own": {
			[]string{"apps/kustomization.yaml", kustomization("dev", "prod"), "apps/dev/kustomization.yaml", own("dev"), "apps/dev/web.yaml", bare("v1"),
				"apps/prod/kustomization.yaml", own("prod"), "apps/prod/web.yaml", bare("v1")},
			[]string{"apps/prod/web.yaml", bare("v2")}, "prod", []string{"apps/prod/web.yaml"},
		},
		"a base that both have": {
			[]string{"apps/kustomization.yaml", kustomization("dev", "prod"), "apps/base/kustomization.yaml", kustomization("web.yaml"), "apps/base/web.yaml", bare("v1"),
				"apps/dev/kustomization.yaml", "namespace: dev\nresources: [../base]\n", "apps/prod/kustomization.yaml", "namespace: prod\nresources: [../base]\n"},
			[]string{"apps/base/web.yaml", bare("v2")}, "dev", []string{"apps/base/web.yaml"},
		},
		"a namespace that Flux names, and no kustomization": {
			[]string{"apps/kustomization.yaml", kustomization("a", "b"), "apps/a/kustomization.yaml", own("a"), "apps/a/web.yaml", bare("v1"),
				"apps/b/kustomization.yaml", "namespace: b\nresources: [other.yaml]\n", "apps/b/other.yaml", deployment("", "other", "reg.example.org/other:1", "")},
			[]string{"apps/a/web.yaml", bare("v2")}, "target", []string{"apps/a/web.yaml"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.put("add", c.files...)
			w.put("bump", c.later...)
			s, err := w.mirrors.Blame(t.Context(), w.src, reconcile.Query{Image: web + ":v2", Namespace: c.in,
				Workload: v1alpha1.Workload{Kind: "Deployment", Name: "web"}, Root: reconcile.Root{By: applier, Path: "apps"}})
			var got []string
			for _, n := range s.Places {
				got = append(got, n.File)
			}
			if !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) {
				t.Errorf("%q is blamed, %v; want %q", got, err, c.want)
			}
		})
	}
}
