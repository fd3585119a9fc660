package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Trigger is one way in which something is seen to be wrong, and what is particular about it. Failures of several
// triggers about one subject meet in one Rollback: everything else in this package knows phases and typed evidence, and
// no trigger. The rows stand in reconcile/trigger, and cmd/sidecar wires them.
//
// To add one:
//
//  1. api/v1alpha1: a name beside TriggerImagePull, with its place in both enums; a row in trigger.go with its words
//     and limits; a member of Failure for its evidence, and its line in Failure's rule; causes in cause.go. Then make
//     generate.
//  2. reconcile/trigger: a file with a function that gives the Trigger, and a line in All. Only Type and Observe have
//     to be there: what is nil does what its comment says.
//  3. watcher: what wakes the keys that it is about.
//  4. notify/card: how its evidence is told, where the words of its row are not enough.
//  5. docs/policies.md, and a policy's printer column where it is worth one.
type Trigger struct {
	// Type names it. Its words and limits stand in the table of api/v1alpha1.
	Type v1alpha1.TriggerType
	// Observe looks at what the trigger sees of a key, live. It judges nothing, and gives nothing where the key's subject
	// is not of its kind.
	Observe func(ctx context.Context, l *Look) (Observation, error)
	// Ended says how what is on the record came to an end by itself, as far as this trigger goes; nil while it has not.
	// The record ends when every trigger on it says so, and nothing is wrong any more. nil for never.
	Ended func(w *World) *Ending
	// Gone is the ending of a record that was opened for this trigger, and whose reason was over before it was written
	// down; nil recovers.
	Gone func(w *World) Ending
	// Doubts are why a person is asked; none lets the policy decide. nil for none.
	Doubts func(w *World) []v1alpha1.Doubt
	// Breaker says why what this trigger goes by cannot be trusted right now, seen over all open Rollbacks; empty where it
	// can. nil for always.
	Breaker func(w *World, open []v1alpha1.Rollback) string
	// Depth is how many earlier values are looked through for a target; zero for as many as usual.
	Depth int
	// Prefer makes a target that goes before the newest earlier value that is proved, such as what people have put in
	// place by hand; nil where there is none. prove asks whether an image can run. nil for never.
	Prefer func(w *World, former []Former, prove Prover) (*v1alpha1.Target, error)
	// Prove says whether an earlier value can run; nil asks the registry. It is asked again before a push.
	Prove func(ctx context.Context, w *World, f Former) (Proof, error)
	// Fault says whether the subject itself cannot run: FindingAbsent proves it. nil asks the registry, where the
	// trigger's row says that it blames the image.
	Fault func(ctx context.Context, w *World, target *v1alpha1.Target) (Proof, error)
	// Arrived says what is missing until what Git says now runs; empty when it does. nil goes by the images of the
	// workloads' templates and by their rollouts.
	Arrived func(w *World) string
}

// Prover says whether an image can run where the record's workloads run.
type Prover func(image string) (Proof, error)

// Ending is how something came to an end by itself.
type Ending struct {
	Result v1alpha1.Result
	// Sentence says it to a person.
	Sentence string
}

// Look is one look at a key. What several triggers go by is read once.
type Look struct {
	Key Key
	// Record is the newest Rollback of the key; nil where there is none.
	Record *v1alpha1.Rollback
	pods   func(context.Context) (PodsSeen, error)
	read   *PodsSeen
	// applier reads the key's subject as a Flux object that applies.
	applier func(context.Context) (*Applier, error)
}

// Applier is the Flux object that the key is about; nil where it is about none, or nobody reads them.
func (l *Look) Applier(ctx context.Context) (*Applier, error) {
	if l.applier == nil || l.Key.Image() != "" {
		return nil, nil
	}
	a, err := l.applier(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", l.Key, err)
	}
	return a, nil
}

// Known are the workloads that the record names.
func (l *Look) Known() []v1alpha1.Workload {
	if l.Record == nil {
		return nil
	}
	return l.Record.Status.Workloads()
}

