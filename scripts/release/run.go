package release

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/backstop-dev/backstop/scripts/image"
)

// Run is the command.
func Run(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("want build, check, sign, verify, push or image")
	}
	if args[0] == "image" {
		return image.Run(args[1:], stdout)
	}
	flags := flag.NewFlagSet("release "+args[0], flag.ContinueOnError)
	root := flags.String("root", ".", "the checkout")
	out := flags.String("o", "dist/release", "folder of the release")
	version := flags.String("version", "", "version, such as v0.1.0")
	only := flags.String("platforms", allPlatforms, "platforms to build for")
	key := flags.String("key", "", "key in PEM, private to sign, public to verify; COSIGN_PASSWORD opens an encrypted one")
	to := flags.String("to", registry, "registry and folder to push to")
	fresh := flags.Bool("fresh", false, "check: compile everything anew too, with an empty build cache")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "sign":
		return sign(*out, *key)
	case "verify":
		return verify(*out, *key, stdout)
	case "push":
		return push(ctx, *out, *to, stdout)
	case "build", "check":
		r, err := newRelease(ctx, *root, *out, *version, *only)
		if err != nil {
			return err
		}
		if args[0] == "check" {
			return r.check(ctx, *fresh, stdout)
		}
		return r.build(ctx, stdout)
	}
	return fmt.Errorf("%q is not one of build, check, sign, verify, push and image", args[0])
}

// build makes all of it, step by step, in a folder that is replaced.
func (r *release) build(ctx context.Context, stdout io.Writer) error {
	if err := os.RemoveAll(r.out); err != nil {
		return fmt.Errorf("remove the old release: %w", err)
	}
	for _, step := range []struct {
		says string
		do   func(context.Context) error
	}{
		{"binaries", r.binaries},
		{"archives with completions, and their SBOMs", r.pack},
		{"the image with SBOM and provenance", r.image},
		{"install.yaml, and the kustomizations as an artifact for Flux", r.manifests},
		{"the chart", r.chart},
		{"manifests for Krew and for flux plugin", r.plugins},
		{"provenance and checksums", r.sums},
	} {
		start := time.Now()
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("make %s: %w", step.says, err)
		}
		fmt.Fprintf(stdout, "%6.1f s  %s\n", time.Since(start).Seconds(), step.says)
	}
	fmt.Fprintf(stdout, "%s of %.12s is in %s: ghcr.io/backstop-dev/backstop:%s@%s\n",
		r.version, r.commit, r.out, r.version, r.imageDigest)
	return nil
}
