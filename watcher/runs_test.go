package watcher

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

// ranJob is a run of the CronJob web, an hour after noon for each number.
func ranJob(name string, hour int, conditions ...batchv1.JobConditionType) *batchv1.Job {
	j := job(name, badImage)
	j.CreationTimestamp = metav1.NewTime(noon().Add(time.Duration(hour) * time.Hour))
	j.OwnerReferences = ownedBy("CronJob", "batch/v1", "web")
	for _, c := range conditions {
		j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: c, Status: corev1.ConditionTrue,
			Reason: "BackoffLimitExceeded", Message: "Job has reached the specified backoff limit"})
	}
	return j
}

func warned(job string) *corev1.Event {
	e := &corev1.Event{InvolvedObject: corev1.ObjectReference{Kind: "Job", Namespace: "app", Name: job}, Type: corev1.EventTypeWarning,
		Reason: "BackoffLimitExceeded"}
	e.TypeMeta, e.ObjectMeta = named("Event", "v1", job+".1")
	return e
}

func passedAt(hour int) *batchv1.CronJob {
	c := cronJob(badImage)
	at := metav1.NewTime(noon().Add(time.Duration(hour) * time.Hour))
	c.Status.LastSuccessfulTime = &at
	return c
}

// A run of a CronJob that fails where one passed before is told once, until one passes again, and reverts nothing.
func TestARunThatFailsWhereOnePassedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newAPIServer(t, passedAt(1)), &walks{}
		var told []string
		run(t, s, r, Options{TellRun: func(ref v1alpha1.ObjectRef, says string) { told = append(told, ref.String()+": "+says) }})
		fails := func(job *batchv1.Job) {
			s.put(t, job)
			s.put(t, warned(job.Name))
			time.Sleep(time.Second)
			synctest.Wait()
		}
		pod := failingPod("web-2-x", of("Job", "batch/v1", "web-2", batchv1.JobNameLabel, "web-2"))
		pod.Labels = map[string]string{batchv1.JobNameLabel: "web-2"}
		pod.Status.Phase = corev1.PodFailed
		pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3}}
		s.put(t, pod)
		fails(ranJob("web-2", 2, batchv1.JobFailed))
		fails(ranJob("web-3", 3, batchv1.JobFailed))
		const says = "CronJob/app/web: run web-2 failed (BackoffLimitExceeded): container web of " + badImage +
			" ended with exit code 3. A run before it passed at 2026-11-21 13:00 UTC. Nothing is reverted"
		if len(told) != 1 || !strings.HasPrefix(told[0], says) {
			t.Errorf("told: %q", told)
		}
		s.put(t, passedAt(4))
		fails(ranJob("web-5", 5, batchv1.JobFailed))
		if len(told) != 2 || !strings.Contains(told[1], "run web-5 failed") || !strings.Contains(told[1], "passed at 2026-11-21 16:00 UTC") {
			t.Errorf("told after one passed: %q", told)
		}
		want(t, "a run that fails", r)
	})
}

func TestARunThatIsNotTold(t *testing.T) {
	other := ranJob("web-2", 2, batchv1.JobFailed)
	other.OwnerReferences[0].UID = "another"
	alone := ranJob("web-2", 2, batchv1.JobFailed)
	alone.OwnerReferences = nil
	for name, c := range map[string]struct {
		cron *batchv1.CronJob
		job  *batchv1.Job
	}{
		"none passed before":             {cronJob(badImage), ranJob("web-2", 2, batchv1.JobFailed)},
		"one passed since":               {passedAt(3), ranJob("web-2", 2, batchv1.JobFailed)},
		"it is tried again":              {passedAt(1), ranJob("web-2", 2)},
		"it passed after all":            {passedAt(1), ranJob("web-2", 2, batchv1.JobComplete)},
		"of another CronJob of the name": {passedAt(1), other},
		"a Job alone":                    {passedAt(1), alone},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newAPIServer(t, c.cron, c.job)
				run(t, s, &walks{}, Options{TellRun: func(ref v1alpha1.ObjectRef, says string) { t.Errorf("told: %s: %s", ref, says) }})
				s.put(t, warned(c.job.Name))
				time.Sleep(time.Second)
				synctest.Wait()
				if s.requests("/jobs/web-2") == 0 {
					t.Error("nobody looked at the Job")
				}
			})
		})
	}
}
