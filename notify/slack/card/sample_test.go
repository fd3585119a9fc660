package card

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func at(clock string) v1alpha1.Time {
	t, err := time.Parse("15:04:05", clock)
	if err != nil {
		panic(err)
	}
	return v1alpha1.NewTime(time.Date(2026, 11, 21, t.Hour(), t.Minute(), t.Second(), 0, time.UTC))
}

func atPointer(clock string) *v1alpha1.Time {
	t := at(clock)
	return &t
}

// edit changes a Rollback; each fills a step, as the line does.
type edit func(*v1alpha1.Rollback)

func rollback(edits ...edit) *v1alpha1.Rollback {
	r := &v1alpha1.Rollback{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop-api-1f2e3d4c5b-1", UID: "5f0c6d1e-8a0b-4f9e-9a53-0d4c1a7b2e11"},
		Spec:       v1alpha1.RollbackSpec{OpenedFor: v1alpha1.TriggerImagePull, Subject: v1alpha1.ImageSubject("registry.example/shop/shop-api:v1.42.0")},
	}
	for _, e := range edits {
		e(r)
	}
	return r
}

const kubeletSays = `rpc error: code = NotFound desc = failed to pull and unpack image "registry.example/shop/shop-api:v1.42.0": ` +
	`failed to resolve reference "registry.example/shop/shop-api:v1.42.0": registry.example/shop/shop-api:v1.42.0: not found`

func failures(r *v1alpha1.Rollback) {
	r.Status.Failures = []v1alpha1.Failure{{
		Trigger: v1alpha1.TriggerImagePull, Workload: v1alpha1.Workload{Kind: "Deployment", Name: "shop-api"}, Revision: "7", Container: "api",
		Pull: &v1alpha1.Pull{Pod: "shop-api-6d9f-x2x", Platform: "linux/amd64"}, Cause: v1alpha1.CauseNotFound, Message: kubeletSays, Since: at("14:24:10"),
	}}
	r.Status.Pods = &v1alpha1.PodCount{Failing: 3, Total: 8, Ready: 5}
	waits("grace period of 30s", "14:24:40")(r)
}

// wentBack is what Helm did by itself.
func wentBack(did v1alpha1.RemediationAction) edit {
	return func(r *v1alpha1.Rollback) {
		r.Status.Remediated = &v1alpha1.Remediation{
			Release: v1alpha1.ObjectRef{Kind: "HelmRelease", Namespace: "shop", Name: "shop-api"}, Action: did,
			At: at("14:29:10"), Exhausted: true, Message: "Helm rollback to previous release shop/shop-api.v6 with chart shop@1.0.0 succeeded",
		}
	}
}

// cannotApply is a Kustomization of which the API server refuses an object.
func cannotApply(r *v1alpha1.Rollback) {
	r.Spec.OpenedFor, r.Spec.Subject = v1alpha1.TriggerApply, v1alpha1.Subject{
		APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Name: "shop"}
	r.Status.Failures = []v1alpha1.Failure{{
		Trigger: v1alpha1.TriggerApply, Workload: v1alpha1.Workload{Kind: "Kustomization", Name: "shop"}, Cause: v1alpha1.CauseObjectRefused,
		Message: `Deployment/shop/shop-api dry-run failed (Invalid): Deployment.apps "shop-api" is invalid: spec.selector: field is immutable`,
		Since:   at("14:24:10"),
		Apply: &v1alpha1.Apply{
			Reason: "ReconciliationFailed", Revision: "main@sha1:4be1c2d9a7f3", LastApplied: "main@sha1:77aa88bb99cc",
			Object: &v1alpha1.ObjectRef{Kind: "Deployment", Namespace: "shop", Name: "shop-api"},
		},
	}}
	waits("grace period of 2m", "14:26:10")(r)
}

// cannotRelease is a HelmRelease whose chart takes other values.
func cannotRelease(r *v1alpha1.Rollback) {
	cannotApply(r)
	r.Spec.Subject = v1alpha1.Subject{APIVersion: "helm.toolkit.fluxcd.io/v2", Kind: "HelmRelease", Name: "shop"}
	f := &r.Status.Failures[0]
	f.Workload.Kind, f.Cause = "HelmRelease", v1alpha1.CauseNotReleased
	f.Message = "Helm upgrade failed for release shop/shop with chart shop@1.5.0: values don't meet the specifications of the " +
		"schema(s) in the following chart(s):\nshop:\n- replicas: Invalid type. Expected: integer, given: string"
	f.Apply = &v1alpha1.Apply{Reason: "UpgradeFailed", Revision: "1.5.0", LastApplied: "1.4.0"}
}

