package deploy_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const withFastForward = `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [KUSTOMIZE/default]
components: [KUSTOMIZE/components/fast-forward]
`

// optsIn is what a namespace applies that allows it.
const optsIn = `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: ahead
components: [KUSTOMIZE/components/fast-forward/namespace]
`

// forwarded is a workload as Flux applies one.
const forwarded = `
apiVersion: apps/v1
kind: KIND
metadata:
  namespace: NAMESPACE
  name: web
  labels: {kustomize.toolkit.fluxcd.io/name: apps, kustomize.toolkit.fluxcd.io/namespace: flux-system}
  annotations: {owner: team-a}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers:
      - {name: migrate, image: "reg.example:5000/team/web:v2"}
      containers:
      - {name: web, image: "reg.example:5000/team/web:v2", env: [{name: A, value: b}]}
      - {name: proxy, image: proxy}
`

func (s suite) workload(t *testing.T, kind, namespace string) *unstructured.Unstructured {
	t.Helper()
	return s.create(t, strings.NewReplacer("KIND", kind, "NAMESPACE", namespace).Replace(forwarded))
}

func (s suite) fastForward(t *testing.T) {
	for _, ns := range []string{"ahead", "behind"} {
		s.create(t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+ns+"}}")
	}
	s.kubectl(t, "label", "namespace", "ahead", "kube-system", "backstop.dev/fast-forward=enabled")
	before := s.rendered(t, s.folder("default"))
	after := s.rendered(t, s.overlay(t, withFastForward))
	for _, added := range []string{"ClusterRole/backstop-fast-forward", "ValidatingAdmissionPolicy/backstop-workloads",
		"ValidatingAdmissionPolicyBinding/backstop-workloads"} {
		if before[added] != nil || after[added] == nil {
			t.Errorf("the component does not add %s", added)
		}
	}
	s.kubectl(t, "apply", "--server-side", "--force-conflicts", "-k", s.overlay(t, withFastForward))
	s.ask(t, backstop, false, right{verbs: "patch", resources: workloads, namespace: "ahead"})
	s.kubectl(t, "apply", "--server-side", "-k", s.overlay(t, optsIn))
	s.ask(t, backstop, true, right{verbs: "patch", resources: "deployments.apps daemonsets.apps statefulsets.apps", namespace: "ahead"})
	s.ask(t, backstop, false, right{verbs: "patch", resources: "deployments.apps", namespace: "behind"},
		right{verbs: "create update delete", resources: "deployments.apps", namespace: "ahead"})

	s.setsImagesAlone(t)
	t.Run("uninstall takes its field manager away", s.uninstallsManager)

	s.kubectl(t, "label", "namespace", "kube-system", "backstop.dev/fast-forward-")
	s.kubectl(t, "delete", "namespace", "ahead", "behind", "--wait=false")
	for added := range after {
		if before[added] == nil {
			kind, name, _ := strings.Cut(added, "/")
			s.kubectl(t, "delete", kind, name)
		}
	}
	s.kubectl(t, "apply", "--server-side", "--force-conflicts", "-k", s.folder("default"))
}

