package doctor

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/reconcile/kube"
	"github.com/backstop-dev/backstop/reconcile/trigger"
	"github.com/backstop-dev/backstop/trace"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func ref(kind, ns, name string) v1alpha1.ObjectRef {
	return v1alpha1.ObjectRef{Kind: kind, Namespace: ns, Name: name}
}

// ready is a namespace in which nothing is in the way of a rollback. Cases break one thing of it.
func ready() Facts {
	pushed := metav1.NewTime(noon.Add(-49 * time.Hour))
	return Facts{
		Now: noon, Namespace: "production", Cancels: new(true),
		Sidecar: Sidecar{Namespace: "backstop-system", Deployment: "backstop", Available: 2, Args: []string{"--leader-elect"}},
		Policies: []v1alpha1.RollbackPolicy{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "production", Name: "web"},
			Spec: v1alpha1.RollbackPolicySpec{Triggers: []v1alpha1.PolicyTrigger{
				{Type: v1alpha1.TriggerImagePull, Mode: v1alpha1.ModeAuto}, {Type: v1alpha1.TriggerDrift, Mode: v1alpha1.ModeApprove},
			}},
		}},
		Workloads: []Workload{{
			Workload: v1alpha1.Workload{Kind: "Deployment", Name: "backend"},
			Chain: &flux.Chain{
				Reconciler: ref("Kustomization", "flux-system", "production"),
				Kustomization: &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: "production"},
					Spec: kustomizev1.KustomizationSpec{Wait: true, Interval: metav1.Duration{Duration: 10 * time.Minute}}},
				Source: flux.Deployed{Ref: ref("GitRepository", "flux-system", "fleet"), Branch: "main"},
				Writers: []flux.Writer{{Ref: ref("ImageUpdateAutomation", "production", "production"),
					Object: &automationv1.ImageUpdateAutomation{Status: automationv1.ImageUpdateAutomationStatus{LastPushTime: &pushed}}}},
			},
			Source:  &Source{Ref: ref("GitRepository", "flux-system", "fleet"), Branch: "main", Secret: "flux-system/fleet", Signed: true},
			Secrets: []Secret{{Namespace: "flux-system", Name: "fleet", For: "GitRepository flux-system/fleet", Allowed: new(true)}},
			Images: []Image{{Image: "ghcr.io/acme/backend:v1", Proof: reconcile.Proof{Finding: reconcile.FindingPresent}, Other: "v0",
				Scan: "production/backend"}},
			DependsOn: []Dependency{{Ref: ref("Kustomization", "flux-system", "infra")}},
		}},
	}
}

func TestEverythingIsReady(t *testing.T) {
	f := ready()
	r := Examine(f)
	for _, c := range all(&r) {
		if c.Mark != trace.Good && c.Mark != trace.None {
			t.Errorf("%+v", c)
		}
	}
	if Code(&r) != trace.CodeGood || Summary(&r) != "1 of 1 workloads are ready for a rollback" {
		t.Errorf("code %d, %s", Code(&r), Summary(&r))
	}
}

