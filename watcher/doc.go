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
// object and an index, and read nothing else. A handler cannot know what image the
// template of a failing pod's owner names, since webhooks rewrite pods. So pods go
// through a small queue of their own, whose workers read the owner live.
//
// Workloads whose image somebody changed by hand have a queue of their own, too. The
// watch brings their managedFields, and Git is asked for these few alone.
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
