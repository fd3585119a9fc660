package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// gatherProposed reads what there is to know of a pull request, its provider's word and other records'.
func (e *Engine) gatherProposed(ctx context.Context, w *World, src Source) error {
	s := &w.Rollback.Status
	if e.Forges == nil || s.PullRequest == nil && w.Policy.Delivery != v1alpha1.DeliveryPullRequest {
		return nil
	}
	if s.PullRequest.IsOpen() && (s.Change == nil || s.Ended()) || w.awaits() || mayReopen(s, w.Now) {
		e.readPullRequest(ctx, w, src)
	}
	if s.Change != nil {
		return nil
	}
	now := w.PullRequest
	merges := now != nil && (now.Merge == MergeClean || w.Policy.PullRequest.AutoMerge)
	if !s.Ended() && (s.PullRequest == nil || s.PullRequest.Number == 0 || merges) {
		all, err := e.Records.All(ctx)
		if err != nil {
			return fmt.Errorf("list Rollbacks: %w", err)
		}
		w.Elsewhere = e.elsewhere(w, all)
	}
	if !s.PullRequest.IsOpen() {
		return nil
	}
	return e.gatherSharers(ctx, w)
}

// awaits reports whether a pull request that was merged is not on the branch yet.
func (w *World) awaits() bool {
	s := &w.Rollback.Status
	return s.PullRequest != nil && s.PullRequest.Number > 0 && s.Change == nil && !s.Ended()
}

// readPullRequest reads a pull request. What cannot be read now is said, and the branch goes on telling.
func (e *Engine) readPullRequest(ctx context.Context, w *World, src Source) {
	pr := w.Rollback.Status.PullRequest
	within, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	forge, err := e.provider(within, w, src)
	if err == nil {
		if w.Rollback.Status.Target != nil && merged(w) {
			forge.Forget(pr.Number)
		}
		w.PullRequest, err = forge.Read(within, pr.Number)
	}
	if err != nil {
		w.PullRequest, w.NoPullRequest, w.NoPullRequestKind = nil, brief(err.Error()), KindOf(err)
	}
}

// elsewhere are the reverts that policies brought by pull request, or are about to: what a squash leaves on the branch
// does not say so.
func (e *Engine) elsewhere(w *World, all []v1alpha1.Rollback) []TrailerCommit {
	var out []TrailerCommit
	for i := range all {
		o := &all[i]
		s := &o.Status
		if s.PullRequest == nil || s.PullRequest.Number == 0 || s.Verdict == nil ||
			s.Suspect.Source != w.Rollback.Status.Suspect.Source || s.Suspect.Branch != w.Rollback.Status.Suspect.Branch {
			continue
		}
		when := s.PullRequest.At.Time
		switch {
		case s.Change != nil:
			when = s.Change.At.Time
		case s.PullRequest.State != v1alpha1.PullRequestOpen, s.Verdict.Source != v1alpha1.VerdictByPolicy:
			continue
		}
		t := TrailerCommit{Kind: TrailerRevert, When: when, Cluster: e.ClusterUID, Images: []string{o.Spec.Subject.Name},
			Rollbacks: []string{e.Cluster + "/" + o.Namespace + "/" + o.Name}, Reverts: []string{s.Suspect.Commit}}
		if s.Change != nil {
			t.Commit = s.Change.Commit
		}
		for _, wl := range s.Workloads() {
			t.Workloads = append(t.Workloads, e.Cluster+"/"+o.Namespace+"/"+wl.String())
		}
		out = append(out, t)
	}
	return out
}

// gatherSharers reads what other open Rollbacks say of the same pull request.
func (e *Engine) gatherSharers(ctx context.Context, w *World) error {
	all, err := e.sharers(ctx, w)
	if err != nil {
		return err
	}
	w.Shared = len(all) > 0
	for i := range all {
		o := &all[i]
		what := fmt.Sprintf("it reverts %s too, ", o.Spec.Subject.Name)
		if v := o.Status.Verdict; v == nil || v.Answer != v1alpha1.Approve {
			w.Others = what + "which nobody has allowed yet"
			continue
		}
		p, err := e.PolicyOf(ctx, o)
		if err != nil {
			return err
		}
		if no := mayWrite(p, &o.Status, w.Now); no != nil {
			w.Others = what + "and " + no.Error()
		}
	}
	return nil
}

