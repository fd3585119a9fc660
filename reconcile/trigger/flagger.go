package trigger

import (
	"cmp"
	"fmt"
	"regexp"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/workload"
)

// Flagger is Flagger's kind.
var Flagger = schema.GroupVersionKind{Group: "flagger.app", Version: "v1beta1", Kind: "Canary"}

// CanaryResources are the kinds that judge updates, with their plurals.
var CanaryResources = map[schema.GroupVersionKind]string{Flagger: "canaries", Argo: "rollouts"}

// CanaryKind is the one of these kinds that has a name.
func CanaryKind(name string) schema.GroupVersionKind {
	if name == Argo.Kind {
		return Argo
	}
	return Flagger
}

// CanaryState is what a canary says of the update that it judged last.
type CanaryState string

// The states.
const (
	// CanaryFailed: it refused the update.
	CanaryFailed CanaryState = "Failed"
	// CanaryWell: what is to run is what it promoted.
	CanaryWell CanaryState = "Well"
	// CanaryBusy: it analyses, waits, or does not say.
	CanaryBusy CanaryState = "Busy"
)

// CanaryStatus is what an object that judges updates says of itself.
type CanaryStatus struct {
	By    v1alpha1.ObjectRef
	State CanaryState
	// At is when it refused the update; zero where it does not tell.
	At time.Time
	// Spec and PromotedSpec are the hashes of the template that it looked at last, and of the one that it promoted.
	Spec, PromotedSpec string
	// Reason as far as the object itself tells, in its own Message.
	Reason  v1alpha1.CanaryReason
	Message string
	// Promoting means that the update failed after its promotion, so that the serving pods have it already.
	Promoting bool
	// Phase in the object's own word, for people. Suspended says that nobody looks at an update now.
	Phase     string
	Suspended bool
	// Promoted means that the last update was promoted.
	Promoted bool
	// Workload has the template that is judged; it is the object itself where none is named.
	Workload v1alpha1.Workload
	// Tracked are the hashes of the ConfigMaps and Secrets that it compares, by kind/name; nil where it compares none.
	Tracked map[string]string
	// Ephemeral are labels and annotations that it puts on the pods of one side.
	Ephemeral []string
}

// fields reads an object whose fields may be anything. The first that is not what it should be is the error.
type fields struct {
	of  map[string]any
	err error
}

// at is what stands at a path; nil where nothing does.
func (f *fields) at(path ...string) any {
	out, _, err := unstructured.NestedFieldNoCopy(f.of, path...)
	f.note(path, err)
	return out
}

// as is what stands at a path, if it is of the type that it should be.
func as[T any](f *fields, path ...string) T {
	var none T
	v := f.at(path...)
	if v == nil {
		return none
	}
	out, ok := v.(T)
	if !ok {
		f.note(path, fmt.Errorf("%T is not what stands there", v))
	}
	return out
}

func (f *fields) text(path ...string) string { return as[string](f, path...) }

func (f *fields) yes(path ...string) bool { return as[bool](f, path...) }

func (f *fields) number(path ...string) int64 {
	switch n := f.at(path...).(type) {
	case nil:
		return 0
	case int64:
		return n
	case float64:
		return int64(n)
	default:
		f.note(path, fmt.Errorf("%T is no number", n))
		return 0
	}
}

func (f *fields) texts(path ...string) map[string]string {
	all := as[map[string]any](f, path...)
	if all == nil {
		return nil
	}
	out := make(map[string]string, len(all))
	for key, v := range all {
		said, ok := v.(string)
		if !ok {
			f.note(append(path, key), fmt.Errorf("%T is no text", v))
		}
		out[key] = said
	}
	return out
}

func (f *fields) note(path []string, err error) {
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("read %v: %w", path, err)
	}
}

// condition is one entry of status.conditions.
type condition struct {
	status, reason, message string
	since                   time.Time
}

