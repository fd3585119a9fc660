package flux

import (
	"cmp"
	"strings"
	"testing"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

const fleetURL = "https://git.example.com/acme/fleet"

// split splits namespace/name.
func split(s string) types.NamespacedName {
	ns, name, _ := strings.Cut(s, "/")
	return types.NamespacedName{Namespace: ns, Name: name}
}

// git is a GitRepository on main with a Secret whose user is its own name; lendTo is its annotation.
func git(name, url string, lendTo ...string) []client.Object {
	n := split(name)
	r := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: n.Namespace, Name: n.Name}}
	r.Spec.URL, r.Spec.Reference = url, &sourcev1.GitRepositoryRef{Branch: "main"}
	r.Spec.SecretRef = &meta.LocalObjectReference{Name: n.Name}
	if len(lendTo) > 0 {
		r.Annotations = map[string]string{LendToAnnotation: strings.Join(lendTo, ", ")}
	}
	return []client.Object{r, secret(n.Namespace, n.Name, map[string]string{"username": name, "password": "x"})}
}

// ks is a Kustomization that deploys a source's folder, and has applied a Deployment web into each namespace of lands.
func ks(name, source, path string, lands ...string) []client.Object {
	n, src := split(name), split(source)
	k := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: n.Namespace, Name: n.Name}}
	k.Spec.Path = path
	k.Spec.SourceRef = kustomizev1.CrossNamespaceSourceReference{Kind: kindGitRepository, Name: src.Name}
	if src.Namespace != n.Namespace {
		k.Spec.SourceRef.Namespace = src.Namespace
	}
	k.Status.Inventory = &kustomizev1.ResourceInventory{}
	for _, ns := range lands {
		k.Status.Inventory.Entries = append(k.Status.Inventory.Entries,
			kustomizev1.ResourceRef{ID: "_" + ns + "__Namespace"}, kustomizev1.ResourceRef{ID: ns + "_web_apps_Deployment"})
	}
	settle(&k.Status.Conditions)
	return []client.Object{k}
}

// iua is an automation that updates a folder and pushes with a GitRepository to main.
func iua(name, repo, path string) []client.Object {
	n, r := split(name), split(repo)
	a := &automationv1.ImageUpdateAutomation{ObjectMeta: metav1.ObjectMeta{Namespace: n.Namespace, Name: n.Name}}
	a.Spec.SourceRef = automationv1.CrossNamespaceSourceReference{Kind: kindGitRepository, Name: r.Name}
	if r.Namespace != n.Namespace {
		a.Spec.SourceRef.Namespace = r.Namespace
	}
	a.Spec.Update = &automationv1.UpdateStrategy{Path: path}
	a.Spec.GitSpec = &automationv1.GitSpec{Commit: automationv1.CommitSpec{
		Author: automationv1.CommitUser{Name: name, Email: "bot@example.com"},
	}}
	return []client.Object{a}
}

// web is a Deployment in a namespace that a Kustomization's labels claim.
func web(namespace, by string) []client.Object {
	n := split(by)
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"}}
	d.Labels = fluxLabels("kustomize", n.Name, n.Namespace)
	return []client.Object{d}
}

func layout(options Options, parts ...[]client.Object) *scene {
	s := &scene{missing: map[string]bool{}, forbidden: map[string]bool{}, options: options}
	for _, p := range parts {
		s.more = append(s.more, p...)
	}
	return s
}

// noCross is how the overlays run Backstop.
var noCross = Options{NoCrossNamespaceRefs: true}

