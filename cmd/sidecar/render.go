package main

import (
	"context"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// renderer renders commits of the mirrors. Variables that come from the cluster stay open: their values may be secret.
func renderer(mirrors *gitrepo.Mirrors) flux.Render {
	return func(ctx context.Context, src reconcile.Source, commit string, spec kustomizev1.KustomizationSpec,
	) ([]*unstructured.Unstructured, error) {
		tree, err := mirrors.Snapshot(ctx, src, commit)
		if err != nil {
			return nil, fmt.Errorf("read %s at %.12s: %w", src.Name, commit, err)
		}
		open := spec.PostBuild != nil && len(spec.PostBuild.SubstituteFrom) > 0
		return render.Objects(ctx, render.NewTree(tree), &render.Job{Spec: spec, Open: open})
	}
}

// blamer renders commits of the mirrors to find the one that broke something.
func blamer(mirrors *gitrepo.Mirrors) flux.Blame {
	return func(ctx context.Context, src reconcile.Source, s *flux.Suspicion) (reconcile.Blamed, error) {
		open := s.Spec.PostBuild != nil && len(s.Spec.PostBuild.SubstituteFrom) > 0
		return render.Blame(ctx, mirrors, src, &render.Search{
			Job: render.Job{Spec: s.Spec, Open: open}, Good: s.Good, Bad: s.Bad, Object: s.Object, Also: s.Also, After: s.After,
			Pods: s.Pods, Files: s.Files, Others: s.Others,
		})
	}
}

// undoer proves what taking the files of a commit back leaves.
func undoer(mirrors *gitrepo.Mirrors) flux.Undo {
	return func(ctx context.Context, src reconcile.Source, u *flux.Undoing) (reconcile.UndoProof, error) {
		open := u.Spec.PostBuild != nil && len(u.Spec.PostBuild.SubstituteFrom) > 0
		of := &render.Undo{Job: render.Job{Spec: u.Spec, Open: open}, Digests: u.Digests, Object: u.Object, Pods: u.Pods,
			Applied: u.Applied, Release: u.Release}
		for _, n := range u.Files {
			of.Files = append(of.Files, n.File)
		}
		var err error
		if of.Good, err = mirrors.Snapshot(ctx, src, u.Good); err != nil {
			return nil, fmt.Errorf("read what was applied well: %w", err)
		}
		if of.Bad, err = mirrors.Snapshot(ctx, src, u.Bad); err != nil {
			return nil, fmt.Errorf("read what fails: %w", err)
		}
		return of.Prove(ctx)
	}
}

// tryer plans a revert on the tip, and pushes nothing.
func tryer(mirrors *gitrepo.Mirrors) func(ctx context.Context, src reconcile.Source, r reconcile.Revert) error {
	return func(ctx context.Context, src reconcile.Source, r reconcile.Revert) error {
		plan, err := mirrors.Preview(ctx, src, []reconcile.Revert{r})
		if err != nil {
			return err
		}
		return plan.Landings[0].Err
	}
}
