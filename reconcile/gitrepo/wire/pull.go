package wire

import (
	"context"

	"github.com/go-git/go-git/v5/plumbing"
)

// A server keeps a reference for the newest commit of each pull request, which Git alone shows: GitLab
// refs/merge-requests/7/head, Gitea refs/pull/7/head. It stays when the pull request is closed.

// Pull gives the number of the newest pull request that a server has of a commit; zero for none.
func (r *Remote) Pull(ctx context.Context, commit plumbing.Hash) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	defer r.Settle()
	r.of = commit.String()
	defer func() { r.of = "" }()
	o, err := r.Open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = o.Session.Close() }()
	newest := int64(0)
	for name, hash := range o.Refs.References {
		if hash == commit {
			newest = max(newest, pullOf(name))
		}
	}
	return newest, nil
}

// Tip gives the newest commit of the branch; the zero hash where there is no such branch.
func (r *Remote) Tip(ctx context.Context) (plumbing.Hash, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	defer r.Settle()
	o, err := r.Open(ctx)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	_ = o.Session.Close()
	return o.Tip, nil
}
