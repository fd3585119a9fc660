package v1alpha1

import (
	"k8s.io/apimachinery/pkg/types"
)

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

// ImageVolume is how an image volume of a pod is named where a container's name would stand. No container has a slash
// in its name.
func ImageVolume(volume string) string { return "volume/" + volume }

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
	Since Time `json:"since"`
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
	At *Time `json:"at,omitempty"`
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
	UndoneAt *Time `json:"undoneAt,omitempty"`
	// Undone says in a sentence when it does so.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Undone string `json:"undone,omitempty"`
	// UndoneWhy is what that depends on, without the time.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	UndoneWhy string `json:"undoneWhy,omitempty"`
	// NeverUndone says that nothing takes it back by itself, as long as nobody changes what Undone says.
	// +optional
	NeverUndone bool `json:"neverUndone,omitempty"`
}
