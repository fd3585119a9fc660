package reconcile

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// goesByPullRequest is an allowed Rollback whose branch takes no push.
func goesByPullRequest(number int64) World {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	at := v1alpha1.NewTime(now.Add(-time.Minute))
	w := World{
		Now: now, Self: "prod/shop/api-1", Budget: Budget{Count: 3, Per: time.Hour},
		Policy: Policy{Mode: v1alpha1.ModeAuto, Authors: v1alpha1.AuthorsAnyone, Delivery: v1alpha1.DeliveryAuto,
			Verify: 15 * time.Minute, By: []string{"shop/web"}},
		Branch: &Branch{Tip: strings.Repeat("b", 40), Values: map[int32]string{0: "v2"}, Held: map[int32]Hold{}},
	}
	w.Rollback.Namespace, w.Rollback.Name, w.Rollback.CreationTimestamp = "shop", "api-1", metav1.NewTime(at.Time)
	w.Rollback.Spec.Subject.Name = "reg/api:v2"
	w.Rollback.Status = v1alpha1.RollbackStatus{
		Failures: []v1alpha1.Failure{{ID: "a", Since: at}},
		Suspect: &v1alpha1.Suspect{Branch: "main", Commit: strings.Repeat("a", 40), When: at,
			Places: []v1alpha1.Place{{File: "a.yaml", Pointer: "#/image", Bad: "v2", Former: "v1", Marker: "shop:api"}}},
		Target:  &v1alpha1.Target{Image: "reg/api:v1", Values: []v1alpha1.PlaceValue{{Value: "v1"}}, Proved: true, BadProved: true, At: at},
		Verdict: &v1alpha1.Verdict{Answer: v1alpha1.Approve, Source: v1alpha1.VerdictByPolicy, By: "policy shop/web", At: at},
		PullRequest: &v1alpha1.PullRequest{
			Because: "push main: the server refuses it: protected branch hook declined", Number: number, At: at,
		},
	}
	if number > 0 {
		pr := w.Rollback.Status.PullRequest
		pr.URL, pr.State = "https://git.example/pulls/7", v1alpha1.PullRequestOpen
		pr.Head, pr.Base, pr.Own = strings.Repeat("d", 40), w.Branch.Tip, true
		w.PullRequest = &PullRequest{Number: number, State: v1alpha1.PullRequestOpen, Head: pr.Head, Merge: MergeWaits}
	}
	return w
}

