package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// twoPolicies has one image in two places, each with a marker of its own policy, and one Rollback that holds both.
type twoPolicies struct {
	*model
	// selects is what the policies select; one that is not there cannot be read.
	selects map[string]string
	held    map[string]v1alpha1.LiftMode
	// against are the versions that the holds name, by policy; none name none.
	against map[string]string
	// since are when the holds were written, by policy; none say when.
	since map[string]time.Time
	// lost are the policies whose holds are not where they were by the time of the push.
	lost []string
}

var bothPolicies = []string{"develop:first", "develop:second"}

func (m *twoPolicies) Reopen(context.Context, string, v1alpha1.Suspect, *types.NamespacedName, time.Time) (Origin, error) {
	o := m.origin()
	auto := o.Policies[0].Automation
	o.Policies = nil
	for _, name := range slices.Sorted(maps.Keys(m.selects)) {
		o.Policies = append(o.Policies, ImagePolicy{Name: name, Latest: m.selects[name], Automation: auto})
	}
	return o, nil
}

func (m *twoPolicies) Look(context.Context, Source, v1alpha1.Suspect, *v1alpha1.Target, time.Time) (Branch, error) {
	b := Branch{Tip: "tip", Values: map[int32]string{0: imgGood, 1: imgGood}, Held: map[int32]Hold{}}
	for i, policy := range bothPolicies {
		if lift, held := m.held[policy]; held {
			b.Held[int32(i)] = Hold{Policy: policy, Lift: lift, Not: m.against[policy], Since: m.since[policy]}
		}
	}
	return b, nil
}

// Lift takes the holds of the policies away that stand at the places.
func (m *twoPolicies) Lift(_ context.Context, _ Source, l Lift) (string, error) {
	commit := ""
	for i, policy := range bothPolicies {
		there := slices.ContainsFunc(l.Places, func(n v1alpha1.Place) bool { return n.File == placesOfTwo()[i].File })
		if !there || policy != l.Policy && !slices.Contains(l.And, policy) || slices.Contains(m.lost, policy) ||
			l.Not != "" && l.Not != m.against[policy] {
			continue
		}
		delete(m.held, policy)
		commit = "lift of " + policy
	}
	return commit, nil
}

func placesOfTwo() []v1alpha1.Place {
	return []v1alpha1.Place{
		{File: "first.yaml", Pointer: "/image", Part: "Image", Bad: imgBad, Former: imgGood, Marker: bothPolicies[0]},
		{File: "second.yaml", Pointer: "/image", Part: "Image", Bad: imgBad, Former: imgGood, Marker: bothPolicies[1]},
	}
}

// rested is a Rollback of two places that has ended, and whose holds stand; an older record has no holds by place.
func (m *twoPolicies) rested(ask *v1alpha1.LiftRequest, byPlace bool) *v1alpha1.Rollback {
	at := v1alpha1.NewTime(m.now)
	r := NewRollback(ImageKey(m.ns, imgBad), v1alpha1.TriggerImagePull, 1)
	if r.Spec.Lift = ask.DeepCopy(); ask != nil && ask.At.IsZero() {
		r.Spec.Lift.At = at
	}
	s := &r.Status
	s.Suspect = &v1alpha1.Suspect{Commit: "bad", Branch: "main", When: at, Places: placesOfTwo()}
	s.Target = &v1alpha1.Target{Image: imgGood, At: at, Values: []v1alpha1.PlaceValue{{Value: imgGood}, {Index: 1, Value: imgGood}}}
	s.Verdict = &v1alpha1.Verdict{Answer: v1alpha1.Approve, Source: v1alpha1.VerdictByPolicy, At: at}
	s.Change = &v1alpha1.Change{Commit: "revert", Hold: "hold", Branch: "main", Policies: bothPolicies, At: at}
	for i := range s.Suspect.Places {
		if p := &s.Suspect.Places[i]; byPlace {
			s.Holds = append(s.Holds, v1alpha1.Hold{Place: p.Identity()})
		}
	}
	s.Landed = &v1alpha1.Landed{Commit: "revert", At: at}
	s.Request = &v1alpha1.Request{Token: "t", At: at}
	s.Outcome = &v1alpha1.Outcome{Result: v1alpha1.ResultVerified, At: at}
	return r
}

