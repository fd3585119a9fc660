package gitrepo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/backstop-dev/backstop/reconcile"
)

// A message may have as many megabytes as somebody likes, in one line or in many: what is kept, pushed and shown of it
// is a line.
func TestAHugeCommitMessageStaysInItsCommit(t *testing.T) {
	t.Parallel()
	for name, message := range map[string]string{
		"in one line":   "Deploy <!channel> " + strings.Repeat("é\u202ex", 1<<20),
		"in many lines": "Deploy\n\n" + strings.Repeat("Backstop-Kind: Hold of nothing\n", 1<<17) + "\n\nSigned-off-by: x\n",
		"without words": "\n" + strings.Repeat("#\t", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := standard(t)
			file := filepath.Join(t.TempDir(), "message")
			if err := os.WriteFile(file, []byte(message), 0o600); err != nil {
				t.Fatal(err)
			}
			w.git("commit", "--quiet", "--amend", "--cleanup=verbatim", "-F", file)
			w.git("push", "--quiet", "--force", "origin", "HEAD:main")
			bad := w.git("rev-parse", "HEAD")
			s := w.blame(query(repo + ":" + tag1))
			if s.Commit != bad || utf8.RuneCountInString(s.Subject) > 500 || strings.ContainsAny(s.Subject, "\n\u202e") {
				t.Errorf("blames %s with a subject of %d characters", s.Commit, utf8.RuneCountInString(s.Subject))
			}
			c := w.land(w.wish(s))[0].Change
			w.pull()
			for _, commit := range []string{c.Commit, c.Hold} {
				if said := w.git("log", "-1", "--format=%B", commit); len(said) > 4<<10 {
					t.Errorf("commit %s has a message of %d bytes", commit, len(said))
				}
			}
			target := w.target(s)
			seen, err := w.mirrors.Look(t.Context(), w.src, s, &target, w.now.Add(-time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			kinds := map[reconcile.TrailerKind]int{}
			for _, trail := range seen.Commits {
				kinds[trail.Kind]++
			}
			if kinds[reconcile.TrailerRevert] != 1 || kinds[reconcile.TrailerHold] != 1 {
				t.Errorf("the branch tells of %v", kinds)
			}
		})
	}
}
