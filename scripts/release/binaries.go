package release

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// compiled is the folder of a binary before it is packed.
func (r *release) compiled(p platform, name string) string {
	return filepath.Join(r.out, "bin", p.os+"-"+p.arch, p.binary(name))
}

// binaries compiles the commands for every platform, and the sidecar for Linux, where it runs.
func (r *release) binaries(ctx context.Context) error {
	for _, p := range r.platforms {
		if err := r.compile(ctx, p, "backstop", "./cmd/backstop"); err != nil {
			return err
		}
		if p.os != "linux" {
			continue
		}
		if err := r.compile(ctx, p, "sidecar", "./cmd/sidecar"); err != nil {
			return err
		}
	}
	return nil
}

// compile builds one package as a static binary. What a user's environment may say of the build is said here.
func (r *release) compile(ctx context.Context, p platform, name, pkg string) error {
	out, err := filepath.Abs(r.compiled(p, name))
	if err != nil {
		return err
	}
	_, err = r.command(ctx, []string{
		"CGO_ENABLED=0", "GOOS=" + p.os, "GOARCH=" + p.arch, "GOAMD64=v1", "GOARM64=v8.0",
		"GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off",
	}, "go", "build", "-buildvcs=true", "-trimpath",
		"-ldflags", "-s -w -X github.com/backstop-dev/backstop/internal/build.release="+r.version, "-o", out, pkg)
	if err != nil {
		return err
	}
	return r.stamped(out)
}

// stamped checks that Go wrote the commit into a binary. In a linked worktree it writes none, so that the bytes would
// be others than those of a clone.
func (r *release) stamped(binary string) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("read what %s was built from: %w", binary, err)
	}
	says := map[string]string{}
	for _, s := range info.Settings {
		says[s.Key] = s.Value
	}
	if says["vcs.revision"] != r.commit || says["vcs.modified"] != "false" {
		return fmt.Errorf("%s names the commit %q (modified: %q), want %s: make the release in a clone, "+
			"not in a linked worktree", filepath.Base(binary), says["vcs.revision"], says["vcs.modified"], r.commit)
	}
	return nil
}

// completions are the shells' files, as the program that was just built for this machine writes them.
func (r *release) completions(ctx context.Context) ([]file, error) {
	here := platform{runtime.GOOS, runtime.GOARCH}
	program, err := filepath.Abs(r.compiled(here, "backstop"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("completions are written by the program itself: build for %s too: %w", here, err)
	}
	var out []file
	for _, c := range []struct{ shell, name string }{
		{"bash", "completions/backstop.bash"}, {"zsh", "completions/_backstop"}, {"fish", "completions/backstop.fish"},
	} {
		text, err := r.command(ctx, nil, program, "completion", c.shell)
		if err != nil {
			return nil, err
		}
		out = append(out, file{name: c.name, mode: 0o644, data: []byte(text + "\n")})
	}
	return out, nil
}
