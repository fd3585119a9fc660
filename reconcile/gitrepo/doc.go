// Package gitrepo reads and writes the deployed branch of a source: it finds the commit that brought an image in, and
// reverts it.
//
//	source ──► mirror (bare, shallow, one lock) ──► blame · former · look · holds · contains     read
//	                     ▲          │
//	               fetch │          └─► plan on the tip ──► revert + hold ──► push, tip as old value    write
//	                     └──────────────── lost the race: fetch, ask permission and plan again ◄─┘
//
// There is no work tree. Package store has the mirrors and what is read and pushed through them, package wire the way
// to the servers; this package reports which commit is to blame, what goes back and what is held.
//
// Blame goes by value. It walks the first parents of the deployed branch and compares the entries of the wanted files
// in the raw trees; only where an entry changed a file is read, and the commit in which the node's value became the
// bad one is the suspect. Authors and messages are never asked: anyone can write them, and a squash replaces them.
//
// The branch is the memory. What Backstop did is read from the trailers of its commits (see trailer.go), so that a
// second cluster, a second replica and a process that was killed after its push all see the same. Somebody who forges
// such a commit can push to the branch already: he can make Backstop believe that a revert was made (it then does not
// revert again), that a workload was reverted a moment ago (it waits), that an image failed (it is not taken as a
// target, a hold is not lifted for it) or that a commit is not the origin of an image (the one before it is blamed).
// He cannot make Backstop write anything: what is written is decided by the values of the nodes.
//
// Everything read from Git is data: names, messages and files may hold anything.
package gitrepo
