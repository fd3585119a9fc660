package trace

import (
	"fmt"
	"slices"
	"strings"

	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/gate/imagepolicy"
	"github.com/backstop-dev/backstop/internal/image"
	"github.com/backstop-dev/backstop/reconcile/flux"
)

func (v *view) policyHop() Hop {
	h := Hop{Name: HopPolicy}
	if v.policy == nil {
		return v.noPolicy(h)
	}
	p := v.policy
	ref := refOf("ImagePolicy", p.Namespace, p.Name)
	h.At = ref.String()
	b, err := imagepolicy.Parse(p.Spec)
	if err != nil {
		h.Mark, h.Why, h.Fix = Blocked, "it selects nothing: "+err.Error(), "correct that field"
		return h
	}
	reason, message, failing := flux.Not(p.Status.Conditions)
	selected := p.Status.LatestRef
	switch {
	case p.Spec.Suspend:
		h.Mark, h.Why, h.Fix = Blocked, "it is suspended, and selects nothing new", flux.Resume(ref)
		if selected != nil {
			h.Why += "; it still stands for " + selected.Tag
		}
	case failing:
		h.Mark, h.Why = Blocked, fmt.Sprintf("it selects nothing (%s): %s", reason, message)
		h.Fix = v.selectionFix(b, reason)
	case selected == nil:
		h.Mark, h.Why = Waits, "it has selected nothing yet"
	default:
		return v.selected(h, b)
	}
	return h
}

// noPolicy explains why nothing selects the image.
func (v *view) noPolicy(h Hop) Hop {
	h.Mark, h.Says = None, "no ImagePolicy selects it: people write the image"
	var could []string
	for _, p := range v.candidates() {
		could = append(could, p.Namespace+"/"+p.Name)
	}
	switch {
	case v.node != nil && v.node.Policy != "" && v.Chain.Unread == "":
		h.Says = "the marker names one that was not found"
	case v.node == nil && len(could) > 1:
		h.Says = "which of them is meant only the marker tells: " + few(could, 4)
	default:
		return v.unlessUnread(h)
	}
	return h
}

// unlessUnread reports that nothing is there only if everything could be read, or if Git shows that people write the
// image.
func (v *view) unlessUnread(h Hop) Hop {
	if v.Chain.Unread == "" || v.node != nil && v.node.Policy == "" {
		return h
	}
	return Hop{Name: h.Name, Mark: Unknown, Why: v.Chain.Unread}
}

// accessDenied is how Flux says that a reference to another namespace is not allowed.
const accessDenied = "AccessDenied"

// selectionFix describes what to do about a policy that takes no tag.
func (v *view) selectionFix(b *imagepolicy.Rule, reason string) string {
	ref := refOf("ImagePolicy", v.policy.Namespace, v.policy.Name)
	switch {
	case v.scan == nil:
		return "correct spec.imageRepositoryRef"
	case reason == accessDenied:
		return fmt.Sprintf("let namespace %s in: spec.accessFrom of ImageRepository %s/%s", v.policy.Namespace,
			v.scan.Namespace, v.scan.Name)
	}
	tags := v.visible()
	if _, taken := b.Select(tags); taken == 0 && len(tags) > 0 {
		if _, why, fix := b.Read(b.Nearest(tags)); why != "" {
			return fix
		}
	}
	return "see the hops before, then: " + flux.Reconcile(ref)
}

// selected compares the tag that a policy selects with the tag that was asked for, with the registry, and with other
// environments.
func (v *view) selected(h Hop, b *imagepolicy.Rule) Hop {
	p := v.policy
	tag := p.Status.LatestRef.Tag
	h.Mark, h.Says = Good, fmt.Sprintf("selects %s (%s)", tag, b)
	if asked := tagOf(v.Asked); v.Asked != "" && asked != "" && asked != tag {
		return v.notSelected(h, b, asked, tag)
	}
	if other, why := v.foreign(tag); other != nil {
		h.Mark = Blocked
		h.Why = fmt.Sprintf("it selects %s, which ImagePolicy %s/%s is for: %s", tag, other.Namespace, other.Name, why)
		h.Fix = "set spec.filterTags.pattern to one that only this environment's tags match, anchored with ^ at the start"
		return h
	}
	if !v.Registry.All || v.stopped == HopScan {
		return h
	}
	seen := v.visible()
	best, taken := b.Select(seen)
	if best != "" && best != tag && slices.Contains(seen, tag) {
		h.Mark = Waits
		h.Why = fmt.Sprintf("it selects %s; the registry has %s, which comes after it and has not been seen yet", tag, best)
		return h
	}
	h.Says = fmt.Sprintf("selects %s of %s, %d of which fit (%s)", tag, tags(len(seen)), taken, b)
	return h
}

