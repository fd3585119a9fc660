package trace

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/flux"
)

func (v *view) markerHop() Hop {
	h := Hop{Name: HopMarker}
	switch {
	case v.Git.Unread != "":
		h.Mark, h.Why = Unknown, v.Git.Unread
		return h
	case v.node == nil:
		h.Mark, h.Why = Unknown, cmp.Or(v.Git.Tip.Why, "no file says the image")
		return h
	}
	n := v.node
	h.At = fmt.Sprintf("%s:%d", n.File, n.Line)
	says := v.Git.Tip.Image
	own := v.ownPolicy()
	switch {
	case n.Policy == "" && v.policy != nil:
		h.Mark = Blocked
		h.Why = fmt.Sprintf("it says %s without a marker, so image automation never writes what ImagePolicy %s/%s selects",
			tagOf(says), v.policy.Namespace, v.policy.Name)
		h.Fix = fmt.Sprintf(`end the line with the comment: # {"$imagepolicy": "%s:%s%s"}`, v.policy.Namespace, v.policy.Name,
			suffix(string(n.Part)))
	case n.Policy == "":
		h.Mark, h.Says = Good, "says "+tagOf(says)+", written by people"
	case v.policy == nil && v.Chain.Unread != "":
		h.Mark, h.Why = Unknown, "its marker names "+n.Policy+": "+v.Chain.Unread
	case v.policy == nil:
		h.Mark = Blocked
		h.Why = fmt.Sprintf("its marker names %s, and there is no such ImagePolicy whose automation writes to this "+
			"repository", n.Policy)
		h.Fix = "name one that exists in the marker, or create that ImagePolicy"
		if own != "" {
			h.Fix = fmt.Sprintf(`name this environment's policy in the marker: # {"$imagepolicy": "%s"}`, own)
		}
	case own != "" && own != n.Policy:
		h.Mark = Blocked
		h.Why = fmt.Sprintf("its marker names %s, another environment's policy: what that selects is written here", n.Policy)
		h.Fix = fmt.Sprintf(`name this environment's policy in the marker: # {"$imagepolicy": "%s"}`, own)
	case n.Held != nil:
		h.Mark, h.Why, h.Fix = Blocked, v.heldWhy(), v.heldFix()
	case !sameImage(says, v.policy):
		h.Mark = Waits
		h.Why = fmt.Sprintf("it says %s, and not %s", tagOf(says), v.policy.Status.LatestRef.Tag)
		if v.stopped == "" && v.writer != nil {
			h.Why += fmt.Sprintf(", which is written at the next run, within %s",
				every(v.writer.Object.Spec.Interval.Duration))
		}
	default:
		h.Mark, h.Says = Good, "says "+tagOf(says)
	}
	return h
}

// suffix of a marker for what a value holds.
func suffix(part string) string {
	switch part {
	case "Tag":
		return ":tag"
	case "Name", "Repository":
		return ":name"
	case "Digest":
		return ":digest"
	}
	return ""
}

// ownPolicy is the policy of the workload's own namespace that selects this image, as a marker names it; empty where
// none writes there, or several do.
func (v *view) ownPolicy() string {
	found := ""
	for _, p := range v.candidates() {
		if p.Namespace != v.Namespace {
			continue
		}
		if found != "" {
			return ""
		}
		found = p.Namespace + ":" + p.Name
	}
	return found
}

func (v *view) heldWhy() string {
	held := v.node.Held
	why := "it says " + tagOf(v.Git.Tip.Image) + ", and Backstop holds image automation off"
	if held.Not != "" {
		why += ": " + tagOr(held.Not) + " " + v.whyHeld()
	}
	if !held.Since.IsZero() {
		why += "; the hold was written " + v.ago(held.Since)
	}
	return why
}

// whyHeld is why an image is held off: it failed, or a person made another one that runs true in Git.
func (v *view) whyHeld() string {
	if r := v.heldBy(); r == nil || len(r.Status.Drifts()) == 0 {
		return "could not run"
	}
	return "was left for what a person had put in by hand"
}

// heldBy is the newest Rollback of the workload that holds the image of the marker off, before others one that has a
// hold on the very place; nil where none is known.
func (v *view) heldBy() *v1alpha1.Rollback {
	here := func(r *v1alpha1.Rollback) bool {
		return r != nil && r.Status.Suspect != nil &&
			slices.ContainsFunc(r.Status.Suspect.Places, func(p v1alpha1.Place) bool {
				return p.File == v.node.File && p.Pointer == v.node.Pointer && r.Status.StandsOn(&p)
			})
	}
	var out *v1alpha1.Rollback
	for i := range v.Rollbacks {
		r := &v.Rollbacks[i]
		if r.Status.HoldStands() && (here(r) || !here(out)) && (r.Spec.Subject.Name == v.node.Held.Not ||
			tagOf(r.Spec.Subject.Name) == v.node.Held.Not) && v.concerns(r) {
			out = r
		}
	}
	return out
}

