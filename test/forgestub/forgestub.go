// Package forgestub serves one repository on loopback as GitHub, GitLab or Gitea do: the Git server, with the words of
// its provider where a push to a protected branch is refused, and the API for pull requests beside it. It is made for
// tests. What merges is git itself, so that a squash or a rebase loses what it loses at the provider too.
package forgestub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"

	"github.com/backstop-dev/backstop/test/gitserver"
)

// Kind is whose words and calls are spoken.
type Kind string

// The kinds.
const (
	GitHub Kind = "GitHub"
	GitLab Kind = "GitLab"
	Gitea  Kind = "Gitea"
)

// Project is the path of the repository.
const Project = "acme/fleet"

// Token is what the API and Git take.
const Token = "stub-token-0123456789"

// Bot is the name that goes with it.
const Bot = "backstop-bot"

// Options of a stub.
type Options struct {
	// Kind of provider.
	Kind Kind
	// Project, where it is another one than acme/fleet.
	Project string
	// Prefix is a relative root before everything, such as "/git".
	Prefix string
	// Protected refuses pushes to main; ButAutomation lets those through that hold nothing of Backstop's.
	Protected, ButAutomation bool
	// Refusal is what such a push is told, where it is something else than that it takes a pull request.
	Refusal string
}

// Forge is a running stub.
type Forge struct {
	*gitserver.Server
	// Repo is the folder of the bare repository.
	Repo string
	// Kind of provider.
	Kind Kind

	options Options
	mu      sync.Mutex
	prs     []*PR
	calls   []string
	fault   func(w http.ResponseWriter, r *http.Request) bool
	rules   Rules
	labels  []string
}

// Rules are what the provider makes of merging.
type Rules struct {
	// Approvals that are needed.
	Approvals int
	// Checks that are needed and did not pass yet.
	Checks []string
	// Methods that are allowed; all where empty. Method is the one that a person's or the server's merge takes.
	Methods []string
	Method  string
	// Queue has every merge go through the merge queue, or the merge train.
	Queue bool
	// NoAutoMerge does not let the server merge by itself.
	NoAutoMerge bool
	// Refuses is what every merge is refused with: a status and words.
	Refuses      int
	RefusesWords string
	// Computing keeps the provider from knowing whether it merges.
	Computing bool
	// Hidden answers 404 to everything, as to a token that may not see the repository.
	Hidden bool
}

// PR is a pull request of the stub.
type PR struct {
	Number                        int64
	Title, Body, Branch, Base     string
	State                         string
	By                            string
	Labels                        []string
	Approvals                     int
	Draft, Armed, Queued          bool
	ArmedHead, Commit, ClosedHead string
}

// Start serves until Close. The repository has no commit yet.
func Start(o Options) (*Forge, error) {
	if o.Project == "" {
		o.Project = Project
	}
	s, err := gitserver.Start(gitserver.Options{})
	if err != nil {
		return nil, err
	}
	f := &Forge{Server: s, Kind: o.Kind, options: o, labels: []string{"backstop"}}
	if f.Repo, err = s.Create(strings.TrimPrefix(o.Prefix+"/", "/") + o.Project + ".git"); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if o.Protected {
		if err := gitserver.Hook(f.Repo, "pre-receive", f.hook()); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	s.SetFault(f.serve)
	return f, nil
}

// RepoURL is what Git clones.
func (f *Forge) RepoURL() string { return f.URL + f.options.Prefix + "/" + f.options.Project + ".git" }

// hook refuses pushes to main in the provider's words.
func (f *Forge) hook() string {
	words := map[Kind]string{
		GitHub: "error: GH006: Protected branch update failed for refs/heads/main.\nerror:\n" +
			"error: Changes must be made through a pull request.",
		GitLab: "GitLab: You are not allowed to push code to protected branches on this project.",
		Gitea:  "Gitea: Not allowed to push to protected branch main",
	}[f.Kind]
	if f.options.Refusal != "" {
		words = f.options.Refusal
	}
	whose := ""
	if f.options.ButAutomation {
		whose = " && git log --format=%B $old..$new | grep -q '^Backstop-Kind:'"
	}
	return "while read old new ref; do if [ \"$ref\" = refs/heads/main ] && [ \"$old\" != " + strings.Repeat("0", 40) +
		" ]" + whose + "; then cat >&2 <<'WORDS'\n" + words + "\nWORDS\nexit 1; fi; done"
}

// SetFault answers requests of the API in the stub's place; nil takes it away.
func (f *Forge) SetFault(fault func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// SetRules changes what merging takes.
func (f *Forge) SetRules(r Rules) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = r
	f.mergeArmed()
}

// Calls lists what the API was asked, such as "POST pulls". What was answered with 304 ends in " unchanged".
func (f *Forge) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// PRs lists the pull requests.
func (f *Forge) PRs() []PR {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []PR
	for _, pr := range f.prs {
		out = append(out, *pr)
	}
	return out
}

// Approve reviews a pull request; one that is armed is merged when nothing else is missing.
func (f *Forge) Approve(number int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pr(number).Approvals++
	f.mergeArmed()
}

// MergeAs merges a pull request as a person does in the browser.
func (f *Forge) MergeAs(number int64, by, method string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.merge(f.pr(number), by, method, "")
}

// CloseAs closes a pull request as a person does.
func (f *Forge) CloseAs(number int64, by string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	pr := f.pr(number)
	pr.State, pr.By, pr.Armed = "closed", by, false
}

// Change changes a pull request.
func (f *Forge) Change(number int64, change func(*PR)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.pr(number))
}

