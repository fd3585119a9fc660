package doctor

import (
	"context"
	"fmt"
	"strings"

	authv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/workload"
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
	return nil
}

// rolls are the kinds whose new revisions are looked at.
var rolls = map[string]bool{workload.Deployment: true, workload.StatefulSet: true, workload.DaemonSet: true}

// sees reports which triggers can see the workload fail, and what would blind them.
func (w *Workload) sees(home string) Check {
	triggers := []string{string(v1alpha1.TriggerImagePull)}
	if rolls[w.Kind] || w.Kind == workload.Rollout && !w.Analysed {
		triggers = append(triggers, string(v1alpha1.TriggerRollout))
	}
	at := ""
	if j := w.Judge; j != nil {
		at = j.By.String()
		triggers = append(triggers, string(v1alpha1.TriggerCanary))
		switch {
		case w.MayJudge != nil && !*w.MayJudge:
			return bad(CheckSees, at, "Backstop may not list it, and so does not see that it refuses an update",
				fmt.Sprintf("let ServiceAccount %s/%s get, list and watch it: deploy/kustomize/rbac", home, serviceAccount))
		case j.Unread != "":
			return bad(CheckSees, at, "Backstop does not see that it refuses an update: "+j.Unread,
				"write it as its CRD of this version wants")
		case j.Suspended:
			return bad(CheckSees, at,
				"it is suspended: nothing analyses an update, and Backstop does not see that one is refused",
				"set its spec.suspend: false")
		}
	}
	if w.Chain != nil {
		triggers = append(triggers, string(v1alpha1.TriggerApply))
	}
	if rolls[w.Kind] || w.Kind == workload.CronJob {
		triggers = append(triggers, string(v1alpha1.TriggerDrift))
	}
	says := strings.Join(triggers, ", ")
	if n := len(w.Unprobed); n > 0 && rolls[w.Kind] {
		says += "; without a readiness probe " + strings.Join(w.Unprobed[:min(n, 3)], ", ") +
			" is ready as soon as it starts, so that a crash takes the old pods away first"
	}
	return fine(CheckSees, at, "%s", says)
}
