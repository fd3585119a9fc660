package v1alpha1

// Bar is what forbids a write to Git right now.
//
// +kubebuilder:validation:Enum=NoPolicy;Suspended;ToldOnly;MaxMode;Authors;MaxAge;Source;Unreadable
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
	// BarUnreadable: the policies cannot be read now.
	BarUnreadable Bar = "Unreadable"
)
