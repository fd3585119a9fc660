package watcher

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// capturedPod is a pod of a real kubelet that cannot pull an image for another platform.
func capturedPod(t *testing.T) *corev1.Pod {
	t.Helper()
	raw, err := os.ReadFile("testdata/pending-pod.json")
	if err != nil {
		t.Fatal(err)
	}
	var p corev1.Pod
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestSlimPodSaysWhatTheWholePodSays(t *testing.T) {
	t.Parallel()
	whole := capturedPod(t)
	obj, err := slimPod(whole)
	if err != nil {
		t.Fatal(err)
	}
	slim, ok := obj.(*corev1.Pod)
	if !ok {
		t.Fatalf("a %T", obj)
	}
	if diff := cmp.Diff(waitingFor(whole), waitingFor(slim), cmp.AllowUnexported(waiting{})); diff != "" {
		t.Errorf("what waits (-whole +slim):\n%s", diff)
	}
	if len(waitingFor(slim)) != 1 {
		t.Errorf("%d containers wait, want the one", len(waitingFor(slim)))
	}
	if diff := cmp.Diff(metav1.GetControllerOf(whole), metav1.GetControllerOf(slim)); diff != "" {
		t.Errorf("owner (-whole +slim):\n%s", diff)
	}
	a, b := size(t, whole), size(t, slim)
	if b*2 > a {
		t.Errorf("%d bytes of %d are left, want less than half", b, a)
	}
}

func TestBareKeepsOnlyTheName(t *testing.T) {
	t.Parallel()
	d := deployment(badImage)
	d.ResourceVersion = "7"
	got, err := bare(d)
	if err != nil {
		t.Fatal(err)
	}
	want := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "app", Name: "web", UID: "uid-web", ResourceVersion: "7",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stripped (-want +got):\n%s", diff)
	}
}

func TestStripRefusesWhatIsNoObject(t *testing.T) {
	t.Parallel()
	for name, strip := range map[string]func(any) (any, error){
		"bare": bare, "labelled": labelled, "unmanaged": unmanaged, "slimPod": slimPod,
	} {
		if _, err := strip("a string"); err == nil {
			t.Errorf("%s took a string", name)
		}
	}
	if _, err := slimPod(&appsv1.Deployment{}); err == nil {
		t.Error("slimPod took a Deployment")
	}
}

func size(t *testing.T, o any) int {
	t.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return len(raw)
}