// chartMoved is a chart that changed without a commit.
func chartMoved(r *v1alpha1.Rollback) {
	r.Status.Failures[0].Apply.Unblamed = "the values are those of release v3, and the chart moved from 1.4.0 to 1.5.0 within 1.x: pin it to 1.4.0 in Git"
}

// ofArgo is a crash in a Rollout of Argo that no analysis judges.
func ofArgo(r *v1alpha1.Rollback) {
	f := &r.Status.Failures[0]
	f.Workload.Kind = "Rollout"
}

func blamed(r *v1alpha1.Rollback) {
	suspect(r)
	r.Status.Suspect.Places, r.Status.Suspect.Automation, r.Status.Suspect.OtherImages = []v1alpha1.Place{}, nil, nil
}

// filesBack is what goes back of the commit: two files.
func filesBack(r *v1alpha1.Rollback) {
	files := []string{"apps/shop/api/deployment.yaml", "apps/shop/kustomization.yaml"}
	r.Status.Target = &v1alpha1.Target{Proved: true, BadProved: true, Proof: "Deployment/shop/shop-api is what was applied well before, and Flux deletes nothing",
		Also: []v1alpha1.ObjectRef{{Kind: "ConfigMap", Namespace: "shop", Name: "shop-settings"}}, At: at("14:26:44")}
	for i, file := range files {
		r.Status.Suspect.Places = append(r.Status.Suspect.Places, v1alpha1.Place{File: file, Part: v1alpha1.PartFile, Bad: "b1", Former: "a1"})
		r.Status.Target.Values = append(r.Status.Target.Values, v1alpha1.PlaceValue{Index: int32(i), Value: "a1"})
	}
	r.Status.Suspect.SharedBy = []v1alpha1.ObjectRef{{Kind: "Kustomization", Namespace: "flux-system", Name: "shop-eu"}}
}

// valuesBack is what goes back of a commit that changed a release's values.
func valuesBack(r *v1alpha1.Rollback) {
	filesBack(r)
	s := &r.Status
	s.Suspect.Places, s.Target.Values, s.Target.Also, s.Suspect.SharedBy = s.Suspect.Places[:1], s.Target.Values[:1], nil, nil
	s.Suspect.Places[0].File = "apps/shop/values.yaml"
	s.Target.Proof = "HelmRelease/shop and its values are what was released well before, and Flux deletes nothing"
}

// filesStay is why they do not.
func filesStay(r *v1alpha1.Rollback) {
	r.Status.Target = &v1alpha1.Target{Proof: "x", At: at("14:26:44"), Refused: &v1alpha1.Doubt{Type: v1alpha1.DoubtProtected,
		Message: "PersistentVolumeClaim/shop/data would change, and that is never reverted"}}
}

// noHold is a revert of files, which holds nothing.
func noHold(r *v1alpha1.Rollback) {
	r.Status.Change.Hold, r.Status.Change.Policies, r.Status.Change.Lift = "", nil, ""
}

func unblamed(r *v1alpha1.Rollback) {
	a := r.Status.Failures[0].Apply
	a.Unblamed = "Deployment/shop/shop-api changed in 2 commits since the last good one, any of which may have done it"
	a.ChangedBy = []v1alpha1.RelatedCommit{{Commit: "77aa88bb99cc", Subject: "Add a <@U0> label"}, {Commit: "4be1c2d9a7f3", Subject: "Rename the app"}}
}

// crash is a new revision whose containers end.
func crash(r *v1alpha1.Rollback) {
	failures(r)
	r.Spec.OpenedFor = v1alpha1.TriggerRollout
	exit := int32(1)
	f := &r.Status.Failures[0]
	f.Trigger, f.Pull, f.Cause, f.Message = v1alpha1.TriggerRollout, nil, v1alpha1.CauseCrashed, "panic: open /etc/shop/*.yaml: no such file <nil>"
	f.Rollout = &v1alpha1.Rollout{
		Former: "shop-api-5c7b", FormerImage: "registry.example/shop/shop-api:v1.41.3", FormerWas: v1alpha1.AvailableFully,
		Changed: []v1alpha1.TemplateChange{{Container: "api", Part: v1alpha1.PartImage}}, Reason: "Error", ExitCode: &exit, Restarts: 3,
		LastRun: &metav1.Duration{Duration: 2 * time.Second}, Pod: "shop-api-6d9f-x2x", Platform: "linux/amd64",
		Pods: v1alpha1.RolloutPods{Failing: 3, New: 3, FormerReady: 5, Wanted: 8}, Nodes: []string{"node-1", "node-2"},
	}
}

