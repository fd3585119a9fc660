package gate

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/distribution/reference"
	"golang.org/x/sync/errgroup"

	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/render"
)

// newModel reads a tree. earlier is the model of another version, whose work is used again where nothing changed.
func newModel(tree sources.Tree, o *Options, earlier *model, step func()) (*model, error) {
	tree.FS = sources.Remembering(sources.Applied(tree.FS))
	m := &model{
		tree: tree, config: o.Config, files: map[string]*sources.File{}, repos: repositories{}, chartLimit: o.ChartLimit,
		retagged: map[string]bool{},
	}
	var err error
	if m.listing, err = sources.List(tree, o.Config.skips()); err != nil {
		return nil, err
	}
	m.readAll(earlier)
	m.builder = &builder{
		tree: tree.FS, left: tree.LeftOut, files: m.files, fetcher: o.fetcher, remotes: o.Remotes,
		folders: render.NewTree(tree.FS), compared: o.Base.FS != nil,
	}
	if earlier != nil {
		m.builder.earlier, m.builder.changed = earlier.builder, changedPaths(earlier, m)
	}
	m.builder.run(m.listing.YAML, step)
	m.readPolicies()
	m.checkSources()
	m.renderCharts()
	m.collect()
	m.unread()
	m.guard()
	return m, nil
}

