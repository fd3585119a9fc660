package watcher

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/kube"
)

// canaryOfWeb is a Canary of the Deployment web, with changes to its status.
func canaryOfWeb(t *testing.T, status map[string]any) *unstructured.Unstructured {
	t.Helper()
	all := map[string]any{
		"phase": "Failed", "canaryWeight": int64(0), "lastAppliedSpec": "bad", "lastPromotedSpec": "good",
		"lastTransitionTime": noon().Format(time.RFC3339),
		"conditions": []any{map[string]any{
			"type": "Promoted", "status": "False", "reason": "Failed", "lastTransitionTime": noon().Format(time.RFC3339),
		}},
	}
	maps.Copy(all, status)
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "flagger.app/v1beta1", "kind": "Canary",
		"metadata": map[string]any{"namespace": "app", "name": "web", "uid": "canary-web"},
		"spec":     map[string]any{"targetRef": map[string]any{"kind": "Deployment", "name": "web"}}, "status": all,
	}}
}

// primaryOfWeb is what Flagger made of it.
func primaryOfWeb(image string) *appsv1.Deployment {
	d := deployment(image)
	d.Name, d.UID = "web-primary", "primary-web"
	d.OwnerReferences = []metav1.OwnerReference{{APIVersion: "flagger.app/v1beta1", Kind: "Canary", Name: "web", UID: "canary-web",
		Controller: new(true)}}
	two := int32(2)
	d.Spec.Replicas, d.Status.ReadyReplicas = &two, 2
	return d
}

// analysed is the ReplicaSet that was there before the analysis failed.
func analysed(image string) *appsv1.ReplicaSet {
	rs := replicaSet("web-h2", image)
	rs.Labels = map[string]string{"app": "web"}
	rs.CreationTimestamp = metav1.NewTime(noon().Add(-5 * time.Minute))
	return rs
}

// explains puts the events that Flagger writes about a Canary after a failed analysis. All are of one second: a
// recorder ends their names with the time in nanoseconds.
func explains(t *testing.T, s *apiServer, canary string, at time.Time) {
	t.Helper()
	for i, words := range []string{
		"New revision detected! Scaling up web.app", "Halt web.app advancement success rate 61.39% < 99%",
		"Rolling back web.app failed checks threshold reached 5", "Canary failed! Scaling down web.app",
	} {
		e := &corev1.Event{InvolvedObject: corev1.ObjectReference{Kind: "Canary", Name: canary, UID: types.UID("canary-" + canary)},
			Reason: "Synced", Message: words, LastTimestamp: metav1.NewTime(at), Count: 1}
		e.TypeMeta, e.ObjectMeta = named("Event", "v1", fmt.Sprintf("%s.%x", canary, at.UnixNano()+int64(i)))
		s.put(t, e)
	}
}

func TestARefusedUpdateIsWalkedAndSoIsItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, deployment(badImage), analysed(badImage), primaryOfWeb(goodImage)), &walks{}
		var told []string
		w := run(t, s, r, Options{TellRollout: func(ref v1alpha1.ObjectRef, says string) { told = append(told, ref.String()+": "+says) }})
		want(t, "no Canary", r)
		s.put(t, canaryOfWeb(t, map[string]any{"phase": "Progressing"}))
		want(t, "an analysis", r)
		if n := s.requests("/canaries/web"); n != 0 {
			t.Errorf("%d reads of what refuses nothing", n)
		}
		explains(t, s, "web", noon())
		s.put(t, canaryOfWeb(t, nil))
		want(t, "a refused update", r, webKey)
		seen, err := w.Pods().Failing(t.Context(), reconcile.ImageKey("app", badImage), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(seen.Failures) != 1 || seen.Promoted != "" || seen.Labels["Deployment/web"] == nil {
			t.Fatalf("seen: %+v", seen)
		}
		f := seen.Failures[0]
		if f.Trigger != v1alpha1.TriggerCanary || f.Container != "web" || f.Canary.Promoted != goodImage ||
			f.Canary.PromotedBy != "Deployment/web-primary" || f.Revision != "bad at "+noon().Format(time.RFC3339) || len(f.Canary.Doubts) != 0 {
			t.Errorf("the failure is %+v with %+v", f, f.Canary)
		}
		// While it has failed, Flagger writes its status at each look.
		s.put(t, canaryOfWeb(t, map[string]any{"lastTransitionTime": noon().Add(time.Minute).Format(time.RFC3339)}))
		want(t, "the same again", r)
		s.put(t, deployment(goodImage))
		s.put(t, canaryOfWeb(t, map[string]any{"lastAppliedSpec": "good"}))
		want(t, "Git is back", r, webKey)
		if seen, err = w.Pods().Failing(t.Context(), reconcile.ImageKey("app", badImage), nil); err != nil || len(seen.Failures) != 0 {
			t.Errorf("seen: %+v %v", seen, err)
		}
		if len(told) != 0 {
			t.Errorf("told: %q", told)
		}
	})
}

