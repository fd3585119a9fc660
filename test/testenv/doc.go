// Package testenv runs a real control plane on loopback: etcd, kube-apiserver
// and kube-controller-manager as child processes that die with their parent,
// with RBAC, an audit log, the Flux CRDs and Backstop's own.
//
//	Start ─► etcd ─► kube-apiserver ─► kube-controller-manager
//	                      │  ▲              Deployments, ReplicaSets, StatefulSets,
//	               audit.log  └─ CRDs       DaemonSets, Jobs, CronJobs, namespaces,
//	                                        service accounts, garbage collection
//
// There is no scheduler and no node: package node stands in for both. One
// environment serves a whole test binary; each test takes namespaces of its own.
//
// The binaries come from scripts/control-plane.sh. The Flux CRDs are committed
// (crds/generate.sh describes how they are made) rather than generated when a test
// starts: that needs no tool, no network and no time.
package testenv
