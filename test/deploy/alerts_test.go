package deploy_test

import (
	"slices"
	"testing"

	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (s suite) alerts(t *testing.T) {
	dir := s.overlay(t, `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: backstop-system
resources: [KUSTOMIZE/default]
components: [KUSTOMIZE/components/alerts]
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
	for _, arg := range []string{"--alerts-addr=:9292", "--alerts-key-file=/etc/backstop/alerts/token"} {
		if !slices.Contains(c.Args, arg) {
			t.Errorf("%s is missing among %v", arg, c.Args)
		}
	}
	// From the Provider to the container, each finds the next by name.
	var provider notificationv1beta3.Provider
	get("backstop", &provider)
	var alert notificationv1beta3.Alert
	get("backstop", &alert)
	var service corev1.Service
	get("backstop-alerts", &service)
	port := service.Spec.Ports[0]
	if provider.Spec.Type != "generic-hmac" || alert.Spec.ProviderRef.Name != provider.Name || port.Port != 80 ||
		provider.Spec.Address != "http://backstop-alerts.backstop-system.svc.cluster.local/alerts" ||
		port.TargetPort.StrVal != c.Ports[len(c.Ports)-1].Name || c.Ports[len(c.Ports)-1].ContainerPort != 9292 {
		t.Errorf("%+v of %+v goes to %+v, and the container has %+v", provider.Spec, alert.Spec, port, c.Ports)
	}
	if !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)) {
		t.Errorf("the Service selects %v, the pods have %v", service.Spec.Selector, pod.Labels)
	}
	// Both sides have the same key.
	secret := pod.Spec.Volumes[len(pod.Spec.Volumes)-1].Secret
	if provider.Spec.SecretRef.Name != secret.SecretName || !*secret.Optional {
		t.Errorf("the Provider signs with %s, the pod mounts %+v", provider.Spec.SecretRef.Name, secret)
	}
	var policy networkingv1.NetworkPolicy
	get("backstop-alerts", &policy)
	in := policy.Spec.Ingress
	if len(in) != 1 || len(in[0].From) != 1 || in[0].From[0].PodSelector == nil || in[0].From[0].NamespaceSelector == nil ||
		!labels.SelectorFromSet(policy.Spec.PodSelector.MatchLabels).Matches(labels.Set(pod.Labels)) {
		t.Errorf("the NetworkPolicy is %+v", policy.Spec)
	}
	// The default overlay removes it again.
	for _, kind := range []string{"service", "networkpolicy"} {
		s.kubectl(t, "delete", kind, "backstop-alerts", "-n", "backstop-system")
	}
	s.kubectl(t, "delete", "alerts.notification.toolkit.fluxcd.io,providers.notification.toolkit.fluxcd.io", "backstop", "-n",
		"backstop-system")
	s.kubectl(t, "apply", "--server-side", "--force-conflicts", "-k", s.folder("default"))
	get("backstop", &d)
	if n := len(d.Spec.Template.Spec.Volumes); n != 2 {
		t.Errorf("%d volumes without the component", n)
	}
}
