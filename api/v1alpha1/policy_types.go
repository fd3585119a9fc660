package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TriggerType names what makes Backstop look at something. It belongs to a failure: failures of several triggers about
// one subject meet in one Rollback.
//
// +kubebuilder:validation:Enum=ImagePull;Rollout;Canary;Apply;Drift
type TriggerType string

const (
	// TriggerImagePull is about containers that wait for an image which cannot be pulled.
	TriggerImagePull TriggerType = "ImagePull"
	// TriggerRollout is about new revisions that have their image and do not become ready.
	TriggerRollout TriggerType = "Rollout"
	// TriggerCanary is about updates that a canary analysis of Flagger or Argo Rollouts refused.
	TriggerCanary TriggerType = "Canary"
	// TriggerApply is about Kustomizations and HelmReleases that cannot be built or applied.
	TriggerApply TriggerType = "Apply"
	// TriggerDrift is about workloads whose image somebody changed by hand.
	TriggerDrift TriggerType = "Drift"
)

// Mode is how far Backstop may go by itself. The zero value allows nothing.
//
// +kubebuilder:validation:Enum=Notify;Approve;Auto
type Mode string

const (
	// ModeNotify only tells.
	ModeNotify Mode = "Notify"
	// ModeApprove reverts after a person said so.
	ModeApprove Mode = "Approve"
	// ModeAuto reverts by itself where every proof holds, and asks a person where one does not.
	ModeAuto Mode = "Auto"
)

// Authors says whose changes may be reverted.
//
// +kubebuilder:validation:Enum=Automation;Anyone
type Authors string

const (
	// AuthorsAutomation is changes that image automation wrote, known by value, never by the commit's author.
	AuthorsAutomation Authors = "Automation"
	// AuthorsAnyone is changes of people too.
	AuthorsAnyone Authors = "Anyone"
)

// Delivery is the way a revert reaches the deployed branch.
//
// +kubebuilder:validation:Enum=Auto;Push;PullRequest
type Delivery string

const (
	// DeliveryAuto pushes, and opens a pull request where the branch takes no push.
	DeliveryAuto Delivery = "Auto"
	// DeliveryPush pushes to the deployed branch.
	DeliveryPush Delivery = "Push"
	// DeliveryPullRequest opens a pull request.
	DeliveryPullRequest Delivery = "PullRequest"
)

// LiftMode says what lifts a hold.
//
// +kubebuilder:validation:Enum=NewerImage;Manual
type LiftMode string

const (
	// LiftNewerImage lifts the hold when the policy selects an image that has not failed and is proved to exist.
	LiftNewerImage LiftMode = "NewerImage"
	// LiftManual waits for `backstop lift`.
	LiftManual LiftMode = "Manual"
)

// PolicyTrigger says how far Backstop may go for a trigger, and within which limits. A limit that is not set is the
// trigger's own.
//
// +kubebuilder:validation:XValidation:rule="!(self.type == 'Drift' && has(self.mode) && self.mode == 'Auto')",message="a drift is never adopted by itself: set mode to Approve or Notify",fieldPath=".mode"
// +kubebuilder:validation:XValidation:rule="!(self.type == 'Drift' && (has(self.gracePeriod) || has(self.maxAge)))",message="a drift waits for nothing and is never too old: remove gracePeriod and maxAge"
// +kubebuilder:validation:XValidation:rule="has(self.mode) || self.type in ['Rollout', 'Canary']",message="set mode to Notify, Approve or Auto",reason="FieldValueRequired",fieldPath=".mode"
type PolicyTrigger struct {
	// Type is the trigger. (Not "on", which YAML 1.1 and so kubectl reads as true.)
	Type TriggerType `json:"type"`
	// Mode is how far Backstop may go for it. Of Rollout and Canary it is Approve where it is not set.
	// +optional
	Mode Mode `json:"mode,omitempty"`
	// GracePeriod is how long a failure must last before anything is decided; 30s for ImagePull.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,9})?(ms|s|m|h))+$') && duration(self) <= duration('1h')",message="gracePeriod must be a duration between 0s and 1h, such as 30s"
	GracePeriod *metav1.Duration `json:"gracePeriod,omitempty"`
	// MaxAge is the age of a change after which it is only told about; 24h for ImagePull.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,9})?(ms|s|m|h))+$') && duration(self) > duration('0s')",message="maxAge must be a duration of more than 0s, such as 24h"
	MaxAge *metav1.Duration `json:"maxAge,omitempty"`
	// Authors says whose changes may be reverted; Automation where it is not set.
	// +optional
	Authors Authors `json:"authors,omitempty"`
}

