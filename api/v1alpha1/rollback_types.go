package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Answer is what a person decided.
//
// +kubebuilder:validation:Enum=Approve;Reject
type Answer string

const (
	// Approve reverts the change in Git; for a drift: adopts it into Git.
	Approve Answer = "Approve"
	// Reject keeps what Git says; for a drift: restores it from Git.
	Reject Answer = "Reject"
)

// Decision is one person's answer. A decision is never changed or taken back: the first one counts.
type Decision struct {
	// By is who decided: the Kubernetes user name, or slack:TEAM/USER when Backstop recorded a click.
	// An admission policy keeps it equal to the user who writes it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	By string `json:"by"`
	// Answer is what was decided.
	Answer Answer `json:"answer"`
	// At is when; the writer's clock.
	At metav1.MicroTime `json:"at"`
	// Reason is the person's own words.
	// +optional
	// +kubebuilder:validation:MaxLength=500
	Reason string `json:"reason,omitempty"`
}

// RollbackSpec names what failed, and holds what people decided.
//
// +kubebuilder:validation:XValidation:rule="self.trigger == oldSelf.trigger",message="trigger is what the Rollback was opened for and cannot be changed",fieldPath=".trigger"
// +kubebuilder:validation:XValidation:rule="self.image == oldSelf.image",message="image is what the Rollback is about and cannot be changed",fieldPath=".image"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.decisions) || (has(self.decisions) && oldSelf.decisions.all(o, self.decisions.exists(n, n == o)))",message="a decision cannot be changed or taken back: decisions can only be added",fieldPath=".decisions"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.releaseHold) || (has(self.releaseHold) && self.releaseHold == oldSelf.releaseHold)",message="releaseHold cannot be changed or taken back: the hold is being lifted",fieldPath=".releaseHold"
type RollbackSpec struct {
	// Trigger is what the Rollback was opened for.
	Trigger Trigger `json:"trigger"`
	// Image is the reference as the workload's template names it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image"`
	// Decisions are people's answers, one for each person, only ever added to.
	// +optional
	// +listType=map
	// +listMapKey=by
	// +kubebuilder:validation:MaxItems=32
	Decisions []Decision `json:"decisions,omitempty"`
	// ReleaseHold is a person's wish to lift the hold now.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.answer == 'Approve'",message="the only answer is Approve: a hold that is not to be lifted needs none",fieldPath=".answer"
	ReleaseHold *Decision `json:"releaseHold,omitempty"`
}

// Cause is why an image cannot be pulled, read from the kubelet's words.
type Cause string

// The causes. Only the first four are the image's own fault.
const (
	CauseNotFound            Cause = "NotFound"
	CausePlatformMismatch    Cause = "PlatformMismatch"
	CauseInvalidName         Cause = "InvalidName"
	CauseBlobMissing         Cause = "BlobMissing"
	CauseUnauthorized        Cause = "Unauthorized"
	CauseRateLimited         Cause = "RateLimited"
	CauseRegistryUnavailable Cause = "RegistryUnavailable"
	CauseNodeFault           Cause = "NodeFault"
	CauseNeverPulled         Cause = "NeverPulled"
	CauseUnknown             Cause = "Unknown"
	// CauseDrift is no fault of the image: somebody changed the workload by hand, so that it does not run what Git says.
	CauseDrift Cause = "Drift"
)

// ImageFault says whether the cause is the image's own fault: only such a failure is reverted without a person.
func (c Cause) ImageFault() bool {
	switch c {
	case CauseNotFound, CausePlatformMismatch, CauseInvalidName, CauseBlobMissing:
		return true
	case CauseUnauthorized, CauseRateLimited, CauseRegistryUnavailable, CauseNodeFault, CauseNeverPulled, CauseUnknown,
		CauseDrift:
		return false
	}
	return false
}

// ObjectRef names an object.
type ObjectRef struct {
	// Kind of the object.
	Kind string `json:"kind"`
	// Namespace of the object.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Name of the object.
	Name string `json:"name"`
}

// String is Kind/namespace/name.
func (r ObjectRef) String() string {
	if r.Namespace == "" {
		return r.Kind + "/" + r.Name
	}
	return r.Kind + "/" + r.Namespace + "/" + r.Name
}

