package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Origin says where a workload comes from, confirmed by the inventory of the object that applies it.
type Origin struct {
	// Reconciler is the Kustomization or HelmRelease whose inventory holds the workload.
	Reconciler v1alpha1.ObjectRef
	// Root that holds the manifest: the Kustomization's, or that of the one that applies the HelmRelease.
	Root Root
	// Others are further roots of Kustomizations on the same source (any branch-sharing GitRepository of the same URL).
	Others []Root
	// Lands are the namespaces that others of the same owner, or of the platform, apply into. What those of strangers say
	// of it they could make up.
	Lands map[v1alpha1.ObjectRef][]string
	// Source to read and push.
	Source Source
	// Policies known to image automation in this cluster that write to this source.
	Policies []ImagePolicy
	// Namespaces into which the Kustomizations on this source deploy, as Automated finds them: a hold in Git may be
	// recorded there.
	Namespaces []string
	// Images are spec.images of the Kustomization, which override what the files say; they live in the file that
	// holds the Kustomization itself.
	Images bool
	// Applied is the commit that the Kustomization attempted last; empty when it does not say.
	Applied string
	// Suspended are the source, the Kustomization and the HelmRelease, where they are suspended: nothing that is pushed is
	// applied before they are resumed.
	Suspended []v1alpha1.ObjectRef
	// Remediated is what Helm did by itself about what Git says now; nil where nothing.
	Remediated *v1alpha1.Remediation
	// Healthy is what Flux remembers to have applied and found healthy.
	Healthy []Healthy
}

// Healthy is something that Flux applied and then found healthy.
type Healthy struct {
	// By is who applied it.
	By v1alpha1.ObjectRef
	// Commit that it applied; empty where only the time is known.
	Commit string
	// At is when it was found healthy first.
	At time.Time
	// Only are the workloads whose health was looked at; none for all that was applied.
	Only []v1alpha1.Workload
}

// Access says how to ask a registry for an image. It prints as "[redacted]".
type Access struct {
	// Insecure allows plain HTTP, where the ImageRepository says so.
	Insecure bool
	// DockerConfigs are the data of .dockerconfigjson (or legacy .dockercfg) Secrets, the first that fits counts.
	DockerConfigs [][]byte
	// CA, ClientCert and ClientKey in PEM, from certSecretRef.
	CA, ClientCert, ClientKey []byte
	// Proxy URL, with its password.
	Proxy string
	// Provider is generic, aws, azure or gcp.
	Provider string
	// Next is asked with where this one is not let in or does not get through; nil for none. Nothing of one is used with
	// the other: each is of one object.
	Next *Access
	// Missing says in a sentence which Role or Secret kept credentials away; empty when nothing did.
	Missing string
}

// Then asks with another access where this one, and what it asks with next, does not get through.
func (a Access) Then(last Access) Access {
	if a.Next != nil {
		last = a.Next.Then(last)
	}
	a.Next = &last
	return a
}

// Format keeps secrets out of every print, log and error.
func (Access) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// LogValue keeps secrets out of structured logs.
func (Access) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalJSON keeps secrets out of everything encoded.
func (Access) MarshalJSON() ([]byte, error) { return []byte(`"[redacted]"`), nil }

// Finding is what a registry's answer proves.
type Finding string

// The findings.
const (
	// FindingPresent: the image exists and fits every platform asked for.
	FindingPresent Finding = "Present"
	// FindingAbsent: the registry says it does not, and showed this client another tag of the repository.
	FindingAbsent Finding = "Absent"
	// FindingUnproved: the registry did not answer, or not to this client.
	FindingUnproved Finding = "Unproved"
)

// Proof is a finding with the registry's words.
type Proof struct {
	Finding Finding
	// Cause that fits an absence: NotFound, PlatformMismatch, BlobMissing, InvalidName; or why it is unproved.
	Cause v1alpha1.Cause
	// Sentence for a human, without a secret.
	Sentence string
	// Digest of the manifest or index, where one was seen.
	Digest string
	// Untrusted means that the registry was not asked, since its certificate is not valid here.
	Untrusted bool
	// Artifact says what the registry has under the name where that is no image, such as "a Helm chart"; empty otherwise.
	Artifact string
	// At is when the registry answered.
	At time.Time
}

