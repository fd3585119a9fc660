package reconcile

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// byHandOf is a workload of which somebody changed the image by hand.
func byHandOf(name, live string, ago time.Duration) v1alpha1.Failure {
	at := micro(t0.Add(-ago))
	return v1alpha1.Failure{
		Trigger: v1alpha1.TriggerDrift, Workload: v1alpha1.Workload{Kind: "Deployment", Name: name, UID: types.UID(name)}, Revision: "by hand " + live, Container: "backend",
		Cause: v1alpha1.CauseDrift, Since: at, Drift: &v1alpha1.Drift{Live: live, By: "kubectl", At: &at,
			Undone:   "at about 09:10:00 UTC",
			UndoneBy: &v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}},
	}
}

// undone is a world in which somebody undid the rollout of v2 a minute ago, and the policy asks for an approval.
func undone(changes ...worldChange) World {
	f := byHandOf("backend", "reg/backend:v1", time.Minute)
	return aWorld(append([]worldChange{func(w *World) {
		w.Rollback.Spec.OpenedFor = v1alpha1.TriggerDrift
		w.Rollback.Status.Failures = []v1alpha1.Failure{f}
		w.sees(PodsSeen{Failures: []v1alpha1.Failure{f}})
		w.Rollback.Status.Target.BadProved = false
		w.Policy.Mode, w.Policy.Grace, w.Policy.MaxAge = v1alpha1.ModeApprove, 0, 0
	}}, changes...)...)
}

// secondChange is one that was made after another.
func secondChange(f v1alpha1.Failure) v1alpha1.Failure {
	f.Since = micro(t0.Add(time.Minute))
	return f
}

func inContainer(name string, f v1alpha1.Failure) v1alpha1.Failure {
	f.Container = name
	return f
}

func restored(w *World) { w.sees(PodsSeen{Restored: "Deployment/backend"}) }

func neverHeld(w *World) {
	w.Rollback.Status.Target = &v1alpha1.Target{Proof: "reg/backend:v9 was never in Git at this place", At: micro(t0)}
}

func rejected(by string) worldChange {
	return func(w *World) {
		w.Rollback.Status.Verdict = &v1alpha1.Verdict{Answer: v1alpha1.Reject, Source: v1alpha1.VerdictByPerson, By: by, At: micro(t0)}
	}
}

func requested(w *World) { w.Rollback.Status.Request = &v1alpha1.Request{Token: "t", At: micro(t0)} }

