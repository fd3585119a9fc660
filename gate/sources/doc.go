// Package sources reads the files of a repository: which there are, what of them are manifests, and the nodes and
// objects in those. Nothing leads out of the tree, and links are named and not followed.
package sources
