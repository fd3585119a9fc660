package reconcile

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// twinGit blames a commit that changed the images of two workloads, and tells them apart where one is asked about.
type twinGit struct {
	*model
	// other is the commit that changed the second place; the first one's where it is empty.
	other string
}

func (g twinGit) Blame(_ context.Context, _ Source, q Query) (v1alpha1.Suspect, error) {
	nodes := []v1alpha1.Place{
		{File: "ns/app.yaml", Pointer: "/image", Part: "Image", Bad: imgBad, Former: imgGood},
		{File: "ns/twin.yaml", Pointer: "/image", Part: "Image", Bad: imgBad, Former: imgGood},
	}
	commit := "c1"
	switch {
	case q.Workload.Name == "app":
		nodes = nodes[:1]
	case g.other != "":
		commit = g.other
	}
	return v1alpha1.Suspect{Commit: commit, Parent: "c0", When: v1alpha1.NewTime(g.now), Places: nodes}, nil
}

func (g twinGit) Former(_ context.Context, _ Source, s v1alpha1.Suspect, _ int) ([]Former, error) {
	f := Former{Commit: "c0", Image: imgGood}
	for i := range s.Places {
		f.Values = append(f.Values, v1alpha1.PlaceValue{Index: int32(i), Value: imgGood})
	}
	return []Former{f}, nil
}

// Two workloads of one image do not fail in the same moment: the second one may be seen when the first one's commit and
// target are known.
func TestASecondWorkloadThatFailsLaterIsRevertedToo(t *testing.T) {
	failing := func(name string) v1alpha1.Failure {
		return v1alpha1.Failure{
			Trigger: v1alpha1.TriggerImagePull, Workload: v1alpha1.Workload{Kind: "Deployment", Name: name, UID: "w"}, Container: "app",
			Revision: "c1", Cause: v1alpha1.CauseNotFound, Message: "not found", Since: v1alpha1.NewTime(t0),
		}
	}
	for name, tt := range map[string]struct {
		other  string
		target bool
		want   []string
	}{
		"the target is not known yet":        {want: []string{"ns/app.yaml", "ns/twin.yaml"}},
		"the target is known":                {target: true, want: []string{"ns/app.yaml", "ns/twin.yaml"}},
		"another commit is the second one's": {other: "c2", target: true, want: []string{"ns/app.yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			m.present = map[string]bool{imgGood: true}
			e := m.engine("c", Budget{})
			e.Git = twinGit{m, tt.other}
			rb := &v1alpha1.Rollback{Spec: v1alpha1.RollbackSpec{Subject: v1alpha1.ImageSubject(imgBad), OpenedFor: v1alpha1.TriggerImagePull}}
			rb.Namespace, rb.Status.Failures = m.ns, []v1alpha1.Failure{failing("app")}
			world := func(seen ...string) *World {
				w := World{Rollback: *rb.DeepCopy(), Now: m.now, Triggers: testRows}
				o := Observation{}
				for _, name := range seen {
					o.Failures = append(o.Failures, failing(name))
				}
				w.Seen = map[v1alpha1.TriggerType]Observation{v1alpha1.TriggerImagePull: o}
				return &w
			}
			if err := e.fillSuspect(t.Context(), world("app"), Step{}, rb); err != nil {
				t.Fatal(err)
			}
			if tt.target {
				if err := e.fillTarget(t.Context(), world("app"), Step{}, rb); err != nil {
					t.Fatal(err)
				}
			}
			if err := e.fillFailures(t.Context(), world("app", "twin"), Step{}, rb); err != nil {
				t.Fatal(err)
			}
			var files []string
			for _, n := range rb.Status.Suspect.Places {
				files = append(files, n.File)
			}
			if diff := cmp.Diff(tt.want, files); diff != "" {
				t.Errorf("places (-want +got):\n%s", diff)
			}
			if tt.target && len(rb.Status.Target.Values) != len(tt.want) {
				t.Errorf("the target has %+v for %d places", rb.Status.Target.Values, len(tt.want))
			}
		})
	}
}
