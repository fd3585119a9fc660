package watcher

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// events lists events of the namespace; none where they may not be read.
func (c *candidate) events(ctx context.Context, selector string) ([]corev1.Event, error) {
	of := metav1.ListOptions{FieldSelector: selector, Limit: mostEvents}
	list, err := c.client.CoreV1().Events(c.namespace).List(ctx, of)
	switch {
	case apierrors.IsForbidden(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("list events of %s: %w", c.facts.Status.By, err)
	}
	return list.Items, nil
}

// mostEvents is how many events of one kind are read.
const mostEvents = 500

func eventAt(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil && !e.Series.LastObservedTime.IsZero():
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}

// crowds are the reasons of events about a pod that had no place to run, which is no fault of its image.
var crowds = []string{"FailedScheduling", "FailedCreate", "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox",
	"TaintManagerEviction", "NodeNotReady", "Evicted"}

// noRoom reports that the cluster had no room for a pod of the update while it was analysed.
func (c *candidate) noRoom(all []corev1.Event) string {
	made, refused := c.facts.Target.Made, c.facts.Status.At
	own := regexp.MustCompile(`^` + regexp.QuoteMeta(c.facts.Status.Workload.Name) + `-[a-z0-9]+(?:-[a-z0-9]+)?$`)
	for i := range all {
		e := &all[i]
		name := e.InvolvedObject.Name
		if !slices.Contains(crowds, e.Reason) || !own.MatchString(name) ||
			strings.HasPrefix(name, c.facts.Status.Workload.Name+primary) {
			continue
		}
		if at := eventAt(e); at.Before(made) || !refused.IsZero() && at.After(refused.Add(time.Minute)) {
			continue
		}
		return fmt.Sprintf("%s %s: %s", e.InvolvedObject.Kind+"/"+name, e.Reason, e.Message)
	}
	return ""
}
