package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// The model's Git server takes what an engine sends, and reports what it must not send.

// permits asks a revert for the tip, as seen from its own places.
func (m *model) permits(r Revert) error {
	return r.Permit(m.owner(r.Rollback).look(r.Suspect, &r.Target, r.Since))
}

// slowly has a plan take seconds, while somebody suspends the policy: what is sent is asked for once more.
func (m *model) slowly(reverts []Revert) {
	if !m.slowStops || len(reverts) == 0 || m.permits(reverts[0]) != nil {
		return
	}
	m.slowStops, m.suspended = false, true
	m.now = m.now.Add(3 * time.Second)
	m.sync()
	if err := reverts[0].Still(); err == nil {
		m.broke = append(m.broke, reverts[0].Rollback+" is sent on a permit of three seconds ago")
	}
}

// races has somebody else push first: everything is planned again on the new tip.
func (m *model) races(reverts []Revert) {
	if !m.raceNext {
		return
	}
	m.raceNext = false
	for _, r := range reverts {
		_ = m.permits(r)
	}
	c := commit{value: m.tip().value, held: m.tip().held}
	if m.raceMends {
		c.value, m.raceMends = "reg.local/app:p0", false
		m.present[c.value] = true
	}
	m.push(c)
	m.suspended, m.raceStops = m.suspended || m.raceStops, false
}

func (m *model) Land(_ context.Context, src Source, reverts []Revert) ([]Landing, error) {
	out := make([]Landing, len(reverts))
	m.slowly(reverts)
	err := m.write(func() error {
		m.races(reverts)
		trail := TrailerCommit{Kind: TrailerRevert, Cluster: m.clusterUID}
		wrote := make([][]int, len(reverts))
		for i, r := range reverts {
			out[i].Err = m.permits(r)
			if out[i].Err == nil && r.Proof != nil {
				out[i].Err = r.Proof(context.Background(), nil, nil)
			}
			if out[i].Err != nil {
				continue
			}
			who := m.owner(r.Rollback)
			if err := errors.Join(who.mayWrite(), who.mayRevert(r), who.undoes(r), who.enough(r), who.pushedWith(src)); err != nil {
				m.broke = append(m.broke, fmt.Sprintf("%s is pushed: %s", r.Rollback, err))
			}
			wrote[i] = who.bad(r)
			for _, k := range wrote[i] {
				trail.Places = append(trail.Places, PlaceID(r.Suspect.Places[k].File, r.Suspect.Places[k].Pointer))
			}
			trail.Rollbacks = append(trail.Rollbacks, r.Rollback)
			trail.Images = append(trail.Images, r.Image)
			trail.Workloads = append(trail.Workloads, r.Workloads...)
			trail.Reverts = append(trail.Reverts, r.Suspect.Commit)
			out[i].Change = &v1alpha1.Change{Branch: "main", At: v1alpha1.NewTime(m.now)}
		}
		if len(trail.Rollbacks) > 0 {
			m.commits(reverts, wrote, trail, out)
		}
		return nil
	})
	return out, err
}

// bad are the places of a revert that hold what failed.
func (m *model) bad(r Revert) []int {
	var out []int
	for k, p := range r.Suspect.Places {
		if r.Suspect.ByFiles() || m.tip().places()[m.index(p)].value == p.Bad {
			out = append(out, k)
		}
	}
	return out
}

