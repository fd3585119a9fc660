package v1alpha1

import (
	"testing"
	"time"
)

func TestALiftIsForTheHoldThatStoodWhenItWasGiven(t *testing.T) {
	at := func(minutes int) Time { return NewTime(time.Date(2026, 11, 21, 9, minutes, 0, 0, time.UTC)) }
	for name, tt := range map[string]struct {
		lift          *LiftRequest
		status        RollbackStatus
		counts, spent bool
	}{
		"nobody asks":                {status: RollbackStatus{Change: &Change{Hold: "h", At: at(10)}}},
		"asked while it stands":      {lift: &LiftRequest{At: at(10)}, status: RollbackStatus{Change: &Change{Hold: "h", At: at(10)}}, counts: true},
		"asked before":               {lift: &LiftRequest{At: at(9)}, status: RollbackStatus{Change: &Change{Hold: "h", At: at(10)}}, spent: true},
		"asked before anything":      {lift: &LiftRequest{At: at(9)}},
		"asked of what holds nought": {lift: &LiftRequest{At: at(11)}, status: RollbackStatus{Change: &Change{At: at(10)}}},
		"it is lifted": {lift: &LiftRequest{At: at(11)},
			status: RollbackStatus{Change: &Change{Hold: "h", At: at(10)}, Lifted: &Lifted{}}},
		"a pull request came of it, and is open": {lift: &LiftRequest{At: at(11)}, status: RollbackStatus{Change: &Change{Hold: "h", At: at(10)},
			LiftPullRequest: &PullRequest{State: PullRequestOpen, At: at(12)}}, counts: true},
		"and is closed": {lift: &LiftRequest{At: at(11)}, status: RollbackStatus{Change: &Change{Hold: "h", At: at(10)},
			LiftPullRequest: &PullRequest{State: PullRequestClosed, At: at(12)}}, counts: true, spent: true},
		"one was closed before": {lift: &LiftRequest{At: at(13)}, status: RollbackStatus{Change: &Change{Hold: "h", At: at(10)},
			LiftPullRequest: &PullRequest{State: PullRequestClosed, At: at(12)}}, counts: true},
		"the one that came of it is merged elsewhere": {lift: &LiftRequest{At: at(11)}, status: RollbackStatus{Change: &Change{Hold: "h", At: at(10)},
			LiftPullRequest: &PullRequest{State: PullRequestMerged, Missed: "was merged into release", At: at(12)}}, counts: true, spent: true},
		"dated ahead, and the one that came of it is closed": {lift: &LiftRequest{At: at(50)}, status: RollbackStatus{Change: &Change{Hold: "h", At: at(10)},
			LiftPullRequest: &PullRequest{State: PullRequestClosed, At: at(12), AskedAt: new(at(50))}}, counts: true, spent: true},
		"earlier by the clock than the one that came of another": {lift: &LiftRequest{At: at(11)}, status: RollbackStatus{Change: &Change{Hold: "h", At: at(10)},
			LiftPullRequest: &PullRequest{State: PullRequestClosed, At: at(12), AskedAt: new(at(50))}}, counts: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Rollback{Spec: RollbackSpec{Lift: tt.lift}, Status: tt.status}
			if counts, spent := r.LiftWish() != nil, r.LiftSpent(); counts != tt.counts || spent != tt.spent {
				t.Errorf("counts: %t, want %t; spent: %t, want %t", counts, tt.counts, spent, tt.spent)
			}
		})
	}
}