// readAll reads the files, on all processors.
func (m *model) readAll(earlier *model) {
	const atOnce = 64
	var g errgroup.Group
	var mu sync.Mutex
	g.SetLimit(runtime.GOMAXPROCS(0))
	for names := range slices.Chunk(m.listing.YAML, atOnce) {
		g.Go(func() error {
			for _, name := range names {
				s := m.read(name, earlier)
				mu.Lock()
				m.files[name] = s
				mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait()
}

// read reads a file, or takes what is known of the same bytes under the same name.
func (m *model) read(name string, earlier *model) *sources.File {
	if earlier == nil || earlier.files[name] == nil {
		return sources.Read(m.tree.FS, name)
	}
	data, err := manifest.ReadFile(m.tree.FS, name)
	if err != nil {
		return &sources.File{Name: name, Err: err}
	}
	if known := earlier.files[name]; known.Same(data) {
		return known
	}
	return sources.Parse(name, data)
}

// changedPaths are the files in which two versions differ, and the folders that gained or lost one. Files that are no
// YAML are compared if a unit reads them, so nothing that matters is left out.
func changedPaths(a, b *model) map[string]bool {
	changed := map[string]bool{}
	differ := func(name string) {
		changed[name] = true
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			changed[dir] = true
		}
	}
	for _, name := range union(a.listing.YAML, b.listing.YAML) {
		was, is := a.files[name], b.files[name]
		if was == nil || is == nil || was.Sum != is.Sum {
			differ(name)
		}
	}
	for _, u := range a.builder.units {
		for name := range u.seen {
			if changed[name] || a.files[name] != nil {
				continue
			}
			before, err1 := manifest.ReadFile(a.tree.FS, name)
			after, err2 := manifest.ReadFile(b.tree.FS, name)
			if string(before) != string(after) || (err1 == nil) != (err2 == nil) {
				differ(name)
			}
		}
	}
	return changed
}

// collect gathers what every unit and every other file would run.
func (m *model) collect() {
	within := map[string]bool{}
	for _, id := range sortedKeys(m.builder.units) {
		u := m.builder.units[id]
		for _, name := range u.sources() {
			within[name] = true
		}
		if u.failed != nil {
			m.builder.inflated(u)
			m.findings = append(m.findings, u.failed.By([]string{u.dir + "/."}))
			m.collectRaw(u)
			continue
		}
		m.uses = append(m.uses, m.usesOf(u, u.rendered)...)
	}
	for _, name := range m.listing.YAML {
		if s := m.files[name]; !within[name] && s.Err == nil {
			m.uses = append(m.uses, m.usesOf(nil, s)...)
		}
	}
	m.collectCharts()
	m.checkReferences()
	for _, n := range m.builder.notes {
		m.findings = append(m.findings, n.Finding)
	}
}

// collectRaw takes the files of a unit that was not built as they stand, with the variables that are known: better than
// not to look at them.
func (m *model) collectRaw(u *unit) {
	for _, name := range u.closure.Paths {
		s := m.source(name)
		if s == nil || s.Err != nil {
			continue
		}
		for _, use := range m.usesOf(nil, s) {
			use.Image = u.vars.Apply(use.Image)
			if strings.Contains(use.Image, "$") && u.vars.On && !u.vars.Open {
				// No cluster knows the variable: why the unit cannot be built tells it.
				continue
			}
			use.Unit = u.dir
			use.Paths = append(use.Paths, u.dir+"/.")
			m.uses = append(m.uses, use)
		}
	}
}

// checkReferences sorts out references that name no image, and those that only the cluster completes.
func (m *model) checkReferences() {
	kept := m.uses[:0]
	seen := map[string]bool{}
	for _, use := range m.uses {
		switch err := checkReference(use.Image); {
		case use.Image == "":
			continue
		case strings.Contains(use.Image, "ENC["):
			m.findings = append(m.findings, report.Finding{
				Rule: report.RuleNotRead, Level: report.LevelNote, File: use.File, Line: use.Line, Subject: use.Object,
				Message: "the image of " + use.Object + " is not looked at: SOPS encrypted some of it",
				Fix:     "leave images in plain text: encrypted_regex in .sops.yaml",
			}.By(use.Paths))
			continue
		case strings.Contains(use.Image, "$"):
			m.findings, m.open = append(m.findings, notReplaced(use)), append(m.open, use)
			continue
		case err != nil && m.retagged[use.File+":"+strconv.Itoa(use.Line)]:
			// That the tag is no text says it already.
			continue
		case err != nil:
			m.findings = append(m.findings, report.Finding{
				Rule: report.RuleInvalid, Level: report.LevelError, File: use.File, Line: use.Line, Image: use.Image,
				Message: fmt.Sprintf("%q is no image reference: %v", use.Image, err),
				Fix:     "write it as REGISTRY/REPOSITORY:TAG, in lower case but for the tag",
			}.By(use.Paths))
			continue
		}
		if key := fmt.Sprintf("%s\x00%s\x00%d\x00%v", use.Image, use.File, use.Line, use.Paths); !seen[key] {
			seen[key] = true
			kept = append(kept, use)
		}
	}
	m.uses = kept
	slices.SortStableFunc(m.uses, func(a, b report.Use) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, strings.Compare(a.Image, b.Image))
	})
}

// notReplaced is the finding about an image in which a variable is left.
func notReplaced(use report.Use) report.Finding {
	f := report.Finding{
		Rule: report.RuleNotSubstituted, Level: report.LevelNote, File: use.File, Line: use.Line, Image: use.Image,
		Message: fmt.Sprintf("%s is not looked at: a variable in it is known to the cluster only", use.Image),
	}
	switch {
	case use.Certain:
		f.Rule, f.Level = report.RuleInvalid, report.LevelError
		f.Message = fmt.Sprintf("%q is no image reference, and Flux replaces nothing in it: %s", use.Image, use.Literal)
		f.Fix = "write the image out, or have Flux replace the variable: spec.postBuild.substitute"
	case use.Literal != "":
		f.Message = fmt.Sprintf("%s is not looked at: nothing here replaces the variable in it; %s", use.Image, use.Literal)
		f.Fix = "give it a value in spec.postBuild.substitute, unless something outside of this repository does"
	case strings.Contains(use.Image, "${"):
		f.Fix = "put the ConfigMap of substituteFrom into the repository, or give the variable a default: ${NAME:=value}"
	}
	return f.By(use.Paths)
}

// checkReference parses a reference as the kubelet does.
func checkReference(image string) error {
	_, err := reference.ParseNormalizedNamed(image)
	return err
}

// unread tells of files and links that were not looked at.
func (m *model) unread() {
	for _, p := range m.listing.Problems {
		m.findings = append(m.findings, report.Finding{
			Rule: report.RuleLink, Level: report.LevelNote, File: p.File, Line: 1, Message: p.File + " " + p.Why,
		})
	}
	failed := map[string]bool{}
	for _, f := range m.findings {
		failed[f.File] = failed[f.File] || f.Rule == report.RuleBuild
	}
	for _, name := range m.listing.YAML {
		s := m.files[name]
		base := path.Base(name)
		if m.config.found && (base == misnamed || base == ConfigFile && name != m.config.file) {
			m.findings = append(m.findings, report.Finding{
				Rule: report.RuleNotRead, Level: report.LevelNote, File: name, Line: 1,
				Message: "these guardrails do not count here: those of the nearest " + ConfigFile +
					" in the checked folder or above do",
			})
		}
		if s.SOPS {
			m.findings = append(m.findings, report.Finding{
				Rule: report.RuleNotRead, Level: report.LevelNote, File: name, Line: 1,
				Message: "encrypted with SOPS: only what stands there in plain text was looked at",
			})
		}
		if s.Err == nil || failed[name] {
			continue
		}
		why := strings.Replace(s.Err.Error(), "read "+name+": ", "", 1)
		f := report.NoteAt(name, 1, fmt.Errorf("not looked into: %s", why))
		switch {
		case errors.Is(s.Err, manifest.ErrTooLarge):
			f.Level, f.Fix = report.LevelUnknown, "split it, or leave it out: `ignore: ["+name+"]` in .backstop.yaml"
		case errors.Is(s.Err, fs.ErrPermission):
			f.Level, f.Fix = report.LevelUnknown, "make it readable"
		}
		m.findings = append(m.findings, f)
	}
}

// guard checks everything that needs no registry.
func (m *model) guard() {
	for i := range m.uses {
		use := &m.uses[i]
		use.Environments = m.config.of(use.Paths...)
		for _, name := range use.Environments {
			m.guardUse(use, m.config.Environments[name])
		}
	}
	m.checkScanned()
	m.checkPolicies()
	m.checkMarkers()
	m.checkAutomations()
}
