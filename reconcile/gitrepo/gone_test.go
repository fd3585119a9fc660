package gitrepo

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/reconcile"
)

func TestImageThatGitNoLongerSaysIsBlamedAndWhoTookItBack(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	const web = "reg.example.org/web"
	c.put("add", "d.yaml", app("web", web+":1.0"))
	c.replace("bump", "d.yaml", "web:1.0", "web:1.1")
	c.replace("fix", "d.yaml", "web:1.1", "web:1.0")
	for range 10 {
		c.put("readme", "README.md", c.now.String())
	}
	q := ask(web + ":1.1")
	q.ByPerson = true
	s, err := c.open().Blame(t.Context(), q)
	if err != nil || s.Subject != "bump" || s.GoneSince == nil || s.GoneSince.Subject != "fix" {
		t.Errorf("blamed %q, gone since %+v, %v", s.Subject, s.GoneSince, err)
	}
	q.Image = web + ":1.0"
	if s, err = c.open().Blame(t.Context(), q); err != nil || s.GoneSince != nil {
		t.Errorf("an image that Git says: gone since %+v, %v", s.GoneSince, err)
	}
	q.Image = web + ":9.9"
	if _, err = c.open().Blame(t.Context(), q); err == nil || !strings.Contains(err.Error(), "the only file that was read") {
		t.Errorf("an image that Git never said: %v", err)
	}
}

func TestTagThatIsPartOfAnotherWordIsTakenBackAllTheSame(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	const web = "reg.example.org/web"
	c.put("add", "d.yaml", app("web", web+":1"))
	c.replace("bump", "d.yaml", "web:1", "web:2")
	q := ask(web + ":1")
	q.ByPerson = true
	s, err := c.open().Blame(t.Context(), q)
	if err != nil || s.Subject != "add" || s.GoneSince == nil || s.GoneSince.Subject != "bump" {
		t.Errorf("blamed %q, gone since %+v, %v", s.Subject, s.GoneSince, err)
	}
}

func TestSentenceNamesTheTextWhereverItStands(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	const web = "reg.example.org/web:1.1"
	c.put("add", "d.yaml", app("api", "reg.example.org/api:1"), "hack/old.sh", "#!/bin/sh\n\nrun "+web+"2\n")
	c.put("a script", "hack/old.sh", "#!/bin/sh\n\nrun "+web+"\n")
	c.move("rename the script", "hack/old.sh", "hack/run.sh")
	q := ask(web)
	q.ByPerson = true
	_, err := c.open().Blame(t.Context(), q)
	why, refused := reconcile.AsRefusal(err)
	for _, word := range []string{"hack/run.sh:3", `"a script"`} {
		if !refused || !strings.Contains(why, word) {
			t.Errorf("the sentence is %q, %v; want %q", why, err, word)
		}
	}
}

func TestPartialCloneIsCalledPartial(t *testing.T) {
	t.Parallel()
	c := newClone(t)
	const web = "reg.example.org/web"
	c.put("add", "d.yaml", app("web", web+":1"))
	c.replace("bump", "d.yaml", "web:1", "web:2")
	c.git("config", "uploadpack.allowFilter", "true")
	part := &clone{T: t, dir: filepath.Join(t.TempDir(), "part"), now: c.now.Add(time.Hour)}
	c.git("clone", "--quiet", "--filter=blob:none", "file://"+c.dir, part.dir)
	_, err := part.open().Blame(t.Context(), ask(web+":2"))
	if err == nil || strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), "the clone is partial") {
		t.Fatalf("a partial clone: %v", err)
	}
	// What the sentence says to do helps.
	part.git("-c", "remote.origin.partialclonefilter=", "fetch", "--quiet", "--refetch", "origin")
	if s, err := part.open().Blame(t.Context(), ask(web+":2")); err != nil || s.Subject != "bump" {
		t.Errorf("the whole clone: blamed %q, %v", s.Subject, err)
	}
}

func TestEntryOfImagesThatWasAddedIsTakenOut(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	for _, test := range []struct {
		name, before, after, image string
		diff                       []string
	}{
		{"the only entry goes with its list", kustomization("d.yaml"), kustomization("d.yaml") + "images:\n  - name: " + web + "\n    newTag: v2\n",
			web + ":v2", []string{"kustomization.yaml -images:", "kustomization.yaml -- name: " + web, "kustomization.yaml -newTag: v2"}},
		{"one of two entries", kustomization("d.yaml") + "images:\n  - name: other\n    newTag: v1\n",
			kustomization("d.yaml") + "images:\n  - name: " + web + " # urgent\n    newName: reg.example.org/fork\n    newTag: v2\n  - name: other\n    newTag: v1\n",
			"reg.example.org/fork:v2", []string{"kustomization.yaml -- name: " + web + " # urgent",
				"kustomization.yaml -newName: reg.example.org/fork", "kustomization.yaml -newTag: v2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newClone(t)
			c.put("add", "d.yaml", app("web", web+":v1"), "kustomization.yaml", test.before)
			c.put("pin", "kustomization.yaml", test.after)
			c.put("readme", "README.md", "a\n")
			s, diff := c.undo(ask(test.image))
			if s.Subject != "pin" {
				t.Errorf("blamed %q", s.Subject)
			}
			if got, want := strings.Join(diff, "\n"), strings.Join(test.diff, "\n"); got != want {
				t.Errorf("the revert is\n%s\nwant\n%s", got, want)
			}
			l := c.open()
			if former, err := l.Former(t.Context(), s, 8); err != nil || len(former) != 1 || !former[0].Values[0].Remove {
				t.Errorf("former %+v, %v", former, err)
			}
		})
	}
}
