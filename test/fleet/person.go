package fleet

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/backstop-dev/backstop/test/gitserver"
)

// Person is somebody with a work tree of a repository. Its pushes go to the
// repository's folder and not through a server, whose faults are for others.
type Person struct {
	// Name of the author; the address is made of it.
	Name string
	// Dir is the work tree.
	Dir string
	// Repo is the folder of the bare repository.
	Repo string
}

// NewPerson clones a bare repository into an empty folder. An empty repository is fine.
func NewPerson(ctx context.Context, name, repo, dir string) (*Person, error) {
	p := &Person{Name: name, Dir: dir, Repo: repo}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=" + Branch},
		{"remote", "add", "origin", repo},
	} {
		if _, err := p.Git(ctx, args...); err != nil {
			return nil, err
		}
	}
	if tip, err := p.Git(ctx, "ls-remote", "origin", "refs/heads/"+Branch); err != nil || tip == "" {
		return p, err
	}
	return p, p.Pull(ctx)
}

// Git runs git in the work tree and gives what it prints, without the white space around it.
func (p *Person) Git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = p.Dir
	email := strings.ToLower(strings.ReplaceAll(p.Name, " ", ".")) + "@example.com"
	cmd.Env = append(gitserver.Env(), "HOME="+p.Dir, "GIT_AUTHOR_NAME="+p.Name, "GIT_AUTHOR_EMAIL="+email,
		"GIT_COMMITTER_NAME="+p.Name, "GIT_COMMITTER_EMAIL="+email)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}

// Pull brings the work tree to the tip, and forgets what was not pushed.
func (p *Person) Pull(ctx context.Context) error {
	if _, err := p.Git(ctx, "fetch", "--quiet", "origin", Branch); err != nil {
		return err
	}
	_, err := p.Git(ctx, "checkout", "--quiet", "--force", "-B", Branch, "FETCH_HEAD")
	return err
}

// Write puts files into the work tree; an empty text takes one away.
func (p *Person) Write(files map[string]string) error {
	for name, text := range files {
		path := filepath.Join(p.Dir, name)
		if text == "" {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("remove %s: %w", name, err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// Push commits everything in the work tree and pushes it, and gives the commit.
func (p *Person) Push(ctx context.Context, message string) (string, error) {
	for _, args := range [][]string{
		{"add", "--all"},
		{"commit", "--quiet", "-m", message},
		{"push", "--quiet", "origin", "HEAD:refs/heads/" + Branch},
	} {
		if _, err := p.Git(ctx, args...); err != nil {
			return "", err
		}
	}
	return p.Git(ctx, "rev-parse", "HEAD")
}

// Change pulls, edits one file, commits and pushes. It starts over when somebody else was faster.
func (p *Person) Change(ctx context.Context, file, message string, edit func(string) string) (string, error) {
	for attempt := 1; ; attempt++ {
		if err := p.Pull(ctx); err != nil {
			return "", err
		}
		text, err := os.ReadFile(filepath.Join(p.Dir, file))
		if err != nil {
			return "", fmt.Errorf("read %s: %w", file, err)
		}
		after := edit(string(text))
		if after == string(text) {
			return "", fmt.Errorf("edit %s: nothing changed", file)
		}
		if err := p.Write(map[string]string{file: after}); err != nil {
			return "", err
		}
		commit, err := p.Push(ctx, message)
		if err == nil || attempt == 10 {
			return commit, err
		}
	}
}

// Revert is git revert of a commit, pushed.
func (p *Person) Revert(ctx context.Context, commit string) (string, error) {
	if err := p.Pull(ctx); err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"revert", "--no-edit", commit},
		{"push", "--quiet", "origin", "HEAD:refs/heads/" + Branch},
	} {
		if _, err := p.Git(ctx, args...); err != nil {
			return "", err
		}
	}
	return p.Git(ctx, "rev-parse", "HEAD")
}
