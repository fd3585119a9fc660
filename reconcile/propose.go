package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// A branch that takes no push gets a pull request, after the verdict:
//
//	push ──refused: it wants a pull request──► pullRequest ──opened──► people, checks ──merged──► change, by content
//	                                               └──closed without a merge──► Rejected
//
// The record says which it is, and the branch says when it has landed, whatever a squash, a rebase or a queue made of
// it. What the provider says only explains.

// How often a pull request is looked at: often at first, and once a minute at rest.
const (
	proposedSoonest = 5 * time.Second
	proposedAgain   = time.Minute
	// readWithin is how long a provider may take to tell: what it tells only explains, and others wait for the worker.
	readWithin = 5 * time.Second
)

// proposes says whether a push that was refused becomes a pull request.
func (e *Engine) proposes(w *World, err error) bool {
	return e.Forges != nil && w.Policy.Delivery == v1alpha1.DeliveryAuto && KindOf(err) == FaultWantsPullRequest
}

// wantPullRequest writes down that the branch takes no push, in the server's words.
func (e *Engine) wantPullRequest(form *v1alpha1.Rollback, err error) {
	form.Status.PullRequest = &v1alpha1.PullRequest{Because: cut(err.Error(), 1024), At: v1alpha1.NewTime(e.Now())}
	form.Status.Waiting = nil
}

// merged says whether a pull request of the form has landed: its values stand on the branch.
func merged(w *World) bool {
	s := &w.Form.Status
	return s.PullRequest != nil && stand(s, w.Branch).bad == 0 && w.Branch.HoldsTarget != ""
}

// proposed is the line of a form whose pull request is there.
func proposed(w *World) Step {
	s := &w.Form.Status
	pr := s.PullRequest
	now := w.PullRequest
	if now == nil {
		return Step{Do: DoWait, Wait: proposedAgain, Why: fmt.Sprintf("pull request %d cannot be read: %s", pr.Number,
			orElse(w.NoPullRequest, "its provider does not answer")), Refused: w.NoPullRequestKind}
	}
	if seen := sightOf(pr, now); !sameSight(pr, &seen) {
		return Step{Do: DoPullRequest, Why: "the pull request changed"}
	}
	switch pr.State {
	case v1alpha1.PullRequestOpen:
	case v1alpha1.PullRequestClosed:
		return end(w, v1alpha1.ResultRejected, "pull request %d was closed without a merge%s: %s", pr.Number, by(pr.By),
			pr.URL)
	case v1alpha1.PullRequestMerged:
		if stand(&w.Form.Status, w.Branch).bad > 0 && w.Now.Sub(pr.At.Time) > giveUp(w.Policy) {
			return end(w, v1alpha1.ResultFailed, "pull request %d was merged%s, and %s still says %s: %s", pr.Number, by(pr.By),
				s.Suspect.Branch, w.Form.Spec.Subject.Name, pr.URL)
		}
		return Step{Do: DoWait, Wait: lookAgain, Why: fmt.Sprintf("pull request %d is merged%s, and %s at %s does not show "+
			"it yet", pr.Number, by(pr.By), s.Suspect.Branch, short(w.Branch.Tip))}
	}
	age := w.Now.Sub(pr.At.Time)
	return Step{Do: DoWait, Wait: min(max(age/8, proposedSoonest), proposedAgain),
		Why: fmt.Sprintf("%s takes no push: pull request %d waits for %s: %s", s.Suspect.Branch, pr.Number,
			WaitsFor(pr.WaitsFor), pr.URL)}
}

func by(name string) string {
	if name == "" {
		return ""
	}
	return " by " + name
}

// sightOf is what the record says of a pull request as it is now.
func sightOf(pr *v1alpha1.PullRequest, now *PullRequest) v1alpha1.PullRequest {
	out := *pr
	out.State, out.By = now.State, cut(now.By, 253)
	out.WaitsFor = nil
	for _, wait := range now.Waits[:min(len(now.Waits), 16)] {
		wait.Name = cut(wait.Name, 253)
		out.WaitsFor = append(out.WaitsFor, wait)
	}
	return out
}

