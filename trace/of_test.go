package trace

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	reflectorv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile"
	"github.com/backstop-dev/backstop/reconcile/flux"
	"github.com/backstop-dev/backstop/reconcile/gitrepo"
	"github.com/backstop-dev/backstop/reconcile/manifest"
	"github.com/backstop-dev/backstop/reconcile/registry"
	"github.com/backstop-dev/backstop/watcher/drift"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	repository = "ghcr.io/acme/backend"
	good       = repository + ":production-v1.0.0-1700000000"
	newer      = repository + ":production-v1.1.0-1700000100"
	suspect    = "9a4f35c0aa5e5e1f0f1c7c2d1d6f3f1b0a9e8d7c"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func before(d time.Duration) metav1.Time { return metav1.NewTime(noon.Add(-d)) }

func named(ns, name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: ns, Name: name} }

func every2(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }

// not is a Ready condition that is false.
func not(reason, message string) []metav1.Condition {
	return []metav1.Condition{{Type: "Ready", Status: metav1.ConditionFalse, Reason: reason, Message: message}}
}

func policyOf(ns, pattern, tag string) reflectorv1.ImagePolicy {
	return reflectorv1.ImagePolicy{ObjectMeta: named(ns, "backend"), Spec: reflectorv1.ImagePolicySpec{
		FilterTags: &reflectorv1.TagFilter{Pattern: pattern, Extract: "$ts"},
		Policy:     reflectorv1.ImagePolicyChoice{Numerical: &reflectorv1.NumericalPolicy{Order: "asc"}},
	}, Status: reflectorv1.ImagePolicyStatus{LatestRef: &reflectorv1.ImageRef{Name: repository, Tag: tag}}}
}

func scanOf(ns string) reflectorv1.ImageRepository {
	return reflectorv1.ImageRepository{ObjectMeta: named(ns, "backend"), Spec: reflectorv1.ImageRepositorySpec{
		Image: repository, Interval: every2(time.Minute),
	}, Status: reflectorv1.ImageRepositoryStatus{LastScanResult: &reflectorv1.ScanResult{TagCount: 3, ScanTime: before(20 * time.Second)}}}
}

