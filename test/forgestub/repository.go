package forgestub

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"

	"github.com/backstop-dev/backstop/test/gitserver"
)

// Git runs git in the repository, and gives what it prints.
func (f *Forge) Git(args ...string) (string, error) {
	out, err := f.answers.Of(f.Repo, args, f.run)
	return strings.TrimSpace(out), err
}

func (f *Forge) run(args []string) (string, error) {
	cmd := exec.Command("git", append([]string{"-C", f.Repo}, args...)...)
	cmd.Env = append(gitserver.Env(), "GIT_AUTHOR_NAME=Jane", "GIT_AUTHOR_EMAIL=jane@example.com",
		"GIT_COMMITTER_NAME=Web", "GIT_COMMITTER_EMAIL=web@example.com")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("git %s: %w: %s", args[0], err, &stderr)
	}
	return string(out), nil
}

// diff is what a pull request changes since it left its base, as git prints it.
func (f *Forge) diff(pr *PR, args ...string) string {
	of := f.tip(pr.Base) + "..." + f.tip(pr.Branch)
	out, _ := f.answers.Of(f.Repo, append([]string{"diff", "--no-color", "--no-ext-diff", of}, args...), f.run)
	return out
}

// changes are the hunks of each file, without what git prints before them.
func (f *Forge) changes(pr *PR) map[string]string {
	out := map[string]string{}
	for name := range strings.FieldsSeq(f.diff(pr, "--name-only")) {
		patch := f.diff(pr, "--", name)
		if _, hunks, ok := strings.Cut(patch, "\n@@ "); ok {
			patch = "@@ " + hunks
		}
		out[name] = patch
	}
	return out
}

// escaped is the branch as one segment of a path.
func (f *Forge) escaped() string { return url.PathEscape(f.options.Branch) }

func (f *Forge) tip(branch string) string {
	out, err := f.Git("rev-parse", "--verify", "--quiet", "refs/heads/"+branch)
	if err != nil {
		return ""
	}
	return out
}

// blocked says what a pull request waits for: approvals, checks, draft, conflict, a base that went on, a branch
// that is gone; empty when nothing.
func (f *Forge) blocked(pr *PR) string {
	switch {
	case f.tip(pr.Branch) == "":
		return "gone"
	case f.rules.Computing:
		return "computing"
	case pr.Draft:
		return "draft"
	case pr.Approvals < f.rules.Approvals:
		return "approvals"
	case len(f.rules.Checks) > 0:
		return "checks"
	}
	if _, err := f.Git("merge-tree", "--write-tree", f.tip(pr.Base), f.tip(pr.Branch)); err != nil {
		return "conflict"
	}
	if base, _ := f.Git("merge-base", pr.Base, pr.Branch); f.rules.UpToDate && base != f.tip(pr.Base) {
		return "behind"
	}
	return ""
}

// mergeArmed merges what the server was told to merge and nothing is missing of.
func (f *Forge) mergeArmed() {
	for _, pr := range f.prs {
		if pr.State == "open" && (pr.Armed || pr.Queued) && f.blocked(pr) == "" && !f.rules.Queue {
			_ = f.merge(pr, Bot, "", "")
		}
	}
}

// RunQueue has the merge queue merge what stands in it.
func (f *Forge) RunQueue() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, pr := range f.prs {
		if pr.State == "open" && pr.Queued && f.blocked(pr) == "" {
			if err := f.merge(pr, Bot, "squash", ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// merge makes one commit more of the base, in the way that is asked for.
func (f *Forge) merge(pr *PR, by, method, message string) error {
	if method == "" {
		method = f.rules.Method
	}
	base, head := f.tip(pr.Base), f.tip(pr.Branch)
	tree, err := f.Git("merge-tree", "--write-tree", base, head)
	if err != nil {
		return err
	}
	if message == "" {
		message = fmt.Sprintf("%s (#%d)", pr.Title, pr.Number)
	}
	var commit string
	switch method {
	case "squash":
		commit, err = f.Git("commit-tree", tree, "-p", base, "-m", message)
	case "rebase":
		commit, err = f.rebase(base, head)
	default:
		commit, err = f.Git("commit-tree", tree, "-p", base, "-p", head, "-m", message)
	}
	if err == nil {
		_, err = f.Git("update-ref", "refs/heads/"+pr.Base, commit, base)
	}
	if err == nil {
		pr.State, pr.By, pr.Commit, pr.Armed, pr.Queued = "merged", by, commit, false, false
	}
	return err
}

// rebase makes each commit again on top of the base.
func (f *Forge) rebase(base, head string) (string, error) {
	list, err := f.Git("rev-list", "--reverse", base+".."+head)
	if err != nil {
		return "", err
	}
	onto := base
	for _, c := range strings.Fields(list) {
		// What the base and all commits so far make together.
		tree, err := f.Git("merge-tree", "--write-tree", onto, c)
		if err != nil {
			return "", err
		}
		message, err := f.Git("log", "-1", "--format=%B", c)
		if err != nil {
			return "", err
		}
		if base, err = f.Git("commit-tree", tree, "-p", base, "-m", message); err != nil {
			return "", err
		}
	}
	return base, nil
}

// Commit puts files on a branch of the repository, without a push, and gives the commit.
func (f *Forge) Commit(branch, message string, files map[string]string) (string, error) {
	index, err := os.CreateTemp("", "index-")
	if err != nil {
		return "", fmt.Errorf("make an index: %w", err)
	}
	defer func() { _ = os.Remove(index.Name()) }()
	_ = index.Close()
	_ = os.Remove(index.Name())
	run := func(input string, args ...string) (string, error) {
		cmd := exec.Command("git", append([]string{"-C", f.Repo}, args...)...)
		cmd.Env = append(gitserver.Env(), "GIT_INDEX_FILE="+index.Name(), "GIT_AUTHOR_NAME=Flux",
			"GIT_AUTHOR_EMAIL=flux@example.com", "GIT_COMMITTER_NAME=Flux", "GIT_COMMITTER_EMAIL=flux@example.com")
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("git %s: %w: %s", args[0], err, out)
		}
		return strings.TrimSpace(string(out)), nil
	}
	parent := f.tip(branch)
	if parent == "" && branch != f.options.Branch {
		parent = f.tip(f.options.Branch)
	}
	if parent != "" {
		if _, err := run("", "read-tree", parent); err != nil {
			return "", err
		}
	}
	for path, data := range files {
		blob, err := run(data, "hash-object", "-w", "--stdin")
		if err != nil {
			return "", err
		}
		if _, err := run("", "update-index", "--add", "--cacheinfo", "100644,"+blob+","+path); err != nil {
			return "", err
		}
	}
	tree, err := run("", "write-tree")
	if err != nil {
		return "", err
	}
	args := []string{"commit-tree", tree, "-m", message}
	if parent != "" {
		args = append(args, "-p", parent)
	}
	commit, err := run("", args...)
	if err != nil {
		return "", err
	}
	_, err = run("", "update-ref", "refs/heads/"+branch, commit)
	return commit, err
}
