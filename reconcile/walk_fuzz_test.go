package reconcile

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// One byte of the schedule is one event: the low five bits say which, the others are its argument. The numbers are
// fixed, so that what a fuzzer found keeps its meaning: new events are appended.
const (
	evWalk         = 0
	evWalkOther    = 1
	evCrashBefore  = 2
	evCrashAfter   = 3
	evTime         = 4
	evWriteBackBad = 5
	evWriteBack2   = 6
	evRegistry     = 7
	evRollOut      = 8
	evDecide       = 9
	evForcePush    = 10
	evPerson       = 11
	evRace         = 12
	evMode         = 13
	evStale        = 14
	evNewer        = 15
	evSuspend      = 16
	evRemove       = 17
	evCeiling      = 18
	evKillSwitch   = 19
	evRaceSuspend  = 20
	evDecideOld    = 21
	evFetch        = 22
	evSlowSuspend  = 23
	evOther        = 24
	evBoth         = 25
	evAuthors      = 26
	evMaxAge       = 27
	evPersonBad    = 28
	evMaxAuthors   = 29
	evRacePerson   = 30
	evClusters     = 31

	// arg is one of eight arguments.
	arg = 32
)

func (m *model) event(t witness, a, b *Engine, op byte) {
	arg := int(op) / arg
	switch int(op) % 32 {
	case evWalk:
		m.walk(t, a)
	case evWalkOther:
		m.walk(t, b)
	case evCrashBefore:
		m.crashAt, m.crashPost = arg%6+1, false
		m.walk(t, a)
		m.crashAt = -1
	case evCrashAfter:
		m.crashAt, m.crashPost = arg%6+1, true
		m.walk(t, a)
		m.crashAt = -1
	case evTime:
		m.now = m.now.Add(time.Duration(1<<(2*arg)) * time.Second)
	case evWriteBackBad:
		m.selected = imgBad
		m.writeBack()
	case evWriteBack2:
		m.selected = imgBad2
		m.writeBack()
	case evRegistry:
		m.dark = arg%2 == 0
		// Somebody pushes the missing image after all, or deletes it again.
		if arg%5 == 4 {
			m.present[imgBad] = !m.present[imgBad]
		}
	case evRollOut:
		m.rollOut()
	case evDecide:
		m.decide(arg)
	case evForcePush:
		m.forcePush(arg % 3)
	case evPerson:
		m.push(commit{value: fmt.Sprintf("reg.local/app:p%d", arg%2), held: m.tip().held})
		m.present[m.tip().value] = true
	case evRace:
		m.raceNext = true
	case evMode:
		m.mode = []v1alpha1.Mode{v1alpha1.ModeAuto, v1alpha1.ModeApprove, v1alpha1.ModeNotify}[arg%3]
	case evStale:
		m.useStale = arg%2 == 0
	case evNewer:
		m.selected = "reg.local/app:v9"
		m.present[m.selected] = arg%2 == 0
		m.writeBack()
	case evSuspend:
		m.suspended = arg%2 == 0
	case evRemove:
		m.removed = arg%2 == 0
	case evCeiling:
		mode := []v1alpha1.Mode{"", v1alpha1.ModeAuto, v1alpha1.ModeApprove, v1alpha1.ModeNotify}[arg%4]
		m.ceils(func(who *model, c *Ceiling) { c.Mode, who.ceiling = mode, mode })
	case evKillSwitch:
		m.killed = arg%2 == 0
	case evRaceSuspend:
		// Somebody suspends the policy while a push loses a race.
		m.raceNext, m.raceStops = true, true
	case evRacePerson:
		// Somebody corrects the place while a push loses a race.
		m.raceNext, m.raceMends = true, true
	case evDecideOld:
		m.decideOn(arg, "0123456789ab")
	case evSlowSuspend:
		// Somebody suspends the policy while a push is planned for long.
		m.slowStops = true
	case evAuthors:
		m.authors = []v1alpha1.Authors{v1alpha1.AuthorsAutomation, v1alpha1.AuthorsAnyone}[arg%2]
	case evMaxAge:
		m.maxAge = []time.Duration{24 * time.Hour, time.Hour, time.Minute, 0}[arg%4]
	case evMaxAuthors:
		authors := []v1alpha1.Authors{"", v1alpha1.AuthorsAutomation}[arg%2]
		m.ceils(func(who *model, c *Ceiling) { c.Authors, who.maxAuthors = authors, authors })
	case evPersonBad:
		if t := m.tip(); t.value != imgBad {
			m.push(commit{value: imgBad, held: t.held, person: true})
		}
	case evFetch:
		// The source fetches, and the Kustomization may be at work.
		m.fetched, m.checking = m.tip().id, arg%2 == 0
	}
}

