// Package imagepolicy judges tags by the rule of a Flux ImagePolicy, as image-reflector-controller does: which of some
// tags it selects, why it does not take one, and which tag would fit a pattern.
package imagepolicy
