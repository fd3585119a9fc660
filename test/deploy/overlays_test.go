package deploy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

func (s suite) defaultOverlay(t *testing.T) {
	s.kubectl(t, "apply", "--server-side", "--force-conflicts", "--validate=strict", "-k", s.folder("default"))
	// A second apply changes nothing: diff fails if it would.
	s.kubectl(t, "diff", "--server-side", "--force-conflicts", "-k", s.folder("default"))

	// The namespace demands the restricted Pod Security Standard, and the pods are let in.
	s.pods(t, "backstop-system")

	var d appsv1.Deployment
	if err := s.admin.Get(t.Context(), client.ObjectKey{Namespace: "backstop-system", Name: "backstop"}, &d); err != nil {
		t.Fatal(err)
	}
	c := d.Spec.Template.Spec.Containers[0]
	for what, ok := range map[string]bool{
		"a read-only root":                     *c.SecurityContext.ReadOnlyRootFilesystem,
		"no capability":                        cmp.Equal(c.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"}),
		"a memory limit":                       !c.Resources.Limits.Memory().IsZero(),
		"a CPU request":                        !c.Resources.Requests.Cpu().IsZero(),
		"more time to stop than a push":        *d.Spec.Template.Spec.TerminationGracePeriodSeconds > 25,
		"probes on 9440":                       c.LivenessProbe.HTTPGet.Path == "/healthz" && c.ReadinessProbe.HTTPGet.Path == "/readyz",
		"the memory limit known to Go":         limitKnown(c),
		"a mirror folder that cannot fill up":  !d.Spec.Template.Spec.Volumes[0].EmptyDir.SizeLimit.IsZero(),
		"a binding to the right namespace":     s.namespaceInPolicy(t) == backstop,
		"its own part-of, which is not Flux's": d.Labels["app.kubernetes.io/part-of"] == "backstop",
	} {
		if !ok {
			t.Errorf("the Deployment lacks %s", what)
		}
	}
}

func limitKnown(c corev1.Container) bool {
	for _, e := range c.Env {
		if e.Name == "GOMEMLIMIT" {
			return e.ValueFrom.ResourceFieldRef.Resource == "limits.memory"
		}
	}
	return false
}

// pods waits until the controller manager has made a replica of the Deployment.
func (s suite) pods(t *testing.T, namespace string) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		var sets appsv1.ReplicaSetList
		if err := s.admin.List(ctx, &sets, client.InNamespace(namespace)); err != nil {
			return err
		}
		for _, set := range sets.Items {
			for _, c := range set.Status.Conditions {
				if c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue {
					return fmt.Errorf("the pods are refused: %s", c.Message)
				}
			}
			if set.Status.Replicas > 0 {
				return nil
			}
		}
		return errNotYet
	})
}

// namespaceInPolicy is who the admission policy takes for Backstop.
func (s suite) namespaceInPolicy(t *testing.T) string {
	t.Helper()
	name := s.kubectl(t, "get", "validatingadmissionpolicy", "backstop-rollbacks", "-o", "jsonpath={.spec.variables[?(@.name=='backstop')].expression}")
	return strings.Trim(name, "'")
}

// can asks the API server what RBAC grants a user.
func (s suite) can(ctx context.Context, user, verb, resource string, in types.NamespacedName) (bool, error) {
	resource, subresource, _ := strings.Cut(resource, "/")
	resource, group, _ := strings.Cut(resource, ".")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   user,
		Groups: []string{"system:authenticated", "system:serviceaccounts"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verb, Group: group, Resource: resource, Subresource: subresource,
			Namespace: in.Namespace, Name: in.Name,
		},
	}}
	if err := s.admin.Create(ctx, review); err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

// right is a question to RBAC: verbs on resources (RESOURCE.GROUP/SUBRESOURCE) in a namespace.
type right struct{ verbs, resources, namespace, name string }

// ask checks that each verb on each resource is allowed, or is not. What is
// allowed may take the API server's caches a moment.
func (s suite) ask(t *testing.T, user string, allowed bool, rights ...right) {
	t.Helper()
	for _, r := range rights {
		for _, resource := range strings.Fields(r.resources) {
			for _, verb := range strings.Fields(r.verbs) {
				eventually(t, func(ctx context.Context) error {
					got, err := s.can(ctx, user, verb, resource, types.NamespacedName{Namespace: r.namespace, Name: r.name})
					if err == nil && got && !allowed {
						t.Errorf("%s may %s %s in %q", user, verb, resource, r.namespace)
						return nil
					}
					if err == nil && got != allowed {
						err = fmt.Errorf("%s may not %s %s in %q", user, verb, resource, r.namespace)
					}
					return err
				})
			}
		}
	}
}

