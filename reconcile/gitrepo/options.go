package gitrepo

import (
	"cmp"
	"log/slog"
	"time"

	fluxsign "github.com/fluxcd/pkg/git/signature"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
)

// writable refuses what cannot be pushed anyway, before anything is asked.
func writable(src reconcile.Source) (fluxsign.Signer, error) {
	if src.ReadOnly != "" {
		return nil, reconcile.RefuseAs(src.ReadOnlyKind, "%s", src.ReadOnly)
	}
	return signer(src)
}

// pushable refuses beside that what is not pushed to the deployed branch itself.
func pushable(src reconcile.Source) (fluxsign.Signer, error) {
	if src.ReadOnly == "" && src.Aside != "" {
		return nil, reconcile.RefuseAs(reconcile.FaultWantsPullRequest, "%s", src.Aside)
	}
	return writable(src)
}

// Options of Mirrors and Local. The zero value works.
type Options struct {
	// Now is the clock; time.Now when nil. It dates commits and holds.
	Now func() time.Time
	// Log hears of what heals itself: mirrors cloned afresh, races lost. Nothing is logged when nil.
	Log *slog.Logger
	// AuthorName and AuthorEmail are used where a source names no author.
	AuthorName, AuthorEmail string
	// MaxDisk is how many bytes all mirrors together may take; 1.5 GiB when zero.
	MaxDisk int64
	// Tenant names whose a namespace is, for the room that each has on the disk; nil has each be a tenant of its own.
	Tenant func(namespace string) string
}

func (o *Options) fill() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.AuthorName = cmp.Or(store.Ident(o.AuthorName), "backstop")
	o.AuthorEmail = cmp.Or(store.Ident(o.AuthorEmail), "backstop@localhost")
}

// draft is a commit in the source's author's name.
func (o *Options) draft(src reconcile.Source, message string, now time.Time, sign fluxsign.Signer) store.Draft {
	return store.Draft{
		Name: cmp.Or(store.Ident(src.AuthorName), o.AuthorName), Email: cmp.Or(store.Ident(src.AuthorEmail), o.AuthorEmail),
		When: now, Message: message, Signer: sign,
	}
}
