// Command sidecar is Backstop in the cluster: it watches, reverts in Git what a RollbackPolicy lets it revert, and
// tells.
//
//	flags ──► clients, adapters ──► engine ◄── watcher (keys)      one Lease, one leader
//	                                  └──► tellers: events, metrics, Slack, Flux events, console
//
// There is no logic here, only wiring. What renders charts or asks clouds is linked into cmd/backstop alone.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/backstop-dev/backstop/internal/build"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// Exit codes that a supervisor sees.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	o, err := parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Fprint(out, o.help())
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(errs, "backstop: %s\nRun the sidecar with --help for its flags.\n", err)
		return exitUsage
	}
	if o.version {
		fmt.Fprintf(out, "backstop %s (%s, %s/%s)\n", build.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return exitOK
	}
	if err := o.run(ctx, out, errs); err != nil {
		fmt.Fprintf(errs, "backstop: %s\n", err)
		return exitError
	}
	return exitOK
}

func (o *options) run(ctx context.Context, out, errs io.Writer) error {
	cfg, _, err := kube.Config(o.kubeconfig, "")
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(errs, &slog.HandlerOptions{Level: o.level, ReplaceAttr: text.MaskAttr}))
	s, err := o.assemble(cfg, log) //nolint:contextcheck // a scrape of the metrics has no context
	if err != nil {
		return err
	}
	stopTelling, err := s.tellMore(ctx, o, out)
	if err != nil {
		return err
	}
	defer stopTelling()
	stopServing, err := s.serve(ctx, o.metricsAddr, o.healthAddr)
	if err != nil {
		return err
	}
	defer stopServing()
	stopClicks, err := s.serveClicks(ctx, o.slack.httpAddr)
	if err != nil {
		return err
	}
	defer stopClicks()
	stopAlerts, err := s.serveAlerts(ctx, o.alerts.addr)
	if err != nil {
		return err
	}
	defer stopAlerts()
	log.Info("backstop", "version", build.Version(), "cluster", o.cluster, "max-mode", o.maxMode, "budget",
		o.top.Budget.String())
	return s.lead(ctx, o)
}