// configFails is a new revision that its configuration keeps from becoming ready.
func configFails(r *v1alpha1.Rollback) {
	crash(r)
	r.Spec.Subject = v1alpha1.Subject{APIVersion: "apps/v1", Kind: "Deployment", Name: "shop-api"}
	f := &r.Status.Failures[0]
	f.Rollout.Changed = append(f.Rollout.Changed, v1alpha1.TemplateChange{Container: "api", Part: v1alpha1.PartEnv, Name: "MODE"})
	waits("grace period of 2m", "14:26:10")(r)
}

// podsBack is what goes back of a commit that changed a workload's configuration.
func podsBack(r *v1alpha1.Rollback) {
	filesBack(r)
	r.Status.Target.Proof = "what Git says of the pods of Deployment/shop-api is what ran well before, and Flux deletes nothing"
}

// notInGit is a revision that Git alone did not make.
func notInGit(r *v1alpha1.Rollback) {
	r.Status.Search = &v1alpha1.Search{
		Unblamed: "what fails is not what Git says at 4be1c2d9a7f3: they differ in template.spec.containers[0].env",
	}
}

// refuse is an update that a canary refused.
func refuse(r *v1alpha1.Rollback) {
	r.Spec.OpenedFor = v1alpha1.TriggerCanary
	failures(r)
	r.Status.Pods, r.Status.Waiting = nil, nil
	f := &r.Status.Failures[0]
	f.Trigger, f.Pull, f.Revision = v1alpha1.TriggerCanary, nil, "7d9f6b8c5d at 2026-03-02T14:23:50Z"
	f.Cause, f.Message = v1alpha1.CauseAnalysisFailed, "Canary analysis failed, Deployment scaled to zero."
	f.Canary = &v1alpha1.Canary{
		By: v1alpha1.ObjectRef{Kind: "Canary", Namespace: "shop", Name: "shop-api"}, Reason: v1alpha1.CanaryAnalysis,
		At: atPointer("14:23:50"), Spec: "7d9f6b8c5d", PromotedSpec: "5b4c7d8f9b",
		Promoted: "registry.example/shop/shop-api:v1.41.3", PromotedBy: "Deployment/shop-api-primary", PromotedReady: 8,
		Checks:  []string{"Halt shop-api.shop advancement success rate 61.39% < 99%", "Halt shop-api.shop advancement success rate 58.02% < 99%"},
		Changed: []v1alpha1.TemplateChange{{Container: "api", Part: v1alpha1.PartImage}},
	}
}

// analysed is what the canary shows of it.
func analysed(r *v1alpha1.Rollback) {
	r.Status.Target.Proof = "api of Canary/shop-api did not pass its canary analysis; Deployment/shop-api-primary runs registry.example/shop/shop-api:v1.41.3"
}

// endedByHand is what it shows where a person ended it.
func endedByHand(r *v1alpha1.Rollback) {
	r.Status.Target.Proof = "api of Rollout/shop-api was refused by its canary; ReplicaSet/shop-api-6d4b7c8f9 runs registry.example/shop/shop-api:v1.41.3"
}

// aborted is an update that somebody ended.
func aborted(r *v1alpha1.Rollback) {
	c := r.Status.Failures[0].Canary
	c.By.Kind, c.Reason, c.Checks, c.PromotedBy = "Rollout", v1alpha1.CanaryAborted, nil, "ReplicaSet/shop-api-6d4b7c8f9"
	r.Status.Failures[0].Cause, r.Status.Failures[0].Message = v1alpha1.CauseCanaryFailed, "Rollout aborted update to revision 2"
}

// proved is what the pods show of it.
func proved(r *v1alpha1.Rollback) {
	r.Status.Target.BadProved = false
	r.Status.Target.Proof = "api of revision 7 crashes with exit code 1; registry.example has shop/shop-api:v1.41.3 for linux/amd64"
}

// oldPodsGone is a rollout that went on to its end.
func oldPodsGone(r *v1alpha1.Rollback) {
	r.Status.Failures[0].Rollout.Pods = v1alpha1.RolloutPods{Failing: 8, New: 8, Wanted: 8}
	r.Status.Pods = &v1alpha1.PodCount{Failing: 8, Total: 8}
}

// byHandOnly is a hold that a person lifts.
func byHandOnly(r *v1alpha1.Rollback) {
	r.Status.Change.Lift = v1alpha1.LiftManual
}

func waits(why, until string) edit {
	return func(r *v1alpha1.Rollback) {
		r.Status.Waiting = &v1alpha1.Waiting{Why: why, Since: at("14:24:11")}
		if until != "" {
			r.Status.Waiting.Until = atPointer(until)
		}
	}
}