func TestAHoldIsLiftedByItsOwnPolicy(t *testing.T) {
	const newer, dark = "reg.local/app:v8", "reg.local/app:v9"
	first, second := bothPolicies[0], bothPolicies[1]
	jane := &v1alpha1.LiftRequest{By: "jane"}
	for name, tt := range map[string]struct {
		selects map[string]string
		held    map[string]v1alpha1.LiftMode
		ask     *v1alpha1.LiftRequest
		lost    []string
		stand   []string
	}{
		"the second selects a newer image":            {selects: map[string]string{first: imgBad, second: newer}, stand: []string{first}},
		"the first selects a newer image":             {selects: map[string]string{first: newer, second: imgBad}, stand: []string{second}},
		"both do":                                     {selects: map[string]string{first: newer, second: newer}},
		"one cannot be read":                          {selects: map[string]string{second: newer}, stand: []string{first}},
		"the other cannot be read":                    {selects: map[string]string{first: newer}, stand: []string{second}},
		"neither can be read":                         {selects: map[string]string{}, stand: bothPolicies},
		"what one selects is not proved":              {selects: map[string]string{first: dark, second: newer}, stand: []string{first}},
		"one selects nothing":                         {selects: map[string]string{first: "", second: newer}, stand: []string{first}},
		"one waits for a person":                      {selects: map[string]string{first: newer, second: newer}, held: map[string]v1alpha1.LiftMode{first: v1alpha1.LiftManual, second: v1alpha1.LiftNewerImage}, stand: []string{first}},
		"one was lifted by hand, the other is kept":   {selects: map[string]string{first: newer, second: imgBad}, held: map[string]v1alpha1.LiftMode{second: ""}, stand: []string{second}},
		"a person lifts both":                         {selects: map[string]string{first: imgBad}, ask: jane},
		"a person lifts the one that stands":          {selects: map[string]string{}, held: map[string]v1alpha1.LiftMode{second: ""}, ask: jane},
		"the hold is not where it was at the push":    {selects: map[string]string{first: newer, second: imgBad}, lost: bothPolicies, stand: bothPolicies},
		"and neither where a person asks for its end": {selects: map[string]string{}, ask: jane, lost: bothPolicies, stand: bothPolicies},
	} {
		for _, byPlace := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, by place: %t", name, byPlace), func(t *testing.T) {
				m := &twoPolicies{model: newModel(), selects: tt.selects, held: maps.Clone(tt.held), lost: tt.lost}
				if m.held == nil {
					m.held = map[string]v1alpha1.LiftMode{first: "", second: ""}
				}
				m.present[newer] = true
				r := m.rested(tt.ask, byPlace)
				m.records[r.Name] = r
				e := m.engine("prod", Budget{})
				e.Flux, e.Git = m, m
				if _, err := e.Walk(t.Context(), KeyOf(r)); err != nil {
					t.Fatal(err)
				}
				m.check(t, r.Name, tt.stand)
			})
		}
	}
}

// check compares the holds that stand in Git and on the record.
func (m *twoPolicies) check(t *testing.T, name string, stand []string) {
	t.Helper()
	if diff := cmp.Diff(stand, slices.Sorted(maps.Keys(m.held))); diff != "" {
		t.Errorf("the holds that stand -want +got:\n%s", diff)
	}
	s := &m.records[name].Status
	if s.HoldStands() != (len(stand) > 0) {
		t.Errorf("the record says that a hold stands: %t", s.HoldStands())
	}
	for _, h := range s.Holds {
		if stands := slices.Contains(stand, s.PlaceOf(&h).Marker); stands != (h.LiftedBy == "") {
			t.Errorf("the hold on %s stands: %t; the record says %q", s.PlaceOf(&h).Marker, stands, h.LiftedBy)
		}
	}
}