// SlackApproval says who may decide on Slack. It fails closed: an empty one lets nobody.
type SlackApproval struct {
	// Users are Slack user IDs (U… or W…), never names.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[UW][A-Z0-9]{2,}$')",message="a Slack user is listed by ID (Copy member ID in the profile, such as U024BE7LH), not by name"
	Users []string `json:"users,omitempty"`
	// UserGroups are Slack user group IDs (S…).
	// +optional
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^S[A-Z0-9]{2,}$')",message="a Slack user group is listed by ID (such as S0604QSJC), not by name"
	UserGroups []string `json:"userGroups,omitempty"`
	// ChannelMembers lets everybody decide who sees the card.
	// +optional
	ChannelMembers bool `json:"channelMembers,omitempty"`
}

// Approval says how long people have, and who they are.
type Approval struct {
	// Timeout is how long a Rollback waits for people before it expires.
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,9})?(ms|s|m|h))+$') && duration(self) >= duration('1s')",message="approval.timeout must be a duration of at least 1s, such as 30m or 1h"
	Timeout metav1.Duration `json:"timeout,omitempty"`
	// Slack says who may decide on Slack. kubectl and the CLI follow Kubernetes RBAC.
	// +optional
	Slack SlackApproval `json:"slack,omitempty"`
}

// SourceRef names the GitRepository whose credentials can push.
type SourceRef struct {
	// Name of the GitRepository.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="name must be the name of an object: lower case letters, digits, '-' and '.'"
	Name string `json:"name"`
	// Namespace of the GitRepository; the policy's own when empty.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == '' || !format.dns1123Label().validate(self).hasValue()",message="namespace must be the name of a namespace: lower case letters, digits and '-'"
	Namespace string `json:"namespace,omitempty"`
}

