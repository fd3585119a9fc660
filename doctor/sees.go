package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/trigger"
	"github.com/backstop-dev/backstop/trace"
)

// sees reads what the triggers go by.
func (g *Gatherer) sees(ctx context.Context, namespace string, w *Workload, from *listed) error {
	var err error
	if w.Judge, err = trace.CanaryOf(ctx, g.Client, from.object); err != nil {
		return err
	}
	w.Analysed = w.Kind == workload.Rollout && trigger.Analyses(from.object)
	if w.Judge != nil {
		gvk := trigger.CanaryKind(w.Judge.By.Kind)
		w.MayJudge = g.allowed(ctx, authv1.ResourceAttributes{
			Namespace: namespace, Verb: "list", Group: gvk.Group, Resource: trigger.CanaryResources[gvk],
		})
	}
	for i := range from.template.Containers {
		if c := &from.template.Containers[i]; c.ReadinessProbe == nil {
			w.Unprobed = append(w.Unprobed, c.Name)
		}
	}
	for i := range from.template.InitContainers {
		c := &from.template.InitContainers[i]
		sidecar := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		if sidecar && c.ReadinessProbe == nil {
			w.Unprobed = append(w.Unprobed, c.Name)
		}
	}
	w.Sight.rolls(from.object)
	for _, needs := range needed(w.Kind) {
		needs.Namespace = namespace
		if may := g.allowed(ctx, needs); may != nil && !*may {
			w.MayNot = append(w.MayNot, needs.Verb+" "+needs.Resource)
		}
	}
	return nil
}

// blinders are what keeps a trigger from seeing a workload fail, or Backstop from asking about it.
var blinders = []struct {
	why, fix string
	is       func(*Workload) bool
}{
	{"it is paused (spec.paused): no new revision begins, and none is seen to fail",
		"take spec.paused out of Git, or: kubectl -n NAMESPACE rollout resume KIND/NAME",
		func(w *Workload) bool { return w.Paused }},
	{"it keeps no former revision (spec.revisionHistoryLimit: 0): nothing tells what changed, and a crash is only told",
		"set spec.revisionHistoryLimit to 2 or more",
		func(w *Workload) bool { return w.Forgets }},
	{"Backstop may not MAYNOT, and so does not see that a new revision fails, or late",
		"kubectl apply -k deploy/kustomize/rbac",
		func(w *Workload) bool { return len(w.MayNot) > 0 }},
}

// sees reports which triggers can see the workload fail, and what would blind them.
func (f *Facts) sees(w *Workload) Check {
	triggers := []string{string(v1alpha1.TriggerImagePull)}
	if rolls[w.Kind] || w.Kind == workload.Rollout && !w.Analysed {
		triggers = append(triggers, string(v1alpha1.TriggerRollout))
	}
	at := ""
	if j := w.Judge; j != nil {
		at = j.By.String()
		triggers = append(triggers, string(v1alpha1.TriggerCanary))
		if c := w.judgeBlind(f.Sidecar.Namespace); c != nil {
			return *c
		}
	}
	for _, b := range blinders {
		if b.is(w) {
			fill := strings.NewReplacer("NAMESPACE", f.Namespace, "KIND", strings.ToLower(w.Kind), "NAME", w.Name,
				"MAYNOT", strings.Join(w.MayNot, ", "))
			return bad(CheckSees, at, fill.Replace(b.why), fill.Replace(b.fix))
		}
	}
	if w.Chain != nil {
		triggers = append(triggers, string(v1alpha1.TriggerApply))
	}
	if rolls[w.Kind] || w.Kind == workload.CronJob {
		triggers = append(triggers, string(v1alpha1.TriggerDrift))
	}
	says := strings.Join(triggers, ", ")
	if rolls[w.Kind] {
		says = strings.Join(append([]string{says}, f.dim(w)...), "; ")
	}
	return fine(CheckSees, at, "%s", says)
}

// judgeBlind is what keeps the trigger Canary from seeing a workload's updates refused; nil where nothing does.
func (w *Workload) judgeBlind(home string) *Check {
	j, at := w.Judge, w.Judge.By.String()
	var c Check
	switch {
	case w.MayJudge != nil && !*w.MayJudge:
		c = bad(CheckSees, at, "Backstop may not list it, and so does not see that it refuses an update",
			fmt.Sprintf("let ServiceAccount %s/%s get, list and watch it: deploy/kustomize/rbac", home, serviceAccount))
	case j.Unread != "":
		c = bad(CheckSees, at, "Backstop does not see that it refuses an update: "+j.Unread,
			"write it as its CRD of this version wants")
	case j.Suspended:
		c = bad(CheckSees, at,
			"it is suspended: nothing analyses an update, and Backstop does not see that one is refused",
			"set its spec.suspend: false")
	default:
		return nil
	}
	return &c
}

// dim is what makes the trigger Rollout see a failure late, or tell of it alone.
func (f *Facts) dim(w *Workload) []string {
	var out []string
	if n := len(w.Unprobed); n > 0 {
		out = append(out, "without a readiness probe "+strings.Join(w.Unprobed[:min(n, 3)], ", ")+
			" is ready as soon as it starts, so that a crash takes the old pods away first")
	}
	switch {
	case w.Idle:
		out = append(out, "it wants no pods, and none can fail")
	case w.OnDelete:
		out = append(out, "a new revision is in the pods alone that somebody deletes (updateStrategy OnDelete)")
	case w.Partition > 0:
		out = append(out, fmt.Sprintf("a new revision is in the pods alone from ordinal %d on (partition)", w.Partition))
	}
	p := f.policyOf(w, v1alpha1.TriggerRollout)
	switch {
	case len(p.By) == 0 || p.Bar == v1alpha1.BarSuspended:
	case p.Mode == v1alpha1.ModeNotify && !f.names(v1alpha1.TriggerRollout, p.By):
		out = append(out, "of Rollout it only tells: its policy has no trigger of that type")
	case p.MaxAge > 0 && p.MaxAge <= trigger.Patience+p.Grace:
		out = append(out,
			fmt.Sprintf("what runs and does not become ready is seen after %s, when Rollout's maxAge of %s may have "+
				"passed: then it only tells", reconcile.ShortDuration(trigger.Patience), reconcile.ShortDuration(p.MaxAge)))
	}
	return out
}

// names reports whether one of the policies, each as namespace/name, has a trigger of a type.
func (f *Facts) names(t v1alpha1.TriggerType, policies []string) bool {
	return slices.ContainsFunc(f.Policies, func(p v1alpha1.RollbackPolicy) bool {
		return slices.Contains(policies, p.Namespace+"/"+p.Name) &&
			slices.ContainsFunc(p.Spec.Triggers, func(row v1alpha1.PolicyTrigger) bool { return row.Type == t })
	})
}
