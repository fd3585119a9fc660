package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/backstop-dev/backstop/internal/build"
)

// versionInfo is what scripts read.
type versionInfo struct {
	Version   string `json:"version"`
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
}

func versionCommand(std streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "version", Short: "print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := versionInfo{build.Version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			switch output {
			case "json", "yaml":
				return printObject(std.out, output, v)
			case "":
				fmt.Fprintf(std.out, "backstop %s (%s, %s)\n", v.Version, v.GoVersion, v.Platform)
				return nil
			}
			return badUsage("output %q: want json or yaml", output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json or yaml")
	completeFlag(cmd, "output", outputs("json", "yaml"))
	return cmd
}
