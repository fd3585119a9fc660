package metrics

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestWhatFindsNoRoomIsCountedOnceAndToldOnceAnHour(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	said := 0
	f := NewFull(func() time.Time { return now }, func(string, string, int) { said++ })
	for range 3 {
		for _, image := range []string{"a", "b"} {
			f.Tell("team-a", image, 500)
		}
		now = now.Add(time.Minute)
	}
	if n := testutil.ToFloat64(f.counter.WithLabelValues("team-a")); n != 2 || said != 1 {
		t.Errorf("counted %v, said %d times; want 2 and 1", n, said)
	}
	f.Tell("team-b", "a", 500)
	now = now.Add(time.Hour)
	f.Tell("team-a", "a", 500)
	if said != 3 {
		t.Errorf("said %d times, want once more for each namespace", said)
	}
}