func TestDecideOnADrift(t *testing.T) {
	approve, reject := decision("jane", v1alpha1.Approve, 0), decision("bob", v1alpha1.Reject, time.Second)
	tests := map[string]struct {
		world  World
		do     Effect
		result v1alpha1.Result
		says   []string
		not    string
		only   string
	}{
		"a person is asked, and not about the image": {world: undone(), do: DoWait, says: []string{"a person decides by 09:59:00 UTC", "Deployment/backend was changed by hand with kubectl"}, not: "cannot run"},
		"never by policy": {world: undone(func(w *World) {
			w.Policy = Resolve(v1alpha1.TriggerDrift, []Subject{{Namespace: "develop"}}, []v1alpha1.RollbackPolicy{autoDrift()}, "home", Ceiling{})
		}), do: DoWait, says: []string{"a drift is never adopted by itself"}},
		"a commit of last month may be undone today":      {world: undone(func(w *World) { w.Rollback.Status.Suspect.When = micro(t0.Add(-720 * time.Hour)) }), do: DoWait},
		"the target is proved, the image need not be bad": {world: undone(func(w *World) { w.Now = t0.Add(30 * time.Minute) }), do: DoWait},
		"approved": {world: undone(decidedBy(approve)), do: DoVerdict},
		"an approved one is pushed although the budget is spent": {world: undone(approved("jane"), trail(TrailerRevert, time.Minute, func(t *TrailerCommit) { t.Reverts = []string{"a", "b", "c"} })), do: DoChange},
		"an image that was never in Git leaves the other answer": {world: undone(neverHeld), do: DoWait,
			says: []string{"it cannot be adopted into Git, only be restored from it: reg/backend:v9 was never in Git"}, only: "reg/backend:v9"},
		"and an approval of it does not count":                                       {world: undone(neverHeld, decidedBy(approve)), do: DoWait, only: "reg/backend:v9"},
		"but a rejection after it does":                                              {world: undone(neverHeld, decidedBy(approve, reject)), do: DoVerdict},
		"nor does an approval after the time was over":                               {world: undone(neverHeld, ended(v1alpha1.ResultExpired), decidedBy(approve)), do: DoWait},
		"nothing is asked again of an image that was never in Git":                   {world: undone(neverHeld, func(w *World) { w.Now = t0.Add(30 * time.Minute) }), do: DoWait, only: "reg/backend:v9"},
		"a person's commit that automation did not write can still be restored from": {world: undone(func(w *World) { w.Rollback.Status.Suspect.Automation = nil }), do: DoWait, only: "not image automation's"},
		"only told where the policy says so": {world: undone(func(w *World) { w.Policy.Mode = v1alpha1.ModeNotify }), do: DoOutcome, result: v1alpha1.ResultReportedOnly,
			says: []string{"Deployment/backend was changed by hand with kubectl, while Git says reg/backend:v2 since bad0 (main)"}},
		"nobody answers": {world: undone(func(w *World) { w.Now = t0.Add(2 * time.Hour) }), do: DoOutcome, result: v1alpha1.ResultExpired},
		"Flux undoes it": {world: undone(restored), do: DoOutcome, result: v1alpha1.ResultRestored,
			says: []string{"Kustomization/flux-system/apps undid it, 1m after the change by hand: Deployment/backend runs reg/backend:v2 again"}},
		"Flux undoes it after nobody answered": {world: undone(ended(v1alpha1.ResultExpired), restored), do: DoOutcome, result: v1alpha1.ResultRestored},
		"what was only told is over when Flux undoes it": {world: undone(ended(v1alpha1.ResultReportedOnly), restored), do: DoOutcome, result: v1alpha1.ResultRestored,
			says: []string{"Kustomization/flux-system/apps undid it"}},
		"and when Git was made to say what runs": {world: undone(ended(v1alpha1.ResultReportedOnly), func(w *World) { w.sees(PodsSeen{Unnamed: "Deployment/backend"}) }),
			do: DoOutcome, result: v1alpha1.ResultRecovered, says: []string{"Deployment/backend does not ask for reg/backend:v2 any more, and nothing there is changed by hand"}},
		"one that asks is not over by that": {world: undone(func(w *World) { w.sees(PodsSeen{Unnamed: "Deployment/backend"}) }), do: DoWait},
		"what a person ended stays so":      {world: undone(ended(v1alpha1.ResultRejected), restored), do: DoWait},
		"Flux undid it before it was recorded": {world: undone(func(w *World) {
			w.Rollback.Status = v1alpha1.RollbackStatus{}
			w.sees(PodsSeen{})
		}), do: DoOutcome, result: v1alpha1.ResultRestored, says: []string{"undone before it could be recorded"}, not: "failure"},
		"of different images one is left": {world: undone(func(w *World) {
			w.Rollback.Status.Failures = append(w.Rollback.Status.Failures, byHandOf("other", "reg/backend:v0", time.Minute))
			w.Rollback.Status.Target = &v1alpha1.Target{Proof: "the workloads run different images by hand", At: micro(t0)}
			w.Now = t0.Add(10 * time.Minute)
		}), do: DoTarget},
		"old pods that run the image are no recovery": {world: undone(func(w *World) { w.sees(PodsSeen{Started: "Pod/x"}) }), do: DoWait},
		"a person's commit made it true":              {world: undone(tipSays("reg/backend:v1")), do: DoOutcome, result: v1alpha1.ResultSuperseded},
		"rejected asks Flux":                          {world: undone(rejected("bob")), do: DoRequest},
		"rejected and asked waits, and says for what": {world: undone(rejected("bob"), requested), do: DoWait, says: []string{"Deployment/backend still runs reg/backend:v1; Flux undoes that at about 09:10:00 UTC"}},
		"rejected and arrived":                        {world: undone(rejected("bob"), requested, restored), do: DoOutcome, result: v1alpha1.ResultRestored, says: []string{"bob had it restored from Git"}},
		"rejected, and Flux was faster": {world: undone(rejected("bob"), restored), do: DoOutcome, result: v1alpha1.ResultRestored,
			says: []string{"Kustomization/flux-system/apps undid it by itself before the answer of bob was carried out"}, not: "bob had it restored"},
		"rejected, and the branch cannot be read": {world: undone(rejected("bob"), func(w *World) { w.Branch = nil }), do: DoRequest},
		"rejected and never restored":             {world: undone(rejected("bob"), requested, func(w *World) { w.Now = t0.Add(time.Hour) }), do: DoOutcome, result: v1alpha1.ResultFailed, says: []string{"not verified in 15m"}},
		"rejected and nothing runs it any more":   {world: undone(rejected("bob"), func(w *World) { w.sees(PodsSeen{}) }), do: DoOutcome, result: v1alpha1.ResultRejected},
		"a deadline that moved is recorded": {world: undone(func(w *World) {
			f := byHandOf("backend", "reg/backend:v1", time.Minute)
			f.Drift.Undone = "never: suspended"
			w.edits(func(p *PodsSeen) { p.Failures = []v1alpha1.Failure{f} })
		}), do: DoFailures},

		"an undo of an image that cannot be pulled joins its Rollback": {world: aWorld(func(w *World) {
			w.edits(func(p *PodsSeen) { p.Failures = []v1alpha1.Failure{byHandOf("backend", "reg/backend:v0", 0)} })
		}), do: DoFailures},
		"and what runs now is the next target": {world: aWorld(func(w *World) {
			w.Rollback.Status.Target.At = micro(t0.Add(-time.Second))
			w.Rollback.Status.Failures = append(w.Rollback.Status.Failures, byHandOf("backend", "reg/backend:v0", 0))
		}), do: DoTarget},
		"and a person decides, whatever the policy": {world: aWorld(func(w *World) {
			w.Rollback.Status.Failures = append(w.Rollback.Status.Failures, byHandOf("backend", "reg/backend:v1", time.Minute))
		}), do: DoWait, says: []string{"Deployment/backend was changed by hand with kubectl"}},
		"and when Flux undoes it, the image fails again": {world: aWorld(func(w *World) {
			w.Rollback.Status.Failures = append(w.Rollback.Status.Failures, byHandOf("backend", "reg/backend:v1", time.Minute))
			w.edits(func(p *PodsSeen) { p.Restored = "Deployment/backend" })
		}), do: DoWait},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := decide(tt.world)
			if got.Do != tt.do || got.Outcome.Result != tt.result {
				t.Fatalf("%s %s (%s%s), want %s %s", got.Do, got.Outcome.Result, got.Why, got.Outcome.Message, tt.do, tt.result)
			}
			said := got.Why + got.Outcome.Message
			for _, words := range tt.says {
				if !strings.Contains(said, words) {
					t.Errorf("says %q, want %q in it", said, words)
				}
			}
			if tt.not != "" && strings.Contains(said, tt.not) {
				t.Errorf("says %q, which speaks of %q", said, tt.not)
			}
			q := got.Question
			if q == nil {
				return
			}
			i := slices.IndexFunc(q.Doubts, func(d v1alpha1.Doubt) bool { return d.Type == v1alpha1.DoubtNotAdoptable })
			if (i < 0) != (tt.only == "") || (i < 0) != q.Allows(v1alpha1.Approve) || i >= 0 && !strings.Contains(q.Doubts[i].Message, tt.only) {
				t.Errorf("only a rejection is of use because %+v, want %q", q, tt.only)
			}
		})
	}
}