// mayWrite is the rule of every push, told without the engine's code: what the policies and the ceiling allow now.
func (m *model) mayWrite() error {
	switch {
	case m.removed, m.suspended, m.killed:
		return errors.New("no policy allows it")
	case m.ceiling == v1alpha1.ModeNotify, m.mode == v1alpha1.ModeNotify:
		return errors.New("it may only be told")
	}
	return nil
}

// mayRevert is the rule about what is reverted: how old it is, and whose. What somebody set by hand goes into Git in the
// place of a change of any age.
func (m *model) mayRevert(r Revert) error {
	at := slices.IndexFunc(slices.Concat(m.branch, m.lost), func(c commit) bool { return c.id == r.Suspect.Commit })
	c := slices.Concat(m.branch, m.lost)[at]
	timeless := true
	for _, rec := range m.records {
		if m.self(rec.Name) == r.Rollback {
			timeless = timeless && !slices.ContainsFunc(rec.Status.Failures, func(f v1alpha1.Failure) bool {
				return f.Trigger != v1alpha1.TriggerDrift
			})
		}
	}
	if m.maxAge > 0 && m.now.Sub(c.when) > m.maxAge && !timeless {
		return fmt.Errorf("it is %s old", m.now.Sub(c.when))
	}
	if c.person && (m.authors == v1alpha1.AuthorsAutomation || m.maxAuthors == v1alpha1.AuthorsAutomation) {
		return errors.New("it is a person's")
	}
	return nil
}

// decide is a person who answers every question that is asked.
func (m *model) decide(arg int) { m.decideOn(arg, "") }

// decideOn answers a question of that name, on an API server that would not refuse it.

func (m *model) decideOn(arg int, question string) {
	for _, r := range m.records {
		asked := question
		switch q := r.Status.Question; {
		case question == "" && q == nil:
			// The API server refuses what answers no question.
			continue
		case question == "":
			asked = q.ID
		}
		r.Spec.Decisions = append(r.Spec.Decisions, v1alpha1.Decision{
			By: fmt.Sprintf("jane%d", len(r.Spec.Decisions)), At: v1alpha1.NewTime(m.now), Question: asked,
			Answer: []v1alpha1.Answer{v1alpha1.Approve, v1alpha1.Reject}[arg%2],
		})
		m.version++
		r.ResourceVersion = fmt.Sprint(m.version)
	}
}

// forcePush throws away the newest commits, never the first.
func (m *model) forcePush(n int) {
	for range n {
		if len(m.branch) > 1 {
			if p := m.peer; p != nil {
				p.peer = nil
				p.forcePush(1)
				p.peer = m
			}
			m.lost = append(m.lost, m.tip())
			for _, what := range m.tip().undid {
				m.reverts[what]--
			}
			m.branch = m.branch[:len(m.branch)-1]
		}
	}
}

// self is the name of a record in trailers.
func (m *model) self(name string) string { return m.cluster + "/" + m.ns + "/" + name }

