package metrics

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestTheKillSwitchIsServed(t *testing.T) {
	policy := func(ns, name string, suspend bool, picks *metav1.LabelSelector) v1alpha1.RollbackPolicy {
		return v1alpha1.RollbackPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
			Spec: v1alpha1.RollbackPolicySpec{Suspend: suspend, NamespaceSelector: picks}}
	}
	prod := &metav1.LabelSelector{MatchLabels: map[string]string{"env": "prod"}}
	for name, tt := range map[string]struct {
		policies []v1alpha1.RollbackPolicy
		want     string
	}{
		"no policy": {nil, `backstop_kill_switch{namespaces="",policy=""} 0`},
		"a suspended one of a tenant": {[]v1alpha1.RollbackPolicy{policy("team-a", "p", true, nil)},
			`backstop_kill_switch{namespaces="",policy=""} 0`},
		"one that stops everything": {[]v1alpha1.RollbackPolicy{policy("home", "stop", true, nil)},
			`backstop_kill_switch{namespaces="",policy="stop"} 1`},
		"one that stops some, beside a fleet's": {[]v1alpha1.RollbackPolicy{policy("home", "stop", true, prod), policy("home", "fleet", false, prod)},
			`backstop_kill_switch{namespaces="env=prod",policy="fleet"} 0` + "\n" + `backstop_kill_switch{namespaces="env=prod",policy="stop"} 1`},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Switch{Home: "home", List: func() []v1alpha1.RollbackPolicy { return tt.policies }}
			head := "# HELP backstop_kill_switch Whether a policy in Backstop's own namespace is suspended and stops every write: 1, or 0. " +
				"The label namespaces says which it picks, and is empty for all. The policy is empty where there is none.\n" +
				"# TYPE backstop_kill_switch gauge\n"
			if err := testutil.CollectAndCompare(s, strings.NewReader(head+tt.want+"\n")); err != nil {
				t.Error(err)
			}
		})
	}
}
