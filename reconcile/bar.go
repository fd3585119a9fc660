package reconcile

import (
	"errors"
	"fmt"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// barredBy says what forbids a write.
type barredBy struct {
	bar v1alpha1.Bar
	why string
}

func (b *barredBy) Error() string { return b.why }

// mayWrite reports whether what a suspect brought in may be reverted under a policy; nil when it may. The policy is
// resolved under the controller's ceiling.
func mayWrite(p Policy, s *v1alpha1.RollbackStatus, now time.Time) error {
	if err := mayLift(p); err != nil {
		return err
	}
	age := now.Sub(s.Suspect.When.Time)
	switch {
	case p.MaxAge > 0 && age > p.MaxAge:
		return &barredBy{v1alpha1.BarMaxAge, fmt.Sprintf("the change is %s old and maxAge is %s", Roughly(age),
			ShortDuration(p.MaxAge))}
	case s.Suspect.Automation == nil && p.Authors != v1alpha1.AuthorsAnyone:
		why := ""
		if s.Suspect.ByHand != "" {
			why = " (" + s.Suspect.ByHand + ")"
		}
		return &barredBy{v1alpha1.BarAuthors, "the change is not image automation's" + why + ", and " +
			orElse(p.AuthorsWhy, "the policy's authors is Automation")}
	}
	return nil
}

// mayLift reports whether anything at all may be written under a policy, such as the lift of a hold; nil when it may.
func mayLift(p Policy) error {
	if p.Mode != v1alpha1.ModeNotify && p.Mode != "" {
		return nil
	}
	bar := p.Bar
	if bar == "" {
		bar = v1alpha1.BarToldOnly
	}
	return &barredBy{bar, orElse(p.Why, "the policy only tells")}
}

// mustAsk reports whether a person is to approve what a policy allowed before, or what a revert allowed that the branch
// carried: the mode, the ceiling or the workload asks by now. What a person said stands.
func mustAsk(p Policy, s *v1alpha1.RollbackStatus) error {
	v := s.Verdict
	byPerson := v != nil && (v.Source == v1alpha1.VerdictByPerson || v.Source == v1alpha1.VerdictByMerge)
	if v == nil || byPerson || p.Mode == v1alpha1.ModeAuto && len(p.Asks) == 0 {
		return nil
	}
	why := orElse(p.Why, "the policy asks for an approval")
	if p.Mode == v1alpha1.ModeAuto {
		why = p.Asks[0].Message
	}
	return &barredBy{v1alpha1.BarApproval, fmt.Sprintf("%s allowed it, and a person is asked by now: %s", v.By, why)}
}

// barredFor is how long a verdict that allowed, and a revert that was lost, wait for what forbids their write now.
const barredFor = 24 * time.Hour

// waitsBarred waits while something forbids what a verdict allowed before.
func waitsBarred(w *World, err error) Step {
	s := &w.Rollback.Status
	var no *barredBy
	if !errors.As(err, &no) {
		return Step{Do: DoWait, Wait: lookAgain, Why: err.Error()}
	}
	switch {
	case s.Change == nil && s.Verdict.At.Add(barredFor).Before(w.Now):
		return end(w, v1alpha1.ResultFailed, "allowed by %s, and not pushed in %s: %s", s.Verdict.By,
			ShortDuration(barredFor), no.why)
	case s.Change != nil && s.Change.At.Add(barredFor).Before(w.Now):
		return end(w, v1alpha1.ResultFailed, "the revert %s was lost to a force push, and is not pushed again: %s",
			text.Short(s.Change.Commit), no.why)
	}
	return Step{Do: DoWait, Wait: restAgain, Barred: no.bar, Why: "nothing is pushed: " + no.why}
}

// shut is how soon a write that the gate refused is tried again, where nothing wakes it before.
func shut(err error) (*RetryAfter, bool) {
	var no *barredBy
	if !errors.As(err, &no) {
		return nil, false
	}
	return &RetryAfter{After: time.Second, Err: err}, true
}

// barOf is what an error says forbids a write; empty where it says something else.
func barOf(err error) v1alpha1.Bar {
	var no *barredBy
	if errors.As(err, &no) {
		return no.bar
	}
	return ""
}