// Registry proves that images exist, or do not.
type Registry interface {
	// Prove asks for an image. It never fails: what could not be learned is FindingUnproved, with the reason.
	Prove(ctx context.Context, q Question) Proof
}

// Question asks a registry for one image.
type Question struct {
	// Image is the reference.
	Image string
	// Platforms (os/arch) that must find a manifest; none asks for existence alone.
	Platforms []string
	// Deep asks for the config and every layer too.
	Deep bool
	// Witness is another image of the same repository that exists, by which a 404 becomes a proof where the registry
	// lists no tags; empty for none.
	Witness string
	// Rescanned means that image automation selected the image, scanned the repository again, and selects the witness now:
	// the tag is on its list no more, which tells where this client gets no whole list.
	Rescanned bool
	// Access says how to ask.
	Access Access
}

// Rollout is how far the target got in the cluster.
type Rollout struct {
	// Contains means that the attempted revision of the applier contains the landed commit.
	Contains bool
	// Attempted is that revision's commit.
	Attempted string
	// Fetched means that the source's artifact contains the landed commit.
	Fetched bool
	// Source says in a sentence what the source waits for or refuses; empty when nothing.
	Source string
	// Waits says in a sentence what the applier waits for (a running health check, dependsOn); empty when nothing.
	Waits string
	// WaitsUntil is when that wait ends at the latest.
	WaitsUntil time.Time
	// Way is what the commit passes through, from the source down.
	Way []Stop
	// Workloads by kind and name: what their template holds and how their rollout stands.
	Workloads []WorkloadState
}

// StuckPod is a pod as it was seen. That of a StatefulSet comes again under its name.
type StuckPod struct{ Name, UID string }

// WorkloadState is one workload on its way to the target.
type WorkloadState struct {
	Workload v1alpha1.Workload
	// Gone means that the workload does not exist any more.
	Gone bool
	// Images of its template by container.
	Images map[string]string
	// Complete means that the rollout of that template is complete.
	Complete bool
	// Says is kstatus's message, or what to do by hand.
	Says string
	// Paused means that a person paused the rollout.
	Paused bool
	// Fix is the exact kubectl command for a paused rollout or a stuck pod; empty where nothing helps by hand.
	Fix string
	// Stuck are pods that keep an ordered rollout from moving on, to be deleted.
	Stuck []StuckPod
}

// Applied is what Flux applied to a workload last.
type Applied struct {
	// Reconciler is the Kustomization or HelmRelease whose inventory holds the workload.
	Reconciler v1alpha1.ObjectRef
	// Commit of the revision that was applied; empty where its source names none.
	Commit string
	// Busy says in a sentence that it is being applied right now, so that what runs is neither; empty when it is not.
	Busy string
	// Again is when that is done again.
	Again
	// Released is when a release that somebody made with helm itself is replaced by what Git says; nil where that is no
	// different from any other change.
	Released *Again
}

// Again is when Flux applies something again, and so undoes a change by hand.
type Again struct {
	// Next is the time, give or take the jitter of the interval; zero where never, or nobody knows.
	Next time.Time
	// Never means that nothing applies it by itself.
	Never bool
	// When says it in words, and Why, where there is more to say, what it depends on.
	When, Why string
}

// Says is when and why, for a sentence.
func (a Again) Says() string {
	if a.Why == "" {
		return a.When
	}
	return a.When + ": " + a.Why
}

