package gitrepo

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// apps are the roots to search.
func apps() []reconcile.Root { return []reconcile.Root{{By: applier, Path: "apps/develop"}} }

// held lists the holds.
func (w *world) held(roots ...reconcile.Root) []reconcile.Hold {
	w.Helper()
	if len(roots) == 0 {
		roots = apps()
	}
	out, err := w.mirrors.Holds(w.Context(), w.src, roots)
	if err != nil {
		w.Fatalf("holds: %v", err)
	}
	return out
}

// lift lifts the backend's hold for an selected tag.
func (w *world) lift(tag string) string {
	w.Helper()
	w.now = w.now.Add(time.Minute)
	commit, err := w.mirrors.Lift(w.Context(), w.src, reconcile.Lift{
		Policy: "develop:backend", Roots: apps(), Image: repo + ":" + tag, By: "policy develop/backend", Rollback: "prod/develop/x-1",
	})
	if err != nil {
		w.Fatalf("lift: %v", err)
	}
	return commit
}

func TestHoldsDescribeThemselves(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	if got := w.held(); len(got) != 0 {
		t.Fatalf("holds before: %+v", got)
	}
	wish := w.wish(w.blame(query(repo + ":" + tag1)))
	change := w.land(wish)[0].Change
	want := []reconcile.Hold{{
		File: file, Pointer: wish.Suspect.Places[0].Pointer, Policy: "develop:backend", Not: tag1, Since: w.now,
		Lift: v1alpha1.LiftNewerImage, Value: repo + ":" + tag0, Image: repo + ":" + tag0, Commit: change.Hold,
		Rollback: wish.Rollback, Failed: []string{repo + ":" + tag1},
	}}
	if diff := cmp.Diff(want, w.held()); diff != "" {
		t.Errorf("holds (-want +got):\n%s", diff)
	}
	if got := w.held(reconcile.Root{Path: ""}); len(got) != 1 {
		t.Errorf("below the root of the repository: %+v", got)
	}
	if got := w.held(reconcile.Root{Path: "apps/dev"}, reconcile.Root{Path: "other"}); len(got) != 0 {
		t.Errorf("below other folders: %+v", got)
	}
	w.pull()
	w.put("a person's hold, in a base", "base/x.yaml", strings.Replace(backend(tag0), "# {", "# backstop:hold {", 1),
		"base/kustomization.yaml", kustomization("x.yaml"), "apps/staging/kustomization.yaml", kustomization("../../base"))
	got := w.held(reconcile.Root{Path: "apps/staging"})
	if len(got) != 1 || got[0].File != "base/x.yaml" || got[0].Commit != "" || !got[0].Since.IsZero() {
		t.Errorf("in a base: %+v", got)
	}
}

