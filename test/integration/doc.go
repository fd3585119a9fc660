// Package integration holds the scenarios that Backstop promises, each a test
// by the name in test/scenarios.txt, on one real control plane for all of them.
//
// A test calls world, which gives it a fleet of its own: namespaces, a Git
// server with its repository, a registry, and stand-ins for kubelet and Flux
// that look at nothing else. Tests can therefore run in parallel; they wait
// most of the time. startSidecar runs the real backstop as a process of its
// own under its own ServiceAccount.
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		w := world(t)
//		w.Publish("backend", fleet.Tag("production", 1), "linux/arm64")
//		w.Until("the pods fail", func() error { … })
//	}
package integration
