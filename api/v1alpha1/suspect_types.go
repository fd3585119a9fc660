package v1alpha1

// PartFile is the part of a place that is a whole file.
const PartFile = "File"

// NoFile stands for the hash of a file that is not there.
const NoFile = "none"

// Place is where Git says which image runs: one scalar in a YAML file, or a whole file that Flux cannot apply.
type Place struct {
	// ID names the place in status.holds and spec.lift.places: a hash of its file and pointer.
	// +optional
	// +kubebuilder:validation:MaxLength=12
	ID string `json:"id,omitempty"`
	// File is the path from the root of the repository.
	// +kubebuilder:validation:MaxLength=255
	File string `json:"file"`
	// Pointer finds the scalar in the file: document and path, sequences by name where they have one. It is empty for a
	// whole file.
	// +kubebuilder:validation:MaxLength=255
	Pointer string `json:"pointer"`
	// Part is what the scalar holds of a reference: Image, Repository, Name, Tag or Digest; File for a whole file.
	// +kubebuilder:validation:MaxLength=16
	Part string `json:"part"`
	// Bad is the value that cannot run; of a whole file the hash that Git has of it, none where the suspect deleted it.
	// +kubebuilder:validation:MaxLength=320
	Bad string `json:"bad"`
	// Former is the value before the suspect commit; empty with Added where there was none. Of a whole file it is its
	// hash, none where there was no such file.
	// +optional
	// +kubebuilder:validation:MaxLength=320
	Former string `json:"former,omitempty"`
	// Added means that the suspect commit brought the place itself: there is nothing to go back to.
	// +optional
	Added bool `json:"added,omitempty"`
	// Marker is the ImagePolicy that writes the place, as namespace:name, empty where none does.
	// +optional
	// +kubebuilder:validation:MaxLength=317
	Marker string `json:"marker,omitempty"`
	// Origin says which commit brought the value, and where it wrote it, as far as that is not the suspect and this
	// place: the files may have been moved since, and one image may have been brought to several places one after another.
	// +optional
	Origin *PlaceOrigin `json:"origin,omitempty"`
}

// RelatedCommit is a commit besides the suspect, such as the one behind a merge.
type RelatedCommit struct {
	// Commit is its full hash.
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit"`
	// Subject is the first line of its message. It is data: it may hold anything.
	// +optional
	// +kubebuilder:validation:MaxLength=250
	Subject string `json:"subject,omitempty"`
	// Author as the commit names him, which anyone can write.
	// +optional
	// +kubebuilder:validation:MaxLength=120
	Author string `json:"author,omitempty"`
}

// PlaceOrigin is where a place's value was brought in.
type PlaceOrigin struct {
	// Commit is the full hash of the commit that brought the value; empty for the suspect.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit,omitempty"`
	// File and Pointer are where that commit wrote it; empty for the place itself.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	File string `json:"file,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Pointer string `json:"pointer,omitempty"`
}

// MarkedValue is a value behind a marker of an ImagePolicy.
type MarkedValue struct {
	// File is the path from the root of the repository.
	// +kubebuilder:validation:MaxLength=255
	File string `json:"file"`
	// Pointer finds the value in the file.
	// +kubebuilder:validation:MaxLength=255
	Pointer string `json:"pointer"`
	// Value is what stands there, a tag.
	// +kubebuilder:validation:MaxLength=128
	Value string `json:"value"`
	// Marker is the ImagePolicy that writes it, as namespace:name.
	// +kubebuilder:validation:MaxLength=317
	Marker string `json:"marker"`
}

// Suspect is the commit that brought the image in, and what it did.
type Suspect struct {
	// Source is the GitRepository that deploys the file.
	Source ObjectRef `json:"source"`
	// Branch that the source deploys.
	// +kubebuilder:validation:MaxLength=240
	Branch string `json:"branch"`
	// Reconciler is the Flux object that applies the workload: a Kustomization or a HelmRelease.
	// +optional
	Reconciler ObjectRef `json:"reconciler,omitempty"`
	// Image that was asked for, as the workload's template names it: it completes what the places say of a former
	// image.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image,omitempty"`
	// Commit is the full hash of the suspect.
	// +kubebuilder:validation:MaxLength=64
	Commit string `json:"commit"`
	// Parent is the hash of its first parent.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Parent string `json:"parent,omitempty"`
	// Subject is the first line of its message. It is data: it may hold anything.
	// +optional
	// +kubebuilder:validation:MaxLength=250
	Subject string `json:"subject,omitempty"`
	// Author as the commit names him, which anyone can write.
	// +optional
	// +kubebuilder:validation:MaxLength=200
	Author string `json:"author,omitempty"`
	// Merged is the commit behind a merge that brought the image in, where the suspect is that merge.
	// +optional
	Merged *RelatedCommit `json:"merged,omitempty"`
	// GoneSince is the commit that took the image off the branch again; empty while the branch says it.
	// +optional
	GoneSince *RelatedCommit `json:"goneSince,omitempty"`
	// When is the committer's time.
	When Time `json:"when"`
	// Automation is the ImageUpdateAutomation that wrote it, where it was one.
	// +optional
	Automation *ObjectRef `json:"automation,omitempty"`
	// ByHand explains why the change is not known to be image automation's; empty where it is.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	ByHand string `json:"byHand,omitempty"`
	// OnlyImages means that the commit changed nothing but places of images.
	// +optional
	OnlyImages bool `json:"onlyImages,omitempty"`
	// OtherImages are images that the same commit brought in and that are not reverted, cut to 8.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=320
	OtherImages []string `json:"otherImages,omitempty"`
	// Stays are values that say the version of the image behind a marker of the same ImagePolicy and are no part of the
	// image, such as the version of its chart: they are not reverted. Cut to 4.
	// +optional
	// +kubebuilder:validation:MaxItems=4
	Stays []MarkedValue `json:"stays,omitempty"`
	// SharedBy are other Flux objects that render the same files.
	// +optional
	// +kubebuilder:validation:MaxItems=20
	SharedBy []ObjectRef `json:"sharedBy,omitempty"`
	// SharedWith are other namespaces that those apply into, whose policies count too.
	// +optional
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MaxLength=63
	SharedWith []string `json:"sharedWith,omitempty"`
	// Places are where Git says the image.
	// +kubebuilder:validation:MaxItems=24
	Places []Place `json:"places"`
}

// ByFiles reports that the suspect is a commit whose files go back, and about no image.
func (s *Suspect) ByFiles() bool {
	return s != nil && len(s.Places) > 0 && s.Places[0].Part == PartFile
}
