package v1alpha1

import "slices"

// Bar is what forbids a write to Git right now.
//
// +kubebuilder:validation:Enum=NoPolicy;Suspended;ToldOnly;MaxMode;Authors;MaxAge;Source;Unreadable;Annotation;Approval
type Bar string

// The bars.
const (
	// BarNoPolicy: no RollbackPolicy selects every workload that runs the image.
	BarNoPolicy Bar = "NoPolicy"
	// BarSuspended: a policy that speaks of the workloads is suspended, or one in Backstop's own namespace stops them.
	BarSuspended Bar = "Suspended"
	// BarToldOnly: the policy's mode for the trigger is Notify, or it does not list the trigger.
	BarToldOnly Bar = "ToldOnly"
	// BarMaxMode: the controller's --max-mode is Notify.
	BarMaxMode Bar = "MaxMode"
	// BarAuthors: the change is not image automation's, and the policy or --max-authors allows no others.
	BarAuthors Bar = "Authors"
	// BarMaxAge: the change is older than the policy's maxAge.
	BarMaxAge Bar = "MaxAge"
	// BarSource: the policy names a GitRepository that it may not use.
	BarSource Bar = "Source"
	// BarAnnotation: a workload or its namespace has the annotation backstop.dev/rollback: never.
	BarAnnotation Bar = "Annotation"
	// BarApproval: a person is to approve it by now, and only a policy, or a revert that the branch carried, allowed it.
	BarApproval Bar = "Approval"
	// BarUnreadable: the policies cannot be read now.
	BarUnreadable Bar = "Unreadable"
)

// DoubtType is a reason to ask a person.
//
// +kubebuilder:validation:Enum=PolicyAsks;Breaker;ChangedByHand;Cause;BadNotProved;TargetNotProved;RanHere;MoreThanImages;SharedFiles;Suspended;PassedOver;Restraint;NotAdoptable;VerdictLapsed;ForeignCommit;HoldMissing;Annotation;Migration;Injected;Node;Dependency;ConfigChanged;NoFormer;SameImage;FormerFailed;Waits;Mixed;FormerUnknown;ConfigUnread;Memory;Probe;LongRuns;InitContainer;OneNode;Architecture;OthersCrash;Sibling;NotOptedIn;OtherClusters;TargetNotRan;Mutated;Promotion;Metrics;Aborted;Deadline;Capacity;NotAnalysed;ReasonUnknown;AnalysedAgain;ManyImages;NotComparable;StillFails;NotRestored;Prunes;Protected;Encrypted;ChangedSince;Mended
type DoubtType string