func autoDrift() v1alpha1.RollbackPolicy {
	p := v1alpha1.RollbackPolicy{}
	p.Namespace, p.Name = "develop", "web"
	p.Spec.Triggers = []v1alpha1.PolicyTrigger{{Type: v1alpha1.TriggerDrift, Mode: v1alpha1.ModeAuto, Authors: v1alpha1.AuthorsAnyone}}
	p.Spec.Approval.Timeout.Duration = time.Hour
	return p
}

func TestTheTargetOfADriftIsWhatRuns(t *testing.T) {
	rb := func(failures ...v1alpha1.Failure) *v1alpha1.Rollback {
		return &v1alpha1.Rollback{Status: v1alpha1.RollbackStatus{Failures: failures}}
	}
	was := func(images ...string) []Former {
		var out []Former
		for _, image := range images {
			out = append(out, Former{Image: image, Values: []v1alpha1.PlaceValue{{Value: image}}})
		}
		return out
	}
	drift := func(live string) v1alpha1.Failure { return byHandOf("backend", live, 0) }
	tests := map[string]struct {
		form   *v1alpha1.Rollback
		now    []v1alpha1.Failure
		former []Former
		dark   bool
		byHand bool
		want   v1alpha1.Target
		proof  string
	}{
		"nobody changed anything": {form: rb(v1alpha1.Failure{Trigger: v1alpha1.TriggerImagePull}), former: was(imgGood)},
		"what runs was there before": {form: rb(drift(imgGood)), former: was("reg.local/app:v9", imgGood), byHand: true,
			want: v1alpha1.Target{Image: imgGood, Values: []v1alpha1.PlaceValue{{Value: imgGood}}, Proved: true}, proof: "is there"},
		"what runs was never there":           {form: rb(drift("reg.local/app:evil")), former: was(imgGood), byHand: true, proof: "reg.local/app:evil was never in Git at this place"},
		"what runs is gone from the registry": {form: rb(drift(imgBad)), former: was(imgBad), byHand: true, want: v1alpha1.Target{Image: imgBad}, proof: "is not there"},
		"a registry that does not answer leaves it to people": {form: rb(drift(imgGood)), former: was(imgGood), dark: true, byHand: true,
			want: v1alpha1.Target{Image: imgGood, Values: []v1alpha1.PlaceValue{{Value: imgGood}}}, proof: "503"},
		"workloads that run different images": {form: rb(drift(imgGood), byHandOf("other", imgBad, 0)), former: was(imgGood, imgBad), byHand: true, proof: "the workloads run different images by hand"},
		"a second change of one workload is what runs": {form: rb(drift(imgBad), secondChange(drift(imgGood))), former: was(imgBad, imgGood), byHand: true,
			want: v1alpha1.Target{Image: imgGood, Values: []v1alpha1.PlaceValue{{Value: imgGood}}, Proved: true}, proof: "is there"},
		"a second change of one of two workloads": {form: rb(drift(imgBad), byHandOf("other", imgGood, 0), secondChange(drift(imgGood))), former: was(imgBad, imgGood), byHand: true,
			want: v1alpha1.Target{Image: imgGood, Values: []v1alpha1.PlaceValue{{Value: imgGood}}, Proved: true}, proof: "is there"},
		"two containers of one workload are two": {form: rb(drift(imgBad), inContainer("side", drift(imgGood))), former: was(imgBad, imgGood), byHand: true, proof: "the workloads run different images by hand"},
		"of two workloads Flux undid one": {form: rb(drift(imgBad), byHandOf("other", imgGood, 0)), now: []v1alpha1.Failure{drift(imgBad)}, former: was(imgGood, imgBad), byHand: true,
			want: v1alpha1.Target{Image: imgBad}, proof: "is not there"},
		"workloads that run the same": {form: rb(drift(imgGood), byHandOf("other", imgGood, 0)), former: was(imgGood), byHand: true, want: v1alpha1.Target{Image: imgGood, Values: []v1alpha1.PlaceValue{{Value: imgGood}}, Proved: true}, proof: "is there"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			m.dark = tt.dark
			w := &World{Triggers: testRows, Rollback: *tt.form, Seen: map[v1alpha1.TriggerType]Observation{v1alpha1.TriggerDrift: {Failures: tt.now}}}
			got, byHand, err := m.engine("a", Budget{}).preferred(t.Context(), w, tt.form, tt.former)
			if err != nil || byHand != tt.byHand {
				t.Fatalf("by hand %v, %v; want %v", byHand, err, tt.byHand)
			}
			if !strings.Contains(got.Proof, tt.proof) {
				t.Errorf("says %q, want %q in it", got.Proof, tt.proof)
			}
			got.Proof = ""
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestAChangeByHandInAFailedPullIsAskedAboutWhereThePullIsOnlyTold(t *testing.T) {
	m := newModel()
	e := m.engine("a", Budget{})
	e.Records = onlyDrift{e.Records}
	rb := v1alpha1.Rollback{Spec: v1alpha1.RollbackSpec{OpenedFor: v1alpha1.TriggerImagePull}}
	rb.Namespace = m.ns
	for name, tt := range map[string]struct {
		failures []v1alpha1.Failure
		want     v1alpha1.Mode
	}{
		"the pull alone": {failures: []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull, Workload: v1alpha1.Workload{Kind: "Deployment", Name: "app"}}}, want: v1alpha1.ModeNotify},
		"with an undo":   {failures: []v1alpha1.Failure{byHandOf("app", imgGood, 0)}, want: v1alpha1.ModeApprove},
	} {
		t.Run(name, func(t *testing.T) {
			rb.Status.Failures = tt.failures
			got, err := e.PolicyOf(t.Context(), &rb)
			if err != nil || got.Mode != tt.want {
				t.Errorf("mode %s, %v; want %s", got.Mode, err, tt.want)
			}
		})
	}
}

// onlyDrift has policies for changes by hand alone.
type onlyDrift struct{ Records }

func (r onlyDrift) Policies(ctx context.Context, ns string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	all, labels, err := r.Records.Policies(ctx, ns)
	for i := range all {
		all[i].Spec.Triggers = []v1alpha1.PolicyTrigger{{Type: v1alpha1.TriggerDrift, Mode: v1alpha1.ModeApprove}}
	}
	return all, labels, err
}

// oracle is Flux and Git as Wants asks them.
type oracle struct {
	*model
	applied Applied
	origin  Origin
	refuse  map[string]error
	images  error
	asked   []string
}

func (o *oracle) Applied(context.Context, string, v1alpha1.Workload, time.Time) (Applied, error) {
	return o.applied, o.refuse["applied"]
}

func (o *oracle) Origin(context.Context, string, v1alpha1.Workload, *types.NamespacedName, time.Time) (Origin, error) {
	o.asked = append(o.asked, "origin")
	return o.origin, o.refuse["origin"]
}

func (o *oracle) Images(_ context.Context, _ Source, q Wanted) (images, why map[string]string, err error) {
	o.asked = append(o.asked, "images at "+q.Commit)
	return map[string]string{"app": imgBad}, nil, o.images
}

func TestWants(t *testing.T) {
	tests := map[string]struct {
		change func(*oracle)
		image  string
		why    string
		notOf  string
		busy   string
		err    string
	}{
		"Git says it":                         {image: imgBad},
		"a workload that Flux does not apply": {change: func(o *oracle) { o.refuse["applied"] = Refuse("labels can be forged") }, notOf: "labels can be forged"},
		"Flux cannot be asked":                {change: func(o *oracle) { o.refuse["applied"] = errors.New("503") }, err: "ask Flux what it applied to Deployment/app: 503"},
		"Flux is applying":                    {change: func(o *oracle) { o.applied.Busy = "it builds" }, busy: "it builds"},
		"no credentials":                      {change: func(o *oracle) { o.refuse["origin"] = Refuse("a Role is missing") }, why: "a Role is missing"},
		"a source without commits":            {change: func(o *oracle) { o.applied.Commit = "" }, why: "Kustomization/apps does not say which commit it applied"},
		"images of the Kustomization itself":  {change: func(o *oracle) { o.origin.Images = true }, why: "spec.images of Kustomization/apps change what the files say"},
		"a Git server that is away":           {change: func(o *oracle) { o.images = errors.New("dial: no route") }, image: imgBad, why: "it does not answer: dial: no route"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			by := v1alpha1.ObjectRef{Kind: "Kustomization", Name: "apps"}
			o := &oracle{model: newModel(), refuse: map[string]error{}, applied: Applied{Reconciler: by, Commit: "c1"}, origin: Origin{Root: Root{By: by}}}
			if tt.change != nil {
				tt.change(o)
			}
			l := NewWants(o, o)
			app := v1alpha1.Workload{Kind: "Deployment", Name: "app"}
			var got Want
			var err error
			for range 2 {
				got, err = l.Want(t.Context(), "develop", app, t0, map[string][]string{"app": {imgBad, imgGood}})
			}
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Images["app"] != tt.image || got.Why["app"] != tt.why || got.NotFlux != tt.notOf || got.Busy != tt.busy {
				t.Errorf("got %+v", got)
			}
			if n := strings.Count(strings.Join(o.asked, " "), "origin"); n > 1 {
				t.Errorf("the source was looked for %d times in one look", n)
			}
		})
	}
}
