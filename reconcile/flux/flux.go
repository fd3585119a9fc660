package flux

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
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
	// Person means that a person reads with their own rights, and is told what they may not read.
	Person bool
	// Render makes of a commit what Flux would apply; nil where nothing is to be set ahead of Flux.
	Render Render
	// Blame finds the commit that broke what a Kustomization renders; nil where nobody looks for one.
	Blame Blame
	// Undo gives the proof that a Kustomization's files may go back; nil where none do.
	Undo Undo
	// AuthorName and AuthorEmail sign commits where no image automation writes to the source.
	AuthorName, AuthorEmail string
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Flux reads and asks the Flux objects of one cluster. It keeps nothing that it read, and may be used from many
// goroutines.
type Flux struct {
	client   Client
	options  Options
	surveys  kube.Shared[*survey]
	selected kube.Shared[[]reflectorv1.ImagePolicy]
	scans    kube.Shared[[]reflectorv1.ImageRepository]
	kubelets kube.Shared[*gathering]
	reopened kube.Shared[reconcile.Origin]
	appliers kube.Shared[place]
	accounts kube.Shared[pullSecrets]
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
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Flux{
		client: c, options: o,
		surveys:  kube.Shared[*survey]{Now: o.Now},
		selected: kube.Shared[[]reflectorv1.ImagePolicy]{Now: o.Now},
		scans:    kube.Shared[[]reflectorv1.ImageRepository]{Now: o.Now},
		kubelets: kube.Shared[*gathering]{Now: o.Now},
		reopened: kube.Shared[reconcile.Origin]{Now: o.Now},
		appliers: kube.Shared[place]{Now: o.Now},
		accounts: kube.Shared[pullSecrets]{Now: o.Now},
	}
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

// Blame finds that commit. A Refusal explains why it cannot be looked for.
type Blame func(ctx context.Context, src reconcile.Source, s *Suspicion) (reconcile.Blamed, error)

// Undo makes the proof. A Refusal explains why there is none.
type Undo func(ctx context.Context, src reconcile.Source, u *Undoing) (reconcile.UndoProof, error)

// Render makes of a commit what kustomize-controller would apply for a Kustomization. A Refusal explains why it cannot
// be told.
type Render func(ctx context.Context, src reconcile.Source, commit string, spec kustomizev1.KustomizationSpec,
) ([]*unstructured.Unstructured, error)

// delays remembers which check keeps a landed revert out of the cluster, and since when by this machine's clock: those
// of other machines may differ. After a restart Flux gets the full time again.
type delays struct {
	mu   sync.Mutex
	seen map[types.UID]delay
}

type delay struct {
	what string
	at   time.Time
}

// survey is what the cluster holds beside the one workload that failed: who writes to a repository, who renders it.
type survey struct {
	repos       map[types.NamespacedName]*sourcev1.GitRepository
	automations []automation
	leaves      []leaf
}

// automation is an ImageUpdateAutomation with the GitRepository that it pushes with.
type automation struct {
	ref  v1alpha1.ObjectRef
	obj  *automationv1.ImageUpdateAutomation
	repo *sourcev1.GitRepository
	// checkout is the branch it starts from, push the one it pushes to; empty if that is no branch, and then says tells.
	checkout, push, says string
	// path that it updates.
	path string
	// title by which its GitRepository may push; filled in where that is asked.
	title title
}

// leaf is a Kustomization, as far as others need it.
type leaf struct {
	ref    v1alpha1.ObjectRef
	path   string
	source v1alpha1.ObjectRef
	// lands are the namespaces that it applies something into.
	lands []string
}

// LendToAnnotation on a GitRepository names the namespaces, separated by commas, whose Kustomizations Backstop may push
// for with this GitRepository's credentials.
const LendToAnnotation = "backstop.dev/lend-to"

const (
	titleNone title = iota
	titleOwn
	titlePlatform
	titleWorkload
	titleLent
)

// title is the reason why a GitRepository's credentials may push what a Kustomization deploys. The stronger come first.
//
//	own       the GitRepository is in the Kustomization's namespace
//	platform  both are in namespaces of the platform (--platform-namespaces)
//	workload  it is in the namespace of the workload that fails, into which alone the files are deployed
//	lent      its owner lends it to the Kustomization's namespace (LendToAnnotation)
//
// That two GitRepositories have one URL is no title: anybody may write any URL. Nor is a label, an inventory, a status
// or update.path: whoever may edit Flux objects in one namespace can forge those there.
type title int

// Undoing is what a Kustomization says that the proof of an undo by files goes by.
type Undoing struct {
	// Good is the commit that was applied well, and Bad the one that fails.
	Good, Bad string
	// Digests of what Flux made of the good one.
	Digests []string
	// Spec of the Kustomization.
	Spec kustomizev1.KustomizationSpec
	// Object that fails; nil where the build does. Pods means that it is a workload whose pods fail: what counts is what
	// it says of them.
	Object *v1alpha1.ObjectRef
	Pods   bool
	// Release is there where the object is a HelmRelease that fails: Good is then the commit before the one that changed
	// it, and the digests are of what Flux made of Bad.
	Release *reconcile.Released
	// Applied are the objects of its inventory.
	Applied []reconcile.AppliedObject
	// Files that go back.
	Files []v1alpha1.Place
}

// Suspicion asks for the commit at which what a Kustomization renders broke.
type Suspicion struct {
	// Good is the commit that was applied well; empty where none is known. Bad is the one that fails.
	Good, Bad string
	// Spec of the Kustomization.
	Spec kustomizev1.KustomizationSpec
	// Object that fails; nil where the build does. Pods means that it is a workload whose pods fail: what counts is what
	// it says of them.
	Object *v1alpha1.ObjectRef
	Pods   bool
	// Also are objects that the object takes a part of what it says from.
	Also []v1alpha1.ObjectRef
	// After is when the object was last seen to be well, where no commit is known for it: the newest change of it
	// counts, if it is not older.
	After time.Time
	// Files asks which files of the commit would have to go back, and Others are who else may apply them.
	Files  bool
	Others []reconcile.Root
}