// Workload names an object in the Rollback's namespace whose pod template runs the image.
type Workload struct {
	// Kind: Deployment, StatefulSet, DaemonSet, CronJob, Job, or the kind of a controller that Backstop does not know.
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Name of the object.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// UID of the object.
	// +optional
	UID types.UID `json:"uid,omitempty"`
}

// String is Kind/name.
func (w Workload) String() string { return w.Kind + "/" + w.Name }

// Failure is one container of one revision of a workload that cannot have its image.
type Failure struct {
	// Workload that owns the pod.
	Workload Workload `json:"workload"`
	// Revision of the workload: the pod-template-hash, the controller-revision-hash, or the UID of the Job.
	// +optional
	Revision string `json:"revision,omitempty"`
	// Container whose image it is.
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container"`
	// Pod that was seen failing.
	// +optional
	Pod string `json:"pod,omitempty"`
	// Platform of the node, as os/arch, where it could be read.
	// +optional
	Platform string `json:"platform,omitempty"`
	// Cause, read from the first error that the kubelet gave.
	Cause Cause `json:"cause"`
	// Message is the kubelet's own words, cut to 1024 characters. It is data: it may hold anything.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Message string `json:"message,omitempty"`
	// Since is when it was first seen.
	Since metav1.MicroTime `json:"since"`
	// Drift is there where the container does not fail but was changed by hand, and says how.
	// +optional
	Drift *Drift `json:"drift,omitempty"`
}

// Drift is a change of a container's image by hand, which Git does not say and Flux will take back.
type Drift struct {
	// Live is the image that the workload's template names now.
	// +kubebuilder:validation:MaxLength=1024
	Live string `json:"live"`
	// By is the field manager that owns the image now, such as kubectl or kubectl-edit; empty where that cannot be read.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	By string `json:"by,omitempty"`
	// At is when that manager changed the object last, as its managedFields say; to the second.
	// +optional
	At *metav1.MicroTime `json:"at,omitempty"`
	// From is the revision that was left; empty where the history does not tell.
	// +optional
	From string `json:"from,omitempty"`
	// To is the older revision that was gone back to; empty where the image is in none.
	// +optional
	To string `json:"to,omitempty"`
	// Read lists what told of the drift, a sentence each: the managedFields, the history of revisions, Git.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	Read []string `json:"read,omitempty"`
	// Unread lists what could not be read and why, a sentence each.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	Unread []string `json:"unread,omitempty"`
	// UndoneBy is the Flux object that will take the drift back.
	// +optional
	UndoneBy *ObjectRef `json:"undoneBy,omitempty"`
	// UndoneAt is when it does so, give or take a tenth of its interval; not there where it never does, or at a time
	// that nobody knows.
	// +optional
	UndoneAt *metav1.MicroTime `json:"undoneAt,omitempty"`
	// Undone says in a sentence when it does so.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Undone string `json:"undone,omitempty"`
}

// Node is one scalar in a YAML file in Git that says which image runs.
type Node struct {
	// File is the path from the root of the repository.
	File string `json:"file"`
	// Pointer finds the scalar in the file: document and path, sequences by name where they have one.
	Pointer string `json:"pointer"`
	// Part is what the scalar holds of a reference: Image, Repository, Name, Tag or Digest.
	Part string `json:"part"`
	// Bad is the value that cannot run.
	Bad string `json:"bad"`
	// Former is the value before the suspect commit; empty with Added where there was none.
	// +optional
	Former string `json:"former,omitempty"`
	// Added says that the suspect commit brought the node itself: there is nothing to go back to.
	// +optional
	Added bool `json:"added,omitempty"`
	// Marker is the ImagePolicy that writes the node, as namespace:name, empty where none does.
	// +optional
	Marker string `json:"marker,omitempty"`
}

