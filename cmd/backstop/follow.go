package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// rollbackName takes what kubectl's users type: NAME, rollback/NAME or rollback NAME.
func rollbackName(args []string) (string, error) {
	kind, name, slash := strings.Cut(args[0], "/")
	switch {
	case len(args) > 2 || slash && len(args) > 1:
		return "", badUsage("%s: want the name of one Rollback", strings.Join(args, " "))
	case len(args) == 2:
		name = args[1]
	case !slash:
		return args[0], nil
	}
	if gettable[ungrouped(kind)] != "rollbacks" {
		return "", badUsage("%s: want NAME, rollback/NAME or rollback NAME", strings.Join(args, " "))
	}
	if name == "" {
		return "", badUsage("%s: the name of the Rollback is missing", strings.Join(args, " "))
	}
	return name, nil
}

// follower tells how a Rollback goes on until it has ended.
type follower struct {
	client client.Reader
	out    io.Writer
	// every is how often the Rollback is read.
	every time.Duration
}

// failures are the results with which a command that waited ends as failed.
var failures = map[v1alpha1.Result]bool{
	v1alpha1.ResultFailed: true, v1alpha1.ResultSourceNotFound: true, v1alpha1.ResultExpired: true,
}

// follow prints each change of phase or summary, and gives an exit code for a Rollback that did not end as answered.
// An answer that has not been read yet is no end: an expired Rollback goes on with it.
func (f follower) follow(ctx context.Context, rb *v1alpha1.Rollback, answer v1alpha1.Answer) error {
	key, told := client.ObjectKeyFromObject(rb), ""
	wasAt := rb.Status.Outcome.DeepCopy()
	for {
		s := &rb.Status
		unread := s.Verdict == nil && wasAt != nil && s.Outcome != nil && s.Outcome.At.Equal(&wasAt.At)
		if line := stands(rb, unread); line != told {
			fmt.Fprintf(f.out, "rollback/%s: %s\n", rb.Name, line)
			told = line
		}
		if s.Ended() && !unread {
			return ended(s, answer)
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("rollback/%s has not ended yet (%s): the answer stands, and Backstop goes on",
					rb.Name, s.PhaseNow())
			}
			return ctx.Err()
		case <-time.After(f.every):
		}
		switch err := f.client.Get(ctx, key, rb); {
		case ctx.Err() != nil: // said above
		case apierrors.IsNotFound(err):
			return fmt.Errorf("rollback/%s was deleted", key.Name)
		case err != nil:
			return fmt.Errorf("read rollback %s: %w", key, readable(err))
		}
	}
}

// stands says how a Rollback stands, for whoever has answered it. What asks the question that was answered already says
// nothing to them.
func stands(rb *v1alpha1.Rollback, unread bool) string {
	s := &rb.Status
	line := s.PhaseNow()
	answered := s.Verdict == nil && s.Question != nil && slices.ContainsFunc(rb.Spec.Decisions,
		func(d v1alpha1.Decision) bool { return d.Question == s.Question.ID })
	switch {
	case unread || answered:
		return line + ": waiting for Backstop to read the answer"
	case s.Ended() && s.Outcome.Message != "":
		return line + ": " + s.Outcome.Message
	case s.Question == nil && readyMessage(s.Conditions) != "":
		return line + ": " + readyMessage(s.Conditions)
	case s.Summary != "":
		return line + ": " + s.Summary
	}
	return line
}

// ended says by an exit code whether a Rollback went the way of the answer.
func ended(s *v1alpha1.RollbackStatus, answer v1alpha1.Answer) error {
	other := s.Verdict != nil && s.Verdict.Answer != answer
	if failures[s.Outcome.Result] || other {
		return exitCode(exitError)
	}
	return nil
}

// after tells what comes after an answer: how to follow it, or, with --wait, how it went.
type after struct {
	wait    bool
	timeout time.Duration
}

func (a *after) bind(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.wait, "wait", false,
		"tell how the Rollback goes on until it has ended; exit code 1 if it did not end as answered")
	cmd.Flags().DurationVar(&a.timeout, "timeout", 0, "how long --wait waits (default: until the Rollback has ended)")
}

// check refuses to wait for no time, and a time for what does not wait.
func (a *after) check(flags *pflag.FlagSet) error {
	switch {
	case !flags.Changed("timeout"):
		return nil
	case !a.wait:
		return badUsage("--timeout goes with --wait")
	case a.timeout <= 0:
		return badUsage("--timeout %s: want more than 0s", a.timeout)
	}
	return nil
}

func (a *after) tell(
	cmd *cobra.Command, std streams, cl client.Reader, rb *v1alpha1.Rollback, answer v1alpha1.Answer,
) error {
	if !a.wait {
		fmt.Fprintf(std.out, "Follow it: %s\n", std.program.Command("get rollback %s -n %s -w", rb.Name, rb.Namespace))
		return nil
	}
	ctx, cancel := cmd.Context(), context.CancelFunc(func() {})
	if a.timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, a.timeout)
	}
	defer cancel()
	return follower{client: cl, out: std.out, every: time.Second}.follow(ctx, rb, answer)
}