func suspect(r *v1alpha1.Rollback) {
	r.Status.Waiting = nil
	r.Status.Suspect = &v1alpha1.Suspect{
		Source: v1alpha1.ObjectRef{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}, Branch: "main",
		Reconciler: v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "shop"},
		Image:      r.Spec.Subject.Name, Commit: "4be1c2d9a7f3058e6b1d2c4f8a90e7b3c5d1f602", Parent: "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567",
		Subject: "Update shop images", Author: "fluxcdbot <fluxcdbot@users.noreply.github.com>", When: at("14:20:02"),
		Automation:  &v1alpha1.ObjectRef{Kind: "ImageUpdateAutomation", Namespace: "flux-system", Name: "shop"},
		OnlyImages:  true,
		OtherImages: []string{"registry.example/shop/cart:v2.7.1", "registry.example/shop/search:v0.9.4"},
		Places: []v1alpha1.Place{{File: "apps/shop/api/deployment.yaml", Pointer: "0/spec/template/spec/containers/api/image",
			Part: "Image", Bad: r.Spec.Subject.Name, Former: "registry.example/shop/shop-api:v1.41.3", Marker: "shop:shop-api"}},
	}
}

func target(r *v1alpha1.Rollback) {
	suspect(r)
	r.Status.Target = &v1alpha1.Target{
		Image: "registry.example/shop/shop-api:v1.41.3", Values: []v1alpha1.PlaceValue{{Value: "registry.example/shop/shop-api:v1.41.3"}},
		Digest: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Proved: true, BadProved: true,
		Proof: "registry.example does not have shop/shop-api:v1.42.0 and shows other tags of it; registry.example has " +
			"shop/shop-api:v1.41.3 for linux/amd64", At: at("14:24:44"),
	}
}

func asks(because ...string) edit {
	return func(r *v1alpha1.Rollback) {
		waits("a person decides by 15:24:40 UTC: "+strings.Join(because, "; "), "14:34:40")(r)
		r.Status.Question = asked(because...)
	}
}

// asked takes both answers.
func asked(because ...string) *v1alpha1.Question {
	q := &v1alpha1.Question{ID: "3fa9c1d2e4b5", Until: at("15:24:40"), Answers: []v1alpha1.Answer{v1alpha1.Approve, v1alpha1.Reject}}
	for _, why := range because {
		q.Doubts = append(q.Doubts, v1alpha1.Doubt{Type: v1alpha1.DoubtPolicyAsks, Message: why})
	}
	return q
}

func decides(by string, a v1alpha1.Answer) edit {
	return func(r *v1alpha1.Rollback) {
		r.Spec.Decisions = append(r.Spec.Decisions, v1alpha1.Decision{By: by, Question: "3fa9c1d2e4b5", Answer: a, At: at("14:31:08")})
	}
}

// sourceOf tells the policy of a sample from its people.
func sourceOf(by string) v1alpha1.VerdictSource {
	if strings.HasPrefix(by, "policy ") {
		return v1alpha1.VerdictByPolicy
	}
	return v1alpha1.VerdictByPerson
}

func verdict(by string, a v1alpha1.Answer) edit {
	return func(r *v1alpha1.Rollback) {
		r.Status.Waiting, r.Status.Question = nil, nil
		r.Status.Verdict = &v1alpha1.Verdict{Answer: a, Source: sourceOf(by), By: by, At: at("14:31:09"), Cooldown: metav1.Duration{Duration: 30 * time.Minute}}
	}
}

func change(r *v1alpha1.Rollback) {
	r.Status.Waiting = nil
	r.Status.Change = &v1alpha1.Change{
		Commit: "c0ffee1234567890c0ffee1234567890c0ffee12", Hold: "d00dfeed1234567890d00dfeed1234567890d00d", Branch: "main",
		Policies: []string{"shop:shop-api"}, Lift: v1alpha1.LiftNewerImage, At: at("14:31:10"),
	}
}

func requested(r *v1alpha1.Rollback) {
	change(r)
	r.Status.Landed = &v1alpha1.Landed{Commit: r.Status.Change.Commit, At: at("14:31:11")}
	r.Status.Request = &v1alpha1.Request{Token: "t", Objects: []v1alpha1.ObjectRef{r.Status.Suspect.Source, r.Status.Suspect.Reconciler}, At: at("14:31:12")}
	waits("Kustomization/flux-system/shop has not applied c0ffee123456 yet", "")(r)
}