// Suspect is the commit that brought the image in, and what it did.
type Suspect struct {
	// Source is the GitRepository that deploys the file.
	Source ObjectRef `json:"source"`
	// Branch that the source deploys.
	Branch string `json:"branch"`
	// Applier is the Flux object that applies the workload: a Kustomization or a HelmRelease.
	// +optional
	Applier ObjectRef `json:"applier,omitempty"`
	// Image that was asked for, as the workload's template names it: it completes what nodes say of a former image.
	// +optional
	Image string `json:"image,omitempty"`
	// Commit is the full hash of the suspect.
	Commit string `json:"commit"`
	// Parent is the hash of its first parent.
	// +optional
	Parent string `json:"parent,omitempty"`
	// Subject is the first line of its message. It is data: it may hold anything.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Subject string `json:"subject,omitempty"`
	// Author as the commit names him, which anyone can write.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Author string `json:"author,omitempty"`
	// When is the committer's time.
	When metav1.MicroTime `json:"when"`
	// Automation is the ImageUpdateAutomation that wrote it, where it was one.
	// +optional
	Automation *ObjectRef `json:"automation,omitempty"`
	// ByHand says why the change is not known to be image automation's; empty where it is.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	ByHand string `json:"byHand,omitempty"`
	// OnlyImages says that the commit changed nothing but nodes of images.
	// +optional
	OnlyImages bool `json:"onlyImages,omitempty"`
	// OtherImages are images that the same commit brought in and that are not reverted, cut to 20.
	// +optional
	OtherImages []string `json:"otherImages,omitempty"`
	// SharedBy are other Flux objects that render the same files.
	// +optional
	SharedBy []ObjectRef `json:"sharedBy,omitempty"`
	// Nodes are the scalars that hold the image.
	// +kubebuilder:validation:MaxItems=64
	Nodes []Node `json:"nodes"`
}

// NodeValue is a value for the node of the same index in suspect.nodes.
type NodeValue struct {
	// Index into suspect.nodes.
	Index int32 `json:"index"`
	// Value to write; the empty string is a value too.
	Value string `json:"value"`
}

// Target is what the nodes go back to.
type Target struct {
	// Image that the workload will run again; empty where there is none.
	// +optional
	Image string `json:"image,omitempty"`
	// Values for the nodes.
	// +optional
	Values []NodeValue `json:"values,omitempty"`
	// Digest that the registry gave for the target.
	// +optional
	Digest string `json:"digest,omitempty"`
	// Proved says that the registry holds the target for the platforms asked for.
	Proved bool `json:"proved"`
	// BadProved says that the registry confirmed that the failing image cannot run.
	BadProved bool `json:"badProved"`
	// Proof says in a sentence what the registry answered, about both.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Proof string `json:"proof,omitempty"`
	// At is when it was proved.
	At metav1.MicroTime `json:"at"`
}

// Verdict says whether Git is changed, and who said so.
type Verdict struct {
	// Answer is Approve or Reject.
	Answer Answer `json:"answer"`
	// By is the policy (policy NAMESPACE/NAME) or the person.
	By string `json:"by"`
	// At is when.
	At metav1.MicroTime `json:"at"`
	// Why in a sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Why string `json:"why,omitempty"`
	// Cooldown of the policy when it was given: the revert waits until the workload's last one is that long ago.
	// +optional
	Cooldown metav1.Duration `json:"cooldown,omitempty"`
	// Release of the policy when it was given: what will lift the hold.
	// +optional
	Release ReleaseMode `json:"release,omitempty"`
}

// ByPolicy is the prefix of Verdict.By where no person decided.
const ByPolicy = "policy "

// Change is what was written to Git.
type Change struct {
	// Commit is the revert.
	Commit string `json:"commit"`
	// Hold is the commit that holds image automation off; empty where no marker was on the nodes.
	// +optional
	Hold string `json:"hold,omitempty"`
	// Branch that was pushed to.
	Branch string `json:"branch"`
	// Policies are the ImagePolicies held, as namespace:name.
	// +optional
	Policies []string `json:"policies,omitempty"`
	// Release is what lifts the hold, as the hold itself says: Manual where the policy says so, and after two lifts in a
	// row that brought an image which had to be taken back.
	// +optional
	Release ReleaseMode `json:"release,omitempty"`
	// By names the Rollback that pushed it, where it was another one or another cluster's.
	// +optional
	By string `json:"by,omitempty"`
	// At is when.
	At metav1.MicroTime `json:"at"`
}

// Landed is the first commit on the deployed branch that holds the target.
type Landed struct {
	// Commit is its hash.
	Commit string `json:"commit"`
	// At is when it was seen.
	At metav1.MicroTime `json:"at"`
	// Again counts how often it was landed again after a force push lost it.
	// +optional
	Again int32 `json:"again,omitempty"`
}

