package fluxstub

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"
)

func (s *stand) setUpHelm(mgr ctrl.Manager) error {
	// Only a ConfigMap with the label wakes the releases that take values from it.
	releases := func(ctx context.Context, values client.Object) []reconcile.Request {
		var list helmv2.HelmReleaseList
		if values.GetLabels()[meta.LabelKeyWatch] != meta.LabelValueWatchEnabled || mgr.GetClient().List(ctx, &list) != nil {
			return nil
		}
		var woken []reconcile.Request
		for _, hr := range list.Items {
			for _, v := range hr.Spec.ValuesFrom {
				if hr.Namespace == values.GetNamespace() && v.Name == values.GetName() {
					woken = append(woken, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&hr)})
				}
			}
		}
		return woken
	}
	return s.build(mgr, &helmv2.HelmRelease{}).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(releases)).
		Complete(reconcile.Func(s.helm))
}

// valuesOf are a release's values: those of its ConfigMaps, whole or single ones, and over them its own.
func (s *stand) valuesOf(ctx context.Context, hr *helmv2.HelmRelease) ([]byte, error) {
	all := map[string]any{}
	for _, from := range hr.Spec.ValuesFrom {
		var cm corev1.ConfigMap
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: hr.Namespace, Name: from.Name}, &cm); err != nil {
			return nil, fmt.Errorf("could not resolve %s chart values reference '%s/%s': %w", from.Kind, hr.Namespace, from.Name,
				err)
		}
		text := cm.Data[from.GetValuesKey()]
		if from.TargetPath != "" {
			if err := unstructured.SetNestedField(all, text, strings.Split(from.TargetPath, ".")...); err != nil {
				return nil, fmt.Errorf("set %s: %w", from.TargetPath, err)
			}
			continue
		}
		if err := yaml.Unmarshal([]byte(text), &all); err != nil {
			return nil, fmt.Errorf("unable to read values from key '%s': %w", from.GetValuesKey(), err)
		}
	}
	if hr.Spec.Values != nil {
		own := map[string]any{}
		if err := json.Unmarshal(hr.Spec.Values.Raw, &own); err != nil {
			return nil, fmt.Errorf("read the values: %w", err)
		}
		merge(all, own)
	}
	return json.Marshal(all)
}

// merge puts values over others, map by map.
func merge(into, from map[string]any) {
	for k, v := range from {
		was, is := into[k].(map[string]any)
		if now, ok := v.(map[string]any); ok && is {
			merge(was, now)
			continue
		}
		into[k] = v
	}
}

// values are those that the fixed chart knows.
type values struct {
	Replicas *int64 `json:"replicas"`
	Image    struct {
		Repository string `json:"repository"`
		Tag        string `json:"tag"`
		Digest     string `json:"digest"`
	} `json:"image"`
}

// render is the fixed chart: one Deployment by the release's name.
func render(hr *helmv2.HelmRelease, raw []byte) (*unstructured.Unstructured, string, error) {
	var v values
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, "", fmt.Errorf("values don't meet the specifications of the schema: %w", err)
	}
	if v.Image.Repository == "" {
		return nil, "", fmt.Errorf("execution error: values.image.repository is required")
	}
	image := v.Image.Repository
	if v.Image.Tag != "" {
		image += ":" + v.Image.Tag
	}
	if v.Image.Digest != "" {
		image += "@" + v.Image.Digest
	}
	replicas := int64(1)
	if v.Replicas != nil {
		replicas = *v.Replicas
	}
	labels := map[string]any{"app.kubernetes.io/name": hr.GetReleaseName()}
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1",
		"kind":       "Deployment",
		"metadata": map[string]any{
			"namespace": hr.GetReleaseNamespace(),
			"name":      hr.GetReleaseName(),
			"labels": map[string]any{
				helmv2.GroupVersion.Group + "/name": hr.Name, helmv2.GroupVersion.Group + "/namespace": hr.Namespace,
				"app.kubernetes.io/managed-by": "Helm",
			},
		},
		"spec": map[string]any{
			"replicas": replicas,
			"selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": hr.GetReleaseName(), "image": image}}},
			},
		},
	}}
	return o, fmt.Sprintf("sha256:%x", sha256.Sum256(raw)), nil
}

