package reconcile

import (
	"context"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// refusing is a Git that refuses the first blames and pushes.
type refusing struct {
	*model
	kind          FaultKind
	blames, lands int
}

func (r *refusing) refusal() error {
	return RefuseAs(r.kind, "push main of https://git.example/fleet: the server does not accept the credentials: check the Secret")
}

func (r *refusing) Blame(ctx context.Context, s Source, q Query) (v1alpha1.Suspect, error) {
	if r.blames > 0 {
		r.blames--
		return v1alpha1.Suspect{}, r.refusal()
	}
	return r.model.Blame(ctx, s, q)
}

func (r *refusing) Land(ctx context.Context, s Source, all []Revert) ([]Landing, error) {
	if r.lands > 0 {
		r.lands--
		return nil, r.refusal()
	}
	return r.model.Land(ctx, s, all)
}

func TestARefusalThatHealsIsNotForEver(t *testing.T) {
	for name, tt := range map[string]struct {
		kind          FaultKind
		blames, lands int
		reverted      bool
	}{
		"a token that is refused at the push":    {FaultUnauthorized, 0, 1, true},
		"a token that is refused at the blame":   {FaultForbidden, 2, 0, true},
		"a repository that is hidden for a time": {FaultNotFound, 3, 3, true},
		"a proxy that wants another password":    {FaultProxy, 1, 1, true},
		"a captive portal":                       {FaultRedirected, 1, 1, true},
		"a Role that came too late":              {FaultNoRights, 2, 0, true},
		"a hook's no is for ever":                {FaultDeclined, 0, 1, false},
		"what content says is for ever":          {"", 0, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			m.selected = imgBad
			m.writeBack()
			m.rollOut()
			git := &refusing{model: m, kind: tt.kind, blames: tt.blames, lands: tt.lands}
			e := m.engine("prod", Budget{})
			e.Git = git
			for range 60 { // an hour, and the pods fail all the time
				m.walk(t, e)
				m.now = m.now.Add(time.Minute)
			}
			if reverted := m.tip().value != imgBad; reverted != tt.reverted {
				t.Errorf("reverted: %v, want %v, after an hour\n%s", reverted, tt.reverted, m.story())
			}
		})
	}
}

// locked is a source that cannot be read, a branch that cannot be looked at, or one that nothing may be pushed to, for
// as long as it says.
type locked struct {
	*model
	reopens, looks, keys int
}

func (l *locked) Reopen(ctx context.Context, ns string, s v1alpha1.Suspect, with *types.NamespacedName, since time.Time,
) (Origin, error) {
	if l.reopens > 0 {
		l.reopens--
		return Origin{}, RefuseAs(FaultNotFound, "Secret flux-system/fleet, which GitRepository/flux-system/fleet names, does not exist")
	}
	o, err := l.model.Reopen(ctx, ns, s, with, since)
	if l.keys > 0 {
		l.keys--
		o.Source.ReadOnly, o.Source.ReadOnlyKind = "Secret apps/key, which ImageUpdateAutomation/apps/a signs with, holds no git.asc", FaultNotFound
	}
	return o, err
}

func (l *locked) Look(ctx context.Context, src Source, s v1alpha1.Suspect, t *v1alpha1.Target, since time.Time) (Branch, error) {
	if l.looks > 0 {
		l.looks--
		return Branch{}, RefuseAs(FaultUnauthorized, "fetch main: the server does not accept the credentials: check the Secret")
	}
	return l.model.Look(ctx, src, s, t, since)
}

func TestAccessThatFailsIsSaidAndWaitedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		reopens, looks, keys int
		recovers             bool
		says, kind           string
		want                 v1alpha1.Result
	}{
		"a Secret that is not there":                 {reopens: 20, says: "does not exist", kind: "NotFound", want: v1alpha1.ResultVerified},
		"a branch that is not shown":                 {looks: 20, says: "check the Secret", kind: "Unauthorized", want: v1alpha1.ResultVerified},
		"a key that is not there":                    {keys: 20, says: "holds no git.asc", kind: "NotFound", want: v1alpha1.ResultVerified},
		"pods that run again while nothing is shown": {looks: 1000, recovers: true, says: "check the Secret", kind: "Unauthorized", want: v1alpha1.ResultRecovered},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			m.selected = imgBad
			m.writeBack()
			m.rollOut()
			l := &locked{model: m, reopens: tt.reopens, looks: tt.looks, keys: tt.keys}
			e := m.engine("prod", Budget{})
			e.Flux, e.Git = l, l
			said := false
			e.Tell = func(_, after *v1alpha1.Rollback) {
				if w := after.Status.Waiting; w != nil && w.Refused == tt.kind && strings.Contains(w.Why, tt.says) {
					said = true
				}
			}
			for i := range 60 {
				m.walk(t, e)
				m.now = m.now.Add(time.Minute)
				// Somebody pushes the image after all.
				m.present[imgBad] = m.present[imgBad] || tt.recovers && i == 5
				m.rollOut()
			}
			if !said {
				t.Errorf("the record never said what it waits for\n%s", m.story())
			}
			for _, r := range m.records {
				if r.Status.Outcome == nil || r.Status.Outcome.Result != tt.want {
					t.Errorf("ended %+v, want %s\n%s", r.Status.Outcome, tt.want, m.story())
				}
			}
		})
	}
}

