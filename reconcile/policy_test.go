package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

type policyChange func(*v1alpha1.RollbackPolicy)

func policyOf(ns, name string, mode v1alpha1.Mode, changes ...policyChange) v1alpha1.RollbackPolicy {
	d := func(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }
	p := v1alpha1.RollbackPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: v1alpha1.RollbackPolicySpec{
			Triggers: []v1alpha1.PolicyTrigger{{Type: v1alpha1.TriggerImagePull, Mode: mode}},
			Cooldown: d(30 * time.Minute), Lift: v1alpha1.LiftNewerImage,
			Approval: v1alpha1.Approval{Timeout: d(time.Hour)}, VerifyTimeout: d(15 * time.Minute), Delivery: v1alpha1.DeliveryPush,
		},
	}
	for _, c := range changes {
		c(&p)
	}
	return p
}

func fleet(p *v1alpha1.RollbackPolicy) { p.Spec.NamespaceSelector = &metav1.LabelSelector{} }

func overridable(p *v1alpha1.RollbackPolicy) { p.Spec.AllowOverride = true }

func selecting(k, v string) policyChange {
	return func(p *v1alpha1.RollbackPolicy) { p.Spec.Selector.MatchLabels = map[string]string{k: v} }
}

func TestResolve(t *testing.T) {
	const home = "backstop-system"
	web := []Subject{{Namespace: "develop", NamespaceLabels: map[string]string{"env": "dev"}, Labels: map[string]string{"tier": "web"}}}
	tests := map[string]struct {
		trigger  v1alpha1.TriggerType
		subjects []Subject
		policies []v1alpha1.RollbackPolicy
		top      Ceiling
		mode     v1alpha1.Mode
		by       []string
		why      string
	}{
		"without a policy nothing is allowed": {subjects: web, mode: "", why: "no RollbackPolicy selects"},
		"a policy of the namespace counts": {
			subjects: web, policies: []v1alpha1.RollbackPolicy{policyOf("develop", "p", v1alpha1.ModeAuto)},
			mode: v1alpha1.ModeAuto, by: []string{"develop/p"},
		},
		"a policy of another namespace does not": {
			subjects: web, policies: []v1alpha1.RollbackPolicy{policyOf("staging", "p", v1alpha1.ModeAuto)},
			why: "no RollbackPolicy selects",
		},
		"a selector that does not match leaves the workload alone": {
			subjects: web, policies: []v1alpha1.RollbackPolicy{policyOf("develop", "p", v1alpha1.ModeAuto, selecting("tier", "db"))},
			why: "no RollbackPolicy selects",
		},
		"the fleet's default covers a namespace without a policy": {
			subjects: web, policies: []v1alpha1.RollbackPolicy{policyOf(home, "fleet", v1alpha1.ModeApprove, fleet)},
			mode: v1alpha1.ModeApprove, by: []string{home + "/fleet"},
		},
		"a namespaceSelector outside Backstop's own namespace is no default": {
			subjects: web, policies: []v1alpha1.RollbackPolicy{policyOf("tenant", "grab", v1alpha1.ModeAuto, fleet)},
			why: "no RollbackPolicy selects",
		},
		"a policy of the namespace allows no more than the fleet's": {
			subjects: web, policies: []v1alpha1.RollbackPolicy{
				policyOf(home, "fleet", v1alpha1.ModeApprove, fleet), policyOf("develop", "p", v1alpha1.ModeAuto)},
			mode: v1alpha1.ModeApprove, by: []string{home + "/fleet", "develop/p"}, why: "stricter",
		},
		"a policy of the namespace allows less than the fleet's": {
			subjects: web, policies: []v1alpha1.RollbackPolicy{
				policyOf(home, "fleet", v1alpha1.ModeAuto, fleet), policyOf("develop", "p", v1alpha1.ModeApprove)},
			mode: v1alpha1.ModeApprove, by: []string{home + "/fleet", "develop/p"}, why: "stricter",
		},
		"a policy of the namespace replaces a fleet's that allows it": {
			subjects: web, policies: []v1alpha1.RollbackPolicy{
				policyOf(home, "fleet", v1alpha1.ModeNotify, fleet, overridable), policyOf("develop", "p", v1alpha1.ModeAuto)},
			mode: v1alpha1.ModeAuto, by: []string{"develop/p"},
		},
		"of two of the fleet one that allows it is replaced": {
			subjects: web, policies: []v1alpha1.RollbackPolicy{policyOf(home, "default", v1alpha1.ModeNotify, fleet, overridable),
				policyOf(home, "floor", v1alpha1.ModeApprove, fleet), policyOf("develop", "p", v1alpha1.ModeAuto)},
			mode: v1alpha1.ModeApprove, by: []string{home + "/floor", "develop/p"}, why: "stricter",
		},
		"a tenant's own word that its policy may override is nothing": {
			subjects: web, policies: []v1alpha1.RollbackPolicy{
				policyOf(home, "fleet", v1alpha1.ModeApprove, fleet), policyOf("develop", "p", v1alpha1.ModeAuto, overridable)},
			mode: v1alpha1.ModeApprove, by: []string{home + "/fleet", "develop/p"}, why: "stricter",
		},
		"of two the stricter counts, whatever their order": {
			subjects: web, policies: []v1alpha1.RollbackPolicy{
				policyOf("develop", "b", v1alpha1.ModeAuto), policyOf("develop", "a", v1alpha1.ModeApprove)},
			mode: v1alpha1.ModeApprove, by: []string{"develop/a", "develop/b"}, why: "stricter",
		},
		"a suspended one of two only tells": {
			subjects: web, policies: []v1alpha1.RollbackPolicy{policyOf("develop", "a", v1alpha1.ModeAuto),
				policyOf("develop", "b", v1alpha1.ModeAuto, func(p *v1alpha1.RollbackPolicy) { p.Spec.Suspend = true })},
			mode: v1alpha1.ModeNotify, by: []string{"develop/a", "develop/b"}, why: "develop/b is suspended",
		},
		"a trigger that is not listed only tells": {
			trigger: v1alpha1.TriggerDrift, subjects: web,
			policies: []v1alpha1.RollbackPolicy{policyOf("develop", "p", v1alpha1.ModeAuto)},
			mode:     v1alpha1.ModeNotify, by: []string{"develop/p"}, why: "does not list the trigger Drift",
		},
		"a workload that no policy selects, beside one that is, only tells": {
			subjects: append([]Subject{{Namespace: "develop", Labels: map[string]string{"tier": "db"}}}, web...),
			policies: []v1alpha1.RollbackPolicy{policyOf("develop", "p", v1alpha1.ModeAuto, selecting("tier", "web"))},
			mode:     v1alpha1.ModeNotify, by: []string{"develop/p"}, why: "every workload",
		},
		"a tenant's policy may not name another namespace's source": {
			subjects: web, policies: []v1alpha1.RollbackPolicy{policyOf("develop", "p", v1alpha1.ModeAuto, func(p *v1alpha1.RollbackPolicy) {
				p.Spec.SourceRef = &v1alpha1.SourceRef{Name: "fleet", Namespace: "flux-system"}
			})},
			top: Ceiling{NoCrossNamespaceRefs: true}, mode: v1alpha1.ModeNotify, by: []string{"develop/p"}, why: "--no-cross-namespace-refs",
		},
		"the platform's policy may name the platform's GitRepository": {
			subjects: web, policies: []v1alpha1.RollbackPolicy{policyOf(home, "p", v1alpha1.ModeAuto, fleet, func(p *v1alpha1.RollbackPolicy) {
				p.Spec.SourceRef = &v1alpha1.SourceRef{Namespace: "flux-system", Name: "fleet"}
			})},
			top: Ceiling{NoCrossNamespaceRefs: true}, mode: v1alpha1.ModeAuto, by: []string{home + "/p"},
		},
		"the controller's flag is the ceiling": {
			subjects: web, policies: []v1alpha1.RollbackPolicy{policyOf("develop", "p", v1alpha1.ModeAuto)},
			top: Ceiling{Mode: v1alpha1.ModeApprove}, mode: v1alpha1.ModeApprove, by: []string{"develop/p"}, why: "--max-mode is Approve",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			trigger := tt.trigger
			if trigger == "" {
				trigger = v1alpha1.TriggerImagePull
			}
			got := Resolve(trigger, tt.subjects, tt.policies, home, tt.top)
			if got.Mode != tt.mode || !cmp.Equal(got.By, tt.by) || !strings.Contains(got.Why, tt.why) || (tt.why == "" && got.Why != "") {
				t.Errorf("got mode %q by %v why %q, want %q by %v why …%s…", got.Mode, got.By, got.Why, tt.mode, tt.by, tt.why)
			}
		})
	}
}

