package trigger_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// refused is an update that a canary judged, as the API showed it, and what is right to do.
type refused struct {
	Case string
	// Right is whose fault it was: image, config, dependency, node or unknown; nothing where nothing failed.
	Right string
	// Then is what Backstop does: reverts where the policy lets it, asks, tells, or waits.
	Then string
	Now  time.Time
	// Canary is the object, its two templates and what is around them.
	Canary         map[string]any
	Target, Former *side
	Words          []said
	// Analyses are the AnalysisRuns of Argo.
	Analyses []map[string]any
	NoRoom   string
	Promoted map[string]string
	// Others crash, Siblings run an image of the update well.
	Others, Siblings []string
}

type side struct {
	Name          string
	Made          time.Time
	Ready, Wanted int32
	Ails          string
	Template      corev1.PodTemplateSpec
}

type said struct {
	At    time.Time
	Says  string
	Count int
}

func (s *side) facts() *trigger.Side {
	if s == nil {
		return nil
	}
	return &trigger.Side{Name: s.Name, Made: s.Made, Ready: s.Ready, Wanted: s.Wanted, Ails: s.Ails, Template: s.Template}
}

// refusals reads testdata/canaries. Each file begins with the object and templates that its cases share; a case says
// what is different.
func refusals(t *testing.T) []refused {
	t.Helper()
	files, err := filepath.Glob("testdata/canaries/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out []refused
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		docs := bytes.Split(data, []byte("\n---\n"))
		for _, doc := range docs[1:] {
			out = append(out, layered(t, file, docs[0], doc))
		}
	}
	slices.SortStableFunc(out, func(a, b refused) int {
		order := []string{"image", "config", "dependency", "node", "unknown", "nothing"}
		return cmp.Or(slices.Index(order, a.Right)-slices.Index(order, b.Right), strings.Compare(a.Case, b.Case))
	})
	return out
}

// layered puts a document over another: maps are merged, all else is replaced.
func layered(t *testing.T, file string, layers ...[]byte) refused {
	t.Helper()
	var all any
	for _, layer := range layers {
		var of map[string]any
		if err := yaml.Unmarshal(layer, &of); err != nil {
			t.Fatalf("%s: %v\n%s", file, err, layer)
		}
		all = merge(all, of)
	}
	merged, err := yaml.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	var out refused
	if err := yaml.UnmarshalStrict(merged, &out); err != nil {
		t.Fatalf("%s: %v\n%s", file, err, merged)
	}
	return out
}

func merge(lower, over any) any {
	a, ok := lower.(map[string]any)
	b, ok2 := over.(map[string]any)
	if !ok || !ok2 {
		return over
	}
	for key, value := range b {
		if a[key] == nil || value == nil {
			a[key] = value
			continue
		}
		a[key] = merge(a[key], value)
	}
	return a
}

// judge is what Backstop makes of it.
func (r *refused) judge() (fault, then string, doubts []string, all []trigger.Judgement) {
	o := &unstructured.Unstructured{}
	raw, err := json.Marshal(r.Canary)
	if err != nil || o.UnmarshalJSON(raw) != nil {
		return "not read", "not read", nil, nil
	}
	read := trigger.ReadFlagger
	if o.GetKind() == trigger.Argo.Kind {
		read = trigger.ReadArgo
	}
	status, err := read(o)
	if err != nil {
		return "nothing", "waits", nil, nil
	}
	f := &trigger.CanaryFacts{Now: r.Now, Status: status, Target: r.Target.facts(), Former: r.Former.facts(), NoRoom: r.NoRoom,
		Remembered: r.Promoted != nil, Promoted: r.Promoted, Others: r.Others, Siblings: r.Siblings}
	for _, w := range r.Words {
		f.Words = append(f.Words, trigger.Word{At: w.At, Text: w.Says, Count: w.Count})
	}
	for _, a := range r.Analyses {
		if failed, err := trigger.ReadAnalysis(&unstructured.Unstructured{Object: a}); err == nil {
			f.FailedMetrics = append(f.FailedMetrics, failed...)
		}
	}
	all = trigger.JudgeCanary(f)
	fault, then = "nothing", "waits"
	for _, j := range all {
		for _, d := range j.Canary.Doubts {
			doubts = append(doubts, string(d.Type))
		}
		fault, then = strings.ToLower(string(j.Fault)), "tells"
		if j.Fault == v1alpha1.FaultImage {
			then = "asks"
			if len(j.Canary.Doubts) == 0 {
				then = "may revert"
			}
		}
	}
	return fault, then, slices.Compact(doubts), all
}

