package card

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	policyAsks = "the policy asks for an approval"
	byHandBy   = "Deployment/shop-api was changed by hand with kubectl"
	neverInGit = "registry.example/shop/shop-api:hotfix was never in Git at this place: commit it by hand, or restore what Git says"
)

// states are all that a card can show, by the name of its golden file.
func states() map[string]Facts {
	pulled := map[string][]edit{
		"1-grace-period":     {failures},
		"2-git-away":         {failures, waits("looking for the commit that brought the image in: fetch main: dial tcp 10.0.0.7:443: i/o timeout; trying again", "")},
		"3-proving":          {failures, suspect},
		"4-to-decide":        {failures, target, asks(policyAsks)},
		"4-two-reasons":      {failures, target, asks("cooldown: the last revert of Deployment/shop-api is 9m old and the cooldown 30m", "the image has run here: Deployment/shop-api revision 6")},
		"4-helm-went-back":   {failures, target, wentBack(v1alpha1.RemediationRollback), asks(policyAsks)},
		"4-helm-uninstalled": {failures, target, wentBack(v1alpha1.RemediationUninstall), asks(policyAsks)},
		"4-only-reject":      {failures, target, asks(policyAsks), onlyReject},
		"4-without-hold":     {failures, target, asks(withoutHold), opened(), landedAlone},
		"8-returning":        {failures, target, opened(), mergedBy("jane"), requested, returned, ends(v1alpha1.ResultVerified, "Deployment/shop-api runs registry.example/shop/shop-api:v1.41.3 again")},
		"4-pull-request":     {failures, target, asks(policyAsks), opened(v1alpha1.PullRequestWait{Kind: v1alpha1.WaitsForReview, Name: "jane"})},
		"4-foreign-commit":   {failures, target, asks(policyAsks), onlyReject, opened(), foreignCommit},
		"5-merging":          {failures, target, opened(), verdict("policy shop/web", v1alpha1.Approve), waits("pull request 7 waits for a check (ci): https://git.example/acme/fleet/pulls/7", "")},
		"8-merged":           {failures, target, opened(), mergedBy("jane"), requested, ends(v1alpha1.ResultVerified, "Deployment/shop-api runs registry.example/shop/shop-api:v1.41.3 again")},
		"8-closed":           {failures, target, opened(), closedBy("jane"), ends(v1alpha1.ResultRejected, "pull request 7 was closed without a merge by jane: https://git.example/acme/fleet/pulls/7")},
		"5-approved":         {failures, target, asks(policyAsks), decides(jane, v1alpha1.Approve)},
		"5-by-policy":        {failures, target, verdict("policy shop/web", v1alpha1.Approve)},
		"5-push-fails":       {failures, target, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), waits("pushing the revert: push main: connection refused; trying again", "")},
		"6-pushed":           {failures, target, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), change},
		"7-waits-for-flux":   {failures, target, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), requested},
		"8-verified":         {failures, target, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), requested, ends(v1alpha1.ResultVerified, "Deployment/shop-api runs registry.example/shop/shop-api:v1.41.3 again")},
		"8-hold-stands":      {failures, target, verdict("policy shop/web", v1alpha1.Approve), requested, ends(v1alpha1.ResultVerified, "Deployment/shop-api runs registry.example/shop/shop-api:v1.41.3 again"), waits("the hold stands: the policy selects registry.example/shop/shop-api:v1.42.0, which was reverted (day 2)", "")},
		"8-hold-lifted":      {failures, target, verdict("policy shop/web", v1alpha1.Approve), requested, ends(v1alpha1.ResultVerified, "Deployment/shop-api runs registry.example/shop/shop-api:v1.41.3 again"), released},
		"8-recovered":        {failures, target, ends(v1alpha1.ResultRecovered, "container api of pod shop-api-6d9f-x2x runs the image after all")},
		"8-rejected":         {failures, target, decides(jane, v1alpha1.Reject), verdict(jane, v1alpha1.Reject), ends(v1alpha1.ResultRejected, "slack:T0SHOP/U0JANE keeps registry.example/shop/shop-api:v1.42.0: no reason given")},
		"8-expired":          {failures, target, ends(v1alpha1.ResultExpired, "nobody decided in 1h; it can still be approved or rejected. Asked because the policy asks for an approval")},
		"8-superseded":       {failures, target, ends(v1alpha1.ResultSuperseded, "main at 77aa88bb99cc no longer says registry.example/shop/shop-api:v1.42.0: nothing to revert")},
		"8-written-again":    {failures, target, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), requested, movedOn(v1alpha1.OutcomeWrittenAgain, "registry.example/shop/shop-api:v1.42.0 was written to main again after the revert c0ffee123456")},
		"8-source-not-found": {failures, ends(v1alpha1.ResultSourceNotFound, "Deployment/shop-api carries no Flux labels: it was not applied by Flux, so there is nothing in Git to revert")},
		"8-reported-only":    {failures, target, ends(v1alpha1.ResultReportedOnly, "registry.example/shop/shop-api:v1.42.0 came in with 4be1c2d9a7f3 (main): no RollbackPolicy selects the workload")},
		"8-not-reverted":     {failures, target, decides("jane@example.com", v1alpha1.Approve), verdict("jane@example.com", v1alpha1.Approve), ends(v1alpha1.ResultFailed, "push main: the server's hook says: this branch is frozen until Monday")},
		"8-failed":           {failures, target, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), requested, ends(v1alpha1.ResultFailed, "reverted in Git, but not verified in 15m: Kustomization/flux-system/shop has not applied c0ffee123456 yet")},
	}
	drifted := map[string][]edit{
		"1-seen":          {drift},
		"4-to-decide":     {drift, target, asks(policyAsks, byHandBy)},
		"4-two":           {drift, another, target, asks(policyAsks, byHandBy)},
		"4-blind":         {drift, blind, target, asks(policyAsks, "Deployment/shop-api was changed by hand with something unknown")},
		"4-suspended":     {drift, undoes("never: Kustomization/flux-system/shop is suspended (flux resume kustomization shop -n flux-system)"), target, asks(policyAsks, byHandBy)},
		"4-helm":          {drift, undoes("not until the next upgrade: HelmRelease/shop/shop-api does not correct drift (spec.driftDetection)"), target, asks(policyAsks, byHandBy)},
		"4-only-reject":   {drift, suspect, asks(policyAsks, byHandBy, "it cannot be adopted into Git, only be restored from it: "+neverInGit), onlyReject},
		"5-adopting":      {drift, target, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve)},
		"5-restoring":     {drift, target, asks(policyAsks, byHandBy), decides(jane, v1alpha1.Reject)},
		"6-restoring":     {drift, target, decides(jane, v1alpha1.Reject), verdict(jane, v1alpha1.Reject), restores},
		"7-adopted":       {drift, target, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), requested},
		"8-verified":      {drift, target, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), requested, ends(v1alpha1.ResultVerified, "Deployment/shop-api runs registry.example/shop/shop-api:v1.41.3, as main says now")},
		"8-restored":      {drift, target, ends(v1alpha1.ResultRestored, "Kustomization/flux-system/shop undid it, 7m50s after the change by hand: Deployment/shop-api runs registry.example/shop/shop-api:v1.42.0 again, as Git says")},
		"8-restored-by":   {drift, target, decides(jane, v1alpha1.Reject), verdict(jane, v1alpha1.Reject), restores, ends(v1alpha1.ResultRestored, "slack:T0SHOP/U0JANE had it restored from Git, 7m50s after the change by hand: Deployment/shop-api runs registry.example/shop/shop-api:v1.42.0 again, as Git says")},
		"8-rejected":      {drift, target, decides(jane, v1alpha1.Reject), verdict(jane, v1alpha1.Reject), ends(v1alpha1.ResultRejected, "slack:T0SHOP/U0JANE keeps registry.example/shop/shop-api:v1.42.0: no reason given")},
		"8-recovered":     {drift, ends(v1alpha1.ResultRecovered, "somebody put registry.example/shop/shop-api:v1.42.0 back")},
		"8-expired":       {drift, target, ends(v1alpha1.ResultExpired, "nobody decided in 1h; it can still be approved or rejected")},
		"8-superseded":    {drift, target, ends(v1alpha1.ResultSuperseded, "main at 77aa88bb99cc no longer says registry.example/shop/shop-api:v1.42.0: what was changed by hand is compared with what it says now")},
		"8-reported-only": {drift, target, ends(v1alpha1.ResultReportedOnly, "the policy only tells")},
		"8-failed":        {drift, target, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), ends(v1alpha1.ResultFailed, "push main: the server's hook says: this branch is frozen until Monday")},
		"8-unknown":       {drift, ends(v1alpha1.ResultSourceNotFound, "Deployment/shop-api carries no Flux labels")},
	}
	byCanary := map[string][]edit{
		"4-to-decide":   {refuse, target, analysed, asks(policyAsks)},
		"4-aborted":     {refuse, aborted, target, endedByHand, asks(policyAsks, "Rollout/shop-api: a person or their gate ended it, and does not say why")},
		"4-many-images": {refuse, target, analysed, asks("Deployment/shop-api: the images of 2 containers changed, and nothing tells which of them was refused")},
		"4-sibling":     {refuse, target, analysed, asks("Deployment/shop-api: Deployment/shop-worker runs the image well")},
		"7-waits":       {refuse, target, analysed, verdict("policy shop/web", v1alpha1.Approve), requested, waits("Canary/shop-api has not taken the revert up yet", "")},
		"8-verified": {refuse, target, analysed, verdict("policy shop/web", v1alpha1.Approve), requested,
			ends(v1alpha1.ResultVerified, "Deployment/shop-api runs registry.example/shop/shop-api:v1.41.3 again")},
		"8-recovered": {refuse, target, analysed, ends(v1alpha1.ResultRecovered, "Canary/shop-api has what is to run promoted after all")},
	}
	crashed := map[string][]edit{
		"1-grace-period":   {crash},
		"4-to-decide":      {crash, target, proved, asks(policyAsks, "Deployment/shop-api: the process starts and then fails, and the workload has no annotation backstop.dev/rollback: auto")},
		"4-pods-are-gone":  {crash, oldPodsGone, target, proved, asks(policyAsks)},
		"4-argo":           {crash, ofArgo, target, proved, asks("Rollout/shop-api: the process starts and then fails, and the workload has no annotation backstop.dev/rollback: auto")},
		"4-sibling":        {crash, target, proved, asks("Deployment/shop-api: Deployment/shop-worker runs the image well")},
		"7-waits-for-flux": {crash, target, proved, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), requested},
		"8-hold-stands": {crash, target, proved, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), requested, byHandOnly,
			ends(v1alpha1.ResultVerified, "Deployment/shop-api runs registry.example/shop/shop-api:v1.41.3 again")},
		"8-recovered":     {crash, target, proved, ends(v1alpha1.ResultRecovered, "pod shop-api-6d9f-x2x of Deployment/shop-api runs well after all")},
		"8-reported-only": {crash, target, proved, ends(v1alpha1.ResultReportedOnly, "registry.example/shop/shop-api:v1.42.0 came in with 4be1c2d9a7f3 (main): policy shop/web does not list the trigger Rollout")},
	}
	refused := map[string][]edit{
		"1-grace-period":   {cannotApply},
		"8-blamed":         {cannotApply, blamed, ends(v1alpha1.ResultReportedOnly, "Kustomization/shop: the API server refuses an object since 4be1c2d9a7f3 (main): correct it there, or revert the commit")},
		"8-not-blamed":     {cannotApply, unblamed, ends(v1alpha1.ResultReportedOnly, "Kustomization/shop: the API server refuses an object; no commit is blamed: Deployment/shop/shop-api changed in 2 commits")},
		"4-to-decide":      {cannotApply, blamed, filesBack, asks("the policy asks for an approval (files go back only when a person says so)")},
		"4-refused":        {cannotApply, blamed, filesBack, filesStay, ends(v1alpha1.ResultReportedOnly, "Kustomization/shop: the API server refuses an object since 4be1c2d9a7f3 (main): correct it there, or revert the commit: it is not reverted here: PersistentVolumeClaim/shop/data would change, and that is never reverted")},
		"5-approved":       {cannotApply, blamed, filesBack, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve)},
		"7-waits":          {cannotApply, blamed, filesBack, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), requested, noHold},
		"8-verified":       {cannotApply, blamed, filesBack, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), requested, noHold, ends(v1alpha1.ResultVerified, "Kustomization/shop applies what Git says again, without what 4be1c2d9a7f3 changed")},
		"8-rejected":       {cannotApply, blamed, filesBack, decides(jane, v1alpha1.Reject), verdict(jane, v1alpha1.Reject), ends(v1alpha1.ResultRejected, "slack:T0SHOP/U0JANE keeps what Git says")},
		"4-release":        {cannotRelease, blamed, valuesBack, asks("the policy asks for an approval (files go back only when a person says so)")},
		"8-release":        {cannotRelease, blamed, valuesBack, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), requested, noHold, ends(v1alpha1.ResultVerified, "HelmRelease/shop applies what Git says again, without what 4be1c2d9a7f3 changed")},
		"8-release-blamed": {cannotRelease, blamed, ends(v1alpha1.ResultReportedOnly, "HelmRelease/shop: the chart does not take its values since 4be1c2d9a7f3 (main): correct it there, or revert the commit")},
		"8-release-moved":  {cannotRelease, chartMoved, ends(v1alpha1.ResultReportedOnly, "HelmRelease/shop: the chart does not take its values; no commit is blamed: the values are those of release v3, and the chart moved from 1.4.0 to 1.5.0 within 1.x: pin it to 1.4.0 in Git")},
		"8-mended":         {cannotApply, blamed, ends(v1alpha1.ResultSuperseded, "Kustomization/shop applies what Git says again: somebody mended what 4be1c2d9a7f3 broke")},
		"8-written-again":  {cannotApply, blamed, filesBack, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), requested, noHold, movedOn(v1alpha1.OutcomeWrittenAgain, "what 4be1c2d9a7f3 changed was written to main again after the revert c0ffee123456")},
		"8-newer":          {cannotApply, blamed, filesBack, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), requested, noHold, movedOn(v1alpha1.OutcomeNewer, "main at 77aa88bb99cc says something newer than the revert")},
	}
	misconfigured := map[string][]edit{
		"1-grace-period": {configFails},
		"4-to-decide": {configFails, blamed, podsBack, asks("the policy asks for an approval (files go back only when a person says so)",
			"other clusters may deploy the same and run it well, unless the policy says soleCluster")},
		"4-refused":    {configFails, blamed, podsBack, filesStay, ends(v1alpha1.ResultReportedOnly, "Deployment/shop-api: crashes since 4be1c2d9a7f3 (main): correct it there, or revert the commit: it is not reverted here: PersistentVolumeClaim/shop/data would change, and that is never reverted")},
		"7-waits":      {configFails, blamed, podsBack, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), requested, noHold},
		"8-verified":   {configFails, blamed, podsBack, decides(jane, v1alpha1.Approve), verdict(jane, v1alpha1.Approve), requested, noHold, ends(v1alpha1.ResultVerified, "Deployment/shop-api runs what Git says, without what 4be1c2d9a7f3 changed")},
		"8-mended":     {configFails, blamed, ends(v1alpha1.ResultSuperseded, "pod shop-api-7c6d-abc of Deployment/shop-api runs well with another revision than 4be1c2d9a7f3 made")},
		"8-not-blamed": {configFails, notInGit, ends(v1alpha1.ResultReportedOnly, "Deployment/shop-api: crashes; no commit is blamed: what fails is not what Git says at 4be1c2d9a7f3: they differ in template.spec.containers[0].env")},
	}
	out := map[string]Facts{}
	for name, edits := range misconfigured {
		out["config-"+name] = facts(rollback(edits...))
	}
	for name, edits := range refused {
		out["apply-"+name] = facts(rollback(edits...))
	}
	for name, edits := range byCanary {
		out["canary-"+name] = facts(rollback(edits...))
	}
	for name, edits := range crashed {
		out["rollout-"+name] = facts(rollback(edits...))
	}
	for name, edits := range pulled {
		out["pull-"+name] = facts(rollback(edits...))
	}
	for name, edits := range drifted {
		out["drift-"+name] = facts(rollback(edits...))
	}
	auto := out["pull-4-two-reasons"]
	auto.Mode = v1alpha1.ModeAuto
	out["pull-4-two-reasons"] = auto
	return out
}