func TestEveryConditionIsSaidWithItsFix(t *testing.T) {
	w := func(f *Facts) *Workload { return &f.Workloads[0] }
	spec := func(f *Facts) *kustomizev1.KustomizationSpec { return &w(f).Chain.Kustomization.Spec }
	judged := func(change func(*Workload)) func(*Facts) {
		return func(f *Facts) {
			w(f).Judge = &trace.Canary{CanaryStatus: trigger.CanaryStatus{By: ref("Canary", "production", "backend"), State: trigger.CanaryWell}}
			change(w(f))
		}
	}
	rollout := func(f *Facts) *v1alpha1.PolicyTrigger {
		all := &f.Policies[0].Spec.Triggers
		*all = append(*all, v1alpha1.PolicyTrigger{Type: v1alpha1.TriggerRollout, Mode: v1alpha1.ModeApprove})
		return &(*all)[len(*all)-1]
	}
	release := func(f *Facts) *helmv2.HelmRelease {
		w(f).Chain.Release = &helmv2.HelmRelease{}
		w(f).Chain.Reconciler = ref("HelmRelease", "production", "backend")
		return w(f).Chain.Release
	}
	tests := map[string]struct {
		change    func(f *Facts)
		check     string
		mark      trace.Mark
		says, fix string
	}{
		"Backstop is not installed":     {func(f *Facts) { f.Sidecar = Sidecar{Namespace: "bs"} }, CheckSidecar, trace.Blocked, "does not run in namespace bs", "deploy/kustomize/default"},
		"Backstop runs somewhere else":  {func(f *Facts) { f.Sidecar = Sidecar{Namespace: "bs", Holder: "vm_1"} }, CheckSidecar, trace.Good, "vm_1 holds it", ""},
		"Backstop may not be looked at": {func(f *Facts) { f.Sidecar.Unread = "you may not" }, CheckSidecar, trace.Unknown, "you may not", ""},
		"the kill switch is on": {func(f *Facts) {
			stop := v1alpha1.RollbackPolicy{}
			stop.Namespace, stop.Name, stop.Spec.Suspend = f.Sidecar.Namespace, "stop", true
			f.Policies = append(f.Policies, stop)
		}, CheckKillSwitch, trace.Blocked, "nothing is written to Git", "delete rollbackpolicy stop"},
		"an admission policy is missing": {func(f *Facts) {
			f.Fences = []kube.Fence{{Name: "backstop-rollbacks", Why: "there is no ValidatingAdmissionPolicy backstop-rollbacks"}}
		}, CheckAdmission, trace.Blocked, "more may be written than should be", "deploy/kustomize/admission"},
		"a fleet's policies may not be listed": {func(f *Facts) {
			f.PoliciesUnread = "the RollbackPolicies of namespace bs cannot be listed: you may not"
		}, CheckPolicy, trace.Unknown, "as far as the others say: ImagePull", ""},
		"Backstop is down":                  {func(f *Facts) { f.Sidecar.Available = 0 }, CheckSidecar, trace.Blocked, "no replica", "kubectl -n backstop-system describe deployment backstop"},
		"Backstop does not watch here":      {func(f *Facts) { f.Sidecar.Args = []string{"--namespaces=a,b"} }, CheckSidecar, trace.Blocked, "does not watch namespace production", "--namespaces"},
		"no policy selects it":              {func(f *Facts) { f.Policies = nil }, CheckPolicy, trace.Blocked, "only tells", "create a RollbackPolicy in namespace production"},
		"policies may not be listed":        {func(f *Facts) { f.Policies, f.PoliciesUnread = nil, "you may not" }, CheckPolicy, trace.Unknown, "you may not", ""},
		"what judges it may not be listed":  {judged(func(w *Workload) { w.MayJudge = new(false) }), CheckSees, trace.Blocked, "does not see that it refuses an update", "deploy/kustomize/rbac"},
		"what judges it is suspended":       {judged(func(w *Workload) { w.Judge.Suspended = true }), CheckSees, trace.Blocked, "it is suspended", "spec.suspend: false"},
		"what judges it has strange fields": {judged(func(w *Workload) { w.Judge.Unread = "status is a list" }), CheckSees, trace.Blocked, "status is a list", "as its CRD"},
		"a canary judges it":                {judged(func(*Workload) {}), CheckSees, trace.Good, "ImagePull, Rollout, Canary, Apply, Drift", ""},
		"it is paused":                      {func(f *Facts) { w(f).Paused = true }, CheckSees, trace.Blocked, "no new revision begins", "kubectl -n production rollout resume deployment/backend"},
		"it keeps no former revision":       {func(f *Facts) { w(f).Forgets = true }, CheckSees, trace.Blocked, "nothing tells what changed", "revisionHistoryLimit to 2"},
		"Backstop may not watch Events":     {func(f *Facts) { w(f).MayNot = []string{"list pods", "watch events"} }, CheckSees, trace.Blocked, "may not list pods, watch events", "deploy/kustomize/rbac"},
		"it wants no pods":                  {func(f *Facts) { w(f).Idle = true }, CheckSees, trace.Good, "it wants no pods, and none can fail", ""},
		"its pods are deleted by hand":      {func(f *Facts) { w(f).OnDelete = true }, CheckSees, trace.Good, "in the pods alone that somebody deletes", ""},
		"it is updated from an ordinal on":  {func(f *Facts) { w(f).Partition = 2 }, CheckSees, trace.Good, "from ordinal 2 on", ""},
		"no policy has the trigger Rollout": {func(*Facts) {}, CheckSees, trace.Good, "of Rollout it only tells", ""},
		"a change is soon too old":          {func(f *Facts) { rollout(f).MaxAge = &metav1.Duration{Duration: 5 * time.Minute} }, CheckSees, trace.Good, "seen after 10m, when Rollout's maxAge of 5m may have passed", ""},
		"it has no readiness probe":         {func(f *Facts) { w(f).Unprobed = []string{"web"} }, CheckSees, trace.Good, "without a readiness probe web is ready as soon as it starts", ""},
		"the policy is suspended":           {func(f *Facts) { f.Policies[0].Spec.Suspend = true }, CheckPolicy, trace.Blocked, "is suspended", "spec.suspend: false"},
		"the ceiling bounds the policy":     {func(f *Facts) { f.Sidecar.Args = []string{"--max-mode", "Approve"} }, CheckPolicy, trace.Good, "ImagePull Approve, Rollout Notify, Canary Notify, Drift Approve by production/web: the controller's --max-mode is Approve", ""},
		"the source is missing":             {func(f *Facts) { w(f).Chain.Source.Missing = true }, CheckBranch, trace.Blocked, "does not exist", "spec.sourceRef"},
		"the source is pinned":              {func(f *Facts) { w(f).Chain.Source.Pinned = "pinned to tag v1" }, CheckBranch, trace.Blocked, "pinned to tag v1", "spec.ref: {branch: main}"},
		"the source is no Git repository":   {func(f *Facts) { w(f).Source, w(f).NoSource = nil, "an OCIRepository" }, CheckBranch, trace.Blocked, "an OCIRepository", "spec.sourceRef of the RollbackPolicy"},
		"the Secret may not be read by you": {func(f *Facts) { w(f).Source, w(f).NoRights, w(f).NoSource = nil, true, "you may not read Secret a/b" }, CheckBranch, trace.Unknown, "you may not read Secret a/b", ""},
		"Flux's objects may not be listed": {func(f *Facts) {
			w(f).Source, w(f).NoRights, w(f).NoSource = nil, true, "you may not list GitRepository objects"
		}, CheckBranch, trace.Unknown, "you may not list", ""},
		"the Git Secret does not exist": {func(f *Facts) {
			w(f).Source, w(f).NoSource = nil, "not found"
			w(f).Secrets[0].Missing, w(f).Secrets[0].Holds = true, HoldsGitLogin
		}, CheckRead, trace.Blocked, "it does not exist, and GitRepository flux-system/fleet names it", "kubectl -n flux-system create secret generic fleet --from-literal=username=USER"},
		"what cannot be pushed for want of a Secret": {func(f *Facts) {
			w(f).Source, w(f).NoSource = nil, "not found"
			w(f).Secrets[0].Missing, w(f).Secrets[0].Holds = true, HoldsKey
		}, CheckBranch, trace.None, "see read", ""},
		"the registry's Secret does not exist": {func(f *Facts) { w(f).Secrets[0].Missing, w(f).Secrets[0].Holds = true, HoldsRegistryLogin }, CheckRead, trace.Blocked, "does not exist", "create secret docker-registry fleet"},
		"the certificates do not exist":        {func(f *Facts) { w(f).Secrets[0].Missing, w(f).Secrets[0].Holds = true, HoldsCertificates }, CheckRead, trace.Blocked, "does not exist", "--from-file=ca.crt=FILE"},
		"the proxy's Secret does not exist":    {func(f *Facts) { w(f).Secrets[0].Missing, w(f).Secrets[0].Holds = true, HoldsProxy }, CheckRead, trace.Blocked, "does not exist", "--from-literal=address=URL"},
		"the key may not be read by you":       {func(f *Facts) { w(f).Source.NoKey, w(f).Source.NoKeyUnread = "you may not read Secret a/b", true }, CheckSign, trace.Unknown, "you may not", ""},
		"the key's Secret holds none":          {func(f *Facts) { w(f).Source.NoKey = "holds no git.asc" }, CheckSign, trace.Blocked, "holds no git.asc", "put the key into that Secret"},
		"the automation pushes elsewhere":      {func(f *Facts) { w(f).Source.ReadOnly = "pushes to updates" }, CheckBranch, trace.Blocked, "pushes to updates", "spec.git.push.branch"},
		"the GitRepository is another's": {func(f *Facts) {
			w(f).Source.ReadOnly, w(f).Source.Lend = "belongs to namespace flux-system", "kubectl annotate it"
		}, CheckBranch, trace.Blocked, "belongs to namespace flux-system", "kubectl annotate it"},
		"Backstop may not read the Secret":    {func(f *Facts) { w(f).Secrets[0].Allowed = new(false) }, CheckRead, trace.Blocked, "Backstop may not read it", "components/credentials in namespace flux-system: a Role with get on secrets, resourceNames: [fleet]"},
		"you may not ask what Backstop may":   {func(f *Facts) { w(f).Secrets[0].Allowed = nil }, CheckRead, trace.Unknown, "subjectaccessreviews", ""},
		"the server refuses the push":         {func(f *Facts) { w(f).Source.Refused = "403" }, CheckPush, trace.Blocked, "403", "Secret flux-system/fleet"},
		"the server refuses a push of nobody": {func(f *Facts) { w(f).Source.Refused, w(f).Source.Secret = "401", "" }, CheckPush, trace.Blocked, "401", "set spec.secretRef of GitRepository/flux-system/fleet"},
		"the server does not answer":          {func(f *Facts) { w(f).Source.Unknown = "timeout" }, CheckPush, trace.Unknown, "timeout", ""},
		"the branch is protected":             {func(f *Facts) { w(f).Refused = "protected branch" }, CheckProtect, trace.Blocked, "protected branch", "push to main"},
		"its rules take no push":              {func(f *Facts) { w(f).Source.Delivery = &Delivery{Wants: new(true)} }, CheckDelivery, trace.Good, "goes to main by pull request: its rules take no push", ""},
		"its rules take no push, and refused one": {func(f *Facts) {
			w(f).Source.Delivery, w(f).Refused = &Delivery{Wants: new(true)}, "protected branch"
		}, CheckProtect, trace.None, "see delivery", ""},
		"its rules want no pull request": {func(f *Facts) { w(f).Source.Delivery = &Delivery{Wants: new(false)} }, CheckDelivery, trace.Good, "is pushed to main", ""},
		"the login goes without what helps": {func(f *Facts) {
			w(f).Source.Delivery = &Delivery{Wants: new(true), Rights: reconcile.Rights{Misses: []string{"checks: read (checks that it waits for are not named)"}}}
		}, CheckDelivery, trace.Good, "goes without checks: read (checks that it waits for are not named)", ""},
		"the provider does not show a rule": {func(f *Facts) { w(f).Source.Delivery = &Delivery{} }, CheckDelivery, trace.None, "does not show", ""},
		"the policy delivers by pull request": {func(f *Facts) {
			f.Policies[0].Spec.Delivery, w(f).Source.Delivery = v1alpha1.DeliveryPullRequest, &Delivery{}
		}, CheckDelivery, trace.Good, "as the policy says", ""},
		"the policy delivers by pull request, with a key": {func(f *Facts) {
			f.Policies[0].Spec.Delivery, w(f).Source.Delivery = v1alpha1.DeliveryPullRequest, &Delivery{Why: "an SSH key opens none"}
		}, CheckDelivery, trace.Blocked, "an SSH key opens none", "spec.pullRequest.secretRef"},
		"its rules take no push, and the token opens nothing": {func(f *Facts) {
			w(f).Source.Delivery = &Delivery{Wants: new(true), Rights: reconcile.Rights{Lacks: []string{"the scope api"}, Needs: "a token needs the scope api"}}
		}, CheckDelivery, trace.Blocked, "its login lacks the scope api", "a token needs the scope api"},
		"its rules take no push, and the repository is archived": {func(f *Facts) {
			w(f).Source.Delivery = &Delivery{Wants: new(true), Rights: reconcile.Rights{Shut: "the repository is archived"}}
		}, CheckDelivery, trace.Blocked, "no pull request can be opened: the repository is archived", "spec.url of the GitRepository"},
		"it is pushed, and the token opens nothing": {func(f *Facts) {
			w(f).Source.Delivery = &Delivery{Wants: new(false), Rights: reconcile.Rights{Lacks: []string{"the scope api"}}}
		}, CheckDelivery, trace.Good, "is pushed to main", ""},
		"its rules take no push, and the token does not show its rights": {func(f *Facts) {
			w(f).Source.Delivery = &Delivery{Wants: new(true), Rights: reconcile.Rights{Unshown: []string{"contents: write", "pull requests: write"},
				Ends: time.Date(2026, 12, 3, 10, 0, 0, 0, time.UTC)}}
		}, CheckDelivery, trace.Good, "does not show whether the login has contents: write and pull requests: write; the login ends on 2026-12-03", ""},
		"nobody has pushed yet": {func(f *Facts) { w(f).Chain.Writers = nil }, CheckProtect, trace.None, "nobody has pushed yet", ""},
		"signatures by GitHub": {func(f *Facts) {
			w(f).Source.Verified, w(f).Source.Signed, w(f).Source.Delivery = true, false, &Delivery{Signs: true}
			f.Policies[0].Spec.Delivery = v1alpha1.DeliveryPullRequest
		}, CheckSign, trace.Good, "GitHub signs what goes by pull request", ""},
		"signatures by GitHub, of what is not pushed": {func(f *Facts) {
			w(f).Source.Verified, w(f).Source.Signed, w(f).Source.Delivery = true, false, &Delivery{Signs: true}
		}, CheckSign, trace.Blocked, "signed commits alone", "spec.git.commit.signingKey"},
		"signatures without a key":    {func(f *Facts) { w(f).Source.Verified, w(f).Source.Signed = true, false }, CheckSign, trace.Blocked, "signed commits alone", "spec.git.commit.signingKey"},
		"the image is gone":           {func(f *Facts) { w(f).Images[0].Proof.Finding = reconcile.FindingAbsent }, CheckProve, trace.Blocked, "could not be pulled again", "push it again"},
		"the registry lets nobody in": {func(f *Facts) { w(f).Images[0].Proof = reconcile.Proof{Sentence: "401"} }, CheckProve, trace.Blocked, "401", "ImageRepository production/backend"},
		"the registry lets nobody in, no scan": {func(f *Facts) { w(f).Images[0].Proof, w(f).Images[0].Scan = reconcile.Proof{Sentence: "401"}, "" },
			CheckProve, trace.Blocked, "401", "create an ImageRepository"},
		"the pull secret may not be read": {func(f *Facts) { w(f).Images[0].Proof, w(f).Images[0].Missing = reconcile.Proof{}, "you may not" }, CheckProve, trace.Unknown, "you may not", ""},
		"the registry does not answer": {func(f *Facts) {
			w(f).Images[0].Proof = reconcile.Proof{Sentence: "500", Cause: v1alpha1.CauseRegistryUnavailable}
		}, CheckProve, trace.Blocked, "500", "see that the registry answers"},
		"the registry's authority is not known": {func(f *Facts) {
			w(f).Images[0].Proof = reconcile.Proof{Sentence: "TLS: its certificate", Untrusted: true, Cause: v1alpha1.CauseRegistryUnavailable}
		}, CheckProve, trace.Blocked, "TLS", "ca.crt in spec.certSecretRef of ImageRepository production/backend"},
		"tags are not listed":                  {func(f *Facts) { w(f).Images[0].Unlisted = "401" }, CheckProve, trace.Blocked, "401", "list tags"},
		"no other tag is seen":                 {func(f *Facts) { w(f).Images[0].Other = "" }, CheckProve, trace.Blocked, "no other tag", "keep the image before it"},
		"the source is suspended":              {func(f *Facts) { w(f).Chain.Source.Suspended = true }, CheckApply, trace.Blocked, "suspended", "flux -n flux-system resume source git fleet"},
		"the Kustomization is suspended":       {func(f *Facts) { spec(f).Suspend = true }, CheckApply, trace.Blocked, "suspended", "flux -n flux-system resume kustomization production"},
		"the HelmRelease is suspended":         {func(f *Facts) { release(f).Spec.Suspend = true }, CheckApply, trace.Blocked, "suspended", "flux -n production resume helmrelease backend"},
		"the source is not fetched":            {func(f *Facts) { w(f).Chain.Source.Problem = "cannot be fetched" }, CheckApply, trace.Blocked, "cannot be fetched", "flux -n flux-system reconcile source git fleet"},
		"the Kustomization fails":              {func(f *Facts) { w(f).Chain.NotApplied = "BuildFailed" }, CheckApply, trace.Blocked, "BuildFailed", "flux -n flux-system reconcile kustomization production"},
		"a health check delays":                {func(f *Facts) { f.Cancels = new(false) }, CheckHealth, trace.Blocked, "spec.wait makes a revert wait up to 9m30s", "CancelHealthCheckOnNewRevision=true"},
		"a health check may delay":             {func(f *Facts) { f.Cancels = nil }, CheckHealth, trace.Unknown, "up to 9m30s, unless", ""},
		"a short health check":                 {func(f *Facts) { f.Cancels = nil; spec(f).Timeout = &metav1.Duration{Duration: time.Minute} }, CheckHealth, trace.Good, "waits 1m at the longest", ""},
		"no health check":                      {func(f *Facts) { f.Cancels = nil; spec(f).Wait = false }, CheckHealth, trace.Good, "waits for nothing", ""},
		"an upgrade that waits for 20 minutes": {func(f *Facts) { release(f).Spec.Timeout = &metav1.Duration{Duration: 20 * time.Minute} }, CheckHealth, trace.Blocked, "up to 20m before", "spec.timeout: 5m"},
		"an upgrade that nobody waits for": {func(f *Facts) {
			release(f).Spec.Timeout = &metav1.Duration{Duration: time.Hour}
			w(f).Chain.Release.Spec.Upgrade = &helmv2.Upgrade{DisableWait: true}
		}, CheckHealth, trace.Good, "which a new revision cancels", ""},
		"an upgrade that waits":             {func(f *Facts) { release(f).Spec.Timeout = &metav1.Duration{Duration: time.Hour} }, CheckHealth, trace.Blocked, "up to 1h", "spec.timeout: 5m"},
		"a dependency that is not ready":    {func(f *Facts) { w(f).DependsOn[0].Why = "it fails" }, CheckDepends, trace.Blocked, "it fails", "flux -n flux-system get kustomization infra"},
		"a dependency that may not be read": {func(f *Facts) { w(f).DependsOn[0].Unread = "you may not" }, CheckDepends, trace.Unknown, "you may not", ""},
		"a dependency that is suspended":    {func(f *Facts) { w(f).DependsOn[0].Suspended = true }, CheckDepends, trace.Blocked, "the Kustomization waits for it, and it is suspended", "flux -n flux-system resume kustomization infra"},
		"a HelmRelease that depends on another": {func(f *Facts) {
			w(f).DependsOn[0] = Dependency{Ref: ref("HelmRelease", "production", "db"), Why: "it fails"}
		}, CheckDepends, trace.Blocked, "the HelmRelease waits for it", "flux -n production get helmrelease db"},
		"a dependency that is checked for long": {func(f *Facts) { f.Cancels = nil; w(f).DependsOn[0].Wait = time.Hour }, CheckDepends, trace.Blocked, "up to 1h", "spec.timeout: 1m"},
		"an ordered StatefulSet":                {func(f *Facts) { w(f).Ordered = true }, CheckOrdered, trace.Blocked, "not replaced", "components/unstick"},
		"an ordered StatefulSet that is unstuck": {func(f *Facts) {
			w(f).Ordered, w(f).MayDelete = true, new(true)
			f.Sidecar.Args = []string{"--unstick"}
		}, CheckOrdered, trace.Good, "Backstop deletes", ""},
		"OnDelete":                  {func(f *Facts) { w(f).OnDelete = true }, CheckOrdered, trace.Blocked, "OnDelete", "RollingUpdate"},
		"an automation that forces": {func(f *Facts) { w(f).Chain.Writers[0].Forces = true }, CheckForce, trace.Blocked, "by force", "spec.git.checkout.ref.branch: main"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := ready()
			tt.change(&f)
			r := Examine(f)
			var said []string
			for _, c := range all(&r) {
				if c.Mark == trace.Blocked && (c.Why == "" || c.Fix == "") {
					t.Errorf("no reason or no fix: %+v", c)
				}
				if c.Name != tt.check {
					continue
				}
				said = append(said, c.Says+c.Why)
				if c.Mark == tt.mark && strings.Contains(c.Says+c.Why, tt.says) && strings.Contains(c.Fix, tt.fix) {
					return
				}
			}
			t.Errorf("want %s %s, %q, %q; it says %q", tt.check, tt.mark, tt.says, tt.fix, said)
		})
	}
}

