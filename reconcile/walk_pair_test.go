package reconcile

import (
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// pair are two tenants whose places are on one branch, with two engines each: two replicas of one cluster whose lease
// does not fence.
type pair struct {
	tenants [2]*model
	engines [2][2]*Engine
	budget  Budget
	// turn reports whose the next event is.
	turn int
	// reached counts the effects by trigger and phase.
	reached map[string]int
}

func newPair() *pair {
	p := &pair{budget: Budget{Count: 2, Per: time.Hour}, reached: map[string]int{}}
	for i, ns := range []string{"develop", "shop"} {
		m := newModel()
		m.ns, m.dir, m.clusterUID, p.tenants[i] = ns, ns, "u-a", m
		p.engines[i] = [2]*Engine{m.engine(m.cluster, p.budget), m.engine(m.cluster, p.budget)}
		m.engines, m.heard = p.engines[i][:], map[string]Proof{}
		for _, e := range m.engines {
			e.Log = slog.New(reached{slog.DiscardHandler, m, p.reached})
		}
	}
	p.tenants[0].peer, p.tenants[1].peer = p.tenants[1], p.tenants[0]
	p.tenants[1].present = p.tenants[0].present
	return p
}

// part puts the second tenant into another cluster, which may have the first one's name, and whose namespace may.
func (p *pair) part(arg int) {
	m := p.tenants[1]
	m.clusterUID = "u-b"
	if arg%2 == 0 {
		m.cluster = "b"
	}
	if arg/2%2 == 0 {
		m.ns = p.tenants[0].ns
	}
	for _, e := range p.engines[1] {
		e.Cluster, e.ClusterUID = m.cluster, m.clusterUID
	}
}

func (p *pair) run(t witness, schedule []byte) {
	t.Helper()
	further := false
	for i, op := range schedule {
		m, other := p.tenants[p.turn], p.tenants[1-p.turn]
		if further {
			further = false
			m.tenantEvent(op)
			p.invariants(t)
			continue
		}
		switch int(op) % 32 {
		case evOther:
			p.turn = 1 - p.turn
		case evClusters:
			if i == 0 {
				p.part(int(op) / arg)
			} else {
				further = op == evFurther
			}
		case evBoth:
			// One run of image automation writes both places.
			if !m.tip().held && m.tip().value != imgBad {
				m.push(commit{value: imgBad})
				m.atOnce()
				other.atOnce()
			}
		default:
			m.event(t, p.engines[p.turn][0], p.engines[p.turn][1], op)
		}
		other.now = m.now
		p.invariants(t)
	}
	p.tenants[0].killed, p.tenants[1].killed = false, false
	for i, m := range p.tenants {
		m.rests(t, p.engines[i][0])
		p.tenants[1-i].now = m.now
		p.invariants(t)
	}
}

func (p *pair) invariants(t witness) {
	t.Helper()
	for _, m := range p.tenants {
		m.invariants(t, p.budget)
	}
}

// FuzzWalk treats bytes as a schedule.
func FuzzWalk(f *testing.F) {
	f.Add([]byte{evWriteBackBad, evRollOut, evWalk, evTime + 2*arg, evWalk})
	f.Add([]byte{evWriteBackBad, evRollOut, evWalk, evTime + 2*arg, evCrashAfter + 4*arg, evRollOut, evWalk})
	f.Add([]byte{evWriteBackBad, evRollOut, evWalk, evTime + 2*arg, evWalk, evForcePush + 2*arg, evRollOut, evWalkOther, evWalk})
	f.Add([]byte{evWriteBackBad, evRollOut, evMode + arg, evWalk, evTime + 2*arg, evWalk, evDecide, evRace, evWalk, evNewer, evWalk})
	f.Add([]byte{evWriteBackBad, evWriteBack2, evRollOut, evWalk, evTime + 2*arg, evWalk, evWalkOther, evRegistry, evNewer, evWalk})
	f.Add([]byte{evBoth, evRollOut, evWalk, evOther, evRollOut, evWalk, evTime + 2*arg, evWalk, evOther, evWalk})
	f.Add([]byte{evPersonBad, evRollOut, evMode + arg, evWalk, evTime + 2*arg, evWalk, evDecide, evAuthors + arg, evWalk, evMaxAge + 2*arg, evWalk})
	f.Add([]byte{evClusters, evBoth, evRollOut, evWalk, evOther, evRollOut, evWalk, evTime + 2*arg, evWalk, evOther, evWalk})
	f.Add(recovers)
	for _, schedule := range ways(f) {
		f.Add(schedule)
	}
	for _, m := range mutants {
		if m.schedule != nil {
			f.Add(m.schedule)
		}
	}
	f.Fuzz(func(t *testing.T, schedule []byte) {
		if len(schedule) > 60 {
			return
		}
		newPair().run(t, schedule)
	})
}

// recovers is an image that is there and runs, after a policy allowed its revert and before that could be pushed.
var recovers = []byte{evWriteBackBad, evRollOut, evWalk, evTime + 2*arg, evCrashBefore + 3*arg, evRegistry + 4*arg, evRollOut, evTime + 4*arg,
	evWalk, evWalk}

// scheduleOf makes a schedule that leans towards failing images.
func scheduleOf(seed uint64) []byte {
	rnd := rand.New(rand.NewPCG(seed, 7))
	schedule := []byte{evWriteBackBad, evRollOut, evWalk, evTime + 2*arg}
	if seed%3 == 0 {
		schedule = []byte{evClusters + arg*byte(seed/3%8), evBoth, evRollOut, evWalk, evOther, evRollOut, evWalk, evTime + 2*arg}
	}
	for range 5 + rnd.IntN(40) {
		op := byte(rnd.IntN(256))
		if rnd.IntN(3) == 0 {
			op = []byte{evWalk, evWalkOther, evRollOut, evDecide + arg*byte(rnd.IntN(2)), evCrashAfter + arg*byte(rnd.IntN(6)), evOther}[rnd.IntN(6)]
		}
		if rnd.IntN(5) == 0 {
			schedule = append(schedule, evFurther, byte(rnd.IntN(tenantEvents)+arg*rnd.IntN(8)))
		}
		schedule = append(schedule, op)
	}
	return schedule
}

// TestWalkSurvivesRandomSchedules runs many schedules that lean towards failing images, and shows that they reach every
// kind of end: a walk that never reverts would keep every invariant.
func TestWalkSurvivesRandomSchedules(t *testing.T) {
	ends := map[v1alpha1.Result]int{}
	adopted, again, lifted := 0, 0, 0
	for seed := range uint64(250) {
		p := newPair()
		p.run(t, scheduleOf(seed))
		for _, m := range p.tenants {
			for _, r := range m.records {
				s := &r.Status
				ends[s.Outcome.Result]++
				if s.Landed != nil {
					again += int(s.Landed.Again)
				}
				if s.Lifted != nil {
					lifted++
				}
				if s.Change != nil && s.Change.At.Time.Before(s.Verdict.At.Time) {
					adopted++
				}
			}
		}
	}
	t.Logf("ends %v, landed again %d, lifted %d, adopted %d", ends, again, lifted, adopted)
	for _, r := range []v1alpha1.Result{v1alpha1.ResultVerified, v1alpha1.ResultRecovered, v1alpha1.ResultRejected,
		v1alpha1.ResultExpired, v1alpha1.ResultSuperseded, v1alpha1.ResultReportedOnly} {
		if ends[r] == 0 {
			t.Errorf("no schedule ended as %s", r)
		}
	}
	if again == 0 || lifted == 0 {
		t.Errorf("landed again %d times and lifted %d times, want both more than 0", again, lifted)
	}
}
