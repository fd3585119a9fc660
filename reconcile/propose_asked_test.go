package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// asksByPullRequest is a Rollback whose policy delivers by pull request, and asks.
func asksByPullRequest(number int64) World {
	w := goesByPullRequest(number)
	w.Policy.Mode, w.Policy.Delivery, w.Policy.Approval = v1alpha1.ModeApprove, v1alpha1.DeliveryPullRequest, time.Hour
	s := &w.Rollback.Status
	s.Verdict, s.Suspect.OnlyImages = nil, true
	s.Failures[0].Trigger, s.Failures[0].Cause = v1alpha1.TriggerImagePull, v1alpha1.CauseNotFound
	w.Triggers = testRows
	w.sees(PodsSeen{Failures: s.Failures})
	if number == 0 {
		s.PullRequest = nil
	}
	return w
}

func TestAPullRequestBeforeTheAnswer(t *testing.T) {
	decided := func(a v1alpha1.Answer) func(*World) {
		return func(w *World) {
			q := questionOf(w, nil)
			w.Rollback.Spec.Decisions = []v1alpha1.Decision{{By: "jane", Question: q.ID, Answer: a}}
		}
	}
	for name, tt := range map[string]struct {
		number int64
		change func(w *World)
		do     Effect
		says   string
	}{
		"it is opened at once":                    {0, func(*World) {}, DoPullRequest, "opening a pull request to main"},
		"with mode Auto the policy decides first": {0, func(w *World) { w.Policy.Mode = v1alpha1.ModeAuto }, DoVerdict, "policy shop/web"},
		"with mode Auto and a doubt it is opened": {0, func(w *World) {
			w.Policy.Mode, w.Rollback.Status.Suspect.OnlyImages = v1alpha1.ModeAuto, false
		}, DoPullRequest, "opening"},
		"with mode Notify there is none":   {0, func(w *World) { w.Policy.Mode, w.Policy.Why = v1alpha1.ModeNotify, "" }, DoOutcome, "only tells"},
		"while suspended there is none":    {0, suspended, DoOutcome, "is suspended"},
		"with delivery Auto there is none": {0, func(w *World) { w.Policy.Delivery = v1alpha1.DeliveryAuto }, DoWait, "a person decides"},
		"with delivery Push there is none": {0, func(w *World) { w.Policy.Delivery = v1alpha1.DeliveryPush }, DoWait, "a person decides"},
		"a registry in doubt asks first":   {0, func(w *World) { w.Breaker = "too many images cannot be proved" }, DoWait, "a person decides"},
		"a budget that is spent asks first": {0, func(w *World) {
			w.Budget.Count = 1
			w.Elsewhere = []TrailerCommit{{Kind: TrailerRevert, When: w.Now, Reverts: []string{"another"}}}
		}, DoWait, "a person decides"},
		"what was approved before is opened": {0, func(w *World) { w.Breaker = "doubt"; decided(v1alpha1.Approve)(w) }, DoVerdict, "jane"},

		"it waits for people": {7, func(*World) {}, DoWait, "a person decides by"},
		"and says who": {7, func(w *World) {
			w.PullRequest.Waits = []v1alpha1.PullRequestWait{{Kind: v1alpha1.WaitsForReview, Name: "jane"}}
		}, DoPullRequest, "changed"},
		"clean alone merges nothing":         {7, clean, DoWait, "a person decides by"},
		"approved on the card":               {7, decided(v1alpha1.Approve), DoVerdict, "jane"},
		"rejected on the card":               {7, decided(v1alpha1.Reject), DoVerdict, "jane"},
		"merged by a person":                 {7, func(w *World) { seen(w, v1alpha1.PullRequestMerged); onMain(w) }, DoVerdict, "jane merged pull request 7"},
		"merged by nobody knows whom":        {7, func(w *World) { onMain(w); w.PullRequest = nil }, DoVerdict, "pull request 7 merged"},
		"merged, not seen yet":               {7, func(w *World) { seen(w, v1alpha1.PullRequestMerged) }, DoWait, "does not show it yet"},
		"merged, and pods run again":         {7, func(w *World) { seen(w, v1alpha1.PullRequestMerged); onMain(w); w.sees(PodsSeen{Started: "Pod/api"}) }, DoVerdict, "jane"},
		"merged by a person while suspended": {7, func(w *World) { suspended(w); seen(w, v1alpha1.PullRequestMerged); onMain(w) }, DoVerdict, "jane"},
		"edited by a person, and merged":     {7, func(w *World) { seen(w, v1alpha1.PullRequestMerged); w.Branch.Values[0] = "v0" }, DoOutcome, "no longer says reg/api:v2"},
		"closed by a person":                 {7, func(w *World) { seen(w, v1alpha1.PullRequestClosed) }, DoOutcome, "was closed without a merge by jane"},
		"a person fixes main first":          {7, func(w *World) { w.Branch.Values[0] = "v3" }, DoOutcome, "no longer says reg/api:v2"},
		"the pods run again":                 {7, func(w *World) { w.sees(PodsSeen{Started: "Pod/api"}) }, DoOutcome, "Pod/api"},
		"the provider is away":               {7, func(w *World) { w.PullRequest, w.NoPullRequest = nil, "HTTP 502" }, DoWait, "a person decides by"},
		"a push to its branch":               {7, func(w *World) { w.PullRequest.Head = "e" }, DoPullRequest, "looking at what"},
		"a foreign commit":                   {7, func(w *World) { w.Rollback.Status.PullRequest.Foreign = "it has commit e of jane" }, DoWait, "commit e of jane"},
		"a foreign commit, approved": {7, func(w *World) {
			decided(v1alpha1.Approve)(w)
			w.Rollback.Status.PullRequest.Foreign = "it has commit e of jane"
		}, DoWait, "a person decides by"},
		"armed while it was allowed": {7, armed, DoDisarm, "nobody allows it any more"},
		"suspended meanwhile":        {7, suspended, DoWait, "nothing is asked and nothing pushed"},
		"suspended, and pushed to":   {7, func(w *World) { suspended(w); w.PullRequest.Head = "e" }, DoWait, "nothing is asked"},
		"nobody decides":             {7, func(w *World) { w.Now = w.Now.Add(2 * time.Hour) }, DoOutcome, "nobody decided in 1h"},
	} {
		t.Run(name, func(t *testing.T) {
			w := asksByPullRequest(tt.number)
			tt.change(&w)
			step := decide(w)
			said := step.Why + step.Outcome.Message + step.Verdict.By + " " + step.Verdict.Why
			if step.Do != tt.do || !strings.Contains(said, tt.says) {
				t.Errorf("%s: %s\nwant %s: …%s…", step.Do, said, tt.do, tt.says)
			}
		})
	}
}