func sameSight(a, b *v1alpha1.PullRequest) bool {
	return a.State == b.State && a.By == b.By && slices.Equal(a.WaitsFor, b.WaitsFor)
}

// WaitsFor says what a pull request waits for.
func WaitsFor(waits []v1alpha1.PullRequestWait) string {
	words := map[v1alpha1.PullRequestWaitKind]string{
		v1alpha1.WaitsForReview: "a review", v1alpha1.WaitsForCodeOwner: "a code owner's review",
		v1alpha1.WaitsForCheck: "a check", v1alpha1.WaitsForDiscussion: "a discussion to be resolved",
		v1alpha1.WaitsForDraft: "somebody to take it out of draft", v1alpha1.WaitsForRebase: "its base, which moved",
		v1alpha1.WaitsForQueue: "its turn in the queue", v1alpha1.WaitsForProvider: "its provider",
	}
	var out []string
	for _, w := range waits {
		said := words[w.Kind]
		if w.Name != "" {
			said += " (" + w.Name + ")"
		}
		out = append(out, said)
	}
	if len(out) == 0 {
		return "somebody to merge it"
	}
	return strings.Join(out, ", ")
}

// readPullRequest reads the pull request of a form that waits for it. What cannot be read now is said, and the branch
// goes on telling.
func (e *Engine) readPullRequest(ctx context.Context, w *World, src Source) {
	pr := w.Form.Status.PullRequest
	if pr == nil || pr.Number == 0 || w.Form.Status.Change != nil || w.Form.Status.Ended() || e.Forges == nil {
		return
	}
	within, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	forge, err := e.Forges.Forge(within, src, w.Policy.PullRequest)
	if err == nil {
		w.PullRequest, err = forge.Read(within, pr.Number)
	}
	if err != nil {
		w.PullRequest, w.NoPullRequest, w.NoPullRequestKind = nil, cut(err.Error(), 500), KindOf(err)
	}
}

// fillPullRequest opens the pull request of the form's suspect, or takes over the one that is open; once it is there,
// it writes down what is seen of it.
func (e *Engine) fillPullRequest(ctx context.Context, w *World, _ Step, form *v1alpha1.Rollback) error {
	if w.PullRequest != nil {
		seen := sightOf(form.Status.PullRequest, w.PullRequest)
		form.Status.PullRequest, form.Status.Waiting = &seen, nil
		return nil
	}
	if err := e.stillProved(ctx, w); err != nil {
		return err
	}
	s := &form.Status
	origin, err := e.Flux.Reopen(ctx, form.Namespace, *s.Suspect, w.Policy.Source, time.Time{})
	if err != nil {
		return fmt.Errorf("read %s: %w", s.Suspect.Source, err)
	}
	forge, err := e.Forges.Forge(ctx, origin.Source, w.Policy.PullRequest)
	if err != nil {
		return noPullRequest(s, err)
	}
	reverts, err := e.together(ctx, w, origin.Source)
	if err != nil {
		return err
	}
	branch := ProposedBranch(s.Suspect.Commit)
	put, err := e.Git.Propose(ctx, origin.Source, branch, reverts)
	if err != nil {
		return noPullRequest(s, err)
	}
	if err := e.unlanded(put.Landings[0].Err, s.Suspect.Commit); err != nil {
		return err
	}
	pr, err := e.openPullRequest(ctx, forge, Proposal{
		Branch: branch, Base: s.Suspect.Branch, Story: storyOf(reverts, put),
	})
	if err != nil {
		return noPullRequest(s, err)
	}
	next := sightOf(s.PullRequest, pr)
	next.Number, next.URL, next.Branch, next.At = pr.Number, cut(pr.URL, 2048), branch, v1alpha1.NewTime(e.Now())
	s.PullRequest, s.Waiting = &next, nil
	return nil
}

