package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Rollout is what is known of a container of a new revision that has its image and does not become ready.
type Rollout struct {
	// Former is the revision before, by name; empty where there is none.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Former string `json:"former,omitempty"`
	// FormerImage is the image that the container had in it.
	// +optional
	// +kubebuilder:validation:MaxLength=320
	FormerImage string `json:"formerImage,omitempty"`
	// FormerWas reports whether the former revision was fully available when the new one appeared.
	FormerWas Availability `json:"formerWas"`
	// Changed is what differs between the two revisions' templates.
	// +optional
	// +kubebuilder:validation:MaxItems=5
	Changed []TemplateChange `json:"changed,omitempty"`
	// Reason is the container runtime's or the kubelet's word, such as Error, OOMKilled, StartError.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
	// ExitCode of the last run; not there where none ended.
	// +optional
	ExitCode *int32 `json:"exitCode,omitempty"`
	// Restarts is the most that one pod's container was restarted.
	Restarts int32 `json:"restarts"`
	// LastRun is how long the last run lasted; not there where none ended.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	LastRun *metav1.Duration `json:"lastRun,omitempty"`
	// Pod that was looked at.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Pod string `json:"pod,omitempty"`
	// Platform of its node, as os/arch, where it could be read.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Platform string `json:"platform,omitempty"`
	// Pods counts the pods of both revisions.
	Pods RolloutPods `json:"pods"`
	// Nodes are those on which it fails, cut to 8.
	// +optional
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:MaxLength=253
	Nodes []string `json:"nodes,omitempty"`
	// Doubts are why it need not be the image, or why a person has to decide.
	// +optional
	// +kubebuilder:validation:MaxItems=5
	Doubts []RolloutDoubt `json:"doubts,omitempty"`
}

// Search is what was found in Git of what changed a workload.
type Search struct {
	// ChangedBy are the commits since the former revision at which what Git says of the pods changed, oldest first.
	// +optional
	// +kubebuilder:validation:MaxItems=3
	ChangedBy []RelatedCommit `json:"changedBy,omitempty"`
	// Unblamed explains why no commit is blamed; empty where one is.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Unblamed string `json:"unblamed,omitempty"`
}

// RolloutDoubt is why it need not be the image, in the evidence of one container of a new revision or a canary.
type RolloutDoubt struct {
	// Type of the doubt.
	Type DoubtType `json:"type"`
	// Message says it in a sentence.
	// +kubebuilder:validation:MaxLength=200
	Message string `json:"message"`
}

// RolloutPods counts the pods of a workload whose new revision does not become ready.
type RolloutPods struct {
	// Failing pods of the new revision.
	Failing int32 `json:"failing"`
	// New is how many pods the new revision has.
	New int32 `json:"new"`
	// FormerReady is how many pods of the former revision are ready.
	FormerReady int32 `json:"formerReady"`
	// Wanted is how many pods the workload is to have.
	Wanted int32 `json:"wanted"`
}

// Availability says how many of a revision's pods were available.
//
// +kubebuilder:validation:Enum=Full;Partial;Unknown
type Availability string

// The availabilities.
const (
	// AvailableFully: all pods were, for a minute at least.
	AvailableFully Availability = "Full"
	// AvailablePartly: some were not.
	AvailablePartly Availability = "Partial"
	// AvailableUnknown: nobody looked.
	AvailableUnknown Availability = "Unknown"
)

// TemplatePart is a part of a pod template.
//
// +kubebuilder:validation:Enum=Image;Env;Command;Mounts;Resources;Probes;Security;Containers;Volumes;Metadata;Pod
type TemplatePart string

// The parts of a template.
const (
	// PartImage is a container's image.
	PartImage TemplatePart = "Image"
	// PartEnv is a container's environment, references to ConfigMaps and Secrets included.
	PartEnv TemplatePart = "Env"
	// PartCommand is a container's command, arguments and working directory.
	PartCommand TemplatePart = "Command"
	// PartMounts is a container's mounts and devices.
	PartMounts TemplatePart = "Mounts"
	// PartResources is a container's requests and limits.
	PartResources TemplatePart = "Resources"
	// PartProbes is a container's probes, hooks and ports.
	PartProbes TemplatePart = "Probes"
	// PartSecurity is a security context, of a container or the pod.
	PartSecurity TemplatePart = "Security"
	// PartContainers means that a container was added or removed.
	PartContainers TemplatePart = "Containers"
	// PartVolumes is the pod's volumes.
	PartVolumes TemplatePart = "Volumes"
	// PartMetadata is the pod's labels and annotations, apart from those that only name a version.
	PartMetadata TemplatePart = "Metadata"
	// PartPod is everything else of the pod.
	PartPod TemplatePart = "Pod"
)

// TemplateChange is a difference between two pod templates.
type TemplateChange struct {
	// Container that it is of; empty for the pod.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container,omitempty"`
	// Part that differs.
	Part TemplatePart `json:"part"`
	// Name of what differs within the part, such as a variable's; empty where there is none.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Name string `json:"name,omitempty"`
}

// String names the change, such as "Env LOG_LEVEL of container web".
func (c TemplateChange) String() string {
	out := string(c.Part)
	if c.Name != "" {
		out += " " + c.Name
	}
	if c.Container != "" {
		out += " of container " + c.Container
	}
	return out
}
