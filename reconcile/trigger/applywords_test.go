package trigger

import (
	"testing"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
)

// What Flux and Helm say, format by format of their own code, with what the formats are filled with:
// kustomize-controller 1.9, fluxcd/pkg's ssa and kustomize, helm-controller 1.6, Helm 4.2, source-controller 1.9 and
// the API server 1.36. Of what is not Git's fault none may read as if it were.
func TestEverySentenceOfFluxHasAVerdict(t *testing.T) {
	const (
		upgrade = "Helm upgrade failed for release shop/web with chart web@1.4.0: "
		install = "Helm install failed for release shop/web with chart web@1.4.0: "
		dryRun  = "Deployment/shop/web dry-run failed"
		chart   = "HelmChart 'flux-system/shop-web' is not ready: "
		source  = `Get "https://10.96.0.1:443/api": `
	)
	sayWhatTheyAreToldAs(t, []sentence{
		// kustomize-controller: the build.
		{"BuildFailed", "failed to decode Kubernetes YAML from /tmp/kustomization-1/apps/web.yaml: yaml: line 3", v1alpha1.CauseNotBuilt},
		{"BuildFailed", "kustomize build failed: recovered from kustomize build panic: runtime error", v1alpha1.CauseNotBuilt},
		{"BuildFailed", "kustomize build failed: accumulating resources: accumulation err='accumulating resources from 'secret.sops.yaml': MalformedYAMLError: yaml: line 6: did not find expected key in File: secret.sops.yaml'", v1alpha1.CauseNotBuilt},
		{"BuildFailed", "kustomize build failed: configmap generate error: cannot add key a.txt, another key by that name already exists in the data", v1alpha1.CauseNotBuilt},
		{"BuildFailed", "kustomize build failed: invalid Kustomization: json: unknown field \"resource\"", v1alpha1.CauseNotBuilt},
		{"BuildFailed", "component path '../../x' must be local and relative", v1alpha1.CauseNotBuilt},
		{"BuildFailed", "failed to decode Kubernetes apiVersion, kind and name from: x", v1alpha1.CauseNotBuilt},
		{"BuildFailed", "post build failed for 'Deployment.v1.apps/web': YAMLToJSON: yaml: line 4: mapping values are not allowed in this context", v1alpha1.CauseNotBuilt},
		{"BuildFailed", "post build failed for 'Deployment.v1.apps/web': envsubst error: missing closing brace", v1alpha1.CauseNotBuilt},
		{"ArtifactFailed", "kustomization path not found: stat /tmp/kustomization-1/apps/prod: no such file or directory", v1alpha1.CauseNotBuilt},
		{"BuildFailed", "kustomize build failed: accumulating resources from 'https://github.com/o/r//deploy?ref=v1': failed to run '/usr/bin/git fetch --depth=1 https://github.com/o/r v1': exit status 128", v1alpha1.CauseUnknown},
		{"BuildFailed", "kustomize build failed: accumulating resources from 'https://x/base.yaml': HTTP Error: status code 404 (404 Not Found)", v1alpha1.CauseUnknown},
		{"BuildFailed", "kustomize build failed: accumulating resources from 'https://x/base.yaml': HTTP Error: status code 503 (503 Service Unavailable)", v1alpha1.CauseServerUnavailable},
		{"BuildFailed", "kustomize build failed: fatal: unable to access 'https://github.com/o/r/': Could not resolve host: github.com", v1alpha1.CauseServerUnavailable},
		{"BuildFailed", "failed to save original kustomization.yaml: write /tmp/kustomization-1/x: no space left on device", v1alpha1.CauseNodeFault},
		{"BuildFailed", "kustomize build failed: open /tmp/kustomization-1/x.yaml: too many open files", v1alpha1.CauseNodeFault},
		{"BuildFailed", "open /tmp/kustomization-1/x.yaml: permission denied", v1alpha1.CauseNodeFault},
		{"BuildFailed", "error decrypting sources: error decrypting sops tree: Error getting data key: 0 successful groups required, got 0", v1alpha1.CauseNotDecrypted},
		{"BuildFailed", "decryption failed for 'Secret.v1/s': cannot get sops data key: x", v1alpha1.CauseNotDecrypted},
		{"BuildFailed", "failed to get Vault ConfigMap 'flux-system/vault': ConfigMap \"vault\" not found", v1alpha1.CauseNotDecrypted},
		{"BuildFailed", "failed to authenticate with Vault 'https://vault:8200' at login path 'auth/kubernetes/login' as role 'flux': 403", v1alpha1.CauseNotDecrypted},
		{"BuildFailed", "failed to issue Kubernetes token for Vault authentication: x", v1alpha1.CauseNotDecrypted},
		{"BuildFailed", "post build failed for 'Deployment.v1.apps/web': unable to get subsituteFrom: x", v1alpha1.CauseVariablesMissing},
		{"BuildFailed", "post build failed for 'Deployment.v1.apps/web': 'a-b' var name is invalid, must match '^[_[:alpha:]]'", v1alpha1.CauseVariablesMissing},
		{"BuildFailed", "post build failed for 'Deployment.v1.apps/web': substitute from 'Secret/x' error: " + source + "dial tcp 10.96.0.1:443: connect: connection refused", v1alpha1.CauseVariablesMissing},

		// kustomize-controller and ssa: the apply.
		{"ReconciliationFailed", "Deployment/web namespace not specified: the server could not find the requested resource", v1alpha1.CauseObjectRefused},
		{"ReconciliationFailed", dryRun + " (Invalid): Deployment.apps \"web\" is invalid: spec.template.spec.containers[0].image: Required value", v1alpha1.CauseObjectRefused},
		{"ReconciliationFailed", "Ingress/shop/web dry-run failed (Invalid): Ingress.networking.k8s.io \"web\" is invalid: spec.tls[0].hosts[0]: Invalid value: \"a b\"", v1alpha1.CauseObjectRefused},
		{"ReconciliationFailed", dryRun + " (BadRequest): Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32", v1alpha1.CauseObjectRefused},
		{"ReconciliationFailed", dryRun + ": failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): errors:\n  .spec.template.spec.containers[name=\"web\"].env: duplicate entries for key [name=\"A\"]", v1alpha1.CauseObjectRefused},
		{"ReconciliationFailed", dryRun + ": admission webhook \"x\" denied the request: replicas must be odd", v1alpha1.CauseObjectRefused},
		{"ReconciliationFailed", dryRun + ": IAMPolicyMember's spec is immutable", v1alpha1.CauseObjectRefused},
		{"ReconciliationFailed", dryRun + " (Forbidden): pods \"web\" is forbidden: maximum cpu usage per Container is 1, but limit is 2", v1alpha1.CauseObjectRefused},
		{"ReconciliationFailed", "Secret/shop/web is SOPS encrypted, configuring decryption is required for this secret to be reconciled", v1alpha1.CauseNotDecrypted},
		{"ReconciliationFailed", "Deployment/shop/web not found: namespaces \"shop\" not found", v1alpha1.CauseNamespaceMissing},
		{"ReconciliationFailed", "Deployment/shop/web failed to migrate API version: x", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", "Deployment/shop/web immutable field detected, failed to delete object: x", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", "Deployment/shop/web immutable field detected, failed to wait for object to be deleted: x", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", "Deployment/shop/web metadata.managedFields cleanup failed: deployments.apps \"web\" is invalid: x", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", dryRun + " (FieldManagerConflict): Apply failed with 1 conflict: conflict with \"kubectl\" using apps/v1: .spec.replicas", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", dryRun + " (Conflict): Operation cannot be fulfilled on deployments.apps \"web\": StorageError: invalid object, Precondition failed: UID in precondition", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", dryRun + " (AlreadyExists): object is being deleted: deployments.apps \"web\" already exists", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", "Service/shop/web dry-run failed (Invalid): Service \"web\" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", dryRun + " (BadRequest): the server rejected our request for an unknown reason", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", dryRun + " (MethodNotAllowed): the server does not allow this method on the requested resource", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", dryRun + " (UnsupportedMediaType): the body of the request was in an unknown format", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", dryRun + ": failed to create manager for existing fields: failed to convert new object (shop/web; x/v1) to smd typed: .spec.x: field not declared in schema", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", dryRun + ": failed to create typed live object: .spec.template.spec.containers[0].env: duplicate entries for key [name=\"A\"]", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", "Certificate/shop/web dry-run failed: request to convert CR from an invalid group/version: cert-manager.io/v1alpha2", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", dryRun + ": words that no API server says yet", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", "KubeConfig secret 'flux-system/remote' does not contain a 'value' key with data", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", "Pod/shop/web dry-run failed (Forbidden): pods \"web\" is forbidden: error looking up service account shop/web: serviceaccount \"web\" not found", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", "Pod/shop/web dry-run failed (Forbidden): pods \"web\" is forbidden: no PriorityClass with name high was found", v1alpha1.CauseUnknown},
		{"ReconciliationFailed", "tmp dir error: mkdir /tmp/kustomization-1: no space left on device", v1alpha1.CauseNodeFault},
		{"ReconciliationFailed", dryRun + " (Unauthorized): the server has asked for the client to provide credentials", v1alpha1.CauseNoRights},
		{"ReconciliationFailed", dryRun + " (Forbidden): users \"flux\" is forbidden: User \"x\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope", v1alpha1.CauseNoRights},
		{"ReconciliationFailed", dryRun + " (InternalError): an error on the server (\"unknown\") has prevented the request from succeeding (patch deployments.apps web)", v1alpha1.CauseServerUnavailable},
		{"ReconciliationFailed", dryRun + " (InternalError): Internal error occurred: jsonpatch add operation does not apply: doc is missing path", v1alpha1.CauseServerUnavailable},
		{"ReconciliationFailed", dryRun + ": Patch \"https://10.96.0.1:443/apis/apps/v1\": EOF", v1alpha1.CauseServerUnavailable},
		{"ReconciliationFailed", dryRun + ": Patch \"https://10.96.0.1:443/apis/apps/v1\": tls: failed to verify certificate: x509: certificate has expired", v1alpha1.CauseServerUnavailable},
		{"ReconciliationFailed", dryRun + " (ServiceUnavailable): error trying to reach service: dial tcp 10.0.0.9:443: connect: no route to host", v1alpha1.CauseServerUnavailable},
		{"ReconciliationFailed", dryRun + " (Forbidden): deployments.apps \"web\" is forbidden: not yet ready to handle request", v1alpha1.CauseServerUnavailable},
		{"ReconciliationFailed", dryRun + ": rpc error: code = Unavailable desc = etcdserver: leader changed", v1alpha1.CauseServerUnavailable},
		{"ReconciliationFailed", dryRun + ": rpc error: code = ResourceExhausted desc = trying to send message larger than max (4194305 vs. 2097152)", v1alpha1.CauseObjectRefused},
		{"ReconciliationFailed", dryRun + " (Expired): the provided resource version is too old", v1alpha1.CauseServerUnavailable},
		{"ReconciliationFailed", dryRun + ": unable to retrieve the complete list of server APIs: metrics.k8s.io/v1beta1: stale GroupVersion discovery: metrics.k8s.io/v1beta1", v1alpha1.CauseServerUnavailable},
		{"ReconciliationFailed", dryRun + " (InternalError): Internal error occurred: admission plugin \"MutatingAdmissionWebhook\" failed to complete mutation in 13s", v1alpha1.CauseWebhookDown},
		{"ReconciliationFailed", dryRun + " (Forbidden): admission webhook \"mutate.kyverno.svc-fail\" denied the request: failed to verify image ghcr.io/o/web:v2: Get \"https://ghcr.io/v2/\": dial tcp: lookup ghcr.io: i/o timeout", v1alpha1.CauseWebhookDown},
		{"ReconciliationFailed", dryRun + " (BadRequest): admission webhook \"policy.sigstore.dev\" denied the request: validation failed: context deadline exceeded", v1alpha1.CauseWebhookDown},
		{"ReconciliationFailed", dryRun + " (Forbidden): deployments.apps \"web\" is forbidden: ValidatingAdmissionPolicy 'x' with binding 'y' denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction", v1alpha1.CauseWebhookDown},
		{"ReconciliationFailed", dryRun + " (Forbidden): deployments.apps \"web\" is forbidden: failed to configure policy: failed to find resource referenced by paramKind", v1alpha1.CauseWebhookDown},
		{"ReconciliationFailed", dryRun + " (Forbidden): deployments.apps \"web\" is forbidden: failed quota: shop: must specify limits.cpu", v1alpha1.CauseQuota},
		{"HealthCheckFailed", "health check failed after 30s: timeout waiting for: [Deployment/shop/web status: 'InProgress']", ""},
		{"HealthCheckCanceled", "Health checks canceled due to new reconciliation triggered by GitRepository/flux-system/flux-system", ""},
		{"PruneFailed", "delete failed, errors: ConfigMap/shop/a delete failed: x", ""},
		{"ArtifactFailed", "unable to get source 'GitRepository/flux-system/fleet': x", ""},
		{"ArtifactFailed", "failed to download archive: GET http://source-controller/x giving up after 10 attempt(s)", ""},
		{"DependencyNotReady", "dependency 'flux-system/infra' revision is not up to date", ""},
		{"AccessDenied", "can't access 'GitRepository/a/b', cross-namespace references have been blocked", ""},
		{"InvalidCELExpression", "failed to evaluate dependency infra: no such key: ready", ""},
		{"DirCreationFailed", "tmp dir error: no space left on device", ""},

		// helm-controller and Helm.
		{"UpgradeFailed", upgrade + "values don't meet the specifications of the schema(s) in the following chart(s):\nweb:\n- at '/replicas': got string, want integer", v1alpha1.CauseNotReleased},
		{"UpgradeFailed", upgrade + "unable to validate schema: runtime error: invalid memory address", v1alpha1.CauseNotReleased},
		{"UpgradeFailed", upgrade + "cannot parse template \"web/templates/a.yaml\": unclosed action", v1alpha1.CauseNotReleased},
		{"UpgradeFailed", upgrade + "parse error at (web/templates/a.yaml:3): function \"tpll\" not defined", v1alpha1.CauseNotReleased},
		{"UpgradeFailed", upgrade + "rendering template failed: runtime error: index out of range", v1alpha1.CauseNotReleased},
		{"UpgradeFailed", upgrade + "error while running post render on files: no matches for Id Deployment.v1.apps/web.[noNs]; failed to find unique target for patch", v1alpha1.CauseNotReleased},
		{"UpgradeFailed", upgrade + "chart dependencies processing failed: x", v1alpha1.CauseNotReleased},
		{"InstallFailed", install + "release name is invalid: Web", v1alpha1.CauseNotReleased},
		{"UpgradeFailed", upgrade + "unable to build kubernetes objects from new release manifest: error validating \"\": error validating data: unknown object type \"nil\" in Secret.data.a", v1alpha1.CauseNotReleased},
		{"UpgradeFailed", upgrade + "server-side apply failed for object shop/web apps/v1, Kind=Deployment: failed to create typed patch object (shop/web; apps/v1, Kind=Deployment): .spec.replica: field not declared in schema", v1alpha1.CauseObjectRefused},
		{"InstallFailed", install + "failed to create resource: admission webhook \"x\" denied the request: no", v1alpha1.CauseObjectRefused},
		{"InstallFailed", install + "failed pre-install: 1 error occurred:\n\t* job migrate failed: BackoffLimitExceeded", v1alpha1.CauseReleaseHook},
		{"InstallFailed", install + "failed post-install: warning: Hook post-install web/templates/hook.yaml failed: x", v1alpha1.CauseReleaseHook},
		{"SourceNotReady", chart + "values files merge error: no values file found at path '/tmp/x/values-prod.yaml' (reference 'values-prod.yaml')", v1alpha1.CauseNotReleased},
		{"SourceNotReady", chart + "invalid chart reference: failed to get chart version for remote reference: no 'web' chart with version matching '9.9.9' found", v1alpha1.CauseChartMissing},
		{"SourceNotReady", chart + "chart pull error: failed to download chart for remote reference: failed to fetch https://charts/web-1.4.0.tgz : 503 Service Unavailable", ""},
		{"SourceNotReady", chart + "chart pull error: failed to get chart version for remote reference: failed to fetch index", ""},
		{"SourceNotReady", chart + "chart verification error: no matching signatures", ""},
		{"ValuesError", "could not resolve Secret chart values reference 'shop/web' with key 'values.yaml': " + source + "dial tcp: i/o timeout", v1alpha1.CauseVariablesMissing},
		{"ValuesError", "could not resolve ConfigMap chart values reference 'shop/web' with key 'values.yaml': error converting YAML to JSON: yaml: line 2: mapping values are not allowed in this context", v1alpha1.CauseNotReleased},
		{"ValuesError", "could not resolve ConfigMap chart values reference 'shop/web' with key 'v.yaml': missing key 'v.yaml'", v1alpha1.CauseVariablesMissing},
		{"UpgradeFailed", upgrade + "template: web/templates/a.yaml:3:9: executing \"a\" at <lookup>: error calling lookup: " + source + "dial tcp 10.96.0.1:443: connect: connection refused", v1alpha1.CauseServerUnavailable},
		{"UpgradeFailed", upgrade + "template: web/templates/a.yaml:3:9: executing \"a\" at <lookup>: error calling lookup: secrets \"x\" is forbidden: User \"flux\" cannot get resource \"secrets\"", v1alpha1.CauseNoRights},
		{"UpgradeFailed", upgrade + "values don't meet the specifications of the schema(s) in the following chart(s):\nweb: HTTP request failed for https://json.schemastore.org/x: x", v1alpha1.CauseServerUnavailable},
		{"UpgradeFailed", upgrade + "unable to build kubernetes objects from new release manifest: error validating \"\": failed to download openapi: the server is currently unable to handle the request", v1alpha1.CauseServerUnavailable},
		{"UpgradeFailed", upgrade + "kubernetes cluster unreachable: x", v1alpha1.CauseServerUnavailable},
		{"UpgradeFailed", upgrade + "could not get server version from Kubernetes: the server has asked for the client to provide credentials", v1alpha1.CauseNoRights},
		{"UpgradeFailed", upgrade + "Timeout: request did not complete within requested timeout - context deadline exceeded", v1alpha1.CauseServerUnavailable},
		{"UpgradeFailed", upgrade + "unable to build kubernetes objects from current release manifest: error validating \"\": x", v1alpha1.CauseUnknown},
		{"UpgradeFailed", upgrade + "current release manifest contains removed kubernetes api(s) for this kubernetes version: x", v1alpha1.CauseKindMissing},
		{"UpgradeFailed", upgrade + "conflict occurred while applying object shop/web apps/v1, Kind=Deployment: Apply failed with 1 conflict: conflict with \"kubectl-edit\" using apps/v1: .spec.replicas", v1alpha1.CauseUnknown},
		{"UpgradeFailed", upgrade + "server-side apply failed for object shop/web apps/v1, Kind=Deployment: words that no API server says yet", v1alpha1.CauseUnknown},
		{"UpgradeFailed", upgrade + "cannot patch \"web\" with kind Deployment: Deployment.apps \"web\" not found", v1alpha1.CauseUnknown},
		{"UpgradeFailed", upgrade + "original object Deployment with the name \"web\" not found", v1alpha1.CauseUnknown},
		{"InstallFailed", install + "failed to create resource: services \"web\" already exists", v1alpha1.CauseUnknown},
		{"InstallFailed", install + "cannot reuse a name that is still in use", v1alpha1.CauseReleaseLocked},
		{"UpgradeFailed", upgrade + "\"web\" has no deployed releases", v1alpha1.CauseReleaseLocked},
		{"InstallFailed", install + "create: failed to create: secrets is forbidden: User \"x\" cannot create resource \"secrets\" in API group \"\"", v1alpha1.CauseNoRights},
		{"InstallFailed", install + "failed to apply CustomResourceDefinitions: failed to wait for CustomResourceDefinition(s): timeout waiting for: [CustomResourceDefinition/x status: 'InProgress']", ""},
		{"UpgradeFailed", upgrade + "resource not ready, name: web, kind: Deployment, status: InProgress\ncontext deadline exceeded", ""},
		{"UpgradeFailed", upgrade + "context canceled", ""},
		{"RollbackFailed", "Helm rollback to previous release shop/web.v1 with chart web@1.3.0 failed: x", ""},
		{"UninstallFailed", "Helm uninstall failed for release shop/web.v1 with chart web@1.3.0: x", ""},
		{"TestFailed", "Helm test failed for release shop/web.v2 with chart web@1.4.0: 1 error occurred:\n\t* pod web-test failed", v1alpha1.CauseReleaseHook},
		{"TestFailed", "Helm test failed for release shop/web.v2 with chart web@1.4.0: unable to fetch logs for web-test: " + source + "dial tcp 10.96.0.1:443: connect: connection refused", v1alpha1.CauseServerUnavailable},
		{"DriftDetected", "Cluster state of release shop/web.v2 has drifted from the desired state", ""},
		{"ArtifactFailed", "Could not load chart: failed to download chart from 'http://source-controller/x' (status: 503 Service Unavailable)", ""},
		{"FactoryError", "could not get client set for 'secret' storage driver: x", ""},
		{"RESTClientError", "could not get KubeConfig secret 'shop/remote': x", ""},
	})
}

// sentence is what a Flux object says, and what it is told as.
type sentence struct {
	reason, message string
	// cause is empty where this trigger tells nothing.
	cause v1alpha1.Cause
}

func sayWhatTheyAreToldAs(t *testing.T, all []sentence) {
	t.Helper()
	for _, c := range all {
		got := v1alpha1.Cause("")
		f, ok := JudgeApply(&reconcile.Reconciler{
			Ref: v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "shop", Name: "web"}, Failed: &reconcile.Condition{Reason: c.reason, Message: c.message},
		})
		if ok {
			got = f.Cause
		}
		if got != c.cause {
			t.Errorf("%s: %s\n is told as %q, want %q", c.reason, c.message, got, c.cause)
		}
	}
}