func TestGolden(t *testing.T) {
	broken := ready()
	broken.Cancels = new(false)
	broken.Workloads[0].Secrets[0].Allowed = new(false)
	broken.Workloads[0].Source.Refused = "push main of https://git.test/fleet: \x1b[2Jread only\n✓ all is well"
	second := ready().Workloads[0]
	second.Workload = v1alpha1.Workload{Kind: "StatefulSet", Name: "db"}
	second.Chain.Kustomization.Spec.Wait = false
	stranger := Workload{Workload: v1alpha1.Workload{Kind: "Deployment", Name: "by-hand"}, NotFlux: "x"}
	broken.Workloads = append(broken.Workloads, second, stranger)
	unread := ready()
	unread.Workloads[0].Secrets[0].Allowed = nil
	broken.Unreadable = []Unreadable{{ref("ImagePolicy", "production", "backend"), "json: cannot unmarshal string into Go struct field .spec.filterTags"}}
	hidden := ready().Workloads[0]
	hidden.Workload = v1alpha1.Workload{Kind: "Deployment", Name: "hidden"}
	hidden.Chain, hidden.Unread = nil, "you may not read Kustomization/flux-system/apps: ask for get on it in namespace flux-system"
	unread.Workloads = append(unread.Workloads, hidden)
	empty := ready()
	empty.Workloads = nil
	for name, f := range map[string]Facts{"ready": ready(), "broken": broken, "unread": unread, "empty": empty, "verbose": ready()} {
		t.Run(name, func(t *testing.T) {
			r := Examine(f)
			if got, want := Code(&r), map[string]int{"broken": 1, "unread": 3}[name]; got != want {
				t.Errorf("code %d, want %d", got, want)
			}
			var out strings.Builder
			if err := Print(&out, &r, name == "verbose", false); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