// movedOn ends a revert whose branch moved on.
func movedOn(reason, why string) edit {
	return func(r *v1alpha1.Rollback) {
		ends(v1alpha1.ResultSuperseded, "%s", why)(r)
		r.Status.Outcome.Reason = reason
	}
}

func ends(result v1alpha1.Result, format string, args ...any) edit {
	return func(r *v1alpha1.Rollback) {
		r.Status.Waiting, r.Status.Question = nil, nil
		if result == v1alpha1.ResultExpired {
			r.Status.Question = asked(policyAsks)
		}
		r.Status.Outcome = &v1alpha1.Outcome{Result: result, Message: fmt.Sprintf(format, args...), At: at("14:31:58")}
	}
}

func released(r *v1alpha1.Rollback) {
	r.Status.Lifted = &v1alpha1.Lifted{Commit: "abad1dea", Image: "registry.example/shop/shop-api:v1.42.1",
		By: "the policy's newer image registry.example/shop/shop-api:v1.42.1", At: at("16:02:30")}
}

func drift(r *v1alpha1.Rollback) {
	r.Spec.OpenedFor = v1alpha1.TriggerDrift
	failures(r)
	r.Status.Pods, r.Status.Waiting = nil, nil
	f := &r.Status.Failures[0]
	f.Cause, f.Message = v1alpha1.CauseDrift, "kubectl changed container api by hand to registry.example/shop/shop-api:v1.41.3"
	f.Drift = &v1alpha1.Drift{
		Live: "registry.example/shop/shop-api:v1.41.3", By: "kubectl", At: atPointer("14:24:08"), From: "7", To: "6",
		Read: []string{
			"managedFields: kubectl owns the image since 14:24:08 UTC, and Flux does not any more",
			"ReplicaSets: revision 7 with registry.example/shop/shop-api:v1.42.0 was left for revision 6",
			"Git at 4be1c2d9a7f3 says registry.example/shop/shop-api:v1.42.0",
		},
		UndoneBy: &v1alpha1.ObjectRef{Kind: "Kustomization", Namespace: "flux-system", Name: "shop"}, UndoneAt: atPointer("14:30:00"),
		Undone:    "at about 14:30:00 UTC: Kustomization/flux-system/shop applies every 10m, and each new revision at once",
		UndoneWhy: "Kustomization/flux-system/shop applies every 10m, and each new revision at once",
	}
}

// undoes is that Flux undoes the change by hand never.
func undoes(says string) edit {
	return func(r *v1alpha1.Rollback) {
		d := r.Status.Failures[0].Drift
		d.UndoneAt, d.Undone, d.UndoneWhy, d.NeverUndone = nil, says, "", true
	}
}

// blind is a change by hand of which little could be read.
func blind(r *v1alpha1.Rollback) {
	d := r.Status.Failures[0].Drift
	d.By, d.At, d.From, d.To = "", nil, "", ""
	d.Read = d.Read[2:]
	d.Unread = []string{"history: no ReplicaSets of it are there", "managedFields: the managedFields entry of kubectl cannot be read: unexpected end of JSON input"}
}

// another workload was changed too, which Flux undoes sooner.
func another(r *v1alpha1.Rollback) {
	f := *r.Status.Failures[0].DeepCopy()
	f.Workload.Name, f.Drift.UndoneAt = "shop-worker", atPointer("14:26:00")
	f.Drift.UndoneWhy = "Kustomization/flux-system/shop-worker applies every 5m, and each new revision at once"
	f.Drift.Undone = "at about 14:26:00 UTC: " + f.Drift.UndoneWhy
	r.Status.Failures = append(r.Status.Failures, f)
}

// restores is the reconcile that was asked for.
func restores(r *v1alpha1.Rollback) {
	r.Status.Request = &v1alpha1.Request{Token: "t", Objects: []v1alpha1.ObjectRef{*r.Status.Failures[0].Drift.UndoneBy}, At: at("14:31:10")}
	waits("Deployment/shop-api still runs registry.example/shop/shop-api:v1.41.3; Flux undoes that at about 14:36:00 UTC", "")(r)
}

const jane = "slack:T0SHOP/U0JANE"

func facts(r *v1alpha1.Rollback) Facts {
	return Facts{
		Rollback: r, Cluster: "prod-eu-1", Cooldown: 30 * time.Minute, Budget: "3/1h", Mode: v1alpha1.ModeApprove,
		Policies: []Policy{{Name: "shop/web", Approvers: v1alpha1.SlackApproval{Users: []string{"U0JANE"}, UserGroups: []string{"S0ONCALL"}}}},
		Links:    Links{Repository: "https://github.com/example/fleet.git"},
	}
}
