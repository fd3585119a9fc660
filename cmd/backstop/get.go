package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/reconcile/kube"
)

func getCommand(std streams) *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:   "get [rollbacks|policies|holds|drift|events] [NAME...]",
		Short: "list rollbacks, policies, holds, events, or what runs that Git does not say",
		Example: `  $backstop get                             # rollbacks of this namespace
  $backstop get rollbacks -A -w             # of all namespaces, and go on watching
  $backstop get rollback backend-1f2e3d-1   # one of them
  $backstop get policies -A                 # what may be reverted where, and whether each policy works
  $backstop get holds -A -o json            # holds that stand in Git, for a script
  $backstop get events -w                   # what Backstop told about the rollbacks
  $backstop get drift -A                    # workloads that somebody changed by hand, and when Flux undoes that`,
		ValidArgsFunction: completeGet(&o.cluster),
		RunE: func(cmd *cobra.Command, args []string) error {
			what, err := o.parse(args)
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), std, what)
		},
	}
	o.bind(cmd)
	cmd.Flags().BoolVarP(&o.all, "all-namespaces", "A", false, "all namespaces")
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "go on watching")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "json, yaml or wide")
	completeFlag(cmd, "output", outputs("json", "yaml", "wide"))
	return cmd
}

func (o *getOptions) run(ctx context.Context, std streams, what string) error {
	cfg, ns, err := o.config()
	if err != nil {
		return err
	}
	if o.all {
		ns = ""
	}
	if what == "drift" {
		return o.drift(ctx, std, cfg, ns)
	}
	scheme, err := kube.Scheme()
	if err != nil {
		return err
	}
	cl, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("no cluster: %w", err)
	}
	l := lister{
		getOptions: o, std: std, client: kube.TolerantWatch(cl, unreadables()), namespace: ns, table: tables[what],
	}
	return l.list(ctx)
}

// lister lists objects of one table, and goes on watching them.
type lister struct {
	*getOptions
	table
	std       streams
	client    client.WithWatch
	namespace string
	columns   columns
}

func (l *lister) list(ctx context.Context) error {
	list := l.empty()
	if err := l.client.List(ctx, list, l.options(client.InNamespace(l.namespace))...); err != nil {
		return fmt.Errorf("list %s: %w", l.plural, readable(err))
	}
	found, err := l.kept(list)
	if err != nil {
		return err
	}
	switch scripts := l.output == "json" || l.output == "yaml"; {
	case scripts && len(l.names) == 1:
		return printOne(l.std.out, l.output, found[0])
	case scripts:
		return printList(l.std.out, l.output, found)
	}
	header := slices.Concat(l.header, l.wide)
	if l.output != "wide" {
		header = l.header
	}
	if l.all {
		header = append([]string{"NAMESPACE"}, header...)
	}
	l.columns = columns{out: l.std.out, header: header, full: l.output == "wide", image: l.image}
	if l.all && l.image > 0 {
		l.columns.image++
	}
	if len(found) == 0 && !l.watch {
		return nothing(ctx, l.std, l.client, l.namespace)
	}
	l.print(found...)
	if !l.watch {
		return nil
	}
	return l.follow(ctx, list.GetResourceVersion())
}

// kept are the objects that are asked for, in the order in which they came.
func (l *lister) kept(list client.ObjectList) ([]client.Object, error) {
	found, err := objectsOf(list)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(o client.Object) bool { return !l.wants(o) })
	slices.SortStableFunc(found, func(a, b client.Object) int {
		if c := strings.Compare(a.GetNamespace(), b.GetNamespace()); c != 0 {
			return c
		}
		return l.when(a).Compare(l.when(b))
	})
	for _, name := range l.names {
		if !slices.ContainsFunc(found, func(o client.Object) bool { return o.GetName() == name }) {
			return nil, fmt.Errorf("no %s %s in namespace %s", l.singular, name, l.namespace)
		}
	}
	return found, nil
}

func (l *lister) wants(o client.Object) bool {
	return l.keep(o) && (len(l.names) == 0 || slices.Contains(l.names, o.GetName()))
}

func (l *lister) print(found ...client.Object) {
	rows := make([][]string, 0, len(found))
	for _, o := range found {
		row, wide := l.row(o, reader{time.Now(), l.std.program})
		if l.output == "wide" {
			row = append(row, wide...)
		}
		if l.all {
			row = append([]string{o.GetNamespace()}, row...)
		}
		rows = append(rows, row)
	}
	l.columns.print(rows)
}

// follow prints what changes from a resourceVersion on. The API server closes a watch now and then: that is no end.
func (l *lister) follow(ctx context.Context, from string) error {
	for {
		w, err := l.client.Watch(ctx, l.empty(), l.options(client.InNamespace(l.namespace),
			&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: from, AllowWatchBookmarks: true}})...)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // whoever watched has ended it
		}
		if err != nil {
			return fmt.Errorf("watch %s: %w", l.plural, readable(err))
		}
		from, err = l.changes(ctx, w, from)
		w.Stop()
		if ctx.Err() != nil {
			return nil //nolint:nilerr // whoever watched has ended it
		}
		if err != nil {
			return fmt.Errorf("watch %s: %w", l.plural, err)
		}
	}
}

func (l *lister) changes(ctx context.Context, w watch.Interface, from string) (string, error) {
	for {
		select {
		case <-ctx.Done():
			return from, nil
		case ev, ok := <-w.ResultChan():
			if !ok {
				return from, nil
			}
			if ev.Type == watch.Error {
				return from, apierrors.FromObject(ev.Object)
			}
			o, is := ev.Object.(client.Object)
			if !is {
				continue
			}
			from = o.GetResourceVersion()
			if (ev.Type == watch.Added || ev.Type == watch.Modified) && l.wants(o) {
				l.print(o)
			}
		}
	}
}