// helm installs or upgrades a release when its values changed, and waits until
// it is healthy. Drift is only corrected where drift detection is enabled, which
// it is not by default.
func (s *stand) helm(ctx context.Context, req ctrl.Request) (ctrl.Result, error) { //nolint:gocyclo // a line a step
	hr := &helmv2.HelmRelease{}
	if err := s.client.Get(ctx, req.NamespacedName, hr); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if hr.Spec.Suspend || hr.DeletionTimestamp != nil || hr.Spec.KubeConfig != nil {
		return ctrl.Result{}, nil
	}
	was := hr.DeepCopy()
	if err := s.releases(ctx, hr); err != nil {
		condition(&hr.Status.Conditions, hr, no(meta.ReadyCondition, helmv2.DependencyNotReadyReason, err.Error()))
		return ctrl.Result{RequeueAfter: s.DependencyWait}, s.save(ctx, was, hr, helmManager)
	}
	raw, err := s.valuesOf(ctx, hr)
	if err != nil {
		condition(&hr.Status.Conditions, hr, no(meta.ReadyCondition, "ValuesError", err.Error()))
		return ctrl.Result{RequeueAfter: s.DependencyWait}, s.save(ctx, was, hr, helmManager)
	}
	object, digest, err := render(hr, raw)
	// A reset lets what failed be tried again, and force upgrades what has not changed.
	reset, force := helmv2.ShouldHandleResetRequest(hr), helmv2.ShouldHandleForceRequest(hr)
	last := hr.Status.History.Latest()
	wait, retries := retryIn(hr)
	again := force || reset && last != nil && last.Status == "failed" || retries && wait == 0
	switch {
	case err != nil:
		condition(&hr.Status.Conditions, hr, no(meta.ReadyCondition, "InstallFailed", err.Error()))
	case !again && isBack(hr, digest):
	case again, digest != hr.Status.LastAttemptedConfigDigest:
		last = nil
		if digest != hr.Status.LastAttemptedConfigDigest {
			hr.Status.Failures, hr.Status.UpgradeFailures, hr.Status.InstallFailures = 0, 0, 0
		}
		for tries := true; tries && !stopping(ctx); {
			if tries, err = s.upgrade(ctx, hr, was, object.DeepCopy(), digest); err != nil {
				return ctrl.Result{}, err
			}
		}
	case hr.GetDriftDetection().GetMode() == helmv2.DriftDetectionEnabled:
		hr.Status.LastAttemptedGeneration = hr.Generation
		if err := s.applyAll(ctx, []*unstructured.Unstructured{object}, helmManager); err != nil {
			return ctrl.Result{}, err
		}
	default:
		hr.Status.LastAttemptedGeneration = hr.Generation
	}
	if stopping(ctx) {
		return ctrl.Result{}, nil
	}
	hr.Status.ObservedGeneration = hr.Generation
	hr.Status.LastHandledReconcileAt = handled(hr)
	settled(hr)
	if last != nil && last.Status == "deployed" && err == nil {
		inSync(hr)
	}
	return ctrl.Result{RequeueAfter: nextLook(hr)}, s.save(ctx, was, hr, helmManager)
}

// inSync says again that a release is ready: what kept it from running is over.
func inSync(hr *helmv2.HelmRelease) {
	if c := apimeta.FindStatusCondition(hr.Status.Conditions, helmv2.ReleasedCondition); c != nil &&
		c.Status == metav1.ConditionTrue {
		condition(&hr.Status.Conditions, hr, yes(meta.ReadyCondition, c.Reason, c.Message))
	}
}

// releases reports which of a HelmRelease's dependencies is not ready.
func (s *stand) releases(ctx context.Context, hr *helmv2.HelmRelease) error {
	for _, d := range hr.Spec.DependsOn {
		if d.Namespace == "" {
			d.Namespace = hr.Namespace
		}
		key := client.ObjectKey{Namespace: d.Namespace, Name: d.Name}
		var on helmv2.HelmRelease
		if err := s.client.Get(ctx, key, &on); err != nil {
			return fmt.Errorf("unable to get '%s' dependency: %w", key, err)
		}
		if !apimeta.IsStatusConditionTrue(on.Status.Conditions, meta.ReadyCondition) ||
			on.Generation != on.Status.ObservedGeneration {
			return fmt.Errorf("dependency '%s' is not ready", key)
		}
	}
	return nil
}