// Open opens a pull request as somebody else does.
func (f *Forge) Open(title, branch, base string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open(&PR{Title: title, Branch: branch, Base: base}).Number
}

func (f *Forge) open(pr *PR) *PR {
	pr.Number, pr.State = int64(len(f.prs)+1), "open"
	f.prs = append(f.prs, pr)
	return pr
}

func (f *Forge) pr(number int64) *PR {
	if number < 1 || int(number) > len(f.prs) {
		return nil
	}
	return f.prs[number-1]
}

// opened is the open pull request of a branch.
func (f *Forge) opened(branch, base string) *PR {
	for _, pr := range f.prs {
		if pr.State == "open" && pr.Branch == branch && pr.Base == base {
			return pr
		}
	}
	return nil
}

// Git runs git in the repository, and gives what it prints.
func (f *Forge) Git(args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-C", f.Repo}, args...)...)
	cmd.Env = append(gitserver.Env(), "GIT_AUTHOR_NAME=Jane", "GIT_AUTHOR_EMAIL=jane@example.com",
		"GIT_COMMITTER_NAME=Web", "GIT_COMMITTER_EMAIL=web@example.com")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return strings.TrimSpace(string(out)), fmt.Errorf("git %s: %w: %s", args[0], err, &stderr)
	}
	return strings.TrimSpace(string(out)), nil
}

func (f *Forge) tip(branch string) string {
	out, err := f.Git("rev-parse", "--verify", "--quiet", "refs/heads/"+branch)
	if err != nil {
		return ""
	}
	return out
}

// blocked says what a pull request waits for: approvals, checks, draft, conflict; empty when nothing.
func (f *Forge) blocked(pr *PR) string {
	switch {
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

// serve answers requests of the API. It says false for those of Git.
func (f *Forge) serve(w http.ResponseWriter, r *http.Request) bool {
	path, below := strings.CutPrefix(r.URL.EscapedPath(), f.options.Prefix)
	if !below {
		http.NotFound(w, r)
		return true
	}
	api, ours := strings.CutPrefix(path, map[Kind]string{
		GitHub: "/api/v3/", GitLab: "/api/v4/", Gitea: "/api/v1/"}[f.Kind])
	if f.Kind == GitHub && path == "/api/graphql" {
		api, ours = "graphql", true
	}
	if !ours {
		return f.git(w, r, path)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault != nil && f.fault(w, r) {
		f.calls = append(f.calls, r.Method+" "+api+" faulted")
		return true
	}
	if f.anonymous(w, r, api) {
		return true
	}
	f.calls = append(f.calls, r.Method+" "+api)
	if f.rules.Hidden {
		f.answer(w, r, http.StatusNotFound, map[string]any{"message": "Not Found"})
		return true
	}
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	call := call{w: w, r: r, path: api, body: body}
	switch f.Kind {
	case GitHub:
		f.github(call)
	case GitLab:
		f.gitlab(call)
	case Gitea:
		f.gitea(call)
	}
	return true
}

// git lets Git's own requests through to whoever has the token.
func (f *Forge) git(w http.ResponseWriter, r *http.Request, path string) bool {
	if !strings.HasPrefix(path, "/"+f.options.Project+".git/") {
		http.NotFound(w, r)
		return true
	}
	if _, password, _ := r.BasicAuth(); password != Token && r.Header.Get("Authorization") != "Bearer "+Token {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return true
	}
	return false
}

// anonymous answers those without the token.
func (f *Forge) anonymous(w http.ResponseWriter, r *http.Request, api string) bool {
	if api == "version" && f.Kind == Gitea {
		f.answer(w, r, http.StatusOK, map[string]any{"version": "1.26.0"})
		return true
	}
	if f.Kind == GitHub {
		w.Header().Set("X-GitHub-Request-Id", "1")
	}
	_, password, _ := r.BasicAuth()
	if password == Token || slices.Contains([]string{"Bearer " + Token, "token " + Token}, r.Header.Get("Authorization")) {
		return false
	}
	words := map[Kind]string{GitHub: "Bad credentials", GitLab: "401 Unauthorized",
		Gitea: "invalid username, password or token"}
	f.answer(w, r, http.StatusUnauthorized, map[string]any{"message": words[f.Kind]})
	return true
}

// call is a request of the API.
type call struct {
	w    http.ResponseWriter
	r    *http.Request
	path string
	body map[string]any
}

func (c call) text(key string) string { s, _ := c.body[key].(string); return s }

func (c call) is(key string) bool { b, _ := c.body[key].(bool); return b }

// answer writes JSON, with a mark by which it can be asked for again.
func (f *Forge) answer(w http.ResponseWriter, r *http.Request, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodGet && status == http.StatusOK {
		etag := fmt.Sprintf(`"%x"`, sum(raw))
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			f.calls[len(f.calls)-1] += " unchanged"
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(raw)
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
	if parent == "" && branch != "main" {
		parent = f.tip("main")
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