// Nothing that is not the image's fault is reverted without a person, and what is, is recognised.
func TestNoRefusedUpdateIsTakenBackWrongly(t *testing.T) {
	all := refusals(t)
	images, others, recognised := 0, 0, 0
	for i := range all {
		r := &all[i]
		fault, then, doubts, _ := r.judge()
		if then != r.Then {
			t.Errorf("%s: %s, want %s: %s %v", r.Case, then, r.Then, fault, doubts)
		}
		if r.Right != "image" {
			others++
			if then == "may revert" {
				t.Errorf("%s: would be reverted without a person", r.Case)
			}
			continue
		}
		images++
		if fault == "image" {
			recognised++
		}
	}
	if len(all) < 30 || others*2 < len(all) || recognised*10 < images*9 {
		t.Errorf("%d refused updates, %d not the image's fault, %d of %d recognised", len(all), others, recognised, images)
	}
}

// What people ask about first, each by the recorded update that shows it.
func TestScenariosOfCanaries(t *testing.T) {
	all := refusals(t)
	for name, c := range map[string]struct {
		recorded, then string
		reason         v1alpha1.CanaryReason
		promoted, by   string
		says           string
	}{
		"failed analysis": {"the success rate falls", "may revert", v1alpha1.CanaryAnalysis,
			"registry.example.com/web:v1", "Deployment/web-primary", ""},
		"progress deadline": {"it crashes, and so was not ready by its deadline", "asks", v1alpha1.CanaryDeadline,
			"registry.example.com/web:v1", "Deployment/web-primary", "not ready by its deadline"},
		"failed promotion": {"the promotion failed", "tells", v1alpha1.CanaryAnalysis,
			"", "Deployment/web-primary", "would put the old image under live traffic"},
		"config change": {"a tracked ConfigMap changed, and no template", "tells", v1alpha1.CanaryAnalysis,
			"", "Deployment/web-primary", "the content of configmap/settings"},
		"image and config change": {"image and a tracked Secret in one commit", "tells", v1alpha1.CanaryAnalysis,
			"registry.example.com/web:v1", "Deployment/web-primary", "the content of secret/login"},
		"already Failed at start": {"it had failed already when Backstop started, an hour ago", "asks", v1alpha1.CanaryUnknown,
			"registry.example.com/web:v1", "Deployment/web-primary", "nothing tells why"},
		"Argo aborted": {"Argo aborted, an analysis failed", "may revert", v1alpha1.CanaryAnalysis,
			"registry.example.com/web:v1", "ReplicaSet/web-6d4b7c8f9", ""},
		"Argo degraded by its deadline": {"Argo degraded by its deadline", "asks", v1alpha1.CanaryDeadline,
			"registry.example.com/web:v1", "ReplicaSet/web-6d4b7c8f9", "not ready by its deadline"},
		"workloadRef": {"Argo aborted, and the template is that of a Deployment", "may revert", v1alpha1.CanaryAnalysis,
			"registry.example.com/web:v1", "ReplicaSet/web-6d4b7c8f9", ""},
	} {
		t.Run(name, func(t *testing.T) {
			i := slices.IndexFunc(all, func(r refused) bool { return r.Case == c.recorded })
			if i < 0 {
				t.Fatalf("no update is recorded as %q", c.recorded)
			}
			_, then, _, judged := all[i].judge()
			if then != c.then || len(judged) != 1 {
				t.Fatalf("%s, %d judgements, want %s", then, len(judged), c.then)
			}
			got := judged[0].Canary
			if got.Reason != c.reason || got.Promoted != c.promoted || got.PromotedBy != c.by {
				t.Errorf("%s, %q is promoted by %q", got.Reason, got.Promoted, got.PromotedBy)
			}
			var said []string
			for _, d := range got.Doubts {
				said = append(said, d.Message)
			}
			if text := strings.Join(said, "; "); !strings.Contains(text, c.says) || c.says == "" && text != "" {
				t.Errorf("says %q, want %q", text, c.says)
			}
		})
	}
}

