// Package watcher turns what happens in the cluster into keys, and walks them.
//
//	Pending pods ──► sightings ─(owner, live)─┐
//	Rollbacks, RollbackPolicies, Namespaces ──┤
//	Deployments, StatefulSets, DaemonSets ────┼──► queue of reconcile.Key ──► N workers ──► Walk
//	ImagePolicies, ImageUpdateAutomations, ───┤          ▲                                   │
//	GitRepositories, Kustomizations, ─────────┘          └──── again later, or back-off ─────┘
//	HelmReleases
//
// Every input does one thing: it enqueues a key. Handlers compute it from the
// object and an index, and read nothing else. The one thing that a handler cannot
// know is what image the template of a failing pod's owner names (webhooks rewrite
// pods), so pods go through a small queue of their own, whose workers read the
// owner live.
//
// So do workloads whose image somebody changed by hand, in a queue of their own: the
// watch brings the managedFields that tell, and only for those few Git is asked.
//
// Memory follows what fails, not what runs: only pods that are Pending are watched,
// everything but pods, Rollbacks and RollbackPolicies is kept as bare metadata, and
// ReplicaSets and Jobs are not watched at all.
//
// Caches wake; what is decided is read live. Pods is that live reader.
//
// Stopping has an order: no more intake, then the workers finish the walk that they
// are in, whose context outlives the stop by Options.StopTimeout, and only then does
// Run return and, in Lead, the lease end.
package watcher