// uninstallsManager runs what docs/upgrade.md says about the field manager, on workloads that Backstop set and on one
// that it did not.
func (s suite) uninstallsManager(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(s.env.Root, "docs", "upgrade.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```sh\n([^`]*kubectl-backstop.*?)```").FindStringSubmatch(string(page))
	if block == nil {
		t.Fatal("docs/upgrade.md does not say how the field manager is taken away")
	}
	managers := func(kind string) (all []string) {
		o := object(t, strings.NewReplacer("KIND", kind, "NAMESPACE", "ahead").Replace(forwarded))
		if err := s.admin.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		for _, m := range o.GetManagedFields() {
			all = append(all, m.Manager)
		}
		return all
	}
	before := managers("StatefulSet")
	for _, kind := range []string{"Deployment", "DaemonSet"} {
		o := object(t, strings.NewReplacer("KIND", kind, "NAMESPACE", "ahead").Replace(forwarded))
		const good = `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"reg.example:5000/team/web:v1"}]`
		err := s.admin.Patch(t.Context(), o, client.RawPatch(types.JSONPatchType, []byte(good)), client.FieldOwner("kubectl-backstop"))
		if err != nil || !slices.Contains(managers(kind), "kubectl-backstop") {
			t.Fatalf("%s is managed by %q, %v", kind, managers(kind), err)
		}
	}
	// Twice: what is not there is not taken away.
	for range 2 {
		if out, err := s.env.Shell(t.Context(), block[1]); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for _, kind := range []string{"Deployment", "DaemonSet"} {
		if all := managers(kind); len(all) == 0 || slices.Contains(all, "kubectl-backstop") {
			t.Errorf("%s is managed by %q", kind, all)
		}
	}
	if diff := cmp.Diff(before, managers("StatefulSet")); diff != "" {
		t.Errorf("of what Backstop did not set (-want +got):\n%s", diff)
	}
}

// setsImagesAlone asks the admission policy about everything that a patch could do.
func (s suite) setsImagesAlone(t *testing.T) {
	const (
		onlySet    = "Backstop may only set images of workloads"
		optIn      = "only in namespaces labelled backstop.dev/fast-forward: enabled"
		ofFlux     = "only of workloads that Flux applies"
		nothingBut = "Backstop may change nothing of a workload but images"
		same       = "only to another one of the same repository"
		good       = `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"reg.example:5000/team/web:v1"}]`
	)
	as := s.almighty(t, backstop)
	patch := func(ctx context.Context, o *unstructured.Unstructured, body string) error {
		return as.Patch(ctx, o.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(body)), client.FieldOwner("kubectl-backstop"), client.DryRunAll)
	}
	web := s.workload(t, "Deployment", "ahead")
	// From here on the policy is in force.
	eventually(t, func(ctx context.Context) error {
		return refused(patch(ctx, web, `[{"op":"replace","path":"/spec/replicas","value":3}]`), nothingBut)
	})
	container := func(value string) string {
		return strings.Replace(good, "reg.example:5000/team/web:v1", value, 1)
	}
	for _, tt := range []struct{ name, body, want string }{
		{"sets an image", good, ""},
		{"sets it by digest", container("reg.example:5000/team/web@sha256:" + strings.Repeat("0", 64)), ""},
		{"sets the one of an init container too", strings.Replace(good, "]", `,{"op":"replace","path":"/spec/template/spec/initContainers/0/image","value":"reg.example:5000/team/web:v1"}]`, 1), ""},
		{"sets another repository", container("reg.example:5000/team/other:v1"), same},
		{"sets another registry", container("reg.evil:5000/team/web:v1"), same},
		{"sets another port", container("reg.example:5001/team/web:v1"), same},
		{"sets a repository without a tag for one with", container("reg.example"), same},
		{"swaps two images", `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"proxy"},{"op":"replace","path":"/spec/template/spec/containers/1/image","value":"reg.example:5000/team/web:v2"}]`, same},
		{"takes an image away", `[{"op":"remove","path":"/spec/template/spec/containers/0/image"}]`, ""},
		{"sets a command", `[{"op":"add","path":"/spec/template/spec/containers/0/command","value":["sh"]}]`, nothingBut},
		{"sets a variable", `[{"op":"replace","path":"/spec/template/spec/containers/0/env/0/value","value":"c"}]`, nothingBut},
		{"renames a container", `[{"op":"replace","path":"/spec/template/spec/containers/1/name","value":"other"}]`, nothingBut},
		{"adds a container", `[{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"more","image":"proxy"}}]`, nothingBut},
		{"removes a container", `[{"op":"remove","path":"/spec/template/spec/containers/1"}]`, nothingBut},
		{"moves a container to the init containers", `[{"op":"add","path":"/spec/template/spec/initContainers/-","value":{"name":"proxy","image":"proxy"}},{"op":"remove","path":"/spec/template/spec/containers/1"}]`, nothingBut},
		{"mounts the host", `[{"op":"add","path":"/spec/template/spec/volumes","value":[{"name":"h","hostPath":{"path":"/"}}]}]`, nothingBut},
		{"takes the host's network", `[{"op":"add","path":"/spec/template/spec/hostNetwork","value":true}]`, nothingBut},
		{"annotates the pods", `[{"op":"add","path":"/spec/template/metadata/annotations","value":{"a":"b"}}]`, nothingBut},
		{"pauses", `[{"op":"add","path":"/spec/paused","value":true}]`, nothingBut},
		{"changes an annotation", `[{"op":"replace","path":"/metadata/annotations/owner","value":"me"}]`, nothingBut},
		{"adds a label", `[{"op":"add","path":"/metadata/labels/a","value":"b"}]`, nothingBut},
		{"takes Flux's label away", `[{"op":"remove","path":"/metadata/labels/kustomize.toolkit.fluxcd.io~1name"}]`, nothingBut},
		{"changes nothing", `[]`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "takes an image away" {
				if err := patch(t.Context(), web, tt.body); err == nil {
					t.Error("an image can be taken away")
				}
				return
			}
			want(t, patch(t.Context(), web, tt.body), tt.want)
		})
	}
	t.Run("deletes", func(t *testing.T) { want(t, as.Delete(t.Context(), web.DeepCopy(), client.DryRunAll), onlySet) })
	t.Run("scales", func(t *testing.T) {
		scale := object(t, "{apiVersion: autoscaling/v1, kind: Scale, spec: {replicas: 3}}")
		want(t, as.SubResource("scale").Update(t.Context(), web.DeepCopy(), client.WithSubResourceBody(scale)), onlySet)
	})
	t.Run("a DaemonSet", func(t *testing.T) { want(t, patch(t.Context(), s.workload(t, "DaemonSet", "ahead"), good), "") })
	t.Run("a StatefulSet", func(t *testing.T) { want(t, patch(t.Context(), s.workload(t, "StatefulSet", "ahead"), good), "") })
	t.Run("in a namespace that does not opt in", func(t *testing.T) {
		want(t, patch(t.Context(), s.workload(t, "Deployment", "behind"), good), optIn)
	})
	t.Run("in kube-system, whatever its label", func(t *testing.T) {
		o := s.workload(t, "Deployment", "kube-system")
		want(t, patch(t.Context(), o, good), optIn)
		if err := s.admin.Delete(t.Context(), o); err != nil {
			t.Error(err)
		}
	})
	t.Run("of a workload that is not Flux's", func(t *testing.T) {
		o := object(t, strings.NewReplacer("KIND", "Deployment", "NAMESPACE", "ahead", "name: web\n", "name: own\n").Replace(forwarded))
		o.SetLabels(nil)
		if err := s.admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		want(t, patch(t.Context(), o, good), ofFlux)
	})
}