func TestLiftLeavesTheMarkerAsItWas(t *testing.T) {
	t.Parallel()
	w, bad := standard(t)
	s := w.blame(query(repo + ":" + tag1))
	w.land(w.wish(s))
	commit := w.lift(tag2)
	if got := w.show("main", file); got != backend(tag0) {
		t.Errorf("after the lift:\n%s", got)
	}
	b, err := w.mirrors.Look(t.Context(), w.src, s, nil, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	want := reconcile.TrailerCommit{
		Commit: commit, When: w.now, Kind: reconcile.TrailerLift, Rollbacks: []string{"prod/develop/x-1"},
		Images: []string{repo + ":" + tag2}, Policies: []string{"develop:backend"}, Format: reconcile.TrailerFormat,
		Places: []string{reconcile.PlaceID(s.Places[0].File, s.Places[0].Pointer)},
	}
	if diff := cmp.Diff(want, b.Commits[0], cmpopts.EquateEmpty()); diff != "" || len(b.Held) != 0 {
		t.Errorf("trail of the lift (-want +got):\n%s held %+v", diff, b.Held)
	}
	if again := w.lift(tag2); again != "" {
		t.Errorf("a second lift pushed %s", again)
	}
	if got := w.run(w.bare, "rev-list", "--count", bad+"..main"); got != "3" {
		t.Errorf("%s commits, want revert, hold and lift", got)
	}
}

func TestLiftTakesOnlyWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hold := func(not, policy string) string {
		return strings.Replace(deployment("develop", policy, repo+":"+tag0, "develop:"+policy), "# {", "# backstop:hold not="+not+" {", 1)
	}
	w.put("holds", "apps/develop/a.yaml", hold(tag1, "backend"), "apps/develop/b.yaml", hold(tag2, "backend"),
		"apps/develop/c.yaml", hold(tag1, "frontend"), "apps/other/d.yaml", hold(tag1, "backend"))
	_, err := w.mirrors.Lift(t.Context(), w.src, reconcile.Lift{Policy: "develop:backend", Not: tag1, Roots: apps(), By: "jane", Because: "tested\nby hand"})
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, h := range w.held(reconcile.Root{}) {
		left = append(left, h.File)
	}
	if diff := cmp.Diff([]string{"apps/develop/b.yaml", "apps/develop/c.yaml", "apps/other/d.yaml"}, left); diff != "" {
		t.Errorf("holds left (-want +got):\n%s", diff)
	}
	if got := w.run(w.bare, "log", "-1", "--format=%B", "main"); !strings.Contains(got, "\nLifted-by: jane\nLifted-because: tested by hand") {
		t.Errorf("message:\n%s", got)
	}
}

func TestSecondFailedLiftMakesTheHoldManual(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	w.land(w.wish(w.blame(query(repo + ":" + tag1))))
	lift := func() v1alpha1.LiftMode { return w.held()[0].Lift }
	// fail lifts the hold for a tag, lets image automation write it, and reverts it.
	fail := func(tag string, between ...string) {
		w.lift(tag)
		w.pull()
		for _, extra := range between {
			w.put("readme", "README.md", extra)
		}
		w.put("update to "+tag, file, backend(tag))
		w.land(w.wish(w.blame(query(repo + ":" + tag))))
	}
	if got := lift(); got != v1alpha1.LiftNewerImage {
		t.Errorf("the first hold is lifted by %s", got)
	}
	fail("t2", "a", "b")
	if got := lift(); got != v1alpha1.LiftNewerImage {
		t.Errorf("after one failed lift: %s", got)
	}
	fail("t3")
	if got := lift(); got != v1alpha1.LiftManual {
		t.Errorf("after two failed lifts in a row: %s\n%s", got, w.run(w.bare, "log", "main"))
	}
	if diff := cmp.Diff([]string{repo + ":t3", repo + ":t2", repo + ":" + tag1}, w.held()[0].Failed); diff != "" {
		t.Errorf("failed images (-want +got):\n%s", diff)
	}
	// A lift that went well starts over: its image stood, and it is a later one that fails.
	w.lift("t4")
	w.pull()
	w.put("update to t4", file, backend("t4"))
	w.put("update to t5", file, backend("t5"))
	w.land(w.wish(w.blame(query(repo + ":t5"))))
	if got := lift(); got != v1alpha1.LiftNewerImage {
		t.Errorf("after a lift that went well: %s", got)
	}
}

func TestReleaseOfThePolicyIsWrittenIntoTheHold(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	wish := w.wish(w.blame(query(repo + ":" + tag1)))
	wish.Lift = v1alpha1.LiftManual
	w.land(wish)
	if got := w.held()[0]; got.Lift != v1alpha1.LiftManual {
		t.Errorf("hold %+v", got)
	}
}

func TestRevertWithoutAHold(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, policy string
		hold         bool
	}{{"none is asked for", "develop:backend", false}, {"there is no marker", "", true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.put("add", file, deployment("develop", "backend", repo+":"+tag0, test.policy))
			bad := w.put("a typo", file, deployment("develop", "backend", repo+":"+tag1, test.policy))
			wish := w.wish(w.blame(query(repo + ":" + tag1)))
			wish.Hold = test.hold
			c := w.land(wish)[0].Change
			w.sameTreeAsGitRevert(c.Commit, bad)
			if c.Hold != "" || len(c.Policies) != 0 || w.run(w.bare, "rev-parse", "main") != c.Commit {
				t.Errorf("change %+v", c)
			}
		})
	}
}

