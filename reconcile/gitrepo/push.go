package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"

	"github.com/backstop-dev/backstop/reconcile"
)

// errLost says that somebody else pushed first.
var errLost = errors.New("the branch moved while the push was prepared")

// errUnsure says that the answer to a push did not arrive: it may have been accepted.
var errUnsure = errors.New("the server's answer did not arrive")

// packWindow is how many objects are tried as the base of another one's delta.
const packWindow = 10

// push replaces tip by head on the branch, with a pack of just the new objects, or says why not. It never forces: the
// server compares the old value itself.
func (m *mirror) push(ctx context.Context, b *builder, tip, head plumbing.Hash) error {
	ctx, cancel := context.WithTimeout(ctx, m.out.timeout)
	defer cancel()
	defer m.out.settle()
	s, err := m.out.receive(ctx)
	if err != nil {
		return m.out.failed(ctx, "push", err)
	}
	defer func() { _ = s.Close() }()
	refs, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return m.out.failed(ctx, "push", err)
	}
	if refs.References[m.out.branch.String()] != tip {
		return errLost
	}
	words := &capped{}
	req := packp.NewReferenceUpdateRequestFromCapabilities(refs.Capabilities)
	req.Commands = []*packp.Command{{Name: m.out.branch, Old: tip, New: head}}
	req.Progress = words
	if refs.Capabilities.Supports(capability.Sideband64k) {
		_ = req.Capabilities.Set(capability.Sideband64k)
	}
	var pack bytes.Buffer
	refDeltas := !refs.Capabilities.Supports(capability.OFSDelta)
	if _, err := packfile.NewEncoder(&pack, b.new, refDeltas).Encode(b.order, packWindow); err != nil {
		return fmt.Errorf("make a pack: %w", err)
	}
	req.Packfile = io.NopCloser(&pack)
	report, err := s.ReceivePack(ctx, req)
	return m.answer(ctx, report, err, words.String())
}

// answer judges what the server said to a push.
func (m *mirror) answer(ctx context.Context, report *packp.ReportStatus, err error, words string) error {
	if report == nil {
		if err == nil && m.out.fault() == nil {
			return errUnsure
		}
		if err == nil {
			err = errUnsure
		}
		said := m.out.failed(ctx, "push", err)
		var status *statusError
		if _, refused := reconcile.AsRefusal(said); refused || errors.As(m.out.fault(), &status) && status.code < 500 {
			return said
		}
		return fmt.Errorf("%w: %w", said, errUnsure)
	}
	what := fmt.Sprintf("push %s of %s", m.out.branch.Short(), m.out.url)
	if report.UnpackStatus != "ok" {
		return fmt.Errorf("%s: the server could not unpack it: %s", what,
			m.out.words.clean(report.UnpackStatus+" "+words, 300))
	}
	for _, c := range report.CommandStatuses {
		if c.Status == "ok" {
			continue
		}
		kind := kindOfDecline(c.Status, words)
		if kind == reconcile.FaultLostRace {
			return errLost
		}
		said := m.out.words.clean(c.Status, 200)
		if w := m.out.words.clean(serverLines(words), 400); w != "" {
			said += " (it says: " + w + ")"
		}
		if kind != "" {
			return reconcile.RefuseAs(kind, "%s: the server refuses it: %s", what, said)
		}
		return fmt.Errorf("%s: the server did not take it: %s", what, said)
	}
	if len(report.CommandStatuses) == 0 {
		return errUnsure
	}
	return nil
}

func containsAny(s string, any ...string) bool {
	s = strings.ToLower(s)
	return slices.ContainsFunc(any, func(a string) bool { return strings.Contains(s, a) })
}

// serverLines is what a hook printed, line by line, without the lines that only count progress.
func serverLines(words string) string {
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
