// Package bench measures the sidecar: how long it takes from a failing status to
// the push that reverts the image, how it does when many workloads fail at
// once, and how much memory it needs in a big cluster. `make bench` runs it.
//
// The control plane, the Git server, the registry and the sidecar are real, and
// the sidecar is built as it is released and runs under its own ServiceAccount.
// What is not measured is written directly: this package plays the scheduler,
// the kubelet and Flux, so that none of them costs a processor that is measured.
//
//	write-back ──► Git
//	template   ──► Deployment ─► ReplicaSet ─► Pending pod
//	ErrImagePull ► pod ─ ─ ─ ─ ─ ─ measured ─ ─ ─ ─ ─ ─► push
package bench
