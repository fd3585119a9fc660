package trigger

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/workload"
)

// canaryRow is one reason why an update that was refused need not be its image's fault, or why a person decides.
type canaryRow struct {
	doubt v1alpha1.DoubtType
	fault v1alpha1.Fault
	says  string
	why   func(*canaryView) string
}

// canaryRows in the order in which they are asked.
var canaryRows = []canaryRow{
	{v1alpha1.DoubtPromotion, v1alpha1.FaultUnknown,
		"it was promoted already: a revert would put the old image under live traffic", (*canaryView).promotion},
	{v1alpha1.DoubtNoFormer, v1alpha1.FaultUnknown, "nothing was promoted before", (*canaryView).noFormer},
	{v1alpha1.DoubtConfigChanged, v1alpha1.FaultConfig,
		"more than images changed, in the template or in what it reads", (*canaryView).configChanged},
	{v1alpha1.DoubtSameImage, v1alpha1.FaultUnknown,
		"no image changed, or the update is promoted already", (*canaryView).sameImage},
	{v1alpha1.DoubtFormerFailed, v1alpha1.FaultDependency,
		"what was promoted before does not run well either", (*canaryView).formerFailed},
	{v1alpha1.DoubtCapacity, v1alpha1.FaultNode,
		"the cluster had no room, no volume or no quota for its pods", (*canaryView).capacity},
	// From here on the image may be at fault, and a person decides.
	{v1alpha1.DoubtMetrics, "", "nothing was measured, or what measures failed", (*canaryView).metrics},
	{v1alpha1.DoubtAborted, "", "a person or their gate ended it", (*canaryView).aborted},
	{v1alpha1.DoubtDeadline, "", "it was not ready by its deadline, which slow nodes do too", (*canaryView).deadline},
	{v1alpha1.DoubtReasonUnknown, "", "nothing tells why it was refused, or not any more", (*canaryView).unknown},
	{v1alpha1.DoubtManyImages, "",
		"several images changed, and nothing tells which of them it is", (*canaryView).manyImages},
	{v1alpha1.DoubtNotAnalysed, "",
		"nothing tells that what is there now is what was analysed", (*canaryView).notAnalysed},
	{v1alpha1.DoubtConfigUnread, "",
		"the pods read ConfigMaps or Secrets, and nobody saw how they were promoted", (*canaryView).configUnread},
	{v1alpha1.DoubtOthersCrash, "", "other workloads of the namespace crash", (*canaryView).othersCrash},
	{v1alpha1.DoubtSibling, "", "another workload runs the image well", (*canaryView).sibling},
}

func (v *canaryView) promotion() string {
	if !v.Status.Promoting {
		return ""
	}
	return fmt.Sprintf("%s had promoted it before it failed, and the traffic is on it: a revert would put the old image "+
		"under live traffic", named(v.Status.By))
}

// named is Kind/name: everything here is of one namespace.
func named(ref v1alpha1.ObjectRef) string { return ref.Kind + "/" + ref.Name }

func (v *canaryView) noFormer() string {
	if v.Former != nil {
		return ""
	}
	return fmt.Sprintf("%s has promoted nothing before", named(v.Status.By))
}

func (v *canaryView) configChanged() string {
	var read []string
	if v.Remembered {
		for _, name := range union(v.Promoted, v.Status.Tracked) {
			if v.Promoted[name] != v.Status.Tracked[name] {
				read = append(read, "the content of "+name)
			}
		}
	}
	return moreThanImages(v.changed, read...)
}

func (v *canaryView) sameImage() string {
	if v.Former == nil || slices.ContainsFunc(v.changed, func(c v1alpha1.TemplateChange) bool {
		return c.Part == v1alpha1.PartImage
	}) {
		return ""
	}
	return fmt.Sprintf("%s runs the same images: what it reads changed, or it was promoted already", v.Former.Name)
}

func (v *canaryView) formerFailed() string {
	switch {
	case v.Former == nil:
		return ""
	case v.reason == v1alpha1.CanaryPromoted:
		return fmt.Sprintf("%s was not ready while the update was analysed", v.Former.Name)
	case v.Former.Ails != "":
		return fmt.Sprintf("pod %s of %s fails too", v.Former.Ails, v.Former.Name)
	case v.Former.Ready < v.Former.Wanted || v.Former.Ready == 0:
		return fmt.Sprintf("%d of %d pods of %s are ready", v.Former.Ready, v.Former.Wanted, v.Former.Name)
	}
	return ""
}

func (v *canaryView) capacity() string {
	if v.reason != v1alpha1.CanaryDeadline && v.reason != v1alpha1.CanaryUnknown {
		return ""
	}
	return v.NoRoom
}

func (v *canaryView) metrics() string {
	if v.reason != v1alpha1.CanaryMetrics {
		return ""
	}
	return cmp.Or(v.blind, "nothing was measured, or what measures failed")
}

func (v *canaryView) aborted() string {
	if v.reason != v1alpha1.CanaryAborted {
		return ""
	}
	return "a person or their gate ended it, and does not say why"
}

func (v *canaryView) deadline() string {
	if v.reason != v1alpha1.CanaryDeadline {
		return ""
	}
	return "it was not ready by its deadline, which need not be the image's fault"
}

func (v *canaryView) unknown() string {
	if v.reason != v1alpha1.CanaryUnknown {
		return ""
	}
	return fmt.Sprintf("nothing tells why %s refused it: its events are gone, were dropped, or may not be read",
		named(v.Status.By))
}

// manyImages: whichever of them is at fault, the analysis refused all of them at once.
func (v *canaryView) manyImages() string {
	brought := v.Brought()
	if len(brought) < 2 {
		return ""
	}
	return fmt.Sprintf("the update brought %d images, and nothing tells which of them is at fault: %s", len(brought),
		strings.Join(brought[:min(len(brought), 3)], ", "))
}

func (v *canaryView) notAnalysed() string {
	made := v.Target.Made
	switch {
	case v.Status.At.IsZero():
		return fmt.Sprintf("%s does not say since when it has failed", named(v.Status.By))
	case made.IsZero():
		return fmt.Sprintf("nothing tells since when %s is what it is", v.Target.Name)
	case !v.detected.IsZero() && made.After(v.detected):
		return fmt.Sprintf("%s changed after its analysis began", v.Target.Name)
	}
	return ""
}

func (v *canaryView) configUnread() string {
	var unread []string
	for _, name := range workload.Configs(&v.Target.Template.Spec) {
		_, tracked := v.Status.Tracked[strings.ToLower(name[:strings.Index(name, "/")])+name[strings.Index(name, "/"):]]
		if !v.Remembered || !tracked {
			unread = append(unread, name)
		}
	}
	if len(unread) == 0 {
		return ""
	}
	return fmt.Sprintf("it reads %s, which may have changed: Backstop may not read them",
		strings.Join(unread[:min(len(unread), 3)], ", "))
}

func (v *canaryView) othersCrash() string {
	if len(v.Others) == 0 {
		return ""
	}
	return "other workloads of the namespace crash: " + strings.Join(v.Others[:min(len(v.Others), 3)], ", ")
}

func (v *canaryView) sibling() string {
	if len(v.Siblings) == 0 {
		return ""
	}
	return v.Siblings[0] + " runs the image well"
}