// Flux knows which Flux objects stand behind a workload.
type Flux interface {
	// Origin finds the source of a workload. A Refusal explains why Backstop can write to none, and what to do.
	// with names the GitRepository to push with (a policy's sourceRef), where it may; nil for Flux's own. Who else writes
	// to the repository and renders it may have been listed at since or later, where that is not zero.
	Origin(ctx context.Context, namespace string, w v1alpha1.Workload, with *types.NamespacedName, since time.Time,
	) (Origin, error)
	// Applied says what was applied to a workload last, and when that is done again. since is when somebody else changed
	// it, from which a bound is counted where nobody knows the last run; zero for unknown.
	Applied(ctx context.Context, namespace string, w v1alpha1.Workload, since time.Time) (Applied, error)
	// Reopen finds the source again, from a suspect in a namespace; with as in Origin. A read for somebody else that
	// began at since or later will do; the zero time reads anew.
	Reopen(ctx context.Context, namespace string, s v1alpha1.Suspect, with *types.NamespacedName, since time.Time,
	) (Origin, error)
	// Automated lists the sources that image automation of this cluster writes to, each once.
	Automated(ctx context.Context) ([]Origin, error)
	// Access finds how to ask the registry for an image of a pod in a namespace.
	Access(ctx context.Context, namespace, image string, pod string) (Access, error)
	// Request asks objects for a reconcile that have no health check, with one token.
	Request(ctx context.Context, objects []v1alpha1.ObjectRef, token string) error
	// Ask asks one object for a reconcile, if it is still as it was read. ErrConflict means: look again.
	Ask(ctx context.Context, stop Stop, token string) error
	// Rollout says how far the target got; of a Rollback that has not landed, how far what Git says did. contains answers
	// whether a revision's commit contains another.
	Rollout(ctx context.Context, rb *v1alpha1.Rollback, contains func(tip, commit string) (bool, error)) (Rollout, error)
}

// Owners are what policies go by of the workloads that own failing pods.
type Owners struct {
	// Labels of those that exist, by Kind/name: what policies select by.
	Labels map[string]map[string]string
	// Preferences are what they say about going back, by Kind/name, and their namespace, by NamespacePreference.
	Preferences map[string]Preference
}

// Pods reads pods live.
type Pods interface {
	// Failing lists the containers in a namespace that wait for the image of the key, and says what is known of pods
	// that have it. Where the key is about a workload it lists those that fail by its configuration. known are workloads
	// that a Rollback already names: their pods are looked at too.
	Failing(ctx context.Context, key Key, known []v1alpha1.Workload) (PodsSeen, error)
	// Owners reads what policies go by of workloads, each once.
	Owners(ctx context.Context, namespace string, of []v1alpha1.Workload) (Owners, error)
	// Delete deletes a pod, that very one: another pod of its name stays. One that is gone is no error.
	Delete(ctx context.Context, namespace string, pod StuckPod) error
}

// PodsSeen is a live read of the pods that use one image, and of the workloads that a Rollback of it names.
type PodsSeen struct {
	// Failures now, of the triggers that go by pods and templates: ImagePull and Drift.
	Failures []v1alpha1.Failure
	// Pods counts the pods of the workloads in Failures; nil when none fails.
	Pods *v1alpha1.PodCount
	// Started names a pod and container that started with the image after its workload failed; empty when none did.
	Started string
	// Steady names a pod that runs the image well for a while, of the newest revision of a workload that failed to; empty
	// where none does.
	Steady string
	// Revision is the newest one of the workload, where the key is about one.
	Revision string
	// Promoted names the canaries that refused an update to the image before, where all of them have what is to run
	// promoted; else empty.
	Promoted string
	// Restored names the known workloads, where none is changed by hand and all have the image as Git says; else empty.
	Restored string
	// Unnamed names the known workloads, where nothing fails and none of them asks for the image any more; else empty.
	Unnamed string
	// RanHere names a workload revision with ready pods of this image beside the failing ones.
	RanHere string
	// Labels of the workloads in Failures and known that exist, by Kind/name: what policies select by.
	Labels map[string]map[string]string
	// Preferences are what these workloads say about going back, by Kind/name, and their namespace, by
	// NamespacePreference.
	Preferences map[string]Preference
}