const (
	appliers = "gitrepositories.source.toolkit.fluxcd.io kustomizations.kustomize.toolkit.fluxcd.io " +
		"helmreleases.helm.toolkit.fluxcd.io"
	fluxKinds = appliers + " imageupdateautomations.image.toolkit.fluxcd.io"
	workloads = "deployments.apps statefulsets.apps daemonsets.apps"
)

func (s suite) rights(t *testing.T) {
	s.ask(t, backstop, true,
		right{verbs: "get list watch", resources: "pods " + workloads},
		right{verbs: "get list watch", resources: "cronjobs.batch"},
		right{verbs: "get list", resources: "replicasets.apps"},
		right{verbs: "list", resources: "controllerrevisions.apps"},
		right{verbs: "get", resources: "jobs.batch nodes"},
		right{verbs: "list watch", resources: "namespaces imagepolicies.image.toolkit.fluxcd.io rollbackpolicies.backstop.dev"},
		right{verbs: "get", resources: "namespaces", name: "kube-system"},
		right{verbs: "get", resources: "validatingadmissionpolicies.admissionregistration.k8s.io " +
			"validatingadmissionpolicybindings.admissionregistration.k8s.io", name: "backstop-rollbacks"},
		right{verbs: "list watch patch", resources: fluxKinds},
		right{verbs: "get", resources: appliers},
		right{verbs: "list", resources: "imagerepositories.image.toolkit.fluxcd.io"},
		right{verbs: "get list watch create update delete", resources: "rollbacks.backstop.dev"},
		right{verbs: "update", resources: "rollbacks.backstop.dev/status rollbackpolicies.backstop.dev/status"},
		right{verbs: "create patch list watch", resources: "events"},
		right{verbs: "create", resources: "leases.coordination.k8s.io", namespace: "backstop-system"},
		right{verbs: "get update", resources: "leases.coordination.k8s.io", namespace: "backstop-system", name: "backstop"},
	)
	s.ask(t, backstop, false,
		right{verbs: "get list watch create update patch delete", resources: "secrets configmaps serviceaccounts"},
		right{verbs: "get list", resources: "secrets", namespace: "backstop-system"},
		right{verbs: "create update patch delete deletecollection", resources: "pods nodes namespaces " + workloads},
		right{verbs: "watch", resources: "replicasets.apps controllerrevisions.apps"},
		right{verbs: "list watch", resources: "jobs.batch nodes"},
		right{verbs: "get", resources: "namespaces", name: "apps"},
		right{verbs: "create update delete", resources: fluxKinds},
		right{verbs: "create update patch delete", resources: "imagepolicies.image.toolkit.fluxcd.io imagerepositories.image.toolkit.fluxcd.io"},
		right{verbs: "create update patch delete", resources: "rollbackpolicies.backstop.dev"},
		right{verbs: "patch deletecollection", resources: "rollbacks.backstop.dev"},
		right{verbs: "create", resources: "pods/exec serviceaccounts/token tokenreviews.authentication.k8s.io"},
		right{verbs: "get update", resources: "leases.coordination.k8s.io", namespace: "kube-system", name: "backstop"},
		right{verbs: "get update", resources: "leases.coordination.k8s.io", namespace: "backstop-system", name: "another"},
		right{verbs: "bind escalate create update patch", resources: "clusterroles.rbac.authorization.k8s.io roles.rbac.authorization.k8s.io"},
	)
}

func (s suite) credentials(t *testing.T) {
	dir := s.overlay(t, `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: apps
components: [KUSTOMIZE/components/credentials]
patches:
- target: {kind: Role, name: backstop-credentials}
  patch: |-
    - op: replace
      path: /rules/0/resourceNames
      value: [git, registry]
`)
	s.kubectl(t, "apply", "--server-side", "-k", dir)
	s.ask(t, backstop, true,
		right{verbs: "get", resources: "secrets", namespace: "apps", name: "git"},
		right{verbs: "get", resources: "secrets", namespace: "apps", name: "registry"},
		right{verbs: "get", resources: "serviceaccounts", namespace: "apps", name: "default"})
	s.ask(t, backstop, false,
		right{verbs: "get", resources: "secrets", namespace: "apps", name: "flux-system"},
		right{verbs: "list watch update patch delete", resources: "secrets serviceaccounts", namespace: "apps"},
		right{verbs: "get", resources: "secrets", namespace: "team-a", name: "git"})
}

