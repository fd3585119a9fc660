package gate

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// refuse explains why a unit is not built at all: it would leave the repository.
func (b *builder) refuse(u *unit) *report.Finding {
	for _, p := range u.closure.Problems {
		if f := b.problem(u, p); f != nil {
			return f
		}
	}
	return nil
}

// problem makes a finding of a reference that the closure does not follow; nil for a remote one that is allowed.
func (b *builder) problem(u *unit, p manifest.Problem) *report.Finding {
	if p.Remote && b.fetcher.allows(p.Ref) {
		return nil
	}
	f := &report.Finding{
		Rule: report.RuleBuild, Level: report.LevelError, File: p.File, Line: b.lineOf(p.File, p.Ref), Message: p.Why,
	}
	switch {
	case p.Remote:
		f.Rule, f.Level = report.RuleRemote, report.LevelUnknown
		f.Message, f.Unit, f.Reason = fmt.Sprintf("%s is not built: %s", u.dir, p.Why), u.dir, p.Why
		f.Fix = allowing(p.Ref)
	case b.leftOut(path.Join(path.Dir(p.File), p.Ref), path.Join(u.dir, p.Ref)):
		f.Rule, f.Level, f.Fix = report.RuleNotBuilt, report.LevelUnknown, checkTheCommit
		f.Reason = sparseWithout(p.Ref)
		f.Message, f.Unit = fmt.Sprintf("%s is not built: %s", u.dir, f.Reason), u.dir
	case p.Link, p.Submodule != "":
		f.Message += "; Flux does not follow it either"
		f.Fix = "put the file itself into the repository"
	default:
		f.Fix = fmt.Sprintf("correct the reference: kustomize builds nothing that has it; or leave the folder out: "+
			"ignore: [%s] in %s", path.Dir(p.File), ConfigFile)
	}
	if !sources.IsYAML(f.File) && !render.IsKustomization(f.File) || strings.HasPrefix(f.File, render.FetchedDir) {
		f.File, f.Line = u.place()
	}
	return f
}

// checkTheCommit is the way out of a sparse checkout.
const checkTheCommit = "check the commit in place of the checkout: --head HEAD"

func sparseWithout(ref string) string {
	return fmt.Sprintf("this checkout is sparse and lacks %q", ref)
}

// leftOut reports whether a sparse checkout lacks one of some files or folders.
func (b *builder) leftOut(names ...string) bool {
	return b.left != nil && slices.ContainsFunc(names, b.left)
}

// bring makes a unit ready for a build without the network: it fetches the references that are allowed, replaces them
// by the fetched files, and refuses everything else that kustomize would fetch.
func (b *builder) bring(u *unit, folder *render.Folder) *report.Finding {
	names := u.closure.Paths
	for range maxFetchRounds {
		again := false
		for _, name := range names {
			if !render.IsKustomization(name) {
				continue
			}
			remote := folder.Remote(name)
			if f := b.fetchAll(u, folder, name, remote); f != nil {
				return f
			}
			again = again || len(remote) > 0
		}
		if !again {
			return b.refusePlugins(u, folder, names)
		}
		// What was fetched may refer to more.
		files, err := folder.Files()
		if err != nil {
			return b.remoteFinding(u, u.dir, "", err.Error(), "")
		}
		for _, p := range files.Problems {
			if f := b.problem(u, p); f != nil {
				return f
			}
		}
		names = files.Paths
	}
	return b.remoteFinding(u, u.dir, "", fmt.Sprintf("what it fetches leads to more, %d times over", maxFetchRounds), "")
}

// maxFetchRounds is how long a chain of remote bases may be.
const maxFetchRounds = 10

// refusePlugins refuses generators and transformers whose own configuration would fetch.
func (b *builder) refusePlugins(u *unit, folder *render.Folder, names []string) *report.Finding {
	remote, err := folder.Plugins(names)
	switch {
	case err != nil:
		return b.remoteFinding(u, u.dir, "", err.Error(), "")
	case len(remote) == 0:
		return nil
	}
	words := fmt.Sprintf("a generator or transformer fetches %q, which no generator may", text.Cut(remote[0], 120))
	return b.remoteFinding(u, u.dir, "", words, "put what it fetches into the repository")
}

// fetchAll fetches what a kustomization file names, and puts it in its place.
func (b *builder) fetchAll(u *unit, folder *render.Folder, name string, remote []string) *report.Finding {
	got := map[string]render.Fetched{}
	for _, ref := range remote {
		if !b.fetcher.allows(ref) {
			words := fmt.Sprintf("%q is remote: only files of this repository are read", text.Cut(ref, 120))
			return b.remoteFinding(u, name, ref, words, allowing(ref))
		}
		r, err := b.fetcher.get(ref)
		if err != nil {
			words := fmt.Sprintf("%q could not be fetched: %s", text.Cut(ref, 120), render.Words(err))
			return b.remoteFinding(u, name, ref, words, "run again when it can be fetched, or copy it into the repository")
		}
		got[ref] = render.Fetched{Name: r.name, FS: r.fs, Path: r.path}
	}
	if err := folder.Put(name, got); err != nil {
		return b.remoteFinding(u, name, "", err.Error(), "")
	}
	return nil
}

// remoteFinding reports that a unit is not built since something in a file is remote.
func (b *builder) remoteFinding(u *unit, name, ref, words, fix string) *report.Finding {
	f := &report.Finding{
		Rule: report.RuleRemote, Level: report.LevelUnknown, File: name, Line: b.lineOf(name, ref),
		Message: fmt.Sprintf("%s is not built: %s", u.dir, words), Fix: fix, Unit: u.dir, Reason: words,
	}
	if !render.IsKustomization(name) || strings.HasPrefix(name, render.FetchedDir) {
		f.File, f.Line = u.place()
	}
	return f
}

// prefixOf is what to allow for a remote reference: its host and first folder.
func prefixOf(ref string) string {
	at := address(strings.TrimPrefix(ref, "git::"))
	parts := strings.SplitN(at, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/") + "/"
}

// allowing describes what to do about a remote reference.
func allowing(ref string) string {
	return fmt.Sprintf("copy it into the repository, or allow it: --allow-remote %s, or remoteBases: [%[1]s] in the %s "+
		"of the branch that the change goes to", prefixOf(ref), ConfigFile)
}

// lineOf finds the line of a file that names a reference.
func (b *builder) lineOf(name, ref string) int {
	data, err := manifest.ReadFile(b.tree, name)
	if err != nil || ref == "" {
		return 1
	}
	ref = strings.TrimSuffix(ref, "…")
	before, _, found := strings.Cut(string(data), ref)
	if _, rest, ok := strings.Cut(ref, "://"); ok && !found {
		before, _, found = strings.Cut(string(data), rest)
	}
	if !found {
		return 1
	}
	return 1 + strings.Count(before, "\n")
}
