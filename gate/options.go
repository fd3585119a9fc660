package gate

import (
	"context"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/gate/sources"
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
	Head, Base sources.Tree
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
	// Access describes how to ask for an image.
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

// within reports whether any of the names is below a path that was asked for.
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
