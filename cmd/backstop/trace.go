package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/trace"
)

const traceHelp = `Follows an image on its whole way, one line a hop:

  tag → ImageRepository → ImagePolicy → automation → marker in Git → commit → source → Kustomization or HelmRelease
  → workload → pods

✓ it came through   ✗ it stopped here: why, and the fix   … it waits for what comes before   ? not read   - nothing here

With KIND/NAME it follows what the workload should run: what image automation selects, or what Git says. With IMAGE it
follows that image to the workloads of the namespace that run its repository, so that a tag that never arrived can be
asked for.

  Why did production not update?               the first ✗ or …
  Why did the wrong environment update?        ✗ at policy (it takes another environment's tags) or at marker
  What does the cluster run that Git does not?  ✗ at workload: who changed it, and when Flux undoes it

It reads with your rights, and changes nothing. What you may not read, such as the Secret with which Flux reads Git, is
said to be not read, which is no failure.

Exit codes: 0 it is where it should be · 1 it is stopped, or on its way · 2 usage · 3 something could not be read`

// traceOptions are the flags of trace.
type traceOptions struct {
	cluster
	container, output string
	history           int
	watch             bool
	interval          time.Duration
}

func traceCommand(std streams) *cobra.Command {
	var o traceOptions
	cmd := &cobra.Command{
		Use: "trace KIND/NAME|NAME|IMAGE", Short: "say where an image is: registry, policy, Git, Flux, pods", Long: traceHelp,
		Example: `  $backstop trace deploy/backend -n production
  $backstop trace ghcr.io/acme/backend:production-v1.2.0 -n production   # why does this one not run?
  $backstop trace cronjob/report -n production --history                 # which image ran when, by whom and why
  $backstop trace sts/db -n production --watch                           # until it has arrived
  until $backstop trace deploy/backend -n production >/dev/null; do sleep 5; done`,
		Args: takes(1, 2, "KIND/NAME, KIND NAME, NAME or IMAGE"), ValidArgsFunction: completeWorkload(&o.cluster),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd.Flags(), args); err != nil {
				return err
			}
			arg, err := target(args)
			if err != nil {
				return err
			}
			return couldNotTell(std, o.run(cmd.Context(), std, arg))
		},
	}
	o.bind(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.container, "container", "c", "", "one container (default: all)")
	f.StringVarP(&o.output, "output", "o", "", "json or yaml")
	completeFlag(cmd, "output", outputs("json", "yaml"))
	f.IntVar(&o.history, "history", 0, "list the last N images that Git said, by commit, with who and why")
	f.Lookup("history").NoOptDefVal = "10"
	f.BoolVarP(&o.watch, "watch", "w", false, "look again and again, and print what changed, until it has arrived")
	f.DurationVar(&o.interval, "interval", 2*time.Second, "with --watch: time between two looks")
	return cmd
}

// check refuses flags that do not go together.
func (o *traceOptions) check(flags *pflag.FlagSet, args []string) error {
	_, number := strconv.Atoi(args[len(args)-1])
	switch {
	case o.watch && o.output == "yaml":
		return badUsage("--watch prints for people, or JSON: one line a change")
	case flags.Changed("interval") && !o.watch:
		return badUsage("--interval goes with --watch")
	case flags.Changed("history") && len(args) > 1 && number == nil:
		return badUsage("--history takes its number with a sign: --history=%s", args[len(args)-1])
	case flags.Changed("history") && o.history < 1 || o.interval < time.Second:
		return badUsage("--history takes a number from 1 on, --interval at least 1s")
	}
	return structured(o.output)
}

// couldNotTell ends a command that found no answer with a code of its own.
func couldNotTell(std streams, err error) error {
	var usage *usageError
	var missing *notThere
	var code exitCode
	if err == nil || errors.As(err, &usage) || errors.As(err, &missing) || errors.As(err, &code) ||
		errors.Is(err, context.Canceled) {
		return err
	}
	fmt.Fprintf(std.err, "backstop: %s\n", err)
	return exitCode(exitUnknown)
}

