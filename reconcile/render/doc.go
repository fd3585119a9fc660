// Package render makes of a folder what kustomize-controller would apply.
//
//	tree (fs.FS) ──► Folder ──► Add: what a Flux Kustomization says ──► Build: kustomize ──► Variables ──► objects
//	                    │
//	                    └─ Remote, Plugins: what kustomize would fetch, which is refused or put in its place before
//
// It reads a tree through an fs.FS that knows no way out of it: a work tree, or the snapshot of a commit. Links are not
// followed, kustomize runs without plugins and without the network, no chart is inflated, and nothing is ever executed.
// It knows nothing of Git and holds no lock of a mirror: a rendering may take seconds.
package render