// Of are the failures that one trigger sees.
func (p PodsSeen) Of(t v1alpha1.TriggerType) []v1alpha1.Failure {
	var out []v1alpha1.Failure
	for _, f := range p.Failures {
		if f.Trigger == t {
			out = append(out, f)
		}
	}
	return out
}

// Records keeps Rollbacks in the API server. Reads are live; a save uses the resourceVersion that was read.
type Records interface {
	// Latest is the newest Rollback of a key, nil where there is none.
	Latest(ctx context.Context, key Key) (*v1alpha1.Rollback, error)
	// Known is the same, and may be a moment old.
	Known(ctx context.Context, key Key) (*v1alpha1.Rollback, error)
	// Create opens a Rollback. ErrConflict when somebody else just did.
	Create(ctx context.Context, r *v1alpha1.Rollback) error
	// SaveStatus saves status and metadata's resourceVersion. ErrConflict means: start over.
	SaveStatus(ctx context.Context, r *v1alpha1.Rollback) error
	// All lists every Rollback, live.
	All(ctx context.Context) ([]v1alpha1.Rollback, error)
	// Delete removes a Rollback as it was read. ErrConflict when it was changed since.
	Delete(ctx context.Context, r *v1alpha1.Rollback) error
	// Open lists Rollbacks that have not ended, in every namespace; it may be a moment old, and is not to be changed.
	Open(ctx context.Context) ([]v1alpha1.Rollback, error)
	PolicyReader
}

// PolicyReader reads RollbackPolicies.
type PolicyReader interface {
	// Policies lists all RollbackPolicies and the labels of a namespace; they may be a moment old.
	Policies(ctx context.Context, namespace string) ([]v1alpha1.RollbackPolicy, map[string]string, error)
	// PoliciesNow lists the RollbackPolicies that may speak of a namespace, its own and those of Backstop's, and its
	// labels, all live: what is written goes by it.
	PoliciesNow(ctx context.Context, namespace string) ([]v1alpha1.RollbackPolicy, map[string]string, error)
}

// Stop is one Flux object on the way from Git to a workload, as it is right now.
type Stop struct {
	// Object that may be asked.
	Object v1alpha1.ObjectRef
	// Version is its resourceVersion: it is asked as it was read, or not at all.
	Version string
	// Reached means that what it works from holds the commit: the branch, its source's artifact, what its Kustomization
	// applied.
	Reached bool
	// Since is when that came to be; zero where nobody knows.
	Since time.Time
	// Taken means that it attempted the commit, so that there is nothing to ask it for.
	Taken bool
	// Busy means that it is at work, so that asking would cancel what it does.
	Busy bool
	// Barred means that asking is of no use: it is suspended, is being deleted, or waits for another object.
	Barred bool
	// Deaf means that nothing tells it of the commit before its interval, or ever.
	Deaf bool
	// Token is the last request that it carries; it is handled when the object has answered it.
	Token   string
	Handled bool
}

// SharedWith are the namespaces that Flux objects which render the same files apply into, but for a record's own.
func SharedWith(by []v1alpha1.ObjectRef, lands map[v1alpha1.ObjectRef][]string, own string) []string {
	var out []string
	for _, o := range by {
		out = append(out, lands[o]...)
	}
	out = slices.DeleteFunc(out, func(ns string) bool { return ns == own })
	slices.Sort(out)
	return slices.Compact(out)
}

// Preference is what the objects of a workload say about going back, beside the policies.
type Preference struct {
	// Annotation is RollbackAnnotation's value; empty where it is not there.
	Annotation string
	// Migrates describes what hints at data that an older version may not be able to read; empty where nothing does.
	Migrates string
	// LeftAlone means that Flux is told not to touch the object: what Git says does not reach it.
	LeftAlone bool
}

// NamespacePreference is the name under which wishes of a namespace stand among those of its workloads.
const NamespacePreference = "the namespace"
