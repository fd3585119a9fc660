package trigger

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// Side is one of the two templates that a canary compares.
type Side struct {
	// Name as Kind/name.
	Name     string
	Template corev1.PodTemplateSpec
	// Made is when it became what it is; zero where nothing tells.
	Made time.Time
	// Ready pods, of those Wanted.
	Ready, Wanted int32
	// Ails names a pod of it that fails now; empty where none does.
	Ails string
}

// CanaryFacts are what the API shows of an update that a canary refused.
type CanaryFacts struct {
	Now    time.Time
	Status CanaryStatus
	// Target is what was to be promoted, Former what was promoted before; nil where it is not there.
	Target, Former *Side
	// Words are the canary's own events, newest first.
	Words []Word
	// FailedMetrics are those for which the analyses of Argo failed that judged the update.
	FailedMetrics []FailedMetric
	// NoRoom means that the cluster had no room, no volume or no quota for a pod of the update; empty where nothing says
	// so.
	NoRoom string
	// Remembered means that the hashes of the configuration were seen as the canary promoted them, Promoted what they
	// were.
	Remembered bool
	Promoted   map[string]string
	// Others of the namespace crash, Siblings run well with an image that the update brought.
	Others, Siblings []string
}

// Brought are the images that the update brought, each once.
func (f *CanaryFacts) Brought() []string {
	if f.Target == nil || f.Former == nil {
		return nil
	}
	was, out := containersOf(&f.Former.Template.Spec), []string(nil)
	for name, now := range containersOf(&f.Target.Template.Spec) {
		if before := was[name]; before != nil && before.Image != now.Image && !slices.Contains(out, now.Image) {
			out = append(out, now.Image)
		}
	}
	slices.Sort(out)
	return out
}

// canaryView is what the rows look at.
type canaryView struct {
	*CanaryFacts
	reason   v1alpha1.CanaryReason
	detected time.Time
	checks   []string
	// blind says what of the analysis was not measured.
	blind   string
	changed []v1alpha1.TemplateChange
}