// canaryOf is a record of a refused update, and what is seen of it now.
func canaryOf(revision string, c v1alpha1.Canary) v1alpha1.Failure {
	c.By = v1alpha1.ObjectRef{Kind: "Canary", Namespace: "prod", Name: "web"}
	return v1alpha1.Failure{Trigger: v1alpha1.TriggerCanary, Workload: v1alpha1.Workload{Kind: "Deployment", Name: "web"},
		Revision: revision, Container: "web", Cause: v1alpha1.CauseAnalysisFailed, Canary: &c}
}

// Events are gone after an hour: what they told stays, and a later refusal of the same template is another one.
func TestWhyAnUpdateWasRefusedStays(t *testing.T) {
	unknown := v1alpha1.Canary{Reason: v1alpha1.CanaryUnknown, Doubts: []v1alpha1.RolloutDoubt{{Type: v1alpha1.DoubtReasonUnknown}}}
	for name, c := range map[string]struct {
		recorded v1alpha1.Canary
		now      string
		want     []v1alpha1.DoubtType
	}{
		"it was the analysis": {v1alpha1.Canary{Reason: v1alpha1.CanaryAnalysis}, "bad at 10:00", nil},
		"it was the deadline": {v1alpha1.Canary{Reason: v1alpha1.CanaryDeadline,
			Doubts: []v1alpha1.RolloutDoubt{{Type: v1alpha1.DoubtDeadline}}}, "bad at 10:00", []v1alpha1.DoubtType{v1alpha1.DoubtDeadline}},
		"nothing told ever": {unknown, "bad at 10:00", []v1alpha1.DoubtType{v1alpha1.DoubtReasonUnknown}},
		"it was refused again": {v1alpha1.Canary{Reason: v1alpha1.CanaryAnalysis}, "bad at 11:00",
			[]v1alpha1.DoubtType{v1alpha1.DoubtReasonUnknown}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &reconcile.World{Seen: map[v1alpha1.TriggerType]reconcile.Observation{
				v1alpha1.TriggerCanary: {Failures: []v1alpha1.Failure{canaryOf(c.now, unknown)}}}}
			w.Policy.SoleCluster = true
			w.Rollback.Status.Failures = []v1alpha1.Failure{canaryOf("bad at 10:00", c.recorded)}
			var got []v1alpha1.DoubtType
			for _, d := range trigger.Canary().Doubts(w) {
				got = append(got, d.Type)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("doubts %v, want %v", got, c.want)
			}
		})
	}
}

// Other clusters may deploy the same path and run it well.
func TestARefusedUpdateOfTwoClustersIsAskedAbout(t *testing.T) {
	w := &reconcile.World{Seen: map[v1alpha1.TriggerType]reconcile.Observation{
		v1alpha1.TriggerCanary: {Failures: []v1alpha1.Failure{canaryOf("bad", v1alpha1.Canary{Reason: v1alpha1.CanaryAnalysis})}}}}
	for sole, want := range map[bool]int{false: 1, true: 0} {
		w.Policy.SoleCluster = sole
		doubts := trigger.Canary().Doubts(w)
		if len(doubts) != want || want == 1 && doubts[0].Type != v1alpha1.DoubtOtherClusters {
			t.Errorf("sole cluster %t: %v", sole, doubts)
		}
	}
}

func TestTheDocsHaveTheTableOfCanaries(t *testing.T) {
	var rows, table strings.Builder
	fmt.Fprint(&rows, "| row | applies where | then |\n|---|---|---|\n")
	for _, r := range trigger.CanaryRows() {
		then := "a person is asked"
		if r.Fault != "" {
			then = "only told: " + strings.ToLower(string(r.Fault))
		}
		fmt.Fprintf(&rows, "| `%s` | %s | %s |\n", r.Doubt, r.Says, then)
	}
	fmt.Fprint(&table, "| update | whose fault | Backstop says | then | because |\n|---|---|---|---|---|\n")
	all := refusals(t)
	for i := range all {
		fault, then, doubts, _ := all[i].judge()
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s |\n", all[i].Case, all[i].Right, fault, then, strings.Join(doubts, ", "))
	}
	inDocs(t, "canaries.md", rows.String(), table.String())
}
