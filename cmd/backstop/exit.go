package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/internal/program"
)

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
	// program is what the person types before a command.
	program program.Name
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func badUsage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// takes wants so many arguments, and says what they are where they are too few or too many.
func takes(least, most int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return badUsage("want %s", what)
		case len(args) > most:
			return badUsage("%s: want %s", strings.Join(args, " "), what)
		}
		return nil
	}
}

// notThere is what somebody named that does not exist.
type notThere struct{ error }

// noNamespace says that a namespace is missing; nil where it is there, or may not be read.
func noNamespace(ctx context.Context, cl client.Reader, ns string) error {
	if ns == "" || !apierrors.IsNotFound(cl.Get(ctx, client.ObjectKey{Name: ns}, &corev1.Namespace{})) {
		return nil
	}
	return &notThere{fmt.Errorf("there is no namespace %s", ns)}
}

// exitCode ends the program without a word more than was printed.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// isCobraUsage knows cobra's own complaints, which have no type.
func isCobraUsage(err error) bool {
	for _, prefix := range []string{"unknown command", "unknown flag", "unknown shorthand", "flag needs",
		"invalid argument", "accepts ", "requires at least", "required flag", "if any flags in the group",
		"at least one of the flags"} {
		if strings.HasPrefix(err.Error(), prefix) {
			return true
		}
	}
	return false
}

// Exit codes that scripts can use. A crash ends with a code of its own (crash.go).
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
	// exitUnknown: the answer takes what cannot be had, such as what whoever asks may not read.
	exitUnknown = 3
)