// Request is the reconcile that was asked of Flux.
type Request struct {
	// Token is the value of reconcile.fluxcd.io/requestedAt.
	Token string `json:"token"`
	// Objects that were asked.
	Objects []ObjectRef `json:"objects"`
	// At is when.
	At metav1.MicroTime `json:"at"`
}

// Result is how a Rollback ended.
type Result string

// The ends.
const (
	// ResultVerified: the revert was applied and the workload runs the target.
	ResultVerified Result = "Verified"
	// ResultRestored: Flux took a drift back.
	ResultRestored Result = "Restored"
	// ResultRecovered: the image was pulled after all.
	ResultRecovered Result = "Recovered"
	// ResultRejected: a person said no.
	ResultRejected Result = "Rejected"
	// ResultExpired: nobody decided in time. It can still be decided.
	ResultExpired Result = "Expired"
	// ResultSuperseded: Git already says something else.
	ResultSuperseded Result = "Superseded"
	// ResultUnattributable: no commit in a Git repository that Backstop may write to brought the image in.
	ResultUnattributable Result = "Unattributable"
	// ResultNotified: the policy only tells.
	ResultNotified Result = "Notified"
	// ResultFailed: the revert could not be made or did not arrive.
	ResultFailed Result = "Failed"
)

// Outcome is how it ended, for a human.
type Outcome struct {
	// Result is the end.
	Result Result `json:"result"`
	// Sentence says it.
	// +kubebuilder:validation:MaxLength=4096
	Sentence string `json:"sentence"`
	// At is when.
	At metav1.MicroTime `json:"at"`
}

// HoldRelease says how the hold was lifted.
type HoldRelease struct {
	// Commit that lifted it; empty where somebody else's did.
	// +optional
	Commit string `json:"commit,omitempty"`
	// Image that the policy elects now.
	// +optional
	Image string `json:"image,omitempty"`
	// By is who: the policy's newer image, a person, or somebody's commit.
	By string `json:"by"`
	// At is when.
	At metav1.MicroTime `json:"at"`
}

// RollbackStatus holds the blanks. Each is written once.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.failures) || (has(self.failures) && oldSelf.failures.all(o, self.failures.exists(n, n.workload.kind == o.workload.kind && n.workload.name == o.workload.name && n.container == o.container)))",message="failures only grow",fieldPath=".failures"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.suspect) || (has(self.suspect) && self.suspect == oldSelf.suspect)",message="suspect is written once",fieldPath=".suspect"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.target) || has(self.target)",message="target is never erased",fieldPath=".target"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.target) || !has(oldSelf.verdict) || (has(self.target) && self.target == oldSelf.target)",message="target is fixed by the verdict",fieldPath=".target"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.verdict) || (has(self.verdict) && self.verdict == oldSelf.verdict)",message="verdict is written once",fieldPath=".verdict"
// +kubebuilder:validation:XValidation:rule="!has(self.change) || (has(self.verdict) && self.verdict.answer == 'Approve')",message="no change before a verdict that allows it",fieldPath=".change"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.change) || (has(self.change) && self.change == oldSelf.change)",message="change is written once",fieldPath=".change"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.landed) || has(self.landed)",message="landed is never erased",fieldPath=".landed"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.request) || has(self.request)",message="request is never erased",fieldPath=".request"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.outcome) || (has(self.outcome) && (self.outcome == oldSelf.outcome || oldSelf.outcome.result == 'Expired'))",message="outcome is written once, unless it expired",fieldPath=".outcome"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.release) || (has(self.release) && self.release == oldSelf.release)",message="release is written once",fieldPath=".release"
type RollbackStatus struct {
	// ObservedGeneration is the generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions follow kstatus: Ready, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Phase is the first blank, or how it ended.
	// +optional
	Phase string `json:"phase,omitempty"`
	// Waiting says why nothing happens right now, and until when.
	// +optional
	Waiting *Waiting `json:"waiting,omitempty"`
	// Failures are the containers that cannot have the image. Only grows, to at most 50; then More counts.
	// +optional
	// +kubebuilder:validation:MaxItems=50
	Failures []Failure `json:"failures,omitempty"`
	// MoreFailures counts failures that were seen after the list was full.
	// +optional
	MoreFailures int32 `json:"moreFailures,omitempty"`
	// Pods counts the pods of the failing workloads, as last seen before the verdict.
	// +optional
	Pods *PodCount `json:"pods,omitempty"`
	// Suspect is the commit that brought the image in.
	// +optional
	Suspect *Suspect `json:"suspect,omitempty"`
	// Target is what to go back to.
	// +optional
	Target *Target `json:"target,omitempty"`
	// Verdict says whether Git is changed.
	// +optional
	Verdict *Verdict `json:"verdict,omitempty"`
	// Change is what was written to Git.
	// +optional
	Change *Change `json:"change,omitempty"`
	// Landed is the first commit on the deployed branch that holds the target.
	// +optional
	Landed *Landed `json:"landed,omitempty"`
	// Request is the reconcile that was asked of Flux.
	// +optional
	Request *Request `json:"request,omitempty"`
	// Outcome is how it ended.
	// +optional
	Outcome *Outcome `json:"outcome,omitempty"`
	// Release says how the hold was lifted.
	// +optional
	Release *HoldRelease `json:"release,omitempty"`
	// Card is where people see it on Slack. It is no blank: what is decided never depends on it.
	// +optional
	Card *Card `json:"card,omitempty"`
}

