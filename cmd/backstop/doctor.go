package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/backstop-dev/backstop/doctor"
	"github.com/backstop-dev/backstop/reconcile/kube"
	"github.com/backstop-dev/backstop/trace"
)

const doctorHelp = `Looks before the bad night, for each workload of a namespace that Flux applies:

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
	verbose                bool
}

func doctorCommand(std streams) *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use: "doctor", Short: "say whether Backstop could take a bad image back, and what would be in its way",
		Long: doctorHelp,
		Example: `  backstop doctor -n production
  backstop doctor -n production --verbose    # what is good, too
  backstop doctor -n production -o json | jq -r '.workloads[].checks[] | select(.mark == "stopped") | .fix' | sort -u`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains([]string{"", "json", "yaml"}, o.output) {
				return badUsage("output %q: want json or yaml", o.output)
			}
			return couldNotTell(std, o.run(cmd.Context(), std))
		},
	}
	o.bind(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&o.home, "backstop-namespace", kube.Home(), "namespace that Backstop runs in")
	f.StringVar(&o.fluxHome, "flux-namespace", "flux-system", "namespace that Flux's controllers run in")
	f.StringVarP(&o.output, "output", "o", "", "json or yaml")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "list every check of workloads with nothing wrong, too")
	return cmd
}

func (o *doctorOptions) run(ctx context.Context, std streams) error {
	v, err := o.view()
	if err != nil {
		return err
	}
	defer func() { _ = v.forget() }()
	g := &doctor.Gatherer{
		Client: v.client, Flux: v.flux, Git: v.git, Registry: v.registry, Logins: v.logins.access, Now: time.Now,
		Home: o.home, FluxHome: o.fluxHome,
	}
	facts, err := g.Gather(ctx, v.namespace)
	if err != nil {
		return err
	}
	report := doctor.Examine(facts)
	if o.output != "" {
		err = printObject(std.out, o.output, &report)
	} else {
		err = doctor.Print(std.out, &report, o.verbose, colours(std.out))
	}
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if code := doctor.Code(&report); code != trace.CodeGood {
		return exitCode(code)
	}
	return nil
}
