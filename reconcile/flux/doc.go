// Package flux knows which Flux objects stand behind a workload, asks them to reconcile, and tells how far they got.
//
// From a failing workload it walks to the Git repository that deploys it. The labels on a workload can be written by
// anyone who may edit it, so each step is confirmed by the inventory that Flux keeps in the status of the next object:
//
//	Deployment ──labels──► Kustomization ──sourceRef──► GitRepository ◄──sourceRef── ImageUpdateAutomation
//	    │                   status.inventory            url, branch,                 author, signing key,
//	    │                   holds the Deployment        credentials                  where it pushes
//	    └──────labels──► HelmRelease ──labels──► Kustomization
//	                     status.inventory        status.inventory
//	                     holds the Deployment    holds the HelmRelease
//
// Whatever cannot be walked ends in a reconcile.Refusal: a sentence that names the object and what to do. A kind that
// is not installed, an inventory that is being written, an API server that does not answer are errors to try again.
//
// Everything is read live, lists in pages. Secrets are read by name and never listed; what they hold leaves this
// package only in reconcile.Auth, reconcile.SigningKey and reconcile.Access, which do not print. The one thing that is
// written is the annotation that asks for a reconcile.
package flux
