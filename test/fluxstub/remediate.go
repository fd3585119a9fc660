package fluxstub

import (
	"context"
	"fmt"
	"slices"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// deployed is a release that was deployed well, which Helm keeps in a Secret.
type deployed struct {
	object   *unstructured.Unstructured
	snapshot helmv2.Snapshot
}

// counted counts a failed attempt where helm-controller does.
func counted(hr *helmv2.HelmRelease) {
	hr.Status.Failures++
	if hr.Status.LastAttemptedReleaseAction == helmv2.ReleaseActionInstall {
		hr.Status.InstallFailures++
		return
	}
	hr.Status.UpgradeFailures++
}

// remediates does what Helm does by itself after a failed attempt: nothing, a rollback, or another try, at once or
// after a while. It reports whether to try at once.
func (s *stand) remediates(ctx context.Context, hr *helmv2.HelmRelease, canceled bool) (bool, error) {
	if retry := hr.GetActiveRetry(false); retry != nil {
		condition(&hr.Status.Conditions, hr, yes(meta.ReconcilingCondition, meta.ProgressingWithRetryReason,
			"retrying after "+retry.GetRetryInterval().String()))
		return false, nil
	}
	active := hr.GetActiveRemediation()
	spent := active == nil || active.RetriesExhausted(hr)
	if active != nil && (!spent || active.MustRemediateLastFailure()) {
		if canceled {
			condition(&hr.Status.Conditions, hr, no(helmv2.RemediatedCondition, "RollbackFailed", "context canceled"))
			condition(&hr.Status.Conditions, hr, no(meta.ReadyCondition, "RollbackFailed", "context canceled"))
			return false, nil
		}
		if missing, err := s.goesBack(ctx, hr); missing || err != nil {
			return false, err
		}
	}
	if spent {
		condition(&hr.Status.Conditions, hr, yes(meta.StalledCondition, "RetriesExceeded",
			fmt.Sprintf("Failed to %s after %d attempt(s)", hr.Status.LastAttemptedReleaseAction, hr.Status.Failures)))
	}
	return !spent, nil
}

// goesBack rolls a release back to the last one that was deployed well; missing where there is none.
func (s *stand) goesBack(ctx context.Context, hr *helmv2.HelmRelease) (missing bool, err error) {
	kept, ok := s.deployed.Load(client.ObjectKeyFromObject(hr))
	if !ok {
		condition(&hr.Status.Conditions, hr, yes(meta.StalledCondition, "MissingRollbackTarget",
			"Failed to perform remediation: missing target release for rollback"))
		return true, nil
	}
	former := kept.(deployed)
	if err := s.applyAll(ctx, []*unstructured.Unstructured{former.object.DeepCopy()}, helmManager); err != nil {
		return false, err
	}
	snapshot := former.snapshot
	snapshot.Version, snapshot.Status, snapshot.LastDeployed = hr.Status.History.Latest().Version+1, "deployed",
		metav1.Now()
	hr.Status.History = append(helmv2.Snapshots{&snapshot}, hr.Status.History...)
	message := fmt.Sprintf("Helm rollback to previous release %s/%s.v%d with chart %s@%s succeeded", snapshot.Namespace,
		snapshot.Name, former.snapshot.Version, snapshot.ChartName, snapshot.ChartVersion)
	condition(&hr.Status.Conditions, hr, yes(helmv2.RemediatedCondition, "RollbackSucceeded", message))
	condition(&hr.Status.Conditions, hr, no(meta.ReadyCondition, "RollbackSucceeded", message))
	return false, nil
}

// isBack says that values are those again that Helm went back to: there is no new release then, and no event.
func isBack(hr *helmv2.HelmRelease, digest string) bool {
	last := hr.Status.History.Latest()
	if last == nil || last.Status != "deployed" || last.ConfigDigest != digest ||
		digest == hr.Status.LastAttemptedConfigDigest {
		return false
	}
	hr.Status.LastAttemptedGeneration, hr.Status.LastAttemptedConfigDigest = hr.Generation, digest
	hr.Status.Failures, hr.Status.UpgradeFailures, hr.Status.InstallFailures = 0, 0, 0
	apimeta.RemoveStatusCondition(&hr.Status.Conditions, meta.StalledCondition)
	message := fmt.Sprintf("Helm upgrade succeeded for release %s/%s.v%d with chart %s@%s", last.Namespace, last.Name,
		last.Version, last.ChartName, last.ChartVersion)
	condition(&hr.Status.Conditions, hr, yes(helmv2.ReleasedCondition, "UpgradeSucceeded", message))
	condition(&hr.Status.Conditions, hr, yes(meta.ReadyCondition, "UpgradeSucceeded", message))
	return true
}

// retryIn is how long a release that tries again by itself has to wait until then; false where it does not.
func retryIn(hr *helmv2.HelmRelease) (time.Duration, bool) {
	retry, last := hr.GetActiveRetry(false), hr.Status.History.Latest()
	if retry == nil || last == nil || last.Status != "failed" {
		return 0, false
	}
	return max(0, retry.GetRetryInterval()-time.Since(last.LastDeployed.Time)), true
}

// settled takes the condition away that says that something is under way, but where it is to be tried again.
func settled(hr *helmv2.HelmRelease) {
	hr.Status.Conditions = slices.DeleteFunc(hr.Status.Conditions, func(c metav1.Condition) bool {
		return c.Type == meta.ReconcilingCondition && c.Reason != meta.ProgressingWithRetryReason
	})
}

// nextLook is when a release is looked at again: one that is stalled not before something enqueues it.
func nextLook(hr *helmv2.HelmRelease) time.Duration {
	next := hr.Spec.Interval.Duration
	if apimeta.IsStatusConditionTrue(hr.Status.Conditions, meta.StalledCondition) {
		next = 0
	}
	if wait, retries := retryIn(hr); retries {
		next = max(wait, time.Millisecond)
	}
	return next
}
