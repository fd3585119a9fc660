package trigger_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

var update = flag.Bool("update", false, "write the table of docs/rollouts.md")

// recorded is one failure as the API showed it, and whose fault it was.
type recorded struct {
	Case string
	// Right is whose fault it was: image, config, dependency, node or unknown.
	Right string
	Now   time.Time
	// Auto means that every row holds, so that a policy may let it be reverted without a person.
	Auto, OptedIn bool
	FormerWas     v1alpha1.Availability
	// says is what it is taken for, of a situation.
	says    string
	objects trigger.Objects
}

// corpus reads testdata/rollouts.
func corpus(t *testing.T) []recorded {
	t.Helper()
	files, err := filepath.Glob("testdata/rollouts/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out []recorded
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, record(t, file, bytes.Split(data, []byte("\n---\n"))))
	}
	out = append(out, recordSituations(t)...)
	slices.SortFunc(out, func(a, b recorded) int {
		order := []string{"image", "config", "dependency", "node", "unknown"}
		return cmp.Or(slices.Index(order, a.Right)-slices.Index(order, b.Right), strings.Compare(a.Case, b.Case))
	})
	return out
}

// converted are the documents of the corpus as JSON: many situations begin with the same, and YAML takes long to read.
var converted sync.Map

func asJSON(t *testing.T, file string, doc []byte) []byte {
	t.Helper()
	if known, ok := converted.Load(string(doc)); ok {
		return known.([]byte)
	}
	out, err := yaml.YAMLToJSON(doc)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	converted.Store(string(doc), out)
	return out
}

