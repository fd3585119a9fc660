package gitrepo

import (
	"slices"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// Clusters of one repository have Kustomizations and settings of the same names: what one of them says is not taken
// back for another. Where nobody can tell whose it is, the place that uses the variable is all that is known.
func TestTheSettingsOfAnotherClusterAreNotBlamed(t *testing.T) {
	t.Parallel()
	const from = "postBuild: {substituteFrom: [{kind: ConfigMap, name: cluster-settings}]}"
	settings := func(tag string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cluster-settings, namespace: flux-system}\ndata:\n  web_tag: " + tag + "\n"
	}
	by := func(name string) v1alpha1.ObjectRef {
		return v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: name}
	}
	for name, c := range map[string]struct {
		files, later []string
		others       []reconcile.Root
		want         []string
	}{
		"a cluster's own folder": {
			[]string{"clusters/dev/apps.yaml", fluxKustomization("apps", "./apps", from), "clusters/prod/apps.yaml", fluxKustomization("apps", "./apps", from),
				"clusters/dev/settings.yaml", settings("v1"), "clusters/prod/settings.yaml", settings("v1")},
			[]string{"clusters/dev/settings.yaml", settings("v2"), "clusters/prod/settings.yaml", settings("v2")},
			[]reconcile.Root{{By: by("flux-system"), Path: "clusters/dev"}}, []string{"clusters/dev/settings.yaml"},
		},
		"of another cluster": {
			[]string{"clusters/dev/apps.yaml", fluxKustomization("apps", "./apps", from), "clusters/prod/apps.yaml", fluxKustomization("apps", "./apps", from),
				"clusters/dev/settings.yaml", settings("v1"), "clusters/prod/settings.yaml", settings("v1")},
			[]string{"clusters/dev/settings.yaml", settings("v2"), "clusters/prod/settings.yaml", settings("v2")},
			[]reconcile.Root{{By: by("flux-system"), Path: "clusters/prod"}}, []string{"clusters/prod/settings.yaml"},
		},
		"nobody knows whose": {
			[]string{"clusters/dev/apps.yaml", fluxKustomization("apps", "./apps", from), "clusters/prod/apps.yaml", fluxKustomization("apps", "./apps", from),
				"clusters/dev/settings.yaml", settings("v1"), "clusters/prod/settings.yaml", settings("v1")},
			[]string{"clusters/dev/settings.yaml", settings("v2"), "clusters/prod/settings.yaml", settings("v2")}, nil, []string{"apps/web.yaml"},
		},
		"two settings, as far away": {
			[]string{"cluster/apps.yaml", fluxKustomization("apps", "./apps", from), "config/a/settings.yaml", settings("v1"), "config/b/settings.yaml", settings("v1")},
			[]string{"config/a/settings.yaml", settings("v2"), "config/b/settings.yaml", settings("v2")}, nil, []string{"apps/web.yaml"},
		},
		"settings of another namespace": {
			[]string{"cluster/apps.yaml", fluxKustomization("apps", "./apps", from), "cluster/others.yaml", strings.Replace(settings("v1"), "flux-system", "team", 1),
				"config/settings.yaml", settings("v1")},
			[]string{"cluster/others.yaml", strings.Replace(settings("v2"), "flux-system", "team", 1), "config/settings.yaml", settings("v2")},
			nil, []string{"config/settings.yaml"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.put("add", append(c.files, "apps/web.yaml", deployment("develop", "web", "reg.example.org/web:${web_tag}", ""))...)
			w.put("bump", c.later...)
			s, err := w.mirrors.Blame(t.Context(), w.src, reconcile.Query{Image: "reg.example.org/web:v2", Namespace: "develop",
				Root: reconcile.Root{By: by("apps"), Path: "apps"}, Others: c.others})
			var got []string
			for _, n := range s.Places {
				got = append(got, n.File)
			}
			if !slices.Equal(got, c.want) || err != nil {
				t.Errorf("%q is blamed, %v; want %q", got, err, c.want)
			}
		})
	}
}
