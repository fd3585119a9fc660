package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

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
	read := &rules{}
	sharers = append(sharers, w.Form)
	for i := range sharers {
		if no, ok := shut(e.gate(ctx, &sharers[i], read, false)); ok {
			return no
		}
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
		pr.Tried, pr.NotMerged = &now, cut(err.Error(), 512)
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

// forge is the way to the pull request of a form.
func (e *Engine) forge(ctx context.Context, w *World) (Forge, error) {
	s := &w.Form.Status
	origin, err := e.Flux.Reopen(ctx, w.Form.Namespace, *s.Suspect, w.Policy.Source, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.Suspect.Source, err)
	}
	return e.provider(ctx, w, origin.Source)
}

// provider is the way to the pull requests of a source, with the login that the form's policies name, or the source's.
func (e *Engine) provider(ctx context.Context, w *World, src Source) (Forge, error) {
	if name := w.Policy.PullRequest.Secret; name != nil && e.Tokens != nil {
		data, err := e.Tokens(ctx, *name)
		if err != nil {
			return nil, fmt.Errorf("log in to the provider: %w", err)
		}
		src.API = &Login{Name: *name, Auth: Auth{Secret: data}}
	}
	return e.Forges.Forge(ctx, src, w.Policy.PullRequest.Provider)
}

// PullRequests is what policies say of pull requests.
type PullRequests struct {
	// Provider who serves them; empty finds out.
	Provider v1alpha1.PullRequestProvider
	// AutoMerge has the provider merge by itself what is allowed.
	AutoMerge bool
	// Secret with a login for the provider's API; nil for that of the GitRepository.
	Secret *types.NamespacedName
}

func pullRequestsOf(p *v1alpha1.RollbackPolicy) PullRequests {
	pr := p.Spec.PullRequest
	if pr == nil {
		return PullRequests{}
	}
	out := PullRequests{Provider: pr.Provider, AutoMerge: pr.AutoMerge}
	if ref := pr.SecretRef; ref != nil {
		out.Secret = &types.NamespacedName{Namespace: p.Namespace, Name: ref.Name}
	}
	return out
}

// stricterPullRequests is what two policies say together: the provider merges nothing by itself unless both want it.
func stricterPullRequests(a, b PullRequests) PullRequests {
	return PullRequests{
		Provider:  cmp.Or(a.Provider, b.Provider),
		AutoMerge: a.AutoMerge && b.AutoMerge,
		Secret:    firstByName(a.Secret, b.Secret),
	}
}
