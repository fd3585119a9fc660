package gitrepo

import (
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func TestWhatWasFoldedIntoItsBaseIsBlamedWhereItRan(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	overlay := kustomization("../base")
	json := func(tag string) string {
		return overlay + "patches:\n- target: {kind: Deployment, name: web}\n  patch: |-\n    - op: replace\n" +
			"      path: /spec/template/spec/containers/0/image\n      value: " + web + ":" + tag + "\n"
	}
	merge := func(tag string) string {
		return overlay + "patches:\n- patch: |-\n" + indent(app("web", web+":"+tag), "    ")
	}
	entry := func(tag string) string { return overlay + "images:\n- name: " + web + "\n  newTag: " + tag + "\n" }
	for name, c := range map[string]struct {
		over    func(tag string) string
		root    string
		subject string
		lines   []string
	}{
		"a JSON patch":      {over: json, root: "prod", subject: "web v2", lines: []string{"-image: " + web + ":v2", "+image: " + web + ":v1"}},
		"a strategic patch": {over: merge, root: "prod", subject: "web v2", lines: []string{"-image: " + web + ":v2", "+image: " + web + ":v1"}},
		"an entry of images": {over: entry, root: "prod", subject: "web v2",
			lines: []string{"-image: " + web + ":v2", "+image: " + web + ":v1"}},
		"where nothing was laid over it": {over: json, root: "staging", subject: "fold",
			lines: []string{"-image: " + web + ":v2", "+image: " + web + ":v0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newClone(t)
			r.put("add", "base/kustomization.yaml", kustomization("d.yaml"), "base/d.yaml", app("web", web+":v0"),
				"prod/kustomization.yaml", c.over("v1"), "staging/kustomization.yaml", overlay)
			r.put("web v2", "prod/kustomization.yaml", c.over("v2"))
			r.put("fold", "prod/kustomization.yaml", overlay, "base/d.yaml", app("web", web+":v2"))
			s, diff := r.undo(reconcile.Query{Image: web + ":v2", Root: reconcile.Root{
				By: v1alpha1.ObjectRef{Kind: "folder", Name: c.root}, Path: c.root}})
			if s.Subject != c.subject {
				t.Errorf("blamed %q, want %q", s.Subject, c.subject)
			}
			want := "base/d.yaml " + strings.Join(c.lines, "\nbase/d.yaml ")
			if got := strings.Join(diff, "\n"); got != want {
				t.Errorf("the revert is\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestWhatWasLaidOverCountsUntilItIsTakenAway(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	overlay := kustomization("../base")
	pinned := overlay + "images:\n- name: " + web + "\n  newTag: v1\n"
	for name, c := range map[string]struct{ root, pin, subject, former string }{
		"where it lay":              {"prod", "later", "unpin", web + ":v1"},
		"where it lay, in the bump": {"prod", "with it", "v3", web + ":v1"},
		"elsewhere":                 {"dev", "later", "v3", web + ":v0"},
		"where it lies still":       {"dev", "never", "v3", web + ":v0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newClone(t)
			r.put("add", "base/kustomization.yaml", kustomization("d.yaml"), "base/d.yaml", app("web", web+":v0"),
				"prod/kustomization.yaml", pinned, "dev/kustomization.yaml", overlay)
			change := []string{"base/d.yaml", app("web", web+":v3")}
			if c.pin == "with it" {
				change = append(change, "prod/kustomization.yaml", overlay)
			}
			r.put("v3", change...)
			r.put("other", "dev/kustomization.yaml", overlay+"labels: []\n")
			if c.pin == "later" {
				r.put("unpin", "prod/kustomization.yaml", overlay)
			}
			s, diff := r.undo(reconcile.Query{Image: web + ":v3", Root: reconcile.Root{
				By: v1alpha1.ObjectRef{Kind: "folder", Name: c.root}, Path: c.root}})
			if s.Subject != c.subject {
				t.Errorf("blamed %q, want %q", s.Subject, c.subject)
			}
			sameLines(t, diff, []string{"base/d.yaml -image: " + web + ":v3", "base/d.yaml +image: " + c.former})
		})
	}
}

func TestWhatWasFoldedIsAskedForAtTheRoot(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	overlay := kustomization("../base")
	entry := func(tag string) string { return overlay + "images: [{name: " + web + ", newTag: " + tag + "}]\n" }
	for name, c := range map[string]struct{ roots, subject, former string }{
		"of one Flux Kustomization": {fluxKustomization("prod", "./prod"), "web v2", "v1"},
		// The other one ran v0 until the two were folded.
		"of two": {fluxKustomization("prod", "./prod") + "---\n" + fluxKustomization("dev", "./dev"), "fold", "v0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newClone(t)
			r.put("add", "base/kustomization.yaml", kustomization("d.yaml"), "base/d.yaml", app("web", web+":v0"),
				"flux/ks.yaml", c.roots, "prod/kustomization.yaml", entry("v1"), "dev/kustomization.yaml", overlay)
			r.put("web v2", "prod/kustomization.yaml", entry("v2"))
			r.put("fold", "prod/kustomization.yaml", overlay, "base/d.yaml", app("web", web+":v2"))
			q := ask(web + ":v2")
			q.ByPerson = true
			s, diff := r.undo(q)
			if s.Subject != c.subject {
				t.Errorf("blamed %q, want %q", s.Subject, c.subject)
			}
			sameLines(t, diff, []string{"base/d.yaml -image: " + web + ":v2", "base/d.yaml +image: " + web + ":" + c.former})
		})
	}
}

func TestEntryOfAFluxKustomizationIsFoldedIntoWhatItRenders(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	ks := func(tag string) string {
		return fluxKustomization("prod", "./web", "images:", "- name: "+web, "  newTag: "+tag)
	}
	person, sidecar := ask(web+":v2"), ask(web+":v2")
	person.ByPerson = true
	sidecar.Namespace, sidecar.Root = "shop", reconcile.Root{Path: "web",
		By: v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "prod"}}
	for name, q := range map[string]reconcile.Query{"a person": person, "the sidecar": sidecar} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newClone(t)
			r.put("add", "flux/ks.yaml", ks("v1"), "web/d.yaml", app("web", web+":v0"))
			r.put("web v2", "flux/ks.yaml", ks("v2"))
			r.put("fold", "flux/ks.yaml", fluxKustomization("prod", "./web"), "web/d.yaml", app("web", web+":v2"))
			s, diff := r.undo(q)
			if s.Subject != "web v2" {
				t.Errorf("blamed %q", s.Subject)
			}
			sameLines(t, diff, []string{"web/d.yaml -image: " + web + ":v2", "web/d.yaml +image: " + web + ":v1"})
		})
	}
}
