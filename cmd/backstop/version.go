package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/backstop-dev/backstop/internal/build"
)

func versionCommand(std streams) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(std.out, "backstop %s (%s, %s/%s)\n", build.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}