func TestTwoHundredRevertsLandInOnePush(t *testing.T) {
	t.Parallel()
	const n = 200
	w := newWorld(t)
	put := func(tag string) string {
		for i := range n {
			name := fmt.Sprintf("app-%d", i)
			w.write("apps/develop/"+name+".yaml", deployment("develop", name, "ghcr.io/acme/"+name+":"+tag, "develop:"+name))
		}
		return w.commit("update all to " + tag)
	}
	put(tag0)
	bad := put(tag1)
	var preferences []reconcile.Revert
	for i := range n {
		name := fmt.Sprintf("app-%d", i)
		wish := w.wish(w.blame(query("ghcr.io/acme/" + name + ":" + tag1)))
		wish.Rollback = "prod/develop/" + name + "-1"
		preferences = append(preferences, wish)
	}
	pushes := w.server.Pushes()
	start := time.Now()
	out := w.land(preferences...)
	t.Logf("landed in %s", time.Since(start))
	if got := w.server.Pushes() - pushes; got != 1 {
		t.Errorf("%d pushes", got)
	}
	w.sameTreeAsGitRevert(out[0].Change.Commit, bad)
	if got := len(w.held()); got != n {
		t.Errorf("%d holds, want %d", got, n)
	}
	b, err := w.mirrors.Look(t.Context(), w.src, preferences[0].Suspect, nil, time.Time{})
	if err != nil || len(b.Commits) != 2 || len(b.Commits[1].Rollbacks) != n {
		t.Errorf("trails %d, %v", len(b.Commits), err)
	}
	if got := w.run(w.bare, "log", "-1", "--format=%s", out[0].Change.Commit); got != "Revert 200 images in apps/develop" {
		t.Errorf("subject %q", got)
	}
}

func TestLiftedOnABranchOfItsOwn(t *testing.T) {
	t.Parallel()
	w, _ := standard(t)
	w.land(w.wish(w.blame(query(repo + ":" + tag1))))
	held := w.run(w.bare, "rev-parse", "main")
	lift := reconcile.Lift{Policy: "develop:backend", Roots: apps(), By: "jane", Image: repo + ":" + tag2, Person: true,
		Onto: "backstop/lift-0123456789ab", When: time.Unix(1_790_000_000, 0)}
	put := func() string {
		t.Helper()
		commit, err := w.mirrors.Lift(t.Context(), w.src, lift)
		if err != nil || w.run(w.bare, "rev-parse", lift.Onto) != commit {
			t.Fatalf("it is %s, %v", commit, err)
		}
		return commit
	}
	first := put()
	if w.run(w.bare, "rev-parse", "main") != held || strings.Contains(w.show(lift.Onto, "apps/develop/backend.yaml"), "backstop:hold") {
		t.Error("the deployed branch moved, or the hold stands")
	}
	if again := put(); again != first {
		t.Errorf("again it is %s, and was %s", again, first)
	}
	w.git("pull", "--quiet", "--rebase", "origin", "main")
	moved := w.put("Go on", "apps/develop/other.yaml", "a: b\n")
	if again := put(); again == first || w.run(w.bare, "rev-parse", again+"^") != moved {
		t.Error("it does not begin at the new tip")
	}
	w.git("fetch", "--quiet")
	w.git("checkout", "--quiet", "--detach", "origin/"+lift.Onto)
	w.write("apps/develop/evil.yaml", "a: b\n")
	w.git("add", "--all")
	w.git("commit", "--quiet", "-m", "Slip something in")
	w.git("push", "--quiet", "origin", "HEAD:"+lift.Onto)
	if _, err := w.mirrors.Lift(t.Context(), w.src, lift); reconcile.KindOf(err) != reconcile.FaultForeign {
		t.Errorf("it says %v", err)
	}
}
