package reconcile

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// A mutant is an engine with one fault that must never be in it. The walk's oracles are worth what they catch: each of
// these mutants is caught by one of the first schedules. A mutant stands between the engine and the model, so that no
// line of the engine is there for it.
type mutant struct {
	Git
	Records
	Registry
	Flux
	model  *model
	engine *Engine
	m      mutation
}

// mutation describes what a mutant does otherwise; what is nil it does as the engine does.
type mutation struct {
	permit   func(Revert, Branch, func(Branch) error) error
	still    bool
	lift     bool
	policies func([]v1alpha1.RollbackPolicy) []v1alpha1.RollbackPolicy
	frozen   bool
	latest   func(*Engine, *v1alpha1.Rollback)
	look     func(v1alpha1.Suspect, *Branch)
	blame    func(*model, *v1alpha1.Suspect)
	revert   func(*Revert)
	prove    func(Question, Proof) Proof
	budget   bool
	// borrows has what is pushed for others go with one's own credentials, trusts has one's own credentials for their
	// registry, and lifts adds to what is lifted.
	borrows, trusts bool
	lifts           func(*model, *Lift)
	failing         func(*PodsSeen)
	// schedule catches it; if it names none, one of the random ones does.
	schedule []byte
}

// fails is an image that cannot be pulled, seen, and old enough to be reverted.
var fails = []byte{evWriteBackBad, evRollOut, evWalk, evTime + 2*arg}

// again is a person who writes it once more, after the revert was applied and the cooldown.
var again = []byte{evRollOut, evWalk, evTime + 3*arg, evPersonBad, evRollOut, evWalk, evTime + 2*arg, evWalk}

