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
	// Tip of the branch; zero where there is no such branch.
	Tip plumbing.Hash
}

// Open opens a session, which the caller closes, and reads what the server's branches are.
func (r *Remote) Open(ctx context.Context) (*Offer, error) {
	s, err := r.upload(ctx)
	if err != nil {
		return nil, r.Failed(ctx, "fetch", err)
	}
	refs, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		err = r.Failed(ctx, "fetch", err)
		_ = s.Close()
		return nil, err
	}
	return &Offer{Session: s, Refs: refs, Tip: refs.References[r.Branch.String()]}, nil
}

// Ask opens a session and reads where the branch is, which has to be there.
func (r *Remote) Ask(ctx context.Context) (*Offer, error) {
	o, err := r.Open(ctx)
	if err != nil {
		return nil, err
	}
	if o.Tip.IsZero() {
		_ = o.Session.Close()
		return nil, reconcile.RefuseAs(reconcile.FaultNotFound, "%s has no branch %s", r.URL, r.Branch.Short())
	}
	return o, nil
}