// The doubts.
const (
	// DoubtPolicyAsks: the policy's mode is Approve.
	DoubtPolicyAsks DoubtType = "PolicyAsks"
	// DoubtBreaker: too many images of one registry cannot be proved.
	DoubtBreaker DoubtType = "Breaker"
	// DoubtChangedByHand: somebody changed a workload by hand.
	DoubtChangedByHand DoubtType = "ChangedByHand"
	// DoubtCause: the cause need not be the image's fault.
	DoubtCause DoubtType = "Cause"
	// DoubtBadNotProved: the registry does not confirm that the image cannot run.
	DoubtBadNotProved DoubtType = "BadNotProved"
	// DoubtTargetNotProved: the registry does not confirm that the target can run.
	DoubtTargetNotProved DoubtType = "TargetNotProved"
	// DoubtRanHere: the image has run here.
	DoubtRanHere DoubtType = "RanHere"
	// DoubtMoreThanImages: a person's commit changed more than images.
	DoubtMoreThanImages DoubtType = "MoreThanImages"
	// DoubtSharedFiles: other Flux objects render the same files.
	DoubtSharedFiles DoubtType = "SharedFiles"
	// DoubtPassedOver: values that never failed here are passed over on the way to the target.
	DoubtPassedOver DoubtType = "PassedOver"
	// DoubtSuspended: Flux applies nothing to the workload before somebody resumes what is suspended.
	DoubtSuspended DoubtType = "Suspended"
	// DoubtRestraint: the workload's cooldown or the branch's budget is used up.
	DoubtRestraint DoubtType = "Restraint"
	// DoubtNotAdoptable: what runs cannot be adopted into Git, only be restored from it.
	DoubtNotAdoptable DoubtType = "NotAdoptable"
	// DoubtForeignCommit: the branch of the pull request holds what is not Backstop's.
	DoubtForeignCommit DoubtType = "ForeignCommit"
	// DoubtHoldMissing: a pull request brought the target to the branch without the hold.
	DoubtHoldMissing DoubtType = "HoldMissing"
	// DoubtAnnotation: a workload or its namespace has the annotation backstop.dev/rollback: ask.
	DoubtAnnotation DoubtType = "Annotation"
	// DoubtMigration: something hints at a migration of data.
	DoubtMigration DoubtType = "Migration"

	// Those of a new revision that does not become ready.

	// DoubtInjected: the container that fails is in no template: a webhook injected it.
	DoubtInjected DoubtType = "Injected"
	// DoubtNode: the node looks at fault.
	DoubtNode DoubtType = "Node"
	// DoubtDependency: something else fails at the same time.
	DoubtDependency DoubtType = "Dependency"
	// DoubtConfigChanged: more than images changed with the revision.
	DoubtConfigChanged DoubtType = "ConfigChanged"
	// DoubtNoFormer: there is no former revision to go back to.
	DoubtNoFormer DoubtType = "NoFormer"
	// DoubtSameImage: the image did not change.
	DoubtSameImage DoubtType = "SameImage"
	// DoubtFormerFailed: the former revision was not fully available.
	DoubtFormerFailed DoubtType = "FormerFailed"
	// DoubtWaits: an init container waits for something.
	DoubtWaits DoubtType = "Waits"
	// DoubtMixed: another pod of the revision runs well.
	DoubtMixed DoubtType = "Mixed"
	// DoubtFormerUnknown: nobody knows whether the former revision was available.
	DoubtFormerUnknown DoubtType = "FormerUnknown"
	// DoubtConfigUnread: the pods read ConfigMaps or Secrets, which Backstop may not read.
	DoubtConfigUnread DoubtType = "ConfigUnread"
	// DoubtMemory: it was killed for its memory.
	DoubtMemory DoubtType = "Memory"
	// DoubtProbe: it was killed, or never became ready.
	DoubtProbe DoubtType = "Probe"
	// DoubtLongRuns: it ran for a while before it ended.
	DoubtLongRuns DoubtType = "LongRuns"
	// DoubtInitContainer: it is an init container.
	DoubtInitContainer DoubtType = "InitContainer"
	// DoubtOneNode: it fails on one node alone.
	DoubtOneNode DoubtType = "OneNode"
	// DoubtArchitecture: its node has another architecture than the former pods'.
	DoubtArchitecture DoubtType = "Architecture"
	// DoubtOthersCrash: other workloads of the namespace crash.
	DoubtOthersCrash DoubtType = "OthersCrash"
	// DoubtSibling: another workload runs the image well.
	DoubtSibling DoubtType = "Sibling"
	// DoubtNotOptedIn: the process starts and then fails, and the workload did not opt in.
	DoubtNotOptedIn DoubtType = "NotOptedIn"
	// DoubtMutated: a webhook changed the pods, and nothing tells that it did so before.
	DoubtMutated DoubtType = "Mutated"
	// DoubtTargetNotRan: the target is not what ran before.
	DoubtTargetNotRan DoubtType = "TargetNotRan"
	// DoubtOtherClusters: other clusters may deploy the same.
	DoubtOtherClusters DoubtType = "OtherClusters"

	// Those of an update that a canary analysis refused.

	// DoubtPromotion: the update was promoted already, and its promotion failed.
	DoubtPromotion DoubtType = "Promotion"
	// DoubtMetrics: nothing was measured, or what measures failed.
	DoubtMetrics DoubtType = "Metrics"
	// DoubtAborted: a person ended the update.
	DoubtAborted DoubtType = "Aborted"
	// DoubtDeadline: it was not ready by its deadline.
	DoubtDeadline DoubtType = "Deadline"
	// DoubtCapacity: the cluster had no room for it.
	DoubtCapacity DoubtType = "Capacity"
	// DoubtNotAnalysed: nothing tells that what runs now is what was analysed.
	DoubtNotAnalysed DoubtType = "NotAnalysed"
	// DoubtReasonUnknown: nothing tells any more why it was refused.
	DoubtReasonUnknown DoubtType = "ReasonUnknown"
	// DoubtAnalysedAgain: the update is analysed again, or its canary is gone.
	DoubtAnalysedAgain DoubtType = "AnalysedAgain"
	// DoubtManyImages: the update changed several images, and nothing tells which of them was refused.
	DoubtManyImages DoubtType = "ManyImages"

	// Those of files that do not go back.

	// DoubtNotComparable: what was applied well cannot be built here as Flux built it.
	DoubtNotComparable DoubtType = "NotComparable"
	// DoubtStillFails: the files of the commit alone do not mend it.
	DoubtStillFails DoubtType = "StillFails"
	// DoubtNotRestored: the object would not be what was applied well.
	DoubtNotRestored DoubtType = "NotRestored"
	// DoubtPrunes: Flux would delete an object.
	DoubtPrunes DoubtType = "Prunes"
	// DoubtProtected: an object of a kind changes that is never reverted.
	DoubtProtected DoubtType = "Protected"
	// DoubtEncrypted: a file is encrypted.
	DoubtEncrypted DoubtType = "Encrypted"
	// DoubtChangedSince: somebody changed the same lines since.
	DoubtChangedSince DoubtType = "ChangedSince"
	// DoubtMended: the branch does not fail any more.
	DoubtMended DoubtType = "Mended"

	// DoubtVerdictLapsed: an earlier verdict was not carried out while something forbade it.
	DoubtVerdictLapsed DoubtType = "VerdictLapsed"
)

