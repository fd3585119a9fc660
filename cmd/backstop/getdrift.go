package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/reconcile/kube"
	"github.com/backstop-dev/backstop/watcher"
)

// driftRow is what runs that Git does not say, for people and for scripts.
type driftRow struct {
	Namespace string `json:"namespace"`
	// Git is the image that Git says; empty where no Rollback and no history tells.
	Git string `json:"git,omitempty"`
	// Rollback that asks about it; empty where there is none yet.
	Rollback string           `json:"rollback,omitempty"`
	Change   v1alpha1.Failure `json:"change"`
}

// drift lists every workload whose image differs from Git's right now. It looks at the workloads live; what Git says it
// takes from the Rollback that Backstop has opened, or else from the revision that was left.
func (o *getOptions) drift(ctx context.Context, std streams) error {
	if o.watch {
		return badUsage("get drift shows what differs right now: use get rollbacks -w to go on watching")
	}
	cfg, ns, err := o.config()
	if err != nil {
		return err
	}
	if o.all {
		ns = ""
	}
	core, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("no cluster: %w", err)
	}
	cl, err := kube.Client(cfg)
	if err != nil {
		return err
	}
	var list v1alpha1.RollbackList
	if err := cl.List(ctx, &list, client.InNamespace(ns)); err != nil {
		return fmt.Errorf("list rollbacks: %w", err)
	}
	known := records{flux: flux.New(cl, flux.Options{}), all: list.Items}
	found, err := watcher.Drifts(ctx, core, ns, &known, time.Now())
	if err != nil {
		return fmt.Errorf("look for changes by hand: %w", err)
	}
	rows := []driftRow{}
	for _, f := range found {
		row := driftRow{Namespace: f.Namespace, Git: f.Git, Change: f.Change}
		if r, was := known.of(f.Namespace, f.Change.Workload, f.Change.Container, f.Change.Drift.Live); r != nil {
			row.Rollback = r.Name
			row.Change.Drift.Read, row.Change.Drift.Unread = was.Read, was.Unread
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b driftRow) int { return strings.Compare(a.Namespace, b.Namespace) })
	return o.printDrift(std, ns, rows)
}

func (o *getOptions) printDrift(std streams, ns string, rows []driftRow) error {
	if o.output == "json" || o.output == "yaml" {
		return printObject(std.out, o.output, rows)
	}
	if len(rows) == 0 {
		fmt.Fprintln(std.err, nothing(ns))
		return nil
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 3, ' ', 0)
	line := func(ns string, cells, wide []string) {
		if o.all {
			cells = append([]string{ns}, cells...)
		}
		if o.output == "wide" {
			cells = append(cells, wide...)
		}
		for i := range cells {
			cells[i] = oneLine(cells[i])
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	line("NAMESPACE", []string{"WORKLOAD", "CONTAINER", "RUNS", "GIT SAYS", "BY", "ROLLBACK", "FLUX TAKES IT BACK"},
		[]string{"BECAUSE", "NOT READ"})
	for _, r := range rows {
		d := r.Change.Drift
		line(r.Namespace, []string{
			r.Change.Workload.String(), r.Change.Container, tagOf(d.Live), tagOf(r.Git), d.By, r.Rollback, d.Undone,
		}, []string{strings.Join(d.Read, "; "), strings.Join(d.Unread, "; ")})
	}
	return w.Flush()
}

// records are what Backstop knows already. They are a watcher.Wanter that asks Flux, and not Git.
type records struct {
	flux *flux.Flux
	all  []v1alpha1.Rollback
}

// of finds the newest Rollback about a container that runs an image by hand, and what it says of it; nil where there is
// none.
func (k *records) of(ns string, w v1alpha1.Workload, container, live string) (*v1alpha1.Rollback, *v1alpha1.Drift) {
	var newest *v1alpha1.Rollback
	var says *v1alpha1.Drift
	for i := range k.all {
		r := &k.all[i]
		if r.Namespace != ns || newest != nil && r.CreationTimestamp.Before(&newest.CreationTimestamp) {
			continue
		}
		for _, f := range r.Status.Failures {
			if f.Drift != nil && f.Workload == w && f.Container == container && f.Drift.Live == live {
				newest, says = r, f.Drift
			}
		}
	}
	return newest, says
}

// Want takes what Git says from the records. When Flux takes it back is there too; Flux is asked where there is no open
// record, and where the user may.
func (k *records) Want(
	ctx context.Context, namespace string, w v1alpha1.Workload, since time.Time, containers map[string][]string,
) (reconcile.Want, error) {
	out := reconcile.Want{Images: map[string]string{}, Why: map[string]string{}}
	var says *v1alpha1.Drift
	open := false
	for c, images := range containers {
		// What the container runs now is the last of them.
		r, was := k.of(namespace, w, c, images[len(images)-1])
		if r == nil {
			out.Why[c] = "no Rollback tells yet what it says"
			continue
		}
		out.Images[c], says, open = r.Spec.Image, was, open || !reconcile.Ended(&r.Status)
	}
	if !open {
		applied, err := k.flux.Applied(ctx, namespace, w, since)
		why, refused := reconcile.AsRefusal(err)
		switch {
		case err == nil:
			out.Applied = applied
			return out, nil
		case !refused:
			return out, err
		case says == nil:
			return reconcile.Want{NotFlux: why}, nil
		}
	}
	out.Says = says.Undone
	if says.UndoneBy != nil {
		out.Applier = *says.UndoneBy
	}
	if says.UndoneAt != nil {
		out.Next = says.UndoneAt.Time
	}
	return out, nil
}
