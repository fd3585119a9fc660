// Command backstop is what people and CI run: it reads what the sidecar does, decides, explains, and checks changes.
//
//	main ── run(ctx, args) ──► one command: flags → clients → engine or table
//
// There is no logic here, only wiring. It is a plugin of kubectl and of flux too, under the
// names kubectl-backstop and flux-backstop.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/backstop-dev/backstop/internal/build"
	"github.com/backstop-dev/backstop/internal/program"
	"github.com/backstop-dev/backstop/reconcile"
)

func main() {
	crashAloud()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code := run(ctx, os.Args, streams{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}

// run is the program: args[0] is its name.
func run(ctx context.Context, args []string, std streams) int {
	std.program = program.Called(args[0])
	out, errs := &screen{under: std.out}, &screen{under: std.err}
	std.out, std.err = out, errs
	defer func() { out.flush(); errs.flush() }()
	root := rootCommand(std) //nolint:contextcheck // commands get ctx from cobra
	root.SetArgs(args[1:])
	err := root.ExecuteContext(ctx)
	if err == nil && out.lost != nil {
		err = fmt.Errorf("print: %w", out.lost)
	}
	var usage *usageError
	var missing *notThere
	var code exitCode
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage) || isCobraUsage(err):
		fmt.Fprintf(std.err, "backstop: %s\nRun '%[2]s --help' or '%[2]s COMMAND --help' for usage.\n", err, std.program)
		return exitUsage
	case errors.As(err, &missing):
		fmt.Fprintf(std.err, "backstop: %s\n", err)
		return exitUsage
	case apierrors.IsForbidden(err) || reconcile.KindOf(err) == reconcile.FaultNoRights:
		fmt.Fprintf(std.err, "backstop: %s\n", err)
		return exitUnknown
	}
	if unanswered, ok := errors.AsType[*noAnswer](err); ok {
		// What was about to be asked helps nobody.
		err = unanswered
	}
	fmt.Fprintf(std.err, "backstop: %s\n", err)
	return exitError
}

const longHelp = `Backstop runs beside Flux. When an image in Git cannot run, it finds the commit that brought it in,
reverts it in Git, keeps image automation from writing it back, asks Flux to apply the revert,
and checks that it arrived.

That is the sidecar's work, in the cluster. These commands read what it does, decide, help by hand, and keep what
cannot run from being merged.`

func rootCommand(std streams) *cobra.Command {
	root := &cobra.Command{
		Use: "backstop", Long: longHelp, SilenceUsage: true, SilenceErrors: true,
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: std.program.String()},
		Version:     fmt.Sprintf("%s (%s, %s/%s)", build.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return filled(cmd.Flags())
		},
	}
	root.SetVersionTemplate("backstop {{.Version}}\n")
	root.AddCommand(
		getCommand(std), approveCommand(std), rejectCommand(std), liftCommand(std),
		blameCommand(std), revertCommand(std), traceCommand(std), doctorCommand(std), checkCommand(std),
		versionCommand(std),
	)
	root.SetOut(std.out)
	root.SetErr(std.err)
	// The command completion keeps what was set for output until here.
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	inOurWords(root)
	inThisProgramsName(root, std.program)
	return root
}

// inOurWords has the commands that cobra brings listed like ours, and refuses a shell that has no completions.
func inOurWords(root *cobra.Command) {
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Short = "print the help of a command"
			c.PreRunE = func(_ *cobra.Command, args []string) error {
				_, _, err := root.Find(args)
				return err
			}
		case "completion":
			c.Short = "print the completions for a shell"
			c.Args = func(_ *cobra.Command, args []string) error {
				if len(args) > 0 {
					return badUsage("%s: want bash, zsh, fish or powershell", strings.Join(args, " "))
				}
				return nil
			}
			c.DisableFlagsInUseLine = true
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
}

// inThisProgramsName finishes the help of each command: ours says $backstop for the program, and cobra's, of the
// commands that print completions, the name of the root.
func inThisProgramsName(cmd *cobra.Command, name program.Name) {
	if p := cmd.Parent(); p != nil && p.Name() == "completion" {
		cmd.Long = strings.ReplaceAll(cmd.Long, cmd.Root().Name()+" completion", name.Command("completion"))
	}
	cmd.Long, cmd.Example = name.Help(cmd.Long), name.Help(cmd.Example)
	for _, c := range cmd.Commands() {
		inThisProgramsName(c, name)
	}
}