// upgrade applies the release and fills its status, which is saved before the
// wait for health: was is then what was saved.
func (s *stand) upgrade(ctx context.Context, hr, was *helmv2.HelmRelease, object *unstructured.Unstructured,
	digest string,
) (tries bool, err error) {
	const chart, version = "fixed", "1.0.0"
	now := metav1.Now()
	number, action := 1, helmv2.ReleaseActionInstall
	first := now
	if last := hr.Status.History.Latest(); last != nil {
		number, first, action = last.Version+1, last.FirstDeployed, helmv2.ReleaseActionUpgrade
	}
	release := fmt.Sprintf("release %s/%s.v%d with chart %s@%s", hr.GetReleaseNamespace(), hr.GetReleaseName(), number,
		chart, version)
	condition(&hr.Status.Conditions, hr, unknown(meta.ReadyCondition, meta.ProgressingReason,
		"Reconciliation in progress"))
	condition(&hr.Status.Conditions, hr, yes(meta.ReconcilingCondition, meta.ProgressingReason,
		"Running '"+string(action)+"' action with timeout of "+hr.GetTimeout().Duration.String()))
	apimeta.RemoveStatusCondition(&hr.Status.Conditions, meta.StalledCondition)
	hr.Status.LastAttemptedGeneration, hr.Status.LastAttemptedConfigDigest = hr.Generation, digest
	hr.Status.LastAttemptedReleaseAction, hr.Status.LastAttemptedRevision = action, version
	snapshot := &helmv2.Snapshot{
		Digest: digest, ConfigDigest: digest, Name: hr.GetReleaseName(), Namespace: hr.GetReleaseNamespace(), Version: number,
		Status: "deployed", ChartName: chart, ChartVersion: version, FirstDeployed: first, LastDeployed: now,
	}
	hr.Status.History = append(helmv2.Snapshots{snapshot}, hr.Status.History...)[:min(len(hr.Status.History)+1, 5)]
	entry := inventoryOf([]*unstructured.Unstructured{object})[0]
	hr.Status.Inventory = &helmv2.ResourceInventory{Entries: []helmv2.ResourceRef{{ID: entry.ID, Version: entry.Version}}}
	if err := s.save(ctx, was, hr, helmManager); err != nil {
		return false, fmt.Errorf("save the status: %w", err)
	}
	hr.DeepCopyInto(was)
	snapshot = hr.Status.History.Latest()
	rendered := object.DeepCopy() // what the server answers is written into the object, and could not be applied again
	err = s.applyAll(ctx, []*unstructured.Unstructured{object}, helmManager)
	if err == nil && !hr.GetUpgrade().DisableWait {
		err = s.waitHealthy(ctx, []*unstructured.Unstructured{object}, hr.GetTimeout().Duration,
			func(ctx context.Context) *canceledError {
				return s.triggered(ctx, helmv2.HelmReleaseKind, hr, &helmv2.HelmRelease{})
			})
	}
	reason := ""
	if canceled := (*canceledError)(nil); errors.As(err, &canceled) {
		// helm-controller counts it as a failed attempt.
		s.Log.Warn("canceled", "object", canceled.trigger, "by", canceled.by)
		reason, err = healthCheckCanceled, errors.New("context canceled")
	}
	title := map[helmv2.ReleaseAction]string{
		helmv2.ReleaseActionInstall: "Install",
		helmv2.ReleaseActionUpgrade: "Upgrade",
	}[action]
	if err != nil {
		snapshot.Status = "failed"
		counted(hr)
		message := fmt.Sprintf("Helm %s failed for %s: %s", action, release, err)
		condition(&hr.Status.Conditions, hr, no(helmv2.ReleasedCondition, title+"Failed", message))
		condition(&hr.Status.Conditions, hr, no(meta.ReadyCondition, cmp.Or(reason, title+"Failed"), message))
		s.Log.Warn("helm", "object", client.ObjectKeyFromObject(hr), "error", err)
		return s.remediates(ctx, hr, reason != "")
	}
	s.deployed.Store(client.ObjectKeyFromObject(hr), deployed{rendered, *snapshot})
	upgraded(hr, title, fmt.Sprintf("Helm %s succeeded for %s", action, release))
	s.Log.Info("helm", "object", client.ObjectKeyFromObject(hr), "took", time.Since(now.Time).Round(time.Millisecond))
	return false, nil
}

// upgraded fills the status of a release that is deployed.
func upgraded(hr *helmv2.HelmRelease, title, message string) {
	hr.Status.Failures, hr.Status.UpgradeFailures, hr.Status.InstallFailures = 0, 0, 0
	for _, older := range hr.Status.History[1:] {
		if older.Status == "deployed" {
			older.Status = "superseded"
		}
	}
	condition(&hr.Status.Conditions, hr, yes(helmv2.ReleasedCondition, title+"Succeeded", message))
	condition(&hr.Status.Conditions, hr, yes(meta.ReadyCondition, title+"Succeeded", message))
}