// Doubt is why a person is asked.
type Doubt struct {
	// Type of the doubt.
	Type DoubtType `json:"type"`
	// Message says it in a sentence.
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message"`
}

// Question is what people are asked. It stands while it can be answered, after an expiry too.
type Question struct {
	// ID changes with what would be written and with the allowed answers, never with the wording of a doubt. A decision
	// names it.
	// +kubebuilder:validation:MaxLength=12
	// +kubebuilder:validation:Pattern="^[0-9a-f]{12}$"
	ID string `json:"id"`
	// Until is when the Rollback expires without a decision.
	Until Time `json:"until"`
	// Doubts are why a person is asked.
	// +optional
	// +kubebuilder:validation:MaxItems=12
	Doubts []Doubt `json:"doubts,omitempty"`
	// Answers that can be given.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	Answers []Answer `json:"answers"`
}

// Allows reports whether an answer can be given to the question.
func (q *Question) Allows(a Answer) bool { return q != nil && slices.Contains(q.Answers, a) }

// Answer is what a person decided.
//
// +kubebuilder:validation:Enum=Approve;Reject
type Answer string

// Decision is one person's answer to one question. A decision is never changed or withdrawn: of several the first that
// Backstop reads counts, and of several that it reads at once a Reject.
type Decision struct {
	// By is who decided: the Kubernetes user name, or slack:TEAM/USER when Backstop recorded a click.
	// An admission policy keeps it equal to the user who writes it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	By string `json:"by"`
	// Question is the id of the question that is answered, as status.question says it. Another one is refused.
	// +kubebuilder:validation:MaxLength=12
	// +kubebuilder:validation:Pattern="^[0-9a-f]{12}$"
	Question string `json:"question"`
	// Answer is what was decided.
	Answer Answer `json:"answer"`
	// At is when, by the writer's clock. It is information: nothing depends on it.
	At Time `json:"at"`
	// Reason is the person's own words.
	// +optional
	// +kubebuilder:validation:MaxLength=500
	Reason string `json:"reason,omitempty"`
}

const (
	// Approve reverts the change in Git; for a drift: adopts it into Git.
	Approve Answer = "Approve"
	// Reject keeps what Git says; for a drift: restores it from Git.
	Reject Answer = "Reject"
)
