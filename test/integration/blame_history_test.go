package integration

import (
	"strings"
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/test/fleet"
)

// hands runs git in Alice's work tree, one command a line of words.
func (w *World) hands(commands ...[]string) {
	w.t.Helper()
	for _, args := range commands {
		_, err := w.Alice.Git(w.t.Context(), args...)
		w.must(err)
	}
}

// retag writes the next tag into an app's file of Alice's work tree and commits it, as a bot by its name alone.
func (w *World) retag(app, message string) {
	w.t.Helper()
	file := w.Fleet.File(prod, app)
	text := strings.ReplaceAll(w.blob(fleet.Branch, file), fleet.Tag(prod, 0), fleet.Tag(prod, 1))
	w.must(w.Alice.Write(map[string]string{file: text}))
	w.hands([]string{"commit", "--quiet", "--all", "--author=somebot <bot@example.com>", "-m", message})
}

// Image automation works through pull requests here: what reaches the branch has
// another author, another message and another hash than what it wrote.
func TestMergeSquashAndRewrittenHistory(t *testing.T) {
	t.Parallel()
	w := world(t, quick, apps("merged", "squashed", "rewritten", "rootless"))
	startSidecar(t, w, "--budget=10/1h")
	policy := w.auto(prod)
	w.Settle()
	w.automationRests(prod, true)
	good, newer := fleet.Tag(prod, 0), fleet.Tag(prod, 1)
	bad := map[string]string{}
	for _, app := range w.Fleet.Apps {
		bad[app] = w.publishBad(app, newer)
		w.selected(prod, app, newer)
	}
	reverted := func(app, suspect string) {
		t.Helper()
		file := w.Fleet.File(prod, app)
		r := w.ends(prod, bad[app], v1alpha1.ResultVerified, "runs "+w.Fleet.Image(app, good))
		if s := r.Status.Suspect; s.Commit != suspect || s.Automation == nil || s.Automation.Name != prod {
			t.Errorf("suspect %+v, want %s by the automation", s, suspect)
		}
		w.undone(r, map[string]string{file: w.blob(suspect+"^", file)})
		w.runs(prod, app, good)
	}

	// A merge: the deployed branch held the image with the merge and not before.
	w.must(w.Alice.Pull(t.Context()))
	w.hands([]string{"checkout", "--quiet", "-b", "updates"})
	w.retag("merged", "Update from image update automation")
	w.hands([]string{"checkout", "--quiet", fleet.Branch})
	w.must(w.Alice.Write(map[string]string{"README.md": "# The fleet\n\nAsk Alice.\n"}))
	w.hands([]string{"commit", "--quiet", "--all", "-m", "Say whom to ask"},
		[]string{"merge", "--quiet", "--no-ff", "-m", "Merge pull request #7", "updates"},
		[]string{"push", "--quiet", "origin", fleet.Branch})
	reverted("merged", w.git("rev-list", "-n1", "--merges", fleet.Branch))

	// A squash: two commits become one of a person's.
	w.must(w.Alice.Pull(t.Context()))
	before := w.Tip()
	w.hands([]string{"checkout", "--quiet", "-b", "squash"})
	w.retag("squashed", "Update from image update automation")
	w.hands([]string{"commit", "--quiet", "--allow-empty", "-m", "Run the checks again"},
		[]string{"checkout", "--quiet", fleet.Branch}, []string{"merge", "--quiet", "--squash", "squash"},
		[]string{"commit", "--quiet", "-m", "Update images (#8)"}, []string{"push", "--quiet", "origin", fleet.Branch})
	reverted("squashed", w.next(before))

	// Rewritten after it was blamed: the suspect is not on the branch any more, what it brought is.
	w.changeMode(policy, v1alpha1.ModeApprove)
	w.must(w.Alice.Pull(t.Context()))
	w.retag("rewritten", "Update from image update automation")
	w.hands([]string{"push", "--quiet", "origin", fleet.Branch})
	file, suspect := w.Fleet.File(prod, "rewritten"), w.Tip()
	w.waits(prod, bad["rewritten"], "the policy asks for an approval")
	w.hands([]string{"commit", "--quiet", "--amend", "-m", "Another message"}, []string{"push", "--quiet", "--force", "origin", fleet.Branch})
	rewritten := w.Tip()
	w.changeMode(policy, v1alpha1.ModeAuto)
	r := w.ends(prod, bad["rewritten"], v1alpha1.ResultVerified)
	if r.Status.Suspect.Commit != suspect || suspect == rewritten {
		t.Errorf("blamed %s, want %s, which became %s", r.Status.Suspect.Commit, suspect, rewritten)
	}
	w.undone(r, map[string]string{file: w.blob(suspect+"^", file)})
	if got := w.git("rev-parse", r.Status.Change.Commit+"^"); got != rewritten {
		t.Errorf("the revert is on %s, want %s", got, rewritten)
	}
	w.runs(prod, "rewritten", good)

	// Rewritten into one commit that brings the image: nothing tells what was there before.
	w.must(w.Alice.Pull(t.Context()))
	w.hands([]string{"checkout", "--quiet", "--orphan", "anew"})
	w.retag("rootless", "Begin anew")
	w.hands([]string{"push", "--quiet", "--force", "origin", "anew:" + fleet.Branch})
	anew := w.Tip()
	w.ends(prod, bad["rootless"], v1alpha1.ResultReportedOnly, "came in with "+anew[:12])
	w.staysAt(anew)
}
