// Package drift tells a change of a workload's image by hand from everything else that changes workloads. It is pure.
//
// A `kubectl rollout undo` leaves three marks, and all three are read:
//
//	managedFields    the container's image is kubectl's now, and no longer kustomize-controller's
//	history          an older ReplicaSet is the newest again: revision 3, which was revision 1
//	Git              says another image at the revision that Flux applied
//
// The first one is free: it is in the object that the watch brings. Suspects reads it, and only a workload that has
// one costs requests. Judge weighs all three. What cannot be read is said and never guessed: where neither Git nor
// the history names the image that should run, the finding names none.
//
// Everything read is data: managedFields and images hold what anybody wrote.
package drift