var mutants = map[string]mutation{
	"asks nothing for the tip that it pushes to": {
		permit: func(Revert, Branch, func(Branch) error) error { return nil }},
	"asks for the tip, and not again after a slow plan": {still: true},
	"counts no budget": {budget: true,
		schedule: slices.Concat([]byte{evAuthors + arg}, fails, []byte{evWalk}, again, again, again)},
	"reads the policies once": {frozen: true},
	"overlooks that a policy is suspended": {policies: func(all []v1alpha1.RollbackPolicy) []v1alpha1.RollbackPolicy {
		for i := range all {
			all[i].Spec.Suspend = all[i].Spec.Suspend && all[i].Namespace == "backstop-system"
		}
		return all
	}},
	"overlooks the kill switch": {policies: func(all []v1alpha1.RollbackPolicy) []v1alpha1.RollbackPolicy {
		return slices.DeleteFunc(all, func(p v1alpha1.RollbackPolicy) bool { return p.Namespace == "backstop-system" })
	}},
	"overlooks the ceiling": {latest: func(e *Engine, _ *v1alpha1.Rollback) { e.Ceiling.Mode = "" },
		schedule: slices.Concat([]byte{evCeiling + 3*arg}, fails, []byte{evWalk})},
	"takes an old answer for one to the question that is asked": {latest: func(_ *Engine, r *v1alpha1.Rollback) {
		for i := range r.Spec.Decisions {
			if q := r.Status.Question; q != nil {
				r.Spec.Decisions[i].Question = q.ID
			}
		}
	}},
	"forgets what its trailers say": {look: func(_ v1alpha1.Suspect, b *Branch) { b.Commits = nil }},
	"takes a sibling's revert of other places for its own": {look: func(s v1alpha1.Suspect, b *Branch) {
		for i := range b.Commits {
			b.Commits[i].Places = []string{PlaceID(s.Places[0].File, s.Places[0].Pointer)}
		}
	}, schedule: []byte{evBoth, evRollOut, evOther, evRollOut, evWalk, evOther, evWalk, evTime + 2*arg, evWalk, evTime + arg, evWalk,
		evOther, evPerson, evWalk}},
	"writes over what somebody wrote since": {permit: func(r Revert, b Branch, ask func(Branch) error) error {
		b.Values = map[int32]string{0: r.Suspect.Places[0].Bad}
		return ask(b)
	}, schedule: slices.Concat(fails, []byte{evRacePerson, evWalk})},
	"takes a person's commit for image automation's": {blame: func(m *model, s *v1alpha1.Suspect) {
		s.Automation = &v1alpha1.ObjectRef{Kind: "ImageUpdateAutomation", Namespace: m.ns, Name: "a"}
	}},
	"takes every change for a new one": {blame: func(m *model, s *v1alpha1.Suspect) { s.When = v1alpha1.NewTime(m.now) }},
	"goes on with a policy's word where a person is asked by now": {policies: func(all []v1alpha1.RollbackPolicy) []v1alpha1.RollbackPolicy {
		for i := range all {
			for k := range all[i].Spec.Triggers {
				all[i].Spec.Triggers[k].Mode = v1alpha1.ModeAuto
			}
		}
		return all
	}, schedule: slices.Concat(fails, []byte{evCrashBefore + arg, evMode + arg, evWalk, evWalk})},
	"reverts without a hold": {revert: func(r *Revert) { r.Hold = false }},
	"goes back to what is not there": {prove: func(q Question, p Proof) Proof {
		if p.Finding == FindingAbsent && q.Image != imgBad && q.Image != imgBad2 {
			p.Finding = FindingPresent
		}
		return p
	}},
	"lifts a hold without asking whether it may": {lift: true,
		schedule: slices.Concat(fails, []byte{evWalk, evRollOut, evWalk, evNewer, evSlowSuspend, evWalk})},
	"takes a wish from before the hold for one about it": {latest: func(_ *Engine, r *v1alpha1.Rollback) {
		if l := r.Spec.Lift; l != nil && r.Status.Change != nil {
			l.At = r.Status.Change.At
		}
	}, schedule: slices.Concat(fails, []byte{evFurther, evWish, evTime, evWalk, evRollOut, evWalk, evTime + 2*arg, evWalk, evWalk})},
	"pushes for another tenant with its own credentials": {borrows: true, schedule: oneBump},
	"asks a registry with another tenant's credentials":  {trusts: true, schedule: slices.Concat(fails, []byte{evWalk})},
	"lifts another tenant's hold": {lifts: func(m *model, l *Lift) {
		l.Places = append(slices.Clone(l.Places), v1alpha1.Place{File: m.peer.file(0)})
	}, schedule: slices.Concat(fails, []byte{evWalk, evRollOut, evWalk, evNewer + arg, evNewer, evWalk, evTime + 5*arg, evWalk})},
	"reverts another tenant's place": {revert: func(r *Revert) {
		r.Suspect.Places = append(slices.Clone(r.Suspect.Places), v1alpha1.Place{File: "elsewhere/app.yaml"})
	}},
	"pushes a lost revert again on an old proof": {latest: func(e *Engine, r *v1alpha1.Rollback) {
		if r.Status.Target != nil {
			r.Status.Target.At = v1alpha1.NewTime(e.Now())
		}
	}, schedule: slices.Concat(fails, []byte{evWalk, evMaxAge + 3*arg, evTime + 5*arg, evForcePush + 2*arg, evRollOut, evWalk})},
	"overlooks the ceiling of authors": {latest: func(e *Engine, _ *v1alpha1.Rollback) { e.Ceiling.Authors = "" },
		schedule: slices.Concat([]byte{evMaxAuthors + arg, evAuthors + arg, evPersonBad}, fails[1:], []byte{evWalk})},
	"takes every failure of a pull for the image's": {prove: func(q Question, p Proof) Proof {
		if q.Image == imgBad || q.Image == imgBad2 {
			p.Finding = FindingAbsent
		}
		return p
	}, schedule: slices.Concat([]byte{evWriteBackBad, evRegistry + 4*arg, evRegistry + arg, evFurther, evNode}, fails[1:], []byte{evWalk})},
	"overlooks what pods say against a crash": {failing: func(s *PodsSeen) {
		for i := range s.Failures {
			if r := s.Failures[i].Rollout; r != nil {
				r.Doubts = nil
			}
		}
	}, schedule: slices.Concat([]byte{evWriteBackBad, evFurther, evHow + 2*arg}, fails[1:], []byte{evWalk})},
}

// oneBump are two tenants' places that one commit breaks, and that one push reverts.
var oneBump = []byte{evBoth, evRollOut, evWalk, evOther, evRollOut, evWalk, evTime + 2*arg, evWalk, evOther, evWalk, evTime + arg, evWalk}

func (x *mutant) Land(ctx context.Context, s Source, reverts []Revert) ([]Landing, error) {
	reverts = slices.Clone(reverts)
	for i := range reverts {
		r := &reverts[i]
		if x.m.revert != nil {
			x.m.revert(r)
		}
		if ask := r.Permit; x.m.permit != nil {
			r.Permit = func(b Branch) error { return x.m.permit(*r, b, ask) }
		}
		if x.m.still {
			r.Still = func() error { return nil }
		}
	}
	return x.Git.Land(ctx, s, reverts)
}

func (x *mutant) Lift(ctx context.Context, s Source, l Lift) (string, error) {
	if x.m.lift {
		l.Permit = func() error { return nil }
	}
	if x.m.lifts != nil {
		x.m.lifts(x.model, &l)
	}
	return x.Git.Lift(ctx, s, l)
}

func (x *mutant) Reopen(ctx context.Context, ns string, s v1alpha1.Suspect, with *types.NamespacedName, since time.Time) (Origin, error) {
	out, err := x.Flux.Reopen(ctx, ns, s, with, since)
	if x.m.borrows {
		out.Source.Push = x.model.origin().Source.Push
	}
	return out, err
}