// Pods is what the pods say that use the key's image.
func (l *Look) Pods(ctx context.Context) (PodsSeen, error) {
	if l.read == nil {
		now, err := l.pods(ctx)
		if err != nil {
			return PodsSeen{}, fmt.Errorf("read pods: %w", err)
		}
		l.read = &now
	}
	return *l.read, nil
}

// Observation is what one trigger sees of a key, live.
type Observation struct {
	// Failures now, each with the trigger's evidence.
	Failures []v1alpha1.Failure
	// Pods counts the pods of the workloads in Failures; nil where they are not counted.
	Pods *v1alpha1.PodCount
	// Over names what proves that what was wrong is over, as the subject of a sentence; empty where nothing does.
	Over string
	// Unnamed names the known workloads, where nothing is wrong and none of them asks for the subject's image any more;
	// else empty.
	Unnamed string
	// RanHere names what ran the subject's image beside what fails; empty where nothing did.
	RanHere string
	// Labels of the workloads in Failures and of the known ones that exist, by Kind/name: what policies select by.
	Labels map[string]map[string]string
	// Wishes are what these workloads say about going back, by Kind/name, and their namespace, by NamespaceWish.
	Wishes map[string]Wish
}

// observe has every trigger look.
func (e *Engine) observe(ctx context.Context, key Key, record *v1alpha1.Rollback) (map[v1alpha1.TriggerType]Observation,
	error,
) {
	l := &Look{Key: key, Record: record}
	l.pods = func(ctx context.Context) (PodsSeen, error) { return e.Pods.Failing(ctx, key, l.Known()) }
	if e.Applies != nil {
		l.applier = func(ctx context.Context) (*Applier, error) { return e.applier(ctx, key) }
	}
	out := map[v1alpha1.TriggerType]Observation{}
	for _, t := range e.Triggers {
		o, err := t.Observe(ctx, l)
		if err != nil {
			return nil, err
		}
		o.Failures = fitting(o.Failures)
		out[t.Type] = o
	}
	return out, nil
}

// applier reads a Flux object that applies, with what it and its namespace say about going back.
func (e *Engine) applier(ctx context.Context, key Key) (*Applier, error) {
	a, err := e.Applies.Applier(ctx, key)
	if err != nil || a == nil {
		return a, err
	}
	of, err := e.Pods.Owners(ctx, key.Namespace, nil)
	if err != nil {
		return nil, err
	}
	a.Wishes = map[string]Wish{key.Subject.String(): {Annotation: a.Says}}
	maps.Copy(a.Wishes, of.Wishes)
	return a, nil
}

// failures are what all triggers see right now.
func (w *World) failures() []v1alpha1.Failure { return failuresOf(w.Seen) }

// failuresOf joins what triggers see, in the order of their table.
func failuresOf(seen map[v1alpha1.TriggerType]Observation) []v1alpha1.Failure {
	var out []v1alpha1.Failure
	for _, row := range v1alpha1.Triggers() {
		out = append(out, seen[row.Type].Failures...)
	}
	return out
}

// unnamedIn names the workloads that ask for the subject's image no more, where a trigger says so.
func unnamedIn(seen map[v1alpha1.TriggerType]Observation) string {
	for _, row := range v1alpha1.Triggers() {
		if o := seen[row.Type]; o.Unnamed != "" {
			return o.Unnamed
		}
	}
	return ""
}

// podsOf counts the failing pods, where a trigger does.
func podsOf(w *World) *v1alpha1.PodCount {
	for _, row := range v1alpha1.Triggers() {
		if o := w.Seen[row.Type]; o.Pods != nil {
			return o.Pods
		}
	}
	return nil
}

