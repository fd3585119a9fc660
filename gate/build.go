package gate

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// build renders a unit, or takes what an earlier version of the tree rendered from the same.
func (b *builder) build(u *unit) {
	if old := b.same(u); old != nil {
		u.rendered, u.failed, u.seen, u.data = copySource(old.rendered), old.failed, old.seen, old.data
		return
	}
	folder := b.folders.Folder(u.dir)
	u.seen = folder.Seen()
	for _, name := range u.sources() {
		u.seen[name] = true
	}
	if u.failed = b.refuse(u); u.failed != nil {
		return
	}
	var err error
	if u.flux != nil {
		err = folder.Add(&u.flux.Spec)
	}
	if err == nil {
		if u.failed = b.bring(u, folder); u.failed != nil {
			return
		}
	}
	var data []byte
	if err == nil {
		data, err = folder.Build()
	}
	file, line := u.place()
	if errors.Is(err, render.ErrTooMuch) || errors.Is(err, render.ErrUnjudged) {
		u.failed = notBuilt(u, err)
		return
	}
	if err != nil {
		u.failed = &report.Finding{
			Rule: report.RuleBuild, Level: report.LevelError, File: file, Line: line,
			Message: fmt.Sprintf("kustomize cannot build %s%s: %s", u.dir, applied(u), render.Words(err)),
			Fix:     "make `kustomize build --load-restrictor LoadRestrictionsNone " + u.dir + "` work",
		}
		if name, at, value := b.wrongType(u); name != "" {
			u.failed.File, u.failed.Line, u.failed.Fix = name, at, fmt.Sprintf("quote it: %q", value)
		}
		return
	}
	if u.flux != nil && u.flux.Spec.PostBuild != nil && bytes.Contains(data, []byte("${")) {
		u.data = data
	}
	u.rendered = sources.Parse("", data)
	if u.rendered.Err != nil {
		u.failed = &report.Finding{
			Rule: report.RuleNotRead, Level: report.LevelUnknown, File: file, Line: line,
			Message: fmt.Sprintf("what kustomize makes of %s cannot be read: %v", u.dir, u.rendered.Err),
		}
		u.rendered = nil
	}
}

// notBuilt is a folder that is not built here: it makes more than is rendered, or has kustomizations that are not
// followed. Flux may take it all the same.
func notBuilt(u *unit, err error) *report.Finding {
	file, line := u.place()
	f := &report.Finding{
		Rule: report.RuleNotBuilt, Level: report.LevelUnknown, File: file, Line: line,
		Message: fmt.Sprintf("%s is not built: %s", u.dir, render.Words(err)),
	}
	if errors.Is(err, render.ErrTooMuch) {
		f.Fix = "divide it into several Kustomizations"
	}
	return f
}

// applied reports what it means that a folder cannot be built, if Flux is known to apply it.
func applied(u *unit) string {
	if u.flux == nil {
		return ""
	}
	return ", so Flux cannot apply it"
}

// inflated makes a note of a folder that cannot be built for its charts, where Flux is not told to build it: people run
// kustomize --enable-helm on such ones by hand.
func (b *builder) inflated(u *unit) {
	charts := func(name string) bool {
		data, err := manifest.ReadFile(b.tree, name)
		return err == nil && render.IsKustomization(name) && bytes.Contains(data, []byte("helmCharts"))
	}
	flux := func(other *unit) bool { return other.flux != nil }
	if u.flux != nil || u.failed.Rule != report.RuleBuild ||
		!slices.ContainsFunc(slices.Collect(maps.Values(b.units)), flux) ||
		!slices.ContainsFunc(u.closure.Paths, charts) {
		return
	}
	f := *u.failed
	f.Rule, f.Level = report.RuleNotBuilt, report.LevelNote
	f.Message = u.dir + " is not built: it inflates Helm charts, which Flux does not, and no Flux Kustomization names it"
	f.Fix = ""
	u.failed = &f
}

// same is the unit that another version of the tree rendered from the same files; nil for none.
func (b *builder) same(u *unit) *unit {
	if b.earlier == nil {
		return nil
	}
	old := b.earlier.units[u.id()]
	if old == nil || old.seen == nil || !slices.Equal(old.sources(), u.sources()) {
		return nil
	}
	for name := range old.seen {
		if b.changed[name] {
			return nil
		}
	}
	return old
}

func copySource(s *sources.File) *sources.File {
	if s == nil {
		return nil
	}
	out := *s
	out.Objects = slices.Clone(s.Objects)
	return &out
}
