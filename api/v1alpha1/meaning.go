package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What a Rollback means stands here once, for whoever reads it: the engine, cards, commands, metrics.

// Ended reports whether the Rollback has come to its end. An expired one that was decided after all goes on, and so
// does a drift that is adopted after Flux undid it.
func (s *RollbackStatus) Ended() bool {
	switch {
	case s.Outcome == nil:
		return false
	case s.Outcome.Result == ResultExpired:
		return s.Verdict == nil
	case s.Outcome.Result == ResultRestored:
		return s.Verdict == nil || s.Verdict.Answer == Reject
	}
	return true
}

// PhaseNow is the first step that is not done, or how the Rollback ended. Phase is what was saved of it.
func (s *RollbackStatus) PhaseNow() string {
	switch {
	case s.Ended():
		return string(s.Outcome.Result)
	case len(s.Failures) == 0:
		return "Seen"
	case s.Suspect == nil:
		return "Blaming"
	case s.Target == nil:
		return "Proving"
	case s.Verdict == nil:
		return "Deciding"
	case s.Verdict.Answer == Reject:
		return "Restoring"
	case s.Change == nil:
		return "Reverting"
	case s.Landed == nil:
		return "Landing"
	case s.Request == nil:
		return "Requesting"
	}
	return "Verifying"
}

// DecideBy is until when a person decides the question that is asked, and whether it is because Flux takes a change by
// hand back then, before the question expires.
func (s *RollbackStatus) DecideBy(now time.Time) (by time.Time, undone bool) {
	by = s.Question.Until.Time
	for _, f := range s.Drifts() {
		if at := f.Drift.UndoneAt; at != nil && at.After(now) && at.Time.Before(by) {
			by, undone = at.Time, true
		}
	}
	return by, undone
}

// HoldStands reports whether the revert left a hold on image automation that nobody has lifted.
func (s *RollbackStatus) HoldStands() bool {
	return s.Change != nil && s.Change.Hold != "" && s.Lifted == nil
}

// LiftWish is the lift that a person asks for, where it counts: nil for one from before the hold stood, which was meant
// for another one or for none.
func (r *Rollback) LiftWish() *LiftRequest {
	if l := r.Spec.Lift; l != nil && r.Status.HoldStands() && !l.At.Before(&r.Status.Change.At) {
		return l
	}
	return nil
}

// LiftSpent reports whether what a person asked for does nothing any more, so that the next one may ask instead: it was
// given before the hold stood, or nothing comes any more of the pull request that brings it.
func (r *Rollback) LiftSpent() bool {
	l, s := r.Spec.Lift, &r.Status
	if l == nil || s.Change == nil {
		return false
	}
	return l.At.Before(&s.Change.At) || s.LiftPullRequest.Spent() && s.LiftPullRequest.brings(l)
}

// brings reports whether a pull request came of a wish. One that does not say so is from before there was that field,
// or of a policy: it brings what was asked for by then.
func (p *PullRequest) brings(l *LiftRequest) bool {
	if p.AskedAt != nil {
		return p.AskedAt.Equal(&l.At)
	}
	return !p.At.Before(&l.At)
}

// HeldPolicies are the ImagePolicies that the Rollback holds off, each once, as namespace:name; of one whose holds are
// all lifted, those that it held.
func (s *RollbackStatus) HeldPolicies() []string {
	if s.Change == nil {
		return nil
	}
	var out []string
	for i := range s.Holds {
		if p := s.PlaceOf(&s.Holds[i]); s.Holds[i].LiftedBy == "" && p != nil && !slices.Contains(out, p.Marker) {
			out = append(out, p.Marker)
		}
	}
	if len(out) == 0 {
		return s.Change.Policies
	}
	return out
}

// PlaceOf is the place that a hold stands on; nil where the record has none of that ID.
func (s *RollbackStatus) PlaceOf(h *Hold) *Place {
	if s.Suspect == nil {
		return nil
	}
	i := slices.IndexFunc(s.Suspect.Places, func(p Place) bool { return p.Identity() == h.Place })
	if i < 0 {
		return nil
	}
	return &s.Suspect.Places[i]
}

// StandsOn reports whether the Rollback holds image automation off a place.
func (s *RollbackStatus) StandsOn(p *Place) bool {
	if len(s.Holds) == 0 {
		return s.HoldStands() && p.Marker != ""
	}
	id := p.Identity()
	return slices.ContainsFunc(s.Holds, func(h Hold) bool { return h.Place == id && h.LiftedBy == "" })
}

// FirstSeen is when the oldest failure was first seen; zero where there is none.
func (s *RollbackStatus) FirstSeen() time.Time {
	var first time.Time
	for _, f := range s.Failures {
		if first.IsZero() || f.Since.Time.Before(first) {
			first = f.Since.Time
		}
	}
	return first
}

// Identity is the ID that a failure has: what is the same failure on another look has the same one.
func (f *Failure) Identity() string {
	return identity(string(f.Trigger), f.Workload.Kind, f.Workload.Name, string(f.Workload.UID), f.Revision, f.Container)
}

// Identity is the ID that a place has, also where the record is older than IDs.
func (p *Place) Identity() string { return identity(p.File, p.Pointer) }