// RollbackPolicySpec says what may be reverted, for which workloads, and how.
type RollbackPolicySpec struct {
	// Suspend makes Backstop only tell.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
	// Selector picks workloads by their labels; empty picks all.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && size(e.values) > 0 : e.operator in ['Exists', 'DoesNotExist'] && (!has(e.values) || size(e.values) == 0))",message="an operator is In or NotIn with values, or Exists or DoesNotExist without",fieldPath=".matchExpressions"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || size(self.matchExpressions) <= 16 && self.matchExpressions.all(e, size(e.key) <= 317 && (!has(e.values) || size(e.values) <= 32))",message="matchExpressions takes at most 16 expressions of at most 32 values",fieldPath=".matchExpressions"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchLabels) || size(self.matchLabels) <= 16 && self.matchLabels.all(k, size(k) <= 317 && size(self.matchLabels[k]) <= 63)",message="matchLabels takes at most 16 labels, and a label's value has at most 63 characters",fieldPath=".matchLabels"
	Selector metav1.LabelSelector `json:"selector,omitempty"`
	// NamespaceSelector makes a policy in Backstop's own namespace the default of the
	// namespaces it picks. Elsewhere it is refused in the status.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && size(e.values) > 0 : e.operator in ['Exists', 'DoesNotExist'] && (!has(e.values) || size(e.values) == 0))",message="an operator is In or NotIn with values, or Exists or DoesNotExist without",fieldPath=".matchExpressions"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || size(self.matchExpressions) <= 16 && self.matchExpressions.all(e, size(e.key) <= 317 && (!has(e.values) || size(e.values) <= 32))",message="matchExpressions takes at most 16 expressions of at most 32 values",fieldPath=".matchExpressions"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchLabels) || size(self.matchLabels) <= 16 && self.matchLabels.all(k, size(k) <= 317 && size(self.matchLabels[k]) <= 63)",message="matchLabels takes at most 16 labels, and a label's value has at most 63 characters",fieldPath=".matchLabels"
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	// AllowOverride lets a policy in a namespace that NamespaceSelector picks replace this one. Without it both count, the
	// stricter value of each field.
	// +optional
	AllowOverride bool `json:"allowOverride,omitempty"`
	// Triggers say what is acted on, how far, and within which limits. A trigger that is not listed is only told.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="size(self) > 0",message="list at least one trigger, such as {type: ImagePull, mode: Notify}"
	Triggers []PolicyTrigger `json:"triggers"`
	// Cooldown is how long a workload is left alone after a revert. Siblings of one suspect commit do not count.
	// +optional
	// +kubebuilder:default="30m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,9})?(ms|s|m|h))+$')",message="cooldown must be a duration of 0s or more, such as 30m"
	Cooldown metav1.Duration `json:"cooldown,omitempty"`
	// Approval says how long people have, and who they are.
	// +optional
	// +kubebuilder:default={}
	Approval Approval `json:"approval,omitempty"`
	// Delivery is the way a revert reaches the deployed branch.
	// +optional
	// +kubebuilder:default=Auto
	Delivery Delivery `json:"delivery,omitempty"`
	// PullRequest says where pull requests are opened, where the URL of the GitRepository does not tell.
	// +optional
	PullRequest *PullRequestPolicy `json:"pullRequest,omitempty"`
	// Lift says what lifts the hold that a revert leaves on image automation.
	// +optional
	// +kubebuilder:default=NewerImage
	Lift LiftMode `json:"lift,omitempty"`
	// VerifyTimeout is how long a landed revert may take to reach the workload.
	// +optional
	// +kubebuilder:default="15m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,9})?(ms|s|m|h))+$') && duration(self) >= duration('1s')",message="verifyTimeout must be a duration of at least 1s, such as 15m"
	VerifyTimeout metav1.Duration `json:"verifyTimeout,omitempty"`
	// SoleCluster means that no other cluster deploys these workloads from the same files. Where it is not set, a new
	// revision that fails here is asked about, since it may run well elsewhere.
	// +optional
	SoleCluster bool `json:"soleCluster,omitempty"`
	// FastForward sets the image that Git says on workloads while Flux still checks the health of the bad revision, which
	// Flux reports green then. It needs components/fast-forward and the namespace's label backstop.dev/fast-forward:
	// enabled; a HelmRelease needs an annotation of the same name and value too.
	// +optional
	FastForward bool `json:"fastForward,omitempty"`
	// SourceRef names a GitRepository with write access, where Flux itself has none.
	// +optional
	SourceRef *SourceRef `json:"sourceRef,omitempty"`
	// ProviderRef names a Flux notification Provider of type slack in the policy's namespace.
	// +optional
	ProviderRef *LocalRef `json:"providerRef,omitempty"`
}

// RollbackPolicyStatus reports whether the policy can do what it says.
type RollbackPolicyStatus struct {
	// ObservedGeneration is the generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions follow kstatus: Ready, and Stalled when the policy cannot work as written.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(c, size(c.message) <= 1024 && size(c.reason) <= 64)",message="a condition's message has at most 1024 characters and its reason 64"
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// RollbackPolicy says what may be reverted in Git and how far Backstop may go by itself.
// Nothing is reverted where no policy says so.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=rbp,categories=all;backstop
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
// +kubebuilder:printcolumn:name="Image Pull",type=string,JSONPath=`.spec.triggers[?(@.type=="ImagePull")].mode`
// +kubebuilder:printcolumn:name="Drift",type=string,JSONPath=`.spec.triggers[?(@.type=="Drift")].mode`
// +kubebuilder:printcolumn:name="Suspended",type=boolean,JSONPath=`.spec.suspend`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Authors",type=string,priority=1,JSONPath=`.spec.triggers[?(@.type=="ImagePull")].authors`
// +kubebuilder:printcolumn:name="Slack",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="SlackReady")].message`
type RollbackPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec RollbackPolicySpec `json:"spec"`
	// +optional
	Status RollbackPolicyStatus `json:"status,omitempty"`
}

// RollbackPolicyList is a list of policies.
//
// +kubebuilder:object:root=true
type RollbackPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RollbackPolicy `json:"items"`
}
