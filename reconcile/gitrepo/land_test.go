package gitrepo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

func TestRevertOfOneImageIsWhatGitRevertMakes(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	s := w.blame(query(repo + ":" + tag1))
	want := v1alpha1.Suspect{
		Source: v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}, Branch: "main", Reconciler: applier,
		Image: repo + ":" + tag1, Commit: bad, Parent: w.git("rev-parse", bad+"^"), Subject: "Update from image update automation",
		Author: "Jane <jane@example.com>", When: s.When, Automation: automation, OnlyImages: true,
		Places: []v1alpha1.Place{{
			File: "apps/develop/backend.yaml", Pointer: "Deployment/develop/backend#/spec/template/spec/containers[name=app]/image",
			Part: "Image", Bad: repo + ":" + tag1, Former: repo + ":" + tag0, Marker: "develop:backend",
		}},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("suspect (-want +got):\n%s", diff)
	}
	out := w.land(w.wish(s))
	w.sameTreeAsGitRevert(out[0].Change.Commit, bad)
	if got := w.run(w.bare, "rev-list", "--count", bad+"..main"); got != "2" {
		t.Errorf("%s commits were pushed, want the revert and the hold", got)
	}
	wantLine := `          image: ` + repo + ":" + tag0 + ` # backstop:hold not=` + tag1 + ` since=2026-11-21T09:03:00Z {"$imagepolicy": "develop:backend"}`
	if got := w.show("main", "apps/develop/backend.yaml"); !strings.Contains(got, wantLine+"\n") {
		t.Errorf("the hold is missing:\n%s", got)
	}
	change := v1alpha1.Change{
		Commit: w.run(w.bare, "rev-parse", "main^"), Hold: w.run(w.bare, "rev-parse", "main"), Branch: "main",
		Policies: []string{"develop:backend"}, Lift: v1alpha1.LiftNewerImage, At: out[0].Change.At,
	}
	if diff := cmp.Diff(change, *out[0].Change); diff != "" {
		t.Errorf("change (-want +got):\n%s", diff)
	}
	w.run(w.bare, "fsck", "--strict")
}

// sameTreeAsGitRevert compares a commit with what git revert makes of another one on the same parent.
func (w *world) sameTreeAsGitRevert(got, suspect string) {
	w.Helper()
	w.git("fetch", "--quiet")
	w.git("checkout", "--quiet", "--detach", got+"^")
	w.git("revert", "--no-edit", suspect)
	if want, is := w.git("rev-parse", "HEAD^{tree}"), w.git("rev-parse", got+"^{tree}"); is != want {
		w.Errorf("the tree is not what git revert makes:\n%s", w.git("diff", "HEAD", got))
	}
	w.git("checkout", "--quiet", "-B", "main", "origin/main")
}

