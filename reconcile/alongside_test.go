package reconcile

import (
	"context"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// kustomizations are those that apply workloads of one image, by workload.
type kustomizations struct {
	*model
	of map[string]func(*Origin)
}

func (k kustomizations) Origin(ctx context.Context, ns string, w v1alpha1.Workload, with *types.NamespacedName, since time.Time,
) (Origin, error) {
	o, err := k.model.Origin(ctx, ns, w, with, since)
	if change := k.of[w.Name]; change != nil {
		change(&o)
	}
	return o, err
}

// What stands behind a second workload of an image counts as what stands behind the first one does.
func TestWhatIsBehindASecondWorkloadCounts(t *testing.T) {
	at := func(minutes int) time.Time { return newModel().now.Add(time.Duration(minutes) * time.Minute) }
	by := v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "second"}
	suspends := func(o *Origin) { o.Suspended = []v1alpha1.ObjectRef{by} }
	for name, tt := range map[string]struct {
		of        map[string]func(*Origin)
		suspended string
		ran       string
	}{
		"nothing":                            {},
		"the second's is suspended":          {of: map[string]func(*Origin){"b": suspends}, suspended: "Kustomization/flux-system/second"},
		"both are the same, and suspended":   {of: map[string]func(*Origin){"a": suspends, "b": suspends}, suspended: "Kustomization/flux-system/second"},
		"that of another source does not":    {of: map[string]func(*Origin){"b": func(o *Origin) { suspends(o); o.Source.Name.Name = "other" }}},
		"nor one that others push":           {of: map[string]func(*Origin){"b": func(o *Origin) { suspends(o); o.Source.Push = &Pusher{Name: types.NamespacedName{Name: "x"}} }}},
		"the second's was healthy with it":   {of: map[string]func(*Origin){"b": func(o *Origin) { o.Healthy = []Healthy{{By: by, At: at(-30)}} }}, ran: "second found Deployment/b healthy"},
		"it was healthy only after the fact": {of: map[string]func(*Origin){"b": func(o *Origin) { o.Healthy = []Healthy{{By: by, At: at(30)}} }}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			e := m.engine("prod", Budget{})
			e.Flux, e.Git = kustomizations{model: m, of: tt.of}, m
			w := &World{Now: m.now}
			w.Rollback = *NewRollback(ImageKey(m.ns, imgBad), v1alpha1.TriggerImagePull, 1)
			s := &w.Rollback.Status
			for _, name := range []string{"a", "b"} {
				s.Failures = append(s.Failures, v1alpha1.Failure{Trigger: v1alpha1.TriggerImagePull, Cause: v1alpha1.CauseNotFound,
					Since: v1alpha1.NewTime(m.now), Workload: v1alpha1.Workload{Kind: "Deployment", Name: name}})
			}
			s.Suspect = &v1alpha1.Suspect{Commit: "bad", Branch: "main", When: v1alpha1.NewTime(at(-60)), Places: placesOfTwo()[:1]}
			s.Target = &v1alpha1.Target{Image: imgGood}
			if err := e.gatherGit(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			if got := refsInWords(w.Suspended); got != tt.suspended {
				t.Errorf("suspended: %q, want %q", got, tt.suspended)
			}
			if (tt.ran == "") != (w.RanHere == "") || !strings.Contains(w.RanHere, tt.ran) {
				t.Errorf("it ran here: %q, want %q", w.RanHere, tt.ran)
			}
		})
	}
}