func (o *traceOptions) run(ctx context.Context, std streams, arg string) error {
	wl, isWorkload, err := parseWorkload(arg)
	if err != nil {
		return err
	}
	v, err := o.view()
	if err != nil {
		return err
	}
	defer func() { _ = v.forget() }()
	if err := noNamespace(ctx, v.client, v.namespace); err != nil {
		return err
	}
	g := &trace.Gatherer{
		Client: v.client, Flux: v.flux, Git: v.git, Registry: v.registry, Logins: v.logins.access, Now: time.Now,
		Program: std.program, History: o.history,
	}
	questions := []trace.Question{{Namespace: v.namespace, Workload: wl, Container: o.container}}
	if !isWorkload {
		if questions, err = o.meant(ctx, v.client, v.namespace, arg); err != nil {
			return err
		}
	}
	return o.follow(ctx, std, g, questions)
}

// meant reads an argument without a kind: the name of a workload, or else an image.
func (o *traceOptions) meant(ctx context.Context, cl client.Client, ns, arg string) ([]trace.Question, error) {
	if strings.ContainsAny(arg, "/:@") {
		return o.running(ctx, cl, ns, arg)
	}
	found, err := workloads(ctx, cl, ns, func(w v1alpha1.Workload, _ *corev1.PodSpec) bool { return w.Name == arg })
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return o.running(ctx, cl, ns, arg)
	}
	var out []trace.Question
	for _, w := range found {
		out = append(out, trace.Question{Namespace: ns, Workload: w, Container: o.container})
	}
	return out, nil
}

// running asks for an image at every workload of the namespace that runs its repository.
func (o *traceOptions) running(ctx context.Context, cl client.Client, ns, ref string) ([]trace.Question, error) {
	found, err := runsLike(ctx, cl, ns, func(have string) bool { return image.SameRepository(have, ref) })
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, &notThere{fmt.Errorf("no workload in namespace %s is called %[2]s or runs an image of that repository: "+
			"give another namespace (-n), or the workload as KIND/NAME", ns, ref)}
	}
	var out []trace.Question
	for _, w := range found {
		out = append(out, trace.Question{Namespace: ns, Workload: w, Container: o.container, Image: ref})
	}
	return out, nil
}

// follow answers once, or until everything has arrived.
func (o *traceOptions) follow(ctx context.Context, std streams, g *trace.Gatherer, questions []trace.Question) error {
	last := ""
	for {
		trails, err := look(ctx, g, questions)
		if err != nil {
			return err
		}
		if now := gist(trails); now != last {
			if err := o.print(std, trails, last != ""); err != nil {
				return err
			}
			last = now
		}
		code := trace.Code(trails)
		if !o.watch || code == trace.CodeGood {
			if code != trace.CodeGood {
				return exitCode(code)
			}
			return nil
		}
		t := time.NewTimer(o.interval)
		select {
		case <-ctx.Done():
			t.Stop()
			return exitCode(code)
		case <-t.C:
		}
	}
}

func look(ctx context.Context, g *trace.Gatherer, questions []trace.Question) ([]trace.Trail, error) {
	trails := []trace.Trail{}
	for _, q := range questions {
		facts, err := g.Gather(ctx, q)
		if missing := (*trace.Missing)(nil); errors.As(err, &missing) {
			return nil, &notThere{err}
		}
		if err != nil {
			return nil, err
		}
		for _, f := range facts {
			trails = append(trails, trace.Of(f))
		}
	}
	return trails, nil
}

// gist is what has to change for a trail to be printed again: times pass by themselves.
func gist(trails []trace.Trail) string {
	var b strings.Builder
	for _, t := range trails {
		fmt.Fprintf(&b, "%s %s %s\n", t.Workload, t.Image, t.Runs)
		for _, h := range t.Hops {
			fmt.Fprintf(&b, "%s %s %s\n", h.Name, h.At, h.Mark)
		}
	}
	return b.String()
}

// traces is what scripts read.
type traces struct {
	Traces []trace.Trail `json:"traces"`
}

func (o *traceOptions) print(std streams, trails []trace.Trail, again bool) error {
	switch {
	case o.output != "" && o.watch:
		if err := json.NewEncoder(raw(std.out)).Encode(traces{trails}); err != nil {
			return fmt.Errorf("print as json: %w", err)
		}
		return nil
	case o.output != "":
		return printObject(std.out, o.output, traces{trails})
	case again:
		fmt.Fprintf(std.out, "\n%s\n", trails[0].At.UTC().Format("15:04:05 MST"))
	}
	for i := range trails {
		if i > 0 {
			fmt.Fprintln(std.out)
		}
		if err := trace.Print(std.out, &trails[i], colours(std.out)); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return nil
}
