package reconcile

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

var (
	fleetRepo = v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}
	appsOf    = v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}
	webOf     = v1alpha1.ObjectRef{Kind: "HelmRelease", Namespace: "develop", Name: "web"}
)

func askedAt(objects ...v1alpha1.ObjectRef) worldChange {
	return func(w *World) {
		for _, o := range objects {
			w.Rollback.Status.Request.Asked = append(w.Rollback.Status.Request.Asked, v1alpha1.AskedObject{ObjectRef: o, At: micro(t0)})
		}
	}
}

// onTheWay has landed, and nothing of it has arrived: the source can be asked, the Kustomization and the HelmRelease
// are as a case says.
func onTheWay(kustomization, release Stop, changes ...worldChange) World {
	source := Stop{Object: fleetRepo, Version: "1", Reached: true, Deaf: true, Taken: kustomization.Reached}
	kustomization.Object, release.Object = appsOf, webOf
	return aWorld(append([]worldChange{landed, func(w *World) {
		w.Now = t0.Add(time.Second)
		w.Rollout = &Rollout{Way: []Stop{source, kustomization, release}}
	}}, changes...)...)
}

func TestFluxIsAskedInOrder(t *testing.T) {
	fetched := Stop{Reached: true, Since: t0}
	with := func(s Stop, change func(*Stop)) Stop {
		change(&s)
		return s
	}
	later := func(w *World) { w.Now = t0.Add(10 * time.Second) }
	source := func(change func(*Stop)) worldChange { return func(w *World) { change(&w.Rollout.Way[0]) } }
	past := with(fetched, func(s *Stop) { s.Taken = true })
	stalled := Stop{Reached: true, Deaf: true}
	for name, tt := range map[string]struct {
		world World
		want  v1alpha1.ObjectRef
	}{
		"the source first":                                  {onTheWay(Stop{}, Stop{}), fleetRepo},
		"once":                                              {onTheWay(Stop{}, Stop{}, askedAt(fleetRepo), later), v1alpha1.ObjectRef{}},
		"not one that is suspended":                         {onTheWay(Stop{}, Stop{}, source(func(s *Stop) { s.Barred = true })), v1alpha1.ObjectRef{}},
		"not one that somebody has just asked":              {onTheWay(Stop{}, Stop{}, source(func(s *Stop) { s.Token = tokenOf(t0.Add(time.Millisecond)) })), v1alpha1.ObjectRef{}},
		"but one that was asked before the revert":          {onTheWay(Stop{}, Stop{}, source(func(s *Stop) { s.Token = tokenOf(t0.Add(-time.Second)) })), fleetRepo},
		"and one that answered without the commit":          {onTheWay(Stop{}, Stop{}, source(func(s *Stop) { s.Token, s.Handled = tokenOf(t0.Add(time.Second)), true })), fleetRepo},
		"a token that is no time says nothing":              {onTheWay(Stop{}, Stop{}, source(func(s *Stop) { s.Token = "soon" })), fleetRepo},
		"what was asked, and the record does not say":       {onTheWay(past, Stop{}, source(func(s *Stop) { s.Token, s.Handled = tokenOf(t0), true })), fleetRepo},
		"the Kustomization not before its source holds it":  {onTheWay(Stop{}, Stop{}, askedAt(fleetRepo), later), v1alpha1.ObjectRef{}},
		"nor at once: it hears of it by itself":             {onTheWay(fetched, Stop{}), v1alpha1.ObjectRef{}},
		"but when it is late":                               {onTheWay(fetched, Stop{}, later), appsOf},
		"also where the source needed no request":           {onTheWay(fetched, Stop{}, later, source(func(s *Stop) { s.Taken = true })), appsOf},
		"never in its health check":                         {onTheWay(with(fetched, func(s *Stop) { s.Busy = true }), Stop{}, later), v1alpha1.ObjectRef{}},
		"never when it attempted it":                        {onTheWay(past, Stop{}, later), v1alpha1.ObjectRef{}},
		"at once when only its clock would tell it":         {onTheWay(with(fetched, func(s *Stop) { s.Deaf = true }), Stop{}), appsOf},
		"a HelmRelease that nothing tells":                  {onTheWay(past, stalled), webOf},
		"not before its Kustomization applied the commit":   {onTheWay(past, with(stalled, func(s *Stop) { s.Reached = false }), later), v1alpha1.ObjectRef{}},
		"never in an upgrade":                               {onTheWay(past, with(stalled, func(s *Stop) { s.Busy = true }), later), v1alpha1.ObjectRef{}},
		"not one that hears of its values":                  {onTheWay(past, with(stalled, func(s *Stop) { s.Taken = true }), later), v1alpha1.ObjectRef{}},
		"everybody anew when the revert had to land again":  {onTheWay(Stop{}, Stop{}, askedAt(fleetRepo), func(w *World) { w.Rollback.Status.Landed.At = micro(t0.Add(time.Second)) }), fleetRepo},
		"a sibling's request for the same push serves both": {onTheWay(Stop{}, Stop{}, func(w *World) { w.Rollback.Status.Landed.At = micro(t0.Add(time.Second)) }, source(func(s *Stop) { s.Token = tokenOf(t0) })), v1alpha1.ObjectRef{}},
	} {
		t.Run(name, func(t *testing.T) {
			next, _ := nextStop(&tt.world)
			got := v1alpha1.ObjectRef{}
			if next != nil {
				got = next.Object
			}
			if got != tt.want {
				t.Errorf("asks %s, want %s", got, tt.want)
			}
			step := decide(tt.world)
			if (step.Ask != nil) != (next != nil) || next != nil && step.Do != DoRequest {
				t.Errorf("does %s and asks %v", step.Do, step.Ask)
			}
		})
	}
}