func TestStricterTakesTheCarefulValueOfEachField(t *testing.T) {
	d := func(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }
	a := policyOf("develop", "a", v1alpha1.ModeAuto)
	b := policyOf("develop", "b", v1alpha1.ModeAuto, func(p *v1alpha1.RollbackPolicy) {
		pull := &p.Spec.Triggers[0]
		pull.Authors, pull.GracePeriod, pull.MaxAge = v1alpha1.AuthorsAnyone, new(d(time.Minute)), new(d(time.Hour))
		p.Spec.Cooldown, p.Spec.Lift, p.Spec.Delivery = d(time.Hour), v1alpha1.LiftManual, v1alpha1.DeliveryPullRequest
		p.Spec.SourceRef = &v1alpha1.SourceRef{Name: "fleet-rw"}
		p.Spec.Approval.Slack.Users = []string{"U1"}
		p.Spec.ProviderRef = &v1alpha1.LocalRef{Name: "web"}
	})
	a.Spec.ProviderRef = &v1alpha1.LocalRef{Name: "slack"}
	subjects := []Subject{{Namespace: "develop"}, {Namespace: "develop", Name: "Deployment/two"}}
	one := Resolve(v1alpha1.TriggerImagePull, subjects, []v1alpha1.RollbackPolicy{a, b}, "home", Ceiling{})
	two := Resolve(v1alpha1.TriggerImagePull, subjects, []v1alpha1.RollbackPolicy{b, a}, "home", Ceiling{})
	if diff := cmp.Diff(one, two); diff != "" {
		t.Errorf("the order of the policies matters:\n%s", diff)
	}
	if one.Authors != v1alpha1.AuthorsAutomation || one.Grace != time.Minute || one.MaxAge != time.Hour || one.Cooldown != time.Hour ||
		one.Lift != v1alpha1.LiftManual || one.Delivery != v1alpha1.DeliveryPullRequest || one.Source == nil {
		t.Errorf("not the careful value of each: %+v", one)
	}
	if one.Provider == nil || one.Provider.String() != "develop/slack" {
		t.Errorf("the card goes to %v, want the first of both by name", one.Provider)
	}
	// Each policy must let a person decide, however many workloads it selects.
	want := []Approvers{{Policy: "develop/a"}, {Policy: "develop/b", SlackApproval: v1alpha1.SlackApproval{Users: []string{"U1"}}}}
	if diff := cmp.Diff(want, one.Approvers); diff != "" {
		t.Errorf("approvers -want +got:\n%s", diff)
	}
}