func onlyReject(r *v1alpha1.Rollback) {
	q := r.Status.Question
	q.Answers = []v1alpha1.Answer{v1alpha1.Reject}
	q.Doubts[len(q.Doubts)-1].Type = v1alpha1.DoubtNotAdoptable
	for i := range r.Status.Failures {
		if d := r.Status.Failures[i].Drift; d != nil {
			d.Live, d.To = "registry.example/shop/shop-api:hotfix", ""
		}
	}
}

func TestEveryStateValidatesAndMatchesItsGoldenFile(t *testing.T) {
	for name, f := range states() {
		t.Run(name, func(t *testing.T) {
			c := Of(f)
			if err := Validate(c); err != nil {
				t.Error(err)
			}
			golden(t, name, c)
		})
	}
}

// golden compares a card with its file, and keeps the folder free of files that no test writes.
func golden(t *testing.T, name string, c Card) {
	t.Helper()
	var got bytes.Buffer
	enc := json.NewEncoder(&got)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(struct {
		Text      string `json:"text"`
		Broadcast bool   `json:"broadcast,omitempty"`
		Blocks    any    `json:"blocks"`
	}{c.Text, c.Broadcast, c.Blocks}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", name+".golden.json")
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: make golden writes it", err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s: -want +got, make golden writes it anew\n%s", file, diff)
	}
}
