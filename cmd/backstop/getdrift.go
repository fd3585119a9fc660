package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
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
	// Rollback that asks about it; empty if absent yet.
	Rollback string           `json:"rollback,omitempty"`
	Change   v1alpha1.Failure `json:"change"`
}

// lookForDrift is how often get drift -w looks again.
const lookForDrift = 5 * time.Second

// drift lists every workload whose image differs from Git's right now. It looks at the workloads live; what Git says it
// takes from the Rollback that Backstop has opened, or else from the revision that was left.
func (o *getOptions) drift(ctx context.Context, std streams, cfg *rest.Config, ns string) error {
	core, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("no cluster: %w", err)
	}
	cl, err := kube.Client(cfg, unreadables())
	if err != nil {
		return err
	}
	p := driftPrinter{getOptions: o, std: std}
	for {
		rows, err := drifts(ctx, core, cl, ns)
		if err != nil {
			return err
		}
		if o.output == "json" || o.output == "yaml" {
			return printList(std.out, o.output, rows)
		}
		if len(rows) == 0 && !o.watch {
			return nothing(ctx, std, cl, ns)
		}
		p.print(rows)
		if !o.watch {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookForDrift):
		}
	}
}

// drifts looks once.
func drifts(ctx context.Context, core kubernetes.Interface, cl client.Client, ns string) ([]driftRow, error) {
	var list v1alpha1.RollbackList
	if err := cl.List(ctx, &list, client.InNamespace(ns)); err != nil {
		return nil, fmt.Errorf("list rollbacks: %w", readable(err))
	}
	known := records{flux: flux.New(cl, flux.Options{Person: true}), all: list.Items}
	found, err := watcher.Drifts(ctx, core, ns, &known, time.Now())
	if err != nil {
		return nil, fmt.Errorf("look for changes by hand: %w", readable(err))
	}
	rows := []driftRow{}
	for _, f := range found {
		rows = append(rows, known.row(f))
	}
	slices.SortStableFunc(rows, func(a, b driftRow) int { return strings.Compare(a.Namespace, b.Namespace) })
	return rows, nil
}

// driftPrinter prints the rows that differ from those that it printed last.
type driftPrinter struct {
	*getOptions
	std     streams
	columns *columns
	printed map[string]bool
}

func (p *driftPrinter) print(rows []driftRow) {
	if p.columns == nil {
		header := []string{"WORKLOAD", "CONTAINER", "RUNS", "GIT SAYS", "BY", "ROLLBACK", "FLUX UNDOES IT"}
		if p.output == "wide" {
			header = append(header, "BECAUSE", "NOT READ")
		}
		if p.all {
			header = append([]string{"NAMESPACE"}, header...)
		}
		p.columns = &columns{out: p.std.out, header: header, full: p.output == "wide"}
	}
	seen := map[string]bool{}
	var lines [][]string
	for _, r := range rows {
		d := r.Change.Drift
		line := []string{r.Change.Workload.String(), r.Change.Container, image.Short(d.Live), image.Short(r.Git),
			d.By, r.Rollback, d.Undone}
		if p.output == "wide" {
			line = append(line, strings.Join(d.Read, "; "), strings.Join(d.Unread, "; "))
		}
		if p.all {
			line = append([]string{r.Namespace}, line...)
		}
		key := strings.Join(line, "\x00")
		seen[key] = true
		if !p.printed[key] {
			lines = append(lines, line)
		}
	}
	p.printed = seen
	p.columns.print(lines)
}

// records are what Backstop knows already. They are a watcher.Wanter that asks Flux, and not Git.
type records struct {
	flux *flux.Flux
	all  []v1alpha1.Rollback
}

// row is a change by hand with what the Rollback about it says. It is the same at each look.
func (k *records) row(f watcher.Adrift) driftRow {
	out := driftRow{Namespace: f.Namespace, Git: f.Git, Change: f.Change}
	if at := f.Change.Drift.At; at != nil {
		out.Change.Since = *at
	}
	if r, was := k.of(f.Namespace, f.Change.Workload, f.Change.Container, f.Change.Drift.Live); r != nil {
		out.Rollback = r.Name
		out.Change.ID, out.Change.Since = was.ID, was.Since
		out.Change.Drift.Read, out.Change.Drift.Unread = was.Drift.Read, was.Drift.Unread
	}
	return out
}

// of finds the newest Rollback about a container that runs an image by hand, and what it says of it; nil where there is
// none.
func (k *records) of(ns string, w v1alpha1.Workload, container, live string) (*v1alpha1.Rollback, *v1alpha1.Failure) {
	var newest *v1alpha1.Rollback
	var says *v1alpha1.Failure
	for i := range k.all {
		r := &k.all[i]
		if r.Namespace != ns || newest != nil && r.CreationTimestamp.Before(&newest.CreationTimestamp) {
			continue
		}
		for j := range r.Status.Failures {
			f := &r.Status.Failures[j]
			if f.Drift != nil && f.Workload == w && f.Container == container && f.Drift.Live == live {
				newest, says = r, f
			}
		}
	}
	return newest, says
}

// Want takes what Git says from the records. When Flux undoes it is there too; Flux is asked where there is no open
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
		out.Images[c], says, open = r.Spec.Subject.Name, was.Drift, open || !r.Status.Ended()
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
	out.When, out.Never = says.Undone, says.NeverUndone
	if says.UndoneBy != nil {
		out.Reconciler = *says.UndoneBy
	}
	if says.UndoneAt != nil {
		out.Next = says.UndoneAt.Time
	}
	return out, nil
}