func TestAFleetsPolicyIsAFloor(t *testing.T) {
	const home = "backstop-system"
	d := func(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }
	floor := policyOf(home, "fleet", v1alpha1.ModeAuto, fleet, func(p *v1alpha1.RollbackPolicy) {
		p.Spec.Triggers[0].MaxAge, p.Spec.Cooldown, p.Spec.Lift = new(d(time.Hour)), d(time.Hour), v1alpha1.LiftManual
		p.Spec.Approval.Slack.Users = []string{"U1"}
		p.Spec.ProviderRef = &v1alpha1.LocalRef{Name: "z-platform"}
	})
	tenants := policyOf("a-team", "p", v1alpha1.ModeAuto, func(p *v1alpha1.RollbackPolicy) {
		pull := &p.Spec.Triggers[0]
		pull.MaxAge, p.Spec.Cooldown, pull.Authors = new(d(0)), d(0), v1alpha1.AuthorsAnyone
		p.Spec.Approval.Slack.ChannelMembers = true
		p.Spec.ProviderRef = &v1alpha1.LocalRef{Name: "a-team"}
	})
	got := Resolve(v1alpha1.TriggerImagePull, []Subject{{Namespace: "a-team"}}, []v1alpha1.RollbackPolicy{tenants, floor}, home, Ceiling{})
	if got.MaxAge != time.Hour || got.Cooldown != time.Hour || got.Lift != v1alpha1.LiftManual || got.Authors != v1alpha1.AuthorsAutomation {
		t.Errorf("a tenant's policy loosens the floor: %+v", got)
	}
	if got.Provider == nil || got.Provider.String() != home+"/z-platform" {
		t.Errorf("the card goes to %v, want the platform's Provider", got.Provider)
	}
	want := []Approvers{{Policy: "a-team/p", SlackApproval: tenants.Spec.Approval.Slack}, {Policy: home + "/fleet", SlackApproval: floor.Spec.Approval.Slack}}
	if diff := cmp.Diff(want, got.Approvers); diff != "" {
		t.Errorf("approvers -want +got:\n%s", diff)
	}
	// Whose approvers are the floor's and whose channel is not gets the card at the controller's default.
	floor.Spec.ProviderRef = nil
	got = Resolve(v1alpha1.TriggerImagePull, []Subject{{Namespace: "a-team"}}, []v1alpha1.RollbackPolicy{tenants, floor}, home, Ceiling{})
	if got.Provider != nil {
		t.Errorf("the tenant's app %v says who of the platform clicked", got.Provider)
	}
	// Where nobody of the platform may decide, the tenant's own channel sees it.
	floor.Spec.Approval.Slack = v1alpha1.SlackApproval{}
	got = Resolve(v1alpha1.TriggerImagePull, []Subject{{Namespace: "a-team"}}, []v1alpha1.RollbackPolicy{tenants, floor}, home, Ceiling{})
	if got.Provider == nil || got.Provider.String() != "a-team/a-team" {
		t.Errorf("the card goes to %v, want the tenant's Provider", got.Provider)
	}
}

