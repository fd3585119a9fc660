package doctor

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/trace"
)

// Examine makes a report of what is known. It is pure.
func Examine(f Facts) Report {
	r := Report{Namespace: f.Namespace, At: f.Now, General: append([]Check{f.sidecar()}, f.killSwitch()...),
		Workloads: []Patient{}}
	r.General = append(r.General, f.fences()...)
	for _, u := range f.Unreadable {
		r.General = append(r.General, bad(CheckReadable, u.Ref.String(),
			"it cannot be decoded, so Backstop acts as if it were not there: "+u.Why,
			fmt.Sprintf("kubectl -n %s get %s %s -o yaml shows it: write it again with a version that its CRD and "+
				"Backstop both know, or upgrade Backstop", u.Ref.Namespace, strings.ToLower(u.Ref.Kind), u.Ref.Name)))
	}
	for i := range f.Workloads {
		w := &f.Workloads[i]
		if w.Unread != "" {
			r.Workloads = append(r.Workloads, Patient{
				Workload: w.String(), Checks: []Check{f.policy(w), unread(CheckApply, "", w.Unread)},
			})
			continue
		}
		if w.Chain == nil {
			r.Others = append(r.Others, w.String())
			continue
		}
		recovery := f.recovery(w)
		r.Workloads = append(r.Workloads, Patient{Workload: w.String(), Checks: f.workload(w), Recovery: &recovery})
	}
	return r
}

// sidecar reports whether Backstop itself is there.
func (f *Facts) sidecar() Check {
	s := &f.Sidecar
	at := "Deployment/" + s.Namespace + "/" + s.Deployment
	switch {
	case s.Unread != "":
		return unread(CheckSidecar, "", s.Unread)
	case s.Deployment == "" && s.Holder != "":
		return fine(CheckSidecar, "Lease/"+s.Namespace+"/backstop",
			"%s holds it; it runs as no Deployment, so its flags are not known", s.Holder)
	case s.Deployment == "":
		return bad(CheckSidecar, "", "Backstop does not run in namespace "+s.Namespace,
			"kubectl apply -k deploy/kustomize/default; or name its namespace: --backstop-namespace")
	case s.Available == 0:
		return bad(CheckSidecar, at, "no replica is available",
			fmt.Sprintf("kubectl -n %s describe deployment %s", s.Namespace, s.Deployment))
	case !s.watches(f.Namespace):
		return bad(CheckSidecar, at, "it does not watch namespace "+f.Namespace,
			"add it to --namespaces, and use deploy/kustomize/tenant there")
	}
	return fine(CheckSidecar, at, "%d available", s.Available)
}

// killSwitch reports which suspended policies of Backstop's own namespace stop every write in this one.
func (f *Facts) killSwitch() []Check {
	var out []Check
	for i := range f.Policies {
		p := &f.Policies[i]
		if !reconcile.StopsAll(p, f.Sidecar.Namespace, f.NamespaceLabels) {
			continue
		}
		out = append(out, bad(CheckKillSwitch, "RollbackPolicy/"+p.Namespace+"/"+p.Name,
			"it is suspended in Backstop's own namespace, and so nothing is written to Git for this one",
			fmt.Sprintf("kubectl -n %s delete rollbackpolicy %s, or set its spec.suspend: false", p.Namespace, p.Name)))
	}
	return out
}

// fences reports which of Backstop's admission policies are missing. Who may not look is not told so each time.
func (f *Facts) fences() []Check {
	var out []Check
	for _, fence := range f.Fences {
		if fence.Why != "" {
			out = append(out, bad(CheckAdmission, "ValidatingAdmissionPolicy/"+fence.Name,
				fence.Why+", so that more may be written than should be", "kubectl apply -k deploy/kustomize/admission"))
		}
	}
	return out
}

// workload examines one workload.
func (f *Facts) workload(w *Workload) []Check {
	out := []Check{f.policy(w), f.sees(w)}
	out = append(out, f.branch(w))
	out = append(out, f.reads(w)...)
	if w.Source != nil {
		out = append(out, w.push(), f.protection(w))
		out = append(out, f.delivery(w)...)
		out = append(out, f.signing(w))
	}
	for i := range w.Images {
		out = append(out, w.Images[i].prove())
	}
	out = append(out, w.apply())
	out = append(out, f.delays(w)...)
	out = append(out, f.recovers(w))
	return append(out, w.loses()...)
}

