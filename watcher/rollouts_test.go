package watcher

import (
	"strings"
	"testing"
	"time"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

func TestWhatIsNotTheImagesFaultIsSaidAndBlamesNoImage(t *testing.T) {
	judged := func(fault v1alpha1.Fault, complete bool) *observed {
		return &observed{
			facts: trigger.Facts{New: &trigger.Revision{Name: "web-7f9c"}},
			judged: []trigger.Judgement{{Container: "web", Image: "app:2", Cause: v1alpha1.CauseCrashed, Fault: fault, Complete: complete,
				Evidence: v1alpha1.Rollout{Doubts: []v1alpha1.RolloutDoubt{{Message: "more than images changed: Env MODE of container web"}}}}},
		}
	}
	configured := judged(v1alpha1.FaultConfig, true)
	configured.judged[0].Config = true
	configured.facts.Workload = v1alpha1.Workload{Kind: "Deployment", Name: "web"}
	const said = "container web of revision web-7f9c fails, and nothing is reverted, since it does not look like its image's fault: " +
		"crashes; more than images changed: Env MODE of container web"
	for name, c := range map[string]struct {
		seen *observed
		says string
		key  string
	}{
		"the image's":                  {judged(v1alpha1.FaultImage, true), "", "prod/app:2"},
		"the configuration's":          {configured, "", "prod/Deployment/web"},
		"something else's too":         {judged(v1alpha1.FaultConfig, true), said, ""},
		"too early to say":             {judged(v1alpha1.FaultConfig, false), "", ""},
		"the image's, as far as known": {judged(v1alpha1.FaultImage, false), "", ""},
		"nothing fails":                {&observed{}, "", ""},
		"no pod is made":               {&observed{refused: "no pod with app:2 can be made"}, "no pod with app:2 can be made", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.seen.elsewhere(); got != c.says {
				t.Errorf("says %q", got)
			}
			var keys []string
			for _, key := range c.seen.keys("prod") {
				keys = append(keys, key.String())
			}
			if strings.Join(keys, " ") != c.key {
				t.Errorf("keys %v", keys)
			}
			if c.key == "prod/Deployment/web" && c.seen.keys("prod")[0].Subject.APIVersion != "apps/v1" {
				t.Errorf("keys %+v", c.seen.keys("prod"))
			}
		})
	}
	crashesTellOnce(t, said)
}

func crashesTellOnce(t *testing.T, said string) {
	t.Helper()
	told := newCrashes(nil, alone)
	ref := v1alpha1.ObjectRef{Kind: "Deployment", Namespace: "prod", Name: "web"}
	if !told.tells(ref, said) || told.tells(ref, said) || told.tells(ref, "") || !told.tells(ref, said) {
		t.Error("it is said once, and again when it was over in between")
	}
}

// A policy that decides waits for a second node alone, and not every start of the other pods has an event.
func TestAWorkloadIsLookedAtSoonWhereASecondNodeIsAllThatIsMissing(t *testing.T) {
	now := noon()
	const young, old = time.Minute, 10 * time.Minute
	for name, c := range map[string]struct {
		age             time.Duration
		failing, wanted int32
		doubts          []v1alpha1.DoubtType
		want            time.Duration
	}{
		"two pods, one fails on one node":     {young, 1, 2, []v1alpha1.DoubtType{v1alpha1.DoubtOneNode}, settlesWithin},
		"one pod alone is wanted":             {young, 1, 1, []v1alpha1.DoubtType{v1alpha1.DoubtOneNode}, failingFor},
		"nothing is missing":                  {young, 2, 2, nil, failingFor},
		"a person decides for another reason": {young, 1, 2, []v1alpha1.DoubtType{v1alpha1.DoubtMixed, v1alpha1.DoubtOneNode}, failingFor},
		"it has failed for long":              {old, 1, 2, []v1alpha1.DoubtType{v1alpha1.DoubtOneNode}, failingFor},
	} {
		w := &Watcher{opts: Options{Now: func() time.Time { return now }}, crashes: newCrashes(nil, alone)}
		j := trigger.Judgement{Complete: true, Fault: v1alpha1.FaultImage,
			Evidence: v1alpha1.Rollout{Pods: v1alpha1.RolloutPods{Failing: c.failing, Wanted: c.wanted}}}
		for _, d := range c.doubts {
			j.Evidence.Doubts = append(j.Evidence.Doubts, v1alpha1.RolloutDoubt{Type: d})
		}
		seen := &observed{facts: trigger.Facts{New: &trigger.Revision{Made: now.Add(-c.age)}}, judged: []trigger.Judgement{j}}
		if got := w.failsOn(seen); got != c.want {
			t.Errorf("%s: again after %s, want %s", name, got, c.want)
		}
	}
}
