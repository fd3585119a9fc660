// Package release makes everything that a release of Backstop is made of, on one machine and without Docker.
//
//	release build -version v0.1.0 -o dist/release    all of it, into one folder
//	release check -version v0.1.0 -o dist/release    builds it again from a clone elsewhere, and compares every byte
//	release sign -key KEY -o dist/release            signs checksums and artifacts, as cosign does
//	release verify -key PUBLIC -o dist/release       checks the signatures and every byte that they stand for
//	release push -to REGISTRY -o dist/release        pushes the artifacts and their signatures
//	release image …                                  the image alone
//
// The same commit, version and Go give the same bytes: paths are trimmed, lists are sorted, and the only time is the
// commit's. A signature is the exception, so it is made apart.
package release

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/scripts/image"
)

const (
	source   = "https://github.com/backstop-dev/backstop"
	registry = "ghcr.io/backstop-dev"
)

// The repositories of what is pushed, below a registry's folder.
const (
	imageRepository     = "backstop"
	manifestsRepository = "manifests/backstop"
	chartRepository     = "charts/backstop"
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
	return fmt.Errorf("%q is none of build, check, sign, verify, push and image", args[0])
}

// release is what is made, and from what.
type release struct {
	root, out string
	// version has its v, bare has none.
	version, bare string
	commit        string
	created       time.Time
	platforms     []platform
	goVersion     string
	// What later steps need of earlier ones.
	archives    map[platform]archive
	imageDigest string
	tree        []file
}

var semantic = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`)

// newRelease looks at the checkout: a release is made of a commit, never of what only lies in a folder.
func newRelease(ctx context.Context, root, out, version, platforms string) (*release, error) {
	if !semantic.MatchString(version) {
		return nil, fmt.Errorf("-version %q: want a semantic version with its v, such as v0.1.0", version)
	}
	r := &release{root: root, out: out, version: version, bare: version[1:], archives: map[platform]archive{}}
	dirty, err := r.command(ctx, nil, "git", "status", "--porcelain")
	if err != nil {
		return nil, err
	}
	if dirty != "" {
		return nil, fmt.Errorf("the checkout differs from its commit: commit or remove\n%s", dirty)
	}
	if r.commit, err = r.command(ctx, nil, "git", "rev-parse", "HEAD"); err != nil {
		return nil, err
	}
	seconds, err := r.command(ctx, nil, "git", "log", "-1", "--format=%ct")
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read the time of the commit: %w", err)
	}
	r.created = time.Unix(n, 0).UTC()
	if r.goVersion, err = r.command(ctx, nil, "go", "env", "GOVERSION"); err != nil {
		return nil, err
	}
	r.platforms, err = parsePlatforms(platforms)
	return r, err
}

// command runs a program in the checkout and gives what it prints.
func (r *release) command(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSpace(string(out)), nil
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
