package reconcile

import (
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// One commit changes the same image in two environments, and staging is reverted first.
func TestASiblingsRevertServesOnlyWhereItWroteOnesOwnPlaces(t *testing.T) {
	production := func(w *World) {
		w.Rollback.Status.Suspect.Places = []v1alpha1.Place{{File: "apps/production/app.yaml", Pointer: "#/image", Bad: "reg/backend:v2", Former: "reg/backend:v1"}}
	}
	staging := func(places ...string) worldChange {
		return trail(TrailerRevert, 30*time.Second, func(t *TrailerCommit) {
			t.Images, t.Reverts, t.Places = []string{"reg/backend:v2"}, []string{"bad0"}, places
			t.Rollbacks = []string{"prod/staging/backend-1"}
		})
	}
	const mine, other = "apps/production/app.yaml#/image", "apps/staging/app.yaml#/image"
	second := func(value string) worldChange {
		return func(w *World) {
			w.Rollback.Status.Suspect.Places = append(w.Rollback.Status.Suspect.Places,
				v1alpha1.Place{File: "apps/production/job.yaml", Pointer: "#/image", Bad: "reg/backend:v2"})
			w.Branch.Values[1] = value
		}
	}
	for name, tt := range map[string]struct {
		world World
		want  Effect
	}{
		"other places":                     {aWorld(production, staging(other), approved("policy p")), DoChange},
		"an old trail, and the bad value":  {aWorld(production, staging(), approved("policy p")), DoChange},
		"an old trail, and the target":     {aWorld(production, staging(), tipSays("reg/backend:v1"), approved("policy p")), DoAdopt},
		"one's own places":                 {aWorld(production, staging(other, mine), tipSays("reg/backend:v1"), approved("policy p")), DoAdopt},
		"written again after it":           {aWorld(production, staging(mine), approved("policy p")), DoAdopt},
		"one of one's own places":          {aWorld(production, second("reg/backend:v2"), staging(mine), tipSays("reg/backend:v1"), approved("policy p")), DoChange},
		"one, and the other is mended":     {aWorld(production, second("reg/backend:v3"), staging(mine), tipSays("reg/backend:v1"), approved("policy p")), DoAdopt},
		"a person mended one's own places": {aWorld(production, staging(other), tipSays("reg/backend:v3"), approved("policy p")), DoOutcome},
	} {
		t.Run(name, func(t *testing.T) {
			if got := decide(tt.world); got.Do != tt.want {
				t.Errorf("got %s %q, want %s", got.Do, got.Why+got.Outcome.Message, tt.want)
			}
		})
	}
	// The budget is asked on the tip too.
	w := aWorld(production, staging(other), approved("policy p"))
	if err := restraintOf(&w, 0).permit(*w.Branch); err != nil {
		t.Errorf("not permitted: %v", err)
	}
}

// --cluster is a name for people: two clusters may have the same.
func TestClustersOfOneNameAreToldApart(t *testing.T) {
	own := func(uid string) worldChange {
		return trail(TrailerRevert, time.Second, func(t *TrailerCommit) { t.Rollbacks, t.Cluster = []string{"prod/develop/backend-1"}, uid })
	}
	here := func(w *World) { w.Cluster = "uid-1" }
	for name, tt := range map[string]struct {
		world World
		want  bool
	}{
		"this cluster's":            {aWorld(here, own("uid-1")), true},
		"another's of the name":     {aWorld(here, own("uid-2")), false},
		"one that does not say":     {aWorld(here, own("")), true},
		"a cluster without its UID": {aWorld(own("uid-2")), true},
	} {
		if _, got := commitOf(&tt.world); got != tt.want {
			t.Errorf("%s: served %t, want %t", name, got, tt.want)
		}
	}
}
