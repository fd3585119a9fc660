package v1alpha1

import "slices"

// Cause is why a container does not run what Git says, read from the words of the kubelet or of a registry.
//
// +kubebuilder:validation:MaxLength=64
type Cause string

// The causes. Their faults, ranks and words stand in the table below: a new cause needs a name here, a row there, and
// whatever finds it.
const (
	CauseNotFound            Cause = "NotFound"
	CausePlatformMismatch    Cause = "PlatformMismatch"
	CauseInvalidName         Cause = "InvalidName"
	CauseNotAnImage          Cause = "NotAnImage"
	CauseBlobMissing         Cause = "BlobMissing"
	CauseUnauthorized        Cause = "Unauthorized"
	CauseRateLimited         Cause = "RateLimited"
	CauseRegistryUnavailable Cause = "RegistryUnavailable"
	CauseNodeFault           Cause = "NodeFault"
	CauseNeverPulled         Cause = "NeverPulled"
	CauseUnknown             Cause = "Unknown"
	CauseDrift               Cause = "Drift"

	// Those of a container that has its image.
	CauseCannotStart       Cause = "CannotStart"
	CauseWrongArchitecture Cause = "WrongArchitecture"
	CauseRunsAsRoot        Cause = "RunsAsRoot"
	CauseCrashed           Cause = "Crashed"
	CauseOutOfMemory       Cause = "OutOfMemory"
	CauseKilled            Cause = "Killed"
	CauseNotReady          Cause = "NotReady"
	CauseConfigMissing     Cause = "ConfigMissing"
	CauseHookFailed        Cause = "HookFailed"
	CauseNodeCannotRun     Cause = "NodeCannotRun"
	CauseNodeLost          Cause = "NodeLost"

	// Those of what Flux cannot apply.
	CauseNotBuilt          Cause = "NotBuilt"
	CauseObjectRefused     Cause = "ObjectRefused"
	CauseNotReleased       Cause = "NotReleased"
	CauseReleaseHook       Cause = "ReleaseHook"
	CauseChartMissing      Cause = "ChartMissing"
	CauseNotDecrypted      Cause = "NotDecrypted"
	CauseVariablesMissing  Cause = "VariablesMissing"
	CauseNoRights          Cause = "NoRights"
	CauseKindMissing       Cause = "KindMissing"
	CauseNamespaceMissing  Cause = "NamespaceMissing"
	CauseWebhookDown       Cause = "WebhookDown"
	CauseQuota             Cause = "Quota"
	CauseServerUnavailable Cause = "ServerUnavailable"
	CauseReleaseLocked     Cause = "ReleaseLocked"

	// Those of an update that a canary analysis refused.
	CauseAnalysisFailed   Cause = "AnalysisFailed"
	CauseDeadlineExceeded Cause = "DeadlineExceeded"
	CauseCanaryFailed     Cause = "CanaryFailed"
)

// Fault is whose fault a cause is.
type Fault string

// Whose fault a cause can be. Only what is the image's own fault may be reverted without a person.
const (
	FaultImage      Fault = "Image"
	FaultRegistry   Fault = "Registry"
	FaultNode       Fault = "Node"
	FaultCredential Fault = "Credential"
	FaultPerson     Fault = "Person"
	FaultConfig     Fault = "Config"
	FaultDependency Fault = "Dependency"
	FaultUnknown    Fault = "Unknown"
)

// CauseRow is what is known of one cause.
type CauseRow struct {
	Cause Cause
	Fault Fault
	// Words say the cause to a person, within a sentence.
	Words string
}