func (f *fields) condition(of string) condition {
	for _, item := range as[[]any](f, "status", "conditions") {
		c, _ := item.(map[string]any)
		if c["type"] != of {
			continue
		}
		in := fields{of: c}
		out := condition{status: in.text("status"), reason: in.text("reason"), message: in.text("message")}
		out.since = in.time("lastTransitionTime")
		f.note([]string{"status", "conditions", of}, in.err)
		return out
	}
	return condition{}
}

func (f *fields) time(path ...string) time.Time {
	said := f.text(path...)
	if said == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, said)
	f.note(path, err)
	return at
}

// ReadFlagger reads a Canary. While it has failed, Flagger writes its status again and again: only its condition
// Promoted tells since when.
func ReadFlagger(o *unstructured.Unstructured) (CanaryStatus, error) {
	f := fields{of: o.Object}
	out := CanaryStatus{
		By:    v1alpha1.ObjectRef{Kind: Flagger.Kind, Namespace: o.GetNamespace(), Name: o.GetName()},
		State: CanaryBusy, Reason: v1alpha1.CanaryUnknown,
		Spec: f.text("status", "lastAppliedSpec"), PromotedSpec: f.text("status", "lastPromotedSpec"),
		Workload: v1alpha1.Workload{Kind: f.text("spec", "targetRef", "kind"), Name: f.text("spec", "targetRef", "name")},
		Tracked:  f.texts("status", "trackedConfigs"),
	}
	phase, weight := f.text("status", "phase"), f.number("status", "canaryWeight")
	out.Phase = phase
	same := out.Spec != "" && out.Spec == out.PromotedSpec
	switch {
	case f.yes("spec", "suspend"):
		// Nobody looks at it: what it says may be old.
		out.Phase, out.Suspended = phase+", suspended", true
	case same && phase == "Failed" && weight > 0:
		// Its promotion failed and Git went back since: the primary has what failed, and nobody looks at it.
	case same && (phase == "Failed" || phase == "Succeeded" || phase == "Initialized"):
		out.State, out.Promoted = CanaryWell, phase != "Failed"
	case phase == "Failed":
		promoted := f.condition("Promoted")
		out.State, out.Message = CanaryFailed, promoted.message
		if promoted.reason == "Failed" {
			out.At = promoted.since
		}
		out.Promoting = weight > 0
	}
	if f.yes("spec", "skipAnalysis") {
		// Without an analysis only the deadline is left.
		out.Reason = v1alpha1.CanaryDeadline
	}
	return out, f.err
}

// Word is an event about a canary.
type Word struct {
	At   time.Time
	Text string
	// Count is how often it was said.
	Count int
}

// What Flagger says in its events. None of it is more than a hint: what it does not know, it does not change.
var (
	flaggerDetected = regexp.MustCompile(`^New revision detected!`)
	flaggerRefused  = regexp.MustCompile(`^(?:Canary failed! Scaling down|Rolling back )`)
	flaggerChecked  = regexp.MustCompile(`^Rolling back \S+ failed checks threshold reached`)
	flaggerByHand   = regexp.MustCompile(`manual webhook invoked`)
	flaggerTimedOut = regexp.MustCompile(`progress deadline exceeded|exceeded its progress ?[dD]eadline`)
	flaggerNotReady = regexp.MustCompile(`waiting for rollout to finish|not ready`)
	flaggerPrimary  = regexp.MustCompile(`(?:^|[\s"])\S+-primary\.\S+ not ready|` +
		`primary (?:deployment|daemonset) is scaled to zero`)
	flaggerHalt = regexp.MustCompile(`^Halt `)
	// flaggerCompared is a metric beside what it may be.
	flaggerCompared = regexp.MustCompile(`\d\S* [<>] \S*\d`)
	flaggerBlind    = regexp.MustCompile(`no values found|query failed|Metric query|Metric template|Error building`)
	// flaggerCheck is a check of a webhook. It was run where what it says is the result of a test, and nothing about the
	// way there: no list of who may stand on the way is ever whole.
	flaggerCheck = regexp.MustCompile(`(?s)check \S+ failed(.*)`)
	checkRan     = regexp.MustCompile(`(?i)\bexit status (?:[1-9]|[1-9]\d|1[01]\d|12[0-5])\b|\btests? (?:\S+ )?failed|` +
		`\d ?%|\b\d+ of \d+\b|assert|\bexpected\b`)
	checkNotRun = regexp.MustCompile(`(?i)not found|no such|signal: |dial tcp|i/o timeout|deadline exceeded|refused|` +
		`reset by peer|unreachable|no route|\bEOF\b|x509:|tls:|giving up after|misbehaving|unavailable|bad gateway|` +
		`gateway time|too many requests|<html|denied|unauthori[sz]ed|forbidden`)
	flaggerGate = regexp.MustCompile(`waiting for (?:traffic increase |promotion )?approval`)
)

