package trace

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/watcher/drift"
)

// maxContainers bounds the trails of one workload.
const maxContainers = 20

// Gather reads the facts of each container of a workload.
func (g *Gatherer) Gather(ctx context.Context, q Question) ([]Facts, error) {
	obj, err := g.workload(ctx, q.Namespace, q.Workload)
	if err != nil {
		return nil, err
	}
	images := imagesOf(obj)
	var chosen []drift.Image
	for _, c := range images {
		switch {
		case q.Container != "" && c.Container != q.Container:
		case q.Image != "" && !image.SameRepository(c.Image, q.Image):
		default:
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		var names []string
		for _, c := range images {
			names = append(names, c.Container+" ("+c.Image+")")
		}
		return nil, &Missing{q.Namespace, q.Workload, few(names, 5)}
	}
	s := &shared{g: g, q: q, obj: obj, now: g.Now()}
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	var all []Facts
	for _, c := range chosen[:min(len(chosen), maxContainers)] {
		f, err := s.facts(ctx, c)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// Missing is a workload that was asked for and does not exist, or a container or an image that it does not have.
type Missing struct {
	Namespace string
	Workload  v1alpha1.Workload
	// Has are the containers and images that the workload has; empty where it does not exist.
	Has string
}

func (e *Missing) Error() string {
	if e.Has != "" {
		return fmt.Sprintf("%s in %s has no such container or image: it has %s", e.Workload, e.Namespace, e.Has)
	}
	return fmt.Sprintf("no %s in namespace %s", e.Workload, e.Namespace)
}

// workload reads the object.
func (g *Gatherer) workload(ctx context.Context, ns string, w v1alpha1.Workload) (*unstructured.Unstructured, error) {
	obj := &unstructured.Unstructured{}
	obj.SetAPIVersion("apps/v1")
	if w.Kind == "CronJob" {
		obj.SetAPIVersion("batch/v1")
	}
	obj.SetKind(w.Kind)
	err := g.Client.Get(ctx, types.NamespacedName{Namespace: ns, Name: w.Name}, obj)
	if apierrors.IsNotFound(err) {
		return nil, &Missing{Namespace: ns, Workload: w}
	}
	if apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("you may not read %s in namespace %s: ask for get on %ss", w, ns, strings.ToLower(w.Kind))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s in %s: %w", w, ns, err)
	}
	return obj, nil
}

// read asks the API server for everything that does not depend on the container.
func (s *shared) read(ctx context.Context) error {
	s.with = s.sourceRef(ctx)
	outer := ctx
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		s.line, err = s.g.Flux.Line(ctx, s.q.Namespace, s.q.Workload, s.with)
		return err
	})
	group.Go(func() (err error) {
		s.state, err = s.g.Flux.Standing(ctx, s.q.Namespace, s.q.Workload)
		return err
	})
	group.Go(func() (err error) {
		s.pods, err = s.g.readPods(ctx, s.obj)
		return err
	})
	group.Go(func() (err error) {
		s.canary, err = CanaryOf(ctx, s.g.Client, s.obj)
		return err
	})
	group.Go(func() error { return s.readRollbacks(ctx) })
	if err := group.Wait(); err != nil {
		return err
	}
	s.applies = s.told(outer)
	return nil
}

// readRollbacks reads Backstop's records, which are of interest only: it need not be installed.
func (s *shared) readRollbacks(ctx context.Context) error {
	var list v1alpha1.RollbackList
	err := s.g.Client.List(ctx, &list, client.InNamespace(s.q.Namespace))
	switch {
	case err == nil:
		s.rollbacks = list.Items
	case apierrors.IsForbidden(err):
		s.noRollbacks = "you may not list Rollbacks in namespace " + s.q.Namespace
	}
	return ctx.Err()
}

// sourceRef is the GitRepository that a RollbackPolicy of the namespace names for the workload; nil where none does, or
// policies cannot be listed.
func (s *shared) sourceRef(ctx context.Context) *types.NamespacedName {
	var list v1alpha1.RollbackPolicyList
	if err := s.g.Client.List(ctx, &list, client.InNamespace(s.q.Namespace)); err != nil {
		return nil
	}
	subject := reconcile.Subject{Name: s.q.Workload.String(), Namespace: s.q.Namespace, Labels: s.obj.GetLabels()}
	return reconcile.Resolve(v1alpha1.TriggerImagePull, []reconcile.Subject{subject}, list.Items, "",
		reconcile.Ceiling{}).Source
}

// facts are those of one container.
func (s *shared) facts(ctx context.Context, c drift.Image) (Facts, error) {
	f := Facts{
		Program: s.g.Program, Now: s.now,
		Namespace: s.q.Namespace, Workload: s.q.Workload, Container: c.Container, Asked: s.q.Image,
		Chain: s.line.Chain, NotFlux: s.line.NotFlux, Unread: s.line.Unread, Live: s.live(c), Pods: s.pods.of(c.Container),
		Canary: s.canary, Rollbacks: s.rollbacks, RollbacksUnread: s.noRollbacks, Told: s.applies,
	}
	var err error
	if f.Git, err = s.git(ctx, c); err != nil {
		return f, err
	}
	f.Registry, err = s.registry(ctx, &f)
	return f, err
}

