package v1alpha1

// How much a Rollback holds of what there may be many of. A status that is full in every field takes less than 264 KiB:
// the API server stores an object of at most 1.5 MiB, and lists hundreds of them at once.
const (
	// MaxFailures is how many failures it holds; the rest is counted.
	MaxFailures = 15
	// MaxPlaces is how many places of a commit it holds. One that wrote the image to more is not reverted.
	MaxPlaces = 24
	// MaxPath is how many characters the path of a file may have. One in a longer path is not reverted.
	MaxPath = 255
	// MaxSharers is how many Flux objects it holds that render the same files.
	MaxSharers = 20
	// MaxAsked is how many Flux objects it holds that were asked to reconcile.
	MaxAsked = 12
	// MaxTemplateChanges is how many differences of two pod templates it holds.
	MaxTemplateChanges = 5
	// MaxFastForwards is how many containers it holds that were set ahead of Flux.
	MaxFastForwards = 8
)
