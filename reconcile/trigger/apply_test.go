package trigger

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// said is what a Flux object says, in the words of kustomize-controller 1.9, helm-controller 1.6 and the API server.
type said struct {
	kind, reason, message string
	// cause is empty where this trigger tells nothing.
	cause  v1alpha1.Cause
	object string
}

func TestApplyCorpus(t *testing.T) {
	const k, hr = "Kustomization", "HelmRelease"
	release := "for release shop/web with chart web@1.4.0: "
	for name, c := range map[string]said{
		// What Git may have brought.
		"YAML that does not parse": {k, "BuildFailed", "kustomize build failed: accumulating resources: accumulation err='accumulating resources from 'web.yaml': " +
			"MalformedYAMLError: yaml: line 6: did not find expected key in File: web.yaml'", v1alpha1.CauseNotBuilt, ""},
		"a file that is not there": {k, "BuildFailed", "kustomize build failed: accumulating resources: accumulation err='accumulating resources from 'gone.yaml': " +
			"open /tmp/kustomization-1/gone.yaml: no such file or directory'", v1alpha1.CauseNotBuilt, ""},
		"a patch without a target": {k, "BuildFailed", "kustomize build failed: no matches for Id Deployment.v1.apps/web.[noNs]; failed to find unique target for patch", v1alpha1.CauseNotBuilt, ""},
		"two objects of one name":  {k, "BuildFailed", "kustomize build failed: may not add resource with an already registered id: ConfigMap.v1.[noGrp]/a.[noNs]", v1alpha1.CauseNotBuilt, ""},
		"a variable that is not set": {k, "BuildFailed", `post build failed for 'web': variable substitution failed: variable not set (strict mode): "TAG"`,
			v1alpha1.CauseNotBuilt, ""},
		"an unknown field": {k, "ReconciliationFailed", `Deployment/shop/web dry-run failed: failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): .spec.replica: field not declared in schema`,
			v1alpha1.CauseObjectRefused, "Deployment/shop/web"},
		"an immutable field": {k, "ReconciliationFailed", `Deployment/shop/web dry-run failed (Invalid): Deployment.apps "web" is invalid: spec.selector: Invalid value: {}: field is immutable`,
			v1alpha1.CauseObjectRefused, "Deployment/shop/web"},
		"a cluster's object that is refused": {k, "ReconciliationFailed", `ClusterRole/web:edit dry-run failed (Invalid): ClusterRole.rbac.authorization.k8s.io "web:edit" is invalid: rules[0].verbs: Required value`,
			v1alpha1.CauseObjectRefused, "ClusterRole/web:edit"},
		"an admission webhook that refuses": {k, "ReconciliationFailed", `Deployment/shop/web dry-run failed (BadRequest): admission webhook "validate.kyverno.svc-fail" denied the request: resource Deployment/shop/web was blocked`,
			v1alpha1.CauseObjectRefused, "Deployment/shop/web"},
		"an admission policy that refuses": {k, "ReconciliationFailed", `Deployment/shop/web dry-run failed (Forbidden): deployments.apps "web" is forbidden: ValidatingAdmissionPolicy 'x' with binding 'y' denied request: no`,
			v1alpha1.CauseObjectRefused, "Deployment/shop/web"},
		"values that do not fit the schema": {hr, "UpgradeFailed", "Helm upgrade failed " + release + "values don't meet the specifications of the schema(s) in the following chart(s):\nweb:\n- replicas: Invalid type. Expected: integer",
			v1alpha1.CauseNotReleased, ""},
		"a template that fails": {hr, "UpgradeFailed", "Helm upgrade failed " + release + "execution error at (web/templates/deployment.yaml:12:4): image.repository is required",
			v1alpha1.CauseNotReleased, ""},
		"a template that makes no YAML": {hr, "UpgradeFailed", "Helm upgrade failed " + release + "YAML parse error on web/templates/deployment.yaml: error converting YAML to JSON: yaml: line 9",
			v1alpha1.CauseNotReleased, ""},
		"a template that is nil somewhere": {hr, "InstallFailed", "Helm install failed " + release + "template: web/templates/a.yaml:3:9: executing \"a\" at <.Values.a.b>: nil pointer evaluating interface {}.b",
			v1alpha1.CauseNotReleased, ""},
		"a release whose object is refused": {hr, "UpgradeFailed", "Helm upgrade failed " + release + `cannot patch "web" with kind Deployment: Deployment.apps "web" is invalid: spec.selector: field is immutable`,
			v1alpha1.CauseObjectRefused, "Deployment/web"},
		"a release whose object is refused at a server-side apply": {hr, "UpgradeFailed", "Helm upgrade failed " + release + `server-side apply failed for object shop/web apps/v1, Kind=Deployment: Deployment.apps "web" is invalid: x`,
			v1alpha1.CauseObjectRefused, "Deployment/shop/web"},
		"a hook that fails": {hr, "UpgradeFailed", "Helm upgrade failed " + release + "pre-upgrade hooks failed: 1 error occurred:\n\t* job migrate failed: BackoffLimitExceeded", v1alpha1.CauseReleaseHook, ""},
		"a hook that takes too long": {hr, "UpgradeFailed", "Helm upgrade failed " + release + "post-upgrade hooks failed: 1 error occurred:\n\t* timed out waiting for the condition",
			v1alpha1.CauseReleaseHook, ""},
		"a chart version that is not there": {hr, "SourceNotReady", "HelmChart 'flux-system/shop-web' is not ready: invalid chart reference: failed to get chart version for remote reference: no 'web' chart with version matching '9.9.9' found",
			v1alpha1.CauseChartMissing, ""},
		"values that cannot be merged":                  {hr, "ValuesError", "unable to merge value from key 'values.yaml' in ConfigMap 'shop/web': yaml: line 2: mapping values are not allowed", v1alpha1.CauseNotReleased, ""},
		"an object that is larger than the store takes": {k, "ReconciliationFailed", `ConfigMap/shop/web dry-run failed: etcdserver: request is too large`, v1alpha1.CauseObjectRefused, "ConfigMap/shop/web"},
		"an object that is larger than a request may be": {k, "ReconciliationFailed", `ConfigMap/shop/web apply failed (RequestEntityTooLarge): Request entity too large: limit is 3145728`,
			v1alpha1.CauseObjectRefused, "ConfigMap/shop/web"},
		"a pod that the namespace's security level forbids": {k, "ReconciliationFailed", `Pod/shop/web dry-run failed (Forbidden): pods "web" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true`,
			v1alpha1.CauseObjectRefused, "Pod/shop/web"},
		"a claim that shrinks": {k, "ReconciliationFailed", `PersistentVolumeClaim/shop/data dry-run failed (Invalid): PersistentVolumeClaim "data" is invalid: spec.resources.requests.storage: Forbidden: field can not be less than status.capacity`,
			v1alpha1.CauseObjectRefused, "PersistentVolumeClaim/shop/data"},
		"a StatefulSet whose volumes change": {k, "ReconciliationFailed", `StatefulSet/shop/db dry-run failed (Invalid): StatefulSet.apps "db" is invalid: spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template' are forbidden`,
			v1alpha1.CauseObjectRefused, "StatefulSet/shop/db"},
		"a Job whose template changes": {k, "ReconciliationFailed", `Job/shop/migrate dry-run failed (Invalid): Job.batch "migrate" is invalid: spec.template: Invalid value: core.PodTemplateSpec{}: field is immutable`,
			v1alpha1.CauseObjectRefused, "Job/shop/migrate"},
		"a chart for another Kubernetes":                {hr, "UpgradeFailed", "Helm upgrade failed " + release + "chart requires kubeVersion: >=1.40.0-0 which is incompatible with Kubernetes v1.36.3", v1alpha1.CauseNotReleased, ""},
		"a chart that lacks what it depends on":         {hr, "UpgradeFailed", "Helm upgrade failed " + release + "found in Chart.yaml, but missing in charts/ directory: redis", v1alpha1.CauseNotReleased, ""},
		"a chart that its repository does not have":     {hr, "SourceNotReady", "HelmChart 'flux-system/shop-web' is not ready: invalid chart reference: failed to get chart version for remote reference: no chart name found", v1alpha1.CauseChartMissing, ""},
		"a chart's tag that its registry does not have": {hr, "SourceNotReady", "OCIRepository 'shop/web' is not ready: failed to determine artifact digest: GET https://registry/v2/web/manifests/9.9.9: MANIFEST_UNKNOWN: manifest unknown", v1alpha1.CauseChartMissing, ""},

		// Names and rules that are called as failures are.
		"a file whose name says SOPS": {k, "BuildFailed", "kustomize build failed: accumulating resources: accumulation err='accumulating resources from 'sops/secret.yaml': " +
			"MalformedYAMLError: yaml: line 6: did not find expected key in File: secret.yaml'", v1alpha1.CauseNotBuilt, ""},
		"an object whose name says unauthorized": {k, "ReconciliationFailed", `Middleware/shop/unauthorized dry-run failed (Invalid): Middleware.traefik.io "unauthorized" is invalid: spec: Required value`,
			v1alpha1.CauseObjectRefused, "Middleware/shop/unauthorized"},
		"a release whose name says schema": {hr, "UpgradeFailed", "Helm upgrade failed for release shop/schema-registry with chart schema-registry@1.4.0: the moon is full", v1alpha1.CauseUnknown, ""},
		"a webhook whose rule says unauthorized": {k, "ReconciliationFailed", `Deployment/shop/web dry-run failed (Forbidden): admission webhook "policy.example.com" denied the request: unauthorized registry, exceeded quota of images`,
			v1alpha1.CauseObjectRefused, "Deployment/shop/web"},
		"a policy whose rule says that something does not answer": {k, "ReconciliationFailed", `Deployment/shop/web dry-run failed (Forbidden): deployments.apps "web" is forbidden: ValidatingAdmissionPolicy 'x' with binding 'y' denied request: probes end in i/o timeout`,
			v1alpha1.CauseObjectRefused, "Deployment/shop/web"},

		// Not Git's fault, or not to be told from it.
		"a webhook that is down": {k, "ReconciliationFailed", `Deployment/shop/web dry-run failed (InternalError): Internal error occurred: failed calling webhook "validate.kyverno.svc-fail": failed to call webhook: Post "https://kyverno.svc": no endpoints available for service`,
			v1alpha1.CauseWebhookDown, "Deployment/shop/web"},
		"a webhook that takes too long, to Helm": {hr, "UpgradeFailed", "Helm upgrade failed " + release + `failed calling webhook "x": failed to call webhook: Post "https://x": context deadline exceeded`, v1alpha1.CauseWebhookDown, ""},
		"Flux lacks a right": {k, "ReconciliationFailed", `Deployment/shop/web dry-run failed (Forbidden): deployments.apps "web" is forbidden: User "system:serviceaccount:shop:flux" cannot patch resource "deployments" in API group "apps" in the namespace "shop"`,
			v1alpha1.CauseNoRights, "Deployment/shop/web"},
		"Flux may not grant rights": {k, "ReconciliationFailed", `Role/shop/web dry-run failed (Forbidden): roles "web" is forbidden: user "x" (groups=["y"]) is attempting to grant RBAC permissions not currently held`,
			v1alpha1.CauseNoRights, "Role/shop/web"},
		"Helm lacks a right":         {hr, "InstallFailed", "Helm install failed " + release + `secrets is forbidden: User "system:serviceaccount:shop:flux" cannot create resource "secrets" in API group ""`, v1alpha1.CauseNoRights, ""},
		"no key to decrypt with":     {k, "BuildFailed", "error decrypting sops tree: Error getting data key: 0 successful groups required, got 0", v1alpha1.CauseNotDecrypted, ""},
		"no Secret with the key":     {k, "BuildFailed", `decryption secret error: Secret "sops-age" not found`, v1alpha1.CauseNotDecrypted, ""},
		"variables that are missing": {k, "BuildFailed", `post build failed for 'web': substitute from 'ConfigMap/cluster' error: ConfigMap "cluster" not found`, v1alpha1.CauseVariablesMissing, ""},
		"values that are missing":    {hr, "ValuesError", `could not resolve Secret chart values reference 'shop/web' with key 'values.yaml': secrets "web" not found`, v1alpha1.CauseVariablesMissing, ""},
		"a kind that is not installed": {k, "ReconciliationFailed", `Certificate/shop/web dry-run failed: no matches for kind "Certificate" in version "cert-manager.io/v1"`,
			v1alpha1.CauseKindMissing, "Certificate/shop/web"},
		"a kind that is not installed, to Helm": {hr, "InstallFailed", "Helm install failed " + release + `unable to build kubernetes objects from release manifest: resource mapping not found for name: "web" namespace: "": no matches for kind "Certificate" in version "cert-manager.io/v1"`,
			v1alpha1.CauseKindMissing, ""},
		"a namespace that is missing": {k, "ReconciliationFailed", `Deployment/shop/web dry-run failed (NotFound): namespaces "shop" not found`, v1alpha1.CauseNamespaceMissing, "Deployment/shop/web"},
		"a namespace that ends":       {k, "ReconciliationFailed", `Deployment/shop/web apply failed: deployments.apps "web" is forbidden: unable to create new content in namespace shop because it is being terminated`, v1alpha1.CauseNamespaceMissing, "Deployment/shop/web"},
		"a quota":                     {k, "ReconciliationFailed", `Service/shop/web dry-run failed (Forbidden): services "web" is forbidden: exceeded quota: shop, requested: services=1`, v1alpha1.CauseQuota, "Service/shop/web"},
		"an API server that is away":  {k, "ReconciliationFailed", `Deployment/shop/web dry-run failed: Patch "https://10.0.0.1": dial tcp 10.0.0.1:443: connect: connection refused`, v1alpha1.CauseServerUnavailable, "Deployment/shop/web"},
		"an API server that takes too long to answer": {k, "ReconciliationFailed", `Deployment/shop/web dry-run failed: Patch "https://10.0.0.1/apis/apps/v1": dial tcp 10.0.0.1:443: i/o timeout`,
			v1alpha1.CauseServerUnavailable, "Deployment/shop/web"},
		"etcd that is slow":                {k, "ReconciliationFailed", "Deployment/shop/web dry-run failed (InternalError): etcdserver: request timed out", v1alpha1.CauseServerUnavailable, "Deployment/shop/web"},
		"an API server that is overloaded": {k, "ReconciliationFailed", `Deployment/shop/web dry-run failed (Timeout): Timeout: request did not complete within requested timeout`, v1alpha1.CauseServerUnavailable, "Deployment/shop/web"},
		"an API server that restarts":      {k, "ReconciliationFailed", `Deployment/shop/web dry-run failed: http2: client connection lost`, v1alpha1.CauseServerUnavailable, "Deployment/shop/web"},
		"an API server that drains":        {k, "ReconciliationFailed", `Deployment/shop/web dry-run failed: http2: server sent GOAWAY and closed the connection; LastStreamID=1999`, v1alpha1.CauseServerUnavailable, "Deployment/shop/web"},
		"a store that starts":              {k, "ReconciliationFailed", `Certificate/shop/web dry-run failed (TooManyRequests): storage is (re)initializing`, v1alpha1.CauseServerUnavailable, "Certificate/shop/web"},
		"a network that is gone":           {k, "ReconciliationFailed", `Deployment/shop/web dry-run failed: Patch "https://10.0.0.1": dial tcp 10.0.0.1:443: connect: network is unreachable`, v1alpha1.CauseServerUnavailable, "Deployment/shop/web"},
		"an object that somebody changed meanwhile": {k, "ReconciliationFailed", `Deployment/shop/web apply failed (Conflict): Operation cannot be fulfilled on deployments.apps "web": the object has been modified; please apply your changes to the latest version and try again`,
			v1alpha1.CauseUnknown, "Deployment/shop/web"},
		"an object that somebody changed meanwhile, to Helm": {hr, "UpgradeFailed", "Helm upgrade failed " + release + `cannot patch "web" with kind Deployment: Operation cannot be fulfilled on deployments.apps "web": the object has been modified; please apply your changes`,
			v1alpha1.CauseUnknown, "Deployment/web"},
		"a conversion webhook that is down": {k, "ReconciliationFailed", `Certificate/shop/web dry-run failed: conversion webhook for cert-manager.io/v1alpha2, Kind=Certificate failed: Post "https://cert-manager-webhook": service "cert-manager-webhook" not found`,
			v1alpha1.CauseWebhookDown, "Certificate/shop/web"},
		"a base that cannot be fetched": {k, "BuildFailed", `kustomize build failed: accumulating resources from 'https://example.org/base': Get "https://example.org/base": dial tcp: lookup example.org: no such host`,
			v1alpha1.CauseServerUnavailable, ""},
		"a release that is locked":                 {hr, "UpgradeFailed", "Helm upgrade failed " + release + "another operation (install/upgrade/rollback) is in progress", v1alpha1.CauseReleaseLocked, ""},
		"a name that somebody has":                 {hr, "InstallFailed", "Helm install failed " + release + "cannot re-use a name that is still in use", v1alpha1.CauseReleaseLocked, ""},
		"an object of another release":             {hr, "InstallFailed", "Helm install failed " + release + `unable to continue with install: Service "web" in namespace "shop" exists and cannot be imported into the current release: invalid ownership metadata`, v1alpha1.CauseReleaseLocked, ""},
		"words that nobody knows":                  {k, "ReconciliationFailed", "the moon is full", v1alpha1.CauseUnknown, ""},
		"words that nobody knows, of Helm":         {hr, "UpgradeFailed", "Helm upgrade failed " + release + "the moon is full", v1alpha1.CauseUnknown, ""},
		"pods that do not become ready":            {hr, "UpgradeFailed", "Helm upgrade failed " + release + "context deadline exceeded", "", ""},
		"pods that fail early":                     {hr, "UpgradeFailed", "Helm upgrade failed " + release + "failed early due to stalled resources: [Deployment/shop/web status: 'Failed']", "", ""},
		"a check that was given up":                {hr, "UpgradeFailed", "Helm upgrade failed " + release + "context canceled", "", ""},
		"a health check":                           {k, "HealthCheckFailed", "timeout waiting for: [Deployment/shop/web status: 'InProgress']", "", ""},
		"a dependency":                             {k, "DependencyNotReady", "dependency 'flux-system/infra' is not ready", "", ""},
		"a source":                                 {k, "ArtifactFailed", "Source artifact not found, retrying in 30s", "", ""},
		"a chart that is not fetched yet":          {hr, "SourceNotReady", "HelmChart 'flux-system/shop-web' is not ready: latest generation of object has not been reconciled", "", ""},
		"what cannot be pruned":                    {k, "PruneFailed", "ConfigMap/shop/a delete failed: x", "", ""},
		"a rollback of Helm that was not possible": {hr, "RollbackFailed", "Helm rollback failed: x", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := &reconcile.Reconciler{Ref: v1alpha1.ObjectRef{Kind: c.kind, Namespace: "shop", Name: "web"}, Revision: "b", LastApplied: "a",
				Failed: &reconcile.Condition{Reason: c.reason, Message: c.message}}
			f, ok := JudgeApply(a)
			if ok != (c.cause != "") || f.Cause != c.cause {
				t.Fatalf("told %t as %q, want %q", ok, f.Cause, c.cause)
			}
			if !ok {
				return
			}
			object := ""
			if f.Apply.Object != nil {
				object = f.Apply.Object.String()
			}
			if diff := cmp.Diff(c.object, object); diff != "" {
				t.Error(diff)
			}
			if f.Apply.Reason != c.reason || f.Apply.Revision != "b" || f.Apply.LastApplied != "a" {
				t.Errorf("evidence %+v", f.Apply)
			}
		})
	}
}