// people holds view, edit and admin of one namespace.
func (s suite) people(t *testing.T) {
	for _, role := range []string{"view", "edit", "admin"} {
		s.kubectl(t, "create", "rolebinding", role, "-n", "apps", "--clusterrole="+role, "--user="+role+"er")
	}
	// The controller manager gathers aggregated roles, which takes it a moment.
	both := "rollbacks.backstop.dev rollbackpolicies.backstop.dev"
	for _, user := range []string{"viewer", "editer", "adminer"} {
		s.ask(t, user, true, right{verbs: "get list watch", resources: both, namespace: "apps"})
		s.ask(t, user, false,
			right{verbs: "create delete", resources: "rollbacks.backstop.dev", namespace: "apps"},
			right{verbs: "update patch", resources: "rollbacks.backstop.dev/status", namespace: "apps"},
			right{verbs: "get", resources: both, namespace: "team-a"})
	}
	s.ask(t, "adminer", true, right{verbs: "patch update", resources: "rollbacks.backstop.dev", namespace: "apps"})
	s.ask(t, "editer", false, right{verbs: "patch update", resources: "rollbacks.backstop.dev", namespace: "apps"})
}

func (s suite) tenantOverlay(t *testing.T) {
	// As the comment in the overlay tells a tenant to.
	dir := s.overlay(t, `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: team-a
resources: [KUSTOMIZE/tenant]
patches:
- target: {kind: Deployment, name: backstop}
  patch: |-
    - {op: replace, path: /spec/template/spec/containers/0/args/6, value: "--platforms=linux/amd64,linux/arm64"}
- target: {kind: Role, name: backstop-credentials}
  patch: |-
    - {op: replace, path: /rules/0/resourceNames, value: [git-write, registry]}
`)
	text := s.kubectl(t, "kustomize", dir)
	for _, doc := range strings.Split(text, "\n---\n") {
		var o metav1.PartialObjectMetadata
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			t.Fatal(err)
		}
		if o.Namespace != "team-a" {
			t.Errorf("%s %s reaches beyond the namespace", o.Kind, o.Name)
		}
	}
	// Without what the default overlay grants, so that what is left is the tenant's own.
	s.kubectl(t, "delete", "--wait=false", "clusterrolebinding", "backstop", "backstop-cluster")
	s.kubectl(t, "apply", "--server-side", "--force-conflicts", "-k", s.folder("tenant/cluster"))
	s.kubectl(t, "apply", "--server-side", "--validate=strict", "-k", dir)
	s.kubectl(t, "label", "namespace", "team-a", "pod-security.kubernetes.io/enforce=restricted")
	s.pods(t, "team-a")

	args := s.kubectl(t, "get", "deployment", "backstop", "-n", "team-a", "-o", "jsonpath={.spec.template.spec.containers[0].args}")
	if want := `["--leader-elect","--storage=/data","--metrics-addr=:8080","--health-addr=:9440",` +
		`"--no-cross-namespace-refs","--namespaces=$(POD_NAMESPACE)","--platforms=linux/amd64,linux/arm64"]`; args != want {
		t.Errorf("the tenant's sidecar runs with %s, want %s", args, want)
	}

	const tenant = "system:serviceaccount:team-a:backstop"
	s.ask(t, tenant, true,
		right{verbs: "get list watch", resources: "pods " + workloads, namespace: "team-a"},
		right{verbs: "list watch patch", resources: fluxKinds, namespace: "team-a"},
		right{verbs: "get", resources: "secrets", namespace: "team-a", name: "git-write"},
		right{verbs: "get update", resources: "leases.coordination.k8s.io", namespace: "team-a", name: "backstop"})
	s.ask(t, tenant, false,
		right{verbs: "get list watch", resources: "pods namespaces nodes secrets " + workloads + " " + fluxKinds},
		right{verbs: "get", resources: "pods " + fluxKinds, namespace: "apps"},
		right{verbs: "get", resources: "secrets", namespace: "team-a", name: "flux-system"})

	// In each namespace its own Backstop opens Rollbacks, and no other's.
	rollback := func(namespace, name string) *unstructured.Unstructured {
		return object(t, fmt.Sprintf("{apiVersion: backstop.dev/v1alpha1, kind: Rollback, metadata: {namespace: %s, name: %s}, "+
			"spec: {openedFor: ImagePull, subject: {kind: Image, name: 'web:v1'}}}", namespace, name))
	}
	eventually(t, func(ctx context.Context) error {
		return s.almighty(t, tenant).Create(ctx, rollback("team-a", "own"))
	})
	const sentence = "only Backstop (system:serviceaccount:team-a:backstop) opens a Rollback"
	want(t, s.almighty(t, backstop).Create(t.Context(), rollback("team-a", "central")), sentence)
	want(t, s.almighty(t, tenant).Create(t.Context(), rollback("apps", "foreign")), "opens a Rollback")
}