// policy reports which RollbackPolicy covers it, and with what mode.
func (f *Facts) policy(w *Workload) Check {
	var modes []string
	pull := f.policyOf(w, v1alpha1.TriggerImagePull)
	at := strings.Join(pull.By, " and ")
	for _, t := range v1alpha1.Triggers() {
		p := f.policyOf(w, t.Type)
		if len(p.By) > 0 && !t.OfFlux {
			modes = append(modes, fmt.Sprintf("%s %s", t.Type, p.Mode))
		}
	}
	if len(pull.By) == 0 {
		if f.PoliciesUnread != "" {
			return unread(CheckPolicy, "", f.PoliciesUnread)
		}
		return bad(CheckPolicy, "", "no RollbackPolicy selects it: Backstop only tells", fmt.Sprintf(
			"create a RollbackPolicy in namespace %s whose spec.selector selects it (an empty one selects all), "+
				"with spec.triggers: [{type: ImagePull, mode: Approve}]", f.Namespace))
	}
	if pull.Bar == v1alpha1.BarSuspended {
		return bad(CheckPolicy, at, pull.Why+": Backstop only tells", "set its spec.suspend: false")
	}
	c := fine(CheckPolicy, at, "%s by %s", strings.Join(modes, ", "), at)
	if pull.Why != "" {
		c.Says += ": " + pull.Why
	}
	if f.PoliciesUnread != "" {
		// One that was not read may be a fleet's, which makes it stricter, or the kill switch.
		c.Mark, c.Why = trace.Unknown, f.PoliciesUnread+"; as far as the others say: "+c.Says
		c.Says = ""
	}
	return c
}

// branch reports where a revert would be pushed.
func (f *Facts) branch(w *Workload) Check {
	s := w.Source
	switch {
	case w.Chain.Source.Missing:
		return bad(CheckBranch, w.Chain.Source.Ref.String(), "it does not exist", "create it, or correct spec.sourceRef of "+
			w.Chain.Kustomization.Name)
	case w.Chain.Source.Pinned != "":
		return bad(CheckBranch, w.Chain.Source.Ref.String(), w.Chain.Source.Pinned,
			"let it follow a branch alone: spec.ref: {branch: main}")
	case s == nil && w.lacks():
		return Check{Name: CheckBranch, At: w.Chain.Source.Ref.String(), Mark: trace.None, Says: "see read"}
	case s == nil && w.NoRights:
		return unread(CheckBranch, w.Chain.Source.Ref.String(), w.NoSource)
	case s == nil:
		return bad(CheckBranch, w.Chain.Source.Ref.String(), w.NoSource,
			"name a GitRepository that follows the branch in spec.sourceRef of the RollbackPolicy")
	case s.Lend != "":
		return bad(CheckBranch, s.Ref.String(), s.ReadOnly, s.Lend)
	case s.ReadOnly != "":
		return bad(CheckBranch, s.Ref.String(), s.ReadOnly, "set spec.git.checkout.ref.branch and spec.git.push.branch "+
			"of the ImageUpdateAutomation: "+s.Branch)
	}
	return fine(CheckBranch, s.Ref.String(), "reverts go to %s", s.Branch)
}

// lacks reports that a Secret without which nothing can be pushed does not exist.
func (w *Workload) lacks() bool {
	return slices.ContainsFunc(w.Secrets, func(s Secret) bool {
		return s.Missing && (s.Holds == HoldsGitLogin || s.Holds == HoldsKey || s.Holds == HoldsProxy)
	})
}

// create is how a Secret that does not exist is made.
func (s *Secret) create() string {
	made := fmt.Sprintf("kubectl -n %s create secret generic %s", s.Namespace, s.Name)
	switch s.Holds {
	case HoldsGitLogin:
		return made + " --from-literal=username=USER --from-literal=password=TOKEN (for SSH: identity and known_hosts)"
	case HoldsRegistryLogin:
		return fmt.Sprintf("kubectl -n %s create secret docker-registry %s --docker-server=HOST --docker-username=USER "+
			"--docker-password=TOKEN", s.Namespace, s.Name)
	case HoldsKey:
		return made + " --from-file=git.asc=KEY (for a key of SSH: identity)"
	case HoldsCertificates:
		return made + " --from-file=ca.crt=FILE"
	default:
		return made + " --from-literal=address=URL"
	}
}