// healthy is an image that came all the way. Cases break one thing of it.
func healthy() Facts {
	policy := policyOf("production", `^production-v.*-(?P<ts>[0-9]+)$`, tagOf(good))
	policy.Spec.ImageRepositoryRef.Name = "backend"
	other := policyOf("staging", `^staging-v.*-(?P<ts>[0-9]+)$`, "staging-v1.0.0-1700000000")
	other.Spec.ImageRepositoryRef.Name = "backend"
	pushed := before(49 * time.Hour)
	ran := before(12 * time.Second)
	automation := &automationv1.ImageUpdateAutomation{ObjectMeta: named("production", "production"),
		Spec: automationv1.ImageUpdateAutomationSpec{Interval: every2(time.Minute)},
		Status: automationv1.ImageUpdateAutomationStatus{
			LastAutomationRunTime: &ran, LastPushTime: &pushed, LastPushCommit: suspect,
		}}
	automation.Spec.SourceRef.Name = "fleet"
	repo := &sourcev1.GitRepository{ObjectMeta: named("flux-system", "fleet"), Spec: sourcev1.GitRepositorySpec{
		URL: "https://git.acme.test/fleet", Interval: every2(time.Minute),
	}}
	three := int32(3)
	return Facts{
		Now: noon, Namespace: "production", Workload: v1alpha1.Workload{Kind: "Deployment", Name: "backend"},
		Container: "backend",
		Live: Live{Image: good, Replicas: &three, State: reconcile.WorkloadState{
			Images: map[string]string{"backend": good}, Complete: true,
		}},
		Chain: &flux.Chain{
			Reconciler: refOf("Kustomization", "flux-system", "production"),
			Kustomization: &kustomizev1.Kustomization{ObjectMeta: named("flux-system", "production"),
				Spec: kustomizev1.KustomizationSpec{Interval: every2(10 * time.Minute), Path: "./apps/production"}},
			Source: flux.Deployed{Ref: refOf("GitRepository", "flux-system", "fleet"), Git: repo,
				Revision: "main@sha1:" + suspect, Commit: suspect, Branch: "main"},
			Path: "apps/production", Attempted: suspect, Repository: repo, Next: noon.Add(4 * time.Minute),
			Says: "at about 12:04:00 UTC",
			Writers: []flux.Writer{{Ref: refOf("ImageUpdateAutomation", "production", "production"), Object: automation,
				Path: "apps/production"}},
			Selections: []reflectorv1.ImagePolicy{policy, other},
			Scans:      []reflectorv1.ImageRepository{scanOf("production"), scanOf("staging")},
		},
		Git: Git{
			Tip: gitrepo.Place{Commit: suspect, Image: good, Nodes: []manifest.Node{{
				File: "apps/production/backend.yaml", Line: 20, Part: manifest.PartImage, Value: good, Policy: "production:backend",
			}}},
			Applied: gitrepo.Place{Commit: suspect, Image: good},
			Suspect: &v1alpha1.Suspect{Commit: suspect, Subject: "Update backend", Author: "fluxcdbot <fluxcdbot@acme.test>",
				When: v1alpha1.NewTime(noon.Add(-49 * time.Hour)), Automation: new(refOf("ImageUpdateAutomation", "production", "production"))},
			Fetched: true, Attempted: true,
		},
		Registry: Registry{
			Image: good, Proof: reconcile.Proof{Finding: reconcile.FindingPresent}, All: true,
			Description: registry.Description{Digest: "sha256:1f2e3d4c5b6a79880011", Platforms: []string{"linux/amd64", "linux/arm64"},
				Built: noon.Add(-50 * time.Hour)},
			Tags: []string{tagOf(good), "staging-v1.0.0-1700000000", "staging-v0.9.0-1600000000"}, Same: []string{"staging-v1.0.0-1700000000"},
			Nodes: []string{"linux/amd64"},
		},
		Pods: Pods{All: []Pod{{Name: "backend-1", Image: good, Ready: true}, {Name: "backend-2", Image: good, Ready: true},
			{Name: "backend-3", Image: good, Ready: true}}},
	}
}

func TestAnImageThatCameAllTheWay(t *testing.T) {
	trail := Of(healthy())
	for _, h := range trail.Hops {
		if h.Mark != Good {
			t.Errorf("%s is %s: %s", h.Name, h.Mark, h.Why)
		}
	}
	if got := Code([]Trail{trail}); got != CodeGood {
		t.Errorf("code %d", got)
	}
}

// helm puts a HelmRelease between.
func helm(f *Facts) *helmv2.HelmRelease {
	r := &helmv2.HelmRelease{ObjectMeta: named("production", "backend")}
	f.Chain.Release, f.Chain.Reconciler = r, refOf("HelmRelease", "production", "backend")
	return r
}

// condition is one thing that is not as it should be, and what the trail says of it at its hop.
type condition struct {
	change   func(f *Facts)
	hop      string
	mark     Mark
	why, fix string
}