// openPullRequest gives the pull request of a branch. One that was closed without a merge after the verdict is a
// person's no, also where a crash kept the record from knowing it.
func (e *Engine) openPullRequest(ctx context.Context, forge Forge, p Proposal) (*PullRequest, error) {
	pr, err := forge.Find(ctx, p.Branch, p.Base)
	if err != nil {
		return nil, fmt.Errorf("find the pull request: %w", err)
	}
	if pr != nil && pr.State != v1alpha1.PullRequestMerged {
		return pr, nil
	}
	if pr, err = forge.Open(ctx, p); err != nil {
		return nil, fmt.Errorf("open the pull request: %w", err)
	}
	return pr, nil
}

// together are the form's revert and those of the suspect's other images that are allowed: they share one pull request.
func (e *Engine) together(ctx context.Context, w *World, src Source) ([]Revert, error) {
	shared := &batch{}
	out := []Revert{e.revert(ctx, w.Form, shared)}
	more, err := e.siblings(ctx, w, src, shared)
	if err != nil {
		return nil, err
	}
	for _, r := range more {
		if r.Suspect.Commit == w.Form.Status.Suspect.Commit {
			out = append(out, r)
		}
	}
	return out, nil
}

// noPullRequest says why there is none, after the server's words that made one necessary.
func noPullRequest(s *v1alpha1.RollbackStatus, err error) error {
	if KindOf(err) == "" {
		return fmt.Errorf("open a pull request: %w", err)
	}
	return RefuseAs(KindOf(err), "%s; no pull request instead: %w", s.PullRequest.Because, err)
}

// storyOf is what the pull request of reverts tells.
func storyOf(reverts []Revert, put Proposed) Story {
	first := reverts[0]
	out := Story{
		Image: first.Image, Target: first.Target.Image, Commit: first.Suspect.Commit, Author: first.Suspect.Author,
		Subject: first.Suspect.Subject, Followed: true, ByPerson: first.Release == v1alpha1.ReleaseManual,
		Message: put.Message,
	}
	for i, r := range reverts {
		if put.Landings[i].Err != nil {
			continue
		}
		out.Failures = append(out.Failures, r.Failures...)
		for _, wl := range r.Workloads {
			if !slices.Contains(out.Workloads, wl) {
				out.Workloads = append(out.Workloads, wl)
			}
		}
		for _, v := range r.Target.Values {
			if int(v.Index) < len(r.Suspect.Nodes) {
				n := r.Suspect.Nodes[v.Index]
				out.Changes = append(out.Changes, StoryChange{File: n.File, From: n.Bad, To: v.Value})
			}
		}
		for _, marker := range markersOf(&r.Suspect) {
			if !slices.Contains(out.Held, marker) {
				out.Held = append(out.Held, marker)
			}
		}
	}
	return out
}

// fillMerged fills change with what a pull request brought to the branch.
func (e *Engine) fillMerged(_ context.Context, w *World, _ Step, form *v1alpha1.Rollback) error {
	s := &form.Status
	c := &v1alpha1.Change{Commit: w.Branch.HoldsTarget, Branch: s.Suspect.Branch, At: v1alpha1.NewTime(w.Now)}
	for i := range s.Suspect.Nodes {
		h, held := w.Branch.Held[int32(i)]
		if !held {
			continue
		}
		c.Hold, c.Policies = w.Branch.HoldsTarget, markersOf(s.Suspect)
		if c.Release != v1alpha1.ReleaseManual {
			c.Release = h.Release
		}
	}
	if pr := *s.PullRequest; pr.State != v1alpha1.PullRequestMerged && w.PullRequest != nil {
		pr = sightOf(&pr, w.PullRequest)
		s.PullRequest = &pr
	}
	s.Change, s.Waiting = c, nil
	return nil
}
