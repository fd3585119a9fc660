package trace

import (
	"slices"
	"time"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/program"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/reconcile/trigger"
	"github.com/backstop-dev/backstop/watcher/drift"
)

// Facts are all that is known of one container's image at one time.
type Facts struct {
	// Program is what the reader types before a command.
	Program   program.Name
	Now       time.Time
	Namespace string
	Workload  v1alpha1.Workload
	Container string
	// Asked is the image that the question names; empty where it names the workload.
	Asked string
	// Live is the workload as it is.
	Live Live
	// Chain is what Flux has between the registry and the workload; where there is nothing, NotFlux explains why.
	Chain   *flux.Chain
	NotFlux string
	// Unread tells what the reader may not read, so that nobody can tell whether Flux applies the workload; empty where
	// that is known.
	Unread string
	Git    Git
	// Registry describes what it has of Image.
	Registry Registry
	Pods     Pods
	// Canary judges its updates; nil where nothing does.
	Canary *Canary
	// Rollbacks of the namespace.
	Rollbacks []v1alpha1.Rollback
	// Told are the Rollbacks about what the Kustomization and the HelmRelease cannot apply.
	Told []v1alpha1.Rollback
	// RollbacksUnread explains why they were not read; empty where they were, or Backstop is not installed.
	RollbacksUnread string
}

// Live is a workload.
type Live struct {
	// Image of the container in the template.
	Image string
	// LeftAlone means that an annotation keeps Flux from touching it.
	LeftAlone bool
	// Changed is who else than Flux owns the image; nil where Flux does, or nobody can tell.
	Changed *drift.Container
	// State of the rollout.
	State reconcile.WorkloadState
	// Replicas that are wanted; nil for a kind that has no such number.
	Replicas *int32
	// Suspended means that a CronJob starts nothing.
	Suspended bool
	// Refused explains why the API server does not take its pods, Late that they have not got ready by the deadline of the
	// rollout; empty where neither is so.
	Refused, Late string
}

// Git is what the deployed branch says.
type Git struct {
	// Unread explains why it was not read; empty when it was.
	Unread string
	// Tip is the place of the image in the newest commit, Applied its place in the commit that is in the cluster.
	Tip, Applied gitrepo.Place
	// Suspect is the commit that brought the tip's image in; if absent, Unblamed explains why.
	Suspect  *v1alpha1.Suspect
	Unblamed string
	// Fetched and Attempted say whether the source's artifact and the applied revision hold that commit.
	Fetched, Attempted bool
	// History of the nodes, where it was asked for.
	History []gitrepo.ImageChange
	More    bool
}

// Registry is what a registry says of an image.
type Registry struct {
	// Image that was asked for; empty where nothing was.
	Image string
	Proof reconcile.Proof
	registry.Description
	// Platforms of the nodes that the proof asked for.
	Nodes []string
	// NodesUnread means that the user may not read for which platforms the image has to be.
	NodesUnread bool
	// Tags of the repository, and whether these are all.
	Tags []string
	All  bool
	// Same are other tags of the same digest.
	Same []string
	// Missing reports which credentials could not be read.
	Missing string
}

// Pods are the pods of a workload.
type Pods struct {
	// Unread explains why they were not read; empty when they were.
	Unread string
	All    []Pod
}

// Pod is one pod, as far as one container of it matters.
type Pod struct {
	Name  string
	Image string
	// Job that made it; empty for none.
	Job string
	// Ready means that the pod serves, or has done its work.
	Ready bool
	// Reason and Message of the container while it waits; empty when it does not.
	Reason, Message string
	// Ended describes how the pod failed; empty when it has not.
	Ended string
	// Made is when the pod was created.
	Made time.Time
	// Unscheduled explains why no node takes the pod; empty when one does.
	Unscheduled string
}

// view is facts with what follows from them, which several hops need.
type view struct {
	Facts
	policy *reflectorv1.ImagePolicy
	scan   *reflectorv1.ImageRepository
	writer *flux.Writer
	// node answers the image in Git; nil where none was found.
	node *manifest.Node
	// image that is followed.
	image string
	// stopped names the hop at which the image stopped; empty as long as none was.
	stopped string
	// waits means that a hop waits for what comes before it.
	waits bool
}

// look finds what the hops are about.
func look(f Facts) *view {
	v := &view{Facts: f}
	for i := range f.Git.Tip.Nodes {
		if n := &f.Git.Tip.Nodes[i]; v.node == nil || v.node.Policy == "" && n.Policy != "" {
			v.node = n
		}
	}
	v.policy = v.selection()
	if v.policy != nil {
		v.scan = v.scanOf(v.policy)
		v.writer = v.writerOf(v.policy)
	}
	v.image = Subject(f)
	if v.policy == nil && f.Chain != nil {
		i := slices.IndexFunc(f.Chain.Scans, func(r reflectorv1.ImageRepository) bool {
			return r.Namespace == f.Namespace && image.SameRepository(r.Spec.Image, v.image)
		})
		if i >= 0 {
			v.scan = &f.Chain.Scans[i]
		}
	}
	return v
}

