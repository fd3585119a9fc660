package card

import (
	"fmt"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// refusals tells which updates were refused, why, and what serves instead.
func refusals(s *v1alpha1.RollbackStatus) []string {
	return seen(s, func(f *v1alpha1.Failure) bool { return f.Canary != nil }, refusalLine)
}

func refusalLine(f *v1alpha1.Failure) string {
	c := f.Canary
	out := fmt.Sprintf("%s refused the update of container %s", code(c.By.Kind+"/"+c.By.Name, 320), code(f.Container, 63))
	if c.At != nil {
		out += " at " + clock(c.At.Time)
	}
	out += ", since it " + refusedFor(f)
	for i, said := range c.Checks {
		if i == 2 {
			break
		}
		out += "; " + foreign(said, 200)
	}
	if c.Promoted != "" {
		ready := fmt.Sprintf("%d pods are ready", c.PromotedReady)
		if c.PromotedReady == 1 {
			ready = "1 pod is ready"
		}
		out += fmt.Sprintf(". %s serves with %s, %s", code(c.PromotedBy, 320), code(c.Promoted, 300), ready)
	}
	if c.By.Kind == "Canary" {
		out += ". Its phase stays Failed after a revert, until the next update is analysed"
	}
	return out
}

// refusedFor explains why, within a sentence.
func refusedFor(f *v1alpha1.Failure) string {
	switch f.Canary.Reason {
	case v1alpha1.CanaryAnalysis, v1alpha1.CanaryDeadline:
		return causeWords(f.Cause)
	case v1alpha1.CanaryMetrics:
		return "could not be measured"
	case v1alpha1.CanaryAborted:
		return "was ended by a person or their gate"
	case v1alpha1.CanaryPromoted:
		return "was analysed beside a primary that was not ready"
	case v1alpha1.CanaryUnknown:
	}
	return causeWords(f.Cause)
}
