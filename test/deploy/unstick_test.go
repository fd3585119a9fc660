package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// withUnstick is an overlay with the component.
const withUnstick = `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [KUSTOMIZE/OVERLAY]
components: [KUSTOMIZE/components/unstick]
`

// rendered is what an overlay applies, by kind and name.
func (s suite) rendered(t *testing.T, dir string) map[string]*unstructured.Unstructured {
	t.Helper()
	out := map[string]*unstructured.Unstructured{}
	for _, doc := range strings.Split(s.kubectl(t, "kustomize", dir), "\n---\n") {
		o := object(t, doc)
		out[o.GetKind()+"/"+o.GetName()] = o
	}
	return out
}

// unstickAdds checks that the component adds one rule and one flag to an overlay, and leaves the rest as it was.
func (s suite) unstickAdds(t *testing.T, overlay, role string) {
	t.Helper()
	before := s.rendered(t, s.folder(overlay))
	after := s.rendered(t, s.overlay(t, strings.ReplaceAll(withUnstick, "OVERLAY", overlay)))
	added := func(object string, fields ...string) (was, is []any) {
		was, _, _ = unstructured.NestedSlice(before[object].Object, fields...)
		is, _, _ = unstructured.NestedSlice(after[object].Object, fields...)
		return was, is
	}
	was, is := added(role, "rules")
	rule := map[string]any{"apiGroups": []any{""}, "resources": []any{"pods"}, "verbs": []any{"delete"}}
	if diff := cmp.Diff(append(was, rule), is); diff != "" {
		t.Errorf("the rules of %s (-want +got):\n%s", role, diff)
	}
	args := func(o *unstructured.Unstructured) ([]any, map[string]any) {
		all, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		c := all[0].(map[string]any)
		list := c["args"].([]any)
		delete(c, "args")
		return list, c
	}
	wasArgs, wasRest := args(before["Deployment/backstop"])
	isArgs, isRest := args(after["Deployment/backstop"])
	if diff := cmp.Diff(append(wasArgs, "--unstick"), isArgs); diff != "" {
		t.Errorf("the sidecar's arguments (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wasRest, isRest); diff != "" {
		t.Errorf("the rest of its container (-want +got):\n%s", diff)
	}
	for _, changed := range []string{role, "Deployment/backstop"} {
		delete(before, changed)
		delete(after, changed)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the component changes more (-without +with):\n%s", diff)
	}
}

// asBackstop is Backstop's own ServiceAccount, with the rights that RBAC grants it.
func (s suite) asBackstop(t *testing.T) client.Client {
	t.Helper()
	return clientAs(t, s.env.Config, backstop,
		"system:serviceaccounts", "system:serviceaccounts:backstop-system", "system:authenticated")
}

// stuckPod makes a pod of an owner, or of none, that nobody schedules. The owner is of a version that the garbage collector
// does not know, so that it leaves the pod although the owner is not there.
func (s suite) stuckPod(t *testing.T, name, owner string) *unstructured.Unstructured {
	t.Helper()
	pod := object(t, fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {namespace: apps, name: %s}, "+
		"spec: {containers: [{name: web, image: 'web:v2'}]}}", name))
	if group, kind, ok := strings.Cut(owner, " "); ok {
		pod.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: group, Kind: kind, Name: "web", UID: "u1", Controller: new(true)}})
	}
	// The controller manager makes the namespace's ServiceAccount, which takes it a moment.
	eventually(t, func(ctx context.Context) error {
		err := s.admin.Create(ctx, pod.DeepCopy())
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
	return pod
}

func (s suite) unstick(t *testing.T) {
	s.unstickAdds(t, "default", "ClusterRole/backstop")
	s.unstickAdds(t, "tenant", "Role/backstop")

	pod := s.stuckPod(t, "web-0", "apps/v1beta9 StatefulSet")
	if err := s.asBackstop(t).Delete(t.Context(), pod); !apierrors.IsForbidden(err) {
		t.Errorf("without the component a pod is deleted, or not for RBAC: %v", err)
	}

	s.kubectl(t, "apply", "--server-side", "--force-conflicts", "-k",
		s.overlay(t, strings.ReplaceAll(withUnstick, "OVERLAY", "default")))
	s.ask(t, backstop, true, right{verbs: "delete", resources: "pods"})
	s.ask(t, backstop, false, right{verbs: "create update patch deletecollection", resources: "pods"},
		right{verbs: "delete", resources: "replicasets.apps jobs.batch " + workloads})
	s.deletesWhatIsStuckAlone(t)
	// No admission policy is in its way either.
	if err := s.asBackstop(t).Delete(t.Context(), pod); err != nil {
		t.Errorf("with the component the pod is not deleted: %v", err)
	}
	if err := s.admin.Get(t.Context(), client.ObjectKeyFromObject(pod), pod.DeepCopy()); !apierrors.IsNotFound(err) {
		t.Errorf("the pod is still there: %v", err)
	}

	s.kubectl(t, "apply", "--server-side", "--force-conflicts", "-k", s.folder("default"))
	eventually(t, func(ctx context.Context) error {
		ok, err := s.can(ctx, backstop, "delete", "pods", types.NamespacedName{Namespace: "apps"})
		if ok {
			return errors.New("may delete pods without the component")
		}
		return err
	})
}

// deletesWhatIsStuckAlone asks the admission policy about all that the right to delete pods allows.
func (s suite) deletesWhatIsStuckAlone(t *testing.T) {
	for name, c := range map[string]struct {
		owner string
		ready bool
		says  string
	}{
		"bare":                  {"", false, "only pods of a StatefulSet or a DaemonSet"},
		"of-a-deployment":       {"apps/v1beta9 ReplicaSet", false, "only pods of a StatefulSet or a DaemonSet"},
		"of-a-job":              {"batch/v9 Job", false, "only pods of a StatefulSet or a DaemonSet"},
		"of-another-group":      {"apps.example.com/v1 StatefulSet", false, "only pods of a StatefulSet or a DaemonSet"},
		"that-serves":           {"apps/v1beta9 StatefulSet", true, "only pods that are not ready"},
		"of-a-daemonset-serves": {"apps/v1beta9 DaemonSet", true, "only pods that are not ready"},
		"of-a-daemonset":        {"apps/v1beta9 DaemonSet", false, ""},
	} {
		pod := s.stuckPod(t, name, c.owner)
		if err := s.admin.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
			t.Fatal(err)
		}
		state := map[bool]string{true: "True", false: "False"}[c.ready]
		patch := client.RawPatch(types.MergePatchType, []byte(`{"status":{"conditions":[{"type":"Ready","status":"`+state+`"}]}}`))
		if err := s.admin.Status().Patch(t.Context(), pod, patch); err != nil {
			t.Fatal(err)
		}
		// What forbids it is in force a moment after it was applied.
		eventually(t, func(ctx context.Context) error {
			err := s.asBackstop(t).Delete(ctx, pod, client.DryRunAll)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				return fmt.Errorf("pod %s: %w, want %q", name, err, c.says)
			}
			return nil
		})
		if err := s.admin.Delete(t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
			t.Error(err)
		}
	}
}
