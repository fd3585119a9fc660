package gitrepo

import (
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/reconcile"
)

func TestSentenceNamesWhatWasNotFollowed(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	template := "apiVersion: fluxcd.controlplane.io/v1\nkind: ResourceSet\nmetadata: {name: jobs}\nspec:\n  inputs: [{tag: v2}]\n" +
		"  resourcesTemplate: |\n    kind: Deployment\n    image: " + web + ":<< inputs.tag | upper >>\n"
	for _, test := range []struct {
		name  string
		files []string
		want  string
	}{
		{"a template that does more than put inputs in", []string{"r.yaml", template},
			"r.yaml has templates of a ResourceSet, which are not rendered"},
		{"a base that is elsewhere", []string{"kustomization.yaml", kustomization("https://example.org/base.yaml")},
			`kustomization.yaml: "https://example.org/base.yaml" is remote`},
		{"a pointer of Git LFS", []string{"d.yaml", "version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 12\n", "p.png",
			"version https://git-lfs.github.com/spec/v1\noid sha256:4665\nsize 12\n"}, "looked into: d.yaml is in Git LFS. Revert"},
		{"files of git-crypt", []string{"a/d.yaml", "\x00GITCRYPT\x00x", "e.yaml", "\x00GITCRYPT\x00y"},
			"looked into: a/d.yaml is encrypted by git-crypt, as 1 more. Revert"},
		{"a secret of SOPS", []string{"s.yaml", "data: {a: 'ENC[AES256_GCM,data:x]'}\nsops: {mac: x}\n"}, "s.yaml is encrypted by SOPS"},
		{"JSON that does not read", []string{"kustomization.yaml", kustomization("d.json"), "d.json",
			`{"kind":"Deployment","spec":{"image":"reg.example.org\/web:v2"}}`}, "d.json speaks of it, but: "},
		{"nothing", []string{"d.yaml", app("web", web+":v1")}, "a webhook or an operator"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.put("add", test.files...)
			q := ask(web + ":v2")
			q.ByPerson = true
			_, err := c.open().Blame(t.Context(), q)
			if why, _ := reconcile.AsRefusal(err); !strings.Contains(why, test.want) || strings.Contains(why, `""`) {
				t.Errorf("the sentence is %q, %v; want %q", why, err, test.want)
			}
		})
	}
}

// Two submodules: the one that a kustomization leads into is named with it, and once.
func TestSubmodulesAreNamedOnce(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.put("add", "kustomization.yaml", kustomization("vendor"), "d.yaml", app("web", "reg.example.org/web:v1"))
	head := c.git("rev-parse", "HEAD")
	for _, folder := range []string{"charts", "vendor"} {
		c.git("update-index", "--add", "--cacheinfo", "160000,"+head+","+folder)
	}
	c.git("commit", "--quiet", "--message=add submodules")
	q := ask("reg.example.org/web:v2")
	q.ByPerson = true
	_, err := c.open().Blame(t.Context(), q)
	why, _ := reconcile.AsRefusal(err)
	for _, word := range []string{"charts is a submodule", "vendor is in a submodule"} {
		if !strings.Contains(why, word) {
			t.Errorf("%q lacks %q", why, word)
		}
	}
	if strings.Contains(why, "as 1 more") || strings.Count(why, "submodule") != 2 {
		t.Errorf("a submodule is named twice: %q", why)
	}
}

func TestPathIsNoImage(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	c.put("add", "apps/web/d.yaml", app("web", "reg.example.org/web:1"), "NOTES.md", "see apps/web/d.yaml and apps/web\n")
	for _, name := range []string{"apps/web/d.yaml", "./apps/web", "apps/web/"} {
		q := ask(name)
		q.ByPerson = true
		_, err := c.open().Blame(t.Context(), q)
		if err == nil || !strings.Contains(err.Error(), "is a path of the repository, and no image") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
