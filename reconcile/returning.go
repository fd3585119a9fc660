package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// A pull request of image automation that is open when a revert lands may bring the bad value again: its branch was
// made before the hold, and does not know of it. So may any other. They are looked for once a revert has landed, and
// before its Rollback ends, and judged by what they change, never by their titles or branches:
//
//	brings the value to the suspect's place? ──no──► nothing is said of it
//	  └─yes─► all that it changes is what image automation writes, and nothing is in doubt? ──no──► people are told
//	            └─yes─► the policies say closeAutomations, and let it be written now ──► closed, with the reason

const (
	// returningAgain is how long after a look another one is worth it, and returningWithin how long one may take.
	returningAgain  = time.Minute
	returningWithin = 20 * time.Second
	// maxReturning is how many are recorded.
	maxReturning = 3
)

// seeks reports whether open pull requests are looked for that bring again what the Rollback reverted: where changes
// come by pull request, and where a policy wants them closed.
func (e *Engine) seeks(w *World, src Source) bool {
	s := &w.Rollback.Status
	if e.Forges == nil || s.Landed == nil || s.Suspect.ByFiles() || w.Rollback.Spec.OpenedFor == v1alpha1.TriggerDrift {
		return false
	}
	routed := s.PullRequest != nil || src.Aside != ""
	return w.Policy.PullRequest.CloseAutomations || routed && w.Policy.Delivery != v1alpha1.DeliveryPush
}

// seek looks for them before what comes next: once, and again where the Rollback is about to end.
func seek(w *World, next Step) Step {
	r := w.Rollback.Status.Returning
	if w.Seeks && (r == nil || next.Do == DoOutcome && w.Now.Sub(r.At.Time) > returningAgain) {
		return Step{Do: DoReturning, Why: "looking for open pull requests that bring " + badInWords(w) + " again"}
	}
	return next
}

// fillReturning writes down which open pull requests bring again what was reverted, and closes those that it may.
// What cannot be read is no reason to wait.
func (e *Engine) fillReturning(ctx context.Context, w *World, _ Step, rb *v1alpha1.Rollback) error {
	s := &rb.Status
	out := &v1alpha1.Returning{At: v1alpha1.NewTime(e.Now())}
	if s.Returning != nil {
		out.PullRequests = slices.DeleteFunc(slices.Clone(s.Returning.PullRequests),
			func(p v1alpha1.ReturningPull) bool { return p.State != v1alpha1.PullRequestClosed })
	}
	s.Returning = out
	within, cancel := context.WithTimeout(ctx, returningWithin)
	defer cancel()
	forge, err := e.forge(within, w)
	var open Opened
	if err == nil {
		open, err = forge.Opened(within, s.Suspect.Branch)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		out.Unread = cut(text.Mask(err.Error()), texts["Returning.Unread"])
		return nil
	case open.More:
		out.Unread = fmt.Sprintf("only the newest %d open pull requests were read", len(open.PullRequests))
	}
	for i := range open.PullRequests {
		in := &open.PullRequests[i]
		brings, left := returns(in, s.Suspect)
		switch {
		case s.PullRequest != nil && in.Number == s.PullRequest.Number:
			continue
		case !brings && !in.Whole:
			out.Unread = fmt.Sprintf("pull request %d changes more than could be read", in.Number)
			continue
		case !brings:
			continue
		case left == "":
			left = e.closeReturning(within, w, forge, in)
		}
		found := v1alpha1.ReturningPull{Number: in.Number, URL: in.URL, State: v1alpha1.PullRequestOpen, Left: left}
		if left == "" {
			found.State = v1alpha1.PullRequestClosed
		}
		out.PullRequests = slices.DeleteFunc(out.PullRequests, func(p v1alpha1.ReturningPull) bool {
			return p.Number == found.Number
		})
		if len(out.PullRequests) == maxReturning {
			out.More++
			continue
		}
		out.PullRequests = append(out.PullRequests, found)
	}
	return nil
}

