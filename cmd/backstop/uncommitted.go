package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
)

// uncommitted reports that the work tree names an image which no file of the deployed commit does. It gives any other
// error as it is.
func uncommitted(ctx context.Context, dir, tip, image string, err error) error {
	if _, refused := reconcile.AsRefusal(err); !refused || image == "" {
		return err
	}
	grep := func(args ...string) string {
		common := []string{"-C", dir, "grep", "--line-number", "-I", "--fixed-strings", "--word-regexp", "-e", image}
		out, err := exec.CommandContext(ctx, "git", append(common, args...)...).Output()
		if err != nil {
			return ""
		}
		return string(out)
	}
	found := grep("--full-name", "--untracked", "--", ":/")
	if found == "" || grep(tip, "--", ":/") != "" || grep("HEAD", "--", ":/") != "" {
		return err
	}
	file, rest, _ := strings.Cut(found, ":")
	line, _, _ := strings.Cut(rest, ":")
	return fmt.Errorf("%s:%s in the work tree says %s, and %s does not: what is not committed runs nowhere",
		oneLine(file), line, oneLine(image), text.Short(tip))
}