func TestWriteBackThatReserialisedAFileIsUndoneToTheByte(t *testing.T) {
	t.Parallel()
	const before, after = "localhost:5000/backend:develop-v1.0.0-1700000001", "localhost:5000/backend:develop-v1.1.0-1700000200"
	for _, name := range []string{
		"anchors.yaml", "bom.yaml", "crlf.yaml", "helmrelease.yaml", "indent.yaml", "kustomization-images.yaml", "multi.yaml",
		"nonewline.yaml",
	} {
		for _, edited := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s edited since: %v", name, edited), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				read := func(when string) string {
					raw, err := os.ReadFile(filepath.Join("testdata", "writeback", when, name))
					if err != nil {
						t.Fatal(err)
					}
					return string(raw)
				}
				path := "apps/develop/" + name
				w.put("add", path, read("before"))
				bad := w.put("Update from image update automation", path, read("after"))
				q := query(after)
				q.Policies[0].Latest, q.Policies[0].Previous = after, before
				s := w.blame(q)
				if s.Commit != bad || s.Automation == nil || !s.OnlyImages {
					t.Fatalf("suspect %+v", s)
				}
				if edited {
					w.put("a person's comment", path, strings.TrimSuffix(read("after"), "\n")+"\n# edited\n")
				}
				out := w.land(w.wish(s))
				// Its second entry is another image's, of the same policy: only the first is undone.
				if !edited && name != "kustomization-images.yaml" {
					w.sameTreeAsGitRevert(out[0].Change.Commit, bad)
					if got := w.show(out[0].Change.Commit, path); got != read("before") {
						t.Errorf("not the original bytes: %q", got)
					}
				}
				got := w.show(out[0].Change.Commit, path)
				want := strings.TrimSuffix(read("after"), "\n") + "\n# edited\n"
				for _, n := range s.Places {
					if strings.Count(got, n.Bad) >= strings.Count(want, n.Bad) {
						t.Errorf("%s still holds %s:\n%s", path, n.Bad, got)
					}
				}
				if edited && !strings.HasSuffix(got, "\n# edited\n") {
					t.Errorf("the person's edit is gone:\n%s", got)
				}
				// Whatever is held must not be what image automation recognises.
				if tip := w.show("main", path); !strings.Contains(tip, "# backstop:hold not=develop-v1.1.0-1700000200 since=") {
					t.Errorf("nothing is held:\n%s", tip)
				}
			})
		}
	}
}

func TestRevertOfOneImageOfManyLeavesTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	files := func(backend, frontend string) []string {
		return []string{
			"apps/develop/kustomization.yaml", kustomization("backend.yaml", "frontend.yaml"),
			"apps/develop/backend.yaml", deployment("develop", "backend", repo+":"+backend, "develop:backend"),
			"apps/develop/frontend.yaml", deployment("develop", "frontend", "ghcr.io/acme/frontend:"+frontend, "develop:frontend"),
		}
	}
	w.put("add", files(tag0, tag0)...)
	bad := w.put("update two", files(tag1, tag1)...)
	s := w.blame(query(repo + ":" + tag1))
	if diff := cmp.Diff([]string{"ghcr.io/acme/frontend:" + tag1}, s.OtherImages); diff != "" || s.Commit != bad || !s.OnlyImages {
		t.Errorf("suspect %+v, other images (-want +got):\n%s", s, diff)
	}
	out := w.land(w.wish(s))
	if got := w.show("main", "apps/develop/frontend.yaml"); got != files(tag0, tag1)[5] {
		t.Errorf("the other image changed:\n%s", got)
	}
	if got := w.show(out[0].Change.Commit, "apps/develop/backend.yaml"); got != files(tag0, tag1)[3] {
		t.Errorf("the image is not reverted:\n%s", got)
	}
}

func TestWhatTheSamePolicyWritesBesideTheImageIsNamedAndStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	chart := func(tag string) string {
		return "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: backend, namespace: develop}\n" +
			"spec:\n  url: oci://ghcr.io/acme/charts/backend\n  ref:\n    tag: " + tag + " # {\"$imagepolicy\": \"develop:backend:tag\"}\n"
	}
	files := func(tag string) []string {
		return []string{
			"apps/develop/kustomization.yaml", kustomization("backend.yaml", "chart.yaml"),
			"apps/develop/backend.yaml", deployment("develop", "backend", repo+":"+tag, "develop:backend"),
			"apps/develop/chart.yaml", chart(tag),
		}
	}
	w.put("add", files(tag0)...)
	w.put("update", files(tag1)...)
	s := w.blame(query(repo + ":" + tag1))
	want := []v1alpha1.MarkedValue{{File: "apps/develop/chart.yaml", Pointer: "OCIRepository/develop/backend#/spec/ref/tag",
		Value: tag1, Marker: "develop:backend"}}
	if diff := cmp.Diff(want, s.Stays); diff != "" {
		t.Errorf("what stays (-want +got):\n%s", diff)
	}
	w.land(w.wish(s))
	if got := w.show("main", "apps/develop/chart.yaml"); got != chart(tag1) {
		t.Errorf("the chart changed:\n%s", got)
	}
}