func (x *mutant) Access(ctx context.Context, ns, image, pod string) (Access, error) {
	if x.m.trusts {
		ns = x.model.peer.ns
	}
	return x.Flux.Access(ctx, ns, image, pod)
}

// mutantPods are pods as a mutant sees them.
type mutantPods struct {
	Pods
	m mutation
}

func (x mutantPods) Failing(ctx context.Context, key Key, known []v1alpha1.Workload) (PodsSeen, error) {
	s, err := x.Pods.Failing(ctx, key, known)
	if x.m.failing != nil {
		x.m.failing(&s)
	}
	return s, err
}

func (x *mutant) Look(ctx context.Context, src Source, s v1alpha1.Suspect, t *v1alpha1.Target, since time.Time) (Branch, error) {
	b, err := x.Git.Look(ctx, src, s, t, since)
	if x.m.look != nil {
		x.m.look(s, &b)
	}
	return b, err
}

func (x *mutant) Blame(ctx context.Context, s Source, q Query) (v1alpha1.Suspect, error) {
	out, err := x.Git.Blame(ctx, s, q)
	if err == nil && x.m.blame != nil {
		x.m.blame(x.model, &out)
	}
	return out, err
}

func (x *mutant) Latest(ctx context.Context, key Key) (*v1alpha1.Rollback, error) {
	r, err := x.Records.Latest(ctx, key)
	if r != nil && x.m.latest != nil {
		x.m.latest(x.engine, r)
	}
	return r, err
}

func (x *mutant) Policies(ctx context.Context, ns string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	return x.policies(x.Records.Policies(ctx, ns))
}

func (x *mutant) PoliciesNow(ctx context.Context, ns string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	return x.policies(x.Records.PoliciesNow(ctx, ns))
}

func (x *mutant) policies(all []v1alpha1.RollbackPolicy, labels map[string]string, err error) (
	[]v1alpha1.RollbackPolicy, map[string]string, error,
) {
	if x.m.policies != nil {
		all = x.m.policies(all)
	}
	if x.m.frozen {
		all = x.first(all)
	}
	return all, labels, err
}

// first are the policies as they were read first.
func (x *mutant) first(all []v1alpha1.RollbackPolicy) []v1alpha1.RollbackPolicy {
	x.m.frozen = false
	x.m.policies = func([]v1alpha1.RollbackPolicy) []v1alpha1.RollbackPolicy { return all }
	return all
}

func (x *mutant) Prove(ctx context.Context, q Question) Proof {
	p := x.Registry.Prove(ctx, q)
	if x.m.prove != nil {
		p = x.m.prove(q, p)
	}
	return p
}

// caught is what a schedule broke.
type caught struct{ words string }

// catcher is a witness that ends the schedule.
type catcher struct{ ctx context.Context }

func (catcher) Helper()                           {}
func (c catcher) Context() context.Context        { return c.ctx }
func (catcher) Fatalf(format string, args ...any) { panic(caught{fmt.Sprintf(format, args...)}) }

// catches runs one schedule, and gives what it broke.
func catches(ctx context.Context, p *pair, schedule []byte) (words string) {
	defer func() {
		switch broke := recover().(type) {
		case nil:
		case caught:
			words = broke.words
		default:
			panic(broke)
		}
	}()
	p.run(catcher{ctx}, schedule)
	return ""
}

// mutated are two tenants whose engines have a fault.
func mutated(m mutation) *pair {
	p := newPair()
	for i, engines := range p.engines {
		for _, e := range engines {
			x := &mutant{Git: e.Git, Records: e.Records, Registry: e.Registry, Flux: e.Flux, model: p.tenants[i], engine: e, m: m}
			e.Git, e.Records, e.Registry, e.Flux, e.Pods = x, x, x, x, mutantPods{e.Pods, m}
			if m.budget {
				e.Ceiling.Budget = Budget{Count: 1000, Per: time.Hour}
			}
		}
	}
	return p
}

func TestTheWalkCatchesEveryMutant(t *testing.T) {
	for name, m := range mutants {
		t.Run(name, func(t *testing.T) {
			if m.schedule != nil {
				if broke := catches(t.Context(), newPair(), m.schedule); broke != "" {
					t.Fatalf("the engine itself breaks %v: %s", m.schedule, broke)
				}
			}
			for _, s := range schedulesFor(m) {
				if broke := catches(t.Context(), mutated(m), s); broke != "" {
					t.Logf("%v: %.200s", s, broke)
					return
				}
			}
			t.Error("no schedule catches it")
		})
	}
}

// schedulesFor are the one that catches a mutant, or the first random ones, which the engine survives in
// TestWalkSurvivesRandomSchedules.
func schedulesFor(m mutation) [][]byte {
	if m.schedule != nil {
		return [][]byte{m.schedule}
	}
	var out [][]byte
	for seed := range uint64(100) {
		out = append(out, scheduleOf(seed))
	}
	return out
}