// closeReturning closes one, where the policies want it and let it be written at this moment, and it is still what was
// judged. It gives why it did not.
func (e *Engine) closeReturning(ctx context.Context, w *World, forge Forge, in *Incoming) v1alpha1.ReturningLeft {
	s := &w.Rollback.Status
	if e.mayCloseReturning(ctx, w) != nil {
		return v1alpha1.LeftByPolicy
	}
	forge.Forget(in.Number)
	now, err := forge.Read(ctx, in.Number)
	switch {
	case err != nil:
		return v1alpha1.LeftRefused
	case now.State != v1alpha1.PullRequestOpen || now.Head != in.Head || now.Base != in.Base:
		return v1alpha1.LeftUnsure
	}
	why := fmt.Sprintf("%s went back from %s with %s, which holds image automation off. This pull request brings %s "+
		"again: it was made before the hold. Delete its branch too, so that image automation begins anew.", s.Suspect.Branch,
		badInWords(w), text.Short(s.Change.Commit), badInWords(w))
	// What it was judged by took its time to be read.
	ctx = WithPermit(ctx, func() error { return e.mayCloseReturning(ctx, w) })
	if err := Permitted(ctx); err != nil {
		return v1alpha1.LeftByPolicy
	}
	if err := forge.Close(ctx, now, why); err != nil {
		e.Log.Warn("close a pull request that brings it again", "rollback", w.Self, "number", in.Number, "error", err)
		return v1alpha1.LeftRefused
	}
	return ""
}

// mayCloseReturning asks live whether the policies want it closed and let it be written; nil where they do.
func (e *Engine) mayCloseReturning(ctx context.Context, w *World) error {
	p, err := e.policyNow(ctx, &w.Rollback, &rules{})
	switch {
	case err != nil:
		return fmt.Errorf("read whether it may be closed: %w", err)
	case !p.PullRequest.CloseAutomations:
		return &barredBy{v1alpha1.BarToldOnly, "the policy does not have it closed"}
	}
	return mayWrite(p, &w.Rollback.Status, e.Now())
}

// returns reports whether a pull request brings a bad value back to a place of the suspect, and what keeps it from
// being closed without a person; nothing where all that it changes is what image automation writes.
func returns(in *Incoming, s *v1alpha1.Suspect) (bool, v1alpha1.ReturningLeft) {
	brings, sure := false, false
	for i := range s.Places {
		for _, f := range in.Files {
			if f.File != s.Places[i].File {
				continue
			}
			for _, line := range f.Added {
				does, certain := writesBad(line, &s.Places[i])
				brings, sure = brings || does, sure || certain
			}
		}
	}
	switch {
	case !brings:
		return false, ""
	case in.Fork:
		return true, v1alpha1.LeftFork
	case !in.Whole || !sure:
		return true, v1alpha1.LeftUnsure
	case slices.ContainsFunc(in.Files, func(f FileChange) bool { return !automated(f) }):
		return true, v1alpha1.LeftMoreChanges
	}
	return true, ""
}

// writesBad reports whether a line writes the bad value of a place, and whether it is that place for certain: its
// marker names the place's policy, or its value the whole image.
func writesBad(line string, n *v1alpha1.Place) (does, certain bool) {
	value, comment := cutComment(line)
	if n.Part == v1alpha1.PartFile || n.Bad == "" || n.Bad == n.Former || !slices.Contains(referencesIn(value), n.Bad) {
		return false, false
	}
	if n.Marker != "" && marks(comment) {
		ours := strings.Contains(comment, `"`+n.Marker+`"`) || strings.Contains(comment, `"`+n.Marker+`:`)
		return ours, ours
	}
	key := n.Pointer[strings.LastIndexByte(n.Pointer, '/')+1:]
	if keyOf(value) != key {
		return false, false
	}
	return true, n.Part == "Image"
}

// automated reports whether image automation may have written all that is changed in a file: lines with markers, of
// which nothing changed but their values.
func automated(f FileChange) bool {
	if len(f.Added) != len(f.Removed) {
		return false
	}
	for i, line := range f.Added {
		value, comment := cutComment(line)
		was, said := cutComment(f.Removed[i])
		if !marks(comment) || comment != said || keyOf(value) != keyOf(was) {
			return false
		}
	}
	return true
}

func marks(comment string) bool { return strings.Contains(comment, `"$imagepolicy"`) }

// cutComment cuts a line of YAML into what it says and its comment.
func cutComment(line string) (value, comment string) {
	if i := strings.Index(line, " #"); i >= 0 {
		return line[:i], strings.TrimSpace(line[i+2:])
	}
	if rest, is := strings.CutPrefix(strings.TrimSpace(line), "#"); is {
		return "", rest
	}
	return line, ""
}

// keyOf is the key that a line of YAML begins with, also in a list and in quotes.
func keyOf(value string) string {
	value = strings.TrimSpace(value)
	for strings.HasPrefix(value, "- ") {
		value = strings.TrimSpace(value[2:])
	}
	key, _, ok := strings.Cut(value, ":")
	if !ok {
		return ""
	}
	return strings.Trim(strings.TrimSpace(key), `"'`)
}

// referencesIn are the references and tags in a line.
func referencesIn(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._/:@+-", r))
	})
}
