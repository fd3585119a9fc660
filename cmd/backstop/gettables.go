package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/program"
	"github.com/backstop-dev/backstop/internal/text"
)

// table is which objects a list shows, and how a line of it reads.
type table struct {
	singular, plural string
	header, wide     []string
	// image is the column that may have an image, which is named in fewer words where a line has no room; 0 for none.
	image   int
	empty   func() client.ObjectList
	options func(...client.ListOption) []client.ListOption
	keep    func(client.Object) bool
	// when is what orders the lines.
	when func(client.Object) time.Time
	row  func(client.Object, reader) (row, wide []string)
}

// reader is when a table is read, and by which name of the program.
type reader struct {
	now     time.Time
	program program.Name
}

var tables = map[string]table{
	"rollbacks": {
		singular: "rollback", plural: "rollbacks",
		header: []string{"NAME", "TRIGGER", "SUBJECT", "PHASE", "AGE", "STATUS"}, image: 2,
		wide:  []string{"BACK TO", "SUSPECT", "REVERT"},
		empty: rollbacks, options: all, keep: anything, when: created, row: rollbackRow,
	},
	"holds": {
		singular: "hold of rollback", plural: "holds",
		header: []string{"ROLLBACK", "POLICY", "NOT", "NOW", "AGE", "LIFTED BY"}, wide: []string{"FILE", "COMMIT"},
		empty: rollbacks, options: all, keep: holds, when: created, row: holdRow,
	},
	"policies": {
		singular: "policy", plural: "policies",
		header: []string{"NAME", "TRIGGERS", "SUSPENDED", "READY", "AGE", "STATUS"}, wide: []string{"SLACK"},
		empty:   func() client.ObjectList { return &v1alpha1.RollbackPolicyList{} },
		options: all, keep: anything, when: created, row: policyRow,
	},
	"events": {
		singular: "event", plural: "events",
		header: []string{"LAST SEEN", "TYPE", "REASON", "ROLLBACK", "MESSAGE"},
		empty:  func() client.ObjectList { return &corev1.EventList{} },
		options: func(given ...client.ListOption) []client.ListOption {
			return append(given, client.MatchingFields{"involvedObject.kind": "Rollback"})
		},
		keep: anything, when: lastSeen, row: eventRow,
	},
}

func all(given ...client.ListOption) []client.ListOption { return given }

func anything(client.Object) bool { return true }

func created(o client.Object) time.Time { return o.GetCreationTimestamp().Time }

func rollbacks() client.ObjectList { return &v1alpha1.RollbackList{} }

// objectsOf are the items of a list.
func objectsOf(list client.ObjectList) ([]client.Object, error) {
	items, err := meta.ExtractList(list)
	if err != nil {
		return nil, fmt.Errorf("read the list: %w", err)
	}
	out := make([]client.Object, 0, len(items))
	for _, item := range items {
		o, ok := item.(client.Object)
		if !ok {
			return nil, fmt.Errorf("read the list: %T is no object", item)
		}
		out = append(out, o)
	}
	return out, nil
}

// readyMessage is what the condition Ready says; empty before there is one.
func readyMessage(conditions []metav1.Condition) string {
	if c := meta.FindStatusCondition(conditions, "Ready"); c != nil {
		return c.Message
	}
	return ""
}

func rollbackRow(o client.Object, by reader) ([]string, []string) {
	r := o.(*v1alpha1.Rollback)
	s := &r.Status
	back, suspect, revert := "", "", ""
	if s.Target != nil {
		back = image.Short(s.Target.Image)
	}
	if s.Suspect.ByFiles() && s.Target != nil && len(s.Target.Values) > 0 {
		back = fmt.Sprintf("%d files", len(s.Target.Values))
	}
	if s.Suspect != nil {
		suspect = text.Short(s.Suspect.Commit)
	}
	if s.Change != nil {
		revert = text.Short(s.Change.Commit)
	}
	return []string{r.Name, string(r.Spec.OpenedFor), r.Spec.Subject.String(), s.PhaseNow(),
		age(r.CreationTimestamp.Time, by.now), statusOf(s, by)}, []string{back, suspect, revert}
}

// statusOf is what a Rollback asks and how to answer, which must not be cut off; else what its condition Ready says.
func statusOf(s *v1alpha1.RollbackStatus, by reader) string {
	q := s.Question
	if q == nil || s.Outcome != nil || len(q.Answers) == 0 || by.now.After(q.Until.Time) {
		return readyMessage(s.Conditions)
	}
	commands := make([]string, 0, len(q.Answers))
	for _, a := range q.Answers {
		commands = append(commands, strings.ToLower(string(a)))
	}
	why := make([]string, 0, len(q.Doubts))
	for _, d := range q.Doubts {
		why = append(why, d.Message)
	}
	at, undone := s.DecideBy(by.now)
	until := text.Day(at, by.now) + at.UTC().Format("15:04 MST")
	if undone {
		until += ", when Flux undoes it"
	}
	return fmt.Sprintf("%s by %s: %s", by.program.Command("%s", strings.Join(commands, "|")), until,
		cmp.Or(strings.Join(why, "; "), readyMessage(s.Conditions)))
}

func holds(o client.Object) bool { return o.(*v1alpha1.Rollback).Status.HoldStands() }

func holdRow(o client.Object, by reader) ([]string, []string) {
	r := o.(*v1alpha1.Rollback)
	s := &r.Status
	var files []string
	for _, n := range s.Suspect.Places {
		if s.StandsOn(&n) && !slices.Contains(files, n.File) {
			files = append(files, n.File)
		}
	}
	lifts := "a newer image"
	if s.Change.Lift == v1alpha1.LiftManual {
		lifts = by.program.Command("lift")
	}
	if l := r.LiftWish(); l != nil {
		lifts = l.By
	}
	return []string{r.Name, strings.Join(s.HeldPolicies(), ","), image.Short(r.Spec.Subject.Name),
			image.Short(s.Target.Image), age(s.Change.At.Time, by.now), lifts},
		[]string{strings.Join(files, ","), text.Short(s.Change.Hold)}
}

func policyRow(o client.Object, by reader) ([]string, []string) {
	p := o.(*v1alpha1.RollbackPolicy)
	var triggers []string
	for _, t := range p.Spec.Triggers {
		triggers = append(triggers, fmt.Sprintf("%s=%s", t.Type, cmp.Or(t.Mode, v1alpha1.ModeApprove)))
	}
	ready, slack := "", ""
	if c := meta.FindStatusCondition(p.Status.Conditions, "Ready"); c != nil {
		ready = string(c.Status)
	}
	if c := meta.FindStatusCondition(p.Status.Conditions, "SlackReady"); c != nil {
		slack = c.Message
	}
	return []string{p.Name, strings.Join(triggers, ","), fmt.Sprint(p.Spec.Suspend), ready,
		age(p.CreationTimestamp.Time, by.now), readyMessage(p.Status.Conditions)}, []string{slack}
}

func lastSeen(o client.Object) time.Time {
	e := o.(*corev1.Event)
	for _, t := range []time.Time{e.LastTimestamp.Time, e.EventTime.Time} {
		if !t.IsZero() {
			return t
		}
	}
	return e.CreationTimestamp.Time
}

func eventRow(o client.Object, by reader) ([]string, []string) {
	e := o.(*corev1.Event)
	return []string{age(lastSeen(e), by.now), e.Type, e.Reason, e.InvolvedObject.Name, e.Message}, nil
}
