package card

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/slack-go/slack"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
)

// buttons are what a person can do. Declining is safe, so it is not styled; for a drift both answers are equal.
func buttons(f Facts) []slack.BlockElement {
	r := f.Rollback
	value, w := Value(r), wordsOf(r)
	var out []slack.BlockElement
	if approvable(&r.Status) {
		out = append(out, approve(r, w, value))
	}
	if q := r.Status.Question; q == nil || q.Allows(v1alpha1.Reject) {
		out = append(out, reject(r, w, value))
	}
	if s := r.Status.Suspect; s != nil {
		if u := f.Links.Commit(s.Commit); u != "" {
			out = append(out, slack.NewButtonBlockElement(View, value, plainText("View Commit")).WithURL(u))
		}
	}
	return out
}

// approvable reports whether an approval could be carried out.
func approvable(s *v1alpha1.RollbackStatus) bool {
	if s.Question != nil && !s.Question.Allows(v1alpha1.Approve) {
		return false
	}
	return s.Target != nil && len(s.Target.Values) > 0
}

func approve(r *v1alpha1.Rollback, w words, value string) *slack.ButtonBlockElement {
	if w.drift {
		b := slack.NewButtonBlockElement(Approve, value, plainText("Adopt into Git"))
		b.AccessibilityLabel = text.Cut("Write "+cmp.Or(w.good, "the running image")+" of "+w.app+" into Git", 75)
		return b.WithConfirm(confirm("Adopt into Git?", adopts(r, w), "Adopt"))
	}
	if unheld(r) {
		b := slack.NewButtonBlockElement(Approve, value, plainText("Go On Without Hold"))
		b.AccessibilityLabel = text.Cut("Go on with "+w.app+" without a hold", 75)
		what := fmt.Sprintf("Goes on with what was merged. Image automation is not held off %s and may write it again.",
			w.bad)
		return b.WithConfirm(confirm("Go on without hold?", what, "Go on"))
	}
	if r.Status.PullRequest.IsOpen() && r.Status.Suspect != nil {
		b := slack.NewButtonBlockElement(Approve, value, plainText("Merge")).WithStyle(slack.StylePrimary)
		b.AccessibilityLabel = text.Cut("Merge the revert of "+w.app+to(w.good), 75)
		return b.WithConfirm(confirm("Merge?", merging(r, w), "Merge"))
	}
	b := slack.NewButtonBlockElement(Approve, value, plainText("Revert in Git")).WithStyle(slack.StylePrimary)
	b.AccessibilityLabel = text.Cut("Revert "+w.app+to(w.good)+" in Git", 75)
	return b.WithConfirm(confirm("Revert in Git?", reverts(r, w), "Revert"))
}

func reject(r *v1alpha1.Rollback, w words, value string) *slack.ButtonBlockElement {
	if w.drift {
		b := slack.NewButtonBlockElement(Reject, value, plainText("Restore from Git"))
		b.AccessibilityLabel = text.Cut("Let Flux put "+w.bad+" of "+w.app+" back", 75)
		what := fmt.Sprintf("Asks Flux to put %s of %s back now. Git keeps it.", w.bad, w.app)
		return b.WithConfirm(confirm("Restore from Git?", what, "Restore"))
	}
	if unheld(r) {
		b := slack.NewButtonBlockElement(Reject, value, plainText("Stop Here"))
		b.AccessibilityLabel = text.Cut("Follow the revert of "+w.app+" no longer", 75)
		return b
	}
	b := slack.NewButtonBlockElement(Reject, value, plainText(text.Cut("Keep "+w.bad, 30)))
	b.AccessibilityLabel = text.Cut("Keep "+w.bad+" of "+w.app+" in Git", 75)
	return b
}

// reverts describes what an approval does.
func reverts(r *v1alpha1.Rollback, w words) string {
	s := r.Status.Suspect
	if s == nil {
		return "Reverts the image in Git."
	}
	if s.ByFiles() {
		return applyReverts(r)
	}
	out := fmt.Sprintf("Pushes a revert of %s for %s to %s: %s goes back to %s", plain(short7(s.Commit), 12), w.app,
		plain(s.Branch, 40), w.bad, cmp.Or(w.good, "its former image"))
	if marked(s) {
		return out + ", and image automation is held off " + heldUntil(&r.Status)
	}
	return out + "."
}

// heldUntil tells what ends a hold: after a crash a person, since that a newer image is there does not mention how it
// runs.
func heldUntil(s *v1alpha1.RollbackStatus) string {
	if slices.ContainsFunc(v1alpha1.Triggers(), func(t v1alpha1.TriggerRow) bool {
		return t.LiftedByPerson && s.SeenBy(t.Type)
	}) {
		return "until a person lifts the hold."
	}
	return "until a newer image can run."
}

// adopts describes what adopting a drift does.
func adopts(r *v1alpha1.Rollback, w words) string {
	s := r.Status.Suspect
	if s == nil {
		return "Writes the running image into Git."
	}
	out := fmt.Sprintf("Pushes a commit to %s that writes %s for %s where it says %s", plain(s.Branch, 40),
		cmp.Or(w.good, "the running image"), w.app, w.bad)
	if marked(s) {
		return out + ", and image automation is held off until a newer image is selected."
	}
	return out + "."
}

func confirm(title, says, yes string) *slack.ConfirmationBlockObject {
	return slack.NewConfirmationBlockObject(plainText(title), plainText(text.Cut(says, 300)), plainText(yes),
		plainText("Cancel"))
}
