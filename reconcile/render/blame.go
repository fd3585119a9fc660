package render

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// mostCommits is how many commits are searched.
const mostCommits = 200

// Blame renders the commits between the good and the bad one:
//
//	the build fails      the first commit from which on it fails here too
//	an object fails      the commits at which it changed; one alone is to blame
//	no good one known    the commits at which the object changed since it was well, one of which alone is to blame; where
//	                     it never was, the newest one
func Blame(ctx context.Context, git Commits, src reconcile.Source, s *Search) (reconcile.Blamed, error) {
	commits, err := git.Between(ctx, src, s.Good, s.Bad, mostCommits)
	if err != nil {
		return reconcile.Blamed{}, err
	}
	if len(commits) == 0 {
		return reconcile.Blamed{Why: "what fails is the commit that was applied well before"}, nil
	}
	p := &past{git: git, src: src, search: s, known: map[string]rendered{}}
	var out reconcile.Blamed
	switch {
	case s.Object == nil:
		out, err = p.build(ctx, commits)
	case s.Good == "":
		out, err = p.newest(ctx, commits)
	default:
		out, err = p.changes(ctx, commits)
	}
	if err == nil && s.Files && out.Suspect != nil && out.Suspect.Parent != "" {
		err = p.files(ctx, &out)
	}
	return out, err
}

// build finds the first commit from which on the build fails.
func (p *past) build(ctx context.Context, commits []reconcile.PastCommit) (reconcile.Blamed, error) {
	good, err := p.at(ctx, p.search.Good)
	if err != nil {
		return reconcile.Blamed{}, err
	}
	if good.broken != "" {
		return reconcile.Blamed{Why: "what was applied well before cannot be built here: " + good.broken}, nil
	}
	var suspect *reconcile.PastCommit
	for i := range slices.Backward(commits) {
		r, err := p.at(ctx, commits[i].Commit)
		if err != nil {
			return reconcile.Blamed{}, err
		}
		if r.broken == "" {
			break
		}
		if r.ours {
			return reconcile.Blamed{Why: fmt.Sprintf("%.12s cannot be built here: %s", commits[i].Commit, r.broken)}, nil
		}
		suspect = &commits[i]
	}
	if suspect == nil {
		return reconcile.Blamed{Why: "it is built here without an error: what fails is not in its files alone"}, nil
	}
	return reconcile.Blamed{Suspect: suspect, ChangedBy: []reconcile.PastCommit{*suspect}}, nil
}

// changes finds the commits at which the object changed.
func (p *past) changes(ctx context.Context, commits []reconcile.PastCommit) (reconcile.Blamed, error) {
	before, err := p.at(ctx, p.search.Good)
	if err != nil {
		return reconcile.Blamed{}, err
	}
	var out reconcile.Blamed
	for i := range commits {
		now, err := p.at(ctx, commits[i].Commit)
		if err != nil {
			return reconcile.Blamed{}, err
		}
		if now.broken != "" || before.broken != "" {
			return reconcile.Blamed{Why: "a commit since the last good one cannot be built here: " +
				cmp.Or(now.broken, before.broken)}, nil
		}
		if now.says != before.says {
			out.ChangedBy = append(out.ChangedBy, commits[i])
		}
		before = now
	}
	return oneOf(out, p.search.Object, len(commits), before.says != ""), nil
}

// oneOf names the one commit that changed an object, or explains why none is named.
func oneOf(out reconcile.Blamed, object *v1alpha1.ObjectRef, of int, there bool) reconcile.Blamed {
	switch n := len(out.ChangedBy); {
	case n == 1 && there:
		out.Suspect = &out.ChangedBy[0]
	case n == 1:
		out.Why = fmt.Sprintf("%s is not among what is rendered any more", object)
	case n == 0:
		out.Why = fmt.Sprintf("%s says the same in all of the %d commits since the last good one", object, of)
	default:
		out.Why = fmt.Sprintf("%s changed in %d commits since the last good one, any of which may have done it", object, n)
	}
	return out
}

// newest finds the commits at which the object changed since it was last seen to be well; where it never was, the
// newest of them.
func (p *past) newest(ctx context.Context, commits []reconcile.PastCommit) (reconcile.Blamed, error) {
	now, err := p.at(ctx, commits[len(commits)-1].Commit)
	if err != nil {
		return reconcile.Blamed{}, err
	}
	if now.broken != "" || now.says == "" {
		return reconcile.Blamed{Why: cmp.Or(now.broken,
			fmt.Sprintf("%s is not among what is rendered", p.search.Object))}, nil
	}
	var out reconcile.Blamed
	for i := len(commits) - 1; i >= 0 && !commits[i].When.Before(p.search.After); i-- {
		before := rendered{}
		if commits[i].Parent != "" {
			if before, err = p.at(ctx, commits[i].Parent); err != nil {
				return reconcile.Blamed{}, err
			}
		}
		if before.broken != "" {
			return reconcile.Blamed{Why: fmt.Sprintf("%.12s cannot be built here: %s", commits[i].Parent, before.broken)}, nil
		}
		if before.says != now.says {
			out.ChangedBy = append(out.ChangedBy, commits[i])
		}
		if len(out.ChangedBy) > 0 && p.search.After.IsZero() {
			break
		}
		now = before
	}
	slices.Reverse(out.ChangedBy)
	switch n := len(out.ChangedBy); {
	case n == 1:
		out.Suspect = &out.ChangedBy[0]
	case n > 1:
		out.Why = fmt.Sprintf("%s changed in %d commits since it was last seen to be well, any of which may have done it",
			p.search.Object, n)
	case p.search.After.IsZero():
		out.Why = fmt.Sprintf("none of the last %d commits changed %s", len(commits), p.search.Object)
	default:
		out.Why = fmt.Sprintf("no commit changed %s since it was last seen to be well", p.search.Object)
	}
	return out, nil
}