func TestALineThatGoesByPullRequest(t *testing.T) {
	for name, tt := range map[string]struct {
		number int64
		change func(w *World)
		do     Effect
		result v1alpha1.Result
		says   string
	}{
		"it is opened":        {0, func(*World) {}, DoPullRequest, "", "main takes no push"},
		"it waits for people": {7, func(*World) {}, DoWait, "", "pull request 7 waits for somebody to merge it: https://git.example/pulls/7"},
		"what it waits for": {7, func(w *World) {
			w.PullRequest.Waits = []v1alpha1.PullRequestWait{{Kind: v1alpha1.WaitsForReview, Name: "jane"}}
		}, DoPullRequest, "", "changed"},
		"as it was": {7, func(w *World) {
			w.Rollback.Status.PullRequest.WaitsFor = []v1alpha1.PullRequestWait{{Kind: v1alpha1.WaitsForReview, Name: "jane"}}
			w.PullRequest.Waits = w.Rollback.Status.PullRequest.WaitsFor
		}, DoWait, "", "waits for a review (jane)"},
		"merged, not seen yet":                         {7, func(w *World) { seen(w, v1alpha1.PullRequestMerged) }, DoWait, "", "pull request 7 is merged by jane, and main at bbbbbbbbbbbb does not show it yet"},
		"landed by content":                            {7, func(w *World) { seen(w, v1alpha1.PullRequestMerged); onMain(w) }, DoMerged, "", "landed"},
		"landed, and the provider does not say so yet": {7, onMain, DoWait, "", "not said to be merged yet"},
		"landed, and the provider never says so": {7, func(w *World) {
			onMain(w)
			w.Rollback.Status.Waiting = &v1alpha1.Waiting{Why: decide(*w).Why, Since: v1alpha1.NewTime(w.Now.Add(-time.Minute))}
		}, DoMerged, "", "landed"},
		"landed, and the provider is away": {7, func(w *World) { onMain(w); w.PullRequest = nil }, DoMerged, "", "landed"},
		"closed by a person":               {7, func(w *World) { seen(w, v1alpha1.PullRequestClosed) }, DoOutcome, v1alpha1.ResultRejected, "pull request 7 was closed without a merge by jane"},
		"a person fixes main":              {7, func(w *World) { w.Branch.Values[0] = "v3" }, DoOutcome, v1alpha1.ResultSuperseded, "no longer says reg/api:v2"},
		"provider away":                    {7, func(w *World) { w.PullRequest, w.NoPullRequest = nil, "HTTP 502" }, DoWait, "", "cannot be read: HTTP 502"},
		"suspended before": {0, func(w *World) {
			w.Policy.Mode, w.Policy.Bar, w.Policy.Why = v1alpha1.ModeNotify, v1alpha1.BarSuspended, "policy shop/web is suspended"
		}, DoWait, "", "policy shop/web is suspended"},
		"suspended meanwhile":                    {7, func(w *World) { w.Policy.Mode, w.Policy.Bar = v1alpha1.ModeNotify, v1alpha1.BarSuspended }, DoWait, "", "pull request 7 waits"},
		"allowed and clean":                      {7, clean, DoMerge, "", "merging pull request 7"},
		"allowed and clean, opened a moment ago": {7, func(w *World) { clean(w); w.Rollback.Status.PullRequest.At = v1alpha1.NewTime(w.Now.Add(-time.Second)) }, DoWait, "", "waits"},
		"a person's word waits for no check that may begin": {7, func(w *World) {
			clean(w)
			w.Rollback.Status.PullRequest.At = v1alpha1.NewTime(w.Now.Add(-time.Second))
			w.Rollback.Status.Verdict.Source = v1alpha1.VerdictByPerson
		}, DoMerge, "", "merging"},
		"clean, and it holds more than the reverts":     {7, func(w *World) { clean(w); w.Rollback.Status.PullRequest.Own = false }, DoWait, "", "a person merges it"},
		"clean, and another one in it waits for people": {7, func(w *World) { clean(w); w.Others = "it reverts reg/web:v2 too, which nobody has allowed yet" }, DoWait, "", "reg/web:v2 too"},
		"clean, and the policy is suspended":            {7, func(w *World) { clean(w); suspended(w) }, DoWait, "", "nothing is merged by Backstop: policy shop/web is suspended"},
		"clean, and the budget is spent": {7, func(w *World) {
			clean(w)
			w.Budget.Count = 1
			w.Elsewhere = []TrailerCommit{{Kind: TrailerRevert, When: w.Now.Add(-time.Minute), Reverts: []string{"another"}}}
		}, DoWait, "", "budget: "},
		"clean, and the workload's cooldown lasts": {7, func(w *World) {
			clean(w)
			w.Rollback.Status.Failures[0].Workload = v1alpha1.Workload{Kind: "Deployment", Name: "api"}
			w.Rollback.Status.Verdict.Cooldown.Duration = time.Hour
			w.Elsewhere = []TrailerCommit{{Kind: TrailerRevert, When: w.Now.Add(-time.Minute), Reverts: []string{"another"},
				Workloads: []string{"prod/shop/Deployment/api"}}}
		}, DoWait, "", "cooldown: "},
		"tried a moment ago": {7, func(w *World) {
			clean(w)
			at := v1alpha1.NewTime(w.Now.Add(-time.Second))
			w.Rollback.Status.PullRequest.Tried, w.Rollback.Status.PullRequest.NotMerged = &at, "HTTP 405: not yet"
		}, DoWait, "", "(HTTP 405: not yet)"},
		"tried a while ago": {7, func(w *World) {
			clean(w)
			at := v1alpha1.NewTime(w.Now.Add(-time.Minute))
			w.Rollback.Status.PullRequest.Tried, w.Rollback.Status.PullRequest.NotMerged = &at, "HTTP 405: not yet"
		}, DoMerge, "", "merging"},
		"the provider merges by itself": {7, func(w *World) { w.Policy.PullRequest.AutoMerge = true }, DoMerge, "", "merging"},
		"the provider was told so":      {7, func(w *World) { w.Policy.PullRequest.AutoMerge = true; armed(w) }, DoWait, "", "its provider merges it then"},
		"a person told it so":           {7, func(w *World) { w.Policy.PullRequest.AutoMerge, w.PullRequest.Armed = true, true }, DoWait, "", "its provider merges it then"},
		"it stands in the queue":        {7, func(w *World) { armed(w); clean(w) }, DoWait, "", "its provider merges it then"},
		"suspend disarms it":            {7, func(w *World) { armed(w); suspended(w) }, DoDisarm, "", "policy shop/web is suspended"},
		"stop disarms it": {7, func(w *World) {
			armed(w)
			w.Policy.Mode, w.Policy.Bar, w.Policy.Why = v1alpha1.ModeNotify, v1alpha1.BarSuspended, "backstop-system/stop stops it"
		}, DoDisarm, "", "stops it"},
		"mode Notify disarms it":                   {7, func(w *World) { armed(w); w.Policy.Mode, w.Policy.Why = v1alpha1.ModeNotify, "" }, DoDisarm, "", "only tells"},
		"a policy that is gone disarms it":         {7, func(w *World) { armed(w); w.Policy = Policy{} }, DoDisarm, "", ""},
		"a person armed it, and suspend leaves it": {7, func(w *World) { w.PullRequest.Armed = true; suspended(w) }, DoWait, "", "nothing is merged by Backstop"},
		"another one in it is suspended":           {7, func(w *World) { armed(w); w.Others = "it reverts reg/web:v2 too, and policy x is suspended" }, DoDisarm, "", "reg/web:v2"},
		"a push to its branch disarms it":          {7, func(w *World) { armed(w); w.PullRequest.Head = "e" }, DoDisarm, "", "its branch changed"},
		"a push to its branch is looked at":        {7, func(w *World) { w.PullRequest.Head = "e" }, DoPullRequest, "", "looking at what"},
		"and not while nothing may be written":     {7, func(w *World) { w.PullRequest.Head = "e"; suspended(w) }, DoWait, "", "nothing is merged"},
		"target alone asks":                        {7, func(w *World) { seen(w, v1alpha1.PullRequestMerged); aloneOnMain(w) }, DoLapse, "", "without the hold of shop:api"},
		"a foreign commit asks":                    {7, func(w *World) { w.Rollback.Status.PullRequest.Foreign = "it has commit e of jane" }, DoLapse, "", "commit e of jane"},
		"its base moved, and it conflicts":         {7, func(w *World) { w.PullRequest.Merge = MergeConflicts; w.Branch.Tip = "another" }, DoPullRequest, "", "looking at what"},
		"it conflicts all the same":                {7, func(w *World) { w.PullRequest.Merge = MergeConflicts }, DoWait, "", "conflicts with main"},
		"a person has it go to another branch":     {7, func(w *World) { clean(w); w.PullRequest.Base = "staging" }, DoWait, "", "it goes to staging now, and not to main"},
		"armed, and it goes to another branch":     {7, func(w *World) { armed(w); w.PullRequest.Base = "staging" }, DoDisarm, "", "it goes to staging now"},
		"its base moved, and it merges still":      {7, func(w *World) { clean(w); w.Branch.Tip = "another" }, DoMerge, "", "merging"},
		"its base moved, and its provider does not say for long why it waits": {7, func(w *World) {
			w.Branch.Tip = "another"
			waiting(w, v1alpha1.PullRequestWait{Kind: v1alpha1.WaitsForProvider})
		}, DoPullRequest, "", "looking at what"},
		// It would be built again at each commit of the base, and lose its reviews.
		"its base moved, and its provider says what it waits for": {7, func(w *World) {
			w.Branch.Tip = "another"
			waiting(w, v1alpha1.PullRequestWait{Kind: v1alpha1.WaitsForProvider, Name: "title regex"})
		}, DoWait, "", "waits for its provider (title regex)"},
		"merged, edited away": {7, func(w *World) {
			seen(w, v1alpha1.PullRequestMerged)
			w.Rollback.Status.PullRequest.At = v1alpha1.NewTime(w.Now.Add(-2 * time.Hour))
		}, DoOutcome, v1alpha1.ResultFailed, "was merged by jane, and main still says reg/api:v2"},
		"merged a moment ago, after a long time": {7, func(w *World) {
			seen(w, v1alpha1.PullRequestMerged)
			pr, at := w.Rollback.Status.PullRequest, v1alpha1.NewTime(w.Now.Add(-time.Minute))
			pr.At, pr.MergedAt = v1alpha1.NewTime(w.Now.Add(-50*time.Hour)), &at
		}, DoWait, "", "does not show it yet"},
		"merged into another branch": {7, func(w *World) {
			seen(w, v1alpha1.PullRequestMerged)
			at := v1alpha1.NewTime(w.Now)
			w.Rollback.Status.PullRequest.MergedAt, w.PullRequest.Base = &at, "staging"
		}, DoWait, "", "is merged into staging by jane, and main at"},
		"merged long ago, edited away": {7, func(w *World) {
			seen(w, v1alpha1.PullRequestMerged)
			pr, at := w.Rollback.Status.PullRequest, v1alpha1.NewTime(w.Now.Add(-2*time.Hour))
			pr.At, pr.MergedAt = v1alpha1.NewTime(w.Now.Add(-50*time.Hour)), &at
		}, DoOutcome, v1alpha1.ResultFailed, "was merged by jane, and main still says reg/api:v2"},
		"not opened in time": {0, func(w *World) {
			w.Rollback.Status.Verdict.At = v1alpha1.NewTime(w.Now.Add(-2 * time.Hour))
		}, DoOutcome, v1alpha1.ResultFailed, "could not be pushed in time"},
	} {
		t.Run(name, func(t *testing.T) {
			w := goesByPullRequest(tt.number)
			tt.change(&w)
			step := decide(w)
			said := step.Why + step.Outcome.Message
			if step.Do != tt.do || step.Outcome.Result != tt.result || !strings.Contains(said, tt.says) {
				t.Errorf("%s %s: %s\nwant %s %s: …%s…", step.Do, step.Outcome.Result, said, tt.do, tt.result, tt.says)
			}
			if step.Do == DoWait && step.Wait > restAgain {
				t.Errorf("it waits %s", step.Wait)
			}
		})
	}
}

