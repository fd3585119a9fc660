package manifest

import (
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Part is what a node's value holds of an image reference.
type Part string

// The parts of a reference.
const (
	// PartImage is a whole reference: name:tag, name@digest or name:tag@digest.
	PartImage Part = "Image"
	// PartName is a name without tag: kustomize's newName, or what a marker :name writes.
	PartName Part = "Name"
	// PartRepository is the repository in Helm values, with or without its registry.
	PartRepository Part = "Repository"
	// PartTag is a tag alone.
	PartTag Part = "Tag"
	// PartDigest is a digest alone.
	PartDigest Part = "Digest"
	// PartVariable is the value of a variable that other nodes name as ${VARIABLE}.
	PartVariable Part = "Variable"
	// PartText is a scalar that is no image by its place.
	PartText Part = "Text"
	// PartRegistry is the registry in Helm values that keep it apart from the repository.
	PartRegistry Part = "Registry"
)

// Object names the Kubernetes object that a node is in, as the file names it: without the prefixes, suffixes and
// namespaces that kustomize adds. It is empty for a file that is no object, such as Helm values.
type Object struct{ APIVersion, Kind, Namespace, Name string }

// Mark is a hold: what keeps image automation from writing a node.
type Mark struct {
	// Not is the value that failed; empty in a hold that does not say.
	Not string
	// Since is when the hold was written, to the second; zero in a hold that does not say.
	Since time.Time
	// Lift says what lifts the hold; NewerImage in a hold that does not say.
	Lift v1alpha1.LiftMode
}

// Node is one scalar in a YAML file that says which image runs, or a part of it.
type Node struct {
	// File is the path given to Nodes.
	File string
	// Pointer finds the scalar in every version of the file: documents by object, list items by name.
	// For example Deployment/develop/backend#/spec/template/spec/containers[name=backend]/image
	Pointer string
	// Part that the value holds. A marker's suffix decides it, else the node's place.
	Part Part
	// Value is the scalar as decoded text; empty for null too.
	Value string
	// Policy is the marker's ImagePolicy as namespace:name, and Suffix its tag, name, digest or nothing. Both are empty
	// where no marker is.
	Policy, Suffix string
	// Held is the hold in the marker's comment; nil for none. Policy is set with it.
	Held *Mark
	// Group is shared by the nodes of one file that make one reference together, such as a kustomize images entry. It
	// starts with the file's name; every node has one.
	Group string
	// Object that holds the node; for a patch inside a kustomization the patch's target.
	Object Object
	// Container is the container's name, or for a kustomize images entry the name that it selects, where known.
	Container string
	// Anchor names the YAML anchor through which several places share this scalar: nodes of one file with one Anchor
	// only ever change together. Empty for most.
	Anchor string
	// Variable is the name of the variable whose value the node is; empty for most.
	Variable string
	// Line of the scalar, from 1.
	Line int
	// Typed means that YAML takes the scalar for a number or a truth value, so that Helm may write it in another way.
	Typed bool
}

// Change is a new value for the node at a pointer.
type Change struct {
	// Pointer as Nodes gives it.
	Pointer string
	// Value to write; the empty string is a value too.
	Value string
	// Remove takes the node out, and with it the entry of images that it is in where all nodes of that are taken out.
	// A value beside it is a tag that comes back in the place of a digest, or a digest in that of a tag.
	Remove bool
}

// Target is the workload for which Match looks, and the container, which only tells lone tags apart. Empty fields are
// unknown.
type Target struct {
	Namespace, Kind, Name, Container string
	// Lift is the HelmRelease that made the workload; empty for none.
	Release Object
	// Loose means that an image is meant with or without its digest.
	Loose bool
}

// Delta is a node that differs between two versions of a file. Before is nil for a node that was added, After for one
// that was removed.
type Delta struct {
	Pointer       string
	Before, After *Node
}

// helmRelease is the kind whose values hold images.
const helmRelease = "HelmRelease"

// Problem is a file or reference that cannot be followed.
type Problem struct {
	// File is the path of the file that has the reference, or that is the problem itself.
	File string
	// Ref is what the file names, cut and without credentials; empty where the file itself is the problem.
	Ref string
	// Why it is not followed, a sentence for people.
	Why string
	// Unfollowed means that Flux may follow it: a remote base, a link.
	Unfollowed bool
	// Remote means that kustomize would fetch the reference.
	Remote bool
	// Link means that it leads over a symbolic link.
	Link bool
	// Submodule is the folder of the submodule that it leads into; empty for most.
	Submodule string
}

// Files is what Flux renders for a path.
type Files struct {
	// Paths are the kustomization files and manifests, from the root of the tree, sorted.
	Paths []string
	// Values are files that configMapGenerators and secretGenerators load, sorted: no manifests, but YAML, the usual home
	// of Helm values, and files of environment variables, which variables and replacements are taken from.
	Values []string
	// Problems are references that were not followed, sorted by file.
	Problems []Problem
}