func TestAPersonLiftsTheHoldOnOnePlace(t *testing.T) {
	const newer = "reg.local/app:v8"
	first, second := bothPolicies[0], bothPolicies[1]
	m := &twoPolicies{model: newModel(), selects: map[string]string{}, held: map[string]v1alpha1.LiftMode{first: "", second: ""}}
	m.present[newer] = true
	r := m.rested(nil, true)
	r.Spec.Lift = &v1alpha1.LiftRequest{By: "jane", At: v1alpha1.NewTime(m.now), Places: []string{r.Status.Holds[1].Place}}
	m.records[r.Name] = r
	e := m.engine("prod", Budget{})
	e.Flux, e.Git = m, m
	if _, err := e.Walk(t.Context(), KeyOf(r)); err != nil {
		t.Fatal(err)
	}
	m.check(t, r.Name, []string{first})
	m.selects[first] = newer
	if _, err := e.Walk(t.Context(), KeyOf(r)); err != nil {
		t.Fatal(err)
	}
	m.check(t, r.Name, nil)
	var by []string
	for _, h := range m.records[r.Name].Status.Holds {
		by = append(by, h.LiftedBy)
	}
	if diff := cmp.Diff([]string{"the policy's newer image " + newer, "jane"}, by); diff != "" {
		t.Errorf("who lifted them -want +got:\n%s", diff)
	}
}

func TestTheHoldOfAnEarlierRollbackIsLiftedToo(t *testing.T) {
	const newer = "reg.local/app:v8"
	for name, tt := range map[string]struct {
		selects map[string]string
		ask     *v1alpha1.LiftRequest
		stands  bool
	}{
		"by newer images":            {selects: map[string]string{bothPolicies[0]: newer, bothPolicies[1]: newer}},
		"by a person":                {selects: map[string]string{}, ask: &v1alpha1.LiftRequest{By: "jane"}},
		"not by the one that failed": {selects: map[string]string{bothPolicies[0]: imgBad}, stands: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := &twoPolicies{model: newModel(), selects: tt.selects, held: map[string]v1alpha1.LiftMode{bothPolicies[0]: "", bothPolicies[1]: ""}}
			m.present[newer] = true
			r, next := m.rested(tt.ask, true), NewRollback(ImageKey(m.ns, imgBad), v1alpha1.TriggerImagePull, 2)
			next.Status.Outcome = &v1alpha1.Outcome{Result: v1alpha1.ResultRecovered, At: v1alpha1.NewTime(m.now)}
			m.records[r.Name], m.records[next.Name] = r, next
			e := m.engine("prod", Budget{})
			e.Flux, e.Git = m, m
			if err := e.Sweep(t.Context(), time.Hour); err != nil {
				t.Fatal(err)
			}
			if got := m.records[r.Name].Status.HoldStands(); got != tt.stands {
				t.Errorf("the hold stands: %t\n%s", got, m.story())
			}
			if n := m.records[next.Name]; n == nil || n.Status.Lifted != nil {
				t.Errorf("the later one: %+v", n)
			}
		})
	}
}

