package gitrepo

import (
	"slices"
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// twoEnvironments is one write-back that brought tag1 into two overlays under one policy.
func twoEnvironments(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	files := func(tag string) []string {
		return []string{
			"apps/staging/kustomization.yaml", kustomization("backend.yaml"),
			"apps/staging/backend.yaml", deployment("staging", "backend", repo+":"+tag, "flux-system:backend"),
			"apps/production/kustomization.yaml", kustomization("backend.yaml"),
			"apps/production/backend.yaml", deployment("production", "backend", repo+":"+tag, "flux-system:backend"),
		}
	}
	w.put("add", files(tag0)...)
	w.put("Update from image update automation", files(tag1)...)
	return w
}

func (w *world) environment(name string) reconcile.Query {
	q := query(repo + ":" + tag1)
	q.Namespace, q.Root.Path = name, "apps/"+name
	q.Policies[0].Name = "flux-system:backend"
	return q
}

func TestATrailNamesThePlacesThatItWrote(t *testing.T) {
	t.Parallel()
	w := twoEnvironments(t)
	staging, production := w.blame(w.environment("staging")), w.blame(w.environment("production"))
	if staging.Commit != production.Commit {
		t.Fatal("not one commit")
	}
	revert := w.wish(staging)
	revert.Cluster = "uid-1"
	w.land(revert)
	target := w.target(production)
	b, err := w.mirrors.Look(t.Context(), w.src, production, &target, production.When.Time)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Commits) != 2 {
		t.Fatalf("%d trails, want the revert and the hold", len(b.Commits))
	}
	for _, tr := range b.Commits {
		mine, others := reconcile.PlaceID(staging.Places[0].File, staging.Places[0].Pointer),
			reconcile.PlaceID(production.Places[0].File, production.Places[0].Pointer)
		if !slices.Contains(tr.Places, mine) || slices.Contains(tr.Places, others) {
			t.Errorf("%s wrote %v, want %s and not %s", tr.Kind, tr.Places, mine, others)
		}
		if tr.Format != reconcile.TrailerFormat || tr.Cluster != "uid-1" || !slices.Contains(tr.Subjects, "Image "+repo+":"+tag1) {
			t.Errorf("%s says %+v", tr.Kind, tr)
		}
	}
}

func TestALiftIsByPlace(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		places         func(staging, production v1alpha1.Suspect) []v1alpha1.Place
		person         bool
		staging, other bool // held still
	}{
		"one's own places":                    {func(s, _ v1alpha1.Suspect) []v1alpha1.Place { return s.Places }, false, false, true},
		"another's Manual hold, by a policy":  {func(_, p v1alpha1.Suspect) []v1alpha1.Place { return p.Places }, false, true, true},
		"another's Manual hold, by a person":  {func(_, p v1alpha1.Suspect) []v1alpha1.Place { return p.Places }, true, true, false},
		"all of the policy, but for a person": {func(_, _ v1alpha1.Suspect) []v1alpha1.Place { return nil }, false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := twoEnvironments(t)
			s, p := w.blame(w.environment("staging")), w.blame(w.environment("production"))
			staging, production := w.wish(s), w.wish(p)
			staging.Rollback, production.Rollback = "prod/staging/backend-1", "prod/production/backend-1"
			production.Lift = v1alpha1.LiftManual
			w.land(staging, production)
			_, err := w.mirrors.Lift(t.Context(), w.src, reconcile.Lift{
				Policy: "flux-system:backend", Image: repo + ":" + tag2, By: "the policy's newer image", Rollback: staging.Rollback,
				Places: tt.places(s, p), Person: tt.person,
				Roots: []reconcile.Root{{By: applier, Path: "apps/staging"}, {By: v1alpha1.ObjectRef{Kind: "Kustomization", Name: "production"}, Path: "apps/production"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			for file, want := range map[string]bool{"apps/staging/backend.yaml": tt.staging, "apps/production/backend.yaml": tt.other} {
				if held := strings.Contains(w.show("main", file), "backstop:hold"); held != want {
					t.Errorf("%s is held: %t, want %t", file, held, want)
				}
			}
		})
	}
}

func TestAHoldOfALaterFormatWaitsForAPerson(t *testing.T) {
	t.Parallel()
	w := twoEnvironments(t)
	w.land(w.wish(w.blame(w.environment("staging"))))
	const file = "apps/staging/backend.yaml"
	w.pull()
	w.put("a later Backstop", file, strings.Replace(w.show("main", file), "backstop:hold ", "backstop:hold format=2 ", 1))
	holds, err := w.mirrors.Holds(t.Context(), w.src, []reconcile.Root{{By: applier, Path: "apps/staging"}})
	if err != nil || len(holds) != 1 || holds[0].Lift != v1alpha1.LiftManual {
		t.Errorf("got %+v, %v", holds, err)
	}
}

func TestTwoVersionsOfBackstopReadEachOthersReverts(t *testing.T) {
	t.Parallel()
	w := twoEnvironments(t)
	staging := w.blame(w.environment("staging"))
	target := w.target(staging)
	const file = "apps/staging/backend.yaml"
	place := reconcile.PlaceID(staging.Places[0].File, staging.Places[0].Pointer)
	said := "Revert\n\nThis reverts commit " + staging.Commit + ".\n\nBackstop-Kind: Revert\nBackstop-Rollback: prod/staging/backend-1\n" +
		"Backstop-Image: " + repo + ":" + tag1 + "\n"
	bad := w.show("main", file)
	good := strings.ReplaceAll(bad, tag1, tag0)
	for _, v := range []struct {
		says   string
		format int
		places []string
	}{
		{"", 0, nil},
		{"Backstop-Place: " + place + "\nBackstop-Format: 2\nBackstop-Scope: whatever comes\n", 2, []string{place}},
		{"Backstop-Format: none\n", 0, nil},
	} {
		w.pull()
		w.put(said+v.says, file, good)
		b, err := w.mirrors.Look(t.Context(), w.src, staging, &target, staging.When.Time)
		if err != nil || len(b.Commits) == 0 {
			t.Fatalf("%q: %d trails, %v", v.says, len(b.Commits), err)
		}
		newest := b.Commits[0]
		if newest.Kind != reconcile.TrailerRevert || newest.Format != v.format || !slices.Equal(newest.Places, v.places) ||
			!slices.Contains(newest.Reverts, staging.Commit) || !slices.Contains(newest.Rollbacks, "prod/staging/backend-1") {
			t.Errorf("%q is read as %+v", v.says, newest)
		}
		w.put("Write it again", file, bad)
	}
}

// One policy writes to several environments, each of which has a record of its own: who may decide in one of them does
// not decide about another's hold.
func TestAHoldNamesTheRollbackOfItsOwnPlace(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		together            bool
		staging, production string
	}{
		"each by a push of its own":             {false, "prod/staging/backend-1", "prod/production/backend-1"},
		"both by one push, which tells no more": {true, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := twoEnvironments(t)
			staging, production := w.wish(w.blame(w.environment("staging"))), w.wish(w.blame(w.environment("production")))
			staging.Rollback, production.Rollback = "prod/staging/backend-1", "prod/production/backend-1"
			if tt.together {
				w.land(production, staging)
			} else {
				w.land(production)
				w.land(staging)
			}
			holds, err := w.mirrors.Holds(t.Context(), w.src, []reconcile.Root{{By: applier, Path: "apps"}})
			if err != nil || len(holds) != 2 {
				t.Fatalf("%+v, %v", holds, err)
			}
			for _, h := range holds {
				want := tt.staging
				if h.File == "apps/production/backend.yaml" {
					want = tt.production
				}
				if h.Rollback != want {
					t.Errorf("%s is held for %q, want %q", h.File, h.Rollback, want)
				}
			}
			if (holds[0].Commit == holds[1].Commit) != tt.together {
				t.Errorf("written by %s and %s", holds[0].Commit, holds[1].Commit)
			}
		})
	}
}