// waiting is a pull request that has waited for something for long, as the record knows.
func waiting(w *World, wait v1alpha1.PullRequestWait) {
	pr := w.Rollback.Status.PullRequest
	w.PullRequest.Waits = []v1alpha1.PullRequestWait{wait}
	pr.WaitsFor, pr.At = w.PullRequest.Waits, v1alpha1.NewTime(w.Now.Add(-time.Hour))
}

// onMain has the deployed branch hold the target.
func onMain(w *World) {
	w.Branch.Values[0], w.Branch.Held[0], w.Branch.HoldsTarget = "v1", Hold{Policy: "shop:api"}, strings.Repeat("c", 40)
}

// aloneOnMain has it hold the target without the hold.
func aloneOnMain(w *World) { onMain(w); delete(w.Branch.Held, 0) }

// clean has the provider say that nothing is missing.
func clean(w *World) { w.PullRequest.Merge = MergeClean }

// armed is a pull request that Backstop told its provider to merge by itself, a moment ago.
func armed(w *World) {
	at := v1alpha1.NewTime(w.Now.Add(-time.Second))
	w.Rollback.Status.PullRequest.Armed, w.Rollback.Status.PullRequest.Tried, w.PullRequest.Armed = true, &at, true
}

func suspended(w *World) {
	w.Policy.Mode, w.Policy.Bar, w.Policy.Why = v1alpha1.ModeNotify, v1alpha1.BarSuspended, "policy shop/web is suspended"
}

