package flux

import (
	"cmp"
	"context"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// source makes the Source of a branch: it is read as Flux reads what is deployed, and pushed with what may push there.
// Author and key are those of the automation that pushes with it too; where none does, Backstop's own.
func (f *Flux) source(ctx context.Context, writers []automation, c choice) (reconcile.Source, error) {
	p := f.pusher(writers, c)
	out := reconcile.Source{
		Name: types.NamespacedName{Namespace: c.repo.Namespace, Name: c.repo.Name}, URL: c.repo.Spec.URL, Branch: c.branch,
		Timeout: timeoutOf(c.repo), AuthorName: f.options.AuthorName, AuthorEmail: f.options.AuthorEmail,
		Verified: verified(c.repo) || verified(p.repo), ReadOnly: p.readOnly, Lend: p.lend, Aside: p.aside,
	}
	var err error
	if out.Auth, err = f.auth(ctx, c.repo); err != nil {
		return out, err
	}
	out.Push, err = f.push(ctx, p, c.repo)
	if why, refused := reconcile.AsRefusal(err); refused {
		out.Push, out.ReadOnly, out.ReadOnlyKind, err = nil, why, reconcile.KindOf(err), nil
	}
	if err != nil || p.by == nil || p.by.obj.Spec.GitSpec == nil {
		return out, err
	}
	commit := p.by.obj.Spec.GitSpec.Commit
	out.AuthorName = cmp.Or(commit.Author.Name, out.AuthorName)
	out.AuthorEmail = cmp.Or(commit.Author.Email, out.AuthorEmail)
	if commit.SigningKey != nil {
		out.Signing, err = f.signingKey(ctx, p.by.ref, commit.SigningKey)
		if why, refused := reconcile.AsRefusal(err); refused {
			// What came from where can still be told; only pushing needs the key.
			out.NoKeyUnread = f.options.Person && reconcile.KindOf(err) == reconcile.FaultNoRights
			if out.NoKey = why; out.ReadOnly == "" {
				out.ReadOnly, out.ReadOnlyKind = why, reconcile.KindOf(err)
			}
			err = nil
		}
	}
	return out, err
}

// verified reports whether source-controller only takes signed commits.
func verified(repo *sourcev1.GitRepository) bool {
	v := repo.Spec.Verification
	return v != nil && v.GetMode() != sourcev1.ModeGitTag
}

// repository reads a GitRepository and the branch that it follows.
func (f *Flux) repository(ctx context.Context, ref v1alpha1.ObjectRef) (*sourcev1.GitRepository, string, error) {
	repo := &sourcev1.GitRepository{}
	if err := f.get(ctx, ref, repo); err != nil {
		return nil, "", err
	}
	branch, err := branchOf(repo.Spec.Reference, ref.String())
	return repo, branch, err
}
