package flux

import (
	"cmp"
	"context"
	"slices"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// DefaultPlatform is the namespace of flux bootstrap.
const DefaultPlatform = "flux-system"

// FieldOwner is the field manager of what Backstop writes. kustomize-controller takes away what managers whose name
// starts with kubectl wrote.
const FieldOwner = "backstop"

// The kinds that this package walks.
const (
	kindGitRepository    = "GitRepository"
	kindOCIRepository    = "OCIRepository"
	kindBucket           = "Bucket"
	kindExternalArtifact = "ExternalArtifact"
	kindKustomization    = "Kustomization"
	kindHelmRelease      = "HelmRelease"
	kindAutomation       = "ImageUpdateAutomation"
	kindPolicy           = "ImagePolicy"
	kindImageRepository  = "ImageRepository"
)

// Client is what this package needs of the API server: live reads, and a patch of one annotation. controller-runtime's
// plain client.Client is one; its scheme must know Flux's kinds and the core ones.
type Client interface {
	client.Reader
	Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error
}

// Options of a Flux.
type Options struct {
	// NoCrossNamespaceRefs refuses references from one namespace to another, as Flux's flag of that name does.
	NoCrossNamespaceRefs bool
	// Platform are the namespaces of those who run the cluster, whose GitRepositories push for each other's
	// Kustomizations; flux-system where it is nil.
	Platform []string
	// Namespaces to list Flux objects in; none lists them in the whole cluster.
	Namespaces []string
	// Person says that a person reads with their own rights, so that what is refused is said to them.
	Person bool
	// Render makes of a commit what Flux would apply; nil where nothing is to be set ahead of Flux.
	Render Render
	// Blame finds the commit that broke what a Kustomization renders; nil where nobody looks for one.
	Blame Blame
	// Undo gives the proof that a Kustomization's files may go back; nil where none do.
	Undo Undo
	// AuthorName and AuthorEmail sign commits where no image automation writes to the source.
	AuthorName, AuthorEmail string
}

// Flux reads and asks the Flux objects of one cluster. It keeps nothing that it read, and may be used from many
// goroutines.
type Flux struct {
	client   Client
	options  Options
	surveys  shared[*survey]
	selected shared[[]reflectorv1.ImagePolicy]
	scans    shared[[]reflectorv1.ImageRepository]
	reopened shared[reconcile.Origin]
	delays   delays
}

var _ reconcile.Flux = (*Flux)(nil)

// New makes a Flux of a client that does not cache.
func New(c Client, o Options) *Flux {
	o.AuthorName = cmp.Or(o.AuthorName, "Backstop")
	o.AuthorEmail = cmp.Or(o.AuthorEmail, "backstop@backstop.dev")
	o.Namespaces = slices.Clone(o.Namespaces)
	if o.Platform == nil {
		o.Platform = []string{DefaultPlatform}
	}
	return &Flux{client: c, options: o}
}

// Under is a Flux that goes by the rules that another Backstop is run with.
func (f *Flux) Under(noCrossNamespaceRefs bool, platform []string) *Flux {
	o := f.options
	o.NoCrossNamespaceRefs, o.Platform = noCrossNamespaceRefs, platform
	return New(f.client, o)
}

func refTo(kind, namespace, name string) v1alpha1.ObjectRef {
	return v1alpha1.ObjectRef{Kind: kind, Namespace: namespace, Name: name}
}