// sharers are the other open Rollbacks whose reverts the Rollback's pull request brings.
func (e *Engine) sharers(ctx context.Context, w *World) ([]v1alpha1.Rollback, error) {
	open, err := e.Records.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("list open Rollbacks: %w", err)
	}
	s := &w.Rollback.Status
	return slices.DeleteFunc(slices.Clone(open), func(o v1alpha1.Rollback) bool {
		pr := o.Status.PullRequest
		same := o.Namespace == w.Rollback.Namespace && o.Spec.Subject.Name == w.Rollback.Spec.Subject.Name
		return same || pr == nil || s.PullRequest == nil || pr.Number != s.PullRequest.Number || o.Status.Change != nil ||
			o.Status.Ended() || o.Status.Target == nil || o.Status.Suspect.Source != s.Suspect.Source
	}), nil
}

// becausePolicy is why there is a pull request where no server wanted one.
const becausePolicy = "the policy's delivery is PullRequest"

// fillPullRequest opens the pull request of the Rollback's suspect, or takes over the one that is open; once it is
// there, it writes down what is seen of it, and looks at what it brings.
func (e *Engine) fillPullRequest(ctx context.Context, w *World, _ Step, rb *v1alpha1.Rollback) error {
	s := &rb.Status
	if w.PullRequest != nil {
		seen := sightOf(s.PullRequest, w.PullRequest, w.Now)
		s.PullRequest, s.Waiting = &seen, nil
		if !bringsOther(w) {
			return nil
		}
		return e.inspect(ctx, w, rb)
	}
	if s.Verdict != nil {
		if err := e.stillProved(ctx, w); err != nil {
			return err
		}
	}
	if s.PullRequest == nil {
		s.PullRequest = &v1alpha1.PullRequest{Because: becausePolicy, At: v1alpha1.NewTime(e.Now())}
	}
	p, err := e.proposing(ctx, w)
	if err != nil {
		return noPullRequest(s, err)
	}
	ctx = e.asking(ctx, false, &w.Rollback)
	branch, err := proposedTo(ctx, p.forge, s.Suspect)
	if err != nil {
		return noPullRequest(s, err)
	}
	src := askedBy(p.source, p.forge, Proposal{Branch: branch, Base: s.Suspect.Branch,
		Story: Story{Commit: s.Suspect.Commit, Message: "Revert " + p.reverts[0].Image}})
	put, err := e.Git.Propose(ctx, src, Onto{Branch: branch}, p.reverts)
	if err != nil {
		return noPullRequest(s, err)
	}
	if err := e.unlanded(put.Landings[0].Err, s.Suspect.Commit); err != nil {
		return err
	}
	if put, err = e.verified(ctx, p, branch, put); err != nil {
		return noPullRequest(s, err)
	}
	tells := Proposal{Branch: branch, Base: s.Suspect.Branch, Story: storyOf(p.reverts, put), Before: put.Before}
	pr, err := e.openPullRequest(ctx, p.forge, tells)
	if err != nil {
		return noPullRequest(s, err)
	}
	e.tellMore(ctx, w, p.forge, pr, tells)
	next := sightOf(s.PullRequest, pr, e.Now())
	next.Number, next.URL, next.Branch, next.At = pr.Number, brief(pr.URL), branch, v1alpha1.NewTime(e.Now())
	next.Head, next.Base, next.Own = pr.Head, put.Base, put.Own && put.Head == pr.Head
	s.PullRequest, s.Waiting = &next, nil
	return nil
}

// proposedTo is the branch of a suspect's pull request. A commit may be deployed from two branches of a repository:
// each has a pull request of its own, and the second one another name, since its commits stand on another base.
func proposedTo(ctx context.Context, forge Forge, s *v1alpha1.Suspect) (string, error) {
	branch := ProposedBranch(s.Commit)
	pr, err := forge.Find(ctx, branch, "")
	switch {
	case err != nil:
		return "", fmt.Errorf("find the pull request: %w", err)
	case pr != nil && pr.State == v1alpha1.PullRequestOpen && pr.Base != "" && pr.Base != s.Branch:
		return ProposedBranchTo(s.Commit, s.Branch), nil
	}
	return branch, nil
}

