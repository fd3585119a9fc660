package reconcile

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// heldModel has a hold in Git that no Rollback knows, and reports when a Rollback was created, as a watch does.
type heldModel struct {
	*model
	// since is when the hold says that it was written; an hour ago where it is nil.
	since   *time.Time
	created func()
}

func (m heldModel) Holds(context.Context, Source, []Root) ([]Hold, error) {
	since := m.now.Add(-time.Hour)
	if m.since != nil {
		since = *m.since
	}
	return []Hold{{
		File: "app.yaml", Pointer: "/image", Policy: m.ns + ":app", Not: "v2", Since: since, Value: imgGood,
		Image: imgGood, Commit: "c0", Rollback: "prod/" + m.ns + "/app-1", Failed: []string{imgBad},
	}}, nil
}

func (m heldModel) Create(ctx context.Context, r *v1alpha1.Rollback) error {
	if err := m.model.Create(ctx, r); err != nil {
		return err
	}
	m.records[r.Name].CreationTimestamp = metav1.NewTime(m.now)
	if m.created != nil {
		m.created()
	}
	return nil
}

func TestAHoldIsAdoptedAlthoughTheWorkerWakesInBetween(t *testing.T) {
	m := newModel()
	m.branch[0].held = true
	key := ImageKey(m.ns, imgBad)
	e := m.engine("prod", Budget{})
	h := heldModel{model: m}
	h.created = func() {
		if _, err := e.Walk(t.Context(), key); err != nil {
			t.Errorf("walk: %v", err)
		}
	}
	e.Git, e.Records = h, h
	if err := e.Sweep(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	checkAdopted(t, m, key)
}

func TestAnAdoptionThatWasCutShortIsFinished(t *testing.T) {
	m := newModel()
	m.branch[0].held = true
	key := ImageKey(m.ns, imgBad)
	e := m.engine("prod", Budget{})
	h := heldModel{model: m}
	e.Git, e.Records = h, h
	m.crashAt = 2 // the second write is the status
	if err := e.Sweep(t.Context(), time.Hour); !errors.Is(err, errCrash) {
		t.Fatalf("sweep: %v, want the crash", err)
	}
	m.crashAt = -1
	if err := e.Sweep(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	checkAdopted(t, m, key)
}

// People write holds too, and what a hold says of its time is no more than that: the record takes no missing time, and
// none that is not over yet.
func TestAHoldThatSaysNoTimeIsFromWhenItWasSeen(t *testing.T) {
	for name, since := range map[string]time.Time{
		"it says none": {}, "one to come": newModel().now.Add(time.Hour), "a year that no record takes": newModel().now.AddDate(2500, 0, 0),
		"one from before there was Git": time.Date(33, 4, 3, 15, 0, 0, 0, time.UTC),
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			m.branch[0].held = true
			key := ImageKey(m.ns, imgBad)
			e := m.engine("prod", Budget{})
			h := heldModel{model: m, since: &since}
			e.Git, e.Records = h, h
			if err := e.Sweep(t.Context(), time.Hour); err != nil {
				t.Fatal(err)
			}
			checkAdopted(t, m, key)
			r, err := m.Latest(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if at := r.Status.Change.At.Time; !at.Equal(m.now) {
				t.Errorf("the hold is from %s, want %s", at, m.now)
			}
		})
	}
}

// tenantsHolds are holds on a policy of the tenant's own namespace, in its own repository. The trailers, which it wrote
// too, name another namespace.
type tenantsHolds struct {
	*model
	n       int
	deploys []string
	created map[string]int
}

func (m *tenantsHolds) Automated(context.Context) ([]Origin, error) {
	o := m.origin()
	o.Namespaces = m.deploys
	return []Origin{o}, nil
}

func (m *tenantsHolds) Holds(context.Context, Source, []Root) ([]Hold, error) {
	var out []Hold
	for i := range m.n {
		out = append(out, Hold{
			File: "app.yaml", Pointer: fmt.Sprintf("/image/%d", i), Policy: m.ns + ":app", Not: fmt.Sprintf("x%d", i),
			Since: m.now.Add(-time.Hour), Value: imgGood, Image: imgGood, Commit: "c0", Rollback: "prod/kube-system/anything-1",
		})
	}
	return out, nil
}

// environmentsHolds are holds of one policy on one version in several environments.
type environmentsHolds struct {
	*tenantsHolds
	holds []Hold
}

func (m *environmentsHolds) Holds(context.Context, Source, []Root) ([]Hold, error) {
	return m.holds, nil
}

func (m *tenantsHolds) Create(_ context.Context, r *v1alpha1.Rollback) error {
	m.created[r.Namespace]++
	return nil
}
func (m *tenantsHolds) Latest(context.Context, Key) (*v1alpha1.Rollback, error) { return nil, nil }
func (m *tenantsHolds) SaveStatus(context.Context, *v1alpha1.Rollback) error    { return nil }

func TestHoldsOpenRollbacksOnlyWhereTheirSourceDeploys(t *testing.T) {
	for name, tt := range map[string]struct {
		holds   int
		deploys []string
		most    int
		want    map[string]int
	}{
		"a namespace that the source does not deploy into": {holds: 3, want: map[string]int{"develop": 3}},
		"one that it does":                    {holds: 3, deploys: []string{"kube-system"}, want: map[string]int{"kube-system": 3}},
		"as many as a repository likes":       {holds: 5000, want: map[string]int{"develop": maxAdopted}},
		"a namespace that is full":            {holds: 3, most: 7, want: map[string]int{}},
		"a namespace that is not full by far": {holds: 3, most: 8, want: map[string]int{"develop": 3}},
	} {
		t.Run(name, func(t *testing.T) {
			m := &tenantsHolds{model: newModel(), n: tt.holds, deploys: tt.deploys, created: map[string]int{}}
			e := m.engine("prod", Budget{})
			e.Git, e.Records, e.Flux = m, m, m
			e.MaxRecords, e.Count = tt.most, func(string) int { return 7 }
			if err := e.Sweep(t.Context(), time.Hour); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, m.created); diff != "" {
				t.Errorf("Rollbacks by namespace -want +got:\n%s", diff)
			}
		})
	}
}

