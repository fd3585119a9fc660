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
func (e *Engine) fillMerge(ctx context.Context, w *World, _ Step, form *v1alpha1.Rollback) error {
	if err := e.stillProved(ctx, w); err != nil {
		return err
	}
	sharers, err := e.sharers(ctx, w)
	if err != nil {
		return err
	}
	forms := []*v1alpha1.Rollback{&w.Form}
	for i := range sharers {
		forms = append(forms, &sharers[i])
	}
	ctx = e.asking(ctx, false, forms...)
	if no, ok := shut(Permitted(ctx)); ok {
		return no
	}
	forge, err := e.forge(ctx, w)
	if err != nil {
		return err
	}
	pr := form.Status.PullRequest
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
	form.Status.Waiting = nil
	return nil
}

// fillDisarm takes back that the provider merges the pull request by itself.
func (e *Engine) fillDisarm(ctx context.Context, w *World, _ Step, form *v1alpha1.Rollback) error {
	forge, err := e.forge(ctx, w)
	if err != nil {
		return err
	}
	if err := forge.Disarm(ctx, w.PullRequest); err != nil {
		return fmt.Errorf("disarm the pull request: %w", err)
	}
	form.Status.PullRequest.Armed, form.Status.PullRequest.Tried, form.Status.Waiting = false, nil, nil
	return nil
}

// fillClose closes the pull request of a form that has ended, with the sentence that ended it.
func (e *Engine) fillClose(ctx context.Context, w *World, _ Step, form *v1alpha1.Rollback) error {
	forge, err := e.forge(ctx, w)
	if err != nil {
		return err
	}
	if err := forge.Close(ctx, w.PullRequest, form.Status.Outcome.Sentence); err != nil {
		return fmt.Errorf("close the pull request: %w", err)
	}
	pr := form.Status.PullRequest
	pr.State, pr.Armed, pr.WaitsFor = v1alpha1.PullRequestClosed, false, nil
	return nil
}