func TestTwoImagesOfOneFileAreTakenBackApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	two := func(a, b string) string {
		return deployment("develop", "backend", repo+":"+a, "develop:backend") + "---\n" +
			deployment("develop", "frontend", "ghcr.io/acme/frontend:"+b, "develop:frontend")
	}
	w.put("add", "apps/develop/all.yaml", two(tag0, tag0))
	bad := w.put("update two", "apps/develop/all.yaml", two(tag1, tag1))
	s := w.blame(query(repo + ":" + tag1))
	q := query("ghcr.io/acme/frontend:" + tag1)
	o := w.blame(q)
	first := w.wish(s)
	out := w.land(first)
	if got := w.show(out[0].Change.Commit, "apps/develop/all.yaml"); got != two(tag0, tag1) {
		t.Errorf("after the first:\n%s", got)
	}
	out = w.land(w.wish(o))
	if got := w.show(out[0].Change.Commit, "apps/develop/all.yaml"); !strings.Contains(got, "frontend:"+tag0) {
		t.Errorf("after the second:\n%s", got)
	}
	if s.Commit != bad || o.Commit != bad {
		t.Errorf("blamed %s and %s, want %s", s.Commit, o.Commit, bad)
	}
}

func TestSiblingsOfOneCommitLandInOnePushExactly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	two := func(a, b string) string {
		return deployment("develop", "backend", repo+":"+a, "develop:backend") + "---\n" +
			deployment("develop", "frontend", "ghcr.io/acme/frontend:"+b, "develop:frontend")
	}
	w.put("add", "apps/develop/all.yaml", two(tag0, tag0))
	bad := w.put("update two", "apps/develop/all.yaml", strings.ReplaceAll(two(tag1, tag1), "      containers:", "      containers:  "))
	a, b := w.blame(query(repo+":"+tag1)), w.blame(query("ghcr.io/acme/frontend:"+tag1))
	refused := w.wish(a)
	refused.Permit = func(reconcile.Branch) error { return errors.New("not today") }
	pushes := w.server.Pushes()
	out, err := w.mirrors.Land(t.Context(), w.src, []reconcile.Revert{w.wish(a), refused, w.wish(b)})
	if err != nil || out[0].Err != nil || out[2].Err != nil || out[1].Err == nil || out[1].Change != nil {
		t.Fatalf("land: %v, %+v", err, out)
	}
	if n := w.server.Pushes() - pushes; n != 1 {
		t.Errorf("%d pushes, want 1", n)
	}
	if out[0].Change.Commit != out[2].Change.Commit {
		t.Error("the siblings are in different commits")
	}
	// Only together they undo all that the commit did, and so its new layout too.
	w.sameTreeAsGitRevert(out[0].Change.Commit, bad)
	if got := strings.Count(w.show("main", "apps/develop/all.yaml"), "backstop:hold"); got != 2 {
		t.Errorf("%d holds, want 2", got)
	}
}

func TestNodeThatNoLongerHoldsTheBadValueIsLeft(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	s := w.blame(query(repo + ":" + tag1))
	wish := w.wish(s)
	w.put("a person's fix", "apps/develop/backend.yaml", deployment("develop", "backend", repo+":"+tag2, "develop:backend"))
	before := w.run(w.bare, "rev-parse", "main")
	out, err := w.mirrors.Land(t.Context(), w.src, []reconcile.Revert{wish})
	if err != nil || !errors.Is(out[0].Err, reconcile.ErrSuperseded) {
		t.Fatalf("land: %v, %+v; want ErrSuperseded", err, out)
	}
	if _, refused := reconcile.AsRefusal(out[0].Err); !refused {
		t.Errorf("%v is no refusal", out[0].Err)
	}
	if after := w.run(w.bare, "rev-parse", "main"); after != before {
		t.Error("something was pushed")
	}
}

