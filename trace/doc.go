// Package trace answers where an image is: the whole way from its tag in the registry to the pods that run it, one
// hop a line, each with what keeps it from going on.
//
//	tag ─► scan ─► policy ─► automation ─► marker ─► commit ─► source ─► apply [─► release] ─► workload ─► pods
//	registry  ImageRepository ImagePolicy    │      Git              GitRepository Kustomization HelmRelease
//	                                ImageUpdateAutomation
//
// Gather reads everything live, with the rights of whoever asks. Of is pure: it makes hops of facts. Each hop is held
// against the one before it, so that a cross stands where the image stopped, and what comes after it says that it
// waits. What the user may not read is said to be not read; it is never taken for broken, nor for good.
//
// Everything read is data: tags, subjects of commits and words of controllers are made harmless where they are printed.
package trace