func TestEveryConditionIsSaidWithItsFix(t *testing.T) {
	policy := func(f *Facts) *reflectorv1.ImagePolicy { return &f.Chain.Selections[0] }
	scan := func(f *Facts) *reflectorv1.ImageRepository { return &f.Chain.Scans[0] }
	writer := func(f *Facts) *automationv1.ImageUpdateAutomation { return f.Chain.Writers[0].Object }
	node := func(f *Facts) *manifest.Node { return &f.Git.Tip.Nodes[0] }
	absent := func(cause v1alpha1.Cause) func(*Facts) {
		return func(f *Facts) {
			f.Registry.Proof = reconcile.Proof{Finding: reconcile.FindingAbsent, Cause: cause, Sentence: "it is not"}
		}
	}
	scanFails := func(message string) func(*Facts) {
		return func(f *Facts) { scan(f).Status.Conditions = not("ReadOperationFailed", message) }
	}
	writeFails := func(message string) func(*Facts) {
		return func(f *Facts) { writer(f).Status.Conditions = not("GitOperationFailed", message) }
	}
	tests := map[string]condition{
		"the tag is not in the registry":  {absent(v1alpha1.CauseNotFound), HopTag, Blocked, "it is not", "push " + good},
		"the tag is for another platform": {absent(v1alpha1.CausePlatformMismatch), HopTag, Blocked, "it is not", "for linux/amd64 too"},
		"the tag is a chart":              {absent(v1alpha1.CauseNotAnImage), HopTag, Blocked, "it is not", "use the tag of a container image"},
		"a layer is missing":              {absent(v1alpha1.CauseBlobMissing), HopTag, Blocked, "it is not", "again"},
		"the image's name is none":        {absent(v1alpha1.CauseInvalidName), HopTag, Blocked, "it is not", "REGISTRY/REPOSITORY:TAG"},
		"the registry lets nobody in":     {func(f *Facts) { f.Registry.Proof = reconcile.Proof{Cause: v1alpha1.CauseUnauthorized, Sentence: "401"} }, HopTag, Unknown, "401", "docker login ghcr.io"},
		"the pull secret may not be read": {func(f *Facts) {
			f.Registry.Proof, f.Registry.Missing = reconcile.Proof{}, "you may not read Secret a/b"
		}, HopTag, Unknown, "you may not read Secret a/b", ""},
		"the scan is suspended":               {func(f *Facts) { scan(f).Spec.Suspend = true }, HopScan, Blocked, "suspended", "flux -n production resume image repository backend"},
		"the scan leaves the tag out":         {func(f *Facts) { scan(f).Spec.ExclusionList = []string{"v1"} }, HopScan, Blocked, "the exclusion v1 matches", "spec.exclusionList"},
		"the scan is refused without a login": {scanFails("401 Unauthorized"), HopScan, Blocked, "401", "spec.secretRef.name: backend"},
		"the scan is refused with a login": {func(f *Facts) {
			scanFails("DENIED")(f)
			scan(f).Spec.SecretRef = &meta.LocalObjectReference{Name: "pull"}
		}, HopScan, Blocked, "DENIED", "correct the login in Secret production/pull"},
		"the scan's Secret is missing": {func(f *Facts) {
			scanFails(`secrets "pull" not found`)(f)
			scan(f).Spec.SecretRef = &meta.LocalObjectReference{Name: "pull"}
		}, HopScan, Blocked, "not found", "create secret docker-registry pull"},
		"the registry's certificate is unknown": {scanFails("x509: certificate signed by unknown authority"), HopScan, Blocked, "x509", "certSecretRef"},
		"the registry speaks plain HTTP":        {scanFails("server gave HTTP response to HTTPS client"), HopScan, Blocked, "HTTP response", "spec.insecure: true"},
		"the registry knows no such repository": {scanFails("NAME_UNKNOWN"), HopScan, Blocked, "NAME_UNKNOWN", "spec.image"},
		"a number of the registry's address is no answer": {scanFails("scan failed: GET http://127.0.0.1:40183/v2/denied/tags/list?n=1000: NAME_UNKNOWN: Unknown name"),
			HopScan, Blocked, "NAME_UNKNOWN", "correct spec.image"},
		"an exclusion does not compile":         {scanFails("failed to compile regex ("), HopScan, Blocked, "regex", "spec.exclusionList"},
		"the scan fails otherwise":              {scanFails("500"), HopScan, Blocked, "500", "flux -n production reconcile image repository backend"},
		"the scan has not run":                  {func(f *Facts) { scan(f).Status.LastScanResult = nil }, HopScan, Waits, "not been scanned", ""},
		"the scan is overdue":                   {func(f *Facts) { scan(f).Status.LastScanResult.ScanTime = before(time.Hour) }, HopScan, Blocked, "scanned 60m ago, though", "image-reflector-controller"},
		"the scan has not seen a tag":           {func(f *Facts) { f.Registry.Tags = append(f.Registry.Tags, tagOf(newer)) }, HopScan, Waits, "did not see", ""},
		"the ImageRepository does not exist":    {func(f *Facts) { policy(f).Spec.ImageRepositoryRef.Name = "front" }, HopScan, Blocked, "does not exist", "spec.imageRepositoryRef"},
		"the policy is suspended":               {func(f *Facts) { policy(f).Spec.Suspend = true }, HopPolicy, Blocked, "still stands for", "flux -n production resume image policy backend"},
		"the policy's pattern does not compile": {func(f *Facts) { policy(f).Spec.FilterTags.Pattern = "(" }, HopPolicy, Blocked, "no regular expression", "correct that field"},
		"the policy's range is none":            {func(f *Facts) { policy(f).Spec.Policy.SemVer = &reflectorv1.SemVerPolicy{Range: "banana"} }, HopPolicy, Blocked, "no range of versions", "correct that field"},
		"the policy takes no tag": {func(f *Facts) {
			policy(f).Spec.FilterTags.Pattern = "^x$"
			policy(f).Status.Conditions = not("Failure", "version list argument cannot be empty")
		}, HopPolicy, Blocked, "selects nothing", "such as x"},
		"the policy has not selected":             {func(f *Facts) { policy(f).Status.LatestRef = nil }, HopPolicy, Waits, "nothing yet", ""},
		"a newer tag was not seen by the policy":  {func(f *Facts) { f.Registry.Tags[1] = tagOf(newer) }, HopPolicy, Waits, "comes after it", ""},
		"the tag that was asked for does not fit": {func(f *Facts) { f.Asked = repository + ":v2" }, HopPolicy, Blocked, "v2 does not match the pattern", "such as production-v-0"},
		"the tag that was asked for is older":     {func(f *Facts) { f.Asked = repository + ":production-v0-1" }, HopPolicy, Blocked, "comes after production-v0-1", "spec.exclusionList"},
		"the tag that was asked for is newer":     {func(f *Facts) { f.Asked = newer }, HopPolicy, Waits, "has not been seen yet", ""},
		"another image runs, and Flux's objects may not be read": {func(f *Facts) {
			f.Asked, f.Chain, f.Git, f.Unread = repository+":production-v0-1", nil, Git{}, "you may not read Kustomization/flux-system/apps"
		}, HopWorkload, Blocked, "it runs production-v1.0.0-1700000000, and not production-v0-1", ""},
		"the tag that was asked for is a tie": {func(f *Facts) { f.Asked = repository + ":production-vX-1700000000" }, HopPolicy, Blocked, "the same to its rule", "comes after it"},
		"the policy takes another environment's": {func(f *Facts) {
			policy(f).Spec.FilterTags.Pattern = `v.*-(?P<ts>[0-9]+)$`
			policy(f).Status.LatestRef.Tag = "staging-v1.0.0-1700000000"
		}, HopPolicy, Blocked, "ImagePolicy staging/backend is for", "anchored with ^"},
		"the automation is suspended":           {func(f *Facts) { writer(f).Spec.Suspend = true }, HopAutomation, Blocked, "suspended", "flux -n production resume image update production"},
		"the automation updates another folder": {func(f *Facts) { f.Chain.Writers[0].Path = "apps/staging" }, HopAutomation, Blocked, "updates apps/staging alone", "spec.update.path"},
		"the automation pushes elsewhere":       {func(f *Facts) { f.Chain.Writers[0].Elsewhere = "it pushes to x" }, HopAutomation, Blocked, "it pushes to x", "spec.git.push.branch: main"},
		"the automation may not push":           {writeFails("authorization failed"), HopAutomation, Blocked, "authorization", "Secret that may push"},
		"the branch is protected":               {writeFails("pre-receive hook declined: protected branch"), HopAutomation, Blocked, "protected", "let its user push"},
		"the automation's template is broken":   {writeFails("template: unclosed action"), HopAutomation, Blocked, "template", "messageTemplate"},
		"the automation's path does not exist":  {writeFails("no such file or directory"), HopAutomation, Blocked, "no such file", "spec.update.path"},
		"the automation's selector is broken":   {writeFails("failed to parse policy selector"), HopAutomation, Blocked, "selector", "spec.policySelector"},
		"the automation fails otherwise":        {writeFails("EOF"), HopAutomation, Blocked, "EOF", "flux -n production reconcile image update production"},
		"the automation's Secret is missing":    {writeFails(`failed to get auth secret 'a/b': secrets "b" not found`), HopAutomation, Blocked, "not found", "create the Secret that it names"},
		"the automation may not refer there":    {func(f *Facts) { writer(f).Status.Conditions = not("AccessDenied", "access denied") }, HopAutomation, Blocked, "access denied", "of its own namespace"},
		"nobody says which repository it is":    {func(f *Facts) { f.Chain.Writers, f.Chain.Repository = nil, nil }, HopAutomation, Unknown, "spec.sourceRef of a RollbackPolicy", ""},
		"no version of its own tags fits": {func(f *Facts) {
			policy(f).Status.Conditions = not("Failure", "unable to determine latest version from provided list")
			policy(f).Spec.FilterTags.Pattern = `^production-v(?P<ts>[0-9.]+)-`
			policy(f).Spec.Policy = reflectorv1.ImagePolicyChoice{SemVer: &reflectorv1.SemVerPolicy{Range: ">=5.0.0"}}
		}, HopPolicy, Blocked, "it selects nothing", "widen spec.policy.semver.range"},
		"the policy may not see the scan": {func(f *Facts) { policy(f).Status.Conditions = not("AccessDenied", "access denied") }, HopPolicy, Blocked, "access denied", "spec.accessFrom of ImageRepository production/backend"},
		"the automation has not run":      {func(f *Facts) { writer(f).Status.LastAutomationRunTime = nil }, HopAutomation, Waits, "not run", ""},
		"the automation is overdue":       {func(f *Facts) { writer(f).Status.LastAutomationRunTime = new(before(time.Hour)) }, HopAutomation, Blocked, "though its interval is 60s", "image-automation-controller"},
		"the automation does not select it": {func(f *Facts) {
			writer(f).Spec.PolicySelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		}, HopAutomation, Blocked, "does not select", "a=b"},
		"there is no automation":                 {func(f *Facts) { f.Chain.Writers = nil }, HopAutomation, Blocked, "no ImageUpdateAutomation in namespace production", "create one"},
		"automations may not be listed":          {func(f *Facts) { f.Chain.Writers, f.Chain.Unread = nil, "you may not list" }, HopAutomation, Unknown, "you may not list", ""},
		"Git may not be read":                    {func(f *Facts) { f.Git = Git{Unread: "you may not read Secret flux-system/fleet"} }, HopMarker, Unknown, "you may not read Secret", ""},
		"no file says the image":                 {func(f *Facts) { f.Git = Git{Tip: gitrepo.Place{Why: "something else changes that"}} }, HopMarker, Unknown, "something else", ""},
		"there is no marker":                     {func(f *Facts) { node(f).Policy = "" }, HopMarker, Blocked, "without a marker", `{"$imagepolicy": "production:backend"}`},
		"there is no marker behind a tag":        {func(f *Facts) { node(f).Policy, node(f).Part = "", manifest.PartTag }, HopMarker, Blocked, "without a marker", `"production:backend:tag"`},
		"the marker names nothing":               {func(f *Facts) { node(f).Policy = "production:nothing" }, HopMarker, Blocked, "no such ImagePolicy", `"production:backend"`},
		"the marker names another environment's": {func(f *Facts) { node(f).Policy = "staging:backend" }, HopMarker, Blocked, "another environment's policy", `"production:backend"`},
		"the marker is held":                     {func(f *Facts) { node(f).Held = &manifest.Mark{Not: tagOf(newer), Since: noon.Add(-time.Hour)} }, HopMarker, Blocked, "holds image automation off: production-v1.1.0-1700000100 could not run; the hold was written 60m ago", "take backstop:hold out"},
		"the marker is held for a Rollback":      {held, HopMarker, Blocked, "could not run", "or: backstop lift backend-1f2e-1 -n production"},
		"the hold is of an adopted change by hand": {func(f *Facts) {
			held(f)
			f.Rollbacks[0].Status.Failures[0].Drift = &v1alpha1.Drift{Live: repository + ":production-v1.0.0-1700000000"}
		}, HopMarker, Blocked, "was left for what a person had put in by hand", "or: backstop lift backend-1f2e-1 -n production"},
		"policies may not be listed": {func(f *Facts) {
			f.Chain.Selections, f.Chain.Unread = nil, "you may not list ImagePolicy objects"
		}, HopPolicy, Unknown, "you may not list ImagePolicy objects", ""},
		"the hold is Manual":                    {func(f *Facts) { held(f); node(f).Held.Lift = v1alpha1.LiftManual }, HopMarker, Blocked, "could not run", "backstop lift backend-1f2e-1 -n production"},
		"Git does not say what is selected yet": {func(f *Facts) { policy(f).Status.LatestRef.Tag = tagOf(newer); f.Registry.All = false }, HopMarker, Waits, "which is written at the next run, within 60s", ""},
		"the commit is beyond what can be read": {func(f *Facts) { f.Git.Suspect, f.Git.Unblamed = nil, "only the last 12800" }, HopCommit, Unknown, "only the last", ""},
		"the source is missing":                 {func(f *Facts) { f.Chain.Source.Missing = true }, HopSource, Blocked, "does not exist", "spec.sourceRef"},
		"the source is suspended":               {func(f *Facts) { f.Chain.Source.Suspended = true }, HopSource, Blocked, "suspended", "flux -n flux-system resume source git fleet"},
		"the source cannot be fetched":          {func(f *Facts) { f.Chain.Source.Problem = "cannot be fetched" }, HopSource, Blocked, "cannot be fetched", "name a Secret in spec.secretRef"},
		"the source refuses a signature":        {unsigned, HopSource, Blocked, "signature", "spec.verify.secretRef"},
		"the source is pinned":                  {func(f *Facts) { f.Chain.Source.Pinned = "pinned to tag v1" }, HopSource, Blocked, "pinned to tag v1", "branch: main"},
		"the source has fetched nothing":        {func(f *Facts) { f.Chain.Source.Revision = "" }, HopSource, Waits, "nothing yet", ""},
		"the source should have fetched by now": {func(f *Facts) { f.Git.Fetched = false }, HopSource, Blocked, "and that commit was made 2d1h ago", "flux -n flux-system reconcile source git fleet; if nothing happens: kubectl -n flux-system logs deploy/source-controller"},
		"the source has not fetched the commit": {func(f *Facts) { f.Git.Fetched = false; writer(f).Status.LastPushTime = new(before(time.Minute)) }, HopSource, Waits, "does not hold 9a4f35c0aa5e yet; it fetches every 60s", ""},
	}
	maps.Copy(tests, inTheCluster())
	maps.Copy(tests, byACanary())
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := healthy()
			tt.change(&f)
			trail := Of(f)
			var got Hop
			for _, h := range trail.Hops {
				if h.Name == tt.hop {
					got = h
				}
				if h.Mark == Blocked && (h.Why == "" || h.Fix == "") {
					t.Errorf("%s is stopped without a reason or a fix: %+v", h.Name, h)
				}
			}
			if got.Mark != tt.mark || !strings.Contains(got.Why, tt.why) || !strings.Contains(got.Fix, tt.fix) {
				t.Errorf("%+v\nwant %s, %q, %q", got, tt.mark, tt.why, tt.fix)
			}
		})
	}
}