// notSelected explains why a policy selects another tag than the one that was asked for.
func (v *view) notSelected(h Hop, b *imagepolicy.Rule, asked, selected string) Hop {
	r, why, fix := b.Read(asked)
	if why != "" {
		h.Mark, h.Why, h.Fix = Blocked, fmt.Sprintf("it selects %s: %s", selected, why), fix
		return h
	}
	top, gone, _ := b.Read(selected)
	switch {
	case gone == "" && b.After(top, r):
		h.Mark = Blocked
		h.Why = fmt.Sprintf("it selects %s, which comes after %s (%s)", selected, asked, b)
		h.Fix = fmt.Sprintf("push the image under a tag that comes after %s; or have the ImageRepository leave that one "+
			"out: spec.exclusionList", selected)
	case gone == "" && !b.After(r, top):
		h.Mark = Blocked
		h.Why = fmt.Sprintf("it selects %s, which is the same to its rule (%s)", selected, b)
		h.Fix = "push the image under a tag that comes after it"
	default:
		h.Mark = Waits
		h.Why = fmt.Sprintf("it still selects %s: %s has not been seen yet", selected, asked)
	}
	return h
}

// foreign finds the policy of another environment whose tag was selected: both have patterns that match it, and this
// one's matches more than the other's does.
func (v *view) foreign(tag string) (*reflectorv1.ImagePolicy, string) {
	mine := patternOf(v.policy)
	if mine == "" || v.scan == nil {
		return nil, ""
	}
	for i := range v.Chain.Selections {
		p := &v.Chain.Selections[i]
		own := patternOf(p)
		if own == "" || own == mine || p.Namespace == v.policy.Namespace && p.Name == v.policy.Name {
			continue
		}
		scan := v.scanOf(p)
		if scan == nil || !image.SameRepository(scan.Spec.Image, v.scan.Spec.Image) {
			continue
		}
		b, err := imagepolicy.Parse(p.Spec)
		if err != nil || !b.Matches(tag) {
			continue
		}
		if _, beyond := imagepolicy.Witness(own, mine); beyond {
			return p, fmt.Sprintf("its pattern %s matches that tag, and so does %s here", own, mine)
		}
	}
	return nil, ""
}

func patternOf(p *reflectorv1.ImagePolicy) string {
	if p.Spec.FilterTags == nil {
		return ""
	}
	return p.Spec.FilterTags.Pattern
}

func (v *view) automationHop() Hop {
	h := Hop{Name: HopAutomation}
	if v.policy == nil {
		h.Mark, h.Says = None, "nothing writes it but people"
		return v.unlessUnread(h)
	}
	if v.writer == nil {
		return v.noWriter(h)
	}
	w := v.writer
	h.At = w.Ref.String()
	reason, message, failing := flux.Not(w.Object.Status.Conditions)
	last, interval := w.Object.Status.LastAutomationRunTime, w.Object.Spec.Interval.Duration
	switch {
	case w.Object.Spec.Suspend:
		h.Mark, h.Why, h.Fix = Blocked, "it is suspended, and writes nothing to Git", flux.Resume(w.Ref)
	case v.node != nil && !w.Updates(v.node.File):
		h.Mark = Blocked
		h.Why = fmt.Sprintf("it updates %s alone, and the marker is in %s", w.Path, v.node.File)
		h.Fix = "set spec.update.path to a folder that holds " + v.node.File
	case w.Elsewhere != "":
		h.Mark, h.Why = Blocked, w.Elsewhere
		h.Fix = fmt.Sprintf("merge what it pushed, or set spec.git.checkout.ref.branch and spec.git.push.branch: %s",
			v.Chain.Source.Branch)
	case failing:
		h.Mark, h.Why = Blocked, fmt.Sprintf("it fails (%s): %s", reason, message)
		h.Fix = v.automationFix(reason, message)
	case last == nil:
		h.Mark, h.Why = Waits, "it has not run yet"
	case v.overdue(last.Time, interval):
		h.Mark = Blocked
		h.Why = fmt.Sprintf("it ran %s, though its interval is %s", v.ago(last.Time), every(interval))
		h.Fix = flux.Reconcile(w.Ref) + logs("image-automation-controller")
	default:
		h.Mark, h.Says = Good, "ran "+v.ago(last.Time)
		if t := w.Object.Status.LastPushTime; t != nil {
			h.Says += fmt.Sprintf(", pushed %.12s %s", w.Object.Status.LastPushCommit, v.ago(t.Time))
		}
	}
	return h
}