func identity(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// SeenBy reports whether a trigger has a failure on the record.
func (s *RollbackStatus) SeenBy(t TriggerType) bool {
	return slices.ContainsFunc(s.Failures, func(f Failure) bool { return f.Trigger == t })
}

// AskedFor reports whether people are asked for this reason now.
func (s *RollbackStatus) AskedFor(t DoubtType) bool {
	return s.Question != nil && slices.ContainsFunc(s.Question.Doubts, func(d Doubt) bool { return d.Type == t })
}

// Blamed reports whether something on the record is held against the image, so that it is to be proved bad.
func (s *RollbackStatus) Blamed() bool {
	return slices.ContainsFunc(s.Failures, func(f Failure) bool { return f.Trigger.Row().Blames })
}

// Drifted reports whether somebody changed one of the workloads by hand.
func (s *RollbackStatus) Drifted() bool {
	return slices.ContainsFunc(s.Failures, func(f Failure) bool { return f.Drift != nil })
}

// ByHandAlone reports that nothing failed: what Git says was changed by hand, and that is all.
func (s *RollbackStatus) ByHandAlone() bool { return s.Drifted() && !s.Blamed() }

// Workloads are those of the failures, each once. One that was deleted and made anew is another one.
func (s *RollbackStatus) Workloads() []Workload {
	var out []Workload
	for _, f := range s.Failures {
		if !slices.Contains(out, f.Workload) {
			out = append(out, f.Workload)
		}
	}
	return out
}

// Causes are the distinct causes of the failures.
func (s *RollbackStatus) Causes() []Cause { return s.causes("") }

// CausesOf are the distinct causes of the failures that a trigger saw.
func (s *RollbackStatus) CausesOf(t TriggerType) []Cause { return s.causes(t) }

func (s *RollbackStatus) causes(t TriggerType) []Cause {
	var out []Cause
	for _, f := range s.Failures {
		if (t == "" || f.Trigger == t) && !slices.Contains(out, f.Cause) {
			out = append(out, f.Cause)
		}
	}
	return out
}

// Drifts are the changes by hand that count: of several of one container, made one after the other, the last.
func (s *RollbackStatus) Drifts() []Failure {
	var out []Failure
	for _, f := range s.Failures {
		if f.Drift == nil {
			continue
		}
		i := slices.IndexFunc(out, func(o Failure) bool {
			return o.Workload.Kind == f.Workload.Kind && o.Workload.Name == f.Workload.Name && o.Container == f.Container
		})
		switch {
		case i < 0:
			out = append(out, f)
		case !f.Since.Before(&out[i].Since):
			out[i] = f
		}
	}
	return out
}

// NeedsPerson reports whether a Rollback that ended so leaves something for a person to do.
func (r Result) NeedsPerson() bool {
	switch r {
	case ResultFailed, ResultExpired, ResultReportedOnly, ResultSourceNotFound:
		return true
	case ResultVerified, ResultRestored, ResultRecovered, ResultRejected, ResultSuperseded:
		return false
	}
	return false
}

// FalselyGreen reports whether Flux reports a revision, or a commit, green only because its workloads were set to what
// Git said next.
func (s *RollbackStatus) FalselyGreen(revision string) bool {
	for i := range s.FastForward {
		f := &s.FastForward[i]
		same := f.Revision == revision || strings.HasSuffix(f.Revision, ":"+revision)
		if f.Result == FastForwardApplied && revision != "" && same {
			return true
		}
	}
	return false
}

// Applies are the failures to apply of a record.
func (s *RollbackStatus) Applies() []Failure {
	var out []Failure
	for _, f := range s.Failures {
		if f.Apply != nil {
			out = append(out, f)
		}
	}
	return out
}

// OfObject reports that the Rollback is about an object and no image: its commit is found by rendering, and goes back
// by files.
func (r *Rollback) OfObject() bool {
	return r.Spec.Subject.Kind != "" && r.Spec.Subject.Kind != KindImage
}

// OfWorkload reports that the Rollback is about the configuration of a workload.
func (r *Rollback) OfWorkload() bool { return r.OfObject() && !r.Spec.OpenedFor.Row().OfFlux }

// Searches are what was found in Git: for each failure of a Flux object, and for a workload.
func (s *RollbackStatus) Searches() []Search {
	var out []Search
	for _, f := range s.Applies() {
		out = append(out, Search{ChangedBy: f.Apply.ChangedBy, Unblamed: f.Apply.Unblamed})
	}
	if s.Search != nil {
		out = append(out, *s.Search)
	}
	return out
}

// Answered gives the decisions of a Rollback on the question that it asks now, in the order in which they were written.
func (r *Rollback) Answered() []Decision {
	var out []Decision
	for _, d := range r.Spec.Decisions {
		if q := r.Status.Question; q != nil && d.Question == q.ID && q.Allows(d.Answer) {
			out = append(out, d)
		}
	}
	return out
}

// FirstDecision is the one that counts of several decisions on one question which are read together: a Reject, else the
// one that was written first. What a decision says of its own time is information.
func FirstDecision(all []Decision) (Decision, bool) {
	for _, d := range all {
		if d.Answer == Reject {
			return d, true
		}
	}
	if len(all) == 0 {
		return Decision{}, false
	}
	return all[0], true
}
