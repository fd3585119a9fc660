// Command cmd makes a release: see package release.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/backstop-dev/backstop/scripts/release"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := release.Run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}
