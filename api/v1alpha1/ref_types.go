package v1alpha1

import "k8s.io/apimachinery/pkg/types"

// Subject is what a Rollback is about: an image, as the workloads' templates name it, or an object in the Rollback's
// namespace.
//
// +kubebuilder:validation:XValidation:rule="(self.kind == 'Image') != has(self.apiVersion)",message="an object has an apiVersion, and an image has none",fieldPath=".apiVersion"
type Subject struct {
	// APIVersion of the object; empty for an image.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion,omitempty"`
	// Kind of the object, or Image.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Name of the object, or the reference of the image.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Name string `json:"name"`
}

// ObjectRef names an object.
type ObjectRef struct {
	// Kind of the object.
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Namespace of the object.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// Name of the object.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
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
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=36
	UID types.UID `json:"uid,omitempty"`
}

// LocalRef names an object in the namespace of its referrer.
type LocalRef struct {
	// Name of the object.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="name must be the name of an object: lower case letters, digits, '-' and '.'"
	Name string `json:"name"`
}

// Image is the reference of a subject that is an image, else empty.
func (s Subject) Image() string {
	if s.Kind != KindImage {
		return ""
	}
	return s.Name
}

// String is the reference of an image, or the object's Kind/name.
func (s Subject) String() string {
	if s.Kind == KindImage {
		return s.Name
	}
	return s.Kind + "/" + s.Name
}

// String is Kind/namespace/name.
func (r ObjectRef) String() string {
	if r.Namespace == "" {
		return r.Kind + "/" + r.Name
	}
	return r.Kind + "/" + r.Namespace + "/" + r.Name
}

// String is Kind/name.
func (w Workload) String() string { return w.Kind + "/" + w.Name }

// KindImage is the kind of a subject that is an image.
const KindImage = "Image"

// ImageSubject is an image as a subject.
func ImageSubject(image string) Subject { return Subject{Kind: KindImage, Name: image} }
