package doctor

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
)

// dependencies reads what the Kustomization and the HelmRelease wait for.
func (g *Gatherer) dependencies(ctx context.Context, w *Workload) error {
	k := w.Chain.Kustomization
	for _, d := range k.Spec.DependsOn {
		var on kustomizev1.Kustomization
		ref := v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: cmp.Or(d.Namespace, k.Namespace), Name: d.Name}
		dep, err := g.dependency(ctx, ref, &on, &on.Status.Conditions)
		if err != nil {
			return err
		}
		dep.Wait, _ = flux.HealthWait(&on)
		// Of its own source it has to apply the revert first; of another one it is ready as it is.
		if on.Spec.Suspend && flux.SourceOf(&on) == w.Chain.Source.Ref {
			dep.Suspended, dep.Why = true, "it is suspended"
		}
		w.DependsOn = append(w.DependsOn, dep)
	}
	if w.Chain.Release == nil {
		return nil
	}
	for _, d := range w.Chain.Release.Spec.DependsOn {
		var on helmv2.HelmRelease
		ref := v1alpha1.ObjectRef{Kind: "HelmRelease", Namespace: cmp.Or(d.Namespace, w.Chain.Release.Namespace),
			Name: d.Name}
		dep, err := g.dependency(ctx, ref, &on, &on.Status.Conditions)
		if err != nil {
			return err
		}
		w.DependsOn = append(w.DependsOn, dep)
	}
	return nil
}

// dependency reads one object that must be ready first.
func (g *Gatherer) dependency(ctx context.Context, ref v1alpha1.ObjectRef, on client.Object,
	conditions *[]metav1.Condition,
) (Dependency, error) {
	out := Dependency{Ref: ref}
	err := g.Client.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, on)
	switch {
	case apierrors.IsNotFound(err):
		out.Why = "it does not exist"
	case apierrors.IsForbidden(err):
		out.Unread = "you may not read it"
	case err != nil:
		return out, fmt.Errorf("read %s: %w", ref, err)
	default:
		_, out.Why, _ = flux.Not(*conditions)
	}
	return out, nil
}

// refused gives the words with which the Git server refused a push, to image automation or to Backstop. A push that
// went through since then undoes them.
func (g *Gatherer) refused(ctx context.Context, namespace string, w *Workload) string {
	var pushed time.Time
	note := func(t time.Time) {
		if t.After(pushed) {
			pushed = t
		}
	}
	for _, a := range w.Chain.Writers {
		if a.Elsewhere != "" {
			continue
		}
		if _, message, not := flux.Not(a.Object.Status.Conditions); not && declines(message) {
			return message
		}
		if t := a.Object.Status.LastPushTime; t != nil {
			note(t.Time)
		}
	}
	list := g.rollbacks(ctx, namespace)
	words, said := "", time.Time{}
	for i := range list.Items {
		s := &list.Items[i].Status
		if !concerns(s, w) {
			continue
		}
		if s.Change != nil {
			note(s.Change.At.Time)
		}
		switch {
		case s.Waiting != nil && protected(s.Waiting.Refused) && s.Waiting.Since.After(said):
			words, said = s.Waiting.Why, s.Waiting.Since.Time
		case s.Outcome != nil && s.Outcome.Result == v1alpha1.ResultFailed && protected(s.Outcome.Reason) &&
			s.Outcome.At.After(said):
			words, said = s.Outcome.Message, s.Outcome.At.Time
		}
	}
	if said.Before(pushed) {
		return ""
	}
	return words
}

// declines reports whether image automation, which has words alone, tells of a Git server that refuses a push to a
// branch, and not the login.
func declines(words string) bool {
	lower := strings.ToLower(words)
	return strings.Contains(lower, "protected") || strings.Contains(lower, "declined")
}

// protected reports whether a Git server refuses a push to a branch, and not the login.
func protected(kind string) bool {
	return kind == string(reconcile.FaultWantsPullRequest) || kind == string(reconcile.FaultWantsSignature) ||
		kind == string(reconcile.FaultDeclined)
}

// concerns reports whether a Rollback is about a workload.
func concerns(s *v1alpha1.RollbackStatus, w *Workload) bool {
	for _, f := range s.Failures {
		if f.Workload.Kind == w.Kind && f.Workload.Name == w.Name {
			return true
		}
	}
	return false
}