func TestACopyHidesNoEarlierChangeFromAPerson(t *testing.T) {
	t.Parallel()
	const web = "reg.example.org/web"
	values := func(tag string) string { return release("web", "image:\n  repository: "+web+"\n  tag: "+tag) }
	for name, c := range map[string]struct {
		first, bump, copied []string
		// byPerson is who asks.
		byPerson bool
		subject  string
		want     []string
	}{
		"of a workload": {
			first: []string{"a/d.yaml", app("web", web+":v1")}, bump: []string{"a/d.yaml", app("web", web+":v2")},
			copied: []string{"b/d.yaml", app("other", web+":v2")}, byPerson: true, subject: "bump",
			want: []string{"a/d.yaml -image: " + web + ":v2", "a/d.yaml +image: " + web + ":v1"},
		},
		"of values, twice": {
			first: []string{"a/r.yaml", values("v1")}, bump: []string{"a/r.yaml", values("v2")},
			copied: []string{"b/r.yaml", values("v2"), "c/d.yaml", app("other", web+":v2")}, byPerson: true, subject: "bump",
			want: []string{"a/r.yaml -tag: v2", "a/r.yaml +tag: v1"},
		},
		"of two places that changed": {
			first:  []string{"a/d.yaml", app("web", web+":v1"), "e/d.yaml", app("job", web+":v1")},
			bump:   []string{"a/d.yaml", app("web", web+":v2"), "e/d.yaml", app("job", web+":v2")},
			copied: []string{"b/d.yaml", app("other", web+":v2")}, byPerson: true, subject: "bump",
			want: []string{"a/d.yaml -image: " + web + ":v2", "a/d.yaml +image: " + web + ":v1",
				"e/d.yaml -image: " + web + ":v2", "e/d.yaml +image: " + web + ":v1"},
		},
		"of one that never changed": {
			first: []string{"a/d.yaml", app("web", web+":v2")}, bump: []string{"README.md", "b\n"},
			copied: []string{"b/d.yaml", app("other", web+":v2")}, byPerson: true, subject: "copied",
		},
		"but from the sidecar, for which only what is new counts": {
			first: []string{"a/d.yaml", app("web", web+":v1")}, bump: []string{"a/d.yaml", app("web", web+":v2")},
			copied: []string{"b/d.yaml", app("other", web+":v2")}, subject: "copied",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newClone(t)
			r.put("first", c.first...)
			r.put("bump", c.bump...)
			r.idle(alsoWithin + 10)
			r.put("copied", c.copied...)
			q := ask(web + ":v2")
			q.ByPerson = c.byPerson
			s, lines := r.undo(q)
			if s.Subject != c.subject {
				t.Errorf("blamed %q: %+v", s.Subject, s.Places)
			}
			sameLines(t, lines, c.want)
		})
	}
}
