// Package store keeps what is in Git on this machine: a bare, shallow mirror for each branch that is asked for, or a
// clone that a person has. It knows commits, trees and files, and nothing of what Backstop does with them.
//
//	Mirrors ──With──► Mirror (one lock) ──Fetch──► History (a tip) ──► Objects ──► Snapshot, an fs.FS for anybody
//	                     ▲                            │
//	                     └──────── Attempt ◄── Builder ┘     push, with the tip that was planned on as the old value
//
// A mirror is deepened when a walk needs older commits. Commits are built from blobs and trees, and a push sends a pack
// of just the new objects through the protocol itself: go-git's own push walks the history to find out what the server
// lacks, which is slow and fails at a shallow edge.
package store