func TestTheAnswersOfAForeignCommit(t *testing.T) {
	w := asksByPullRequest(7)
	w.Rollback.Status.PullRequest.Foreign = "it has commit e of jane"
	step := decide(w)
	if q := step.Question; q == nil || q.Allows(v1alpha1.Approve) || !q.Allows(v1alpha1.Reject) ||
		q.Doubts[1].Type != v1alpha1.DoubtForeignCommit {
		t.Errorf("it asks %+v", q)
	}
}

func TestAPullRequestThatIsLeftOpen(t *testing.T) {
	expired := func(w *World) {
		*w = asksByPullRequest(7)
		ended(v1alpha1.ResultExpired)(w)
		w.Rollback.Status.Outcome.At = v1alpha1.NewTime(w.Now)
	}
	for name, tt := range map[string]struct {
		result v1alpha1.Result
		change func(w *World)
		do     Effect
	}{
		"superseded":                           {v1alpha1.ResultSuperseded, func(*World) {}, DoClose},
		"recovered":                            {v1alpha1.ResultRecovered, func(*World) {}, DoClose},
		"rejected on the card":                 {v1alpha1.ResultRejected, rejectedByJane, DoClose},
		"rejected, and others wait for it":     {v1alpha1.ResultRejected, func(w *World) { rejectedByJane(w); w.Shared = true }, DoClose},
		"rejected, and a person armed it":      {v1alpha1.ResultRejected, func(w *World) { rejectedByJane(w); w.PullRequest.Armed = true }, DoClose},
		"only told by now":                     {v1alpha1.ResultReportedOnly, func(*World) {}, DoClose},
		"verified in another way":              {v1alpha1.ResultVerified, func(*World) {}, DoClose},
		"superseded, and others wait for it":   {v1alpha1.ResultSuperseded, func(w *World) { w.Shared = true }, DoWait},
		"superseded, and the provider is away": {v1alpha1.ResultSuperseded, func(w *World) { w.PullRequest = nil }, DoWait},
		"closed meanwhile":                     {v1alpha1.ResultSuperseded, func(w *World) { w.PullRequest.State = v1alpha1.PullRequestClosed }, DoPullRequest},
		"closed already":                       {v1alpha1.ResultSuperseded, func(w *World) { seen(w, v1alpha1.PullRequestClosed) }, DoWait},
		"closed by a person":                   {v1alpha1.ResultRejected, closedByJane, DoWait},
		"closed by a person, and opened again": {v1alpha1.ResultRejected, func(w *World) { closedByJane(w); w.PullRequest.State = v1alpha1.PullRequestOpen }, DoPullRequest},
		"seen to be open again":                {v1alpha1.ResultRejected, func(w *World) { closedByJane(w); seen(w, v1alpha1.PullRequestOpen) }, DoOutcome},
		"opened again, and merged":             {v1alpha1.ResultRejected, func(w *World) { closedByJane(w); seen(w, v1alpha1.PullRequestMerged) }, DoOutcome},
		"closed by a person a day ago": {v1alpha1.ResultRejected, func(w *World) {
			closedByJane(w)
			w.PullRequest.State, w.Now = v1alpha1.PullRequestOpen, w.Now.Add(25*time.Hour)
		}, DoWait},
		"rejected on the card, and opened again": {v1alpha1.ResultRejected, func(w *World) {
			rejectedByJane(w)
			w.Rollback.Status.PullRequest.State = v1alpha1.PullRequestClosed
		}, DoWait},
		"failed":                          {v1alpha1.ResultFailed, func(*World) {}, DoWait},
		"expired":                         {"", expired, DoWait},
		"expired, merged":                 {"", func(w *World) { expired(w); seen(w, v1alpha1.PullRequestMerged); onMain(w) }, DoVerdict},
		"expired, and closed by a person": {"", func(w *World) { expired(w); seen(w, v1alpha1.PullRequestClosed) }, DoOutcome},
		"expired for a day":               {"", func(w *World) { expired(w); w.Now = w.Now.Add(25 * time.Hour) }, DoClose},
	} {
		t.Run(name, func(t *testing.T) {
			w := goesByPullRequest(7)
			if tt.result != "" {
				ended(tt.result)(&w)
			}
			tt.change(&w)
			if step := decide(w); step.Do != tt.do {
				t.Errorf("%s: %s%s, want %s", step.Do, step.Why, step.Outcome.Message, tt.do)
			}
		})
	}
}

