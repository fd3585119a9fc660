package gate

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/reconcile"
)

// Registry is what the gate asks of registries.
type Registry interface {
	Prove(ctx context.Context, q reconcile.Question) reconcile.Proof
	ResolveDigest(ctx context.Context, image string, access reconcile.Access) (string, error)
	Tags(ctx context.Context, repository string, access reconcile.Access, max int) ([]string, error)
	// Until says until when the registry of an image asked to be left alone; zero when it did not.
	Until(image string) time.Time
}

// Options of a check.
type Options struct {
	// Head is the tree to check; Base, when its FS is set, the tree before the change.
	Head, Base Tree
	// Paths limit the report; empty is everything.
	Paths []string
	// Config holds the guardrails; nil for none.
	Config *Config
	// AllowRemote are the addresses that kustomizations may refer to, such as github.com/acme/. The remoteBases of Config
	// count only where they are put here: a change must not say by itself what is fetched.
	AllowRemote []string
	// Remotes are the URLs that this repository is known by.
	Remotes []string

	// Registry to ask; nil asks none.
	Registry Registry
	// Access says how to ask for an image.
	Access func(ctx context.Context, image string) reconcile.Access
	// Platforms that images must run on; linux/amd64 when neither this nor the configuration says, AnyPlatform for any.
	Platforms []string
	// Deep asks for every layer too.
	Deep bool
	// Verify checks the signature of an image by its digest; nil checks none. An error that is an *Unsigned is a finding,
	// any other one could not be told.
	Verify func(ctx context.Context, image, digest string, access reconcile.Access) error
	// Parallel bounds how many images are asked for at once; 16 when zero.
	Parallel int
	// Patience bounds how long a registry that asks to be left alone is waited for; 2 minutes when zero.
	Patience time.Duration

	// ChartLimit is how long rendering a Helm chart may take; 10 seconds when zero.
	ChartLimit time.Duration
	// Now is the clock; time.Now when nil.
	Now     func() time.Time
	fetcher *fetcher
	// Progress is told how far a step is, by one goroutine at a time; nil tells nobody.
	Progress func(step string, done, total int)
}

// AnyPlatform is the platform that asks for existence alone.
const AnyPlatform = "any"

// Unsigned is an image that is not signed as it must be.
type Unsigned struct{ Reason string }

// Error is the reason.
func (e *Unsigned) Error() string { return e.Reason }

// Report is what a check found.
type Report struct {
	// Findings by place.
	Findings []Finding `json:"findings"`
	// Images that the tree, or the change, would run.
	Images []Use `json:"images"`
	// Built are the folders that were rendered, Files how many YAML files were read, Asked how many images a registry
	// was asked for.
	Built []string `json:"built"`
	Files int      `json:"files"`
	// Manifests is how many files, of those that were asked for, hold Kubernetes objects.
	Manifests int `json:"-"`
	Asked     int `json:"asked"`
	// Compared says that only what a change brings in is reported.
	Compared bool `json:"compared"`
}

// Count says how many findings are of a level.
func (r *Report) Count(level Level) int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// Check reads a tree, holds it against the guardrails, asks the registries, and reports.
func Check(ctx context.Context, o Options) (*Report, error) {
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
	r := &Report{Files: len(head.listing.yaml), Compared: o.Base.FS != nil, Findings: []Finding{}, Images: []Use{}}
	known := map[string]bool{}
	if o.Base.FS != nil {
		base, err := newModel(o.Base, &o, head, step) //nolint:contextcheck // the fetcher has the context
		if err != nil {
			return nil, fmt.Errorf("read the tree before the change: %w", err)
		}
		known = base.prints()
	}
	for _, id := range sortedKeys(head.builder.units) {
		if u := head.builder.units[id]; u.rendered != nil && o.within(u.dir+"/.") {
			r.Built = append(r.Built, u.dir)
		}
	}
	r.Built = slices.Compact(r.Built)
	for _, use := range head.uses {
		if !known[use.print()] && o.within(append(use.paths, use.File)...) {
			r.Images = append(r.Images, use)
		}
	}
	for _, f := range head.findings {
		if !known[f.print()] && o.within(f.places()...) {
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
	r.Findings = sortFindings(r.Findings)
	return r, nil
}

func (o *Options) fill() {
	if o.Config == nil {
		o.Config = &Config{}
	}
	if len(o.Platforms) == 0 {
		o.Platforms = o.Config.Platforms
	}
	if len(o.Platforms) == 0 {
		o.Platforms = []string{"linux/amd64"}
	}
	if slices.Contains(o.Platforms, AnyPlatform) {
		o.Platforms = nil
	}
	if o.Parallel <= 0 {
		o.Parallel = 16
	}
	if o.Patience == 0 {
		o.Patience = 2 * time.Minute
	}
	if o.ChartLimit == 0 {
		o.ChartLimit = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	if o.Access == nil {
		o.Access = func(context.Context, string) reconcile.Access { return reconcile.Access{} }
	}
	for i, remote := range o.Remotes {
		o.Remotes[i] = address(remote)
	}
	for i, p := range o.Paths {
		o.Paths[i] = path.Clean(p)
	}
}

// within says whether any of the names is below a path that was asked for.
func (o *Options) within(names ...string) bool {
	if len(o.Paths) == 0 {
		return true
	}
	return slices.ContainsFunc(o.Paths, func(p string) bool {
		return p == "." || slices.ContainsFunc(names, func(name string) bool {
			return name == p || strings.HasPrefix(name, p+"/")
		})
	})
}

// manifests counts the files with objects that were asked for, and what is rendered there.
func (m *model) manifests(o *Options) int {
	n := 0
	for _, name := range m.listing.yaml {
		if s := m.files[name]; o.within(name) && (s.manifest || s.err != nil) {
			n++
		}
	}
	for _, dir := range m.listing.charts {
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
func Nothing(paths []string) Finding {
	where := strings.Join(paths, ", ")
	if where == "." || where == "" {
		where = "this folder"
	}
	return Finding{
		Rule: RuleNothing, Level: LevelError, File: ".", Line: 1,
		Message: "no file in " + where + " holds a Kubernetes object",
		Fix:     "check the folder that has the manifests, or say that there need be none: --allow-empty",
	}
}

// print is the same for an image in an environment, wherever the file that says so was moved to.
func (u *Use) print() string { return "use\x00" + u.Image + "\x00" + strings.Join(u.Environments, ",") }

// prints are those of everything in a tree.
func (m *model) prints() map[string]bool {
	known := map[string]bool{}
	for i := range m.uses {
		known[m.uses[i].print()] = true
	}
	for i := range m.findings {
		known[m.findings[i].print()] = true
	}
	for i := range m.undecided {
		known["undecided\x00"+m.undecided[i].finding.print()] = true
	}
	for image := range m.scanned {
		known["scanned\x00"+image] = true
	}
	return known
}
