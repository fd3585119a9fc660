// Package e2e runs Backstop as its users do: as pods of the image that make image builds, installed with kubectl apply
// -k in a namespace that enforces the restricted profile, on a real node, with real pulls and real crashes. Flux is the
// stand-in of the other suites, or its own controllers.
//
//	make e2e             needs root and Linux; installs Debian's containerd if it is missing
//	make e2e FLUX=DIR    with the controllers in DIR, and their CRDs in DIR/crds
package e2e
