package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/doctor"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/deliver"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/kube"
	"github.com/backstop-dev/backstop/trace"
)

const doctorHelp = `Looks before the bad night, for each workload of a namespace that Flux applies:

  readable     objects that Backstop cannot decode, and therefore leaves out
  policy       which RollbackPolicy covers it, and with what mode
  branch       where a revert would go, and read: may Backstop read the Secrets for it
  push         does the Git server let its credentials push (a push is begun, nothing is sent); protection, signing
  prove        does the registry show the image, and another tag, without which a 404 proves nothing
  apply        would Flux bring the revert to the cluster
  health       what would delay it: health checks of the bad revision, dependsOn, ordered StatefulSets
  force        what would lose it: an automation that force-pushes the deployed branch, a source pinned to a tag

✓ good   ✗ in the way: why, and the fix   ? not read   - nothing to say

It reads with your rights, and changes nothing. What Backstop itself may read it asks the API server
(SubjectAccessReviews). What you may not read is said to be not read.

Exit codes: 0 nothing is in the way · 1 something is · 2 usage · 3 something could not be read`

// doctorOptions are the flags of doctor.
type doctorOptions struct {
	cluster
	home, fluxHome, output string
	verbose, all           bool
}

func doctorCommand(std streams) *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor [KIND/NAME]",
		Short: "say whether Backstop could revert a bad image, and what would be in its way",
		Long:  doctorHelp,
		Example: `  $backstop doctor -n production
  $backstop doctor deploy/backend -n production
  $backstop doctor -A                         # every namespace with a workload that Flux applies
  $backstop doctor -n production --verbose    # what is good, too
  $backstop doctor -n production -o json | jq -r '.workloads[].checks[] | select(.mark == "stopped") | .fix' | sort -u`,
		Args: takes(0, 2, "KIND/NAME or KIND NAME"), ValidArgsFunction: completeWorkload(&o.cluster),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := structured(o.output); err != nil {
				return err
			}
			only, err := o.only(args)
			if err != nil {
				return err
			}
			return couldNotTell(std, o.run(cmd.Context(), std, only))
		},
	}
	o.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&o.home, "backstop-namespace", kube.Home(), "namespace that Backstop runs in")
	f.StringVar(&o.fluxHome, "flux-namespace", "flux-system", "namespace that Flux's controllers run in")
	f.StringVarP(&o.output, "output", "o", "", "json or yaml")
	completeFlag(cmd, "output", outputs("json", "yaml"))
	f.BoolVarP(&o.verbose, "verbose", "v", false, "list every check of workloads with nothing wrong, too")
	f.BoolVarP(&o.all, "all-namespaces", "A", false, "every namespace that has a workload which Flux applies")
	return cmd
}

// only reads the one workload that is asked about; none for all.
func (o *doctorOptions) only(args []string) (v1alpha1.Workload, error) {
	if len(args) == 0 {
		return v1alpha1.Workload{}, nil
	}
	if o.all {
		return v1alpha1.Workload{}, badUsage("a workload is of one namespace: give -n NAMESPACE instead of --all-namespaces")
	}
	arg, err := target(args)
	if err != nil {
		return v1alpha1.Workload{}, err
	}
	w, is, err := parseWorkload(arg)
	if err == nil && !is {
		err = badUsage("%q: want KIND/NAME, such as deploy/backend", arg)
	}
	return w, err
}

func (o *doctorOptions) run(ctx context.Context, std streams, only v1alpha1.Workload) error {
	v, err := o.view()
	if err != nil {
		return err
	}
	defer func() { _ = v.forget() }()
	g := &doctor.Gatherer{
		Client: v.client, Flux: v.flux, Git: v.git, Registry: v.registry, Logins: v.logins.access, Now: time.Now,
		Forges: deliver.NewForges(func(src reconcile.Source) (*reconcile.GitServer, error) {
			return gitrepo.API(src, time.Now)
		}, v.git),
		Home: o.home, FluxHome: o.fluxHome, Only: only,
	}
	namespaces := []string{v.namespace}
	if err := noNamespace(ctx, v.client, v.namespace); err != nil && !o.all {
		return err
	}
	if o.all {
		var list corev1.NamespaceList
		if err := v.client.List(ctx, &list); err != nil {
			return fmt.Errorf("list namespaces: %w", readable(err))
		}
		namespaces = nil
		for _, ns := range list.Items {
			namespaces = append(namespaces, ns.Name)
		}
	}
	reports := []doctor.Report{}
	for _, ns := range namespaces {
		facts, err := g.Gather(ctx, ns)
		if err != nil {
			return err
		}
		report := doctor.Examine(facts)
		if only.Name != "" && len(report.Workloads)+len(report.Others) == 0 {
			return &notThere{fmt.Errorf("no %s in namespace %s", only, ns)}
		}
		if !o.all || len(report.Workloads) > 0 {
			reports = append(reports, report)
		}
	}
	return o.print(std, reports)
}

// print writes the reports, and ends with the code of the worst.
func (o *doctorOptions) print(std streams, reports []doctor.Report) error {
	var err error
	switch {
	case o.output != "" && o.all:
		err = printObject(std.out, o.output, struct {
			Reports []doctor.Report `json:"reports"`
		}{reports})
	case o.output != "":
		err = printObject(std.out, o.output, &reports[0])
	case len(reports) == 0:
		_, err = fmt.Fprintln(std.out, "no namespace has a workload that Flux applies")
	default:
		for i := range reports {
			if i > 0 && err == nil {
				_, err = fmt.Fprintln(std.out)
			}
			if err == nil {
				err = doctor.Print(std.out, &reports[i], o.verbose, colours(std.out))
			}
		}
	}
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	code := trace.CodeGood
	for i := range reports {
		switch c := doctor.Code(&reports[i]); c {
		case trace.CodeGood:
		case trace.CodeUnknown:
			code = c
		default:
			return exitCode(c)
		}
	}
	if code != trace.CodeGood {
		return exitCode(code)
	}
	return nil
}
