// Package fluxstub stands in for Flux's controllers on a real API server,
// against a real Git server and a real registry. It exists because Flux's own
// controllers cannot be built here as modules; it does what they do where
// Backstop could see the difference, and nothing else:
//
//	GitRepository ──► artifact revision ──► Kustomization ──► applied, pruned, health-checked
//	                                        HelmRelease   ──► a Deployment of a fixed chart
//	ImageRepository ─► tags ─► ImagePolicy ─► selected ─► ImageUpdateAutomation ─► commit, push ─┐
//	      ▲                                                                                    │
//	   registry                                  Git server ◄──────────────────────────────────┘
//
// Intervals are those of the objects. What Flux applies to is read live from
// the API server; watches say when to look, and bring Flux's own objects and
// Secrets. It shares no code with Backstop, so
// that the two cannot share a bug: Git is the git binary, YAML is kyaml as
// image automation uses it, and manifests are built by kustomize.
//
// Left out: artifact downloads, Events, finalizers (a deleted Kustomization
// prunes nothing), postBuild, decryption (a top-level sops key is dropped),
// impersonation, remote clusters, charts, commit signing, and checking a
// signature (that a commit has one is checked).
package fluxstub
