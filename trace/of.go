package trace

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
)

// Of makes the trail of an image from what is known. It is pure.
func Of(f Facts) Trail {
	v := look(f)
	t := Trail{
		Namespace: f.Namespace, Workload: f.Workload, Container: f.Container, Image: v.image, Runs: f.Live.Image,
		History: f.Git.History, More: f.Git.More, At: f.Now,
	}
	add := func(hop func() Hop) {
		h := hop()
		if h.Mark == Blocked && v.stopped == "" {
			v.stopped = h.Name
		}
		v.waits = v.waits || h.Mark == Waits
		t.Hops = append(t.Hops, h)
	}
	add(v.tagHop)
	switch {
	case f.Unread != "":
		t.Hops = append(t.Hops, Hop{Name: HopApply, Mark: Unknown, Why: f.Unread})
	case f.Chain == nil:
		t.Hops = append(t.Hops, Hop{
			Name: HopApply, Mark: Blocked, Why: f.NotFlux,
			Fix: "let a Kustomization or HelmRelease apply it, from a file in Git",
		})
	default:
		for _, hop := range []func() Hop{
			v.scanHop, v.policyHop, v.automationHop, v.markerHop, v.commitHop, v.sourceHop, v.applyHop,
		} {
			add(hop)
		}
		if f.Chain.Release != nil {
			add(v.releaseHop)
		}
		if f.Chain.Unread != "" {
			t.Notes = append(t.Notes, "not everything was read: "+f.Chain.Unread)
		}
	}
	add(v.workloadHop)
	if f.Canary != nil {
		add(v.canaryHop)
	}
	add(v.podsHop)
	t.Notes = append(t.Notes, v.records()...)
	if f.RollbacksUnread != "" {
		t.Notes = append(t.Notes, "what Backstop does about it was not read: "+f.RollbacksUnread)
	}
	return t
}

// records are notes about what Backstop does about the workload right now.
func (v *view) records() []string {
	var out []string
	for i := range v.Rollbacks {
		r := &v.Rollbacks[i]
		if r.Status.Ended() || !v.concerns(r) {
			continue
		}
		said := ""
		for _, c := range r.Status.Conditions {
			if c.Type == "Ready" {
				said = ": " + c.Message
			}
		}
		out = append(out, fmt.Sprintf("Rollback %s is %s%s", r.Name, r.Status.PhaseNow(), said))
	}
	return out
}

func (v *view) tagHop() Hop {
	r := &v.Registry
	h := Hop{Name: HopTag, At: v.image}
	switch r.Proof.Finding {
	case reconcile.FindingPresent:
		h.Mark, h.Says = Good, v.described()
	case reconcile.FindingAbsent:
		h.Mark, h.Why = Blocked, r.Proof.Sentence
		h.Fix = tagFix(r.Proof.Cause, v.image, r.Nodes)
	default:
		h.Mark, h.Why = Unknown, r.Proof.Sentence
		if r.Missing != "" {
			h.Why += "; " + r.Missing
		}
		if r.Proof.Cause == v1alpha1.CauseUnauthorized {
			h.Fix = "log in to " + host(v.image) + ": docker login " + host(v.image)
		}
	}
	return h
}

// described is what the registry has.
func (v *view) described() string {
	r := &v.Registry
	parts := []string{text.ShortDigest(cmp.Or(r.Digest, r.Proof.Digest))}
	if len(r.Platforms) > 0 {
		built := strings.Join(r.Platforms, " ")
		if r.NodesUnread {
			built += " (you may not read which the nodes have)"
		}
		parts = append(parts, built)
	}
	if !r.Built.IsZero() {
		parts = append(parts, "built "+v.ago(r.Built))
	}
	if len(r.Same) > 0 {
		parts = append(parts, "also tagged "+few(r.Same, 3))
	}
	return strings.Join(parts, ", ")
}