// Subject is the image that a trace follows: the first of these that is known: the image of the question, the selected
// image, the image in Git, the running image.
func Subject(f Facts) string {
	v := &view{Facts: f}
	for i := range f.Git.Tip.Nodes {
		if n := &f.Git.Tip.Nodes[i]; v.node == nil || v.node.Policy == "" && n.Policy != "" {
			v.node = n
		}
	}
	p := v.selection()
	switch {
	case f.Asked != "":
		return f.Asked
	case p != nil && p.Status.LatestRef != nil:
		return p.Status.LatestRef.String()
	case f.Git.Tip.Image != "":
		return f.Git.Tip.Image
	}
	return f.Live.Image
}

// selection is the ImagePolicy that chooses the image: the marker's, else the only one that could.
func (v *view) selection() *reflectorv1.ImagePolicy {
	if v.Chain == nil {
		return nil
	}
	if v.node != nil && v.node.Policy != "" {
		return v.named(v.node.Policy)
	}
	fits := v.candidates()
	// Where the files are known and have no marker, only a policy whose automation writes this file could be meant.
	if v.node != nil {
		fits = slices.DeleteFunc(fits, func(p *reflectorv1.ImagePolicy) bool {
			w := v.writerOf(p)
			return w == nil || !w.Updates(v.node.File)
		})
	}
	own := slices.DeleteFunc(slices.Clone(fits), func(p *reflectorv1.ImagePolicy) bool {
		return p.Namespace != v.Namespace
	})
	switch {
	case len(own) == 1:
		return own[0]
	case len(fits) == 1:
		return fits[0]
	}
	return nil
}

// named is the ImagePolicy of a marker; nil if absent.
func (v *view) named(marker string) *reflectorv1.ImagePolicy {
	for i := range v.Chain.Selections {
		if p := &v.Chain.Selections[i]; p.Namespace+":"+p.Name == marker {
			return p
		}
	}
	return nil
}

// candidates are the policies that select tags of the workload's image.
func (v *view) candidates() []*reflectorv1.ImagePolicy {
	var out []*reflectorv1.ImagePolicy
	for i := range v.Chain.Selections {
		p := &v.Chain.Selections[i]
		if r := v.scanOf(p); r != nil && image.SameRepository(r.Spec.Image, v.Live.Image) {
			out = append(out, p)
		}
	}
	return out
}

// scanOf is the ImageRepository of a policy; nil where it was not found.
func (v *view) scanOf(p *reflectorv1.ImagePolicy) *reflectorv1.ImageRepository {
	ref := repositoryOf(p)
	for i := range v.Chain.Scans {
		if r := &v.Chain.Scans[i]; r.Namespace == ref.Namespace && r.Name == ref.Name {
			return r
		}
	}
	return nil
}

// repositoryOf names the ImageRepository of a policy.
func repositoryOf(p *reflectorv1.ImagePolicy) v1alpha1.ObjectRef {
	ref := v1alpha1.ObjectRef{Kind: "ImageRepository", Namespace: p.Spec.ImageRepositoryRef.Namespace,
		Name: p.Spec.ImageRepositoryRef.Name}
	if ref.Namespace == "" {
		ref.Namespace = p.Namespace
	}
	return ref
}

// writerOf is the automation that writes what a policy selects: of several, one that updates the file and pushes to the
// branch.
func (v *view) writerOf(p *reflectorv1.ImagePolicy) *flux.Writer {
	var best *flux.Writer
	rank := func(w *flux.Writer) int {
		n := 0
		if v.node != nil && w.Updates(v.node.File) {
			n += 2
		}
		if w.Elsewhere == "" {
			n++
		}
		return n
	}
	for i := range v.Chain.Writers {
		if w := &v.Chain.Writers[i]; w.Selects(p) && (best == nil || rank(w) > rank(best)) {
			best = w
		}
	}
	return best
}

// ago is a time for a sentence.
func (v *view) ago(t time.Time) string { return duration.HumanDuration(max(0, v.Now.Sub(t))) + " ago" }

func refOf(kind, namespace, name string) v1alpha1.ObjectRef {
	return v1alpha1.ObjectRef{Kind: kind, Namespace: namespace, Name: name}
}

// Canary is what judges the updates of a workload.
type Canary struct {
	trigger.CanaryStatus
	// Unread explains why it was not read; empty where it was.
	Unread string
}
