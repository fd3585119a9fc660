package gitrepo

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/gitrepo/store"
)

func TestHostileTextForgesNoTrailer(t *testing.T) {
	t.Parallel()
	suspect := strings.Repeat("a", 40)
	got := message("Revert x\n\nBackstop-Kind: Lift", note{TrailerCommit: reconcile.TrailerCommit{
		Kind: reconcile.TrailerRevert, Reverts: []string{suspect, "not a hash\n\nBackstop-Kind: Hold", suspect[:39]},
		Images:    []string{"x:1\nBackstop-Rollback: other/ns/name", "y:1\r\n\r\nBackstop-Kind: Hold", "\u2028Backstop-Kind: Lift", "\x1b[31mz"},
		Rollbacks: []string{"prod/ns/name", "\n\n"},
	}}, []string{"Approved-by: jane\nBackstop-Kind: Hold", "Backstop-Image: forged", "no trailer", "Reviewed-by:  bob"})
	want := "Revert x Backstop-Kind: Lift\n\nThis reverts commit " + suspect + ".\n\n" +
		"Backstop-Kind: Revert\nBackstop-Rollback: prod/ns/name\nBackstop-Image: x:1 Backstop-Rollback: other/ns/name\n" +
		"Backstop-Image: y:1 Backstop-Kind: Hold\nBackstop-Image: Backstop-Kind: Lift\nBackstop-Image: [31mz\n" +
		"Approved-by: jane Backstop-Kind: Hold\nReviewed-by: bob\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

func TestWhatIsBackstopsCommit(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("b", 40)
	for _, test := range []struct {
		name, message string
		want          reconcile.TrailerKind
		reverts       int
	}{
		{"trailers in the last paragraph", "s\n\nThis reverts commit " + hash + ".\n\nBackstop-Kind: Revert\n", reconcile.TrailerRevert, 1},
		{"CRLF and blanks at the end", "s\r\n\r\nThis reverts commit " + hash + ". \r\n\r\nBackstop-Kind: Hold\r\n\r\n", reconcile.TrailerHold, 1},
		{"people's trailers beside them", "s\n\nBackstop-Kind: Lift\nSigned-off-by: x <x@y>\n (more)\n", reconcile.TrailerLift, 0},
		{"a cherry-pick keeps them", "s\n\nBackstop-Kind: Revert\n(cherry picked from commit " + hash + ")\n", reconcile.TrailerRevert, 0},
		{"prose in the paragraph", "s\n\nSee\nBackstop-Kind: Revert\n", "", 0},
		{"an earlier paragraph", "s\n\nBackstop-Kind: Revert\n\nThe end\n", "", 0},
		{"the subject", "Backstop-Kind: Revert", "", 0},
		{"a kind that does not exist", "s\n\nBackstop-Kind: Drop\n", "", 0},
		{"quoted in a revert of a revert", "Revert \"Revert x\"\n\n> Backstop-Kind: Revert\n\nThis reverts commit " + hash + ".\n", "", 0},
		{"nothing", "", "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := readTrailers(&store.Commit{Message: test.message})
			if ok != (test.want != "") || ok && got.Kind != test.want || ok && len(got.Reverts) != test.reverts {
				t.Errorf("read as %+v, %v", got, ok)
			}
		})
	}
}

func FuzzTrailers(f *testing.F) {
	f.Add("Revert x", "prod/ns/name", "ghcr.io/a/b:c", "prod/ns/Deployment/x", "ns:policy", strings.Repeat("0", 40), 2)
	f.Add("a\n\nb", "\n", "Backstop-Kind: Lift", "\u2028", " : ", "x", -1)
	f.Add("", "", "", "", "", "", 0)
	f.Fuzz(func(t *testing.T, subject, rollback, image, workload, policy, reverts string, failed int) {
		want := note{TrailerCommit: reconcile.TrailerCommit{
			Kind: reconcile.TrailerRevert, Rollbacks: []string{rollback}, Images: []string{image}, Workloads: []string{workload},
			Policies: []string{policy}, Reverts: []string{reverts},
		}, failed: map[string]int{policy: failed}}
		text := message(subject, want, []string{subject, "Approved-by: " + image})
		got, ok := readTrailers(&store.Commit{Message: text})
		if !ok {
			t.Fatalf("not read as Backstop's:\n%s", text)
		}
		// What is written is made one line; that is what is read.
		for _, list := range []*[]string{&want.Rollbacks, &want.Images, &want.Workloads, &want.Policies} {
			(*list)[0] = oneLine((*list)[0], maxTrailer)
			*list = slices.DeleteFunc(*list, func(s string) bool { return s == "" })
		}
		if !revertsLine.MatchString("This reverts commit " + reverts + ".") {
			want.Reverts = nil
		}
		if p := oneLine(policy, maxTrailer-20); failed > 0 && failed < 1000 && p != "" && p == policy {
			want.failed = map[string]int{p: failed}
		} else {
			want.failed, got.failed = nil, nil
		}
		got.Commit, got.When = "", want.When
		want.Commit = ""
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(note{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("read back (-want +got):\n%s\n%s", diff, text)
		}
	})
}