// notRun reports whether something halted the update, and nothing says that it was measured.
func notRun(text string) bool {
	if check := flaggerCheck.FindStringSubmatch(text); check != nil {
		return !checkRan.MatchString(check[1]) || checkNotRun.MatchString(check[1])
	}
	return flaggerHalt.MatchString(text) && !flaggerCompared.MatchString(text)
}

// explained adds what the events of a canary tell: why it refused the update, and whether it has seen it at all.
// Newest first. Flagger's recorder drops events of an object that has many: a check that failed explains the end only
// where Flagger says that it was the checks.
func (s *CanaryStatus) explained(words []Word) (reason v1alpha1.CanaryReason, detected time.Time, checks []string) {
	if s.By.Kind != Flagger.Kind {
		return s.Reason, time.Time{}, nil
	}
	var h heard
	for _, w := range words {
		switch {
		case !s.At.IsZero() && w.At.After(s.At.Add(time.Minute)):
			// Of a later update.
			continue
		case flaggerDetected.MatchString(w.Text):
			detected = w.At
		case flaggerByHand.MatchString(w.Text):
			return v1alpha1.CanaryAborted, detected, []string{w.Text}
		case flaggerGate.MatchString(w.Text):
		case flaggerPrimary.MatchString(w.Text):
			return v1alpha1.CanaryPromoted, detected, []string{w.Text}
		case flaggerBlind.MatchString(w.Text), notRun(w.Text):
			h.blind += max(w.Count, 1)
			checks = append(checks, w.Text)
		case flaggerHalt.MatchString(w.Text):
			h.measured += max(w.Count, 1)
			checks = append(checks, w.Text)
		case flaggerTimedOut.MatchString(w.Text):
			h.timedOut = true
			checks = append(checks, w.Text)
		case flaggerNotReady.MatchString(w.Text):
			// Each update says so as it starts.
			h.notReady = true
			checks = append(checks, w.Text)
		case flaggerRefused.MatchString(w.Text):
			h.checked = h.checked || flaggerChecked.MatchString(w.Text)
			checks = append(checks, w.Text)
		}
		if !detected.IsZero() {
			break
		}
	}
	return cmp.Or(h.reason(), s.Reason), detected, checks
}

// heard is what the events of one analysis say, as counts.
type heard struct {
	// measured checks failed, blind ones measured nothing.
	measured, blind int
	// checked means that it ended for its checks, timedOut for its deadline, notReady that it once waited for its pods.
	checked, timedOut, notReady bool
}

// reason is why an update was refused; empty where nothing tells.
func (h *heard) reason() v1alpha1.CanaryReason {
	switch {
	case h.checked && h.measured > h.blind:
		return v1alpha1.CanaryAnalysis
	case h.blind > 0 && h.blind >= h.measured:
		return v1alpha1.CanaryMetrics
	case h.timedOut, h.notReady && h.measured == 0:
		return v1alpha1.CanaryDeadline
	}
	return ""
}

// Argo is the kind of Argo Rollouts.
var Argo = schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: workload.Rollout}
