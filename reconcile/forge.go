package reconcile

import (
	"context"
	"fmt"
	"time"
)

// forge is the way to the pull request of a Rollback.
func (e *Engine) forge(ctx context.Context, w *World) (Forge, error) {
	s := &w.Rollback.Status
	origin, err := e.Flux.Reopen(ctx, w.Rollback.Namespace, *s.Suspect, w.Policy.Source, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.Suspect.Source, err)
	}
	return e.provider(ctx, w, origin.Source)
}

// provider is the way to the pull requests of a source, with the login that the Rollback's policies name, or the
// source's.
func (e *Engine) provider(ctx context.Context, w *World, src Source) (Forge, error) {
	if secrets := w.Policy.PullRequest.Secrets; len(secrets) > 0 && e.Login != nil {
		var err error
		if src, err = e.Login(ctx, secrets, src); err != nil {
			return nil, fmt.Errorf("log in to the provider: %w", err)
		}
	}
	return e.Forges.Forge(ctx, src, w.Policy.PullRequest.Provider)
}

// signedBy reports whether a provider signs what is pushed to a branch of Backstop's, where image automation has no
// key: then it is pushed without a signature.
func signedBy(ctx context.Context, forge Forge, src Source) (Source, bool) {
	signs := src.Signing == nil && src.NoKey == "" && forge.Verifies(ctx)
	src.Verified = src.Verified && !signs
	return src, signs
}

// proposal is all that it takes to open the pull request of a Rollback.
type proposal struct {
	source  Source
	forge   Forge
	reverts []Revert
	// signs means that the provider signs what is pushed, must that Flux takes nothing else.
	signs, must bool
}

// verified has the provider sign what was put on the branch. Where Flux asks for no signature, a provider that refuses
// to sign is no reason to wait.
func (e *Engine) verified(ctx context.Context, p proposal, branch string, put Proposed) (Proposed, error) {
	if !p.signs || !put.Own || put.Head == "" {
		return put, nil
	}
	head, err := p.forge.Verify(ctx, branch, put.Head)
	switch {
	case err != nil && (p.must || KindOf(err) == ""):
		return put, fmt.Errorf("have the provider sign it: %w", err)
	case err != nil:
		e.Log.Warn("have the provider sign a branch", "branch", branch, "error", err)
		return put, nil
	}
	put.Head = head
	return put, nil
}
