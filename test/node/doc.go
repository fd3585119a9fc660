// Package node stands in for the scheduler, the kubelet and containerd. It
// binds pods to nodes, asks the real registry for every image over HTTP as
// containerd does, and reports as a kubelet does, word for word.
//
//	Pending pod ─► bind ─► pull each container's image
//	                         │ resolve tag ► index ► manifest ► config ► layers
//	                         ├─ all there ─► Running and Ready (Jobs: Succeeded)
//	                         └─ not ─► ErrImagePull ◄─► ImagePullBackOff, pulled
//	                                   again after a back-off that doubles
//
// Nothing runs: an image whose blobs are all there counts as started, except
// that a single manifest for another platform crashes, as it does for real
// (containerd looks at platforms only in an index), and an image with a label
// that describes how it behaves does that: it ends, fails to start, never gets
// ready, or recovers, with the states, counts and events of a kubelet. The
// times in its status are forged, so that nobody waits for a run of 20 s. There is no image cache:
// every container of every pod asks the registry, as on a fresh node.
//
// The words are those that kubelet 1.36.3 with containerd 1.6.20 used.
package node
