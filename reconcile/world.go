package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// World is all that decide may look at. It is gathered before every step, live but for what a glance keeps.
type World struct {
	// Now is the time.
	Now time.Time
	// Self is CLUSTER/NAMESPACE/NAME of the Rollback, as Backstop's trailers name it.
	Self string
	// Cluster is the cluster's UID; empty where it cannot be read.
	Cluster string
	// Rollback is the Rollback, and known what the API server has of it; nil where that is the same.
	Rollback v1alpha1.Rollback
	known    *v1alpha1.Rollback
	// Triggers are the rows that look at the record.
	Triggers []Trigger
	// Seen is what each of them sees now.
	Seen map[v1alpha1.TriggerType]Observation
	// RanHere means that the subject's image ran here before; empty where nothing says so.
	RanHere string
	// Policy is what may be done; the zero value allows nothing. Policies are the same for each trigger alone.
	Policy   Policy
	Policies map[v1alpha1.TriggerType]Policy
	// Budget of the branch.
	Budget Budget
	// ReadOnly explains why Backstop may not push to the branch; empty when it may, or before that is known.
	ReadOnly string
	// ReadOnlyKind is its kind of fault: one that heals is waited for.
	ReadOnlyKind FaultKind
	// Unread is what keeps the source or its branch from being read for now, where that heals; nil where nothing does.
	Unread *Refusal
	// Suspended are objects that keep Flux from applying what is pushed.
	Suspended []v1alpha1.ObjectRef
	// Remediated is what Helm did by itself about what Git says; nil where nothing, or before that is known.
	Remediated *v1alpha1.Remediation
	// PullRequest is the Rollback's as its provider has it now; nil where it has none, or it cannot be read. NoPullRequest
	// explains why not then.
	PullRequest       *PullRequest
	NoPullRequest     string
	NoPullRequestKind FaultKind
	// Lifting is the pull request that lifts the hold, as its provider has it now; nil if absent, or it cannot
	// be read.
	Lifting *PullRequest
	// Shared means that other open Rollbacks wait for the same pull request, and Others why it must not be merged yet for
	// the sake of one of them; empty where nothing is against it.
	Shared bool
	Others string
	// Elsewhere are reverts that came by pull request, as the records tell: a squash leaves no trailers on the branch.
	Elsewhere []TrailerCommit
	// Seeks means that open pull requests are looked for that bring again what the Rollback reverted.
	Seeks bool
	// Branch is the tip and Backstop's trailers on it; nil until looked at.
	Branch *Branch
	// Rollout is how far the target got; nil until asked.
	Rollout *Rollout
	// Selections are by name what the policies select that the tip holds off; nil until asked.
	Selections map[string]Selection
	// Tenant names whose a namespace is; nil has each be a tenant of its own.
	Tenant func(namespace string) string
	// Breaker explains why nothing of this registry can be proved at all; empty while it is closed.
	Breaker string
	// Beside is the name of another open Rollback about one of the Rollback's workloads whose revert has not landed; empty
	// if absent.
	Beside string
	// Siblings are others whose reverts may share the push of an allowed one.
	Siblings siblings
	// Ahead is what a fast-forward goes by; nil until the landed revert is there to be applied, and where none is wanted.
	Ahead *Ahead
	// DeletesPods means that Backstop may delete pods that keep an ordered rollout from moving on.
	DeletesPods bool
	// labels of the Rollback's namespace, as the policies were read with.
	labels map[string]string
	// former is the ended Rollback before one that is to be opened; nil if absent.
	former *v1alpha1.Rollback
	// since is how old what was read for others may be.
	since time.Time
}

// Selection is what image automation would write by one policy if its holds were lifted.
type Selection struct {
	// Automation is false when this cluster has not both the policy and the automation: then another cluster lifts.
	Automation bool
	// Image selected now, name:tag[@digest].
	Image string
	// Proof that it exists, for the platforms.
	Proof Proof
	// Failed are the images that were reverted from the nodes under this policy.
	Failed []string
}

// siblings is what the other open Rollbacks mean for the push of an allowed one.
type siblings struct {
	// until is when it waits for others no longer; zero where none come.
	until time.Time
	// first means that no other one waits for longer.
	first bool
}

