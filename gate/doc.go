// Package gate is what keeps an image that cannot run, a tag that can move, or a build that was never in staging from
// being merged: the checks of `backstop check`, before Flux ever sees a commit.
//
//	tree ──► scan ──► units ──► build ──► uses ──┬──► guardrails ──► findings ──► report
//	files    nodes    what Flux  kustomize, Helm  │    .backstop.yaml      ▲       text, JSON, SARIF, …
//	         objects  applies    as it would run  └──► registry ───────────┘
//
// A unit is what one Flux Kustomization, or one kustomization that no other one includes, renders. What is in no unit
// is taken as it stands. A use is an image at a place: a reference as it would run, the file and line that say so, and
// the environments that it runs in.
//
// With a base, the same is done for the tree before the change, and only what is new is reported: what both trees have
// in common keeps quiet wherever it was moved to.
//
// Everything read is data. Files are read through an fs.FS that knows no way out of the repository, links are named and
// not followed, kustomize runs without plugins and without the network, and nothing is ever executed.
package gate
