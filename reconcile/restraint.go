package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// restraint is one Rollback's wish to change the branch. It is asked with the tip that a push would replace, within the
// mirror's lock: "never" is decided there and nowhere else, since leases do not fence and the ref is the only
// compare-and-swap that all clusters share.
type restraint struct {
	rb       *v1alpha1.Rollback
	self     string
	uid      string
	now      time.Time
	budget   Budget
	cooldown time.Duration
	batch    *batch
	// gate asks live whether the policies and the ceiling allow the write; nil where nothing is written.
	gate func() error
}

func restraintOf(w *World, cooldown time.Duration) restraint {
	return restraint{rb: &w.Rollback, self: w.Self, uid: w.Cluster, now: w.Now, budget: w.Budget, cooldown: cooldown,
		batch: &batch{elsewhere: w.Elsewhere}}
}

// batch counts what one push already takes from the budget. It starts over on every tip.
type batch struct {
	tip      string
	suspects []string
	// elsewhere are reverts that the branch does not tell of.
	elsewhere []TrailerCommit
	// rules are the policies as they were read for the tip.
	rules rules
}

func (b *batch) on(tip string) {
	if b.tip != tip {
		b.tip, b.suspects = tip, nil
		b.rules.forget()
	}
}

// errReverted means that a trailer commit on the tip already serves the Rollback.
var errReverted = errors.New("the tip already carries the revert")

// permit reports whether the Rollback may be reverted on a tip.
func (c restraint) permit(b Branch) error {
	s := &c.rb.Status
	if _, ok := commitOf(&World{Rollback: *c.rb, Self: c.self, Cluster: c.uid, Branch: &b}); ok {
		return errReverted
	}
	if stand(s, &b).bad == 0 {
		return ErrSuperseded
	}
	if c.gate != nil {
		c.batch.on(b.Tip)
		if err := c.gate(); err != nil {
			return err
		}
	}
	// Cooldown and budget restrain the policy; a person has looked. What a person approves counts in the same push as it
	// does in one before.
	if s.Verdict != nil && s.Verdict.Source == v1alpha1.VerdictByPolicy {
		if err := c.restrain(b); err != nil {
			return err
		}
	}
	c.batch.on(b.Tip)
	c.batch.suspects = append(c.batch.suspects, s.Suspect.Commit)
	return nil
}

// restrain counts cooldown and budget from Backstop's trailers on the branch, and from the records of what came by
// pull request. A suspect commit counts once: whoever of
// its siblings comes later, in this push or another one, costs nothing more.
func (c restraint) restrain(b Branch) error {
	used, counted := map[string]time.Time{}, false
	for _, t := range slices.Concat(b.Commits, c.batch.elsewhere) {
		if t.Kind != TrailerRevert {
			continue
		}
		recent := t.When.Add(c.budget.Per).After(c.now)
		if slices.Contains(t.Reverts, c.rb.Status.Suspect.Commit) {
			counted = counted || recent
			continue
		}
		if err := c.cooling(t); err != nil {
			return err
		}
		if recent {
			for _, commit := range t.Reverts {
				used[commit] = t.When
			}
		}
	}
	if counted {
		return nil
	}
	return c.spend(b.Tip, used)
}

// cooling reports whether a trailer commit reverted one of the Rollback's workloads a short time ago.
func (c restraint) cooling(t TrailerCommit) error {
	cluster, _, _ := strings.Cut(c.self, "/")
	until := t.When.Add(c.cooldown)
	for _, wl := range c.rb.Status.Workloads() {
		name := cluster + "/" + c.rb.Namespace + "/" + wl.String()
		if slices.Contains(t.Workloads, name) && sameCluster(c.uid, t) && c.now.Before(until) {
			return &waitUntil{until, fmt.Sprintf("cooldown: %s was reverted by %s, the next revert may come at %s", wl,
				text.Short(t.Commit), deadline(until, c.now))}
		}
	}
	return nil
}

// spend reports whether the budget has room for one more suspect, beside those used and those in the same push.
func (c restraint) spend(tip string, used map[string]time.Time) error {
	if c.budget.Count == 0 {
		return nil
	}
	c.batch.on(tip)
	spent := map[string]bool{}
	for commit := range used {
		spent[commit] = true
	}
	for _, commit := range c.batch.suspects {
		spent[commit] = true
	}
	if spent[c.rb.Status.Suspect.Commit] || len(spent) < c.budget.Count {
		return nil
	}
	until := c.now.Add(c.budget.Per)
	for _, at := range used {
		if at.Add(c.budget.Per).Before(until) {
			until = at.Add(c.budget.Per)
		}
	}
	return &waitUntil{until, fmt.Sprintf("budget: %s in the last %s, and --budget=%s allows no more before %s",
		revertsOn(c.rb.Status.Suspect.Branch, len(spent)), ShortDuration(c.budget.Per), c.budget, deadline(until, c.now))}
}

func revertsOn(branch string, n int) string {
	if n == 1 {
		return "1 suspect commit was reverted on " + branch
	}
	return fmt.Sprintf("%d suspect commits were reverted on %s", n, branch)
}

// waitUntil is a refusal of permit that time heals.
type waitUntil struct {
	until time.Time
	why   string
}

func (e *waitUntil) Error() string { return e.why }

func retryIn(w *World, err error) time.Duration {
	var wait *waitUntil
	if errors.As(err, &wait) {
		return min(max(wait.until.Sub(w.Now), time.Second), restAgain)
	}
	return time.Second
}

// lookback is how far back trailers are read for cooldown and budget: to a full minute, so that the reverts of one push
// read them once.
func lookback(now time.Time, cooldown, per time.Duration) time.Time {
	return now.Add(-max(cooldown, per)).Truncate(time.Minute)
}
