package v1alpha1

// RemediationAction is what Helm did by itself about an upgrade or an install that failed.
//
// +kubebuilder:validation:Enum=Rollback;Uninstall
type RemediationAction string

// What Helm does by itself.
const (
	// RemediationRollback: what was released before runs again.
	RemediationRollback RemediationAction = "Rollback"
	// RemediationUninstall: nothing of the release runs any more.
	RemediationUninstall RemediationAction = "Uninstall"
)

// Remediation is what Helm did by itself in the cluster, while Git goes on saying what failed.
type Remediation struct {
	// Release is the HelmRelease.
	Release ObjectRef `json:"release"`
	// Action is what was done.
	Action RemediationAction `json:"action"`
	// At is when.
	At Time `json:"at"`
	// Exhausted means that Helm tries what Git says no more, before that changes or somebody asks for it.
	// +optional
	Exhausted bool `json:"exhausted,omitempty"`
	// Message is helm-controller's own words, cut to 1024 characters. It is data: it may hold anything.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}
