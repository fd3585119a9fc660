package gate

import (
	"slices"
	"time"

	autov1 "github.com/fluxcd/image-automation-controller/api/v1"
	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"

	"github.com/backstop-dev/backstop/gate/chart"
	"github.com/backstop-dev/backstop/gate/imagepolicy"
	"github.com/backstop-dev/backstop/gate/report"
	"github.com/backstop-dev/backstop/gate/sources"
	"github.com/backstop-dev/backstop/reconcile/manifest"
)

// model is what one version of a tree would run.
type model struct {
	tree    sources.Tree
	config  *Config
	listing sources.Listing
	files   map[string]*sources.File
	// included are files that are no YAML by their name and that a kustomization includes.
	included map[string]*sources.File
	builder  *builder
	// repos is the image that each ImagePolicy selects tags of, by namespace:name.
	repos repositories
	// scanned are the ImageRepositories by their image.
	scanned     map[string]placed
	policies    []*policy
	automations []automation
	// undecided are policies about which only the tags of their registry may tell.
	undecided []undecided
	// rendered are the Helm charts, and worker renders them.
	worker   *chart.Worker
	rendered []*renderedChart
	// chartLimit is how long one may take, slow how many took longer.
	chartLimit time.Duration
	slow       int

	uses []report.Use
	// open are the uses in whose image a variable is left.
	open     []report.Use
	findings []report.Finding
	// retagged are the places whose tag YAML takes for a number.
	retagged map[string]bool
}

// source is what a file of a kustomization says; nil for one that is not looked at.
func (m *model) source(name string) *sources.File {
	if s := m.files[name]; s != nil || sources.IsYAML(name) {
		return s
	}
	if m.included[name] == nil {
		if m.included == nil {
			m.included = map[string]*sources.File{}
		}
		m.included[name] = sources.Read(m.tree.FS, name)
	}
	return m.included[name]
}

// placed is an object and the paths by which environments know it.
type placed struct {
	sources.Object
	// unit that renders it; nil for a file that stands for itself.
	unit  *unit
	paths []string
}

// policy is an ImagePolicy of the tree.
type policy struct {
	placed
	spec imagev1.ImagePolicySpec
	// rule is nil where no tag can satisfy the spec; broken explains why.
	rule   *imagepolicy.Rule
	broken error
	// image that its ImageRepository scans; empty where the tree does not say.
	image string
	envs  []string
}

// id is how markers name the policy.
func (p *policy) id() string { return p.Namespace + ":" + p.Name }

// automation is an ImageUpdateAutomation of the tree.
type automation struct {
	placed
	spec autov1.ImageUpdateAutomationSpec
	envs []string
}

// undecided is a policy of which no example of a tag tells whether it accepts those of another environment.
type undecided struct {
	policy     *policy
	own, other *Environment
	// finding to make of a tag that decides it.
	finding report.Finding
}

// renderedChart is a chart of the tree and what comes out of it.
type renderedChart struct {
	unit   *unit
	source *sources.File
	// by is the HelmRelease with whose values it was rendered; nil for the chart's own.
	by *placed
}

// isOf reports whether a node is of the HelmRelease with whose values the chart was rendered.
func (c *renderedChart) isOf(n *manifest.Node) bool {
	return c.by != nil && n.Object.Kind == "HelmRelease" && n.Object.Name == c.by.Name
}

// standsFor reports whether a HelmRelease's chart was rendered, so that its values need not be read by their shape.
func (m *model) standsFor(u *unit, n manifest.Node) bool {
	if n.Object.Kind != "HelmRelease" {
		return false
	}
	return slices.ContainsFunc(m.rendered, func(c *renderedChart) bool {
		return c.by != nil && c.by.unit == u && c.by.Name == n.Object.Name && c.by.Namespace == n.Object.Namespace &&
			(u != nil || c.by.File == n.File)
	})
}