// causes in the order of their rank: of several that one message speaks for, the first of its side counts, the image's
// own before the others', what is nearer to the node before what is further away.
var causes = []CauseRow{
	{CauseInvalidName, FaultImage, "invalid image name"},
	{CauseNotAnImage, FaultImage, "not a container image"},
	{CausePlatformMismatch, FaultImage, "no image for the platform"},
	{CauseBlobMissing, FaultImage, "a layer is missing"},
	{CauseNotFound, FaultImage, "image not found"},
	{CauseNodeFault, FaultNode, "node at fault"},
	{CauseNeverPulled, FaultNode, "never pulled, as the pull policy says"},
	{CauseRateLimited, FaultRegistry, "registry limits requests"},
	{CauseUnauthorized, FaultCredential, "registry refuses access"},
	{CauseRegistryUnavailable, FaultRegistry, "registry unavailable"},
	{CauseDrift, FaultPerson, "changed by hand"},
	{CauseCannotStart, FaultImage, "cannot be started"},
	{CauseWrongArchitecture, FaultImage, "built for another architecture"},
	{CauseRunsAsRoot, FaultImage, "runs as root, which is forbidden"},
	{CauseCrashed, FaultImage, "crashes"},
	{CauseOutOfMemory, FaultImage, "takes more memory than it may"},
	{CauseKilled, FaultImage, "killed, as a failed probe does"},
	{CauseNotReady, FaultImage, "never becomes ready"},
	{CauseAnalysisFailed, FaultImage, "did not pass its canary analysis"},
	{CauseDeadlineExceeded, FaultImage, "was not ready by the deadline of its canary"},
	{CauseCanaryFailed, FaultImage, "was refused by its canary"},
	{CauseConfigMissing, FaultConfig, "a ConfigMap, a Secret or a key is missing"},
	{CauseHookFailed, FaultUnknown, "a hook fails"},
	{CauseNodeCannotRun, FaultNode, "the node cannot run it"},
	{CauseNodeLost, FaultNode, "the node was lost"},
	{CauseNotBuilt, FaultConfig, "cannot be built"},
	{CauseObjectRefused, FaultConfig, "the API server refuses an object"},
	{CauseNotReleased, FaultConfig, "Helm cannot make the release"},
	{CauseReleaseHook, FaultConfig, "a hook of the release fails"},
	{CauseChartMissing, FaultConfig, "the chart does not have the version"},
	{CauseNotDecrypted, FaultCredential, "cannot be decrypted"},
	{CauseVariablesMissing, FaultDependency, "a ConfigMap or a Secret that it takes values from is missing"},
	{CauseNoRights, FaultCredential, "Flux lacks a right"},
	{CauseKindMissing, FaultDependency, "a kind is not installed"},
	{CauseNamespaceMissing, FaultDependency, "a namespace is missing"},
	{CauseWebhookDown, FaultDependency, "an admission webhook does not answer"},
	{CauseQuota, FaultDependency, "a quota is used up"},
	{CauseServerUnavailable, FaultDependency, "something that it needs does not answer"},
	{CauseReleaseLocked, FaultDependency, "the state of the release in the cluster is in the way"},
	{CauseUnknown, FaultUnknown, "cause unknown"},
}

// Causes lists every cause, in the order of their rank.
func Causes() []CauseRow { return slices.Clone(causes) }

// row finds what is known of a cause. A cause that another version of Backstop wrote is unknown here.
func (c Cause) row() CauseRow {
	for _, r := range causes {
		if r.Cause == c {
			return r
		}
	}
	return CauseRow{Cause: c, Fault: FaultUnknown}
}

// Fault says whose fault it is.
func (c Cause) Fault() Fault { return c.row().Fault }

// ImageFault reports whether the cause is the image's own fault: only such a failure is reverted without a person.
func (c Cause) ImageFault() bool { return c.Fault() == FaultImage }

// Words say the cause to a person; empty for a cause that is not known here.
func (c Cause) Words() string { return c.row().Words }

// WeighCauses picks one cause of those that a message speaks for. The image's own fault counts only where nothing else
// is said, and what cannot be told makes all of it unknown.
func WeighCauses(found map[Cause]bool) Cause {
	var image, other Cause
	for _, r := range causes {
		switch {
		case !found[r.Cause]:
		case r.Fault == FaultUnknown:
			return CauseUnknown
		case r.Fault == FaultImage && image == "":
			image = r.Cause
		case r.Fault != FaultImage && other == "":
			other = r.Cause
		}
	}
	switch {
	case image != "" && other == "":
		return image
	case image == "" && other != "":
		return other
	}
	return CauseUnknown
}
