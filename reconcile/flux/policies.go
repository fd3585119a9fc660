package flux

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/backstop-dev/backstop/reconcile"
)

// policies lists what image automation selects in the namespaces of a repository's writers. A marker can only name a
// policy in its automation's namespace.
func (f *Flux) policies(ctx context.Context, writers []automation, branch string, since time.Time,
) ([]reconcile.ImagePolicy, error) {
	var namespaces []string
	for _, a := range writers {
		if !slices.Contains(namespaces, a.ref.Namespace) {
			namespaces = append(namespaces, a.ref.Namespace)
		}
	}
	if len(namespaces) == 0 {
		return nil, nil
	}
	slices.Sort(namespaces)
	key := strings.Join(namespaces, "/")
	list, err := f.selected.Do(ctx, key, since, func(ctx context.Context) ([]reflectorv1.ImagePolicy, error) {
		var all []reflectorv1.ImagePolicy
		err := each(ctx, f, kindPolicy, namespaces, func(page *reflectorv1.ImagePolicyList) {
			all = append(all, page.Items...)
		})
		return all, err
	})
	if err != nil {
		return nil, err
	}
	var out []reconcile.ImagePolicy
	for i := range list {
		out = append(out, imagePolicy(&list[i], writers, branch))
	}
	slices.SortFunc(out, func(a, b reconcile.ImagePolicy) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// imagePolicy reads what a policy selects, and which automation writes it: one that writes to the branch before others.
func imagePolicy(p *reflectorv1.ImagePolicy, writers []automation, branch string) reconcile.ImagePolicy {
	out := reconcile.ImagePolicy{Name: p.Namespace + ":" + p.Name}
	if r := p.Status.LatestRef; r != nil {
		out.Latest = reference(r.Name, r.Tag, r.Digest)
	}
	if r := p.Status.ObservedPreviousRef; r != nil {
		out.Previous = reference(r.Name, r.Tag, r.Digest)
	}
	var by *automation
	for i := range writers {
		a := &writers[i]
		if a.ref.Namespace != p.Namespace || !selects(a.obj, p.Labels) {
			continue
		}
		if by == nil || !by.direct(branch) && a.direct(branch) {
			by = a
		}
	}
	if by == nil {
		return out
	}
	ref := by.ref
	out.Automation = &ref
	// What the automation wrote last may be neither, while the policy has moved on.
	if seen, ok := by.obj.Status.ObservedPolicies[p.Name]; ok && out.Previous == "" {
		if written := reference(seen.Name, seen.Tag, seen.Digest); written != out.Latest {
			out.Previous = written
		}
	}
	return out
}

// reference is name:tag[@digest], as the setter writes it.
func reference(name, tag, digest string) string {
	if name == "" || tag == "" {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%s", name, tag)
	if digest != "" {
		b.WriteString("@" + digest)
	}
	return b.String()
}

// selects reports whether an automation writes policies with these labels; without a selector it writes all.
func selects(a *automationv1.ImageUpdateAutomation, set map[string]string) bool {
	if a.Spec.PolicySelector == nil {
		return true
	}
	s, err := metav1.LabelSelectorAsSelector(a.Spec.PolicySelector)
	return err == nil && s.Matches(labels.Set(set))
}
