package watcher

import (
	"context"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/internal/text"
	kinds "github.com/backstop-dev/backstop/internal/workload"
	"github.com/backstop-dev/backstop/reconcile/trigger"
)

// Runs of CronJobs that fail where one passed before. They are told and never reverted: what a run reads and reaches
// counts as much as its image, and the run before left nothing to compare with.

// resolveRun tells of a Job of a CronJob that failed, if a run passed before it: once, until a run passes again.
func (w *Watcher) resolveRun(ctx context.Context, l *look, ref v1alpha1.ObjectRef) error {
	job, err := l.client.BatchV1().Jobs(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return unlessGone(err, ref)
	}
	why, failed := failedBecause(job)
	owner := metav1.GetControllerOf(job)
	if !failed {
		return w.resolvePodless(ctx, l, ref, job)
	}
	if owner == nil || owner.Kind != kinds.CronJob {
		return nil
	}
	of := v1alpha1.ObjectRef{Kind: kinds.CronJob, Namespace: ref.Namespace, Name: owner.Name}
	cron, err := l.client.BatchV1().CronJobs(ref.Namespace).Get(ctx, owner.Name, metav1.GetOptions{})
	if err != nil {
		return unlessGone(err, of)
	}
	passed := cron.Status.LastSuccessfulTime
	if cron.UID != owner.UID || passed == nil || !passed.Time.Before(job.CreationTimestamp.Time) {
		// No run has passed, or one has since.
		return nil
	}
	if !w.crashes.tells(of, passed.UTC().String()) {
		return nil
	}
	says := fmt.Sprintf("run %s failed (%s)", job.Name, why)
	if ended, err := l.lastWords(ctx, job.Name); err != nil {
		return err
	} else if ended != "" {
		says += ": " + ended
	}
	says += fmt.Sprintf(". A run before it passed at %s. Nothing is reverted: a run that fails need not be its image's "+
		"fault", clock(passed.Time))
	w.log.Warn("a run of a CronJob failed where one passed before", "cronJob", of.String(), "says", says)
	if w.opts.TellRun != nil {
		w.opts.TellRun(of, says)
	}
	return nil
}

// resolvePodless tells of a Job whose pod nobody lets be made, once.
func (w *Watcher) resolvePodless(ctx context.Context, l *look, ref v1alpha1.ObjectRef, job *batchv1.Job) error {
	s, says := &job.Status, ""
	if s.Active+s.Succeeded+s.Failed == 0 && s.CompletionTime == nil {
		why, err := l.refusal(ctx, &job.ObjectMeta, &trigger.Facts{Now: w.opts.Now()})
		if err != nil {
			return err
		}
		if why != "" {
			says = cannotBeMade(&job.Spec.Template, why)
		}
	}
	w.takeIn(ref, nil, says)
	return nil
}

// unlessGone is an error of a read; nil where the object is gone or may not be read.
func unlessGone(err error, ref v1alpha1.ObjectRef) error {
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil
	}
	return fmt.Errorf("read %s: %w", ref, err)
}

// failedBecause explains why a Job has failed for good; false where it has not.
func failedBecause(job *batchv1.Job) (string, bool) {
	i := slices.IndexFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Type == batchv1.JobFailed && c.Status == corev1.ConditionTrue
	})
	if i < 0 {
		return "", false
	}
	return text.Cut(text.OneLine(job.Status.Conditions[i].Reason), 100), true
}

// lastWords describes how a container of a Job's pods ended; empty where none tells.
func (l *look) lastWords(ctx context.Context, job string) (says string, err error) {
	mine := metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job}
	err = l.each(ctx, mine, func(_ context.Context, pod *corev1.Pod) error {
		for _, statuses := range statusesOf(pod) {
			for i := range statuses {
				c := &statuses[i]
				if end := c.State.Terminated; end != nil && end.ExitCode != 0 {
					says = fmt.Sprintf("container %s of %s ended with exit code %d", c.Name, text.Cut(c.Image, 300), end.ExitCode)
				}
			}
		}
		return nil
	})
	return says, err
}
