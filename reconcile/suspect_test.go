package reconcile

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

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

// apart is a Flux in which each workload has a Kustomization of its own, and a Git in which one commit changed both.
type apart struct {
	*model
	second v1alpha1.Suspect
	lands  map[v1alpha1.ObjectRef][]string
}

func (a apart) Origin(_ context.Context, ns string, wl v1alpha1.Workload, with *types.NamespacedName, _ time.Time) (Origin, error) {
	o := a.of(ns).originWith(with)
	o.Root.Path, o.Lands = wl.Name, a.lands
	return o, nil
}

func (a apart) Blame(_ context.Context, _ Source, q Query) (v1alpha1.Suspect, error) {
	auto := v1alpha1.ObjectRef{Kind: "ImageUpdateAutomation", Namespace: a.ns, Name: "a"}
	s := v1alpha1.Suspect{Commit: "c1", Parent: "c0", When: v1alpha1.NewTime(a.now), Automation: &auto, OnlyImages: true}
	if q.Root.Path == "twin" {
		s = a.second
		s.Commit, s.When = "c1", v1alpha1.NewTime(a.now)
	}
	s.Places = []v1alpha1.Place{{File: q.Root.Path + ".yaml", Pointer: "/image", Part: "Image", Bad: imgBad, Former: imgGood}}
	return s, nil
}

// What makes the second workload's places a person's matter, or another namespace's, counts for the whole revert.
func TestASecondWorkloadBringsItsOwnDoubts(t *testing.T) {
	failing := func(name string) v1alpha1.Failure {
		return v1alpha1.Failure{Trigger: v1alpha1.TriggerImagePull, Workload: v1alpha1.Workload{Kind: "Deployment", Name: name, UID: "w"}, Container: "app",
			Revision: "c1", Cause: v1alpha1.CauseNotFound, Message: "not found", Since: v1alpha1.NewTime(t0)}
	}
	auto := &v1alpha1.ObjectRef{Kind: "ImageUpdateAutomation", Namespace: "develop", Name: "a"}
	production := v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "production"}
	crowd, lands := []v1alpha1.ObjectRef{}, map[v1alpha1.ObjectRef][]string{production: {"production"}}
	for i := range v1alpha1.MaxSharers + 1 {
		ref := v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: fmt.Sprint("k", i)}
		crowd, lands[ref] = append(crowd, ref), []string{fmt.Sprint("ns", i)}
	}
	for name, tt := range map[string]struct {
		second v1alpha1.Suspect
		check  func(s *v1alpha1.Suspect) bool
	}{
		"its file is another namespace's too": {v1alpha1.Suspect{Automation: auto, OnlyImages: true, SharedBy: []v1alpha1.ObjectRef{production}},
			func(s *v1alpha1.Suspect) bool {
				return slices.Equal(s.SharedWith, []string{"production"}) && slices.Equal(s.SharedBy, []v1alpha1.ObjectRef{production})
			}},
		"a person wrote it": {v1alpha1.Suspect{OnlyImages: true, ByHand: "the node has no marker"},
			func(s *v1alpha1.Suspect) bool { return s.Automation == nil && s.ByHand == "the node has no marker" }},
		"more than images changed there": {v1alpha1.Suspect{Automation: auto},
			func(s *v1alpha1.Suspect) bool { return !s.OnlyImages }},
		"more namespaces than a record has room for": {v1alpha1.Suspect{Automation: auto, SharedBy: crowd}, func(s *v1alpha1.Suspect) bool { return s == nil }},
		"nothing of that": {v1alpha1.Suspect{Automation: auto, OnlyImages: true},
			func(s *v1alpha1.Suspect) bool {
				return s.Automation != nil && s.OnlyImages && s.ByHand == "" && len(s.SharedWith) == 0
			}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			m.present = map[string]bool{imgGood: true}
			e := m.engine("c", Budget{})
			e.Git, e.Flux = apart{m, tt.second, lands}, apart{m, tt.second, lands}
			fresh := func(names ...string) (*v1alpha1.Rollback, *World) {
				rb := &v1alpha1.Rollback{Spec: v1alpha1.RollbackSpec{Subject: v1alpha1.ImageSubject(imgBad), OpenedFor: v1alpha1.TriggerImagePull}}
				rb.Namespace = m.ns
				for _, name := range names {
					rb.Status.Failures = append(rb.Status.Failures, failing(name))
				}
				return rb, &World{Rollback: *rb.DeepCopy(), Now: m.now, Triggers: testRows}
			}
			rb, w := fresh("app", "twin")
			if err := e.fillSuspect(t.Context(), w, Step{}, rb); (err != nil) != (rb.Status.Suspect == nil) {
				t.Fatal(err)
			}
			if s := rb.Status.Suspect; !tt.check(s) || s != nil && len(s.Places) != 2 {
				t.Errorf("both at once: %+v", s)
			}
			rb, w = fresh("app")
			if err := e.fillSuspect(t.Context(), w, Step{}, rb); err != nil {
				t.Fatal(err)
			}
			rb.Status.Failures = append(rb.Status.Failures, failing("twin"))
			if err := e.addPlaces(t.Context(), w, Step{}, rb); err != nil {
				t.Fatal(err)
			}
			// What is known stays, and the second one's place is left out.
			if s := rb.Status.Suspect; len(s.Places) == 2 && !tt.check(s) || len(s.Places) == 1 && len(tt.second.SharedBy) <= v1alpha1.MaxSharers {
				t.Errorf("one after the other: %+v", s)
			}
		})
	}
}
