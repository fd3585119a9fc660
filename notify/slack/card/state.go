package card

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/internal/text"
)

// state is where a Rollback stands, as people see it.
type state int

// The states, in the order of the line; every end has its own.
const (
	failing state = iota
	asking
	reverting
	reverted
	ended
)

func stateOf(r *v1alpha1.Rollback) state {
	s := &r.Status
	switch {
	case s.Outcome != nil && (!reopens(s) || !decided(r)):
		return ended
	case s.Verdict != nil && s.Change != nil:
		return reverted
	case decided(r):
		return reverting
	case s.Question != nil:
		return asking
	}
	return failing
}

// reopens reports whether a decision still changes an end.
func reopens(s *v1alpha1.RollbackStatus) bool {
	switch s.Outcome.Result {
	case v1alpha1.ResultExpired:
		return true
	case v1alpha1.ResultRestored:
		return s.Verdict == nil || s.Verdict.Answer == v1alpha1.Approve
	default:
		return false
	}
}

// decided reports that the question is answered, even if the verdict is not written yet.
func decided(r *v1alpha1.Rollback) bool { return r.Status.Verdict != nil || len(r.Answered()) > 0 }

// answer is what was decided and by whom.
func answer(r *v1alpha1.Rollback) (v1alpha1.Answer, string, time.Time) {
	if v := r.Status.Verdict; v != nil {
		at := v.At.Time
		for _, d := range r.Spec.Decisions {
			if d.By == v.By {
				at = d.At.Time
			}
		}
		return v.Answer, v.By, at
	}
	d, ok := v1alpha1.FirstDecision(r.Answered())
	if !ok {
		return "", "", time.Time{}
	}
	return d.Answer, d.By, d.At.Time
}

// Open reports whether people can decide, and so whether the card has buttons: while they are asked, also after an end
// that a decision still changes.
func Open(r *v1alpha1.Rollback) bool { return !decided(r) && r.Status.Question != nil }

func expired(r *v1alpha1.Rollback) bool {
	return stateOf(r) == ended && r.Status.Outcome.Result == v1alpha1.ResultExpired
}

// Ready reports whether a Rollback is worth its first message. Within the grace period and while facts are looked up
// there is nothing for people yet, and many failures are gone by then; and the first post is what phones show, so it
// should already say the point. What keeps Backstop from finding out is worth saying.
func Ready(r *v1alpha1.Rollback) bool {
	s := &r.Status
	switch {
	case s.Verdict != nil:
		return true
	case s.Outcome != nil:
		return s.Outcome.Result != v1alpha1.ResultRecovered
	case s.Question != nil:
		return true
	}
	// The grace period has an end, an obstacle has none.
	return s.Waiting != nil && s.Waiting.Until == nil
}

// words are the few names that headers, texts and buttons are made with.
type words struct {
	// app is the workload, or the first of several.
	app string
	// bad and good are the tags that tell the images apart.
	bad, good string
	drift     bool
}

func wordsOf(r *v1alpha1.Rollback) words {
	w := words{app: appOf(r), drift: r.Spec.OpenedFor == v1alpha1.TriggerDrift}
	bad, good := tags(r.Spec.Subject.Name, targetOf(r))
	w.bad, w.good = plain(bad, 40), plain(good, 40)
	if applies(r) {
		w.bad, w.good = because(&r.Status), ""
		if r.Status.Suspect.ByFiles() {
			w.bad = theChange(r)
		}
	}
	return w
}

// tags are what tells two images apart: the tags, the digests where the tags are the same.
func tags(bad, good string) (string, string) {
	if good == "" {
		return image.Short(bad), ""
	}
	a, b := image.Short(bad), image.Short(good)
	if a == b && bad != good {
		return withDigest(a, bad), withDigest(b, good)
	}
	return a, b
}

func withDigest(tag, image string) string {
	_, digest, ok := strings.Cut(image, "@")
	if !ok {
		return tag
	}
	_, hex, _ := strings.Cut(digest, ":")
	return strings.TrimSuffix(tag, "@"+text.Short(hex)) + "@" + text.Short(hex)
}

// appOf names the workload that a card is about, the image's repository where none is known yet.
func appOf(r *v1alpha1.Rollback) string {
	all := workloads(&r.Status)
	if len(all) == 0 {
		name := image.Repository(r.Spec.Subject.Name)
		return plain(name[strings.LastIndex(name, "/")+1:], 50)
	}
	app := plain(all[0].Name, 50)
	switch len(all) {
	case 1:
		return app
	case 2:
		return app + " and " + plain(all[1].Name, 50)
	}
	return fmt.Sprintf("%s and %d more", app, len(all)-1)
}

func workloads(s *v1alpha1.RollbackStatus) []v1alpha1.Workload {
	var out []v1alpha1.Workload
	for _, f := range s.Failures {
		same := func(w v1alpha1.Workload) bool { return w.Kind == f.Workload.Kind && w.Name == f.Workload.Name }
		if !slices.ContainsFunc(out, same) {
			out = append(out, f.Workload)
		}
	}
	return out
}

// targetOf is the image to go back to; for a drift the one that runs.
func targetOf(r *v1alpha1.Rollback) string {
	if t := r.Status.Target; t != nil && t.Image != "" {
		return t.Image
	}
	if all := r.Status.Drifts(); len(all) > 0 {
		return all[0].Drift.Live
	}
	return ""
}

func rejected(r *v1alpha1.Rollback) bool {
	a, _, _ := answer(r)
	return a == v1alpha1.Reject
}

func to(tag string) string {
	if tag == "" {
		return ""
	}
	return " to " + tag
}

// unheld reports whether people are asked about a pull request that was merged without its hold.
func unheld(r *v1alpha1.Rollback) bool {
	return r.Status.AskedFor(v1alpha1.DoubtHoldMissing)
}

// applies reports that a Rollback is about what Flux cannot apply, and about no image.
func applies(r *v1alpha1.Rollback) bool { return r.OfObject() }

// theChange is what goes back where files do.
func theChange(r *v1alpha1.Rollback) string {
	if s := r.Status.Suspect; s != nil {
		return "what " + plain(short7(s.Commit), 12) + " changed"
	}
	return "the change"
}
