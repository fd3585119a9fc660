package reconcile

import (
	"context"
	"fmt"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// What is written to a provider about a pull request that is there. Nothing is merged before the policies of all whose
// reverts it brings were asked again, live, and the target was proved again; and only the commit that was looked at.

// fillMerge has the provider merge the pull request, now or once it may. What it says against it is written down: it is
// tried again, and people see it.
func (e *Engine) fillMerge(ctx context.Context, w *World, _ Step, rb *v1alpha1.Rollback) error {
	if err := e.stillProved(ctx, w); err != nil {
		return err
	}
	sharers, err := e.sharers(ctx, w)
	if err != nil {
		return err
	}
	rollbacks := []*v1alpha1.Rollback{&w.Rollback}
	for i := range sharers {
		rollbacks = append(rollbacks, &sharers[i])
	}
	ctx = e.asking(ctx, false, rollbacks...)
	if no, ok := shut(Permitted(ctx)); ok {
		return no
	}
	forge, err := e.forge(ctx, w)
	if err != nil {
		return err
	}
	pr := rb.Status.PullRequest
	done, err := forge.Merge(ctx, w.PullRequest, MergeOrder{Head: pr.Head, Arm: w.Policy.PullRequest.AutoMerge})
	now := v1alpha1.NewTime(e.Now())
	switch {
	case err == nil:
		pr.Tried, pr.NotMerged, pr.Armed = &now, "", done == MergingArmed
	case KindOf(err) != "":
		pr.Tried, pr.NotMerged = &now, brief(err.Error())
	default:
		return fmt.Errorf("merge the pull request: %w", err)
	}
	rb.Status.Waiting = nil
	return nil
}

// fillDisarm tells the provider to merge no longer by itself.
func (e *Engine) fillDisarm(ctx context.Context, w *World, _ Step, rb *v1alpha1.Rollback) error {
	forge, err := e.forge(ctx, w)
	if err != nil {
		return err
	}
	if err := forge.Disarm(ctx, w.PullRequest); err != nil {
		return fmt.Errorf("disarm the pull request: %w", err)
	}
	rb.Status.PullRequest.Armed, rb.Status.PullRequest.Tried, rb.Status.Waiting = false, nil, nil
	return nil
}

// fillClose closes the pull request of a Rollback that has ended, with the sentence that ended it.
func (e *Engine) fillClose(ctx context.Context, w *World, _ Step, rb *v1alpha1.Rollback) error {
	forge, err := e.forge(ctx, w)
	if err != nil {
		return err
	}
	if err := forge.Close(ctx, w.PullRequest, rb.Status.Outcome.Message); err != nil {
		return fmt.Errorf("close the pull request: %w", err)
	}
	pr := rb.Status.PullRequest
	pr.State, pr.Armed, pr.WaitsFor = v1alpha1.PullRequestClosed, false, nil
	return nil
}
