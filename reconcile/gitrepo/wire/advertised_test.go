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