// live is the container as the workload has it.
func (s *shared) live(c drift.Image) Live {
	out := Live{Image: c.Image, LeftAlone: drift.LeftAlone(s.obj), State: s.state}
	for _, found := range drift.Suspects(s.q.Workload.Kind, s.obj, []drift.Image{c}) {
		out.Changed = &found
	}
	if n, ok, err := unstructured.NestedInt64(s.obj.Object, "spec", "replicas"); ok && err == nil {
		out.Replicas = new(int32(min(n, 1<<30)))
	}
	out.Suspended, _, _ = unstructured.NestedBool(s.obj.Object, "spec", "suspend")
	out.Refused, out.Late = hindrances(s.obj)
	return out
}

// hindrances are why a Deployment's rollout does not go on, in the words of its controller: the API server refuses its
// pods, or they have not got ready by its deadline.
func hindrances(obj *unstructured.Unstructured) (refused, late string) {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, item := range conditions {
		c, _ := item.(map[string]any)
		message, _ := c["message"].(string)
		switch {
		case c["type"] == string(appsv1.DeploymentReplicaFailure) && c["status"] == string(corev1.ConditionTrue):
			refused = cut(message)
		case c["type"] == string(appsv1.DeploymentProgressing) && c["reason"] == "ProgressDeadlineExceeded":
			late = cut(message)
		}
	}
	return refused, late
}

// candidates are images that the container may have had, which tell ambiguous files apart.
func (s *shared) candidates(c drift.Image) []string {
	out := []string{c.Image}
	if s.line.Origin != nil {
		for _, p := range s.line.Origin.Policies {
			for _, other := range []string{p.Latest, p.Previous} {
				if other != "" && image.SameRepository(other, c.Image) && !slices.Contains(out, other) {
					out = append(out, other)
				}
			}
		}
	}
	for i := range s.rollbacks {
		r := &s.rollbacks[i]
		for _, other := range []string{r.Spec.Subject.Name, targetOf(r)} {
			if other != "" && image.SameRepository(other, c.Image) && !slices.Contains(out, other) {
				out = append(out, other)
			}
		}
	}
	return out
}

func targetOf(r *v1alpha1.Rollback) string {
	if r.Status.Target == nil {
		return ""
	}
	return r.Status.Target.Image
}

// git reads what the branch says of a container.
func (s *shared) git(ctx context.Context, c drift.Image) (Git, error) {
	if s.line.Chain == nil {
		return Git{Unread: "the workload is not Flux's"}, nil
	}
	if s.line.Origin == nil {
		return Git{Unread: s.line.NoOrigin}, nil
	}
	o := s.line.Origin
	at := reconcile.Wanted{Root: o.Root, Namespace: s.q.Namespace, Workload: s.q.Workload,
		Containers: map[string][]string{c.Container: s.candidates(c)}}
	var out Git
	var err error
	if out.Tip, err = s.g.Git.Place(ctx, o.Source, at, c.Container); err != nil {
		return Git{Unread: err.Error()}, ctx.Err()
	}
	if at.Commit = s.line.Chain.Attempted; at.Commit != "" {
		if out.Applied, err = s.g.Git.Place(ctx, o.Source, at, c.Container); err != nil {
			out.Applied = gitrepo.Place{Why: err.Error()}
		}
	}
	if out.Tip.Image == "" {
		out.Unblamed = out.Tip.Why
		return out, ctx.Err()
	}
	return out, s.blame(ctx, &out, c)
}

// blame finds the commit of the tip's image, how far it got, and what came before.
func (s *shared) blame(ctx context.Context, out *Git, c drift.Image) error {
	o := s.line.Origin
	suspect, err := s.g.Git.Blame(ctx, o.Source, reconcile.Query{
		Image: out.Tip.Image, Namespace: s.q.Namespace, Workload: s.q.Workload, Container: c.Container, Root: o.Root,
		Others: o.Others, Policies: o.Policies,
	})
	if err != nil {
		out.Unblamed = err.Error()
		return ctx.Err()
	}
	out.Suspect = &suspect
	holds := func(tip string) bool {
		if tip == "" {
			return false
		}
		// A commit that nobody knows any more holds nothing.
		has, err := s.g.Git.Contains(ctx, o.Source, tip, suspect.Commit)
		return has && err == nil
	}
	out.Fetched, out.Attempted = holds(s.line.Chain.Source.Commit), holds(s.line.Chain.Attempted)
	if s.g.History > 0 {
		out.History, out.More, err = s.g.Git.ImageChanges(ctx, o.Source, nodesAt(&suspect, out.Tip), s.g.History)
		if err != nil {
			out.History, out.More = nil, true
		}
	}
	return ctx.Err()
}

// nodesAt is the suspect with every node that says the image, also those that its commit left as they were.
func nodesAt(s *v1alpha1.Suspect, p gitrepo.Place) v1alpha1.Suspect {
	out := *s
	out.Places = nil
	for _, n := range p.Nodes {
		out.Places = append(out.Places, v1alpha1.Place{
			File: n.File, Pointer: n.Pointer, Part: string(n.Part), Bad: n.Value, Marker: n.Policy,
		})
	}
	return out
}
