package reconcile

import (
	"context"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// crashing is a Deployment whose new revision does not become ready since a commit that changed its configuration.
type crashing struct {
	*undoing
	// revision that it has, and whether that fails or runs well.
	revision      string
	fails, steady bool
}

// crashingPods reads its pods.
type crashingPods struct {
	modelPods
	*crashing
}

func (c crashingPods) Failing(context.Context, Key, []v1alpha1.Workload) (PodsSeen, error) {
	out := PodsSeen{Labels: map[string]map[string]string{"Deployment/app": {}}, Revision: c.revision}
	if c.fails {
		out.Failures = []v1alpha1.Failure{{
			Trigger: v1alpha1.TriggerRollout, Workload: v1alpha1.Workload{Kind: "Deployment", Name: "app", UID: "w"}, Container: "app",
			Revision: c.revision, Cause: v1alpha1.CauseCrashed, Message: "no such mode", Since: v1alpha1.NewTime(c.model.now),
			Rollout: &v1alpha1.Rollout{Former: "app-1", FormerWas: v1alpha1.AvailableFully,
				Changed: []v1alpha1.TemplateChange{{Container: "app", Part: v1alpha1.PartEnv, Name: "MODE"}},
				Doubts: []v1alpha1.RolloutDoubt{{Type: v1alpha1.DoubtConfigChanged, Message: "more than images changed"},
					{Type: v1alpha1.DoubtOneNode, Message: "it fails on one node alone"}}},
		}}
	}
	if c.steady {
		out.Steady = "pod app-x of Deployment/app"
	}
	return out, nil
}

func (c crashingPods) Owners(context.Context, string, []v1alpha1.Workload) (Owners, error) {
	return Owners{Labels: map[string]map[string]string{"Deployment/app": {}}}, nil
}

// runs has it run a revision well.
func (c *crashing) runs(revision string) { c.revision, c.fails, c.steady = revision, false, true }

func newCrashing(t *testing.T) *crashing {
	u := newUndoing(t)
	c := &crashing{undoing: u, revision: "2/b", fails: true}
	u.key = Key{Namespace: u.ns, Subject: v1alpha1.Subject{APIVersion: "apps/v1", Kind: "Deployment", Name: "app"}}
	u.found.By = v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: u.ns, Name: "apps"}
	u.trigger, u.e.Pods = v1alpha1.TriggerRollout, crashingPods{modelPods{u.model}, c}
	u.e.Applies = onlyBlames{u.reconciler}
	return c
}

// onlyBlames has no Flux object for the key.
type onlyBlames struct{ *reconciler }

func (onlyBlames) Reconciler(context.Context, Key) (*Reconciler, error) { return nil, nil }

func TestConfigurationGoesBackWhenAPersonSaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*crashing)
		asks   bool
		then   func(*crashing)
		result v1alpha1.Result
		says   string
		pushed bool
	}{
		"approved": {asks: true, then: func(c *crashing) {
			c.decide(0)
			c.pass(10 * time.Second)
			c.started[c.tip().value] = true
			c.runs("3/a")
		}, result: v1alpha1.ResultVerified, says: "Deployment/app runs what Git says, without what c101 changed", pushed: true},
		"approved, and the revision that fails is there still": {asks: true, then: func(c *crashing) {
			c.decide(0)
			c.started[c.branch[0].value] = true
			c.pass(6 * time.Minute)
		}, result: v1alpha1.ResultFailed, says: "the revision that fails still", pushed: true},
		"rejected":       {asks: true, then: func(c *crashing) { c.decide(1) }, result: v1alpha1.ResultRejected},
		"nobody decides": {asks: true, then: func(c *crashing) { c.pass(15 * time.Minute) }, result: v1alpha1.ResultExpired},
		"a policy with mode Auto never does it alone": {before: func(c *crashing) { c.mode = v1alpha1.ModeAuto }, asks: true,
			then: func(c *crashing) { c.pass(15 * time.Minute) }, result: v1alpha1.ResultExpired, says: "files go back only when a person says so"},
		"mode Notify": {before: func(c *crashing) { c.mode = v1alpha1.ModeNotify }, result: v1alpha1.ResultReportedOnly,
			says: "Deployment/app: crashes since c101 (main): correct it there, or revert the commit"},
		"nothing in Git changed it": {before: func(c *crashing) {
			c.reconciler.found, c.reconciler.err = Blamed{}, Refuse("nothing in Git changed it")
		}, result: v1alpha1.ResultReportedOnly, says: "no commit is blamed: nothing in Git changed it"},
		"two commits may have done it, and it recovers": {before: func(c *crashing) { c.found = Blamed{Why: "it changed in 2 commits"} },
			then: func(c *crashing) { c.runs("2/b") }, result: v1alpha1.ResultRecovered, says: "runs well after all"},
		"an undo that would prune": {before: func(c *crashing) {
			c.unproved = NotUndone(v1alpha1.DoubtPrunes, "Secret/prod/kept would not be in Git any more")
		},
			result: v1alpha1.ResultReportedOnly, says: "it is not reverted here: Secret/prod/kept"},
		"a person's fix arrives first": {asks: true, then: func(c *crashing) {
			c.push(commit{value: "fixed", person: true})
			c.pass(time.Minute)
			c.runs("3/c")
		}, result: v1alpha1.ResultSuperseded, says: "runs well with another revision than c101 made"},
		"a person's fix is in Git, and its pods are not there yet": {asks: true, then: func(c *crashing) { c.push(commit{value: "fixed", person: true}) },
			result: v1alpha1.ResultReportedOnly, says: "its pods tell whether that mends it"},
		"somebody goes back by hand, which Flux undoes": {asks: true, then: func(c *crashing) {
			c.runs("3/a")
			c.pass(time.Minute)
			c.revision, c.fails, c.steady = "2/b", true, false
			c.decide(1)
		}, result: v1alpha1.ResultRejected},
		"the revision is healthy again": {asks: true, then: func(c *crashing) { c.runs("2/b") }, result: v1alpha1.ResultRecovered, says: "runs well after all"},
	} {
		t.Run(name, func(t *testing.T) {
			u := newCrashing(t)
			if c.before != nil {
				c.before(u)
			}
			commits := len(u.branch)
			got := u.pass(4 * time.Minute)
			if (got.Status.Question != nil) != c.asks {
				t.Fatalf("asks %+v, want %v\n%s", got.Status.Question, c.asks, u.story())
			}
			if q := got.Status.Question; q != nil {
				var types []v1alpha1.DoubtType
				for _, d := range q.Doubts {
					types = append(types, d.Type)
				}
				if len(types) != 3 || types[0] != v1alpha1.DoubtPolicyAsks || types[1] != v1alpha1.DoubtOneNode || types[2] != v1alpha1.DoubtOtherClusters {
					t.Errorf("asks because of %v", types)
				}
				if r := got.Status.Search; r == nil || len(r.ChangedBy) != 1 || got.Spec.OpenedFor != v1alpha1.TriggerRollout {
					t.Errorf("opened for %s: %+v", got.Spec.OpenedFor, r)
				}
			}
			if c.then != nil {
				c.then(u)
				got = u.pass(30 * time.Second)
			}
			u.ended(t, &got.Status, c.result, c.says)
			u.pushed(t, commits, c.pushed)
		})
	}
}
