package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestAPersonNamesTheHoldsToLift(t *testing.T) {
	rb := &v1alpha1.Rollback{}
	rb.Name = "backend-1"
	rb.Status.Change = &v1alpha1.Change{Hold: "hold", Policies: []string{"apps:web", "apps:canary"}}
	rb.Status.Suspect = &v1alpha1.Suspect{Places: []v1alpha1.Place{
		{File: "web.yaml", Pointer: "/a", Marker: "apps:web"}, {File: "web.yaml", Pointer: "/b", Marker: "apps:web"},
		{File: "canary.yaml", Pointer: "/a", Marker: "apps:canary"}}}
	var id []string
	for _, p := range rb.Status.Suspect.Places {
		id = append(id, p.Identity())
		rb.Status.Holds = append(rb.Status.Holds, v1alpha1.Hold{Place: p.Identity()})
	}
	old := &v1alpha1.LiftRequest{By: "joe", Places: id[:1]}
	for name, tt := range map[string]struct {
		old    *v1alpha1.LiftRequest
		lifted bool
		only   []string
		want   []string
		by     string
		says   string
	}{
		"all of them":              {by: "jane"},
		"those in a file":          {only: []string{"web.yaml"}, want: id[:2], by: "jane"},
		"those of a policy":        {only: []string{"apps:canary"}, want: id[2:], by: "jane"},
		"one by its ID":            {only: []string{id[1]}, want: id[1:2], by: "jane"},
		"one that is not there":    {only: []string{"db.yaml"}, says: "no hold on db.yaml that stands: it has those on apps:web, apps:canary"},
		"one that is lifted":       {lifted: true, only: []string{"canary.yaml"}, says: "no hold on canary.yaml that stands"},
		"more than somebody asked": {old: old, only: []string{"canary.yaml"}, want: []string{id[0], id[2]}, by: "jane"},
		"what somebody asked":      {old: old, only: []string{id[0]}, want: id[:1], by: "joe"},
		"all, after some":          {old: old, by: "jane"},
		"some, after all":          {old: &v1alpha1.LiftRequest{By: "joe"}, only: []string{"web.yaml"}, by: "joe"},
	} {
		t.Run(name, func(t *testing.T) {
			rb := rb.DeepCopy()
			if tt.lifted {
				rb.Status.Holds[2].LiftedBy = "jane"
			}
			places, err := heldPlaces(rb, tt.only)
			if tt.says != "" {
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %v, want %q", err, tt.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := widened(tt.old.DeepCopy(), &v1alpha1.LiftRequest{By: "jane"}, places)
			same := cmp.Transformer("sorted", func(in []string) map[string]bool {
				out := map[string]bool{}
				for _, s := range in {
					out[s] = true
				}
				return out
			})
			if diff := cmp.Diff(tt.want, got.Places, same); diff != "" || got.By != tt.by {
				t.Errorf("asked for by %s; places -want +got:\n%s", got.By, diff)
			}
		})
	}
}