// noWriter explains why no automation writes what the policy selects.
func (v *view) noWriter(h Hop) Hop {
	p := v.policy
	h.Mark = Blocked
	for _, w := range v.Chain.Writers {
		if w.Object.Namespace != p.Namespace {
			continue
		}
		h.At = w.Ref.String()
		if _, err := metav1.LabelSelectorAsSelector(w.Object.Spec.PolicySelector); err != nil {
			h.Why, h.Fix = fmt.Sprintf("its policySelector selects nothing: %s", err), "correct spec.policySelector"
			return h
		}
		h.Why = fmt.Sprintf("its policySelector does not select ImagePolicy %s/%s", p.Namespace, p.Name)
		h.Fix = "give the ImagePolicy the labels of spec.policySelector" + labelsOf(w)
		return h
	}
	if v.Chain.Unread != "" {
		h.Mark, h.Why = Unknown, v.Chain.Unread
		return h
	}
	repo := v.Chain.Repository
	if repo == nil {
		h.Mark, h.Why = Unknown, fmt.Sprintf("which Git repository %s is built from nobody says: name it in "+
			"spec.sourceRef of a RollbackPolicy", v.Chain.Source.Ref)
		return h
	}
	h.Why = fmt.Sprintf("no ImageUpdateAutomation in namespace %s writes to the repository that %s deploys", p.Namespace,
		v.Chain.Source.Ref)
	h.Fix = fmt.Sprintf("create one in namespace %s, whose spec.sourceRef is %s", p.Namespace,
		refOf("GitRepository", repo.Namespace, repo.Name))
	return h
}

// labelsOf is an example of what a selector wants.
func labelsOf(w flux.Writer) string {
	var out []string
	if s := w.Object.Spec.PolicySelector; s != nil {
		for k, value := range s.MatchLabels {
			out = append(out, k+"="+value)
		}
	}
	if len(out) == 0 {
		return ""
	}
	slices.Sort(out)
	return ": " + strings.Join(out, " ")
}

// automationFix describes what to do about an automation that fails, by its words.
func (v *view) automationFix(reason, message string) string {
	w, words := v.writer, wordsOf(message)
	again := flux.Reconcile(w.Ref)
	source := w.Object.Spec.SourceRef.Name
	switch {
	case reason == accessDenied:
		return "name a GitRepository of its own namespace in spec.sourceRef: Flux runs with --no-cross-namespace-refs"
	case strings.Contains(words, "secret") && strings.Contains(words, "not found"):
		return "create the Secret that it names, then: " + again
	case strings.Contains(words, "protected") || strings.Contains(words, "declined"):
		return "let its user push to the branch, or set spec.git.push.branch to another one and merge that"
	case strings.Contains(words, "authenti") || strings.Contains(words, "authoriz") || strings.Contains(words, "403") ||
		strings.Contains(words, "401") || strings.Contains(words, "denied"):
		return fmt.Sprintf("give GitRepository %s a Secret that may push (spec.secretRef), then: %s", source, again)
	case strings.Contains(words, "template"):
		return "correct spec.git.commit.messageTemplate"
	case strings.Contains(words, "selector"):
		return "correct spec.policySelector"
	case strings.Contains(words, "no such file"):
		return "correct spec.update.path"
	}
	return "mend what it says, then: " + again
}

// sameImage reports whether Git or the cluster names what a policy selected.
func sameImage(said string, p *reflectorv1.ImagePolicy) bool {
	return p.Status.LatestRef == nil || image.SameTag(said, p.Status.LatestRef.String())
}
