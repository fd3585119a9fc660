package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/backstop-dev/backstop/reconcile"
)

// ErrLost means that somebody else pushed first.
var ErrLost = errors.New("the branch moved while the push was prepared")

// ErrUnsure means that the answer to a push did not arrive: it may have been accepted.
var ErrUnsure = errors.New("the server's answer did not arrive")

// optionRunes is what a push option is cut to.
const optionRunes = 1000

// packWindow is how many objects are tried as the base of another one's delta.
const packWindow = 10

// Update is a branch that goes from one commit to another, and the objects that the server lacks.
type Update struct {
	Old, New plumbing.Hash
	From     storer.EncodedObjectStorer
	Objects  []plumbing.Hash
	// Options go with the push, as NAME=VALUE.
	Options []string
}

// Push replaces the old commit by the new one on the branch, with a pack of just the new objects, or explains why not.
// It never forces: the server compares the old value itself.
func (r *Remote) Push(ctx context.Context, u Update) error {
	return r.pushing(ctx, func(ctx context.Context, s transport.ReceivePackSession, refs *packp.AdvRefs) error {
		if refs.References[r.Branch.String()] != u.Old {
			return ErrLost
		}
		// The server took its time to tell that.
		if err := reconcile.Permitted(ctx); err != nil {
			return fmt.Errorf("push %s of %s: %w", r.Branch.Short(), r.URL, err)
		}
		return r.send(ctx, s, refs, u)
	})
}

// send sends an update and reads the answer.
func (r *Remote) send(ctx context.Context, s transport.ReceivePackSession, refs *packp.AdvRefs, u Update) error {
	words := &capped{}
	req := packp.NewReferenceUpdateRequestFromCapabilities(refs.Capabilities)
	req.Commands = []*packp.Command{{Name: r.Branch, Old: u.Old, New: u.New}}
	req.Progress = words
	if refs.Capabilities.Supports(capability.Sideband64k) {
		_ = req.Capabilities.Set(capability.Sideband64k)
	}
	if len(u.Options) > 0 {
		if !refs.Capabilities.Supports(capability.PushOptions) {
			return reconcile.RefuseAs(reconcile.FaultNoProvider, "push %s of %s: the server takes no push options, which would "+
				"open a pull request", r.Branch.Short(), r.URL)
		}
		_ = req.Capabilities.Set(capability.PushOptions)
		for _, o := range u.Options {
			name, value, _ := strings.Cut(OneLine(o, optionRunes), "=")
			req.Options = append(req.Options, &packp.Option{Key: name, Value: value})
		}
	}
	var pack bytes.Buffer
	refDeltas := !refs.Capabilities.Supports(capability.OFSDelta)
	if _, err := packfile.NewEncoder(&pack, u.From, refDeltas).Encode(u.Objects, packWindow); err != nil {
		return fmt.Errorf("make a pack: %w", err)
	}
	req.Packfile = io.NopCloser(&pack)
	report, err := s.ReceivePack(ctx, req)
	return r.answer(ctx, report, err, words.String())
}

// answer judges what the server said to a push.
func (r *Remote) answer(ctx context.Context, report *packp.ReportStatus, err error, words string) error {
	if report == nil {
		if err == nil && r.fault() == nil {
			return ErrUnsure
		}
		if err == nil {
			err = ErrUnsure
		}
		said := r.Failed(ctx, "push", err)
		var status *statusError
		if _, refused := reconcile.AsRefusal(said); refused || errors.As(r.fault(), &status) && status.code < 500 {
			return said
		}
		return fmt.Errorf("%w: %w", said, ErrUnsure)
	}
	what := fmt.Sprintf("push %s of %s", r.Branch.Short(), r.URL)
	if report.UnpackStatus != "ok" {
		return fmt.Errorf("%s: the server could not unpack it: %s", what,
			r.Words.Clean(report.UnpackStatus+" "+words, wordsRunes))
	}
	for _, c := range report.CommandStatuses {
		if c.Status == "ok" {
			continue
		}
		kind := kindOfDecline(c.Status, words)
		if kind == reconcile.FaultLostRace {
			return ErrLost
		}
		said := r.Words.Clean(c.Status, wordsRunes)
		if w := r.Words.Clean(ServerLines(words), hookRunes); w != "" {
			said += " (it says: " + w + ")"
		}
		if kind != "" {
			return reconcile.RefuseAs(kind, "%s: the server refuses it: %s", what, said)
		}
		return fmt.Errorf("%s: the server did not take it: %s", what, said)
	}
	if len(report.CommandStatuses) == 0 {
		return ErrUnsure
	}
	return nil
}

// ServerLines is what a hook printed, line by line, without the lines that only count progress.
func ServerLines(words string) string {
	var out []string
	for line := range strings.FieldsFuncSeq(words, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "remote:"))
		progress := containsAny(line, "resolving deltas", "processing changes", "checking connectivity", "unpacking objects")
		if line == "" || progress {
			continue
		}
		out = append(out, line)
	}
	return strings.Join(out, " · ")
}

// pushing runs f in a session for a push, with what the server's branches are.
func (r *Remote) pushing(ctx context.Context,
	f func(ctx context.Context, s transport.ReceivePackSession, refs *packp.AdvRefs) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	defer r.Settle()
	s, err := r.receive(ctx)
	if err != nil {
		return r.Failed(ctx, "push", err)
	}
	defer func() { _ = s.Close() }()
	refs, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return r.Failed(ctx, "push", err)
	}
	return f(ctx, s, refs)
}

// TakesPushes begins a push and ends it before anything is sent.
func (r *Remote) TakesPushes(ctx context.Context) error {
	return r.pushing(ctx, func(_ context.Context, _ transport.ReceivePackSession, refs *packp.AdvRefs) error {
		if _, ok := refs.References[r.Branch.String()]; !ok {
			return reconcile.Refuse("%s has no branch %s", r.URL, r.Branch.Short())
		}
		return nil
	})
}
