package v1alpha1

// ImageVolume is how an image volume of a pod is named where a container's name would stand. No container has a slash
// in its name.
func ImageVolume(volume string) string { return "volume/" + volume }

// Failure is something that went wrong about a Rollback's subject, in one container of one revision of a workload, as
// one trigger saw it. Exactly one of its last fields is there: the evidence of that trigger.
//
// +kubebuilder:validation:XValidation:rule="(self.trigger == 'ImagePull') == has(self.pull) && (self.trigger == 'Drift') == has(self.drift) && (self.trigger == 'Apply') == has(self.apply) && (self.trigger == 'Canary') == has(self.canary)",message="a failure has the evidence of its trigger, and no other"
type Failure struct {
	// ID names the failure: a hash of trigger, workload, revision and container.
	// +kubebuilder:validation:MaxLength=12
	// +kubebuilder:validation:Pattern="^[0-9a-f]{12}$"
	ID string `json:"id"`
	// Trigger that saw it. Policies and grace go by it.
	Trigger TriggerType `json:"trigger"`
	// Workload that owns the pod.
	Workload Workload `json:"workload"`
	// Revision of the workload: the pod-template-hash, the controller-revision-hash, or the UID of the Job.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Revision string `json:"revision,omitempty"`
	// Container whose image it is; empty where Flux cannot apply an object.
	// +kubebuilder:validation:MaxLength=70
	Container string `json:"container"`
	// Cause, read from the first error that the kubelet gave.
	Cause Cause `json:"cause"`
	// Message is the kubelet's own words, cut to 1024 characters. It is data: it may hold anything.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// Since is when it was first seen.
	Since Time `json:"since"`
	// Pull is there where a container waits for its image.
	// +optional
	Pull *Pull `json:"pull,omitempty"`
	// Rollout is there where a container of a new revision has its image and fails, and says how.
	// +optional
	Rollout *Rollout `json:"rollout,omitempty"`
	// Apply is there where Flux cannot apply what Git says. The workload is then the Flux object, and there is no
	// container.
	// +optional
	Apply *Apply `json:"apply,omitempty"`
	// Canary is there where a canary analysis refused an update, and says how.
	// +optional
	Canary *Canary `json:"canary,omitempty"`
	// Drift is there where the container does not fail but was changed by hand, and says how.
	// +optional
	Drift *Drift `json:"drift,omitempty"`
}

// Pull is what is known of a container that cannot have its image.
type Pull struct {
	// Pod that was seen failing.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Pod string `json:"pod,omitempty"`
	// Platform of the node, as os/arch, where it could be read.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Platform string `json:"platform,omitempty"`
}

// Drift is a change of a container's image by hand, which Git does not say and Flux will undo.
type Drift struct {
	// Live is the image that the workload's template names now.
	// +kubebuilder:validation:MaxLength=320
	Live string `json:"live"`
	// By is the field manager that owns the image now, such as kubectl or kubectl-edit; empty where that cannot be read.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	By string `json:"by,omitempty"`
	// At is when that manager changed the object last, as its managedFields say; to the second.
	// +optional
	At *Time `json:"at,omitempty"`
	// From is the revision that was left; empty where the history does not tell.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	From string `json:"from,omitempty"`
	// To is the older revision that was gone back to; empty where the image is in none.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	To string `json:"to,omitempty"`
	// Read lists what told of the drift, a sentence each: the managedFields, the history of revisions, Git.
	// +optional
	// +kubebuilder:validation:MaxItems=3
	// +kubebuilder:validation:items:MaxLength=256
	Read []string `json:"read,omitempty"`
	// Unread lists what could not be read and why, a sentence each.
	// +optional
	// +kubebuilder:validation:MaxItems=3
	// +kubebuilder:validation:items:MaxLength=256
	Unread []string `json:"unread,omitempty"`
	// UndoneBy is the Flux object that will undo the drift.
	// +optional
	UndoneBy *ObjectRef `json:"undoneBy,omitempty"`
	// UndoneAt is when it does so, give or take a tenth of its interval; not there where it never does, or at a time
	// that nobody knows.
	// +optional
	UndoneAt *Time `json:"undoneAt,omitempty"`
	// Undone says in a sentence when it does so.
	// +optional
	// +kubebuilder:validation:MaxLength=320
	Undone string `json:"undone,omitempty"`
	// UndoneWhy is what that depends on, without the time.
	// +optional
	// +kubebuilder:validation:MaxLength=320
	UndoneWhy string `json:"undoneWhy,omitempty"`
	// NeverUndone means that nothing undoes it by itself, as long as nobody changes what Undone says.
	// +optional
	NeverUndone bool `json:"neverUndone,omitempty"`
}
