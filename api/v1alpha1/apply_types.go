package v1alpha1

// Apply is what a Kustomization or a HelmRelease says that cannot be built, applied, installed or upgraded.
type Apply struct {
	// Reason of the object's condition, such as BuildFailed, ReconciliationFailed or UpgradeFailed.
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason"`
	// Revision that was attempted, as Flux writes it: of a Kustomization that of its source, of a HelmRelease that of its
	// chart.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Revision string `json:"revision,omitempty"`
	// LastApplied is the revision that was applied last without an error; empty where there is none.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastApplied string `json:"lastApplied,omitempty"`
	// Object that the API server refuses; not there where the message names none. It is data: the message names it.
	// +optional
	Object *ObjectRef `json:"object,omitempty"`
	// ChangedBy are the commits since the last good one at which what fails changed, oldest first, as far as they could be
	// rendered.
	// +optional
	// +kubebuilder:validation:MaxItems=3
	ChangedBy []RelatedCommit `json:"changedBy,omitempty"`
	// Unblamed explains why no commit is blamed; empty where one is, and before Git was looked at.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Unblamed string `json:"unblamed,omitempty"`
}
