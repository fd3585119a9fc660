package deploy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (s suite) slackHTTP(t *testing.T) {
	dir := s.overlay(t, `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: backstop-system
resources: [KUSTOMIZE/default]
components: [KUSTOMIZE/components/slack-http, KUSTOMIZE/components/slack-http/ingress]
patches:
- target: {kind: Ingress, name: backstop-slack}
  patch: |-
    - {op: replace, path: /spec/rules/0/host, value: backstop.acme.example}
    - {op: replace, path: /spec/tls/0/hosts/0, value: backstop.acme.example}
`)
	s.kubectl(t, "apply", "--server-side", "--force-conflicts", "--validate=strict", "-k", dir)
	get := func(name string, o client.Object) {
		t.Helper()
		if err := s.admin.Get(t.Context(), client.ObjectKey{Namespace: "backstop-system", Name: name}, o); err != nil {
			t.Fatal(err)
		}
	}
	var d appsv1.Deployment
	get("backstop", &d)
	pod := d.Spec.Template
	c := pod.Spec.Containers[0]
	if last := c.Args[len(c.Args)-1]; last != "--slack-http-addr=:9290" {
		t.Errorf("the last argument is %s", last)
	}
	if *d.Spec.Replicas != 1 || d.Spec.Strategy.RollingUpdate.MaxSurge.IntValue() != 0 {
		t.Errorf("%d replicas, replaced by %+v: only one may take clicks", *d.Spec.Replicas, d.Spec.Strategy)
	}
	// A single replica must not hold a drain up.
	var pdb policyv1.PodDisruptionBudget
	get("backstop", &pdb)
	if pdb.Spec.MinAvailable != nil || pdb.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("the disruption budget is %+v", pdb.Spec)
	}

	// From the host to the container, each finds the next by name.
	var ingress networkingv1.Ingress
	get("backstop-slack", &ingress)
	rule := ingress.Spec.Rules[0]
	to := rule.HTTP.Paths[0]
	var service corev1.Service
	get(to.Backend.Service.Name, &service)
	port := service.Spec.Ports[0]
	if rule.Host != "backstop.acme.example" || to.Path != "/slack/interactivity" || port.Name != to.Backend.Service.Port.Name ||
		port.TargetPort.StrVal != c.Ports[len(c.Ports)-1].Name || c.Ports[len(c.Ports)-1].ContainerPort != 9290 {
		t.Errorf("%s%s goes to %+v, that to %+v, and the container has %+v", rule.Host, to.Path, to.Backend, port, c.Ports)
	}
	if !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)) {
		t.Errorf("the Service selects %v, the pods have %v", service.Spec.Selector, pod.Labels)
	}
	var policy networkingv1.NetworkPolicy
	get("backstop-slack", &policy)
	in := policy.Spec.Ingress
	if len(in) != 1 || len(in[0].From) != 1 || len(in[0].Ports) != 1 || in[0].Ports[0].Port.StrVal != "http-slack" ||
		!cmp.Equal(policy.Spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}) ||
		!labels.SelectorFromSet(policy.Spec.PodSelector.MatchLabels).Matches(labels.Set(pod.Labels)) {
		t.Errorf("the NetworkPolicy is %+v", policy.Spec)
	}
	// Nothing more is granted, and the default overlay removes it again.
	for _, kind := range []string{"service", "networkpolicy", "ingress"} {
		s.kubectl(t, "delete", kind, "backstop-slack", "-n", "backstop-system")
	}
	s.kubectl(t, "apply", "--server-side", "--force-conflicts", "-k", s.folder("default"))
	get("backstop", &d)
	if *d.Spec.Replicas != 2 {
		t.Errorf("%d replicas after the default overlay", *d.Spec.Replicas)
	}
}
