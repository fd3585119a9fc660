package reconcile

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// neighbourly are records with the policies of several namespaces.
type neighbourly struct {
	Records
	all []v1alpha1.RollbackPolicy
}

func (n neighbourly) Policies(_ context.Context, ns string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	return n.all, map[string]string{"env": ns}, nil
}

func (n neighbourly) PoliciesNow(_ context.Context, ns string) ([]v1alpha1.RollbackPolicy, map[string]string, error) {
	var out []v1alpha1.RollbackPolicy
	for _, p := range n.all {
		if p.Namespace == ns || p.Namespace == "backstop-system" {
			out = append(out, p)
		}
	}
	return out, map[string]string{"env": ns}, nil
}

// Files that are rendered into another namespace change that one too: its policies have their say, live and before.
func TestFilesThatOthersRenderGoByTheirPoliciesToo(t *testing.T) {
	const home = "backstop-system"
	suspended := func(p *v1alpha1.RollbackPolicy) { p.Spec.Suspend = true }
	of := func(env string) policyChange {
		return func(p *v1alpha1.RollbackPolicy) {
			fleet(p)
			p.Spec.NamespaceSelector.MatchLabels = map[string]string{"env": env}
		}
	}
	elsewhere := func(p *v1alpha1.RollbackPolicy) {
		p.Spec.ProviderRef, p.Spec.SourceRef = &v1alpha1.LocalRef{Name: "slack"}, &v1alpha1.SourceRef{Name: "rw"}
		p.Spec.PullRequest = &v1alpha1.PullRequestPolicy{SecretRef: &v1alpha1.LocalRef{Name: "api"}}
	}
	own := policyOf("develop", "p", v1alpha1.ModeAuto)
	for name, tt := range map[string]struct {
		with     []string
		policies []v1alpha1.RollbackPolicy
		mode     v1alpha1.Mode
		bar      v1alpha1.Bar
	}{
		"with nobody":                                 {nil, []v1alpha1.RollbackPolicy{own}, v1alpha1.ModeAuto, ""},
		"one that allows as much":                     {[]string{"production"}, []v1alpha1.RollbackPolicy{own, policyOf("production", "p", v1alpha1.ModeAuto, elsewhere)}, v1alpha1.ModeAuto, ""},
		"one that asks":                               {[]string{"production"}, []v1alpha1.RollbackPolicy{own, policyOf("production", "p", v1alpha1.ModeApprove)}, v1alpha1.ModeApprove, ""},
		"one for some workload there":                 {[]string{"production"}, []v1alpha1.RollbackPolicy{own, policyOf("production", "p", v1alpha1.ModeNotify, selecting("tier", "db"))}, v1alpha1.ModeNotify, ""},
		"one that is suspended":                       {[]string{"production"}, []v1alpha1.RollbackPolicy{own, policyOf("production", "p", v1alpha1.ModeAuto, suspended)}, v1alpha1.ModeNotify, v1alpha1.BarSuspended},
		"one without a policy":                        {[]string{"production"}, []v1alpha1.RollbackPolicy{own}, v1alpha1.ModeNotify, v1alpha1.BarNoPolicy},
		"one that a policy of the fleet tells":        {[]string{"production"}, []v1alpha1.RollbackPolicy{own, policyOf(home, "p", v1alpha1.ModeNotify, of("production"))}, v1alpha1.ModeNotify, ""},
		"one that the kill switch picks":              {[]string{"production"}, []v1alpha1.RollbackPolicy{own, policyOf("production", "p", v1alpha1.ModeAuto), policyOf(home, "stop", v1alpha1.ModeAuto, of("production"), suspended)}, v1alpha1.ModeNotify, v1alpha1.BarSuspended},
		"the second of two":                           {[]string{"production", "staging"}, []v1alpha1.RollbackPolicy{own, policyOf("production", "p", v1alpha1.ModeAuto), policyOf("staging", "p", v1alpha1.ModeApprove)}, v1alpha1.ModeApprove, ""},
		"and what a stranger's policy says is nobody": {[]string{"production"}, []v1alpha1.RollbackPolicy{own, policyOf("production", "p", v1alpha1.ModeAuto), policyOf("team-b", "p", v1alpha1.ModeNotify)}, v1alpha1.ModeAuto, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rb := v1alpha1.Rollback{}
			rb.Namespace, rb.Spec.OpenedFor = "develop", v1alpha1.TriggerImagePull
			rb.Status.Suspect = &v1alpha1.Suspect{SharedWith: tt.with}
			rb.Status.Failures = []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull, Workload: v1alpha1.Workload{Kind: "Deployment", Name: "app"}}}
			e := &Engine{Home: home, Now: time.Now, Records: neighbourly{all: tt.policies}, Pods: modelPods{}, Triggers: testRows}
			before, err := e.PolicyOf(t.Context(), &rb)
			if err != nil {
				t.Fatal(err)
			}
			live, err := e.policyNow(t.Context(), &rb, &rules{})
			if err != nil {
				t.Fatal(err)
			}
			for when, got := range map[string]Policy{"before": before, "live": live} {
				said := []string{string(got.Mode), string(got.Bar)}
				if diff := cmp.Diff([]string{string(tt.mode), string(tt.bar)}, said); diff != "" {
					t.Errorf("%s (%s): (-want +got)\n%s", when, got.Why, diff)
				}
				if got.Source != nil || got.Provider != nil || got.PullRequest.Secrets != nil {
					t.Errorf("%s: another's policy says with what and to whom: %+v", when, got)
				}
			}
		})
	}
}