func (v *view) scanHop() Hop {
	h := Hop{Name: HopScan}
	if v.scan == nil {
		if v.policy == nil {
			h.Mark, h.Says = None, "no ImageRepository scans it"
			return v.unlessUnread(h)
		}
		ref := repositoryOf(v.policy)
		h.At, h.Mark = ref.String(), Blocked
		h.Why = fmt.Sprintf("ImagePolicy %s/%s selects from it, and it does not exist", v.policy.Namespace, v.policy.Name)
		h.Fix = "create it, or correct spec.imageRepositoryRef of the ImagePolicy"
		if v.Chain.Unread != "" {
			h.Mark, h.Why, h.Fix = Unknown, v.Chain.Unread, ""
		}
		return h
	}
	r := v.scan
	ref := refOf("ImageRepository", r.Namespace, r.Name)
	h.At = ref.String()
	reason, message, failing := flux.Not(r.Status.Conditions)
	tag, interval := tagOf(v.image), r.Spec.Interval.Duration
	last := r.Status.LastScanResult
	switch by := excluded(r, tag); {
	case r.Spec.Suspend:
		h.Mark, h.Why, h.Fix = Blocked, "it is suspended, and sees no new tags", flux.Resume(ref)
	case by != "":
		h.Mark, h.Why = Blocked, fmt.Sprintf("it leaves %s out: the exclusion %s matches", tag, by)
		h.Fix = fmt.Sprintf("take %s out of spec.exclusionList, or push the image under another tag", by)
	case failing:
		h.Mark, h.Why, h.Fix = Blocked, fmt.Sprintf("its scan fails (%s): %s", reason, message), v.scanFix(message)
	case last == nil:
		h.Mark, h.Why = Waits, "it has not been scanned yet"
	case v.overdue(last.ScanTime.Time, interval):
		h.Mark = Blocked
		h.Why = fmt.Sprintf("it was scanned %s, though its interval is %s", v.ago(last.ScanTime.Time), every(interval))
		h.Fix = flux.Reconcile(ref) + logs("image-reflector-controller")
	case v.unseen():
		h.Mark = Waits
		h.Why = fmt.Sprintf("the registry has tags that its scan %s did not see; the next is within %s",
			v.ago(last.ScanTime.Time), every(interval))
	default:
		h.Mark = Good
		h.Says = fmt.Sprintf("scanned %s, %s", v.ago(last.ScanTime.Time), tags(last.TagCount))
	}
	return h
}

// unseen reports whether the registry shows more tags than the scan saw.
func (v *view) unseen() bool {
	return v.Registry.All && len(v.visible()) > v.scan.Status.LastScanResult.TagCount
}

// scanFix describes what to do about a scan that fails, by its words.
func (v *view) scanFix(message string) string {
	r, words := v.scan, wordsOf(message)
	ref := refOf("ImageRepository", r.Namespace, r.Name)
	has := func(any ...string) bool {
		for _, a := range any {
			if strings.Contains(words, a) {
				return true
			}
		}
		return false
	}
	login := func(name string) string { return createLogin(r.Namespace, name, r.Spec.Image) }
	switch s := r.Spec.SecretRef; {
	case s != nil && has("not found") && has("secret"):
		return login(s.Name)
	case has("unauthorized", "401", "denied", "403", "forbidden") && s != nil:
		return fmt.Sprintf("correct the login in Secret %s/%s, then: %s", r.Namespace, s.Name, flux.Reconcile(ref))
	case has("unauthorized", "401", "denied", "403", "forbidden"):
		return "set spec.secretRef.name: " + r.Name + ", and " + login(r.Name)
	case has("x509", "certificate"):
		return "set spec.certSecretRef to a Secret with the registry's ca.crt"
	case has("server gave http response to https client"):
		return "set spec.insecure: true, if the registry is to be spoken to without TLS"
	case has("not_found", "name_unknown", "404"):
		return "correct spec.image, or push an image to " + r.Spec.Image
	case has("regex"):
		return "correct spec.exclusionList"
	}
	return "see that the registry answers, then: " + flux.Reconcile(ref)
}