func TestPermitSeesTheTipThatThePushReplaces(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	s := w.blame(query(repo + ":" + tag1))
	wish := w.wish(s)
	var tips []string
	wish.Permit = func(b reconcile.Branch) error {
		if len(tips) == 0 {
			// Somebody pushes between the look and the push.
			w.put("race", "README.md", "hello\n")
		}
		tips = append(tips, b.Tip)
		return nil
	}
	out := w.land(wish)
	if len(tips) != 2 {
		t.Fatalf("asked %d times, want 2", len(tips))
	}
	if got := w.run(w.bare, "rev-parse", out[0].Change.Commit+"^"); got != tips[1] {
		t.Errorf("the push replaced %s, permission was given for %s", got, tips[1])
	}
	if w.show("main", "README.md") != "hello\n" {
		t.Error("the other push is lost")
	}
}

func TestFilesThatCannotBeEditedAreToldNotTouched(t *testing.T) {
	t.Parallel()
	sops := "sops:\n    mac: ENC[AES256_GCM,data:abc]\n    version: 3.8.1\n"
	for _, test := range []struct{ name, content, want string }{
		{"encrypted with SOPS", deployment("develop", "backend", repo+":"+tag1, "develop:backend") + sops, "SOPS"},
		{"a template", "a: {{ .x }}\nimage: " + repo + ":" + tag1 + "\n", "not YAML"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.put("add", "apps/develop/backend.yaml", strings.ReplaceAll(test.content, tag1, tag0))
			w.put("update", "apps/develop/backend.yaml", test.content)
			_, err := w.mirrors.Blame(t.Context(), w.src, query(repo+":"+tag1))
			why, refused := reconcile.AsRefusal(err)
			if !refused || !strings.Contains(why, test.want) || !strings.Contains(why, "apps/develop/backend.yaml") {
				t.Errorf("blame says %v, want a refusal that says %q and names the file", err, test.want)
			}
		})
	}
}

func TestFileThatWasEncryptedSinceIsRefusedAndTheSiblingLands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := func(name string) reconcile.Query { return query("ghcr.io/acme/" + name + ":" + tag1) }
	put := func(tag, extra string) {
		w.put("update", "apps/develop/a.yaml", deployment("develop", "backend", repo+":"+tag, "develop:backend")+extra,
			"apps/develop/b.yaml", deployment("develop", "frontend", "ghcr.io/acme/frontend:"+tag, "develop:frontend"))
	}
	put(tag0, "")
	put(tag1, "")
	a, b := w.wish(w.blame(q("backend"))), w.wish(w.blame(q("frontend")))
	put(tag1, "sops:\n    mac: ENC[AES256_GCM,data:abc]\n    version: 3.8.1\n")
	out, err := w.mirrors.Land(t.Context(), w.src, []reconcile.Revert{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if out[0].Err == nil || out[1].Err != nil {
		t.Fatalf("landings %+v, want the first refused and the second landed", out)
	}
	if got := w.show("main", "apps/develop/b.yaml"); !strings.Contains(got, tag0) {
		t.Errorf("the sibling did not land:\n%s", got)
	}
}

func TestFiveMegabyteFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	filler := strings.Repeat("# "+strings.Repeat("x", 98)+"\n", 50_000)
	path := "apps/develop/backend.yaml"
	w.put("add", path, deployment("develop", "backend", repo+":"+tag0, "develop:backend")+filler)
	bad := w.put("update", path, deployment("develop", "backend", repo+":"+tag1, "develop:backend")+filler)
	s := w.blame(query(repo + ":" + tag1))
	w.put("edit", path, deployment("develop", "backend", repo+":"+tag1, "develop:backend")+filler+"# edited\n")
	out := w.land(w.wish(s))
	if got := w.show(out[0].Change.Commit, path); s.Commit != bad || !strings.HasSuffix(got, "# edited\n") || !strings.Contains(got, tag0) {
		t.Errorf("commit %s, %d bytes", s.Commit, len(got))
	}
}
