package reconcile

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files anew")

// driftEndings are the ways in which a change by hand ends, in the order in which docs/drift.md tells them.
func driftEndings() []struct {
	title string
	world World
} {
	arrived := func(w *World) {
		landed(w)
		w.Rollback.Status.Verdict.Source, w.Rollback.Status.Verdict.By = v1alpha1.VerdictByPerson, "jane"
	}
	byHelm := func(w *World) {
		f := byHandOf("backend", "reg/backend:v1", time.Minute)
		f.Drift.UndoneBy = &v1alpha1.ObjectRef{Kind: "HelmRelease", Namespace: "develop", Name: "web"}
		w.Rollback.Status.Failures = []v1alpha1.Failure{f}
	}
	unnamed := func(w *World) { w.sees(PodsSeen{Unnamed: "Deployment/backend"}) }
	hoursLater := func(w *World) { w.Now = t0.Add(2 * time.Hour) }
	tells := func(p Policy) worldChange { return func(w *World) { w.Policy = p } }
	return []struct {
		title string
		world World
	}{
		{"adopted by a person, and it arrived", undone(arrived)},
		{"Flux undid it at its next run", undone(restored)},
		{"Helm undid it at its next run", undone(byHelm, restored)},
		{"Flux undid it after nobody had answered", undone(ended(v1alpha1.ResultExpired), restored)},
		{"Flux undid it after it was only told", undone(ended(v1alpha1.ResultReportedOnly), restored)},
		{"Flux undid it before it was recorded", undone(func(w *World) { w.Rollback.Status = v1alpha1.RollbackStatus{}; w.sees(PodsSeen{}) })},
		{"a person had it restored, and it arrived", undone(rejected("bob"), requested, restored)},
		{"a person rejected it, and Flux was faster", undone(rejected("bob"), restored)},
		{"a person rejected it, and nothing runs it any more", undone(rejected("bob"), func(w *World) { w.sees(PodsSeen{}) })},
		{"a person rejected it, and Flux never undid it", undone(rejected("bob"), requested, func(w *World) { w.Now = t0.Add(time.Hour) })},
		{"a person's commit says what runs", undone(tipSays("reg/backend:v1"))},
		{"Git says something newer", undone(tipSays("reg/backend:v3"))},
		{"nobody answered", undone(hoursLater)},
		{"it was only told, and then Git was made to say what runs", undone(ended(v1alpha1.ResultReportedOnly), unnamed)},
		{"the policy only tells", undone(func(w *World) { w.Policy.Mode = v1alpha1.ModeNotify })},
		{"no policy selects the workload", undone(tells(Policy{Bar: v1alpha1.BarNoPolicy, Why: "no RollbackPolicy selects the workload"}))},
		{"the policy is suspended", undone(tells(Policy{Mode: v1alpha1.ModeNotify, Bar: v1alpha1.BarSuspended, Why: "policy develop/web is suspended"}))},
		{"adopted, and forbidden for a day before it was pushed", undone(approved("jane"), func(w *World) {
			w.Policy.Mode, w.Policy.Bar, w.Policy.Why, w.Now = v1alpha1.ModeNotify, v1alpha1.BarSuspended, "policy develop/web is suspended", t0.Add(25*time.Hour)
		})},
	}
}

// What kubectl and every card say at the end of a drift. Read it aloud when it changes.
func TestEveryEndingOfADriftReadAloud(t *testing.T) {
	var b strings.Builder
	for _, e := range driftEndings() {
		step := decide(e.world)
		if step.Do != DoOutcome {
			t.Errorf("%s: does %s (%s), want an end", e.title, step.Do, step.Why)
			continue
		}
		r := e.world.Rollback.DeepCopy()
		o := step.Outcome
		o.At = micro(e.world.Now)
		r.Status.Outcome, r.Status.Question, r.Status.Waiting = &o, nil, nil
		describe(r, e.world.Now)
		ready := meta.FindStatusCondition(r.Status.Conditions, "Ready")
		fmt.Fprintf(&b, "%s\n  %s, Ready=%s\n  %s\n\n", e.title, o.Result, ready.Status, ready.Message)
	}
	golden(t, "testdata/drift-endings.txt", b.String())
}

// golden compares a text with a file, which -update writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", name, diff)
	}
}

// docs/drift.md says of each of them when it comes.
func TestTheDocsTellEveryEndingOfADrift(t *testing.T) {
	docs, err := os.ReadFile("../docs/drift.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(docs), "## How it ends")
	table, _, _ = strings.Cut(table, "\n## ")
	var told []v1alpha1.Result
	for _, e := range driftEndings() {
		if r := decide(e.world).Outcome.Result; r != "" && !slices.Contains(told, r) {
			told = append(told, r)
			if !strings.Contains(table, "| `"+string(r)+"` |") {
				t.Errorf("docs/drift.md does not say when a drift is %s", r)
			}
		}
	}
	if len(told) < 7 {
		t.Errorf("a drift ends in %v", told)
	}
}