// invariants hold after every event.
func (m *model) invariants(t witness, budget Budget) {
	t.Helper()
	if len(m.broke) > 0 {
		t.Fatalf("%s\n%s", m.broke, m.story())
	}
	for what, n := range m.reverts {
		if n > 1 {
			t.Fatalf("%s was reverted %d times\n%s", what, n, m.story())
		}
	}
	for _, r := range m.records {
		v := r.Status.Verdict
		if v != nil && v.Source == v1alpha1.VerdictByPerson && !m.asked[v.Question] {
			t.Fatalf("%s was decided on a question that nobody asked\n%s", r.Name, m.story())
		}
		if v != nil && v.Source == v1alpha1.VerdictByPerson && !slices.ContainsFunc(r.Spec.Decisions, func(d v1alpha1.Decision) bool {
			return d.Question == v.Question && d.Answer == v.Answer
		}) {
			t.Fatalf("%s was decided, and nobody answered its question so\n%s", r.Name, m.story())
		}
		if r.Status.Change != nil {
			m.ownPlace(t, r)
		}
		if r.Status.Outcome == nil || r.Status.Change != nil {
			continue
		}
		for _, c := range m.branch {
			if c.trail != nil && c.trail.Kind == TrailerRevert && c.trail.Cluster == m.clusterUID &&
				slices.Contains(c.trail.Rollbacks, m.self(r.Name)) && r.Status.Ended() {
				t.Fatalf("%s ended without knowing its own revert %s\n%s", r.Name, c.id, m.story())
			}
		}
	}
	spent := map[string]bool{}
	for _, c := range m.branch {
		if c.trail != nil && c.trail.Kind == TrailerRevert && m.now.Sub(c.when) < budget.Per && m.byPolicy(c.trail) {
			for _, s := range c.trail.Reverts {
				spent[s] = true
			}
		}
	}
	if len(spent) > budget.Count {
		t.Fatalf("%d suspects reverted by policy, budget %s\n%s", len(spent), budget, m.story())
	}
}

func (m *model) byPolicy(tr *TrailerCommit) bool {
	for _, who := range []*model{m, m.peer} {
		if who == nil {
			continue
		}
		for _, r := range who.records {
			v := r.Status.Verdict
			if v != nil && v.Source == v1alpha1.VerdictByPerson && tr.Cluster == who.clusterUID &&
				slices.Contains(tr.Rollbacks, who.self(r.Name)) {
				return false
			}
		}
	}
	return true
}

// ownPlace reports that what a record took for its revert wrote its own place, whatever else it reverted.
func (m *model) ownPlace(t witness, r *v1alpha1.Rollback) {
	t.Helper()
	for _, c := range slices.Concat(m.branch, m.lost) {
		own := func(n v1alpha1.Place) bool {
			return c.trail != nil && slices.Contains(c.trail.Places, PlaceID(n.File, n.Pointer))
		}
		if c.id == r.Status.Change.Commit && c.trail != nil && !slices.ContainsFunc(r.Status.Suspect.Places, own) {
			t.Fatalf("%s/%s took %s for its revert, which wrote %v\n%s", m.ns, r.Name, c.id, c.trail.Places, m.story())
		}
	}
}

// rests runs the world without further trouble until nothing changes any more: everything comes to rest.
func (m *model) rests(t witness, a *Engine) {
	t.Helper()
	m.dark, m.useStale, m.raceNext, m.raceStops, m.slowStops, m.raceMends, m.crashAt = false, false, false, false, false, false, -1
	m.suspended, m.removed, m.killed, m.node = false, false, false, false
	for range 60 {
		m.rollOut()
		m.walk(t, a)
		m.now = m.now.Add(5 * time.Minute)
	}
	// What the mode or the ceiling forbids waits for a day.
	m.now = m.now.Add(barredFor)
	for range 3 {
		// What fails still is told in a record of its own.
		m.walk(t, a)
		m.now = m.now.Add(5 * time.Minute)
	}
	before := m.story()
	for range 10 {
		m.walk(t, a)
		m.now = m.now.Add(20 * time.Minute)
		// That a hold has stood for another day is told once, and is no unrest.
		if now := m.story(); !slices.Equal(reminders(now), reminders(before)) {
			before = now
		}
	}
	if after := m.story(); after != before {
		t.Fatalf("does not come to rest:\n%s\nthen\n%s", before, after)
	}
	for _, r := range m.records {
		if r.Status.Outcome == nil {
			t.Fatalf("%s never ends\n%s", r.Name, m.story())
		}
	}
}

var aDay = regexp.MustCompile(`\(day \d+\)`)

func reminders(story string) []string { return aDay.FindAllString(story, -1) }
