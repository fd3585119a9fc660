package trigger

import (
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// The reasons by which kustomize-controller and helm-controller say that something cannot be built or applied.
var (
	builds   = []string{"BuildFailed"}
	applies  = []string{"ReconciliationFailed"}
	values   = []string{"ValuesError"}
	releases = []string{"InstallFailed", "UpgradeFailed"}
	all      = []string{"BuildFailed", "ReconciliationFailed", "InstallFailed", "UpgradeFailed", "RollbackFailed",
		"UninstallFailed", "TestFailed"}
)

// applyRows are asked in their order, what Git did not cause before what it may have: a sentence of which a part is
// written by whoever is refused says more than one thing. Git's fault is only what the words themselves speak for. The
// last of them is for what nobody knows.
var applyRows = []applyRow{
	// None of this trigger's: what was given up for something newer, and what Helm could not roll back.
	{words: []string{"context canceled"}},
	{reasons: []string{"RollbackFailed", "UninstallFailed"}},

	// What is said of an object that has no namespace holds words of what is not installed.
	{cause: v1alpha1.CauseObjectRefused, reasons: applies, words: []string{"namespace not specified"}},

	// Not Git's fault, or not to be told from it.
	{cause: v1alpha1.CauseWebhookDown, reasons: all, words: []string{
		"failed calling webhook", "failed to call webhook", "conversion webhook for", noAnswer, "failed to complete mutation",
		"failed to complete validation", "failed to configure binding", "failed to configure policy",
		"no params found for policy binding",
	}},
	{cause: v1alpha1.CauseNoRights, reasons: all, words: []string{
		"cannot get resource", "cannot list resource", "cannot patch resource", "cannot create resource",
		"cannot watch resource", "cannot update resource", "cannot delete resource", "cannot impersonate",
		"attempting to grant rbac permissions not currently held", "unauthorized",
		"asked for the client to provide credentials",
	}},
	{cause: v1alpha1.CauseNotDecrypted, reasons: builds, words: []string{
		"sops", "decrypt", "vault configmap", "vault client", "authenticate with vault", "vault authentication",
		"vault login path", "returned no token",
	}},
	{cause: v1alpha1.CauseNotDecrypted, reasons: applies, words: []string{"is sops encrypted"}},
	{cause: v1alpha1.CauseVariablesMissing, reasons: builds, words: []string{
		"substitute from", "substitutefrom", "subsitutefrom", "var name is invalid",
	}},
	{cause: v1alpha1.CauseVariablesMissing, reasons: values, words: []string{"not found", "missing key"}},
	{cause: v1alpha1.CauseQuota, reasons: all, words: []string{"exceeded quota", "failed quota"}},
	{cause: v1alpha1.CauseKindMissing, reasons: all, words: []string{
		"no matches for kind", "ensure crds are installed first", "could not find the requested resource",
		"contains removed kubernetes api",
	}},
	{cause: v1alpha1.CauseNamespaceMissing, reasons: all, words: []string{
		`namespaces "`, "because it is being terminated",
	}},
	// What Git says is larger than the server takes, in the words of its store among others.
	{cause: v1alpha1.CauseObjectRefused, reasons: all, words: []string{
		"request is too large", "request entity too large", "too long: must have at most", "may not be more than",
		"trying to send message larger than max",
	}},
	{cause: v1alpha1.CauseNodeFault, reasons: all, words: []string{
		"no space left on device", "disk quota exceeded", "read-only file system", "cannot allocate memory",
		"too many open files", "input/output error", "resource temporarily unavailable", "tmp dir error",
	}},
	{cause: v1alpha1.CauseNodeFault, reasons: builds, words: []string{"permission denied", "evaluating symlink"}},
	{cause: v1alpha1.CauseServerUnavailable, reasons: all, words: unavailable},
	{cause: v1alpha1.CauseServerUnavailable, reasons: []string{"BuildFailed", "ReconciliationFailed"},
		words: []string{"context deadline exceeded", "client rate limiter"}},
	{cause: v1alpha1.CauseReleaseLocked, reasons: releases, words: []string{
		"is in progress", "cannot re-use a name that is still in use", "cannot reuse a name that is still in use",
		"has no deployed releases", "invalid ownership metadata", "cannot be imported into the current release",
		"cannot be owned",
	}},
	{cause: v1alpha1.CauseUnknown, reasons: builds, words: []string{
		"http error: status code", "fetch --depth", "remote ref",
	}},
	{cause: v1alpha1.CauseUnknown, reasons: slices.Concat(applies, releases), words: untold},

	// What Git may have brought. Other triggers see the pods of a release.
	{cause: v1alpha1.CauseReleaseHook, reasons: []string{"TestFailed"}},
	{cause: v1alpha1.CauseReleaseHook, reasons: releases, words: []string{
		"hooks failed", "hook failed", "failed pre-install:", "failed post-install:",
	}},
	{reasons: releases, words: []string{
		"context deadline exceeded", "timed out waiting for the condition", "timeout waiting for",
		"failed early due to stalled resources", "resource not ready", "progress deadline exceeded", "client rate limiter",
	}},
	{cause: v1alpha1.CauseNotBuilt, reasons: builds},
	{cause: v1alpha1.CauseNotBuilt, reasons: []string{pathMissing}, words: []string{"kustomization path not found"}},
	{cause: v1alpha1.CauseNotReleased, reasons: values, words: []string{"yaml", "unmarshal", "merge value", "pars"}},
	{cause: v1alpha1.CauseVariablesMissing, reasons: values},
	{cause: v1alpha1.CauseNotReleased, reasons: releases, words: []string{
		"release name is invalid", "release name \"\":",
	}},
	{cause: v1alpha1.CauseObjectRefused, reasons: slices.Concat(applies, releases), words: []string{
		"denied the request", "denied request", "is invalid:", "(invalid)", "(badrequest)", "(forbidden)", "is forbidden:",
		"is immutable", "immutable field", "failed to create typed patch object", "field not declared in schema",
		"strict decoding error", "cannot be handled as a", "unable to convert unstructured object",
	}},
	{cause: v1alpha1.CauseNotReleased, reasons: releases, words: []string{
		"specifications of the schema", "unable to validate schema", "template:", "execution error at",
		"execution error in", "yaml parse error", "requires kubeversion", "missing in charts/ directory", "cannot unmarshal",
		"parse error", "cannot parse template", "unable to build kubernetes objects", "error validating",
		"converting yaml to json", "unable to render", "rendering template failed", "post-render", "post render",
		"nil pointer evaluating", "dependencies processing failed", "failed to process chart dependencies",
	}},
	{cause: v1alpha1.CauseChartMissing, reasons: []string{"SourceNotReady", "ArtifactFailed"}, words: []string{
		"chart with version matching", "no chart version found", "chart version found for", "no chart name found",
		"manifest unknown", "manifest_unknown", "no match found for semver",
	}},
	{cause: v1alpha1.CauseNotReleased, reasons: []string{"SourceNotReady"}, words: []string{
		"values files merge error: no values file",
	}},

	{cause: v1alpha1.CauseUnknown, reasons: []string{"ReconciliationFailed", "InstallFailed", "UpgradeFailed"}},
}

// pathMissing is the reason by which kustomize-controller says among others that the folder is not there.
const pathMissing = "ArtifactFailed"

// unavailable are words of what does not answer: the API server, its store, a remote base, a registry.
var unavailable = []string{
	"connection refused", "i/o timeout", "no such host", "tls handshake timeout", "etcdserver:", "too many requests",
	"unable to handle the request", "internal error occurred", "connection reset by peer", "no route to host",
	"unexpected eof", `": eof`, "x509:", "tls: failed", "tls: bad", "error: tls:", "dial tcp", "dial unix",
	"proxyconnect", "(serviceunavailable)", "(toomanyrequests)", "(timeout)", "(servertimeout)", "(internalerror)",
	"(expired)", "(gone)", "network is unreachable", "broken pipe", "client connection lost", "server sent goaway",
	"stream error:", "use of closed network connection", "server closed idle connection", "client.timeout exceeded",
	"request canceled", "http2: ", "rpc error:", "unable to return a response in the time allotted",
	"request did not complete within", "apiserver not ready", "not yet ready to handle request", "(re)initializing",
	"resource version is too old", "leader changed", "error trying to reach service", "error dialing backend",
	"no agent available", "bad gateway", "gateway timeout", "gateway time-out", "service unavailable",
	"has prevented the request from succeeding", "stale groupversion discovery", "complete list of server apis",
	"failed to download openapi", "get current server api group list", "could not get server version",
	"could not get apiversions", "cluster unreachable", "reachability check failed", "http error: status code 5",
	"http error: status code 429", "http request failed for", "http request to", "could not resolve host",
	"temporary failure in name resolution", "server misbehaving",
}

// untold are words of what may be Git's fault or something else's: what is in the cluster changed, or what is fetched.
var untold = []string{
	"the object has been modified", "(conflict)", "fieldmanagerconflict", "apply failed with",
	"conflict occurred while applying", "already exists", "object is being deleted", "precondition failed",
	"provided port is already allocated", "already allocated", "for an unknown reason", "does not allow this method",
	"unsupportedmediatype", "in an unknown format", "invalid group/version",
	"failed to create manager for existing fields", "failed add back owned items", "failed to convert new object",
	"typed live object", "managedfields cleanup failed", "failed to migrate api version", "failed to delete object",
	"to be deleted:", "from current release manifest", "error looking up service account",
	"no priorityclass with name", "kubeconfig secret", "does not support dry run",
}

// applyRow says what a condition of a Flux object means.
type applyRow struct {
	// cause; empty for what is none of this trigger's.
	cause v1alpha1.Cause
	// reasons of the condition, any where there are none; words that its message holds one of, any where there are none.
	reasons, words []string
}

func (r *applyRow) fits(reason, said string) bool {
	return holdsAny(r.reasons, func(s string) bool { return s == reason }) &&
		holdsAny(r.words, func(s string) bool { return strings.Contains(said, s) })
}

// holdsAny reports whether one of them is, or there are none to ask for.
func holdsAny(all []string, is func(string) bool) bool {
	return len(all) == 0 || slices.ContainsFunc(all, is)
}