// rejectedByJane is a no on the card.
func rejectedByJane(w *World) {
	w.Rollback.Status.Verdict = &v1alpha1.Verdict{Answer: v1alpha1.Reject, Source: v1alpha1.VerdictByPerson, By: "jane"}
}

// closedByJane is a no at the provider, a moment ago.
func closedByJane(w *World) {
	seen(w, v1alpha1.PullRequestClosed)
	w.Rollback.Status.Outcome.At = v1alpha1.NewTime(w.Now)
}

func TestAHoldThatIsLiftedByPullRequest(t *testing.T) {
	open := func(w *World) {
		w.Rollback.Status.LiftPullRequest = &v1alpha1.PullRequest{Number: 8, URL: "https://git.example/pulls/8", State: v1alpha1.PullRequestOpen,
			Head: "d", At: v1alpha1.NewTime(w.Now.Add(-time.Hour))}
		w.Lifting = &PullRequest{Number: 8, State: v1alpha1.PullRequestOpen, Head: "d", Merge: MergeClean}
	}
	ends := func(state v1alpha1.PullRequestState) func(*World) {
		return func(w *World) {
			open(w)
			w.Lifting.State, w.Lifting.By = state, "jane"
			w.Rollback.Status.LiftPullRequest.State, w.Rollback.Status.LiftPullRequest.By = state, "jane"
		}
	}
	lately := func(state v1alpha1.PullRequestState) func(*World) {
		return func(w *World) {
			ends(state)(w)
			now := v1alpha1.NewTime(w.Now)
			w.Rollback.Status.LiftPullRequest.MergedAt = &now
		}
	}
	// asked has the pull request come of a wish.
	asked := func(w *World, at time.Time) {
		w.Rollback.Spec.Lift = &v1alpha1.LiftRequest{By: "joe", At: v1alpha1.NewTime(at)}
		wish := w.Rollback.Spec.Lift.At
		w.Rollback.Status.LiftPullRequest.AskedAt = &wish
	}
	for name, tt := range map[string]struct {
		change func(w *World)
		do     Effect
		says   string
	}{
		"none yet":             {func(*World) {}, DoLift, "a newer image was selected"},
		"the policy merges it": {open, DoLift, "merging pull request 8"},
		"people merge it":      {func(w *World) { open(w); w.Policy.Mode = v1alpha1.ModeApprove }, DoWait, "until pull request 8 is merged"},
		"a person asked for it": {func(w *World) {
			open(w)
			w.Policy.Mode = v1alpha1.ModeApprove
			w.Rollback.Spec.Lift = &v1alpha1.LiftRequest{By: "jane", At: v1alpha1.NewTime(w.Now)}
		}, DoLift, "merging"},
		"somebody committed to it":     {func(w *World) { open(w); w.Lifting.Head = "e" }, DoWait, "until pull request 8 is merged"},
		"somebody had it go elsewhere": {func(w *World) { open(w); w.Lifting.Base = "release" }, DoWait, "pull request 8, which lifts it: it goes to release now, and not to main"},
		"it goes where it went":        {func(w *World) { open(w); w.Lifting.Base = "main" }, DoLift, "merging pull request 8"},
		"it waits for checks":          {func(w *World) { open(w); w.Lifting.Merge = MergeWaits }, DoWait, "until pull request 8 is merged"},
		"its checks are seen":          {func(w *World) { open(w); w.Lifting.Waits = []v1alpha1.PullRequestWait{{Kind: v1alpha1.WaitsForCheck}} }, DoLift, "changed"},
		"suspended":                    {func(w *World) { open(w); suspended(w) }, DoWait, "nothing is pushed"},
		"the provider is away":         {func(w *World) { open(w); w.Lifting, w.NoPullRequest = nil, "HTTP 502" }, DoWait, "HTTP 502"},
		"closed by a person":           {ends(v1alpha1.PullRequestClosed), DoWait, "closed without a merge by jane"},
		"closed, and another one asks": {func(w *World) {
			ends(v1alpha1.PullRequestClosed)(w)
			w.Rollback.Spec.Lift = &v1alpha1.LiftRequest{By: "joe", At: v1alpha1.NewTime(w.Now)}
		}, DoLift, "a person lifted"},
		"closed, and its wish is dated ahead": {func(w *World) {
			ends(v1alpha1.PullRequestClosed)(w)
			asked(w, w.Now.AddDate(900, 0, 0))
		}, DoWait, "closed without a merge by jane"},
		"closed, and another one asks who is earlier by the clock": {func(w *World) {
			ends(v1alpha1.PullRequestClosed)(w)
			asked(w, w.Now.AddDate(900, 0, 0))
			w.Rollback.Spec.Lift.At = v1alpha1.NewTime(w.Now)
		}, DoLift, "a person lifted"},
		"merged, not seen yet": {lately(v1alpha1.PullRequestMerged), DoWait, "does not show it yet"},
		"merged into another branch": {func(w *World) {
			lately(v1alpha1.PullRequestMerged)(w)
			w.Rollback.Status.LiftPullRequest.Missed, w.Lifting = "was merged into release by jane, and not into main", nil
		}, DoWait, "pull request 8, which lifts it, was merged into release by jane, and not into main: https"},
		"merged into another branch, and another one asks": {func(w *World) {
			lately(v1alpha1.PullRequestMerged)(w)
			w.Rollback.Status.LiftPullRequest.Missed, w.Lifting = "was merged into release by jane, and not into main", nil
			w.Rollback.Spec.Lift = &v1alpha1.LiftRequest{By: "joe", At: v1alpha1.NewTime(w.Now)}
		}, DoLift, "a person lifted"},
		"merged long ago, and the hold stands": {ends(v1alpha1.PullRequestMerged), DoLift, "pull request 8 is merged, and the hold stands"},
		"closed, and somebody else took the hold away": {func(w *World) {
			ends(v1alpha1.PullRequestClosed)(w)
			w.Branch.Held = nil
		}, DoLifted, "a commit that took the prefix away"},
		"merged": {func(w *World) { ends(v1alpha1.PullRequestMerged)(w); w.Branch.Held = nil }, DoLifted, "pull request 8, merged by jane"},
	} {
		t.Run(name, func(t *testing.T) {
			w := aWorld(landed, ended(v1alpha1.ResultVerified), held, selectsImage("reg/backend:v3", FindingPresent))
			tt.change(&w)
			if step := decide(w); step.Do != tt.do || !strings.Contains(step.Why+step.By, tt.says) {
				t.Errorf("%s: %s %s, want %s: …%s…", step.Do, step.Why, step.By, tt.do, tt.says)
			}
		})
	}
}

