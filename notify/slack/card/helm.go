package card

import "github.com/backstop-dev/backstop/api/v1alpha1"

// remediated tells what Helm did by itself, and that this is no recovery.
func remediated(s *v1alpha1.RollbackStatus) string {
	r := s.Remediated
	if r == nil || s.Change != nil {
		return ""
	}
	at, release := clock(r.At.Time), foreign(r.Release.String(), 200)
	if r.Action == v1alpha1.RemediationUninstall {
		return "*Helm uninstalled it* at " + at + " (" + release + "): nothing of the release runs, " +
			"and Git still says what failed"
	}
	out := "*Helm went back by itself* at " + at + " (" + release + "): what ran before serves again, " +
		"so this is not urgent. Git still says what failed, and "
	if r.Exhausted {
		return out + "the next change of the release tries that again"
	}
	return out + "Helm tries that again"
}