func TestGolden(t *testing.T) {
	asked := healthy()
	asked.Asked = repository + ":v2"
	stopped := healthy()
	stopped.Chain.Writers[0].Object.Spec.Suspend = true
	stopped.Chain.Selections[0].Status.LatestRef.Tag = tagOf(newer)
	stopped.Registry.Tags[1] = tagOf(newer)
	hostile := healthy()
	hostile.Git.Suspect.Subject = "\x1b[2J\u202Eevil\n✗ pods"
	hostile.Live.State.Says, hostile.Live.State.Complete = "a\x00\rb", false
	hostile.Git.History = []gitrepo.ImageChange{{Commit: suspect, When: noon, Author: "A\tB", Subject: "x\ny", Image: newer},
		{Commit: suspect, When: noon.Add(-time.Hour), Author: "b", Subject: "Revert", Image: good, Backstop: reconcile.TrailerRevert}}
	hostile.Git.More = true
	byHand := healthy()
	changedByHand(&byHand)
	drifting(&byHand)
	people := healthy()
	people.Chain.Selections, people.Chain.Scans, people.Git.Tip.Nodes[0].Policy = nil, nil, ""
	for name, f := range map[string]Facts{
		"healthy": healthy(), "asked": asked, "stopped": stopped, "hostile": hostile, "by-hand": byHand, "people": people,
	} {
		t.Run(name, func(t *testing.T) {
			trail := Of(f)
			var out strings.Builder
			if err := Print(&out, &trail, name == "stopped"); err != nil {
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

func changedByHand(f *Facts) {
	f.Live.Image = repository + ":hotfix"
	f.Live.Changed = &drift.Container{Name: "backend", Image: f.Live.Image, By: "kubectl-set", At: noon.Add(-5 * time.Minute)}
	for i := range f.Pods.All {
		f.Pods.All[i].Image = f.Live.Image
	}
}

// drifting is the Rollback that asks about a change by hand.
func drifting(f *Facts) {
	r := v1alpha1.Rollback{ObjectMeta: named("production", "backend-1f2e-1")}
	r.Spec.OpenedFor, r.Spec.Subject = v1alpha1.TriggerDrift, v1alpha1.ImageSubject(good)
	r.Status.Failures = []v1alpha1.Failure{{Trigger: v1alpha1.TriggerImagePull, Workload: f.Workload, Container: "backend"}}
	r.Status.Conditions = []metav1.Condition{{Type: "Ready", Message: "waits for somebody to decide"}}
	f.Rollbacks = append(f.Rollbacks, r)
	takes(f, v1alpha1.Approve, v1alpha1.Reject)
}

// takes has the Rollback ask for an answer, or ask nothing if no answer can be given.
func takes(f *Facts, answers ...v1alpha1.Answer) {
	f.Rollbacks[0].Status.Question = nil
	if len(answers) > 0 {
		f.Rollbacks[0].Status.Question = &v1alpha1.Question{Answers: answers}
	}
}

// held is a hold with the Rollback that wrote it.
func held(f *Facts) {
	drifting(f)
	r := &f.Rollbacks[0]
	r.Spec.OpenedFor, r.Spec.Subject = v1alpha1.TriggerImagePull, v1alpha1.ImageSubject(newer)
	r.Status.Change = &v1alpha1.Change{Hold: suspect}
	f.Git.Tip.Nodes[0].Held = &manifest.Mark{Not: tagOf(newer)}
}

// asking is a Rollback of the image that runs, which waits for somebody.
func asking(f *Facts) {
	drifting(f)
	f.Rollbacks[0].Spec.OpenedFor = v1alpha1.TriggerImagePull
}

func unsigned(f *Facts) {
	f.Chain.Source.Problem = "refuses the commit's signature"
	f.Chain.Source.Git.Status.Conditions = []metav1.Condition{{Type: "SourceVerified", Status: metav1.ConditionFalse}}
}