// checkAdopted wants one Rollback of a key, which knows its hold.
func checkAdopted(t *testing.T, m *model, key Key) {
	t.Helper()
	r, err := m.Latest(t.Context(), key)
	if err != nil || r == nil {
		t.Fatalf("no Rollback: %v", err)
	}
	if !r.Status.HoldStands() || r.Status.PhaseNow() != string(v1alpha1.ResultVerified) || len(m.records) != 1 {
		t.Errorf("the hold is not adopted once:\n%s", m.story())
	}
}

// lateModel lists no Rollback: what it holds was opened after the list was read.
type lateModel struct{ heldModel }

func (lateModel) All(context.Context) ([]v1alpha1.Rollback, error) { return nil, nil }

func TestAHoldIsLeftToTheRollbackThatWasOpenedMeanwhile(t *testing.T) {
	m := newModel()
	m.branch[0].held = true
	e := m.engine("prod", Budget{})
	h := heldModel{model: m}
	under := NewRollback(ImageKey(m.ns, imgBad), v1alpha1.TriggerImagePull, 1)
	if err := h.Create(t.Context(), under); err != nil {
		t.Fatal(err)
	}
	e.Git, e.Records = h, lateModel{h}
	if err := e.Sweep(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if len(m.records) != 1 {
		t.Errorf("%d Rollbacks, want the one that is under way alone", len(m.records))
	}
}

// Who may decide in one namespace lifts no other's hold.
func TestHoldsOfSeveralEnvironmentsAreRecordedInEach(t *testing.T) {
	hold := func(file, rollback string) Hold {
		return Hold{File: file, Pointer: "/image", Policy: "develop:app", Not: "v2", Value: imgGood, Image: imgGood, Commit: "c0", Rollback: rollback}
	}
	many := []Hold{}
	for i := range v1alpha1.MaxPlaces + 1 {
		many = append(many, hold(fmt.Sprintf("%d.yaml", i), "prod/staging/app-1"))
	}
	for name, tt := range map[string]struct {
		holds []Hold
		// places are how many a record of each namespace has.
		places map[string]int
	}{
		"one for each namespace that is named": {[]Hold{hold("a.yaml", "prod/staging/app-1"), hold("b.yaml", "prod/production/app-1")},
			map[string]int{"staging": 1, "production": 1}},
		"one that names none is the policy's": {[]Hold{hold("a.yaml", "prod/staging/app-1"), hold("b.yaml", "")},
			map[string]int{"staging": 1, "develop": 1}},
		"those of one namespace are one":      {[]Hold{hold("a.yaml", "prod/staging/app-1"), hold("b.yaml", "prod/staging/app-2")}, map[string]int{"staging": 2}},
		"one more than a record has room for": {many, map[string]int{"staging": v1alpha1.MaxPlaces}},
	} {
		t.Run(name, func(t *testing.T) {
			m := &savedHolds{environmentsHolds: environmentsHolds{
				&tenantsHolds{model: newModel(), deploys: []string{"staging", "production"}, created: map[string]int{}}, tt.holds},
				places: map[string]int{}}
			e := m.engine("prod", Budget{})
			e.Git, e.Records, e.Flux = m, m, m
			if err := e.Sweep(t.Context(), time.Hour); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.places, m.places); diff != "" {
				t.Errorf("places by namespace -want +got:\n%s", diff)
			}
		})
	}
}

// savedHolds counts the places of the records that are saved.
type savedHolds struct {
	environmentsHolds
	places map[string]int
}

func (m *savedHolds) SaveStatus(_ context.Context, r *v1alpha1.Rollback) error {
	m.places[r.Namespace] += len(r.Status.Suspect.Places)
	return nil
}

func TestAHoldIsOfTheVersionThatItNames(t *testing.T) {
	for name, tt := range map[string]struct {
		not    string
		failed []string
		want   string
	}{
		"the whole image of a trailer":    {"v1", []string{"reg.local/app:v1"}, "reg.local/app:v1"},
		"no version that begins the same": {"v1", []string{"reg.local/app:v10", "reg.local/app:v1"}, "reg.local/app:v1"},
		"nor one that ends the same":      {"1.0", []string{"reg.local/app:v1.0"}, "1.0"},
		"nor a repository that has it":    {"v1", []string{"reg.local/v1/app:v2"}, "v1"},
		"one by its digest":               {"sha256:ab", []string{"reg.local/app@sha256:ab"}, "reg.local/app@sha256:ab"},
		"one without any version":         {"", []string{"reg.local/app:v10"}, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := heldImage(Hold{Not: tt.not, Failed: tt.failed}); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
