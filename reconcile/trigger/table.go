package trigger

import "github.com/backstop-dev/backstop/api/v1alpha1"

// row is one reason why a container that fails need not be its image's fault, or why a person has to decide.
type row struct {
	doubt v1alpha1.DoubtType
	// fault is whose fault it is then; empty where the image may still be at fault and only a person is needed.
	fault v1alpha1.Fault
	// says what the row stands for, for the docs.
	says string
	// why says it of a view; empty where the row does not apply.
	why func(*view) string
}

// rows in the order in which they are asked. Those that know another fault come first.
var rows = []row{
	{v1alpha1.DoubtPromotion, v1alpha1.FaultUnknown,
		"a Canary of Flagger made the workload: its image passed the analysis", (*view).promoted},
	{v1alpha1.DoubtInjected, v1alpha1.FaultUnknown,
		"the container is in no template: a webhook injected it", (*view).injected},
	{v1alpha1.DoubtNode, v1alpha1.FaultNode,
		"its node is not ready, the same revision runs well on another node, or old pods cannot be started either",
		(*view).node},
	{v1alpha1.DoubtDependency, v1alpha1.FaultDependency,
		"pods of the former revision, or other workloads with other images, fail since then too, and not only since it is " +
			"away",
		(*view).dependency},
	{v1alpha1.DoubtConfigChanged, v1alpha1.FaultConfig,
		"more than images changed between the templates", (*view).configChanged},
	{v1alpha1.DoubtNoFormer, v1alpha1.FaultUnknown,
		"there is no former revision", (*view).noFormer},
	{v1alpha1.DoubtSameImage, v1alpha1.FaultUnknown,
		"the container's image did not change, by name or by content", (*view).sameImage},
	{v1alpha1.DoubtFormerFailed, v1alpha1.FaultUnknown,
		"the former revision was not fully available, and no pod of it is ready", (*view).formerFailed},
	{v1alpha1.DoubtWaits, v1alpha1.FaultDependency,
		"an init container that waits for something", (*view).waits},
	{v1alpha1.DoubtMixed, v1alpha1.FaultUnknown,
		"another pod of the same revision runs well", (*view).mixed},
	{v1alpha1.DoubtRanHere, v1alpha1.FaultUnknown,
		"its pods ran for more than half an hour before they began to fail", (*view).ranLong},
	// From here on the image may be at fault, and a person decides.
	{v1alpha1.DoubtFormerUnknown, "",
		"nobody knows whether the former revision was available, and no pod of it is ready; or it was not fully, and some " +
			"are",
		(*view).formerUnknown},
	{v1alpha1.DoubtConfigUnread, "",
		"what it reads or starts is not the image's alone: ConfigMaps, Secrets, volumes, a script of the template, a " +
			"variable or a label `version` that goes with the tag, what the nodes permit; and no old pod started with them " +
			"since",
		(*view).configUnread},
	{v1alpha1.DoubtDependency, "",
		"its last words are about the network, a login, the node's disk or the state of a database, or do not say that the " +
			"program itself is at fault",
		(*view).speaks},
	{v1alpha1.DoubtMutated, "",
		"a webhook changed its pods, and nothing tells that it did the same with the former ones", (*view).mutated},
	{v1alpha1.DoubtMemory, "",
		"it takes more memory than its unchanged limit", (*view).memory},
	{v1alpha1.DoubtProbe, "",
		"it was killed, or never became ready", (*view).probe},
	{v1alpha1.DoubtLongRuns, "",
		"it ran for more than a minute before it ended, or for seconds before it missed a program", (*view).longRuns},
	{v1alpha1.DoubtInitContainer, "",
		"an init container may wait for something else", (*view).initContainer},
	{v1alpha1.DoubtOneNode, "",
		"it fails on one node alone, on nodes alone that joined since, or one of its pods fails for its node",
		(*view).oneNode},
	{v1alpha1.DoubtArchitecture, "",
		"its node has another architecture than the former pods', or nothing tells which they had", (*view).architecture},
	{v1alpha1.DoubtRanHere, "",
		"its revision is half an hour older than each of its pods: others came before them", (*view).hadPods},
	{v1alpha1.DoubtSuspended, "",
		"somebody paused its rollout", (*view).paused},
	{v1alpha1.DoubtOthersCrash, "",
		"other workloads of the namespace crash or did so a moment ago, or another container of its pods whose image did " +
			"not change; or one that a webhook injected is not ready",
		(*view).othersCrash},
	{v1alpha1.DoubtSibling, "",
		"another workload runs the image well", (*view).sibling},
	{v1alpha1.DoubtNotOptedIn, "",
		"the process starts and then fails, and the workload did not opt in, or shares a volume or its node's ports with " +
			"the former pods", (*view).notOptedIn},
}