// commits pushes the revert, and after it the hold.
func (m *model) commits(reverts []Revert, wrote [][]int, trail TrailerCommit, out []Landing) {
	m.push(commit{value: m.tip().value, held: m.tip().held, trail: &trail})
	revert := m.tip().id
	each := func(f func(who *model, r Revert, l *Landing, k int)) {
		for i := range reverts {
			for _, k := range wrote[i] {
				f(m.owner(reverts[i].Rollback), reverts[i], &out[i], k)
			}
		}
	}
	each(func(who *model, r Revert, l *Landing, k int) {
		at := who.index(r.Suspect.Places[k])
		who.branch[len(who.branch)-1].set(at, node{targetOf(r, k), who.tip().places()[at].held})
		l.Change.Commit = revert
		what := r.Suspect.Commit + " " + r.Suspect.Places[k].File
		who.branch[len(who.branch)-1].undid = append(who.tip().undid, what)
		who.reverts[what]++
	})
	if slices.ContainsFunc(reverts, func(r Revert) bool { return r.Suspect.ByFiles() }) {
		return
	}
	hold := trail
	hold.Kind = TrailerHold
	m.push(commit{value: m.tip().value, held: m.tip().held, trail: &hold})
	each(func(who *model, r Revert, l *Landing, k int) {
		at := who.index(r.Suspect.Places[k])
		who.branch[len(who.branch)-1].set(at, node{who.tip().places()[at].value, true})
		l.Change.Hold, l.Change.Policies = m.tip().id, []string{who.ns + ":app"}
		l.Holds = append(l.Holds, v1alpha1.Hold{Place: r.Suspect.Places[k].Identity()})
	})
}

// targetOf is what a revert writes to a place.
func targetOf(r Revert, k int) string {
	for _, v := range r.Target.Values {
		if v.Index == int32(k) {
			return v.Value
		}
	}
	return "no value"
}

func (m *model) Lift(_ context.Context, src Source, l Lift) (string, error) {
	var id string
	err := m.write(func() error {
		c := m.tip()
		lifts := false
		for i, n := range c.places() {
			mine := slices.ContainsFunc(l.Places, func(p v1alpha1.Place) bool { return p.File == m.file(i) })
			if n.held && mine && l.Policy == m.ns+":app" {
				c.set(i, node{value: n.value})
				lifts = true
			}
		}
		if !lifts {
			return nil
		}
		// Somebody suspends the policy between the decision and the push.
		m.suspended, m.slowStops = m.suspended || m.slowStops, false
		if err := l.Permit(); err != nil {
			return err
		}
		if err := errors.Join(m.mayWrite(), m.pushedWith(src), m.lifts(l)); err != nil {
			m.broke = append(m.broke, fmt.Sprintf("%s is lifted: %s", l.Rollback, err))
		}
		m.push(commit{value: c.value, held: c.held, job: c.job,
			trail: &TrailerCommit{Kind: TrailerLift, Cluster: m.clusterUID, Rollbacks: []string{l.Rollback}}})
		id = m.tip().id
		return nil
	})
	return id, err
}

// wished is the rule about a person's word for a lift: it was given when the revert whose hold it is was written, or
// later. A hold that was found in Git has no revert of the record's.
func (m *model) wished(l Lift) error {
	if !l.Person {
		return nil
	}
	var wish *v1alpha1.LiftRequest
	for name, r := range m.records {
		if m.self(name) == l.Rollback {
			wish = r.Spec.Lift
		}
	}
	if wish == nil {
		return errors.New("nobody asked for it")
	}
	var err error
	for _, c := range slices.Concat(m.lost, m.branch) {
		if c.trail == nil || c.trail.Kind != TrailerRevert || !slices.Contains(c.trail.Rollbacks, l.Rollback) {
			continue
		}
		if !wish.At.Time.Before(c.when.Truncate(time.Microsecond)) {
			return nil
		}
		err = fmt.Errorf("a person asked for it at %s, before %s", wish.At, c.id)
	}
	return err
}

// liftBy is a person who wants holds lifted: all of a record, or that of its first place.
func (m *model) liftBy(arg int) {
	for _, r := range m.records {
		if r.Status.HoldStands() {
			r.Spec.Lift = &v1alpha1.LiftRequest{By: "jane", At: v1alpha1.NewTime(m.now)}
			if arg%2 == 1 {
				r.Spec.Lift.Places = []string{r.Status.Suspect.Places[0].Identity()}
			}
			m.version++
			r.ResourceVersion = fmt.Sprint(m.version)
		}
	}
}

// wish is a person who wants the hold lifted of a revert that is not there yet, on an API server that would not refuse
// it.
func (m *model) wish() {
	for _, r := range m.records {
		if r.Status.Change == nil && r.Spec.Lift == nil {
			r.Spec.Lift = &v1alpha1.LiftRequest{By: "jane", At: v1alpha1.NewTime(m.now)}
			m.version++
			r.ResourceVersion = fmt.Sprint(m.version)
		}
	}
}
