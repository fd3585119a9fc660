package release

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// check builds the release again from a clone in another folder, and compares every file.
func (r *release) check(ctx context.Context, fresh bool, stdout io.Writer) error {
	scratch, err := os.MkdirTemp("", "backstop-again-")
	if err != nil {
		return fmt.Errorf("make a folder for the second build: %w", err)
	}
	defer func() {
		_ = os.RemoveAll(scratch)
	}()
	clone, out := filepath.Join(scratch, "another-folder"), filepath.Join(scratch, "release")
	if _, err := r.command(ctx, nil, "git", "clone", "--quiet", ".", clone); err != nil {
		return err
	}
	if _, err := r.command(ctx, nil, "git", "-C", clone, "checkout", "--quiet", "--detach", r.commit); err != nil {
		return err
	}
	env := []string{"TZ=Pacific/Kiritimati", "LC_ALL=C"}
	if fresh {
		env = append(env, "GOCACHE="+filepath.Join(scratch, "cache"))
	}
	var list []string
	for _, p := range r.platforms {
		list = append(list, p.String())
	}
	again := *r
	again.root = clone
	if _, err := again.command(ctx, env, "go", "run", "./scripts/release/cmd", "build",
		"-version", r.version, "-o", out, "-platforms", strings.Join(list, ",")); err != nil {
		return err
	}
	n, err := same(r.out, out)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "built twice: %d files, the same bytes\n", n)
	return nil
}

// same compares two folders and describes what differs first.
func same(a, b string) (int, error) {
	n := 0
	for _, way := range [][2]string{{a, b}, {b, a}} {
		err := filepath.WalkDir(way[0], func(at string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			rel, err := filepath.Rel(way[0], at)
			if err != nil {
				return err
			}
			one, err := os.ReadFile(at)
			if err != nil {
				return err
			}
			other, err := os.ReadFile(filepath.Join(way[1], rel))
			if err != nil {
				return fmt.Errorf("only one of two builds has %s: %w", rel, err)
			}
			if !bytes.Equal(one, other) {
				return fmt.Errorf("%s differs between two builds", rel)
			}
			n++
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return n / 2, nil
}
