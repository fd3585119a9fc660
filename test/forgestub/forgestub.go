// Package forgestub serves one repository on loopback as GitHub, GitLab or Gitea do: the Git server, with the words of
// its provider where a push to a protected branch is refused, and the API for pull requests beside it. It is made for
// tests. What merges is git itself, so that a squash or a rebase loses what it loses at the provider too.
package forgestub

import (
	"errors"
	"net/http"
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
	// Branch that is deployed and protected; main where it is empty.
	Branch string
	// Prefix is a relative root before everything, such as "/git".
	Prefix string
	// Protected refuses pushes to the branch; ButAutomation lets those through that hold nothing of Backstop's.
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
	// moved is what the repository is called since it was renamed.
	moved string
	// signed are the commits that the provider signed.
	signed  map[string]bool
	answers gitserver.Answers // of git

	described   *description
	undescribed []string
}

// Rules are what the provider makes of merging.
type Rules struct {
	// Approvals that are needed.
	Approvals int
	// Checks that are needed and did not pass yet.
	Checks []string
	// Passed is how many others did, where the provider lists them all.
	Passed int
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
	// Unlearned is how often the provider says that there is no such branch before it knows of a push.
	Unlearned int
	// Ways to merge are those that a ruleset of the branch allows, which everybody sees; all where empty. Linear takes no
	// merge commit, and is shown to nobody.
	Ways   []string
	Linear bool
	// UpToDate merges nothing that does not hold the newest commit of its base.
	UpToDate bool
	// CodeOwners and Reviewers are asked for the approvals that are needed.
	CodeOwners, Reviewers []string
	// Archived takes no more writes, and ReadOnly none of the token's user.
	Archived, ReadOnly bool
	// Scopes of the token, where the provider shows them, and Ends, when it ends.
	Scopes []string
	Ends   string
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
	Draft, Armed, Queued, Fork    bool
	ArmedHead, Commit, ClosedHead string
	LastHead                      string
	Comments                      []string
	// Says is the word that GitLab has for its state, in place of that which follows from the rules.
	Says *string
}

// Start serves until Close. The repository has no commit yet.
func Start(o Options) (*Forge, error) {
	if o.Project == "" {
		o.Project = Project
	}
	if o.Branch == "" {
		o.Branch = "main"
	}
	s, err := gitserver.Start(gitserver.Options{})
	if err != nil {
		return nil, err
	}
	f := &Forge{Server: s, Kind: o.Kind, options: o, labels: []string{"backstop"}}
	if f.described, err = described(o.Kind); err != nil {
		return nil, errors.Join(err, s.Close())
	}
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

// hook refuses pushes to the branch in the provider's words.
func (f *Forge) hook() string {
	words := map[Kind]string{
		GitHub: "error: GH006: Protected branch update failed for refs/heads/" + f.options.Branch + ".\nerror:\n" +
			"error: Changes must be made through a pull request.",
		GitLab: "GitLab: You are not allowed to push code to protected branches on this project.",
		Gitea:  "Gitea: Not allowed to push to protected branch " + f.options.Branch,
	}[f.Kind]
	if f.options.Refusal != "" {
		words = f.options.Refusal
	}
	whose := ""
	if f.options.ButAutomation {
		whose = " && git log --format=%B $old..$new | grep -q '^Backstop-Kind:'"
	}
	return "while read old new ref; do if [ \"$ref\" = refs/heads/" + f.options.Branch + " ] && [ \"$old\" != " +
		strings.Repeat("0", 40) + " ]" + whose + "; then cat >&2 <<'WORDS'\n" + words + "\nWORDS\nexit 1; fi; done"
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

// SetLabels changes which labels the repository has.
func (f *Forge) SetLabels(names ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.labels = names
}

// Rename gives the repository another name: its old one leads there.
func (f *Forge) Rename(project string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moved = project
}

// project is what the repository is called now.
func (f *Forge) project() string {
	if f.moved != "" {
		return f.moved
	}
	return f.options.Project
}

// Verified reports whether the provider signed a commit.
func (f *Forge) Verified(commit string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.signed[commit]
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

// closed is a pull request that the API closes, which none of them takes for armed any more but Gitea.
func (f *Forge) closed(pr *PR) {
	pr.State, pr.By, pr.Queued = "closed", Bot, false
	pr.Armed = pr.Armed && f.Kind == Gitea
}

// edit takes what an edit says.
func (pr *PR) edit(title, body string) {
	if title != "" {
		pr.Title = title
	}
	if body != "" {
		pr.Body = body
	}
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

// unlearned reports whether the provider does not know of a branch: it learns of it a moment after the push.
func (f *Forge) unlearned(branch string) bool {
	if f.rules.Unlearned > 0 {
		f.rules.Unlearned--
		return true
	}
	return f.tip(branch) == ""
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
