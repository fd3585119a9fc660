package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// fillForward sets the images of one workload to what Git says, or writes down why not. What Git says is rendered, and
// whether it may be written is asked, right before.
func (e *Engine) fillForward(ctx context.Context, w *World, step Step, rb *v1alpha1.Rollback) error {
	f := step.Forward
	if f.Refused != "" {
		notAhead(rb, f, "", f.Refused, w.Now)
		return nil
	}
	origin, err := e.Flux.Reopen(ctx, rb.Namespace, *rb.Status.Suspect, w.Policy.Source, w.since)
	if err != nil {
		return fmt.Errorf("read %s: %w", rb.Status.Suspect.Source, err)
	}
	o, err := e.Forward.Wanted(ctx, rb, origin.Source, f.Workload)
	if err != nil {
		return fmt.Errorf("render %s as Git says: %w", f.Workload.Workload, err)
	}
	if why := whyNot(neverAsRendered, w, w.Ahead, &o); why != "" {
		notAhead(rb, f, f.Checked, why, w.Now)
		return nil
	}
	if err := e.mayForward(ctx, rb); err != nil {
		return err
	}
	err = e.Forward.Set(ctx, rb.Namespace, o)
	if why, refused := AsRefusal(err); refused {
		notAhead(rb, f, f.Checked, why, w.Now)
		return nil
	}
	if err != nil {
		return fmt.Errorf("set %s ahead of Flux: %w", o.Workload, err)
	}
	at := v1alpha1.NewTime(e.Now())
	for _, c := range o.Containers {
		rb.Status.FastForward = append(rb.Status.FastForward, v1alpha1.FastForward{
			Workload: o.Workload, Container: c.Name, From: cut(c.Live, forwardText), To: cut(c.Want, forwardText),
			Result: v1alpha1.FastForwardApplied, Revision: cut(f.Checked, forwardText), Release: f.Release, At: at,
		})
	}
	return nil
}

// notAhead writes down why a workload is not set. An earlier reason is removed. revision is the one whose health check
// runs, if the workload is not tried again before that check ends.
func notAhead(rb *v1alpha1.Rollback, f *Forward, revision, why string, now time.Time) {
	s := &rb.Status
	s.FastForward = slices.DeleteFunc(s.FastForward, func(o v1alpha1.FastForward) bool {
		return o.Result == v1alpha1.FastForwardRefused && o.Workload == f.Workload.Workload
	})
	s.FastForward = append(s.FastForward, v1alpha1.FastForward{
		Workload: f.Workload.Workload, Result: v1alpha1.FastForwardRefused, Revision: cut(revision, forwardText),
		Message: cut(why, forwardText), At: v1alpha1.NewTime(now),
	})
}

// mayForward asks live whether it may be written; nil when it may.
func (e *Engine) mayForward(ctx context.Context, rb *v1alpha1.Rollback) error {
	p, err := e.policyNow(ctx, rb, &rules{})
	switch {
	case err != nil:
		err = &barredBy{v1alpha1.BarUnreadable, "whether it may be written cannot be read: " + err.Error()}
	case !p.FastForward:
		err = &barredBy{v1alpha1.BarToldOnly, "the policy does not allow fast-forward any more"}
	default:
		err = mayWrite(p, &rb.Status, e.Now())
	}
	if later, ok := shut(err); ok {
		return later
	}
	return err
}

// fillDisown takes the mark of a fast-forward away, now that the workload runs what Git says.
func (e *Engine) fillDisown(ctx context.Context, _ *World, _ Step, rb *v1alpha1.Rollback) error {
	f := disown(&rb.Status)
	if f == nil {
		return nil
	}
	if err := e.Forward.Disown(ctx, rb.Namespace, f.Workload); err != nil {
		return fmt.Errorf("take Backstop's field manager off %s: %w", f.Workload, err)
	}
	of := f.Workload
	for i := range rb.Status.FastForward {
		if f := &rb.Status.FastForward[i]; f.Workload == of && f.Result == v1alpha1.FastForwardApplied {
			f.Disowned = true
		}
	}
	return nil
}

// gatherAhead reads what a fast-forward goes by, where one may be wanted.
func (e *Engine) gatherAhead(ctx context.Context, w *World, contains func(tip, commit string) (bool, error)) error {
	s := &w.Rollback.Status
	if e.Forward == nil || !w.Policy.FastForward || s.Landed == nil || s.Ended() || w.Rollout == nil ||
		!w.Rollout.Fetched || w.Rollback.Spec.Subject.Kind != v1alpha1.KindImage ||
		s.ByHandAlone() {
		return nil
	}
	a, err := e.Forward.Ahead(ctx, &w.Rollback, contains)
	if err != nil {
		return fmt.Errorf("read what keeps Flux from applying the revert: %w", err)
	}
	// Where the labels may not be read, the admission policy alone decides.
	a.Installed, a.OptedIn = e.FastForward, w.labels == nil || w.labels[FastForwardLabel] == FastForwardAllowed
	w.Ahead = a
	return nil
}
