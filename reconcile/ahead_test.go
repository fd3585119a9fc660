package reconcile

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// behind has landed, and Flux is in the health check of the bad revision for long enough.
func behind(changes ...func(*World, *Ahead, *AheadWorkload)) World {
	w := aWorld(landed)
	w.Now = t0.Add(10 * time.Second)
	w.Policy.FastForward = true
	w.Rollout = &Rollout{Fetched: true, Workloads: []WorkloadState{{
		Workload: w.Rollback.Status.Failures[0].Workload, Images: map[string]string{"backend": "reg/backend:v2"},
	}}}
	w.Ahead = &Ahead{
		Held: true, Since: t0.Add(7 * time.Second), Checked: "main@sha1:bad0", Installed: true, OptedIn: true,
		Workloads: []AheadWorkload{{Workload: w.Rollback.Status.Failures[0].Workload,
			Containers: []AheadContainer{{Name: "backend", Live: "reg/backend:v2", Want: "reg/backend:v1"}}}},
	}
	for _, c := range changes {
		c(&w, w.Ahead, &w.Ahead.Workloads[0])
	}
	return w
}

func release(change func(*AheadRelease)) func(*World, *Ahead, *AheadWorkload) {
	return func(_ *World, a *Ahead, _ *AheadWorkload) {
		a.Release = &AheadRelease{Object: webOf, OptedIn: true, NoHooks: true}
		change(a.Release)
	}
}