// A label's value that no object can have is a selector that nobody can read. Left out, a policy would leave what it was
// to forbid to the others.
func TestAPolicyThatCannotBeReadMakesNothingLaxer(t *testing.T) {
	const home = "backstop-system"
	web := Subject{Namespace: "develop", NamespaceLabels: map[string]string{"env": "dev"}, Labels: map[string]string{"tier": "web"}}
	own := policyOf("develop", "p", v1alpha1.ModeAuto)
	namespaces := func(value string) policyChange {
		return func(p *v1alpha1.RollbackPolicy) {
			p.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"env": value}}
		}
	}
	for name, tt := range map[string]struct {
		other v1alpha1.RollbackPolicy
		bar   v1alpha1.Bar
	}{
		"a floor whose namespaceSelector has a blank in it":    {policyOf(home, "fleet", v1alpha1.ModeApprove, namespaces("dev ")), v1alpha1.BarUnreadable},
		"a floor whose selector is no label's value":           {policyOf(home, "fleet", v1alpha1.ModeApprove, fleet, selecting("tier", "we/b")), v1alpha1.BarUnreadable},
		"the same of a floor that picks another namespace":     {policyOf(home, "fleet", v1alpha1.ModeApprove, namespaces("prod"), selecting("tier", "we/b")), ""},
		"a floor that may be replaced":                         {policyOf(home, "fleet", v1alpha1.ModeApprove, namespaces("dev "), overridable), ""},
		"a second one of the namespace":                        {policyOf("develop", "ask", v1alpha1.ModeApprove, selecting("tier ", "web")), v1alpha1.BarUnreadable},
		"one of another namespace":                             {policyOf("staging", "ask", v1alpha1.ModeApprove, selecting("tier ", "web")), ""},
		"one with a namespaceSelector in a tenant's namespace": {policyOf("develop", "fleet", v1alpha1.ModeApprove, namespaces("dev ")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := Resolve(v1alpha1.TriggerImagePull, []Subject{web}, []v1alpha1.RollbackPolicy{own, tt.other}, home, Ceiling{})
			if got.Bar != tt.bar || (got.Mode == v1alpha1.ModeAuto) != (tt.bar == "") {
				t.Errorf("got %s %q: %q, want %q", got.Mode, got.Bar, got.Why, tt.bar)
			}
		})
	}
}