func TestWhatACanaryRefusesForAnotherReasonIsOnlyTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Its primary has the same image: it was promoted, or something else changed.
		s, r := newAPIServer(t, deployment(badImage), analysed(badImage), primaryOfWeb(badImage)), &walks{}
		var told []string
		run(t, s, r, Options{TellRollout: func(ref v1alpha1.ObjectRef, says string) { told = append(told, ref.String()+": "+says) }})
		explains(t, s, "web", noon())
		s.put(t, canaryOfWeb(t, nil))
		want(t, "no image changed", r)
		if len(told) != 1 || !strings.Contains(told[0], "Canary/app/web: an update of Deployment/web is refused") ||
			!strings.Contains(told[0], "Deployment/web-primary runs the same images") {
			t.Errorf("told: %q", told)
		}
	})
}

// One object with strange fields costs that object alone, and a CRD that comes later is found.
func TestAStrangeCanaryCostsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, deployment(badImage), analysed(badImage), primaryOfWeb(goodImage)), &walks{}
		s.forbid("canaries", 404)
		found := &kube.Unreadables{}
		var said []string
		found.Tell = func(u *kube.Unreadable) { said = append(said, u.Ref.String()) }
		run(t, s, r, Options{Unreadable: found})
		time.Sleep(time.Minute)
		odd := canaryOfWeb(t, map[string]any{"conditions": "none"})
		odd.SetName("odd")
		s.put(t, odd)
		explains(t, s, "web", noon())
		s.put(t, canaryOfWeb(t, nil))
		want(t, "no CRD yet", r)
		s.forbid("canaries", 0)
		time.Sleep(2 * time.Minute)
		want(t, "the CRD is there", r, webKey)
		if len(said) != 1 || said[0] != "Canary/app/odd" {
			t.Errorf("said: %q", said)
		}
	})
}

// What crashes in a workload that Flagger made is not its image's fault: it was promoted.
func TestWhatFlaggerMadeIsNotBlamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := primaryOfWeb(badImage)
		d.Annotations = map[string]string{annotationRevision: "2"}
		s := newAPIServer(t, d)
		p := &Pods{Client: s.clients(t).Core, Now: time.Now}
		for name, image := range map[string]string{"h1": goodImage, "h2": badImage} {
			rs := replicaSet("web-primary-"+name, image)
			rs.OwnerReferences[0].UID, rs.OwnerReferences[0].Name = d.UID, d.Name
			rs.Labels = map[string]string{"app": "web", appsv1.DefaultDeploymentUniqueLabelKey: name}
			rs.Annotations = map[string]string{annotationRevision: strings.TrimPrefix(name, "h")}
			s.put(t, rs)
		}
		for _, node := range []string{"a", "b"} {
			s.put(t, &corev1.Pod{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
				ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: "crash-" + node,
					Labels: map[string]string{"app": "web", "pod-template-hash": "h2"}},
				Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "web", Image: badImage}}},
				Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
					Name: "web", RestartCount: 4, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
					LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error",
						StartedAt: metav1.Now(), FinishedAt: metav1.Now()}},
				}}},
			})
		}
		seen, err := p.observe(t.Context(), newLook(p.Client, "app"), "Deployment", "web-primary")
		if err != nil {
			t.Fatal(err)
		}
		if len(seen.judged) != 1 || len(seen.judged.keys("app")) != 0 || !strings.Contains(seen.elsewhere(), "Canary/web made the workload") {
			t.Errorf("judged: %+v, says %q", seen.judged, seen.elsewhere())
		}
		if key := reconcile.ImageKey("app", badImage); len(seen.judged.keys("app")) > 0 {
			t.Errorf("%s is blamed", key)
		}
	})
}