// reads reports whether Backstop may read the Secrets that it needs.
func (f *Facts) reads(w *Workload) []Check {
	var out []Check
	for _, s := range w.Secrets {
		at := "Secret/" + s.Namespace + "/" + s.Name
		switch {
		case s.Missing:
			out = append(out, bad(CheckRead, at, "it does not exist, and "+s.For+" names it", "create it: "+s.create()))
		case s.Allowed == nil:
			out = append(out, unread(CheckRead, at, "you may not ask what Backstop may read (create subjectaccessreviews)"))
		case !*s.Allowed:
			out = append(out, bad(CheckRead, at, "Backstop may not read it, for "+s.For, fmt.Sprintf(
				"use deploy/kustomize/components/credentials in namespace %s: a Role with get on secrets, resourceNames: [%s], "+
					"bound to ServiceAccount %s/backstop", s.Namespace, s.Name, f.Sidecar.Namespace)))
		default:
			out = append(out, fine(CheckRead, at, "Backstop may read it, for %s", s.For))
		}
	}
	return out
}

// push reports whether the Git server lets a push begin.
func (w *Workload) push() Check {
	s := w.Source
	at := s.Ref.String()
	switch {
	case s.ReadOnly != "":
		return Check{Name: CheckPush, At: at, Mark: trace.None, Says: "see branch"}
	case s.Refused != "":
		fix := fmt.Sprintf("set spec.secretRef of %s to a Secret with a login that may push", at)
		if s.Secret != "" {
			fix = fmt.Sprintf("put a login that may push into Secret %s; or, where Flux itself shall only read, name another "+
				"GitRepository in spec.sourceRef of the RollbackPolicy", s.Secret)
		}
		return bad(CheckPush, at, s.Refused, fix)
	case s.Unknown != "":
		return unread(CheckPush, at, s.Unknown)
	}
	return fine(CheckPush, at, "the server lets its credentials push")
}

// protection describes what is known of a protected branch: only a push would tell for sure.
func (f *Facts) protection(w *Workload) Check {
	s := w.Source
	if w.Refused != "" && s.routed() {
		return Check{Name: CheckProtect, At: s.Ref.String(), Mark: trace.None,
			Says: "the server refused a push to " + s.Branch + ", see delivery"}
	}
	if w.Refused != "" {
		return bad(CheckProtect, s.Ref.String(), "the server refused a push to "+s.Branch+": "+w.Refused,
			"let the user of its Secret push to "+s.Branch+" in the rules of the Git server")
	}
	for _, a := range w.Chain.Writers {
		if t := a.Object.Status.LastPushTime; t != nil && a.Elsewhere == "" {
			return fine(CheckProtect, s.Ref.String(), "image automation pushed to %s %s ago", s.Branch,
				duration.HumanDuration(max(0, f.Now.Sub(t.Time))))
		}
	}
	return Check{Name: CheckProtect, At: s.Ref.String(), Mark: trace.None,
		Says: "whether a rule protects " + s.Branch + " only a push tells: nobody has pushed yet that is known"}
}

// signing reports whether Flux takes the commit.
func (f *Facts) signing(w *Workload) Check {
	s := w.Source
	routed := s.Aside != "" || f.policyOf(w, v1alpha1.TriggerImagePull).Delivery == v1alpha1.DeliveryPullRequest
	switch {
	case s.Verified && !s.Signed && s.NoKey == "" && routed && s.Delivery != nil && s.Delivery.Signs:
		return fine(CheckSign, s.Ref.String(), "GitHub signs what goes by pull request: its key has to be among those of "+
			"spec.verify.secretRef (https://github.com/web-flow.gpg)")
	case s.NoKeyUnread:
		return unread(CheckSign, s.Ref.String(), s.NoKey)
	case s.NoKey != "":
		return bad(CheckSign, s.Ref.String(), s.NoKey, "put the key into that Secret (git.asc for gpg, identity for ssh), "+
			"or correct spec.git.commit.signingKey")
	case s.Verified && !s.Signed:
		return bad(CheckSign, s.Ref.String(),
			"Flux takes signed commits alone (spec.verify), and image automation has no key",
			"set spec.git.commit.signingKey of the ImageUpdateAutomation to a key that spec.verify.secretRef knows")
	case s.Signed:
		return fine(CheckSign, s.Ref.String(), "commits are signed with image automation's key")
	}
	return Check{Name: CheckSign, At: s.Ref.String(), Mark: trace.None, Says: "no signature is asked for"}
}