// seen is a pull request that the record knows as jane left it.
func seen(w *World, state v1alpha1.PullRequestState) {
	w.PullRequest.State, w.PullRequest.By = state, "jane"
	w.Rollback.Status.PullRequest.State, w.Rollback.Status.PullRequest.By = state, "jane"
}

func TestWhichRefusalBecomesAPullRequest(t *testing.T) {
	for name, tt := range map[string]struct {
		delivery v1alpha1.Delivery
		err      error
		want     bool
	}{
		"Auto, and the branch wants one":      {v1alpha1.DeliveryAuto, RefuseAs(FaultWantsPullRequest, "GH006"), true},
		"Auto, and a rule wants a person":     {v1alpha1.DeliveryAuto, RefuseAs(FaultDeclined, "GH013: Push cannot contain secrets"), false},
		"Auto, and the token may not":         {v1alpha1.DeliveryAuto, RefuseAs(FaultForbidden, "403"), false},
		"Auto, and the network is down":       {v1alpha1.DeliveryAuto, errors.New("connection refused"), false},
		"Auto, and nothing is wrong":          {v1alpha1.DeliveryAuto, nil, false},
		"Push, although the branch wants one": {v1alpha1.DeliveryPush, RefuseAs(FaultWantsPullRequest, "GH006"), false},
	} {
		t.Run(name, func(t *testing.T) {
			e := &Engine{Forges: struct{ Forges }{}}
			if got := e.proposes(t.Context(), &World{Policy: Policy{Delivery: tt.delivery}}, tt.err); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}
