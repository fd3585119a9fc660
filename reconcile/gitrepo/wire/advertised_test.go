package wire

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

// theTip is a commit that a server advertises.
const theTip = "1111111111111111111111111111111111111111"

func TestOnlyTheBranchIsKeptOfWhatAServerAdvertises(t *testing.T) {
	var in, want bytes.Buffer
	packet := func(s string, to ...io.Writer) { fmt.Fprintf(io.MultiWriter(to...), "%04x%s", len(s)+4, s) }
	packet("# service=git-upload-pack\n", &in, &want)
	fmt.Fprint(io.MultiWriter(&in, &want), "0000")
	packet(theTip+" HEAD\x00 side-band-64k\n", &in, &want)
	packet(theTip+" refs/heads/other\n", &in)
	packet(theTip+" refs/heads/main\n", &in, &want)
	packet(theTip+" refs/heads/main2\n", &in)
	packet(theTip+" refs/tags/v1^{}\n", &in)
	packet("shallow "+theTip, &in, &want)
	fmt.Fprint(io.MultiWriter(&in, &want), "0000")
	in.WriteString("behind it")
	a := &advertised{r: &in, branch: "refs/heads/main", meter: &meter{}}
	got := make([]byte, want.Len())
	if _, err := io.ReadFull(a, got); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("it lets %q through, %v", got, err)
	}
	if in.String() != "behind it" {
		t.Errorf("it read on: %q is left", in.String())
	}
}

func TestPullRequestsOfACommitAreKeptWhereTheyAreAskedFor(t *testing.T) {
	var in bytes.Buffer
	packet := func(s string) { fmt.Fprintf(&in, "%04x%s", len(s)+4, s) }
	const other = "2222222222222222222222222222222222222222"
	packet(theTip + " HEAD\x00 side-band-64k\n")
	packet(theTip + " refs/heads/other\n")
	packet(theTip + " refs/merge-requests/7/head\n")
	packet(theTip + " refs/merge-requests/7/merge\n")
	packet(other + " refs/merge-requests/8/head\n")
	packet(theTip + " refs/pull/0/head\n")
	fmt.Fprint(&in, "0000")
	a := &advertised{r: &in, branch: "refs/heads/main", of: theTip, meter: &meter{}}
	got, err := io.ReadAll(a)
	if err != nil || bytes.Count(got, []byte("refs/")) != 1 || !bytes.Contains(got, []byte("refs/merge-requests/7/head")) {
		t.Errorf("it lets %q through, %v", got, err)
	}
	for ref, want := range map[string]int64{"refs/pull/12/head": 12, "refs/merge-requests/3/head": 3, "refs/pull/12/merge": 0,
		"refs/pull/-1/head": 0, "refs/pull/x/head": 0, "refs/heads/pull/1/head": 0, "refs/pull//head": 0} {
		if n := pullOf(ref); n != want {
			t.Errorf("%s is %d", ref, n)
		}
	}
}
