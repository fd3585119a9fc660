package v1alpha1

// FastForwardResult is what became of setting an image ahead of Flux.
//
// +kubebuilder:validation:Enum=Applied;Refused
type FastForwardResult string

// The results.
const (
	// FastForwardApplied: the workload's template has the image that Git says.
	FastForwardApplied FastForwardResult = "Applied"
	// FastForwardRefused: something forbids it, which the message says. Flux applies the revert when it gets round to it.
	FastForwardRefused FastForwardResult = "Refused"
)

// FastForward is one container whose image was set to what Git says while Flux still checked the health of the bad
// revision, or why it was not. Flux reports that revision green then: it never counts as good.
type FastForward struct {
	// Workload whose template it is, with the UID that it had.
	Workload Workload `json:"workload"`
	// Container whose image it is; empty where the whole workload was refused.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container,omitempty"`
	// From is the image that it had, and To the one that Git says.
	// +optional
	// +kubebuilder:validation:MaxLength=320
	From string `json:"from,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=320
	To string `json:"to,omitempty"`
	// Result is what became of it.
	Result FastForwardResult `json:"result"`
	// Revision whose health check passes by it, as Flux writes it. Of a refusal: it is not tried again while this revision
	// is checked.
	// +optional
	// +kubebuilder:validation:MaxLength=320
	Revision string `json:"revision,omitempty"`
	// Release is the HelmRelease that applies the workload, where it is one.
	// +optional
	Release *ObjectRef `json:"release,omitempty"`
	// Disowned means that Backstop's entry was taken out of the managedFields again, which a Kustomization does itself.
	// +optional
	Disowned bool `json:"disowned,omitempty"`
	// Message explains why it was refused.
	// +optional
	// +kubebuilder:validation:MaxLength=320
	Message string `json:"message,omitempty"`
	// At is when.
	At Time `json:"at"`
}