// Trigger is one way in which something is seen to be wrong, and what is particular about it. Failures of several
// triggers about one subject meet in one Rollback: everything else in this package knows phases and typed evidence, and
// no trigger. The rows stand in reconcile/trigger, and cmd/sidecar wires them.
//
// To add one:
//
//  1. api/v1alpha1: a name beside TriggerImagePull, with its place in both enums; a row in trigger.go with its words
//     and limits; a member of Failure for its evidence, and its line in Failure's rule; causes in cause.go. Then make
//     generate.
//  2. reconcile/trigger: a file with a function that gives the Trigger, and a line in All. Only Type and Observe have
//     to be there: what is nil does what its comment says.
//  3. watcher: what wakes the keys that it is about.
//  4. notify/slack/card: how its evidence is told, where the words of its row are not enough.
//  5. docs/policies.md, and a policy's printer column where it is worth one.
type Trigger struct {
	// Type names it. Its words and limits stand in the table of api/v1alpha1.
	Type v1alpha1.TriggerType
	// Observe looks at what the trigger sees of a key, live. It judges nothing, and gives nothing where the key's subject
	// is not of its kind.
	Observe func(ctx context.Context, l *Look) (Observation, error)
	// Ended tells how what is on the record came to an end by itself, as far as this trigger goes; nil while it has not.
	// The record ends when every trigger on it says so, and nothing is wrong any more. nil for never.
	Ended func(w *World) *Ending
	// Gone is the ending of a record that was opened for this trigger, and whose reason was over before it was written
	// down; nil recovers.
	Gone func(w *World) Ending
	// Doubts are why a person is asked; none lets the policy decide. nil for none.
	Doubts func(w *World) []v1alpha1.Doubt
	// Breaker explains why what this trigger goes by cannot be trusted right now, seen over all open Rollbacks; empty
	// where it can. nil for always.
	Breaker func(w *World, open []v1alpha1.Rollback) string
	// Depth is how many earlier values are looked through for a target; zero for as many as usual.
	Depth int
	// Prefer gives a target that is better than the newest proved earlier value, such as the image that people set by
	// hand; nil if absent. prove asks whether an image can run. nil for never.
	Prefer func(w *World, former []Former, prove Prover) (*v1alpha1.Target, error)
	// Prove reports whether an earlier value can run; nil asks the registry. It is asked again before a push.
	Prove func(ctx context.Context, w *World, f Former) (Proof, error)
	// Fault reports whether the subject itself cannot run: FindingAbsent proves it. nil asks the registry, where the
	// trigger's row says that it blames the image.
	Fault func(ctx context.Context, w *World, target *v1alpha1.Target) (Proof, error)
	// Arrived describes what is missing until what Git says now runs; empty when it does. nil goes by the images of the
	// workloads' templates and by their rollouts.
	Arrived func(w *World) string
}

// Prover reports whether an image can run where the record's workloads run.
type Prover func(image string) (Proof, error)

// Ending is how something came to an end by itself.
type Ending struct {
	Result v1alpha1.Result
	// Sentence says it to a person.
	Sentence string
}

// Look is one look at a key. What several triggers go by is read once.
type Look struct {
	Key Key
	// Record is the newest Rollback of the key; nil if absent.
	Record *v1alpha1.Rollback
	pods   func(context.Context) (PodsSeen, error)
	read   *PodsSeen
	// reconciler reads the key's subject as a Flux object that applies.
	reconciler func(context.Context) (*Reconciler, error)
}

// Reconciler is the Flux object that the key is about; nil where it is about none, or nobody reads them.
func (l *Look) Reconciler(ctx context.Context) (*Reconciler, error) {
	if l.reconciler == nil || l.Key.Image() != "" {
		return nil, nil
	}
	a, err := l.reconciler(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", l.Key, err)
	}
	return a, nil
}

// Known are the workloads that the record names.
func (l *Look) Known() []v1alpha1.Workload {
	if l.Record == nil {
		return nil
	}
	return l.Record.Status.Workloads()
}

// Pods is what the pods say that use the key's image.
func (l *Look) Pods(ctx context.Context) (PodsSeen, error) {
	if l.read == nil {
		now, err := l.pods(ctx)
		if err != nil {
			return PodsSeen{}, fmt.Errorf("read pods: %w", err)
		}
		l.read = &now
	}
	return *l.read, nil
}

// Observation is what one trigger sees of a key, live.
type Observation struct {
	// Failures now, each with the trigger's evidence.
	Failures []v1alpha1.Failure
	// Pods counts the pods of the workloads in Failures; nil where they are not counted.
	Pods *v1alpha1.PodCount
	// Over names the proof that the failure is over, as the subject of a sentence; empty where nothing does.
	Over string
	// Unnamed names the known workloads, where nothing is wrong and none of them asks for the subject's image any more;
	// else empty.
	Unnamed string
	// RanHere names what ran the subject's image beside what fails; empty where nothing did.
	RanHere string
	// Revision that the workload has now, where the key is about one.
	Revision string
	// Labels of the workloads in Failures and of the known ones that exist, by Kind/name: what policies select by.
	Labels map[string]map[string]string
	// Preferences are what these workloads say about going back, by Kind/name, and their namespace, by
	// NamespacePreference.
	Preferences map[string]Preference
}