func TestWhoPushesInEachLayout(t *testing.T) {
	const mine = "./apps/develop"
	for _, c := range []struct {
		name    string
		options Options
		parts   [][]client.Object
		// of is the workload's namespace; develop where it is empty.
		of string
		// with is a policy's sourceRef.
		with string
		// reads and pushes name GitRepositories; pushes is reads where it is empty. author is an automation, or Backstop.
		reads, pushes, author string
		// refuses is why nothing may be pushed, lend the command that would let it.
		refuses, lend string
	}{
		{name: "everything is in flux-system", options: noCross, parts: [][]client.Object{
			git("flux-system/flux-system", fleetURL), ks("flux-system/apps", "flux-system/flux-system", mine, "develop"),
			iua("flux-system/bot", "flux-system/flux-system", "./apps"), web("develop", "flux-system/apps"),
		}, reads: "flux-system/flux-system", author: "flux-system/bot"},
		{name: "automation is in each environment's namespace with a GitRepository of its own", options: noCross,
			parts: [][]client.Object{
				git("flux-system/fleet", fleetURL), ks("flux-system/develop", "flux-system/fleet", mine, "develop"),
				git("develop/fleet", fleetURL), iua("develop/bot", "develop/fleet", mine), web("develop", "flux-system/develop"),
				git("staging/fleet", fleetURL), iua("staging/bot", "staging/fleet", mine),
			}, reads: "flux-system/fleet", pushes: "develop/fleet", author: "develop/bot"},
		{name: "and the Kustomization deploys into other namespaces too", options: noCross, parts: [][]client.Object{
			git("flux-system/fleet", fleetURL), ks("flux-system/all", "flux-system/fleet", "./apps", "develop", "staging"),
			git("develop/fleet", fleetURL), iua("develop/bot", "develop/fleet", mine), web("develop", "flux-system/all"),
		}, reads: "flux-system/fleet", author: "Backstop"},
		{name: "and the automation refers to the platform's GitRepository", parts: [][]client.Object{
			git("flux-system/fleet", fleetURL), ks("flux-system/develop", "flux-system/fleet", mine, "develop"),
			iua("develop/bot", "flux-system/fleet", mine), web("develop", "flux-system/develop"),
			iua("a-team/bot", "flux-system/fleet", mine),
		}, reads: "flux-system/fleet", author: "develop/bot"},
		{name: "and the platform has several namespaces", options: Options{Platform: []string{"flux-system", "infra"}},
			parts: [][]client.Object{
				git("flux-system/fleet", fleetURL), ks("flux-system/develop", "flux-system/fleet", mine, "develop"),
				git("infra/fleet", fleetURL), iua("infra/bot", "infra/fleet", "./"), web("develop", "flux-system/develop"),
			}, reads: "flux-system/fleet", pushes: "infra/fleet", author: "infra/bot"},
		{name: "and nobody said that a namespace is the platform's", parts: [][]client.Object{
			git("flux-system/fleet", fleetURL), ks("flux-system/develop", "flux-system/fleet", mine, "develop"),
			git("infra/fleet", fleetURL), iua("infra/bot", "infra/fleet", "./"), web("develop", "flux-system/develop"),
		}, reads: "flux-system/fleet", author: "Backstop"},
		{name: "a tenant has all in its own namespace, as in flux2-multi-tenancy", options: noCross, of: "apps",
			parts: [][]client.Object{
				git("flux-system/flux-system", fleetURL), ks("flux-system/tenants", "flux-system/flux-system", "./tenants"),
				git("apps/dev-team", "https://git.example.com/dev-team/apps"),
				ks("apps/dev-team", "apps/dev-team", "./staging", "apps"), iua("apps/bot", "apps/dev-team", "./"),
				web("apps", "apps/dev-team"),
			}, reads: "apps/dev-team", author: "apps/bot"},
		{name: "a tenant deploys from a shared source in flux-system", of: "team-a", parts: [][]client.Object{
			git("flux-system/shared", fleetURL), ks("team-a/apps", "flux-system/shared", "./team-a", "team-a"),
			web("team-a", "team-a/apps"),
		}, reads: "flux-system/shared", refuses: "belongs to namespace flux-system, and nobody there lets Backstop push",
			lend: "kubectl -n flux-system annotate gitrepository shared --overwrite backstop.dev/lend-to=team-a"},
		{name: "and its owner lends it to another tenant", of: "team-a", parts: [][]client.Object{
			git("flux-system/shared", fleetURL, "team-b"), ks("team-a/apps", "flux-system/shared", "./team-a", "team-a"),
			web("team-a", "team-a/apps"),
		}, reads: "flux-system/shared", refuses: "belongs to namespace flux-system",
			lend: "kubectl -n flux-system annotate gitrepository shared --overwrite backstop.dev/lend-to=team-a,team-b"},
		{name: "and its owner lends it", of: "team-a", parts: [][]client.Object{
			git("flux-system/shared", fleetURL, "team-b", "team-a"),
			ks("team-a/apps", "flux-system/shared", "./team-a", "team-a"), web("team-a", "team-a/apps"),
			iua("flux-system/bot", "flux-system/shared", "./"),
		}, reads: "flux-system/shared", author: "flux-system/bot"},
		{name: "and the reference to another namespace is forbidden", options: noCross, of: "team-a",
			parts: [][]client.Object{
				git("flux-system/shared", fleetURL, "team-a"),
				ks("team-a/apps", "flux-system/shared", "./team-a", "team-a"), web("team-a", "team-a/apps"),
			}, refuses: "--no-cross-namespace-refs"},
		{name: "and it has a GitRepository of its own to push with", of: "team-a", with: "team-a/rw",
			parts: [][]client.Object{
				git("flux-system/shared", fleetURL), git("team-a/rw", "ssh://git@git.example.com/acme/fleet"),
				ks("team-a/apps", "flux-system/shared", "./team-a", "team-a"), web("team-a", "team-a/apps"),
			}, reads: "flux-system/shared", pushes: "team-a/rw", author: "Backstop"},
		{name: "a FluxInstance's sync", options: noCross, parts: [][]client.Object{
			func() []client.Object {
				all := git("flux-system/flux-system", fleetURL)
				all[0].(*sourcev1.GitRepository).Spec.Reference = &sourcev1.GitRepositoryRef{Name: "refs/heads/main"}
				return all
			}(),
			ks("flux-system/flux-system", "flux-system/flux-system", "./clusters/a", "develop"),
			web("develop", "flux-system/flux-system"),
		}, reads: "flux-system/flux-system", author: "Backstop"},
		{name: "a ResourceSet makes the objects of each tenant", options: noCross, of: "team-a", parts: [][]client.Object{
			func() []client.Object {
				all := append(git("team-a/apps", fleetURL), ks("team-a/apps", "team-a/apps", "./team-a", "team-a")...)
				for _, o := range all {
					o.SetLabels(map[string]string{"resourceset.fluxcd.controlplane.io/name": "tenants"})
				}
				return all
			}(), web("team-a", "team-a/apps"), git("team-b/apps", fleetURL), iua("team-b/bot", "team-b/apps", "./"),
		}, reads: "team-a/apps", author: "Backstop"},
		{name: "shards", options: noCross, parts: [][]client.Object{
			func() []client.Object {
				all := append(git("flux-system/fleet", fleetURL), ks("flux-system/apps", "flux-system/fleet", mine, "develop")...)
				for _, o := range all {
					o.SetLabels(map[string]string{"sharding.fluxcd.io/key": "shard1"})
				}
				return all
			}(), web("develop", "flux-system/apps"), iua("flux-system/bot", "flux-system/fleet", "./"),
		}, reads: "flux-system/fleet", author: "flux-system/bot"},

		// What a stranger may write must not matter.
		{name: "a policy names another tenant's GitRepository", of: "team-a", with: "team-b/own", parts: [][]client.Object{
			git("team-a/own", fleetURL), ks("team-a/apps", "team-a/own", "./", "team-a"), web("team-a", "team-a/apps"),
			git("team-b/own", fleetURL),
		}, reads: "team-a/own", refuses: "belongs to namespace team-b"},
		{name: "a policy names the platform's GitRepository", of: "team-a", with: "flux-system/fleet",
			parts: [][]client.Object{
				git("team-a/own", "https://git.example.com/team-a/own"), ks("team-a/apps", "team-a/own", "./apps/develop", "team-a"),
				web("team-a", "team-a/apps"), git("flux-system/fleet", fleetURL),
			}, reads: "team-a/own", refuses: "belongs to namespace flux-system"},
		{name: "a tenant writes another's URL", of: "team-a", parts: [][]client.Object{
			git("team-a/own", fleetURL), ks("team-a/apps", "team-a/own", mine, "team-a"), web("team-a", "team-a/apps"),
			git("flux-system/fleet", fleetURL), iua("flux-system/bot", "flux-system/fleet", mine),
			git("develop/fleet", fleetURL), iua("develop/bot", "develop/fleet", mine),
		}, reads: "team-a/own", author: "Backstop"},
		{name: "and forges an inventory in another's namespace", of: "team-a", parts: [][]client.Object{
			git("team-a/own", fleetURL), ks("team-a/apps", "team-a/own", mine, "team-a", "develop"), web("team-a", "team-a/apps"),
			git("develop/fleet", fleetURL), iua("develop/bot", "develop/fleet", mine),
		}, reads: "team-a/own", author: "Backstop"},
		{name: "a stranger's automation has the same URL, path and a name that sorts first", options: noCross,
			parts: [][]client.Object{
				git("flux-system/fleet", fleetURL), ks("flux-system/develop", "flux-system/fleet", mine, "develop"),
				git("develop/fleet", fleetURL), iua("develop/bot", "develop/fleet", mine), web("develop", "flux-system/develop"),
				git("a-team/fleet", fleetURL), iua("a-team/bot", "a-team/fleet", mine),
			}, reads: "flux-system/fleet", pushes: "develop/fleet", author: "develop/bot"},
		{name: "a stranger lends to the victim", parts: [][]client.Object{
			git("flux-system/fleet", fleetURL), ks("flux-system/develop", "flux-system/fleet", mine, "develop"),
			iua("flux-system/bot", "flux-system/fleet", "./"), web("develop", "flux-system/develop"),
			git("a-team/fleet", fleetURL, "flux-system"), iua("a-team/bot", "a-team/fleet", mine),
		}, reads: "flux-system/fleet", author: "flux-system/bot"},
		{name: "a policy names another's GitRepository for an artifact", of: "team-a", with: "flux-system/fleet",
			parts: [][]client.Object{
				func() []client.Object {
					all := ks("team-a/apps", "team-a/oci", "./", "team-a")
					all[0].(*kustomizev1.Kustomization).Spec.SourceRef.Kind = kindOCIRepository
					return all
				}(), web("team-a", "team-a/apps"), git("flux-system/fleet", fleetURL),
			}, refuses: "belongs to namespace flux-system"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var with *types.NamespacedName
			if c.with != "" {
				n := split(c.with)
				with = &n
			}
			f := layout(c.options, c.parts...).flux(t)
			namespace := cmp.Or(c.of, "develop")
			got, err := f.Origin(t.Context(), namespace, v1alpha1.Workload{Kind: "Deployment", Name: "web"}, with, time.Time{})
			if c.reads == "" {
				if why := refusal(t, err); !strings.Contains(why, c.refuses) {
					t.Errorf("refuses %q, want %q", why, c.refuses)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			src := got.Source
			if src.Name.String() != c.reads || string(src.Auth.Secret["username"]) != c.reads {
				t.Errorf("reads %s as %s, want %s", src.Name, src.Auth.Secret["username"], c.reads)
			}
			if c.refuses != "" {
				if !strings.Contains(src.ReadOnly, c.refuses) || src.Push != nil || c.lend != "" && src.Lend != c.lend {
					t.Errorf("read-only %q, lend %q, pushes with %s", src.ReadOnly, src.Lend, src.Pushes())
				}
				return
			}
			pushes := cmp.Or(c.pushes, c.reads)
			user := src.Auth.Secret["username"]
			if src.Push != nil {
				user = src.Push.Auth.Secret["username"]
			}
			if src.ReadOnly != "" || src.Pushes().String() != pushes || string(user) != pushes || src.AuthorName != c.author {
				t.Errorf("pushes with %s as %s by %s, read-only %q; want %s by %s", src.Pushes(), user, src.AuthorName,
					src.ReadOnly, pushes, c.author)
			}
			su := suspectOf(got)
			again, err := f.Reopen(t.Context(), namespace, su, with, time.Time{})
			if err != nil || again.Source.Pushes() != src.Pushes() || again.Source.ReadOnly != "" {
				t.Errorf("reopened, it pushes with %s: %q, %v", again.Source.Pushes(), again.Source.ReadOnly, err)
			}
		})
	}
}

func TestFilesThatOthersRenderAreNobodysToLend(t *testing.T) {
	for _, c := range []struct {
		name  string
		parts [][]client.Object
		of    string
		by    string
		want  string
	}{
		{"a shared folder of two environments is pushed by neither's own", [][]client.Object{
			git("flux-system/fleet", fleetURL), ks("flux-system/develop", "flux-system/fleet", "./apps", "develop"),
			ks("flux-system/staging", "flux-system/fleet", "./apps", "staging"), git("develop/fleet", fleetURL),
			iua("develop/bot", "develop/fleet", "./apps"), web("develop", "flux-system/develop"),
		}, "develop", "flux-system/staging", ""},
		{"a tenant does not reach another's folder by a source that is lent to both", [][]client.Object{
			git("flux-system/shared", fleetURL, "team-a", "team-b"),
			ks("team-a/apps", "flux-system/shared", "./team-b", "team-a"),
			ks("team-b/apps", "flux-system/shared", "./team-b", "team-b"), web("team-a", "team-a/apps"),
		}, "team-a", "team-b/apps", "Kustomization/team-b/apps renders the same files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := layout(Options{}, c.parts...).flux(t)
			first, err := f.Origin(t.Context(), c.of, v1alpha1.Workload{Kind: "Deployment", Name: "web"}, nil, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			su := suspectOf(first)
			by := split(c.by)
			su.SharedBy = []v1alpha1.ObjectRef{ref("Kustomization", by.Namespace, by.Name)}
			got, err := f.Reopen(t.Context(), c.of, su, nil, time.Time{})
			if err != nil || got.Source.Push != nil || !strings.Contains(got.Source.ReadOnly, c.want) ||
				(c.want == "") != (got.Source.ReadOnly == "") {
				t.Errorf("pushes with %s, read-only %q, %v", got.Source.Pushes(), got.Source.ReadOnly, err)
			}
		})
	}
}