func tagOr(image string) string { return cmp.Or(tagOf(image), image) }

// heldFix describes what lifts the hold.
func (v *view) heldFix() string {
	newer := "push a newer image that can run"
	r := v.heldBy()
	if r == nil {
		return newer + fmt.Sprintf(", or take backstop:hold out of the comment in %s:%d", v.node.File, v.node.Line)
	}
	lift := v.Program.Command("lift %s -n %s", r.Name, v.Namespace)
	if v.node.Held.Lift == v1alpha1.LiftManual {
		return lift
	}
	return newer + ", or: " + lift
}

func (v *view) commitHop() Hop {
	h := Hop{Name: HopCommit}
	switch {
	case v.Git.Unread != "":
		h.Mark, h.Why = Unknown, v.Git.Unread
	case v.Git.Suspect == nil:
		h.Mark, h.Why = Unknown, cmp.Or(v.Git.Unblamed, "no file says the image")
	default:
		s := v.Git.Suspect
		h.Mark, h.At = Good, fmt.Sprintf("%.12s", s.Commit)
		by := "not known to be image automation's"
		switch {
		case v.reverted(s.Commit) != nil:
			by = "Backstop's revert"
		case s.Automation != nil:
			by = "image automation's"
		case s.ByHand == "":
			by = "a person's"
		}
		h.Says = fmt.Sprintf("%s, %s by %s: %s", by, v.ago(s.When.Time), s.Author, s.Subject)
	}
	return h
}

// reverted is the Rollback whose change a commit is; nil for one that no record tells of.
func (v *view) reverted(commit string) *v1alpha1.Rollback {
	for i := range v.Rollbacks {
		s := &v.Rollbacks[i].Status
		if c, l := s.Change, s.Landed; c != nil && c.Commit == commit || l != nil && l.Commit == commit {
			return &v.Rollbacks[i]
		}
	}
	return nil
}

func (v *view) sourceHop() Hop {
	s := &v.Chain.Source
	h := Hop{Name: HopSource, At: s.Ref.String()}
	behind := v.Git.Suspect != nil && !v.Git.Fetched
	switch {
	case s.Missing:
		h.Mark, h.Why = Blocked, "it does not exist"
		h.Fix = fmt.Sprintf("create it, or correct spec.sourceRef of Kustomization %s/%s", v.Chain.Kustomization.Namespace,
			v.Chain.Kustomization.Name)
	case s.Suspended:
		h.Mark, h.Why, h.Fix = Blocked, "it is suspended, and fetches nothing", flux.Resume(s.Ref)
	case s.Problem != "":
		h.Mark, h.Why, h.Fix = Blocked, s.Problem, v.sourceFix()
	case s.Pinned != "":
		h.Mark, h.Why = Blocked, s.Pinned
		h.Fix = "set spec.ref to the branch alone: {branch: main}"
	case s.Revision == "":
		h.Mark, h.Why = Waits, "it has fetched nothing yet"
	case behind:
		return v.behind(h)
	default:
		h.Mark, h.Says = Good, "fetched "+flux.Short(s.Revision)
	}
	return h
}

// behind reports that the source has not fetched the commit, and whether it should have.
func (v *view) behind(h Hop) Hop {
	s := &v.Chain.Source
	h.Mark = Waits
	h.Why = fmt.Sprintf("it has fetched %s, which does not hold %.12s yet", flux.Short(s.Revision), v.Git.Suspect.Commit)
	if s.Git == nil {
		return h
	}
	interval := s.Git.Spec.Interval.Duration
	h.Why += "; it fetches every " + every(interval)
	// When a commit was pushed only image automation says; of others the time of the commit has to do.
	pushed := v.Git.Suspect.When.Time
	if w := v.writer; w != nil && w.Object.Status.LastPushCommit == v.Git.Suspect.Commit &&
		w.Object.Status.LastPushTime != nil {
		pushed = w.Object.Status.LastPushTime.Time
	}
	if v.overdue(pushed, interval) {
		h.Mark = Blocked
		h.Why += ", and that commit was made " + v.ago(pushed)
		h.Fix = flux.Reconcile(s.Ref) + logs("source-controller")
	}
	return h
}

// sourceFix describes what to do about a source that does not fetch.
func (v *view) sourceFix() string {
	s := &v.Chain.Source
	again := flux.Reconcile(s.Ref)
	if s.Git == nil {
		return "mend what it says, then: " + again
	}
	for _, c := range s.Git.Status.Conditions {
		if c.Type == "SourceVerified" && c.Status == "False" {
			return "sign the commit with a key of spec.verify.secretRef; image automation signs with " +
				"spec.git.commit.signingKey"
		}
	}
	if ref := s.Git.Spec.SecretRef; ref != nil {
		return fmt.Sprintf("correct Secret %s/%s, spec.url or spec.ref, then: %s", s.Ref.Namespace, ref.Name, again)
	}
	return "correct spec.url or spec.ref, or name a Secret in spec.secretRef, then: " + again
}