// A later Rollback, maybe another namespace's that renders the same file, may have written its hold over an earlier one.
// That is lifted on its own record.
func TestAHoldThatWasWrittenOverIsNotItsRecordsAnyMore(t *testing.T) {
	first, second := bothPolicies[0], bothPolicies[1]
	for name, tt := range map[string]struct {
		ask     *v1alpha1.LiftRequest
		selects map[string]string
		against map[string]string
		stand   []string
		by      string
	}{
		"a person lifts one's own": {ask: &v1alpha1.LiftRequest{By: "jane"}, against: map[string]string{first: "v2", second: "v2"}, by: "jane"},
		"a person lifts no later one": {ask: &v1alpha1.LiftRequest{By: "jane"}, against: map[string]string{first: "v2", second: "v3"},
			stand: []string{second}, by: "the later hold against v3"},
		"nor does a newer image": {selects: map[string]string{first: "reg.local/app:v8", second: "reg.local/app:v8"},
			against: map[string]string{first: "v2", second: "v3"}, stand: []string{second}, by: "the later hold against v3"},
		"one that names no version is one's own": {ask: &v1alpha1.LiftRequest{By: "jane"}, against: map[string]string{first: "v2"}, by: "jane"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &twoPolicies{model: newModel(), selects: tt.selects, against: tt.against, held: map[string]v1alpha1.LiftMode{first: "", second: ""}}
			m.present["reg.local/app:v8"] = true
			r := m.rested(tt.ask, true)
			m.records[r.Name] = r
			s := m.walked(t, r, tt.stand)
			if s.HoldStands() || s.Holds[1].LiftedBy != tt.by {
				t.Errorf("the record says that a hold stands: %t; the second was lifted by %q, want %q", s.HoldStands(), s.Holds[1].LiftedBy, tt.by)
			}
		})
	}
}

// walked walks a record, and says what became of it. stand are the policies whose holds are to stand after it.
func (m *twoPolicies) walked(t *testing.T, r *v1alpha1.Rollback, stand []string) *v1alpha1.RollbackStatus {
	t.Helper()
	e := m.engine("prod", Budget{})
	e.Flux, e.Git = m, m
	if _, err := e.Walk(t.Context(), KeyOf(r)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stand, slices.Sorted(maps.Keys(m.held))); diff != "" {
		t.Errorf("the holds that stand -want +got:\n%s", diff)
	}
	return &m.records[r.Name].Status
}

// A person's word counts for the hold that stood when it was given, and for no other.
func TestALiftCountsForTheHoldThatStood(t *testing.T) {
	first, second := bothPolicies[0], bothPolicies[1]
	at := func(after time.Duration) *v1alpha1.LiftRequest {
		return &v1alpha1.LiftRequest{By: "jane", At: v1alpha1.NewTime(newModel().now.Add(after))}
	}
	since := func(after time.Duration) map[string]time.Time {
		return map[string]time.Time{first: newModel().now.Add(after), second: newModel().now.Add(after)}
	}
	for name, tt := range map[string]struct {
		ask    *v1alpha1.LiftRequest
		since  map[string]time.Time
		again  time.Duration
		stand  []string
		says   string
		lifted string
	}{
		"given when it stood":              {ask: at(0), since: since(0), lifted: "jane"},
		"given before":                     {ask: at(-time.Second), since: since(0), stand: bothPolicies, says: "jane asked for a lift before this hold stood, which does not count"},
		"given in 1970":                    {ask: &v1alpha1.LiftRequest{By: "jane", At: v1alpha1.NewTime(time.Unix(1, 0))}, stand: bothPolicies, says: "does not count"},
		"a later hold on the same version": {ask: at(0), since: since(time.Hour), stand: bothPolicies, lifted: "the later hold against v2"},
		"a hold that was landed again":     {ask: at(0), since: since(time.Hour), again: time.Hour, lifted: "jane"},
		"a hold that says no time":         {ask: at(0), lifted: "jane"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &twoPolicies{model: newModel(), selects: map[string]string{}, since: tt.since,
				against: map[string]string{first: "v2", second: "v2"}, held: map[string]v1alpha1.LiftMode{first: "", second: ""}}
			r := m.rested(tt.ask, true)
			r.Status.Landed.At = v1alpha1.NewTime(r.Status.Landed.At.Add(tt.again))
			m.records[r.Name], m.now = r, m.now.Add(2*time.Hour)
			s := m.walked(t, r, tt.stand)
			if s.Holds[0].LiftedBy != tt.lifted {
				t.Errorf("lifted by %q, want %q", s.Holds[0].LiftedBy, tt.lifted)
			}
			if tt.says != "" && (s.Waiting == nil || !strings.Contains(s.Waiting.Why, tt.says)) {
				t.Errorf("it waits: %+v, want …%s…", s.Waiting, tt.says)
			}
		})
	}
}
