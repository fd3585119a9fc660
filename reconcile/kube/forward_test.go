package kube_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/reconcile/kube"
)

func TestAnImagePatchTestsWhatItReplaces(t *testing.T) {
	got, err := kube.ImagePatch("u-1", []kube.SetImage{
		{Container: "web", Index: 1, From: "r/web:v2", To: "r/web:v1"},
		{Container: "migrate", Init: true, From: "r/web:v2", To: "r/web:v1"},
	})
	want := `[{"op":"test","path":"/metadata/uid","value":"u-1"},` +
		`{"op":"test","path":"/spec/template/spec/containers/1/name","value":"web"},` +
		`{"op":"test","path":"/spec/template/spec/containers/1/image","value":"r/web:v2"},` +
		`{"op":"replace","path":"/spec/template/spec/containers/1/image","value":"r/web:v1"},` +
		`{"op":"test","path":"/spec/template/spec/initContainers/0/name","value":"migrate"},` +
		`{"op":"test","path":"/spec/template/spec/initContainers/0/image","value":"r/web:v2"},` +
		`{"op":"replace","path":"/spec/template/spec/initContainers/0/image","value":"r/web:v1"}]`
	if err != nil || string(got) != want {
		t.Errorf("%s %v, want %s", got, err, want)
	}
}

func TestADisownPatchTakesOnlyItsOwnEntries(t *testing.T) {
	entries := []metav1.ManagedFieldsEntry{{Manager: "kubectl-backstop"}, {Manager: "helm-controller"}, {Manager: "kubectl-backstop"}}
	got, err := kube.DisownPatch("u-1", entries, "kubectl-backstop")
	want := `[{"op":"test","path":"/metadata/uid","value":"u-1"},` +
		`{"op":"test","path":"/metadata/managedFields/2/manager","value":"kubectl-backstop"},{"op":"remove","path":"/metadata/managedFields/2"},` +
		`{"op":"test","path":"/metadata/managedFields/0/manager","value":"kubectl-backstop"},{"op":"remove","path":"/metadata/managedFields/0"}]`
	if err != nil || string(got) != want {
		t.Errorf("%s %v, want %s", got, err, want)
	}
	if got, err := kube.DisownPatch("u-1", entries[1:2], "kubectl-backstop"); got != nil || err != nil {
		t.Errorf("without an entry: %s %v", got, err)
	}
}
