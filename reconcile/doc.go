// Package reconcile walks a failing image back through Git.
//
// Every input of Backstop does one thing: it enqueues a Key. A worker takes
// the key and walks this line, one effect at a time:
//
//	pod · workload · policy · decision · timer
//	       │ enqueue (namespace, image)
//	       ▼
//	    gather ──► decide (pure) ──► one effect ──► save ──► again, until it must wait
//
// gather reads the world live and never judges. decide is a pure function from
// World to Step. Each step fills one field of a Rollback's status, by a filler in
// a file of its own. Saving uses the resourceVersion that was read: after a
// conflict the walk starts over. After a crash between an effect and its save the
// world is read again: the trailers on the branch tell what Backstop did to it.
//
// The adapters to Git, Flux, the registry and the API server live in
// sub-packages; the interfaces that this package needs of them are in ports.go and
// the files beside it, ports_git.go, ports_applies.go, ports_ahead.go and
// pullrequest.go.
//
// Files use each other in one direction: walk, gather, the fillers, decide and
// what it asks, the World, the ports.
package reconcile
