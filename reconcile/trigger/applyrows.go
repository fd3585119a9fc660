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
		"UninstallFailed"}
)

// applyRows are asked in their order, what Git did not cause before what it may have: a sentence of which a part is
// written by whoever is refused says more than one thing. The last of them is for what nobody knows.
var applyRows = []applyRow{
	// None of this trigger's: what was given up for something newer, and what Helm could not take back.
	{words: []string{"context canceled"}},
	{reasons: []string{"RollbackFailed", "UninstallFailed"}},

	// Not Git's fault, or not to be told from it.
	{cause: v1alpha1.CauseWebhookDown, reasons: all, words: []string{"failed calling webhook", "failed to call webhook",
		"conversion webhook for"}},
	{cause: v1alpha1.CauseNoRights, reasons: all, words: []string{"cannot get resource", "cannot list resource",
		"cannot patch resource",
		"cannot create resource", "cannot watch resource", "cannot update resource", "cannot delete resource",
		"cannot impersonate",
		"attempting to grant rbac permissions not currently held", "unauthorized"}},
	{cause: v1alpha1.CauseNotDecrypted, reasons: builds, words: []string{"sops", "decrypt"}},
	{cause: v1alpha1.CauseVariablesMissing, reasons: builds, words: []string{"substitute from", "substitutefrom"}},
	{cause: v1alpha1.CauseVariablesMissing, reasons: values, words: []string{"could not resolve", "not found",
		"missing key"}},
	{cause: v1alpha1.CauseQuota, reasons: all, words: []string{"exceeded quota", "failed quota"}},
	{cause: v1alpha1.CauseKindMissing, reasons: all, words: []string{"no matches for kind",
		"ensure crds are installed first",
		"could not find the requested resource"}},
	{cause: v1alpha1.CauseNamespaceMissing, reasons: all, words: []string{`namespaces "`,
		"because it is being terminated"}},
	// What Git says is larger than the server takes, in the words of its store among others.
	{cause: v1alpha1.CauseObjectRefused, reasons: all, words: []string{"request is too large",
		"request entity too large", "too long: must have at most", "may not be more than"}},
	{cause: v1alpha1.CauseServerUnavailable, reasons: all, words: []string{"connection refused", "i/o timeout",
		"no such host",
		"tls handshake timeout", "etcdserver:", "too many requests", "currently unable to handle the request",
		"internal error occurred", "connection reset by peer", "no route to host", "unexpected eof", "x509:",
		"(serviceunavailable)", "(toomanyrequests)", "(timeout)", "(servertimeout)", "network is unreachable", "broken pipe",
		"client connection lost", "server sent goaway", "stream error:", "client.timeout exceeded", "request canceled",
		"unable to return a response in the time allotted", "apiserver not ready", "(re)initializing"}},
	{cause: v1alpha1.CauseServerUnavailable, reasons: []string{"BuildFailed", "ReconciliationFailed"},
		words: []string{"context deadline exceeded", "client rate limiter"}},
	{cause: v1alpha1.CauseReleaseLocked, reasons: releases, words: []string{"is in progress",
		"cannot re-use a name that is still in use",
		"has no deployed releases", "invalid ownership metadata"}},

	{cause: v1alpha1.CauseUnknown, reasons: all, words: []string{"the object has been modified"}},

	// What Git may have brought. Other triggers see the pods of a release.
	{cause: v1alpha1.CauseReleaseHook, reasons: releases, words: []string{"hooks failed", "hook failed"}},
	{reasons: releases, words: []string{"context deadline exceeded", "timed out waiting for the condition",
		"timeout waiting for",
		"failed early due to stalled resources", "resource not ready", "progress deadline exceeded", "client rate limiter"}},
	{cause: v1alpha1.CauseNotBuilt, reasons: builds},
	{cause: v1alpha1.CauseNotReleased, reasons: values},
	{cause: v1alpha1.CauseObjectRefused, reasons: applies, words: []string{"dry-run failed", "apply failed",
		"create failed",
		"namespace not specified", "denied the request", "denied request", "is invalid:", "field is immutable"}},
	{cause: v1alpha1.CauseObjectRefused, reasons: releases, words: []string{"denied the request", "denied request",
		"is invalid:",
		"field is immutable", "cannot patch", "server-side apply failed"}},
	{cause: v1alpha1.CauseNotReleased, reasons: releases, words: []string{"schema", "template:", "execution error at",
		"yaml parse error", "requires kubeversion", "missing in charts/ directory", "cannot unmarshal",
		"parse error", "unable to build kubernetes objects", "error validating", "converting yaml to json",
		"unable to render",
		"post-render", "postrender", "nil pointer evaluating"}},
	{cause: v1alpha1.CauseChartMissing, reasons: []string{"SourceNotReady", "ArtifactFailed"}, words: []string{
		"chart with version matching", "no chart version found", "chart version found for", "no chart name found",
		"manifest unknown", "manifest_unknown", "no match found for semver"}},

	{cause: v1alpha1.CauseUnknown, reasons: []string{"ReconciliationFailed", "InstallFailed", "UpgradeFailed"}},
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
