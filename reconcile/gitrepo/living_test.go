package gitrepo

import (
	"slices"
	"strings"
	"testing"
)

func TestWhatGitHasAndNothingRenders(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	ks := fluxKustomization("web", "./apps/web")
	for name, at := range map[string]struct {
		files, want []string
	}{
		"beside one that Flux renders": {
			files: []string{"clusters/a/ks.yaml", ks, "apps/web/d.yaml", app("web", web+":v1"), ".archive/web/d.yaml", app("web", web+":v0")},
			want:  []string{"apps/web/d.yaml"},
		},
		"which Flux never sees": {
			files: []string{".sourceignore", "/*\n!/k8s\n", "k8s/web/d.yaml", app("web", web+":v1"), ".archive/web/d.yaml", app("web", web+":v0")},
			want:  []string{"k8s/web/d.yaml"},
		},
		"which Flux never sees, by a file in a folder": {
			files: []string{"old/.sourceignore", "web/\n", "k8s/web/d.yaml", app("web", web+":v1"), "old/web/d.yaml", app("web", web+":v0")},
			want:  []string{"k8s/web/d.yaml"},
		},
		"which Flux sees though its folder is left out": {
			files: []string{".sourceignore", "/*\n!/k8s/live\n", "k8s/live/d.yaml", app("web", web+":v1"), "k8s/old/d.yaml", app("web", web+":v0")},
			want:  []string{"k8s/live/d.yaml"},
		},
		"which Flux never sees, where no path leads to the other": {
			files: []string{".sourceignore", "/*\n!/k8s\n", "k8s/kustomization.yaml", kustomization("ks.yaml"), "k8s/ks.yaml", fluxKustomization("web", "./web"),
				"k8s/web/d.yaml", app("web", web+":v1"), ".archive/web/d.yaml", app("web", web+":v0")},
			want: []string{"k8s/web/d.yaml"},
		},
		"which Flux never sees, and nothing else": {
			files: []string{".sourceignore", "/*\n!/k8s\n", "k8s/web/d.yaml", app("web", "other:v1"), ".archive/web/d.yaml", app("web", web+":v0")},
			want:  []string{".archive/web/d.yaml"},
		},
		"where Flux renders none": {
			files: []string{"clusters/a/ks.yaml", ks, "apps/web/d.yaml", app("web", "other:v1"), ".archive/web/d.yaml", app("web", web+":v0")},
			want:  []string{".archive/web/d.yaml"},
		},
		"beside one in the files of a cluster": {
			files: []string{"clusters/a/ks.yaml", ks + "---\n" + fluxKustomization("a", "./clusters/a"), "clusters/a/d.yaml", app("own", web+":v1"),
				"apps/web/d.yaml", app("web", web+":v1"), "old/d.yaml", app("web", web+":v0")},
			want: []string{"apps/web/d.yaml", "clusters/a/d.yaml"},
		},
		"where the repository is built as a whole": {
			files: []string{"kustomization.yaml", kustomization("ks.yaml", "d.yaml"), "ks.yaml", ks, "apps/web/d.yaml", app("web", web+":v1"),
				"d.yaml", app("own", web+":v1")},
			want: []string{"apps/web/d.yaml", "d.yaml"},
		},
		"in a folder below one with a kustomization that does not list it, without Flux": {
			files: []string{"argo/kustomization.yaml", kustomization("set.yaml"), "argo/set.yaml", configMap("set", "a", "b"),
				"argo/web/kustomization.yaml", kustomization("d.yaml"), "argo/web/d.yaml", app("web", web+":v1"),
				"jobs/d.yaml", app("job", web+":v1")},
			want: []string{"argo/web/d.yaml", "jobs/d.yaml"},
		},
		"in such a folder, deeper and through a base": {
			files: []string{"argo/kustomization.yaml", kustomization("set.yaml"), "argo/set.yaml", configMap("set", "a", "b"),
				"argo/a/b/prod/kustomization.yaml", kustomization("../base"), "argo/a/b/base/kustomization.yaml", kustomization("d.yaml"),
				"argo/a/b/base/d.yaml", app("web", web+":v1"), "argo/a/b/base/old.yaml", app("old", web+":v0"),
				"jobs/d.yaml", app("job", web+":v1")},
			want: []string{"argo/a/b/base/d.yaml", "jobs/d.yaml"},
		},
		"in such a folder, and Flux renders another": {
			files: []string{"ks.yaml", ks, "apps/web/d.yaml", app("web", web+":v1"), "argo/kustomization.yaml", kustomization("set.yaml"),
				"argo/set.yaml", configMap("set", "a", "b"), "argo/web/kustomization.yaml", kustomization("d.yaml"),
				"argo/web/d.yaml", app("web", web+":v0")},
			want: []string{"apps/web/d.yaml"},
		},
		"in such a folder, which Flux never sees": {
			files: []string{".sourceignore", "/argo/web\n", "argo/kustomization.yaml", kustomization("set.yaml"),
				"argo/set.yaml", configMap("set", "a", "b"), "argo/web/kustomization.yaml", kustomization("d.yaml"),
				"argo/web/d.yaml", app("web", web+":v0"), "jobs/d.yaml", app("job", web+":v1")},
			want: []string{"jobs/d.yaml"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.put("first", at.files...)
			var bumped []string
			for i := 1; i < len(at.files); i += 2 {
				text := strings.NewReplacer(web+":v1", web+":v2", web+":v0", web+":v2").Replace(at.files[i])
				bumped = append(bumped, at.files[i-1], text)
			}
			c.put("bump", bumped...)
			q := ask(web + ":v2")
			q.ByPerson = true
			s, err := c.open().Blame(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range s.Places {
				got = append(got, n.File)
			}
			slices.Sort(got)
			if !slices.Equal(got, at.want) {
				t.Errorf("it stands in %q, want %q", got, at.want)
			}
		})
	}
}