// Card is the one Slack message of a Rollback, which changes in place.
type Card struct {
	// Provider is the Flux Provider that posted it, as namespace/name.
	// +kubebuilder:validation:MaxLength=512
	Provider string `json:"provider"`
	// Channel is the ID of the channel that it stands in.
	// +kubebuilder:validation:MaxLength=64
	Channel string `json:"channel"`
	// TS is the message's timestamp, by which Slack knows it in its channel.
	// +kubebuilder:validation:MaxLength=64
	TS string `json:"ts"`
	// Thread is the message above the thread that the card is in, where one commit made a digest of many; else empty.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Thread string `json:"thread,omitempty"`
	// Hash of what it shows.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Hash string `json:"hash,omitempty"`
	// Told is what the thread has been told, a word for each blank.
	// +optional
	// +kubebuilder:validation:MaxItems=32
	Told []string `json:"told,omitempty"`
}

// Waiting says why nothing happens right now.
type Waiting struct {
	// Why in a sentence.
	// +kubebuilder:validation:MaxLength=4096
	Why string `json:"why"`
	// Until is when Backstop looks again or gives up.
	// +optional
	Until *metav1.MicroTime `json:"until,omitempty"`
	// Since is when it began to wait for this.
	Since metav1.MicroTime `json:"since"`
	// Asked is there while a person is asked.
	// +optional
	Asked *Asked `json:"asked,omitempty"`
}

// Asked says until when a person can decide before the Rollback expires, and why one is asked.
type Asked struct {
	// Until is the deadline.
	Until metav1.MicroTime `json:"until"`
	// Because gives the reasons, a sentence each.
	// +optional
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=4096
	Because []string `json:"because,omitempty"`
	// OnlyReject says why an approval could not be carried out, so that only a rejection is of use; empty where both are.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	OnlyReject string `json:"onlyReject,omitempty"`
}

// PodCount says how many pods of the failing workloads wait for the image, and how many they have.
type PodCount struct {
	// Failing pods wait for the image.
	Failing int32 `json:"failing"`
	// Total is how many pods the workloads have, of every revision; zero where that cannot be read.
	// +optional
	Total int32 `json:"total,omitempty"`
	// Ready is how many of them are ready, on the image that they ran before.
	// +optional
	Ready int32 `json:"ready,omitempty"`
}

// Rollback is the record of one image that could not run: what failed, which commit brought it in,
// who allowed the revert, and where the revert is now. Backstop opens it; people only add decisions.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=rb,categories=all;backstop
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.spec.image`
// +kubebuilder:printcolumn:name="Is",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Back To",type=string,JSONPath=`.status.target.image`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Suspect",type=string,priority=1,JSONPath=`.status.suspect.commit`
// +kubebuilder:printcolumn:name="Revert",type=string,priority=1,JSONPath=`.status.change.commit`
type Rollback struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec RollbackSpec `json:"spec"`
	// +optional
	Status RollbackStatus `json:"status,omitempty"`
}

// RollbackList is a list of Rollbacks.
//
// +kubebuilder:object:root=true
type RollbackList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Rollback `json:"items"`
}
