package reconcile

import (
	"encoding/hex"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// ways are schedules that come together to every effect in every phase of every trigger that the model has, as far as
// the engine can come there. They were searched for among the inputs that FuzzWalk found, and cut down.
func ways(t interface{ Fatal(...any) }) [][]byte {
	raw, err := os.ReadFile("testdata/ways.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for line := range strings.Lines(string(raw)) {
		schedule, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, schedule)
	}
	return out
}

// TestTheWalkReachesEveryEffectInEveryPhase holds what the schedules come to against testdata/reached.txt: trigger, phase
// as it was saved last, effect. What is lost there is a way that the fuzzed walk does not test any more: find a schedule
// for it, or take the line out where the engine cannot come there any more.
func TestTheWalkReachesEveryEffectInEveryPhase(t *testing.T) {
	counts := map[string]int{}
	for _, schedule := range ways(t) {
		p := newPair()
		p.run(t, schedule)
		for what, n := range p.reached {
			counts[what] += n
		}
	}
	got := strings.Join(slices.Sorted(maps.Keys(counts)), "\n") + "\n"
	const golden = "testdata/reached.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("what the walk comes to (-want +got):\n%s", diff)
	}
}