func record(t *testing.T, file string, docs [][]byte) recorded {
	t.Helper()
	var r recorded
	read := func(doc []byte, into any) {
		if err := json.Unmarshal(asJSON(t, file, doc), into); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	read(docs[0], &r)
	o := &r.objects
	o.Now, o.OptedIn = r.Now, r.OptedIn
	for _, doc := range docs[1:] {
		var kind struct{ Kind string }
		read(doc, &kind)
		switch kind.Kind {
		case "Deployment":
			o.Deployment = &appsv1.Deployment{}
			read(doc, o.Deployment)
		case "StatefulSet":
			o.StatefulSet = &appsv1.StatefulSet{}
			read(doc, o.StatefulSet)
		case "DaemonSet":
			o.DaemonSet = &appsv1.DaemonSet{}
			read(doc, o.DaemonSet)
		case "ReplicaSet":
			o.ReplicaSets = append(o.ReplicaSets, appsv1.ReplicaSet{})
			read(doc, &o.ReplicaSets[len(o.ReplicaSets)-1])
		case "ControllerRevision":
			o.Revisions = append(o.Revisions, appsv1.ControllerRevision{})
			read(doc, &o.Revisions[len(o.Revisions)-1])
		case "Pod":
			o.Pods = append(o.Pods, corev1.Pod{})
			read(doc, &o.Pods[len(o.Pods)-1])
		case "Node":
			o.Nodes = append(o.Nodes, corev1.Node{})
			read(doc, &o.Nodes[len(o.Nodes)-1])
		default:
			t.Fatalf("%s: kind %q", file, kind.Kind)
		}
	}
	o.Remembered = remembered(&r)
	return r
}

// remembered is what the watch would have kept: the oldest revision's template, and whether it was available.
func remembered(r *recorded) trigger.Remembered {
	var out trigger.Remembered
	if r.FormerWas == "" {
		return out
	}
	out.FormerWas = r.FormerWas
	for i := range r.objects.ReplicaSets {
		if rs := &r.objects.ReplicaSets[i]; strings.HasSuffix(rs.Name, "-aaaa") {
			out.Former = trigger.TemplateHash(&rs.Spec.Template)
		}
	}
	return out
}

// verdict is what Backstop makes of a recorded failure, as its judge would in the cluster.
func verdict(r *recorded) (fault string, auto bool, says []string) {
	fault, auto, _, says = judged(r)
	return fault, auto, says
}

// judged is a verdict that also tells whether a person is asked about the workload's configuration.
func judged(r *recorded) (fault string, auto, config bool, says []string) {
	f := trigger.Observe(&r.objects)
	fault = "nothing"
	for _, j := range trigger.Judge(&f) {
		if !j.Complete {
			continue
		}
		if fault == "nothing" || j.Fault == v1alpha1.FaultImage {
			fault = strings.ToLower(string(j.Fault))
		}
		auto, config = auto || trigger.Certain(&j), config || j.Config
		for _, d := range j.Evidence.Doubts {
			says = append(says, string(d.Type))
		}
	}
	return fault, auto, config, slices.Compact(says)
}

// Of what its template's configuration did a person is asked, by rendering, and of nothing that something else did.
func TestConfigurationIsAskedAboutWhereItChangedWithTheRevision(t *testing.T) {
	all := corpus(t)
	for i := range all {
		r := &all[i]
		fault, _, config, says := judged(r)
		changed := slices.Contains(says, string(v1alpha1.DoubtConfigChanged))
		switch {
		case config && (!changed || fault != "config"):
			t.Errorf("%s: called the configuration's, and %s %v", r.Case, fault, says)
		case config && r.Right != "config" && r.Right != "image":
			t.Errorf("%s: called the configuration's, and it is %s: %v", r.Case, r.Right, says)
		case !config && changed && r.Right == "config":
			t.Errorf("%s: it is told only: %s %v", r.Case, fault, says)
		}
	}
}

// The rule that matters: of what is not the image's fault nothing is ever pushed without a person, and of what is at
// least nine of ten are recognised.
func TestNoFailureOfTheCorpusIsPushedWrongly(t *testing.T) {
	all := corpus(t)
	images, others, recognised := 0, 0, 0
	for i := range all {
		r := &all[i]
		fault, auto, says := verdict(r)
		if auto != r.Auto {
			t.Errorf("%s: without a person %v, want %v: %s %v", r.Case, auto, r.Auto, fault, says)
		}
		if r.Right != "image" {
			others++
			continue
		}
		images++
		if fault == "image" {
			recognised++
		} else {
			t.Logf("%s: %s %v", r.Case, fault, says)
		}
	}
	if len(all) < 60 || others*2 < len(all) {
		t.Errorf("%d failures, %d not the image's fault", len(all), others)
	}
	if recognised*10 < images*9 {
		t.Errorf("%d of %d are recognised", recognised, images)
	}
}

// What is known of another fault is never called the image's where the API shows it. The few where it does not, such as
// a Secret that was rotated, are asked about.
func TestAnotherFaultIsKnownWhereTheAPIShowsIt(t *testing.T) {
	hidden := []string{
		"rotated Secret", "rotated Secret, and the owner opted in", "image and ConfigMap of a fixed name in one commit",
		"the same, and the owner opted in", "dependency needed at the start alone",
		"dependency needed at the start alone, and the owner opted in",
		"exit 127 of a script that reads a ConfigMap", "a command of a variable from a ConfigMap",
		"a policy that is new makes the root read-only", "a plugin of another architecture on a volume",
	}
	all := corpus(t)
	for i := range all {
		r := &all[i]
		fault, _, says := verdict(r)
		if r.Right != "image" && (fault == "image") != (r.says == "image" || slices.Contains(hidden, r.Case)) {
			t.Errorf("%s: called %s %v", r.Case, fault, says)
		}
	}
}

func TestTheDocsHaveTheTable(t *testing.T) {
	var rows strings.Builder
	fmt.Fprint(&rows, "| row | applies where | then |\n|---|---|---|\n")
	for _, r := range trigger.Rows() {
		then := "a person is asked"
		if r.Fault != "" {
			then = "not the image: " + strings.ToLower(string(r.Fault))
		}
		fmt.Fprintf(&rows, "| `%s` | %s | %s |\n", r.Doubt, r.Says, then)
	}
	var table strings.Builder
	fmt.Fprint(&table, "| failure | whose fault | Backstop says | then | because |\n|---|---|---|---|---|\n")
	all := corpus(t)
	for i := range all {
		r := &all[i]
		fault, auto, config, says := judged(r)
		then := "asks"
		switch {
		case config:
			then = "asks about the workload"
		case fault == "nothing":
			then = "waits"
		case auto:
			then = "may revert"
		case fault != "image":
			then = "tells"
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s |\n", r.Case, r.Right, fault, then, strings.Join(says, ", "))
	}
	inDocs(t, "rollouts.md", rows.String(), table.String())
}

// inDocs reports whether a document has the rows and the table, or puts them there with -update.
func inDocs(t *testing.T, document, rows, table string) {
	t.Helper()
	file := filepath.Join("..", "..", "docs", document)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := between(t, between(t, string(data), "rows", rows), "table", table)
	switch {
	case want == string(data):
	case *update:
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("docs/%s is old: go test ./reconcile/trigger -update", document)
	}
}

// between puts words in the place of a document that has this name.
func between(t *testing.T, doc, name, words string) string {
	t.Helper()
	is := "is"
	if name == "rows" {
		is = "are"
	}
	begins := "<!-- the " + name + " below " + is + " written by go test ./reconcile/trigger -update -->\n"
	ends := "<!-- end of the " + name + " -->\n"
	head, rest, ok := strings.Cut(doc, begins)
	_, tail, ok2 := strings.Cut(rest, ends)
	if !ok || !ok2 {
		t.Fatalf("the docs have no place for the %s", name)
	}
	return head + begins + words + ends + tail
}
