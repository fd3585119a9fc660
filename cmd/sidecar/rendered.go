package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// renderings render what Flux would apply before and after a revert, and refuse one that would break it. No lock of the
// mirror is held meanwhile. What cannot be rendered as it is now says nothing of a revert: variables that come from the
// cluster stay open, since their values may be secret.
//
// One commit may break hundreds of images of one Kustomization, which would be rendered for each of them. So the
// reverts that come while one is rendered are rendered together, as they are pushed together; where Flux could not
// apply that, each is rendered by itself.
type renderings struct {
	mirrors *gitrepo.Mirrors
	live    client.Reader
	log     *slog.Logger

	mu sync.Mutex
	// running is held by who renders, and next are the reverts that wait for it, by what they are rendered as.
	running map[rendering]chan struct{}
	next    map[rendering]*together
	// users count those who wait or render.
	users map[rendering]int
	// plain says of a commit whether it is rendered whatever its images are called.
	plain map[now]bool
}

// rendering is a Kustomization and whose files it is made of.
type rendering struct {
	source, pushes types.NamespacedName
	branch         string
	by             v1alpha1.ObjectRef
}

// together are reverts that are rendered at once.
type together struct {
	reverts []reconcile.Revert
	done    chan struct{}
	// fine means that all of them leave what Flux can apply.
	fine bool
}

func newRenderings(mirrors *gitrepo.Mirrors, live client.Reader, log *slog.Logger) *renderings {
	return &renderings{mirrors: mirrors, live: live, log: log, running: map[rendering]chan struct{}{},
		next: map[rendering]*together{}, users: map[rendering]int{}, plain: map[now]bool{}}
}

// check renders a revert.
func (r *renderings) check(ctx context.Context, origin reconcile.Origin, revert reconcile.Revert) error {
	of := rendering{origin.Source.Name, origin.Source.Pushes(), origin.Source.Branch, origin.Root.By}
	all, running, first := r.join(of, revert)
	defer r.leave(of)
	if !first {
		select {
		case <-all.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if all.fine {
			return nil
		}
		return r.render(ctx, origin, []reconcile.Revert{revert})
	}
	defer close(all.done)
	select {
	case running <- struct{}{}:
	case <-ctx.Done():
		r.begin(of)
		return ctx.Err()
	}
	defer func() { <-running }()
	reverts := r.begin(of)
	err := r.render(ctx, origin, reverts)
	all.fine = err == nil
	if err != nil && len(reverts) > 1 && ctx.Err() == nil {
		return r.render(ctx, origin, []reconcile.Revert{revert})
	}
	return err
}

// join adds a revert to those that are rendered next, and reports whether it is the first of them, which renders.
func (r *renderings) join(of rendering, revert reconcile.Revert) (all *together, running chan struct{}, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running[of] == nil {
		r.running[of] = make(chan struct{}, 1)
	}
	r.users[of]++
	all = r.next[of]
	if first = all == nil; first {
		all = &together{done: make(chan struct{})}
		r.next[of] = all
	}
	all.reverts = append(all.reverts, revert)
	return all, r.running[of], first
}

// begin takes the reverts that are rendered next: who comes later waits for another turn.
func (r *renderings) begin(of rendering) []reconcile.Revert {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.next[of].reverts
	delete(r.next, of)
	return all
}

// leave forgets what nobody renders any more.
func (r *renderings) leave(of rendering) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users[of]--; r.users[of] == 0 {
		delete(r.users, of)
		delete(r.running, of)
	}
}

// render renders reverts at once, and refuses them where what they leave is not rendered.
func (r *renderings) render(ctx context.Context, origin reconcile.Origin, reverts []reconcile.Revert) error {
	k := &kustomizev1.Kustomization{}
	by := origin.Root.By
	err := r.live.Get(ctx, types.NamespacedName{Namespace: by.Namespace, Name: by.Name}, k)
	if err != nil {
		return fmt.Errorf("read %s: %w", by, err)
	}
	plan, err := r.mirrors.Preview(ctx, origin.Source, reverts)
	if _, refused := reconcile.AsRefusal(err); refused || err == nil && !slices.ContainsFunc(plan.Landings, planned) {
		// Whoever pushes it is told the same, on the tip of then.
		return nil //nolint:nilerr // what cannot be planned renders nothing
	}
	if err != nil {
		return fmt.Errorf("plan the revert: %w", err)
	}
	job := &render.Job{Spec: k.Spec, Open: k.Spec.PostBuild != nil && len(k.Spec.PostBuild.SubstituteFrom) > 0}
	after := plan.After()
	if alike(plan) && r.nowPlain(ctx, k, plan, job) {
		return nil
	}
	_, err = render.Objects(ctx, render.NewTree(render.Over(plan.Tree, after)), job)
	why, refused := reconcile.AsRefusal(err)
	if !refused {
		return err
	}
	if _, err := render.Objects(ctx, render.NewTree(plan.Tree), job); err != nil {
		r.log.Debug("what Git says now is not rendered", "by", by.String(), "why", err.Error())
		return ctx.Err()
	}
	return reconcile.Refuse("reverting %s in %v would keep Flux from applying %s: %s. Revert it by hand",
		reverts[0].Image, slices.Sorted(maps.Keys(after)), by, why)
}

// now is what is known of what Git says at one commit of a Kustomization.
type now struct {
	uid        types.UID
	generation int64
	tip        string
}

// nowPlain reports whether what Git says now is rendered, whatever its images are called. It is found out once for each
// commit.
func (r *renderings) nowPlain(ctx context.Context, k *kustomizev1.Kustomization, plan *gitrepo.Plan, job *render.Job,
) bool {
	of := now{k.UID, k.Generation, plan.Tip}
	r.mu.Lock()
	plain, known := r.plain[of]
	r.mu.Unlock()
	if known {
		return plain
	}
	plain = plainly(plan.Tree, manifest.Folder(job.Spec.Path))
	if plain {
		_, err := render.Objects(ctx, render.NewTree(plan.Tree), job)
		plain = err == nil
	}
	if ctx.Err() != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.plain) >= mostPlain {
		clear(r.plain)
	}
	r.plain[of] = plain
	return plain
}

// mostPlain bounds the commits of Kustomizations that are remembered.
const mostPlain = 256

// planned reports that a revert is part of a plan.
func planned(l reconcile.Landing) bool { return l.Err == nil }