func TestParseBudget(t *testing.T) {
	for in, want := range map[string]string{
		"3/1h": "3/1h", "1/90s": "1/1m30s", "0/1h": "count of at least 1", "3": "want COUNT/DURATION", "x/1h": "want COUNT/DURATION",
		"3/": "is not a duration", "3/-1h": "is not a duration", "3/1h/2": "is not a duration",
	} {
		b, err := ParseBudget(in)
		got := b.String()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("ParseBudget(%q) = %s, want …%s…", in, got, want)
		}
	}
}

func TestPolicyConditions(t *testing.T) {
	subjects := []Subject{
		{Name: "Deployment/backend", Namespace: "develop", Labels: map[string]string{"tier": "web"}},
		{Name: "Deployment/db", Namespace: "develop", Labels: map[string]string{"tier": "db"}},
	}
	tests := map[string]struct {
		policies []v1alpha1.RollbackPolicy
		want     []string
	}{
		"a policy says how much it selects": {
			policies: []v1alpha1.RollbackPolicy{policyOf("develop", "p", v1alpha1.ModeAuto)}, want: []string{"Ready True selects 2 workloads"},
		},
		"of two that select one workload both say so": {
			policies: []v1alpha1.RollbackPolicy{policyOf("develop", "a", v1alpha1.ModeAuto), policyOf("develop", "b", v1alpha1.ModeAuto,
				selecting("tier", "web"))},
			want: []string{"Ready True selects 2 workloads; some are also selected by develop/b (develop/Deployment/backend)",
				"Ready True selects 1 workload; some are also selected by develop/a (develop/Deployment/backend)"},
		},
		"a fleet default elsewhere is refused with the way out": {
			policies: []v1alpha1.RollbackPolicy{policyOf("tenant", "p", v1alpha1.ModeAuto, fleet)},
			want:     []string{"Ready False spec.namespaceSelector makes a fleet's default, which is only read in Backstop's own namespace home"},
		},
		"a suspended policy says so": {
			policies: []v1alpha1.RollbackPolicy{policyOf("develop", "p", v1alpha1.ModeAuto, func(p *v1alpha1.RollbackPolicy) { p.Spec.Suspend = true })},
			want:     []string{"Ready True suspended: failures of 2 workloads are only told"},
		},
		"a selector that cannot be read has all only told": {
			policies: []v1alpha1.RollbackPolicy{policyOf("develop", "p", v1alpha1.ModeAuto, func(p *v1alpha1.RollbackPolicy) {
				p.Spec.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}
			})},
			want: []string{"Ready False spec.selector"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := PolicyConditions(tt.policies, subjects, "home")
			for i, want := range tt.want {
				c := got[i][0]
				if said := string(c.Type) + " " + string(c.Status) + " " + c.Message; !strings.HasPrefix(said, want) {
					t.Errorf("policy %d says %q, want %q…", i, said, want)
				}
				if c.Status == metav1.ConditionFalse && got[i][1].Type != "Stalled" {
					t.Errorf("policy %d is not Stalled", i)
				}
			}
		})
	}
}