func TestALateKustomizationIsLookedAtWhenItIsDue(t *testing.T) {
	w := onTheWay(Stop{Reached: true, Since: t0}, Stop{})
	if step := decide(w); step.Do != DoWait || step.Wait != 2*time.Second {
		t.Errorf("%s for %s, want to wait 2s", step.Do, step.Wait)
	}
}

func TestARestoreAsksWhatAppliedItAndWaitsForItsHealthCheck(t *testing.T) {
	again := func(busy bool) worldChange {
		return func(w *World) {
			w.Now = t0.Add(time.Second)
			w.Rollout = &Rollout{Way: []Stop{{Object: fleetRepo, Reached: true, Deaf: true, Taken: true},
				{Object: appsOf, Reached: true, Deaf: true, Busy: busy}}}
			if busy {
				w.Rollout.Waits, w.Rollout.WaitsUntil = "Kustomization/flux-system/apps is busy", t0.Add(time.Hour)
			}
		}
	}
	// It is written down before Flux hears of it: Flux may be done before the walk that asked it is saved, and what a
	// person had restored must not look as if Flux had been faster.
	if step := decide(undone(rejected("bob"), again(false))); step.Do != DoRequest || step.Ask != nil {
		t.Errorf("does %s, asks %v, want the record to begin", step.Do, step.Ask)
	}
	if step := decide(undone(rejected("bob"), requested, again(false))); step.Do != DoRequest || step.Ask == nil || step.Ask.Object != appsOf {
		t.Errorf("does %s, asks %v", step.Do, step.Ask)
	}
	step := decide(undone(rejected("bob"), again(true)))
	if step.Do != DoWait || step.Why != "Deployment/backend still runs reg/backend:v1: Kustomization/flux-system/apps is busy" {
		t.Errorf("does %s: %s", step.Do, step.Why)
	}
	late := func(w *World) { w.Now = t0.Add(30 * time.Minute) }
	if step := decide(undone(rejected("bob"), again(true), late)); step.Do != DoWait {
		t.Errorf("does %s while the check runs: %s", step.Do, step.Outcome.Message)
	}
}

// asker hears what is asked, and dies when it is told to.
type asker struct {
	Flux
	asked []string
	err   error
}

func (a *asker) Ask(_ context.Context, s Stop, token string) error {
	a.asked = append(a.asked, s.Object.Name+" "+token)
	return a.err
}

func TestTheRecordSaysWhoWasAskedAndWhen(t *testing.T) {
	w := onTheWay(Stop{}, Stop{}, func(w *World) { w.Rollback.Status.Request = nil })
	a := &asker{}
	e := &Engine{Flux: a}
	token := tokenOf(t0)
	// A walk that died after it asked asks for the same again, which is no second request.
	for range 2 {
		rb := w.Rollback.DeepCopy()
		step := decide(w)
		if err := e.fillRequest(t.Context(), &w, step, rb); err != nil {
			t.Fatal(err)
		}
		want := &v1alpha1.Request{Token: token, Objects: []v1alpha1.ObjectRef{fleetRepo, appsOf, webOf}, At: micro(w.Now),
			Asked: []v1alpha1.AskedObject{{ObjectRef: fleetRepo, At: micro(w.Now)}}}
		if diff := cmp.Diff(want, rb.Status.Request); diff != "" {
			t.Error(diff)
		}
		w.Rollout.Way[0].Token = token
	}
	if diff := cmp.Diff([]string{"fleet " + token, "fleet " + token}, a.asked); diff != "" {
		t.Error(diff)
	}
}
