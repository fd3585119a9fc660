package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
)

const longHelp = `Backstop's sidecar watches the cluster, and reverts in Git what a RollbackPolicy lets it revert.
Nothing is reverted where no policy says so. The flags --max-mode, --max-authors and --budget are the ceiling, whatever
a policy says.

Flags:
`

// parse reads the command line and checks it. pflag.ErrHelp comes with options whose help can be printed.
func parse(args []string) (*options, error) {
	o := &options{}
	f := o.flags()
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q: the sidecar takes flags alone", f.Arg(0))
	}
	if err := o.level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return o, fmt.Errorf("--log-level %q: want debug, info, warn or error", o.logLevel)
	}
	var err error
	if o.top, err = o.ceiling(); err != nil {
		return o, err
	}
	return o, errors.Join(o.slack.check(), o.news.check(), o.alerts.check())
}

func (o *options) flags() *pflag.FlagSet {
	f := pflag.NewFlagSet("sidecar", pflag.ContinueOnError)
	f.Usage = func() {}
	o.bindAll(f)
	return f
}

// help is what --help prints.
func (o *options) help() string {
	return strings.TrimRight(longHelp+(&options{}).flags().FlagUsages(), "\n") + "\n"
}

func (o *options) bindAll(f *pflag.FlagSet) {
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "path to the kubeconfig (default: the pod's service account)")
	f.StringVar(&o.cluster, "cluster", "default",
		"name of this cluster in commits and messages; unique among the clusters on one repository")
	f.StringVar(&o.maxMode, "max-mode", "Auto", "what a policy may allow at most: Notify, Approve or Auto")
	f.StringVar(&o.maxAuthors, "max-authors", "Anyone",
		"whose changes a policy may let revert at most: Automation or Anyone")
	f.StringVar(&o.budget, "budget", "3/1h",
		"how many suspect commits may be reverted on one branch before every policy asks, as COUNT/DURATION; "+
			"approved ones count")
	f.StringSliceVar(&o.namespaces, "namespaces", nil, "watch these namespaces only (default: all)")
	f.StringSliceVar(&o.platforms, "platforms", []string{"linux/amd64"},
		"platforms to prove images for, where nodes cannot be read")
	f.StringVar(&o.storage, "storage", "/data", "folder for the mirrors of the Git repositories")
	f.StringVar(&o.metricsAddr, "metrics-addr", ":8080", "where to serve /metrics")
	f.StringVar(&o.healthAddr, "health-addr", ":9440", "where to serve /healthz and /readyz")
	f.BoolVar(&o.leaderElect, "leader-elect", true, "work only while holding the Lease, so that replicas take turns")
	f.BoolVar(&o.noCrossRefs, "no-cross-namespace-refs", false,
		"refuse references to objects of other namespaces, as Flux does under this flag")
	f.StringSliceVar(&o.platform, "platform-namespaces", []string{flux.DefaultPlatform},
		"namespaces of those who run the cluster: their GitRepositories push for each other's Kustomizations")
	f.StringVar(&o.tenantLabel, "tenant-label", "toolkit.fluxcd.io/tenant",
		"label of Namespaces that names whose they are: workers, mirrors and the breaker are shared out by it")
	f.StringSliceVar(&o.caches, "registry-caches", nil,
		"registries, or prefixes of their repositories, that fetch from another one: what they lack proves nothing")
	f.DurationVar(&o.confirm, "confirm-absence", time.Minute,
		"how long a registry has to lack an image that image automation found there, before a policy reverts it by itself")
	f.StringSliceVar(&o.hosts, "registry-hosts", nil,
		"registries that may have an address of this machine, of a cloud's metadata or of the cluster's Services")
	f.DurationVar(&o.history, "history", 30*24*time.Hour, "how long ended Rollbacks are kept")
	f.IntVar(&o.maxRollbacks, "max-rollbacks", 500,
		"how many Rollbacks are kept of one namespace; "+
			"what fails beyond them is counted and told, and not recorded (0: no limit)")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&o.fastForward, "fast-forward", false,
		"set images ahead of Flux where a policy and the namespace allow it (component fast-forward grants it)")
	f.BoolVar(&o.deleteStuckPods, "unstick", false,
		"delete pods that keep an ordered rollout from moving on (component unstick grants it)")
	o.slack.bind(f)
	o.news.bind(f)
	o.alerts.bind(f)
	f.BoolVar(&o.version, "version", false, "print the version")
	f.IntVar(&o.workers, "workers", 8, "how many images are worked on at once")
}

// ceiling reads the flags that bound every policy.
func (o *options) ceiling() (reconcile.Ceiling, error) {
	budget, err := reconcile.ParseBudget(o.budget)
	if err != nil {
		return reconcile.Ceiling{}, fmt.Errorf("--budget: %w", err)
	}
	c := reconcile.Ceiling{Mode: v1alpha1.Mode(o.maxMode), Authors: v1alpha1.Authors(o.maxAuthors), Budget: budget,
		NoCrossNamespaceRefs: o.noCrossRefs}
	switch c.Mode {
	case v1alpha1.ModeNotify, v1alpha1.ModeApprove, v1alpha1.ModeAuto:
	default:
		return c, fmt.Errorf("--max-mode %q: want Notify, Approve or Auto", o.maxMode)
	}
	switch c.Authors {
	case v1alpha1.AuthorsAutomation, v1alpha1.AuthorsAnyone:
	default:
		return c, fmt.Errorf("--max-authors %q: want Automation or Anyone", o.maxAuthors)
	}
	return c, nil
}
