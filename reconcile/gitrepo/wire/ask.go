package wire

import (
	"context"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/backstop-dev/backstop/reconcile"
)

// Offer is an open session and what the server offered in it.
type Offer struct {
	Session transport.UploadPackSession
	Refs    *packp.AdvRefs
	Tip     plumbing.Hash
}

// Ask opens a session and reads where the branch is.
func (r *Remote) Ask(ctx context.Context) (*Offer, error) {
	s, err := r.Upload(ctx)
	if err != nil {
		return nil, r.Failed(ctx, "fetch", err)
	}
	refs, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		err = r.Failed(ctx, "fetch", err)
		_ = s.Close()
		return nil, err
	}
	tip, ok := refs.References[r.Branch.String()]
	if !ok {
		_ = s.Close()
		return nil, reconcile.RefuseAs(reconcile.FaultNotFound, "%s has no branch %s", r.URL, r.Branch.Short())
	}
	return &Offer{Session: s, Refs: refs, Tip: tip}, nil
}
