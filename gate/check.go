package gate

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/gate/report"
)

// Check reads a tree, holds it against the guardrails, asks the registries, and reports.
func Check(ctx context.Context, o Options) (*report.Report, error) {
	o.fill()
	o.fetcher = newFetcher(ctx, o.AllowRemote)
	defer func() { _ = o.fetcher.close() }()
	built := 0
	step := func() {
		built++
		o.Progress("building kustomizations", built, 0)
	}
	head, err := newModel(o.Head, &o, nil, step) //nolint:contextcheck // the fetcher has the context
	if err != nil {
		return nil, err
	}
	head.examine() //nolint:contextcheck // the fetcher has the context
	r := &report.Report{
		Files: len(head.listing.YAML), Compared: o.Base.FS != nil, Findings: []report.Finding{}, Images: []report.Use{},
		Built: []string{},
	}
	known := map[string]bool{}
	if o.Base.FS != nil {
		base, err := newModel(o.Base, &o, head, step) //nolint:contextcheck // the fetcher has the context
		if err != nil {
			return nil, fmt.Errorf("read the tree before the change: %w", err)
		}
		base.examine() //nolint:contextcheck // the fetcher has the context
		known = base.prints()
	}
	for _, id := range sortedKeys(head.builder.units) {
		if u := head.builder.units[id]; u.rendered != nil && o.within(u.dir+"/.") {
			r.Built = append(r.Built, u.dir)
		}
	}
	r.Built = slices.Compact(r.Built)
	for _, use := range head.uses {
		if !known[use.Print()] && o.within(append(use.Paths, use.File)...) {
			r.Images = append(r.Images, use)
		}
	}
	for _, f := range head.findings {
		if !known[f.Print()] && o.within(f.Places()...) {
			r.Findings = append(r.Findings, f)
		}
	}
	// A file beside the tree may be one for many.
	if _, err := fs.Lstat(o.Head.FS, o.Config.file); o.Config.file != "" && err == nil {
		r.Findings = append(r.Findings, o.Config.unmatched(o.Head.FS)...)
	}
	r.Manifests = head.manifests(&o)
	if o.Registry != nil {
		if err := ask(ctx, &o, head, r, known); err != nil {
			return nil, err
		}
	}
	r.Findings = report.SortFindings(r.Findings)
	return r, nil
}

// examine looks for what only a check says, and a comparison of two trees does not ask for.
func (m *model) examine() {
	m.checkKeys()
	m.checkEntries()
}

// manifests counts the files with objects that were asked for, and what is rendered there.
func (m *model) manifests(o *Options) int {
	n := 0
	for _, name := range m.listing.YAML {
		if s := m.files[name]; o.within(name) && (s.Manifest || s.Err != nil) {
			n++
		}
	}
	for _, dir := range m.listing.Charts {
		if o.within(dir) {
			n++
		}
	}
	for _, u := range m.builder.units {
		if o.within(append(u.origins(), u.dir+"/.")...) {
			n++
		}
	}
	return n
}

// Nothing is the finding that there is nothing to check in some paths.
func Nothing(paths []string) report.Finding {
	where := strings.Join(paths, ", ")
	if where == "." || where == "" {
		where = "this folder"
	}
	return report.Finding{
		Rule: report.RuleNothing, Level: report.LevelError, File: ".",
		Message: "no file in " + where + " holds a Kubernetes object",
		Fix:     "check the folder that has the manifests, or say that there need be none: --allow-empty",
	}
}

// prints are those of everything in a tree.
func (m *model) prints() map[string]bool {
	known := map[string]bool{}
	for i := range m.uses {
		known[m.uses[i].Print()] = true
	}
	for i := range m.findings {
		known[m.findings[i].Print()] = true
	}
	for i := range m.undecided {
		known["undecided\x00"+m.undecided[i].finding.Print()] = true
	}
	for image := range m.scanned {
		known["scanned\x00"+image] = true
	}
	return known
}