// A lift that went elsewhere, or that was edited away, is written down as missed: another one may be asked for.
func TestALiftThatWasMergedAndMissedIsWrittenDown(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(w *World, pr *v1alpha1.PullRequest)
		missed string
	}{
		"merged into another branch": {func(w *World, _ *v1alpha1.PullRequest) {
			w.Lifting = &PullRequest{Number: 8, State: v1alpha1.PullRequestMerged, Base: "release", By: "jane"}
		}, "was merged into release by jane, and not into main"},
		"merged into its own": {func(w *World, _ *v1alpha1.PullRequest) {
			w.Lifting = &PullRequest{Number: 8, State: v1alpha1.PullRequestMerged, Base: "main", By: "jane"}
		}, ""},
		"merged long ago": {func(w *World, pr *v1alpha1.PullRequest) {
			long := v1alpha1.NewTime(w.Now.Add(-48 * time.Hour))
			pr.State, pr.By, pr.MergedAt = v1alpha1.PullRequestMerged, "jane", &long
		}, "is merged by jane, and main does not show it"},
	} {
		t.Run(name, func(t *testing.T) {
			w := aWorld(landed, ended(v1alpha1.ResultVerified), held, selectsImage("reg/backend:v3", FindingPresent))
			pr := &v1alpha1.PullRequest{Number: 8, State: v1alpha1.PullRequestOpen, At: v1alpha1.NewTime(w.Now.Add(-72 * time.Hour))}
			w.Rollback.Status.LiftPullRequest = pr
			tt.change(&w, pr)
			rb := w.Rollback.DeepCopy()
			if err := (&Engine{}).followLift(t.Context(), &w, rb); err != nil {
				t.Fatal(err)
			}
			got := rb.Status.LiftPullRequest
			if got.Missed != tt.missed || got.State == v1alpha1.PullRequestMerged && got.MergedAt == nil {
				t.Errorf("got %+v", got)
			}
		})
	}
}