// concerned are the triggers that a record is about: those of its failures and of what is seen now, or that which it
// was opened for.
func concerned(w *World) []v1alpha1.TriggerType {
	var out []v1alpha1.TriggerType
	for _, row := range v1alpha1.Triggers() {
		if w.Form.Status.SeenBy(row.Type) || len(w.Seen[row.Type].Failures) > 0 {
			out = append(out, row.Type)
		}
	}
	if len(out) == 0 && w.Form.Spec.OpenedFor != "" {
		out = append(out, w.Form.Spec.OpenedFor)
	}
	return out
}

// rows are the triggers on the record, or that which it was opened for.
func (w *World) rows() []Trigger {
	var out []Trigger
	for _, t := range w.Triggers {
		if w.Form.Status.SeenBy(t.Type) || len(w.Form.Status.Failures) == 0 && t.Type == w.Form.Spec.OpenedFor {
			out = append(out, t)
		}
	}
	return out
}

// over says how what the record is about came to an end by itself; nil while it has not. Nothing may be wrong any more,
// and every trigger on the record has to say so.
func over(w *World) *Ending {
	if len(w.failures()) > 0 || len(w.Form.Status.Failures) == 0 {
		return nil
	}
	return ending(w, w.rows())
}

// putBack says how what a Reject puts back came to its end; nil while it has not.
func putBack(w *World) *Ending {
	if len(w.failures()) > 0 {
		return nil
	}
	return ending(w, slices.DeleteFunc(w.rows(), func(t Trigger) bool { return !t.Type.Row().RejectRestores }))
}

// ending is the first one of triggers that have all come to their end.
func ending(w *World, rows []Trigger) *Ending {
	var first *Ending
	for _, t := range rows {
		if t.Ended == nil {
			return nil
		}
		e := t.Ended(w)
		if e == nil {
			return nil
		}
		first = cmp.Or(first, e)
	}
	return first
}

// gone ends a record whose reason was over before it was written down.
func gone(w *World) Step {
	e := Ending{v1alpha1.ResultRecovered, "the failure was gone before it could be recorded"}
	for _, t := range w.rows() {
		if t.Gone != nil {
			e = t.Gone(w)
		}
	}
	return end(w, e.Result, "%s", e.Sentence)
}

// asksRegistry says whether the registry can say that the subject cannot run: a trigger on the record blames the image,
// and has nothing else to go by.
func asksRegistry(w *World) bool {
	return slices.ContainsFunc(w.rows(), func(t Trigger) bool { return t.Type.Row().Blames && t.Fault == nil })
}

// graceOf is how long a failure of a trigger must last.
func (w *World) graceOf(t v1alpha1.TriggerType) time.Duration {
	if p, ok := w.Policies[t]; ok {
		return p.Grace
	}
	return w.Policy.Grace
}

// graceEnds is when the first failure has lasted as long as its trigger wants, and how long that is.
func graceEnds(w *World) (time.Time, time.Duration) {
	var first time.Time
	grace := w.Policy.Grace
	for _, f := range w.Form.Status.Failures {
		of := w.graceOf(f.Trigger)
		if at := f.Since.Add(of); first.IsZero() || at.Before(first) {
			first, grace = at, of
		}
	}
	if first.IsZero() {
		first = first.Add(grace)
	}
	return first, grace
}

// together is what may be done about a record that several triggers are about: a policy decides only where it may for
// each of them, and a person is asked where one of them lets a person decide. Of their limits the stricter count.
func together(all []Policy) Policy {
	if len(all) == 1 {
		return all[0]
	}
	tells := func(p Policy) bool { return modeRank(p.Mode) < modeRank(v1alpha1.ModeApprove) }
	may := slices.DeleteFunc(slices.Clone(all), tells)
	if len(may) == 0 {
		may = all
	}
	var out Policy
	least := may[0]
	for _, p := range may {
		out = stricter(out, p)
		least = leastOf(least, p, func(p Policy) int { return modeRank(p.Mode) })
	}
	out.Why, out.Bar = least.Why, least.Bar
	if len(may) < len(all) && out.Mode == v1alpha1.ModeAuto {
		out.Mode, out.Why = v1alpha1.ModeApprove, "the policy only tells of a part of it"
	}
	return out
}
