package doctor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/flux"
)

// A recovery is what comes between a pushed revert and a workload that runs the good image. How long it takes is mostly
// how long Flux goes on checking the health of the bad revision.

// gate is the feature gate of both controllers that check health, by which they give a check up for a new revision.
const gate = "CancelHealthCheckOnNewRevision"

// cancels reads the gate from a controller's arguments; nil where nobody can tell.
func (g *Gatherer) cancels(ctx context.Context, controller string) *bool {
	var d appsv1.Deployment
	if err := g.Client.Get(ctx, types.NamespacedName{Namespace: g.FluxHome, Name: controller}, &d); err != nil {
		return nil
	}
	on := false
	for _, c := range d.Spec.Template.Spec.Containers {
		if is, said := gateIn(slices.Concat(c.Command, c.Args)); said {
			on = is
		}
	}
	return &on
}

// gateIn reads the gate from the arguments of a process: --feature-gates=A=true,B=false, or as two arguments. Given
// more than once the last one counts.
func gateIn(args []string) (on, said bool) {
	for i, a := range args {
		list, ok := strings.CutPrefix(a, "--feature-gates=")
		if a == "--feature-gates" && i+1 < len(args) {
			list, ok = args[i+1], true
		}
		if !ok {
			continue
		}
		for one := range strings.SplitSeq(list, ",") {
			name, value, _ := strings.Cut(one, "=")
			is, err := strconv.ParseBool(strings.TrimSpace(value))
			if strings.TrimSpace(name) == gate && err == nil {
				on, said = is, true
			}
		}
	}
	return on, said
}

// afterCancel is how long helm-controller takes to go on after it gave a check up: it waits for its own cache.
const afterCancel = 10 * time.Second

// aheadAfter is how long a fast-forward takes: Flux is given 3 s, and then the image is set.
const aheadAfter = 4 * time.Second

// blocked is how long the checks of the bad revision may keep the revert out, and whose they are. Those of a release
// run at the same time as those of its Kustomization, which waits for it.
func (w *Workload) blocked(kustomize, helm bool) (time.Duration, string) {
	k := w.Chain.Kustomization
	var longest time.Duration
	by := ""
	longer := func(d time.Duration, whose string) {
		if d > longest {
			longest, by = d, whose
		}
	}
	if wait, what := flux.HealthWait(k); wait > 0 && !kustomize {
		longer(wait, fmt.Sprintf("%s of Kustomization/%s/%s", what, k.Namespace, k.Name))
	}
	if r := w.Chain.Release; r != nil && !r.GetUpgrade().DisableWait {
		whose := "the upgrade of " + w.Chain.Reconciler.String()
		wait := r.GetTimeout().Duration
		if r.GetUpgrade().GetRemediation().GetRetries() != 0 {
			// A failed upgrade is rolled back first.
			wait *= 2
			whose += ", and its rollback"
		}
		if helm {
			wait = min(wait, afterCancel)
		}
		longer(wait, whose)
	}
	for _, d := range w.DependsOn {
		if !kustomize {
			longer(d.Wait, "the health checks of "+d.Ref.String())
		}
	}
	return longest, by
}

// recovery is how long the workload takes now, with the gates, and took.
func (f *Facts) recovery(w *Workload) Recovery {
	now, _ := w.blocked(isOn(f.Cancels), isOn(f.HelmCancels))
	then, _ := w.blocked(true, true)
	return Recovery{AtMost: now.Seconds(), GatesOn: then.Seconds(), FastForward: min(now, aheadAfter).Seconds(),
		Measured: w.Recovered}
}

// recovers says it in a sentence.
func (f *Facts) recovers(w *Workload) Check {
	now, by := w.blocked(isOn(f.Cancels), isOn(f.HelmCancels))
	says := "Flux applies a revert as soon as it is fetched"
	if now > 0 {
		says = fmt.Sprintf("Flux applies a revert after up to %s, for %s", seconds(now), by)
	}
	if then, _ := w.blocked(true, true); then < now {
		says += fmt.Sprintf("; %s saves up to %s (deploy/flux)", gate, seconds(now-then))
		if now > aheadAfter {
			says += fmt.Sprintf(", and fast-forward %s where it cannot be turned on", seconds(now-aheadAfter))
		}
	}
	if n := len(w.Recovered); n > 0 {
		var took []string
		for _, m := range w.Recovered {
			took = append(took, seconds(time.Duration(m.Seconds*float64(time.Second))))
		}
		says += "; from landed to verified the last took " + strings.Join(took, ", ")
	}
	return fine(CheckRecovery, "", "%s", says)
}

func isOn(gate *bool) bool { return gate != nil && *gate }

func seconds(d time.Duration) string {
	return strconv.Itoa(int(d.Round(time.Second)/time.Second)) + "s"
}

// manyRecoveries is how many are looked back at.
const manyRecoveries = 5

// recovered are the last recoveries of a workload.
func (g *Gatherer) recovered(ctx context.Context, namespace string, w *Workload) []Measured {
	var out []Measured
	for _, r := range g.rollbacks(ctx, namespace).Items {
		s := &r.Status
		if s.Landed == nil || s.Outcome == nil || s.Outcome.Result != v1alpha1.ResultVerified || !concerns(s, w) {
			continue
		}
		took := s.Outcome.At.Sub(s.Landed.At.Time)
		out = append(out, Measured{Rollback: r.Name, At: s.Outcome.At.Time, Seconds: took.Seconds()})
	}
	slices.SortFunc(out, func(a, b Measured) int { return b.At.Compare(a.At) })
	return out[:min(len(out), manyRecoveries)]
}