// prove reports whether the registry would answer.
func (i *Image) prove() Check {
	switch {
	case i.Proof.Finding == reconcile.FindingAbsent:
		return bad(CheckProve, i.Image, i.Proof.Sentence+": it runs, and could not be pulled again", "push it again")
	case i.Proof.Finding != reconcile.FindingPresent && i.Missing != "":
		return unread(CheckProve, i.Image, i.Proof.Sentence+"; "+i.Missing)
	case i.Proof.Finding != reconcile.FindingPresent:
		return bad(CheckProve, i.Image, i.Proof.Sentence, i.ask())
	case i.Unlisted != "":
		return bad(CheckProve, i.Image, "its tags are not listed: "+i.Unlisted,
			"let the login list tags: without another tag a 404 proves nothing, and a person has to decide")
	case i.Other == "":
		return bad(CheckProve, i.Image, "no other tag of its repository is seen: a 404 would prove nothing, and a person "+
			"would have to decide", "keep the image before it in the registry")
	}
	return fine(CheckProve, i.Image, "the registry shows it, and %s", i.Other)
}

// ask describes how the registry would answer.
func (i *Image) ask() string {
	switch {
	case i.Proof.Untrusted:
		of := "an ImageRepository for it"
		if i.Scan != "" {
			of = "ImageRepository " + i.Scan
		}
		return "name a Secret with the registry's ca.crt in spec.certSecretRef of " + of
	case i.Proof.Cause == v1alpha1.CauseRegistryUnavailable, i.Proof.Cause == v1alpha1.CauseRateLimited:
		return "see that the registry answers, also to Backstop: what keeps it from that now would keep a rollback waiting"
	case i.Scan != "":
		return "correct the login in spec.secretRef of ImageRepository " + i.Scan
	}
	return "create an ImageRepository for it with a login in spec.secretRef, or name a pull secret in its ServiceAccount"
}

// apply reports whether Flux would bring a revert to the cluster.
func (w *Workload) apply() Check {
	c := w.Chain
	k := v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: c.Kustomization.Namespace, Name: c.Kustomization.Name}
	switch {
	case c.Source.Suspended:
		return bad(CheckApply, c.Source.Ref.String(), "it is suspended, and fetches nothing", flux.Resume(c.Source.Ref))
	case c.Kustomization.Spec.Suspend:
		return bad(CheckApply, k.String(), "it is suspended, and applies nothing", flux.Resume(k))
	case c.Release != nil && c.Release.Spec.Suspend:
		return bad(CheckApply, c.Reconciler.String(), "it is suspended, and upgrades nothing", flux.Resume(c.Reconciler))
	case c.Source.Problem != "":
		return bad(CheckApply, c.Source.Ref.String(), c.Source.Problem,
			"mend what it says, then: "+flux.Reconcile(c.Source.Ref))
	case c.NotApplied != "":
		return bad(CheckApply, k.String(), c.NotApplied, "mend what it says, then: "+flux.Reconcile(k))
	}
	return fine(CheckApply, c.Reconciler.String(), "applies each new revision at once")
}

// loses describes what would undo a revert that was pushed.
func (w *Workload) loses() []Check {
	var out []Check
	for _, a := range w.Chain.Writers {
		if !a.Forces || a.Elsewhere != "" {
			continue
		}
		out = append(out, bad(CheckForce, a.Ref.String(), "it pushes to the deployed branch by force, for it names no "+
			"branch to check out: a revert that is pushed in between is lost",
			"set spec.git.checkout.ref.branch: "+w.Chain.Source.Branch))
	}
	if len(out) == 0 && len(w.Chain.Writers) > 0 {
		out = append(out, fine(CheckForce, "", "no automation pushes to the branch by force"))
	}
	return out
}
