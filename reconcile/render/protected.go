package render

import (
	"io/fs"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// neverBack are the kinds that are never reverted: data, rights and credentials depend on them, and what everybody
// else's objects are asked for.
var neverBack = []string{
	"CustomResourceDefinition", "Namespace", "APIService",
	"PersistentVolumeClaim", "PersistentVolume", "StorageClass", "CSIDriver", "VolumeSnapshot", "VolumeSnapshotContent",
	"VolumeSnapshotClass", "VolumeAttributesClass",
	"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "ServiceAccount", "Secret", "SealedSecret",
	"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "MutatingAdmissionPolicy",
	"MutatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
	"AuthorizationPolicy", "PeerAuthentication", "PodDisruptionBudget", "ResourceQuota", "LimitRange", "PriorityClass",
	"RuntimeClass", "IngressClass", "GatewayClass",
}

// isProtected reports whether objects of a kind are never reverted.
func isProtected(o *unstructured.Unstructured) bool {
	kind := o.GetKind()
	return slices.Contains(neverBack, kind) || strings.HasSuffix(kind, "NetworkPolicy") ||
		strings.HasPrefix(o.GroupVersionKind().Group, "rbac.authorization.k8s.io")
}

// spares refuses a change of what is never reverted: against what was applied, what Git says, and in the files that
// go back, which may not be built.
func (p *proof) spares(now, left []*unstructured.Unstructured, built bool, tip, after fs.FS) error {
	versions := [][]*unstructured.Unstructured{p.good}
	if built {
		versions = append(versions, now)
	}
	for i, other := range versions {
		for _, o := range slices.Concat(other, left) {
			was, is := find(other, o), find(left, o)
			if same(was, is) {
				continue
			}
			if err := p.risks(o, was, is); err != nil {
				return err
			}
			if i == 0 && was != nil && is != nil && !equality.Semantic.DeepEqual(fixed(was), fixed(is)) {
				return reconcile.NotUndone(v1alpha1.DoubtStillFails, "the API server would refuse %s, of which it lets nobody "+
					"change what changes", appliedOf(o))
			}
		}
		if err := scaled(other, left); err != nil {
			return err
		}
		if err := p.sways(other, left); err != nil {
			return err
		}
	}
	for _, file := range p.Files {
		was, is := documents(tip, file), documents(after, file)
		for _, o := range slices.Concat(was, is) {
			switch {
			case same(find(was, o), find(is, o)):
			case o.Object["sops"] != nil:
				return reconcile.NotUndone(v1alpha1.DoubtEncrypted, "%s is encrypted by SOPS: what it says is not known here", file)
			case isProtected(o):
				return protects(o)
			}
		}
	}
	return nil
}

// risks refuses what one object's change may do that nobody sees in it.
func (p *proof) risks(o, was, is *unstructured.Unstructured) error {
	switch {
	case isProtected(o):
		return protects(o)
	case p.isClusters(o):
		return reconcile.NotUndone(v1alpha1.DoubtProtected, "%s is the whole cluster's, and would change", appliedOf(o))
	case p.appliesOthers(o):
		return reconcile.NotUndone(v1alpha1.DoubtProtected, "%s would change, and what it applies then is not rendered here",
			appliedOf(o))
	case p.Job.Spec.Force || orders(was, "force") == "enabled" || orders(is, "force") == "enabled":
		return reconcile.NotUndone(v1alpha1.DoubtProtected, "Flux deletes %s and makes it anew where a field of it cannot "+
			"be changed (force)", appliedOf(o))
	}
	for _, key := range []string{"prune", "force", "ssa", "reconcile"} {
		if was != nil && is != nil && orders(was, key) != orders(is, key) {
			return reconcile.NotUndone(v1alpha1.DoubtProtected, "what Flux may do to %s would change (%s)", appliedOf(o), key)
		}
	}
	for _, key := range []string{"ssa", "reconcile"} {
		// With "override", the default, Flux makes it what Git says.
		if says := strings.ToLower(orders(o, key)); says != "" && says != "override" && says != "enabled" {
			return reconcile.NotUndone(v1alpha1.DoubtNotRestored, "Flux does not make %s what Git says (%s: %s)", appliedOf(o),
				key, orders(o, key))
		}
	}
	if was != nil && is != nil {
		for _, f := range was.GetFinalizers() {
			if !slices.Contains(is.GetFinalizers(), f) {
				return reconcile.NotUndone(v1alpha1.DoubtProtected, "%s would lose its finalizer", appliedOf(o))
			}
		}
	}
	return nil
}

func protects(o *unstructured.Unstructured) error {
	return reconcile.NotUndone(v1alpha1.DoubtProtected, "%s would change, and that is never reverted", appliedOf(o))
}

// orders is what an object tells kustomize-controller to do with it, by an annotation or a label.
func orders(o *unstructured.Unstructured, key string) string {
	if o == nil {
		return ""
	}
	key = "kustomize.toolkit.fluxcd.io/" + key
	if v, ok := o.GetAnnotations()[key]; ok {
		return v
	}
	return o.GetLabels()[key]
}

// isClusters reports whether an object is in no namespace. One that was applied is known by its name in the inventory.
func (p *proof) isClusters(o *unstructured.Unstructured) bool {
	if o.GetNamespace() != "" || p.Job.Spec.TargetNamespace != "" {
		return false
	}
	of := appliedOf(o)
	return !slices.ContainsFunc(p.Applied, func(a reconcile.AppliedObject) bool {
		return a.Namespace != "" && a.Group == of.Group && a.Kind == of.Kind && a.Name == of.Name
	})
}

// appliesOthers reports whether an object makes other objects of what is not rendered here. The one that fails, and
// what its chart comes from, are known to be what they were.
func (p *proof) appliesOthers(o *unstructured.Unstructured) bool {
	if p.isItself(o) {
		return false
	}
	group := o.GroupVersionKind().Group
	return group == "kustomize.toolkit.fluxcd.io" || group == "helm.toolkit.fluxcd.io" ||
		group == "source.toolkit.fluxcd.io" || strings.HasSuffix(group, "fluxcd.controlplane.io") ||
		group == "argoproj.io" && strings.HasPrefix(o.GetKind(), "Application")
}

// isItself reports whether an object is the one that fails, or a HelmRelease that fails takes its chart from it.
func (p *proof) isItself(o *unstructured.Unstructured) bool {
	ref := refOf(o)
	return p.Object != nil && (names(ref, *p.Object) ||
		p.Release != nil && slices.Contains(takenBy(p.good, *p.Object), ref))
}

// sways refuses to change what others that apply take values, variables or their chart from.
func (p *proof) sways(other, left []*unstructured.Unstructured) error {
	for _, by := range left {
		if p.Object != nil && names(refOf(by), *p.Object) {
			continue
		}
		for _, ref := range takenBy(left, refOf(by)) {
			if says(other, ref) != says(left, ref) {
				return reconcile.NotUndone(v1alpha1.DoubtProtected, "%s takes from %s, which would change, and what it applies "+
					"then is not rendered here", appliedOf(by), ref)
			}
		}
	}
	return nil
}

// fixed is what the API server lets nobody change of an object.
func fixed(o *unstructured.Unstructured) map[string]any {
	if o == nil {
		return nil
	}
	out := map[string]any{}
	take := func(path ...string) {
		if v, ok, err := unstructured.NestedFieldNoCopy(o.Object, path...); ok && err == nil {
			out[strings.Join(path, ".")] = v
		}
	}
	switch o.GetKind() {
	case "Deployment", "DaemonSet", "ReplicaSet":
		take("spec", "selector")
	case "StatefulSet":
		for _, field := range []string{"selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"} {
			take("spec", field)
		}
	case "Job":
		for _, field := range []string{"selector", "template", "completionMode", "podFailurePolicy"} {
			take("spec", field)
		}
	case "Service":
		take("spec", "clusterIP")
	case "ConfigMap":
		if fix, _, _ := unstructured.NestedBool(o.Object, "immutable"); fix {
			take("data")
			take("binaryData")
		}
	default:
		return nil
	}
	return out
}

// scaled refuses to set the replicas of what something else scales.
func scaled(other, left []*unstructured.Unstructured) error {
	for _, by := range slices.Concat(other, left) {
		if by.GetKind() != "HorizontalPodAutoscaler" && by.GetKind() != "ScaledObject" {
			continue
		}
		target, _, _ := unstructured.NestedStringMap(by.Object, "spec", "scaleTargetRef")
		for _, o := range left {
			kind := target["kind"]
			if kind == "" {
				kind = "Deployment"
			}
			if o.GetKind() != kind || o.GetName() != target["name"] || o.GetNamespace() != by.GetNamespace() {
				continue
			}
			is, set, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", "replicas")
			was := find(other, o)
			if !set || was == nil {
				continue
			}
			before, _, _ := unstructured.NestedFieldNoCopy(was.Object, "spec", "replicas")
			if !equality.Semantic.DeepEqual(before, is) {
				return reconcile.NotUndone(v1alpha1.DoubtProtected, "the replicas of %s would be set, which %s scales",
					appliedOf(o), appliedOf(by))
			}
		}
	}
	return nil
}
