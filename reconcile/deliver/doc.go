// Package deliver opens and follows pull requests, at the providers whose Git servers have an API for them.
//
//	URL of the repository ──► Provider (by host, by a probe, or as the policy says) ──► base of the API
//	                                                │
//	     reconcile.Forge ◄── GitHub · GitLab · Gitea and Forgejo ──► session ──► the API
//
// One file a provider describes how its calls are made. What they have in common is in the session below the providers'
// libraries: it adds the credentials, bounds answers, asks again only for what changed, and turns a refusal into a kind
// with the provider's words, before a library makes a text of it. Bitbucket, Azure DevOps and CodeCommit are recognised
// and refused by name.
//
// Nothing is pushed from here: the branch of a pull request is gitrepo's, and so is the push that opens one where an
// SSH key has no API (bypush.go).
//
// Title and body of a pull request are Markdown, most of whose facts come from a cluster. What is foreign stands in
// fences, where it pings nobody, closes nothing and commands nothing (fence.go).
package deliver
