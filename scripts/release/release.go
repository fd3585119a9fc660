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
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
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

// newRelease looks at the checkout: a release is made of a commit, never of what is only in a folder.
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

// file is what an archive holds.
type file struct {
	name string
	mode int64
	data []byte
}

// archive is what users download for one platform.
type archive struct{ name, sha256 string }