// inspect looks at what an open pull request brings: what is missing is added, what does not merge is built again, and
// what is somebody else's is left to people.
func (e *Engine) inspect(ctx context.Context, w *World, rb *v1alpha1.Rollback) error {
	p, err := e.proposing(ctx, w)
	if err != nil {
		return err
	}
	ctx = e.asking(ctx, false, &w.Rollback)
	pr := rb.Status.PullRequest
	put, err := e.Git.Propose(ctx, p.source, Onto{Branch: pr.Branch, Rebuild: stale(w)}, p.reverts)
	p.forge.Forget(pr.Number)
	pr.Head, pr.Own, pr.Tried, pr.NotMerged = w.PullRequest.Head, false, nil, ""
	if why, refused := AsRefusal(err); refused && !KindOf(err).Heals() {
		pr.Foreign, pr.Base = brief(why), w.Branch.Tip
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the pull request: %w", err)
	}
	if err := e.unlanded(put.Landings[0].Err, rb.Status.Suspect.Commit); err != nil {
		return err
	}
	if put, err = e.verified(ctx, p, pr.Branch, put); err != nil {
		return fmt.Errorf("look at the pull request: %w", err)
	}
	e.tellMore(ctx, w, p.forge, w.PullRequest, Proposal{Branch: pr.Branch, Base: rb.Status.Suspect.Branch,
		Story: storyOf(p.reverts, put), Before: put.Before})
	pr.Foreign, pr.Base, pr.Own = "", put.Base, put.Own && put.Head == pr.Head
	return nil
}

// tellMore has a pull request tell of what joined it. What cannot be written there is no reason to wait.
func (e *Engine) tellMore(ctx context.Context, w *World, forge Forge, pr *PullRequest, tells Proposal) {
	if pr.State != v1alpha1.PullRequestOpen {
		return
	}
	if err := forge.Update(ctx, pr, tells); err != nil {
		e.Log.Warn("tell more in the pull request", "rollback", w.Self, "error", err)
	}
}

func (e *Engine) proposing(ctx context.Context, w *World) (proposal, error) {
	s := &w.Rollback.Status
	if e.Forges == nil {
		return proposal{}, RefuseAs(FaultNoProvider, "no pull requests are opened here: set the policy's delivery to Push")
	}
	origin, err := e.Flux.Reopen(ctx, w.Rollback.Namespace, *s.Suspect, w.Policy.Source, time.Time{})
	if err != nil {
		return proposal{}, fmt.Errorf("read %s: %w", s.Suspect.Source, err)
	}
	forge, err := e.provider(ctx, w, origin.Source)
	if err != nil {
		return proposal{}, err
	}
	reverts, err := e.together(ctx, w, origin.Source)
	src, signs := signedBy(ctx, forge, origin.Source)
	return proposal{source: src, forge: forge, reverts: reverts, signs: signs, must: origin.Source.Verified}, err
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

// together are the Rollback's revert and those of the suspect's other images that are allowed or in it already: they
// share one pull request.
func (e *Engine) together(ctx context.Context, w *World, src Source) ([]Revert, error) {
	shared := &batch{elsewhere: w.Elsewhere}
	out := []Revert{e.revert(ctx, w.Rollback, shared)}
	sharers, err := e.sharers(ctx, w)
	if err != nil {
		return nil, err
	}
	for i := range sharers {
		if e.pushedWith(ctx, w, &sharers[i], src) {
			out = append(out, e.revert(ctx, sharers[i], shared))
		}
	}
	more, err := e.siblings(ctx, w, src, shared, v1alpha1.DeliveryPush)
	if err != nil {
		return nil, err
	}
	for _, r := range more {
		there := slices.ContainsFunc(out, func(o Revert) bool { return o.Rollback == r.Rollback })
		if !there && r.Suspect.Commit == w.Rollback.Status.Suspect.Commit {
			out = append(out, r)
		}
	}
	return out, nil
}

// noPullRequest explains why no pull request is open, after the server's words that made one necessary.
func noPullRequest(s *v1alpha1.RollbackStatus, err error) error {
	if KindOf(err) == "" || s.PullRequest.Because == becausePolicy {
		return fmt.Errorf("open a pull request: %w", err)
	}
	return RefuseAs(KindOf(err), "%s; no pull request instead: %w", s.PullRequest.Because, err)
}

// fillMerged fills change with what a pull request brought to the branch.
func (e *Engine) fillMerged(_ context.Context, w *World, _ Step, rb *v1alpha1.Rollback) error {
	s := &rb.Status
	c := &v1alpha1.Change{Commit: w.Branch.HoldsTarget, Branch: s.Suspect.Branch, At: v1alpha1.NewTime(w.Now)}
	for i := range s.Suspect.Places {
		h, held := w.Branch.Held[int32(i)]
		if !held {
			continue
		}
		c.Hold, c.Policies = w.Branch.HoldsTarget, markersOf(s.Suspect)
		if c.Lift != v1alpha1.LiftManual {
			c.Lift = h.Lift
		}
	}
	if pr := *s.PullRequest; w.PullRequest != nil {
		pr = sightOf(&pr, w.PullRequest, w.Now)
		s.PullRequest = &pr
	}
	s.Change, s.Waiting = c, nil
	return nil
}
