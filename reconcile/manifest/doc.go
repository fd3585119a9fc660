// Package manifest answers two questions about YAML in a Git repository: where in this file is this image, and how is
// it edited. It is pure: bytes in, bytes out, no clock, no network, nothing of Git or Kubernetes.
//
//	file ──► Nodes ──► Match(image, workload) ──► the nodes that make the image run
//	                                                 │ value before, from an older blob
//	                                                 ▼
//	file ◄── bytes ◄── Edit · WriteHold · ClearHold ─┘
//
// A node is one scalar that tells which image runs, or a part of it: the image of a container, an entry of kustomize's
// images, Helm values, or any scalar that image automation is told to write by a marker behind it:
//
//	image: ghcr.io/acme/backend:v1.2.0 # {"$imagepolicy": "develop:backend"}
//
// A node is found again by its pointer, which names documents by object and list items by name, so that it survives
// what happens to files: image automation re-serialises them, people add and move things.
//
// Edits are made as bytes at the node's position. Nothing is ever re-serialised: comments, quotes, line ends and layout
// stay, and after every edit the file is read again to prove that this node changed and no other did.
//
// A hold is a prefix in the marker's comment, which image automation then no longer recognises:
//
//	image: ghcr.io/acme/backend:v1.1.0 # backstop:hold not=… since=… {"$imagepolicy": "develop:backend"}
//
// All input is hostile: a file that cannot be handled is an error that explains why, never a crash and never a guess.
package manifest
