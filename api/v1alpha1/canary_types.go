package v1alpha1

// Canary is what is known of an update that a canary analysis refused: by a Canary of Flagger, or by a Rollout of Argo
// Rollouts.
type Canary struct {
	// By is the object that judged the update.
	By ObjectRef `json:"by"`
	// Reason is why it was refused, as far as that is known.
	Reason CanaryReason `json:"reason"`
	// At is when it was refused; not there where the object does not tell.
	// +optional
	At *Time `json:"at,omitempty"`
	// Spec is the hash of the template that was refused, PromotedSpec of the one that was promoted before, as the object
	// names them.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Spec string `json:"spec,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=64
	PromotedSpec string `json:"promotedSpec,omitempty"`
	// Promoted is the image that the container has in what was promoted before, and still serves.
	// +optional
	// +kubebuilder:validation:MaxLength=320
	Promoted string `json:"promoted,omitempty"`
	// PromotedBy is what runs it, such as Deployment/web-primary or ReplicaSet/web-6d4b.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	PromotedBy string `json:"promotedBy,omitempty"`
	// PromotedReady is how many of its pods are ready.
	PromotedReady int32 `json:"promotedReady"`
	// Checks are the last words of the analysis, the newest first: data.
	// +optional
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:MaxLength=180
	Checks []string `json:"checks,omitempty"`
	// Changed is what differs between the two templates.
	// +optional
	// +kubebuilder:validation:MaxItems=5
	Changed []TemplateChange `json:"changed,omitempty"`
	// Doubts are why it need not be the image, or why a person has to decide.
	// +optional
	// +kubebuilder:validation:MaxItems=5
	Doubts []RolloutDoubt `json:"doubts,omitempty"`
}

// CanaryReason is why a canary analysis refused an update.
//
// +kubebuilder:validation:Enum=Analysis;Deadline;Metrics;Aborted;Promoted;Unknown
type CanaryReason string

// The reasons.
const (
	// CanaryAnalysis: checks of the analysis failed.
	CanaryAnalysis CanaryReason = "Analysis"
	// CanaryDeadline: it was not ready by its deadline.
	CanaryDeadline CanaryReason = "Deadline"
	// CanaryMetrics: nothing was measured, or what measures failed.
	CanaryMetrics CanaryReason = "Metrics"
	// CanaryAborted: a person, or a gate of theirs, ended it.
	CanaryAborted CanaryReason = "Aborted"
	// CanaryPromoted: what was promoted before did not stay ready.
	CanaryPromoted CanaryReason = "Promoted"
	// CanaryUnknown: nothing tells.
	CanaryUnknown CanaryReason = "Unknown"
)