func TestAccessIsTriedAgainAsSeldomAsItHasFailedForLong(t *testing.T) {
	now := time.Date(2026, 7, 28, 6, 0, 0, 0, time.UTC)
	for lasted, want := range map[time.Duration]time.Duration{0: 5 * time.Second, 20 * time.Second: 20 * time.Second, time.Hour: time.Minute} {
		s := &v1alpha1.RollbackStatus{Waiting: &v1alpha1.Waiting{Refused: "Unauthorized", Since: micro(now.Add(-lasted))}}
		if got := accessIn(s, now); got != want {
			t.Errorf("after %s again in %s, want %s", lasted, got, want)
		}
	}
}

// undoneByHand is a Deployment that somebody gave an image by hand, which Flux undoes at some moment of the walk.
type undoneByHand struct {
	modelPods
	names func(image string) bool
}

func (p undoneByHand) Failing(ctx context.Context, key Key, known []v1alpha1.Workload) (PodsSeen, error) {
	s, err := p.modelPods.Failing(ctx, key, known)
	if len(known) > 0 && len(s.Failures) == 0 && !p.names(key.Image()) {
		s.Unnamed = "Deployment/app"
	}
	return s, err
}

// nowhere is a Git that does not say the image.
type nowhere struct {
	*model
	asked func()
}

func (n nowhere) Blame(context.Context, Source, Query) (v1alpha1.Suspect, error) {
	n.asked()
	return v1alpha1.Suspect{}, Refuse("no file says %s", imgBad)
}

func TestAnImageThatNobodyAsksForAnyMoreCallsNobody(t *testing.T) {
	for name, tt := range map[string]struct {
		// back is when Flux undoes it: "before" the commit is looked for, "while", or "after" it was not found.
		back   string
		scaled bool
		want   v1alpha1.Result
	}{
		"undone before the commit is looked for": {back: "before", want: v1alpha1.ResultRecovered},
		"undone while it is looked for":          {back: "while", want: v1alpha1.ResultRecovered},
		"undone after it was not found":          {back: "after", want: v1alpha1.ResultRecovered},
		"never undone":                           {back: "never", want: v1alpha1.ResultSourceNotFound},
		"scaled to 0, and still named":           {back: "while", scaled: true, want: v1alpha1.ResultSourceNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			m.podsBad[imgBad] = true
			named := true
			undo := func(when string) {
				if when == tt.back {
					m.podsBad[imgBad], named = false, tt.scaled
				}
			}
			e := m.engine("prod", Budget{})
			e.Pods = undoneByHand{modelPods{m}, func(string) bool { return named }}
			e.Git = nowhere{m, func() { undo("while") }}
			var warned []string
			e.Tell = func(_, after *v1alpha1.Rollback) {
				if o := after.Status.Outcome; o != nil && o.Result.NeedsPerson() {
					warned = append(warned, o.Message)
				}
			}
			for i := range 20 {
				m.walk(t, e)
				m.now = m.now.Add(time.Minute)
				if i == 0 {
					undo("before")
				}
			}
			undo("after")
			m.walk(t, e)
			for _, r := range m.records {
				o := r.Status.Outcome
				if o == nil || o.Result != tt.want {
					t.Fatalf("ended %+v, want %s\n%s", o, tt.want, m.story())
				}
				if want := "Deployment/app does not ask for " + imgBad + " any more"; o.Result == v1alpha1.ResultRecovered && !strings.HasPrefix(o.Message, want) {
					t.Errorf("says %q, want %q first", o.Message, want)
				}
				if ready := meta.IsStatusConditionTrue(r.Status.Conditions, "Stalled"); ready != (tt.want == v1alpha1.ResultSourceNotFound) {
					t.Errorf("Stalled: %v", r.Status.Conditions)
				}
			}
			if (len(warned) > 0) != (tt.back == "after" || tt.back == "never" || tt.scaled) {
				t.Errorf("warned of %q", warned)
			}
		})
	}
}

// A force push may lose a revert long after its target was proved: it goes back nowhere that nobody has looked at since.
func TestALostRevertIsPushedAgainOnAFreshProof(t *testing.T) {
	for name, tt := range map[string]struct {
		gone, dark bool
		again      bool
	}{
		"the target is there":           {false, false, true},
		"the registry deleted it since": {true, false, false},
		"the registry says nothing":     {false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			m.selected = imgBad
			m.writeBack()
			m.rollOut()
			e := m.engine("a", Budget{Count: 3, Per: time.Hour})
			walk := func(after time.Duration) {
				m.now = m.now.Add(after)
				m.walk(t, e)
			}
			walk(0)
			walk(16 * time.Second)
			if m.tip().value != imgGood {
				t.Fatalf("not reverted\n%s", m.story())
			}
			m.checking = true
			m.now = m.now.Add(4 * time.Minute)
			m.forcePush(2)
			m.rollOut()
			m.now = m.now.Add(2 * time.Minute)
			m.present[imgGood], m.dark = !tt.gone, tt.dark
			m.walk(t, e)
			if again := m.tip().value == imgGood; again != tt.again {
				t.Errorf("pushed again: %t, want %t\n%s", again, tt.again, m.story())
			}
		})
	}
}
