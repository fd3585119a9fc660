package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

type getOptions struct {
	cluster
	all, watch bool
	output     string
}

func getCommand(std streams) *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:   "get [rollbacks|holds|drift]",
		Short: "list rollbacks, the holds on image automation, or what runs that Git does not say",
		Example: `  backstop get                    # rollbacks of this namespace
  backstop get rollbacks -A -w    # of all namespaces, and go on watching
  backstop get holds -A -o json   # holds that stand in Git, for a script
  backstop get drift -A           # workloads that somebody changed by hand, and when Flux takes that back`,
		ValidArgs: []string{"rollbacks", "holds", "drift"}, Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			what := "rollbacks"
			if len(args) == 1 {
				what = args[0]
			}
			table, ok := map[string]table{"rollbacks": rollbackTable, "rollback": rollbackTable, "rb": rollbackTable,
				"holds": holdTable, "hold": holdTable}[what]
			if !ok && what != "drift" && what != "drifts" {
				return badUsage("get %s: want rollbacks, holds or drift", what)
			}
			if err := checkOutput(o.output); err != nil {
				return err
			}
			if !ok {
				return o.drift(cmd.Context(), std)
			}
			return o.get(cmd.Context(), std, table)
		},
	}
	o.bind(cmd.Flags())
	cmd.Flags().BoolVarP(&o.all, "all-namespaces", "A", false, "all namespaces")
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "go on watching")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "json, yaml or wide")
	return cmd
}

func checkOutput(o string) error {
	if !slices.Contains([]string{"", "wide", "json", "yaml"}, o) {
		return badUsage("output %q: want json, yaml or wide", o)
	}
	return nil
}

// table says which Rollbacks it lists and how a line of it reads.
type table struct {
	header, wide []string
	keep         func(*v1alpha1.Rollback) bool
	row          func(*v1alpha1.Rollback, time.Time) (row, wide []string)
}

var rollbackTable = table{
	header: []string{"NAME", "IMAGE", "IS", "BACK TO", "AGE", "STATUS"}, wide: []string{"SUSPECT", "REVERT"},
	keep: func(*v1alpha1.Rollback) bool { return true },
	row: func(r *v1alpha1.Rollback, now time.Time) ([]string, []string) {
		s := &r.Status
		back, suspect, revert, said := "", "", "", ""
		if s.Target != nil {
			back = tagOf(s.Target.Image)
		}
		if s.Suspect != nil {
			suspect = fmt.Sprintf("%.12s", s.Suspect.Commit)
		}
		if s.Change != nil {
			revert = fmt.Sprintf("%.12s", s.Change.Commit)
		}
		for _, c := range s.Conditions {
			if c.Type == "Ready" {
				said = c.Message
			}
		}
		return []string{r.Name, r.Spec.Image, reconcile.Phase(s), back, age(r.CreationTimestamp.Time, now), said},
			[]string{suspect, revert}
	},
}

var holdTable = table{
	header: []string{"POLICY", "NOT", "NOW", "SINCE", "LIFTED BY", "ROLLBACK"}, wide: []string{"FILE", "COMMIT"},
	keep: func(r *v1alpha1.Rollback) bool {
		return r.Status.Change != nil && r.Status.Change.Hold != "" && r.Status.Release == nil
	},
	row: func(r *v1alpha1.Rollback, now time.Time) ([]string, []string) {
		s := &r.Status
		var files []string
		for _, n := range s.Suspect.Nodes {
			if n.Marker != "" && !slices.Contains(files, n.File) {
				files = append(files, n.File)
			}
		}
		lifts := "a newer image"
		if s.Change.Release == v1alpha1.ReleaseManual {
			lifts = "backstop release"
		}
		if r.Spec.ReleaseHold != nil {
			lifts = r.Spec.ReleaseHold.By
		}
		return []string{strings.Join(s.Change.Policies, ","), tagOf(r.Spec.Image), tagOf(s.Target.Image),
			age(s.Change.At.Time, now), lifts, r.Name}, []string{strings.Join(files, ","), fmt.Sprintf("%.12s", s.Change.Hold)}
	},
}

func (o *getOptions) get(ctx context.Context, std streams, t table) error {
	cfg, ns, err := o.config()
	if err != nil {
		return err
	}
	if o.all {
		ns = ""
	}
	scheme, err := kube.Scheme()
	if err != nil {
		return err
	}
	cl, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("no cluster: %w", err)
	}
	var list v1alpha1.RollbackList
	if err := cl.List(ctx, &list, client.InNamespace(ns)); err != nil {
		return fmt.Errorf("list rollbacks: %w", err)
	}
	list.Items = slices.DeleteFunc(list.Items, func(r v1alpha1.Rollback) bool { return !t.keep(&r) })
	slices.SortFunc(list.Items, func(a, b v1alpha1.Rollback) int {
		return strings.Compare(a.Namespace, b.Namespace)*2 + a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	if o.output == "json" || o.output == "yaml" {
		return printObject(std.out, o.output, &list)
	}
	if len(list.Items) == 0 && !o.watch {
		fmt.Fprintln(std.err, nothing(ns))
		return nil
	}
	p := printer{table: t, namespaces: o.all, wide: o.output == "wide"}
	p.print(std.out, list.Items, true)
	if !o.watch {
		return nil
	}
	w, err := cl.Watch(ctx, &v1alpha1.RollbackList{}, client.InNamespace(ns),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	if err != nil {
		return fmt.Errorf("watch rollbacks: %w", err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev, ok := <-w.ResultChan():
			if !ok {
				return fmt.Errorf("watch rollbacks: the API server closed the connection")
			}
			if rb, is := ev.Object.(*v1alpha1.Rollback); is && ev.Type != watch.Deleted && t.keep(rb) {
				p.print(std.out, []v1alpha1.Rollback{*rb}, false)
			}
		}
	}
}

func nothing(ns string) string {
	if ns == "" {
		return "Nothing found."
	}
	return fmt.Sprintf("Nothing found in namespace %s.", ns)
}

// printer writes rows that align; columns keep their width while watching.
type printer struct {
	table
	namespaces, wide bool
}

func (p printer) print(out io.Writer, items []v1alpha1.Rollback, header bool) {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	line := func(ns string, cells, wide []string) {
		if p.namespaces {
			cells = append([]string{ns}, cells...)
		}
		if p.wide {
			cells = append(cells, wide...)
		}
		for i := range cells {
			cells[i] = oneLine(cells[i])
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	if header {
		line("NAMESPACE", slices.Clone(p.header), p.table.wide)
	}
	for i := range items {
		row, wide := p.row(&items[i], time.Now())
		line(items[i].Namespace, row, wide)
	}
	w.Flush()
}

// oneLine keeps foreign text from moving the cursor, and an empty cell visible.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return ' '
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s
}

func age(t, now time.Time) string { return duration.HumanDuration(now.Sub(t)) }

// tagOf is what tells an image apart from its neighbours: the tag, or a shortened digest.
func tagOf(image string) string {
	if ref, digest, ok := strings.Cut(image, "@"); ok {
		if t := tagOf(ref); t != ref {
			return t
		}
		return fmt.Sprintf("@%.19s", digest)
	}
	if i := strings.LastIndex(image, ":"); i > strings.LastIndex(image, "/") {
		return image[i+1:]
	}
	return image
}