func TestEveryNeverOfFastForwardIsRefusedWithItsSentence(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*World, *Ahead, *AheadWorkload)
		want   string
	}{
		"without the component":            {func(_ *World, a *Ahead, _ *AheadWorkload) { a.Installed = false }, "components/fast-forward"},
		"a namespace that does not opt in": {func(_ *World, a *Ahead, _ *AheadWorkload) { a.OptedIn = false }, "label it backstop.dev/fast-forward=enabled"},
		"suspended":                        {func(_ *World, a *Ahead, _ *AheadWorkload) { a.Suspended = []v1alpha1.ObjectRef{appsOf} }, "Kustomization/flux-system/apps is suspended"},
		"another cluster":                  {func(_ *World, a *Ahead, _ *AheadWorkload) { a.Remote = true }, "spec.kubeConfig"},
		"a dependent with an expression": {func(_ *World, a *Ahead, _ *AheadWorkload) {
			a.Dependents = []Dependent{{webOf, false, false}, {appsOf, true, false}}
		}, "Kustomization/flux-system/apps depends on it by an expression"},
		"a dependent from another source":        {func(_ *World, a *Ahead, _ *AheadWorkload) { a.Dependents = []Dependent{{appsOf, false, true}} }, "deployed from another source"},
		"HelmRelease without the second opt-in":  {release(func(r *AheadRelease) { r.OptedIn = false }), "annotate it"},
		"HelmRelease with hooks":                 {release(func(r *AheadRelease) { r.NoHooks = false }), "hooks of its chart"},
		"HelmRelease with tests":                 {release(func(r *AheadRelease) { r.Tests = true }), "tests of its chart"},
		"HelmRelease with driftDetection":        {release(func(r *AheadRelease) { r.Drift = true }), "put the bad image back"},
		"a Job":                                  {func(_ *World, _ *Ahead, o *AheadWorkload) { o.Workload.Kind = "Job" }, "only Deployments"},
		"a CronJob":                              {func(_ *World, _ *Ahead, o *AheadWorkload) { o.Workload.Kind = "CronJob" }, "only Deployments"},
		"a kind that Backstop does not know":     {func(_ *World, _ *Ahead, o *AheadWorkload) { o.Workload.Kind = "Widget" }, "only Deployments"},
		"an ordered StatefulSet without unstick": {func(_ *World, _ *Ahead, o *AheadWorkload) { o.Workload.Kind, o.Ordered = "StatefulSet", true }, "components/unstick"},
		"of another release": {func(w *World, _ *Ahead, o *AheadWorkload) {
			w.Rollback.Status.Suspect.Reconciler = appsOf
			o.Elsewhere = "HelmRelease/develop/worker applies it"
		},
			"HelmRelease/develop/worker applies it: only what Kustomization/flux-system/apps applies is"},
		"reconcile: disabled":    {func(_ *World, _ *Ahead, o *AheadWorkload) { o.LeftAlone = "reconcile: disabled" }, "leave it alone (reconcile: disabled)"},
		"ssa: Merge":             {func(_ *World, _ *Ahead, o *AheadWorkload) { o.LeftAlone = "ssa: Merge" }, "leave it alone (ssa: Merge)"},
		"paused":                 {func(_ *World, _ *Ahead, o *AheadWorkload) { o.Paused = true }, "paused"},
		"OnDelete":               {func(_ *World, _ *Ahead, o *AheadWorkload) { o.ByHand = true }, "OnDelete"},
		"partition":              {func(_ *World, _ *Ahead, o *AheadWorkload) { o.Partition = true }, "partition"},
		"the target of a Canary": {func(_ *World, _ *Ahead, o *AheadWorkload) { o.Canary = "Canary/web" }, "Canary/web decides"},
		"what a Rollout refers to by workloadRef": {func(_ *World, _ *Ahead, o *AheadWorkload) { o.Canary = "Rollout/web" }, "Rollout/web decides"},
		"another repository":                      {func(_ *World, _ *Ahead, o *AheadWorkload) { o.Containers[0].Live = "mirror/backend:v2" }, "another repository"},
		"Git moved on between push and patch":     {func(_ *World, _ *Ahead, o *AheadWorkload) { o.Containers[0].Want = "reg/backend:v3" }, "reg/backend:v3 by now"},
		"Git says the bad image again":            {func(_ *World, _ *Ahead, o *AheadWorkload) { o.Containers[0].Want = "reg/backend:v2" }, "again"},
		"a container renamed by the next commit":  {func(_ *World, _ *Ahead, o *AheadWorkload) { o.Containers[0].Want = "" }, "cannot be told"},
		"a rendering that differs in more":        {func(_ *World, _ *Ahead, o *AheadWorkload) { o.Differs = "more than the image: spec.replicas" }, "spec.replicas"},
		"the first of two containers": {func(_ *World, _ *Ahead, o *AheadWorkload) {
			o.Containers = append(o.Containers, AheadContainer{Name: "b", Live: "reg/backend:v2"})
		}, "container b cannot be told"},
		"two containers of the bad image": {func(_ *World, _ *Ahead, o *AheadWorkload) {
			o.Containers = append(o.Containers, AheadContainer{Name: "b", Live: "reg/backend:v2", Want: "reg/backend:v1"})
		}, ""},
		"two containers, of which Git moved one on": {func(_ *World, _ *Ahead, o *AheadWorkload) {
			o.Containers = append(o.Containers, AheadContainer{Name: "b", Live: "reg/backend:v2", Want: "reg/backend:v3"})
		}, "reg/backend:v3 by now"},
		"a sidecar removed by the next commit": {func(_ *World, _ *Ahead, o *AheadWorkload) {
			o.Containers = append(o.Containers, AheadContainer{Name: "proxy", Live: "reg/backend:v2"})
		}, "container proxy cannot be told"},
		"a webhook that rewrites the registry": {func(_ *World, _ *Ahead, o *AheadWorkload) {
			o.Containers[0].Live = "mirror.internal/reg/backend:v2"
		}, "another repository"},
		"a StatefulSet without pods that keep it": {func(_ *World, _ *Ahead, o *AheadWorkload) { o.Workload.Kind = "StatefulSet" }, ""},
		"an ordered StatefulSet with unstick": {func(w *World, _ *Ahead, o *AheadWorkload) {
			o.Workload.Kind, o.Ordered, w.DeletesPods = "StatefulSet", true, true
		}, ""},
		"a DaemonSet":                               {func(_ *World, _ *Ahead, o *AheadWorkload) { o.Workload.Kind = "DaemonSet" }, ""},
		"a dependent from the same source":          {func(_ *World, a *Ahead, _ *AheadWorkload) { a.Dependents = []Dependent{{appsOf, false, false}} }, ""},
		"HelmRelease with the second opt-in":        {release(func(*AheadRelease) {}), ""},
		"Kustomization in its health check":         {func(*World, *Ahead, *AheadWorkload) {}, ""},
		"with a digest beside the tag that Git has": {func(_ *World, _ *Ahead, o *AheadWorkload) { o.Containers[0].Want = "reg/backend:v1" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := behind(tt.change)
			o := &w.Ahead.Workloads[0]
			got := whyNot(nevers, &w, w.Ahead, o)
			if got == "" {
				got = whyNot(neverAsRendered, &w, w.Ahead, o)
			}
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestWhenAWorkloadIsSetAheadOfFlux(t *testing.T) {
	wrote := func(r v1alpha1.FastForwardResult, why string) func(*World, *Ahead, *AheadWorkload) {
		return func(w *World, _ *Ahead, o *AheadWorkload) {
			w.Rollback.Status.FastForward = append(w.Rollback.Status.FastForward,
				v1alpha1.FastForward{Workload: o.Workload, Result: r, Message: why})
		}
	}
	const paused = "its rollout is paused: somebody is at work there"
	for name, tt := range map[string]struct {
		changes []func(*World, *Ahead, *AheadWorkload)
		do      Effect
		refused string
		wait    time.Duration
	}{
		"when the check has run for 3 s":                {nil, DoForward, "", 0},
		"not before, and then at once":                  {[]func(*World, *Ahead, *AheadWorkload){func(w *World, _ *Ahead, _ *AheadWorkload) { w.Now = t0.Add(8 * time.Second) }}, DoWait, "", 2 * time.Second},
		"gate on (not needed)":                          {[]func(*World, *Ahead, *AheadWorkload){func(_ *World, a *Ahead, _ *AheadWorkload) { a.Held = false }}, DoWait, "", lookAgain},
		"artifact does not hold the revert yet (waits)": {[]func(*World, *Ahead, *AheadWorkload){func(w *World, _ *Ahead, _ *AheadWorkload) { w.Ahead = nil }}, DoWait, "", lookAgain},
		"policy without it":                             {[]func(*World, *Ahead, *AheadWorkload){func(w *World, _ *Ahead, _ *AheadWorkload) { w.Policy.FastForward = false }}, DoWait, "", lookAgain},
		"somebody undid by hand already":                {[]func(*World, *Ahead, *AheadWorkload){func(_ *World, _ *Ahead, o *AheadWorkload) { o.Containers = nil }}, DoWait, "", lookAgain},
		"workload replaced (UID)":                       {[]func(*World, *Ahead, *AheadWorkload){func(_ *World, _ *Ahead, o *AheadWorkload) { o.Gone = true }}, DoWait, "", lookAgain},
		"once":                                          {[]func(*World, *Ahead, *AheadWorkload){wrote(v1alpha1.FastForwardApplied, "")}, DoWait, "", lookAgain},
		"a refusal is written down":                     {[]func(*World, *Ahead, *AheadWorkload){func(_ *World, _ *Ahead, o *AheadWorkload) { o.Paused = true }}, DoForward, paused, 0},
		"and once":                                      {[]func(*World, *Ahead, *AheadWorkload){func(_ *World, _ *Ahead, o *AheadWorkload) { o.Paused = true }, wrote(v1alpha1.FastForwardRefused, paused)}, DoWait, "", lookAgain},
		"but not before Flux had its time":              {[]func(*World, *Ahead, *AheadWorkload){func(w *World, _ *Ahead, o *AheadWorkload) { o.Paused, w.Now = true, t0.Add(9*time.Second) }}, DoWait, "", time.Second},
		"and what forbade it may be over":               {[]func(*World, *Ahead, *AheadWorkload){wrote(v1alpha1.FastForwardRefused, paused)}, DoForward, "", 0},
		"beside one that was refused": {[]func(*World, *Ahead, *AheadWorkload){wrote(v1alpha1.FastForwardRefused, paused), func(_ *World, a *Ahead, o *AheadWorkload) {
			next := *o
			next.Workload.Name = "worker"
			o.Paused = true
			a.Workloads = append(a.Workloads, next)
		}}, DoForward, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			step := decide(behind(tt.changes...))
			if step.Do != tt.do || step.Do == DoWait && step.Wait != tt.wait {
				t.Errorf("%s %v (%s), want %s %v", step.Do, step.Wait, step.Why, tt.do, tt.wait)
			}
			if step.Do == DoForward && step.Forward.Refused != tt.refused {
				t.Errorf("refused %q, want %q", step.Forward.Refused, tt.refused)
			}
		})
	}
}

// forwarder describes what Git says, and what the API server answers.
type forwarder struct {
	Forwarder
	differs string
	err     error
	set     int
}

func (f *forwarder) Wanted(_ context.Context, _ *v1alpha1.Rollback, _ Source, o AheadWorkload) (AheadWorkload, error) {
	o.Differs = f.differs
	return o, nil
}

func (f *forwarder) Set(context.Context, string, AheadWorkload) error {
	f.set++
	return f.err
}

func TestAFastForwardIsRecorded(t *testing.T) {
	allows := v1alpha1.RollbackPolicy{Spec: v1alpha1.RollbackPolicySpec{
		Triggers: []v1alpha1.PolicyTrigger{{Type: v1alpha1.TriggerImagePull, Mode: v1alpha1.ModeAuto}}, FastForward: true,
	}}
	allows.Namespace, allows.Name = "develop", "web"
	forbids := *allows.DeepCopy()
	forbids.Spec.FastForward = false
	for name, tt := range map[string]struct {
		forwarder
		policy v1alpha1.RollbackPolicy
		want   v1alpha1.FastForwardResult
		says   string
		set    int
	}{
		"what was set":                                 {forwarder{}, allows, v1alpha1.FastForwardApplied, "", 1},
		"a rendering that differs":                     {forwarder{differs: "it differs"}, allows, v1alpha1.FastForwardRefused, "it differs", 0},
		"another repository (refused by the server)":   {forwarder{err: Refuse("the API server forbids it: another repository")}, allows, v1alpha1.FastForwardRefused, "another repository", 1},
		"one that has changed since is looked at anew": {forwarder{err: &RetryAfter{After: time.Second, Err: ErrConflict}}, allows, "", "", 1},
		"a policy that forbids it by now":              {forwarder{}, forbids, "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := behind()
			m := &model{ns: "develop"}
			e := &Engine{Now: func() time.Time { return w.Now }, Flux: m, Forward: &tt.forwarder, Log: slog.New(slog.DiscardHandler),
				Records: policies{all: []v1alpha1.RollbackPolicy{tt.policy}}, Pods: unlabelled{}}
			step := decide(w)
			rb := w.Rollback.DeepCopy()
			err := e.fillForward(t.Context(), &w, step, rb)
			if tt.set != tt.forwarder.set {
				t.Errorf("set %d times, want %d", tt.forwarder.set, tt.set)
			}
			if tt.want == "" {
				if err == nil || len(rb.Status.FastForward) > 0 {
					t.Errorf("%v, and recorded %+v", err, rb.Status.FastForward)
				}
				return
			}
			if err != nil || len(rb.Status.FastForward) != 1 {
				t.Fatalf("%v, recorded %+v", err, rb.Status.FastForward)
			}
			// Nobody renders the same again for as long as that check runs.
			w.Rollback = *rb
			if next := decide(w); next.Do == DoForward {
				t.Errorf("%s: it is tried again", next.Why)
			}
			other := w.Ahead.Workloads[0]
			other.Workload.Name = "worker"
			w.Ahead.Workloads = append(w.Ahead.Workloads, other)
			if next := decide(w); next.Do != DoForward || next.Forward.Workload.Workload != other.Workload {
				t.Errorf("%s (%s): want the other workload to be set", next.Do, next.Why)
			}
			got := rb.Status.FastForward[0]
			if got.Result != tt.want || !strings.Contains(got.Message, tt.says) {
				t.Errorf("recorded %+v", got)
			}
			if applied := tt.want == v1alpha1.FastForwardApplied; applied != rb.Status.FalselyGreen("main@sha1:bad0") || rb.Status.FalselyGreen("main@sha1:good") {
				t.Errorf("the revision whose check passed counts as good: %+v", got)
			}
		})
	}
}

// looking counts who asks what keeps Flux.
type looking struct {
	Forwarder
	n int
}

func (l *looking) Ahead(context.Context, *v1alpha1.Rollback, func(tip, commit string) (bool, error)) (*Ahead, error) {
	l.n++
	return &Ahead{}, nil
}

func TestOnlyARollbackAboutAnImageIsSetAhead(t *testing.T) {
	for name, tt := range map[string]struct {
		subject v1alpha1.Subject
		want    int
	}{
		"an image":      {v1alpha1.ImageSubject("reg/backend:v2"), 1},
		"a workload":    {v1alpha1.Subject{APIVersion: "apps/v1", Kind: "Deployment", Name: "backend"}, 0},
		"a Flux object": {v1alpha1.Subject{APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Name: "apps"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w, l := behind(), &looking{}
			w.Ahead, w.Rollback.Spec.Subject = nil, tt.subject
			err := (&Engine{Forward: l, FastForward: true}).gatherAhead(t.Context(), &w, nil)
			if err != nil || l.n != tt.want || (w.Ahead != nil) != (tt.want > 0) {
				t.Errorf("%v; asked %d times, want %d; %+v", err, l.n, tt.want, w.Ahead)
			}
		})
	}
}

// policies are all that is asked of the records.
type policies struct {
	Records
	all []v1alpha1.RollbackPolicy
}

func (p policies) PoliciesNow(context.Context, string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	return p.all, nil, nil
}

// unlabelled are workloads without labels.
type unlabelled struct{ Pods }

func (unlabelled) Owners(context.Context, string, []v1alpha1.Workload) (Owners, error) {
	return Owners{Labels: map[string]map[string]string{"Deployment/backend": nil}}, nil
}

func TestTheMarkOfAFastForwardIsTakenOffAReleaseBeforeTheEnd(t *testing.T) {
	w := aWorld(landed)
	of := w.Rollback.Status.Failures[0].Workload
	w.Rollback.Status.FastForward = []v1alpha1.FastForward{{Workload: of, Result: v1alpha1.FastForwardApplied, Release: &webOf}}
	if step := decide(w); step.Do != DoDisown {
		t.Errorf("does %s (%s)", step.Do, step.Why)
	}
	w.Rollback.Status.FastForward[0].Disowned = true
	if step := decide(w); step.Do != DoOutcome || step.Outcome.Result != v1alpha1.ResultVerified {
		t.Errorf("does %s (%s)", step.Do, step.Why)
	}
	w.Rollback.Status.FastForward[0].Release = nil
	w.Rollback.Status.FastForward[0].Disowned = false
	if step := decide(w); step.Do != DoOutcome {
		t.Errorf("under a Kustomization it does %s: Flux takes the mark off itself", step.Do)
	}
}

func TestAStuckPodGoesOnceItsTemplateIsGoodAgain(t *testing.T) {
	w := behind(func(w *World, _ *Ahead, o *AheadWorkload) {
		o.Workload.Kind = "StatefulSet"
		w.DeletesPods = true
		w.Rollback.Status.Failures[0].Workload.Kind = "StatefulSet"
		w.Rollout.Workloads[0].Workload = o.Workload
		w.Rollout.Workloads[0].Stuck = []StuckPod{{Name: "backend-0"}}
	})
	w.Ahead.Held = false
	if step := decide(w); step.Do != DoWait {
		t.Errorf("before anything is applied it does %s", step.Do)
	}
	w.Rollback.Status.FastForward = []v1alpha1.FastForward{{Workload: w.Ahead.Workloads[0].Workload, Result: v1alpha1.FastForwardApplied}}
	if step := decide(w); step.Do != DoDeletePod || step.Pod.Name != "backend-0" {
		t.Errorf("after a fast-forward it does %s %s", step.Do, step.Pod.Name)
	}
}
