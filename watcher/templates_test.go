package watcher

import (
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// seen is what a watch brings of one workload, some time after it began.
type seenAt struct {
	after time.Duration
	hash  uint64
	full  bool
}

func TestTheWatchRemembersWhetherTheFormerTemplateWasAvailable(t *testing.T) {
	for name, c := range map[string]struct {
		seen   []seenAt
		former uint64
		was    v1alpha1.Availability
	}{
		"it was, for long": {[]seenAt{{0, 1, true}, {time.Hour, 2, false}}, 1, v1alpha1.AvailableFully},
		"it was, and pods of the new one are available for a moment": {
			[]seenAt{{0, 1, true}, {time.Hour, 2, false}, {time.Hour + time.Second, 2, true}, {time.Hour + 2*time.Second, 2, false}},
			1, v1alpha1.AvailableFully},
		"a node was drained just then": {
			[]seenAt{{0, 1, true}, {time.Hour, 1, false}, {time.Hour + time.Minute, 2, false}}, 1, v1alpha1.AvailableFully},
		"it has failed for long": {
			[]seenAt{{0, 1, true}, {time.Hour, 1, false}, {2 * time.Hour, 2, false}}, 1, v1alpha1.AvailablePartly},
		"it never was":                   {[]seenAt{{0, 1, false}, {time.Hour, 2, false}}, 1, v1alpha1.AvailablePartly},
		"it flapped":                     {[]seenAt{{0, 1, false}, {9 * time.Minute, 1, true}, {9*time.Minute + 5*time.Second, 1, false}, {time.Hour, 2, false}}, 1, v1alpha1.AvailablePartly},
		"Backstop began a moment ago":    {[]seenAt{{0, 1, true}, {20 * time.Second, 2, false}}, 1, v1alpha1.AvailableUnknown},
		"nobody saw the template change": {[]seenAt{{0, 2, false}, {time.Hour, 2, false}}, 0, ""},
		"of two in a row the last counts": {
			[]seenAt{{0, 1, true}, {time.Hour, 2, false}, {2 * time.Hour, 3, false}}, 2, v1alpha1.AvailablePartly},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
			memory := newTemplates(begin)
			for _, s := range c.seen {
				memory.note("uid", s.hash, s.full, begin.Add(s.after))
			}
			if got := memory.of("uid"); got.Former != c.former || got.FormerWas != c.was {
				t.Errorf("%+v, want %d %s", got, c.former, c.was)
			}
			memory.forget("uid")
			if got := memory.of("uid"); got.Former != 0 {
				t.Errorf("remembered after it is gone: %+v", got)
			}
		})
	}
}