// Of a HelmRelease every cause is told with what it fails at, and a commit is looked for only where Git may have
// brought it.
func TestScenariosOfAHelmReleaseThatIsToldOnly(t *testing.T) {
	release := "for release shop/web with chart web@1.4.0: "
	for name, c := range map[string]struct {
		reconciler reconcile.Reconciler
		cause      v1alpha1.Cause
		// byGit means that a commit is looked for, and unblamed why not where the object itself knows.
		byGit    bool
		unblamed string
	}{
		"bad values":     {reconcile.Reconciler{LastApplied: "1.4.0", Failed: &reconcile.Condition{Reason: "ValuesError", Message: "unable to merge value from key 'values.yaml' in ConfigMap 'shop/web': yaml: line 2: mapping values are not allowed"}}, v1alpha1.CauseNotReleased, true, ""},
		"schema error":   {reconcile.Reconciler{LastApplied: "1.4.0", Failed: &reconcile.Condition{Reason: "UpgradeFailed", Message: "Helm upgrade failed " + release + "values don't meet the specifications of the schema(s) in the following chart(s): web: replicas: Invalid type"}}, v1alpha1.CauseNotReleased, true, ""},
		"template error": {reconcile.Reconciler{LastApplied: "1.4.0", Failed: &reconcile.Condition{Reason: "UpgradeFailed", Message: "Helm upgrade failed " + release + "execution error at (web/templates/a.yaml:3:4): host is required"}}, v1alpha1.CauseNotReleased, true, ""},
		"hook fails":     {reconcile.Reconciler{LastApplied: "1.4.0", Failed: &reconcile.Condition{Reason: "UpgradeFailed", Message: "Helm upgrade failed " + release + "pre-upgrade hooks failed: job web-migrate failed: BackoffLimitExceeded"}}, v1alpha1.CauseReleaseHook, true, ""},
		"chart version bump": {reconcile.Reconciler{LastApplied: "1.4.0", Failed: &reconcile.Condition{Reason: "SourceNotReady", Message: "HelmChart 'flux-system/shop-web' is not ready: invalid chart reference: failed to get chart version for remote reference: " +
			"no 'web' chart with version matching '9.9.9' found"}}, v1alpha1.CauseChartMissing, true, ""},
		"chart range moved by itself": {reconcile.Reconciler{LastApplied: "1.4.0", Unchanged: "the values are those of release v3, and the chart moved from 1.4.0 to 1.5.0 within 1.x: pin it to 1.4.0 in Git",
			Failed: &reconcile.Condition{Reason: "UpgradeFailed", Message: "Helm upgrade failed " + release + "execution error at (web/templates/a.yaml:3:4): host is required"}}, v1alpha1.CauseNotReleased, true, "pin it to 1.4.0 in Git"},
		"first install": {reconcile.Reconciler{Failed: &reconcile.Condition{Reason: "InstallFailed", Message: "Helm install failed " + release + "template: web/templates/a.yaml:3:4: nil pointer evaluating interface {}.host"}}, v1alpha1.CauseNotReleased, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.reconciler.Ref = v1alpha1.ObjectRef{Kind: "HelmRelease", Namespace: "shop", Name: "web"}
			f, ok := JudgeApply(&c.reconciler)
			if !ok || f.Cause != c.cause || (f.Cause.Fault() == v1alpha1.FaultConfig) != c.byGit {
				t.Fatalf("told %t as %q, want %q", ok, f.Cause, c.cause)
			}
			if !strings.Contains(f.Apply.Unblamed, c.unblamed) || (f.Apply.Unblamed == "") != (c.unblamed == "") || f.Apply.LastApplied != c.reconciler.LastApplied {
				t.Errorf("evidence %+v", f.Apply)
			}
		})
	}
}

func TestWhatIsAtWorkOrSuspendedIsNotTold(t *testing.T) {
	failed := &reconcile.Condition{Reason: "BuildFailed", Message: "x"}
	for name, a := range map[string]*reconcile.Reconciler{
		"it is at work or suspended": {Idle: true, Failed: failed}, "it is ready": {Ready: true}, "it says nothing": {},
	} {
		if f, ok := JudgeApply(a); ok {
			t.Errorf("%s: told as %s", name, f.Cause)
		}
	}
}

func TestOneRecordTellsOfOneThingHoweverManyCommitsCome(t *testing.T) {
	a := &reconcile.Reconciler{Revision: "main@sha1:1", LastApplied: "main@sha1:0", Failed: &reconcile.Condition{Reason: "BuildFailed", Message: "line 3"}}
	first, _ := JudgeApply(a)
	a.Revision, a.Failed.Message = "main@sha1:2", "line 4"
	second, _ := JudgeApply(a)
	if first.Revision != second.Revision {
		t.Errorf("%q and %q are two failures", first.Revision, second.Revision)
	}
	a.LastApplied = "main@sha1:1"
	if third, _ := JudgeApply(a); third.Revision == first.Revision {
		t.Error("what broke after it was mended is the same failure")
	}
}
