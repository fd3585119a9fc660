package watcher

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// What is kept of a workload says what the object did, for whoever looks at it as an object.
func TestWhatIsKeptOfAWorkloadIsStillThatObject(t *testing.T) {
	labels := map[string]string{
		"app": "web", "team": "shop", "kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
	}
	o := &metav1.ObjectMeta{Namespace: "prod", Name: "web", UID: "u1", ResourceVersion: "7", Labels: labels, Generation: 3}
	kept := keep(o)
	if key, err := cache.MetaNamespaceKeyFunc(&kept); err != nil || key != "prod/web" {
		t.Errorf("its key is %q, %v", key, err)
	}
	if kept.GetNamespace() != "prod" || kept.GetName() != "web" || kept.GetUID() != "u1" || kept.GetResourceVersion() != "7" {
		t.Errorf("kept %+v", kept)
	}
	if diff := cmp.Diff(labels, kept.GetLabels()); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if kept.GetGeneration() != 0 || kept.GetAnnotations() != nil || kept.GetDeletionTimestamp() != nil || kept.GetOwnerReferences() != nil {
		t.Errorf("what is not kept is there: %+v", kept)
	}
	none := keep(&metav1.ObjectMeta{Name: "web"})
	if none.GetLabels() != nil {
		t.Errorf("labels of one without: %v", none.GetLabels())
	}
	for name, c := range map[string]struct {
		group, namespace, name string
		want                   bool
	}{
		"the Kustomization that applied it": {"kustomize.toolkit.fluxcd.io", "flux-system", "apps", true},
		"another one of the namespace":      {"kustomize.toolkit.fluxcd.io", "flux-system", "infra", false},
		"one of that name elsewhere":        {"kustomize.toolkit.fluxcd.io", "tenants", "apps", false},
		"a HelmRelease":                     {"helm.toolkit.fluxcd.io", "flux-system", "apps", false},
	} {
		if got := kept.appliedBy(c.group, c.namespace, c.name); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// The texts that all workloads share are there once, also of one that is read long after the other.
func TestWhatWorkloadsShareIsThereOnce(t *testing.T) {
	read := func(name string) keptWorkload {
		return keep(&metav1.ObjectMeta{Namespace: strings.Clone("production"), Name: name,
			Labels: map[string]string{strings.Clone("app.kubernetes.io/part-of"): strings.Clone("shop-of-all")}})
	}
	first := read("web")
	for range 3 {
		runtime.GC()
	}
	second := read("api")
	texts := func(k *keptWorkload) []*byte {
		out := []*byte{unsafe.StringData(k.GetNamespace())}
		for key, value := range k.GetLabels() {
			out = append(out, unsafe.StringData(key), unsafe.StringData(value))
		}
		return out
	}
	if !slices.Equal(texts(&first), texts(&second)) {
		t.Error("two workloads have texts of their own for what both say")
	}
}
