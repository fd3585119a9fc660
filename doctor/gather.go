package doctor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// atOnce is how many workloads are looked at at the same time.
const atOnce = 8

// Gather reads the facts of a namespace.
func (g *Gatherer) Gather(ctx context.Context, namespace string) (Facts, error) {
	f := Facts{Now: g.Now(), Namespace: namespace, Sidecar: g.sidecar(ctx),
		Cancels: g.cancels(ctx, "kustomize-controller"), HelmCancels: g.cancels(ctx, "helm-controller")}
	g.Flux = g.Flux.Under(f.Sidecar.ceiling().NoCrossNamespaceRefs, f.Sidecar.platform())
	var ns corev1.Namespace
	err := g.Client.Get(ctx, types.NamespacedName{Name: namespace}, &ns)
	if apierrors.IsNotFound(err) {
		return f, fmt.Errorf("there is no namespace %s", namespace)
	}
	// Who may not read it sees no policy that selects by its labels.
	f.NamespaceLabels = ns.Labels
	for _, from := range slices.Compact([]string{namespace, g.Home}) {
		var list v1alpha1.RollbackPolicyList
		if err := g.Client.List(ctx, &list, client.InNamespace(from)); err != nil {
			f.PoliciesUnread = fmt.Sprintf("the RollbackPolicies of namespace %s cannot be listed: %s", from, plain(err))
			continue
		}
		f.Policies = append(f.Policies, list.Items...)
	}
	f.Unreadable = g.unreadable(ctx, namespace)
	if f.Fences, err = kube.ReadFences(ctx, g.Client); err != nil {
		return f, err
	}
	workloads, err := g.list(ctx, namespace)
	if err != nil {
		return f, err
	}
	if g.Only.Name != "" {
		workloads = slices.DeleteFunc(workloads, func(w listed) bool { return w.Workload.Workload != g.Only })
	}
	f.Workloads = make([]Workload, len(workloads))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, w := range workloads {
		group.Go(func() error {
			var err error
			f.Workloads[i], err = g.workload(gctx, &f, w)
			return err
		})
	}
	return f, group.Wait()
}

// sidecar finds Backstop's Deployment and what it is run with.
func (g *Gatherer) sidecar(ctx context.Context) Sidecar {
	out := Sidecar{Namespace: g.Home}
	var list appsv1.DeploymentList
	err := g.Client.List(ctx, &list, client.InNamespace(g.Home),
		client.MatchingLabels{"app.kubernetes.io/name": "backstop"})
	if err != nil {
		out.Unread = fmt.Sprintf("the Deployments of namespace %s cannot be listed: %s", g.Home, plain(err))
		return out
	}
	for i := range list.Items {
		d := &list.Items[i]
		out.Deployment, out.Available = d.Name, d.Status.AvailableReplicas
		for _, c := range d.Spec.Template.Spec.Containers {
			if c.Name == "backstop" {
				out.Args = c.Args
			}
		}
	}
	if out.Deployment == "" {
		out.Holder = g.holder(ctx)
	}
	return out
}

// holder is who holds Backstop's Lease right now; empty where nobody does, or nobody can tell.
func (g *Gatherer) holder(ctx context.Context) string {
	var l coordinationv1.Lease
	err := g.Client.Get(ctx, types.NamespacedName{Namespace: g.Home, Name: "backstop"}, &l)
	s := l.Spec
	if err != nil || s.HolderIdentity == nil || s.RenewTime == nil || s.LeaseDurationSeconds == nil ||
		g.Now().After(s.RenewTime.Add(time.Duration(*s.LeaseDurationSeconds)*time.Second)) {
		return ""
	}
	return *s.HolderIdentity
}

// list gives the workloads of a namespace.
func (g *Gatherer) list(ctx context.Context, ns string) ([]listed, error) {
	all, err := workload.ListOwn(ctx, g.Client, ns)
	if err != nil {
		if apierrors.IsForbidden(err) {
			return nil, fmt.Errorf("you may not list the workloads of namespace %s: ask for list on deployments, statefulsets, "+
				"daemonsets and cronjobs there", ns)
		}
		return nil, fmt.Errorf("list workloads in %s: %w", ns, err)
	}
	out := make([]listed, len(all))
	for i := range all {
		o := &all[i]
		out[i] = listed{template: o.Template.Spec, object: o.Object, Workload: Workload{
			Workload: v1alpha1.Workload{Kind: o.Kind.Kind, Name: o.Object.GetName()}, Labels: o.Object.GetLabels(),
			Ordered: o.Ordered(), OnDelete: o.ByHand(),
		}}
	}
	return out, nil
}

// workload reads the facts of one workload.
func (g *Gatherer) workload(ctx context.Context, f *Facts, from listed) (Workload, error) {
	w := from.Workload
	line, err := g.Flux.Line(ctx, f.Namespace, w.Workload, f.policyOf(&w, v1alpha1.TriggerImagePull).Source)
	w.Chain, w.NotFlux, w.Unread = line.Chain, line.NotFlux, line.Unread
	if err != nil || line.Chain == nil {
		return w, err
	}
	w.Refused = g.refused(ctx, f.Namespace, &w)
	w.Recovered = g.recovered(ctx, f.Namespace, &w)
	if err := g.sees(ctx, f.Namespace, &w, &from); err != nil {
		return w, err
	}
	if err := g.source(ctx, f, &w, &line); err != nil {
		return w, err
	}
	for _, c := range slices.Concat(from.template.InitContainers, from.template.Containers) {
		image, err := g.image(ctx, f.Namespace, &w, c.Image)
		if err != nil {
			return w, err
		}
		if !slices.ContainsFunc(w.Images, func(i Image) bool { return i.Image == c.Image }) {
			w.Images = append(w.Images, image)
		}
	}
	if w.Ordered || w.OnDelete {
		w.MayDelete = g.may(ctx, "delete", "pods", f.Namespace, "")
	}
	return w, g.dependencies(ctx, &w)
}
